"""The DCGAN of PyTorch's examples (and of its tutorial, which many programs are copies of).

A file is a bare state dict of one network, `main.0.weight` and so on, sometimes below `module.`
(DataParallel); copies put generator and discriminator in one file. Batch norms are PyTorch's
default, ReLU in G, LeakyReLU 0.2 in D, tanh and sigmoid at the ends: none of it is in the file, all
of it in the program.
"""

from __future__ import annotations

from ganzoo.errors import InputError
from ganzoo.importing.importer import Converted, Importer
from ganzoo.importing.layers import Found, is_plain_dcgan, modules_of, prefixes
from ganzoo.importing.modules import Account
from ganzoo.importing.tree import Checkpoint
from ganzoo_dcgan.importing import stack
from ganzoo_dcgan.importing.config import ExampleConfig

PROGRAM = "pytorch/examples (dcgan)"
NOTE = (
    "Of the layers without weights the file says nothing: they are those of PyTorch's DCGAN"
    " example (ReLU and tanh in the generator; LeakyReLU 0.2 in the discriminator, whose sigmoid"
    " is left out, so that scores are raw)."
)


class Example(Importer):
    def __init__(self, config: ExampleConfig | None = None) -> None:
        super().__init__(config or ExampleConfig())

    def recognises(self, checkpoint: Checkpoint) -> bool:
        return is_plain_dcgan(_modules(checkpoint, "generator"))

    def convert(self, checkpoint: Checkpoint) -> Converted:
        account = Account(checkpoint.root)
        where, classes = prefixes(checkpoint.root), self.config.classes
        if "generator" not in where:
            raise InputError("the file has no generator", "import the generator's file")
        G = account.network("generator", where["generator"], without=("module",))
        found = _modules(checkpoint, "generator") or []
        generator = stack.generator(G, *stack.split(found), num_classes=classes, output="tanh")
        discriminator, notes = None, [NOTE]
        critic = _modules(checkpoint, "discriminator")
        if critic and stack.is_critic(critic):
            D = account.network("discriminator", where["discriminator"], without=("module",))
            discriminator = stack.discriminator(D, *stack.split(critic), num_classes=classes)
        elif "discriminator" in where:
            account.drop(where["discriminator"], "the discriminator is not a DCGAN's")
            notes.append("The file's discriminator is not a DCGAN's, and was left out.")
        # what is outside of the networks: optimisers, counters, the noise of sample images
        for name in account.tensors:
            if not name.startswith(tuple(where.values())):
                account.drop(name, "not of a network, but of the training")
        return Converted(
            "pytorch/examples (dcgan)",
            generator,
            discriminator,
            account.fates(),
            notes=tuple(notes),
        )


def _modules(checkpoint: Checkpoint, role: str) -> list[Found] | None:
    root = checkpoint.root
    prefix = prefixes(root).get(role)
    if prefix is None:
        return None
    return modules_of(Account(root).network(role, prefix, without=("module",)).tensors())
