"""A stack of 4x4 convolutions and batch norms, layer by layer, into ours."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.errors import InputError
from ganzoo.importing.gan_zoo import Label, without_label
from ganzoo.importing.importer import Network
from ganzoo.importing.layers import Found
from ganzoo.importing.modules import Moves
from ganzoo_dcgan.config import SIZES

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
UNCOUNTED = "num_batches_tracked"
NO_LABEL = Label()


def generator(
    G: Moves,
    convolutions: list[str],
    norms: list[str],
    *,
    num_classes: int = 0,
    label: Label | None = None,
    output: str,
) -> Network:
    """Of `convolutions` (transposed), the names in order, and of the norms behind all but the last.
    One of `num_classes` joins z, one-hot, or another `label`.

    Raises:
        InputError: ours has no such sizes or widths.
    """
    size = 4 * 2 ** (len(convolutions) - 1)
    shapes = [G.shape(f"{name}.weight") for name in convolutions]
    label = label or Label(num_classes, num_classes)
    z_dim = without_label(shapes[0][0], label.numbers)
    width = shapes[-1][0]
    _check(size, [shape[1] for shape in shapes[:-1]], width)
    config = {
        "image_shape": [shapes[-1][1], size, size],
        "num_classes": label.classes,
        "z_dim": z_dim,
        "width": width,
        "max_width": shapes[0][1],
        "output": output,
    }

    def of_classes(weight: Tensor) -> Tensor:
        return torch.cat([weight[:z_dim], label.of_classes(weight[z_dim:])])

    G.move(f"{convolutions[0]}.weight", "layers.0.weight", of_classes, label.change)
    for k, name in enumerate(convolutions[1:], start=1):
        G.move(f"{name}.weight", f"layers.{3 * k}.weight")
    _bias(G, convolutions[-1], f"layers.{3 * len(convolutions) - 3}.bias", shapes[-1][1])
    for k, name in enumerate(norms):
        _norm(G, name, f"layers.{3 * k + 1}")
    return Network("dcgan", config, G.state)


def discriminator(
    D: Moves,
    convolutions: list[str],
    norms: list[str],
    *,
    num_classes: int = 0,
    named: Label = NO_LABEL,
) -> Network:
    """Of `convolutions`, and of the norms behind all but the first and last of them. It sees one of
    `num_classes` beside the image, or `named` is what it names behind the score."""
    size = 4 * 2 ** (len(convolutions) - 1)
    shapes = [D.shape(f"{name}.weight") for name in convolutions]
    _check(size, [shape[0] for shape in shapes[-2::-1]], shapes[0][0])
    config = {
        "image_shape": [shapes[0][1] - num_classes, size, size],
        "num_classes": named.classes or num_classes,
        "width": shapes[0][0],
        "max_width": shapes[-2][0],
    }
    if named.classes:
        config["conditioning"] = "auxiliary"
    for k, name in enumerate(convolutions):
        target = f"layers.{3 * k - 1 if k else 0}"
        D.move(f"{name}.weight", f"{target}.weight")
        if k in (0, len(convolutions) - 1):
            _bias(D, name, f"{target}.bias", shapes[k][0])
    for leaf in ("weight", "bias"):
        D.state[f"{target}.{leaf}"] = named.scores(D.state[f"{target}.{leaf}"])
    if named.change:
        D.account(f"{name}.weight", f"{target}.weight", named.change)
    for k, name in enumerate(norms, start=1):
        _norm(D, name, f"layers.{3 * k}")
    return Network("dcgan", config, D.state)


def split(found: list[Found]) -> tuple[list[str], list[str]]:
    """The names of the convolutions, and of the norms."""
    convolutions = [module.name for module in found if module.kind == "conv"]
    return convolutions, [module.name for module in found if module.kind == "batch-norm"]


def is_critic(found: list[Found], *, numbers: int = 1) -> bool:
    """Whether they are a DCGAN's critic, which gives so many numbers."""
    convolutions = [module for module in found if module.kind == "conv"]
    norms = [module for module in found if module.kind == "batch-norm"]
    return (
        len(convolutions) == len(norms) + 2 >= 3
        and len(found) == len(convolutions) + len(norms)
        and all(module.weight[2] == 4 for module in convolutions)
        and all(module.stats for module in norms)
        and convolutions[-1].weight[0] == numbers
    )


def _bias(network: Moves, name: str, target: str, width: int) -> None:
    if f"{name}.bias" in network:
        network.move(f"{name}.bias", target)
    else:
        network.fill(target, torch.zeros(width))


def _norm(network: Moves, name: str, target: str) -> None:
    for leaf in NORM:
        if leaf != UNCOUNTED or f"{name}.{leaf}" in network:
            network.move(f"{name}.{leaf}", f"{target}.{leaf}")
        else:  # PyTorch before 0.4.1
            network.fill(f"{target}.{leaf}", torch.zeros((), dtype=torch.int64))


def _check(size: int, widths: list[int], width: int) -> None:
    """`widths` from 4x4 on; they halve, from a power of two times `width`, up to half the size."""
    if size not in SIZES or widths != [width << k for k in range(len(widths))][::-1]:
        raise InputError(
            f"a DCGAN of {size} pixels and channels {', '.join(map(str, widths))} is not ours",
            f"ours has {', '.join(map(str, SIZES))} pixels, and half the channels each level up",
        )
