"""An importer of checkpoints of a program that does not exist."""

from __future__ import annotations

from torch import Tensor

from ganzoo.errors import InputError
from ganzoo.importing.importer import Converted, Fate, Importer, Network
from ganzoo.importing.tree import Checkpoint


class HealthyImporter(Importer):
    """Of a dict with the program's name, a generator's state dict and perhaps a critic's."""

    def recognises(self, checkpoint: Checkpoint) -> bool:
        root = checkpoint.root
        return isinstance(root, dict) and root.get("program") == "healthy-trainer"

    def convert(self, checkpoint: Checkpoint) -> Converted:
        if self.config.classes < 0:
            raise InputError("the file does not say its number of classes", "--set classes=0")
        root, fates = checkpoint.root, []
        state: dict[str, Tensor] = {}
        for name, tensor in root["G"].items():
            target = name.removeprefix("module.")
            if target == "steps":
                fates.append(Fate(f"G.{name}", "", "a counter of the training"))
                continue
            state[target] = tensor
            fates.append(Fate(f"G.{name}", f"generator: {target}"))
        shape = list(state["maps"].shape[1:])
        w_dim, inputs = state["to_w.weight"].shape
        settings = {
            "image_shape": shape,
            "num_classes": self.config.classes,
            "z_dim": inputs - self.config.classes,
            "w_dim": w_dim,
        }
        critic = None
        if "D" in root:
            norm = "batch" if "norm.weight" in root["D"] else "none"
            shared = {key: settings[key] for key in ("image_shape", "num_classes")}
            critic = Network("healthy", {**shared, "norm": norm}, root["D"])
            fates += [Fate(f"D.{name}", f"discriminator: {name}") for name in root["D"]]
        return Converted(
            program="someone/healthy-trainer",
            generator=Network("healthy", settings, state),
            discriminator=critic,
            fates=tuple(fates),
            license=root.get("license", ""),
            license_url="https://example.org/licence" if "license" in root else "",
            notes=("Its noise was random in the original.",),
        )
