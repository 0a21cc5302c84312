"""Conditional networks with two first layers, one for z or the image and one for the one-hot label,
whose outputs stand side by side: together they are one layer with a block-diagonal weight."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ganzoo.errors import InputError
from ganzoo.importing.layers import Found
from ganzoo.importing.modules import Moves
from ganzoo_gan.importing import saved_whole
from ganzoo_gan.importing.chain import body_of, is_chain

_MOST_ZEROS = 4  # times the two weights: with as many outputs each, it is 2
_JOINED = "beside that of the other input"


@dataclass(frozen=True)
class Fork:
    """The modules of the one branch and of the other, in the file's order, and what follows."""

    first: list[Found]
    second: list[Found]
    rest: list[Found]

    def joined(self) -> list[Found]:
        """As one chain; its first modules have the names of the first branch."""
        pairs = zip(self.first, self.second, strict=True)
        return [*(_joined(one, other) for one, other in pairs), *self.rest]


def fork(found: list[Found]) -> Fork | None:
    """The fork that modules start with, where they are no chain as they stand."""
    body = body_of(found)
    if is_chain(found) or len(body) != len(found):
        return None
    size = 2 if len(body) > 1 and body[1].kind == "batch-norm" else 1
    made = Fork(body[:size], body[size : 2 * size], body[2 * size :])
    alike = len(made.rest) > 0 and all(map(_are_alike, made.first, made.second))
    return made if alike and is_chain(made.joined()) else None


def _are_alike(one: Found, other: Found) -> bool:
    weights = math.prod(one.weight) + math.prod(other.weight)
    return (
        (one.kind, one.weight[2:], one.bias, one.affine)
        == (other.kind, other.weight[2:], other.bias, other.affine)
        and one.stats
        and other.stats  # a layer norm of both would be another
        and math.prod(_joined(one, other).weight) <= _MOST_ZEROS * weights
        and saved_whole.are_alike(one, other)
    )


def _joined(one: Found, other: Found) -> Found:
    sides = tuple(a + b for a, b in zip(one.weight[:2], other.weight[:2], strict=True))
    return replace(one, weight=(*sides, *one.weight[2:]))


def join(
    network: Moves, fork: Fork, role: str, inputs: int, classes: int, *, label_first: bool
) -> tuple[Moves, dict[str, str]]:
    """The tensors with those of the two branches joined under the first one's names, and by these
    the names of the other module.

    Args:
        inputs: which dimension of the first layers' weights counts what they take.
        classes: as many numbers as the label's branch takes.
        label_first: whether its outputs stand before the others.

    Raises:
        InputError: which branch is the label's is not clear.
    """
    takes = [branch[0].weight[inputs] for branch in (fork.first, fork.second)]
    if takes.count(classes) != 1:
        raise InputError(
            f"the {role} has two first layers, for {takes[0]} and {takes[1]} numbers, and the file"
            " does not say which is for the label",
            f"give --set classes={min(takes)}, or as many as there are",
        )
    swapped = (takes[0] == classes) != label_first
    changes: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {}
    for one, other in zip(fork.first, fork.second, strict=True):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            if f"{one.name}.{leaf}" in network:
                change = _beside(network[f"{other.name}.{leaf}"], swapped)
                changes[f"{one.name}.{leaf}"] = (change, _JOINED)
    names = {one.name: other.name for one, other in zip(fork.first, fork.second, strict=True)}
    return network.renamed({name: name for name in network.names}, changes), names


def _beside(other: Tensor, swapped: bool) -> Callable[[Tensor], Tensor]:
    def change(one: Tensor) -> Tensor:
        a, b = (other, one) if swapped else (one, other)
        if a.ndim == 1:
            return torch.cat([a, b])
        both = a.new_zeros(a.shape[0] + b.shape[0], a.shape[1] + b.shape[1], *a.shape[2:])
        both[: a.shape[0], : a.shape[1]] = a
        both[a.shape[0] :, a.shape[1] :] = b
        return both

    return change


def account(network: Moves, joined: dict[str, str], name: str, target: str) -> None:
    """Say of the other branch's tensors that they went into the same of ours."""
    other = joined.get(name)
    for source in network.names:
        module, _, leaf = source.rpartition(".")
        if module == other:
            network.account(source, f"{target}.{leaf}", _JOINED)
