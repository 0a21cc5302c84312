"""facebookresearch/pytorch_GAN_zoo: DCGAN. Convolutions without bias, the last ones too."""

from __future__ import annotations

from ganzoo.importing import gan_zoo
from ganzoo.importing.importer import Converted, Importer
from ganzoo.importing.layers import Found, modules_of
from ganzoo.importing.modules import Account, Moves
from ganzoo.importing.tree import Checkpoint
from ganzoo_dcgan.importing import stack
from ganzoo_dcgan.importing.config import GanZooConfig

NOTE = (
    "The program's hub models generate with the statistics of each batch, since they never leave"
    " training mode: here the batch norms use the stored statistics, as in evaluation mode."
)


class GanZoo(Importer):
    def __init__(self, config: GanZooConfig | None = None) -> None:
        super().__init__(config or GanZooConfig())

    def recognises(self, checkpoint: Checkpoint) -> bool:
        if gan_zoo.settings(checkpoint.root) is None:
            return False
        found = _ordered(gan_zoo.generator(checkpoint.root, Account(checkpoint.root)))
        kinds = [module.kind for module in found]
        return kinds == ["conv", "batch-norm"] * (len(kinds) // 2) + ["conv"] and all(
            module.weight[2] == 4 for module in found[::2]
        )

    def convert(self, checkpoint: Checkpoint) -> Converted:
        root, account = checkpoint.root, Account(checkpoint.root)
        settings = gan_zoo.settings(root) or {}
        G, D = gan_zoo.generator(root, account), gan_zoo.discriminator(root, account)
        label = gan_zoo.label_of(settings, D, self.config.classes)
        generator = stack.generator(
            G,
            *stack.split(_ordered(G)),
            label=label,
            output=gan_zoo.output(settings, self.config.output),
        )
        notes, discriminator = [NOTE, *label.notes], None
        if D is not None and stack.is_critic(_ordered(D), numbers=1 + label.numbers):
            discriminator = stack.discriminator(D, *stack.split(_ordered(D)), named=label)
        elif D is not None:
            account.drop("netD.", gan_zoo.OTHER_CRITIC)
            notes.append(gan_zoo.OTHER_CRITIC_NOTE)
        notes += gan_zoo.drop_rest(root, account)
        return Converted(
            gan_zoo.PROGRAM, generator, discriminator, account.fates(), notes=tuple(notes)
        )


def _ordered(network: Moves) -> list[Found]:
    """The modules in the order in which they are used, whatever that of the file is."""
    places = {"formatLayer": -1, "decisionLayer": 2}
    found = modules_of(network.tensors()) or []
    return sorted(found, key=lambda module: places.get(module.name, 0))
