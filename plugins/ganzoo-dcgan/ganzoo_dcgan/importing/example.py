"""The DCGAN of PyTorch's examples (and of its tutorial, which many programs are copies of).

A file is a bare state dict of one network, `main.0.weight` and so on, sometimes below `module.`
(DataParallel); copies put generator and discriminator in one file. Batch norms are PyTorch's
default, ReLU in G, LeakyReLU 0.2 in D, tanh and sigmoid at the ends: none of it is in the file, all
of it in the program. Its images have 64 pixels. Copies with one layer less make 32, or 28 for MNIST
by a larger padding: which of them is asked.
"""

from __future__ import annotations

from ganzoo.errors import InputError
from ganzoo.importing.importer import Converted, Importer
from ganzoo.importing.layers import (
    LEVELS,
    Found,
    is_as_in_the_example,
    is_plain_dcgan,
    modules_of,
    prefixes,
)
from ganzoo.importing.modules import Account
from ganzoo.importing.tree import Checkpoint
from ganzoo.importing.whole import said
from ganzoo_dcgan.importing import stack
from ganzoo_dcgan.importing.config import ExampleConfig

PROGRAM = "pytorch/examples (dcgan)"
NOTE = (
    "Of the layers without weights the file says nothing: they are those of PyTorch's DCGAN"
    " example (ReLU and tanh in the generator; LeakyReLU 0.2 in the discriminator, whose sigmoid"
    " is left out, so that scores are raw), and so are strides, paddings and the norms' eps. A copy"
    " that differs there is to be imported --as plain."
)
STATISTICS = (
    "The program's own sample images have the statistics of each batch, since it never leaves"
    " training mode: here the batch norms use the stored statistics, as in evaluation mode."
)
WHOLE_NOTE = (
    "The file has its modules whole, and they are as in PyTorch's DCGAN example; a sigmoid behind"
    " the discriminator is left out, so that scores are raw."
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
        G = account.network("generator", where["generator"], without=LEVELS)
        found = _modules(checkpoint, "generator") or []
        if not found or found[-1].kind != "conv":
            raise InputError("the generator is none of PyTorch's DCGAN", "try --as plain")
        self._check_size(found)
        generator = stack.generator(G, *stack.split(found), num_classes=classes, output="tanh")
        discriminator, notes = None, [NOTE if found[-1].said is None else WHOLE_NOTE]
        notes.append(STATISTICS)
        critic = _modules(checkpoint, "discriminator")
        if critic and stack.is_critic(critic) and is_as_in_the_example(critic, critic=True):
            D = account.network("discriminator", where["discriminator"], without=LEVELS)
            discriminator = stack.discriminator(D, *stack.split(critic), num_classes=classes)
        elif "discriminator" in where:
            account.drop(where["discriminator"], "the discriminator is not a DCGAN's")
            notes.append("The file's discriminator is not a DCGAN's, and was left out.")
        # optimisers, counters, the noise of sample images
        notes += account.drop_outside(*where.values())
        return Converted(
            "pytorch/examples (dcgan)",
            generator,
            discriminator,
            account.fates(),
            notes=tuple(notes),
        )

    def _check_size(self, found: list[Found]) -> None:
        convolutions, _ = stack.split(found)
        channels, size = found[-1].weight[1], 4 << (len(convolutions) - 1)
        shape, given = (channels, size, size), self.config.image_shape
        if given is None and size == 32 and found[-1].said is None:
            raise InputError(
                "the file does not say whether its images have 32 pixels, or 28",
                f"give --set 'image_shape=[{channels},32,32]', or for 28 {_AS_PLAIN}",
            )
        if given not in (None, shape):
            raise InputError(
                f"the layers of PyTorch's DCGAN make images of {list(shape)}, not {list(given)}",
                f"give {_AS_PLAIN}, or what its paddings are",
            )


_AS_PLAIN = "--as plain --set 'paddings=[0,1,1,3]'"


def _modules(checkpoint: Checkpoint, role: str) -> list[Found] | None:
    root = checkpoint.root
    prefix = prefixes(root).get(role)
    if prefix is None:
        return None
    tensors = Account(root).network(role, prefix, without=LEVELS).tensors()
    return modules_of(tensors, said(root, prefix, without=LEVELS))
