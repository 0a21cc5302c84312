"""Plain networks of anyone's: linear layers, convolutions and batch norms, one after another.

What a state dict has no tensor for (activations, strides, a batch norm's eps) is asked for, unless
its names, widths and gaps are those of a program that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ganzoo.errors import InputError
from ganzoo.importing import gan_zoo
from ganzoo.importing.importer import Converted, Importer, Network
from ganzoo.importing.layers import LEVELS, Found, is_plain_dcgan, modules_of, prefixes
from ganzoo.importing.modules import Account, Moves, scaled
from ganzoo.importing.tree import Checkpoint
from ganzoo.importing.whole import said
from ganzoo_gan.importing import branches, known, saved_whole
from ganzoo_gan.importing.chain import Questions, Stack, body_of, in_order, is_chain, is_critic
from ganzoo_gan.importing.config import PlainConfig
from ganzoo_gan.importing.critic import critic
from ganzoo_gan.importing.stack import generator

NORM = ("weight", "bias", "running_mean", "running_var")


class Plain(Importer):
    config: PlainConfig

    def __init__(self, config: PlainConfig | None = None) -> None:
        super().__init__(config or PlainConfig())

    def recognises(self, checkpoint: Checkpoint) -> bool:
        if gan_zoo.settings(checkpoint.root) is not None:
            return False
        prefix = prefixes(checkpoint.root).get("generator")
        if prefix is None:
            return False
        try:
            found = _modules(checkpoint, "generator", prefix)
            if found is None or is_plain_dcgan(found):
                return False
            return is_chain(found) or branches.fork(found) is not None
        except InputError:  # it is plain, but of no order, or of settings that ours has not
            return True

    def convert(self, checkpoint: Checkpoint) -> Converted:
        account, where = Account(checkpoint.root), prefixes(checkpoint.root)
        if "generator" not in where:
            raise InputError("the file has no generator", "import the generator's file")
        G = account.network("generator", where["generator"], without=LEVELS)
        found = _checked(checkpoint, "generator", where["generator"])
        G, found, others = _joined(G, found, "generator", self.config)
        if found is None or not is_chain(found):
            raise InputError(
                "the generator is not one layer after another", "another importer may know it"
            )
        if is_critic(found):
            raise InputError(
                "the file has a discriminator, and no generator", "import the generator's file"
            )
        config, notes = known.settings(found, self.config)
        if found[0].said is not None:
            notes = [saved_whole.NOTE]
        questions = Questions()
        made = generator(found, config, questions)
        questions.ask()
        if config.labels == "none":
            for module in (m for m in found if m.kind == "embedding"):
                G.drop(f"{module.name}.weight", "not used, as was said")
        made_by = _network(G, made, others)
        notes.append(f"The generator was taken to be: {made.described()}.")
        if made.halved is not None:
            notes.append("Its images, of a sigmoid, are here those of a tanh: 2 s - 1, not s.")
        discriminator = None
        if "discriminator" in where and config.discriminator:
            D = account.network("discriminator", where["discriminator"], without=LEVELS)
            critics = _checked(checkpoint, "discriminator", where["discriminator"])
            config = known.critic_settings(found, critics, config)
            shape = list(made.settings["image_shape"])
            discriminator, described = _critic(D, critics, config, shape)
            notes.append(f"The discriminator was taken to be: {described}.")
            notes.append("The discriminator's scores are raw: a sigmoid behind them is left out.")
        elif "discriminator" in where:
            account.drop(where["discriminator"], "left out, as was asked for")
        notes += account.drop_outside(*where.values())
        return Converted(
            known.program(found), made_by, discriminator, account.fates(), notes=tuple(notes)
        )


def _modules(checkpoint: Checkpoint, role: str, prefix: str) -> list[Found] | None:
    network = Account(checkpoint.root).network(role, prefix, without=LEVELS)
    found = modules_of(network.tensors(), said(checkpoint.root, prefix, without=LEVELS))
    if found is None or checkpoint.container != "safetensors":
        return found
    orders = in_order(found)
    if len({tuple(body_of(order)) for order in orders}) > 1:
        raise InputError(
            f"a safetensors file has no order, and the {role}'s modules fit in several",
            "import the file that its program wrote",
        )
    return orders[0] if orders else found


def _checked(checkpoint: Checkpoint, role: str, prefix: str) -> list[Found] | None:
    found = _modules(checkpoint, role, prefix)
    if found is not None:
        saved_whole.check(found, said(checkpoint.root, prefix, without=LEVELS))
    return found


def _critic(
    D: Moves, found: list[Found] | None, config: PlainConfig, image_shape: list[int]
) -> tuple[Network, str]:
    D, found, others = _joined(D, found, "discriminator", config)
    if found is None or not is_chain(found):
        raise InputError(
            "the discriminator is not one layer after another",
            "give --set discriminator=false for the generator alone",
        )
    questions = Questions()
    made = critic(found, config, image_shape, questions)
    questions.ask(" (or --set discriminator=false)")
    return _network(D, made, others), made.described()


def _joined(
    network: Moves, found: list[Found] | None, role: str, config: PlainConfig
) -> tuple[Moves, list[Found] | None, dict[str, str]]:
    """The network as a chain, where it starts with a branch for the label: see `branches`."""
    fork = branches.fork(found or [])
    if fork is None:
        return network, found, {}
    is_generator = role == "generator"
    labels = config.labels if is_generator else config.discriminator_labels
    inputs = 0 if is_generator and fork.first[0].kind == "conv" else 1
    network, others = branches.join(
        network, fork, role, inputs, config.classes, label_first=labels == "first"
    )
    return network, fork.joined(), others


def _network(network: Moves, made: Stack, others: dict[str, str]) -> Network:
    """The tensors as those of our layers; `others`: the modules that were joined with some."""
    for module, place in made.places.items():
        target = f"layers.{place}"
        branches.account(network, others, module.name, target)
        if module.kind == "batch-norm":
            _move_norm(network, module, target)
            continue
        half = module is made.halved
        note = "halved: a sigmoid is a tanh of half its argument" if half else ""
        for leaf in ("weight", "bias") if module.bias else ("weight",):
            change = scaled(0.5) if half else None
            network.move(f"{module.name}.{leaf}", f"{target}.{leaf}", change, note)
    for place, width in made.filled.items():
        network.fill(f"layers.{place}.weight", torch.ones(width))
        network.fill(f"layers.{place}.bias", torch.zeros(width))
    if made.embedding is not None:
        network.move(f"{made.embedding.name}.weight", "code.embed.weight")
    return Network("sequential", made.settings, network.state)


def _move_norm(network: Moves, module: Found, target: str) -> None:
    filled: Mapping[str, Any] = {"weight": torch.ones, "bias": torch.zeros}
    for leaf in NORM if module.stats else NORM[:2]:
        if f"{module.name}.{leaf}" in network:
            network.move(f"{module.name}.{leaf}", f"{target}.{leaf}")
        else:
            network.fill(f"{target}.{leaf}", filled[leaf](module.weight))
    if not module.stats:
        return
    counter = f"{module.name}.num_batches_tracked"
    if counter in network:
        network.move(counter, f"{target}.num_batches_tracked")
    else:  # PyTorch before 0.4.1
        network.fill(f"{target}.num_batches_tracked", torch.zeros((), dtype=torch.int64))
