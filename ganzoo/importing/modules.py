"""What importers share: the tensors of a tree by their names, and an account of each of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganzoo.errors import InputError
from ganzoo.importing import tree
from ganzoo.importing.importer import Fate
from ganzoo.importing.tree import Record

MOST_TENSORS = 6000
"""What became of each goes into training.json, which is read as a whole."""
Change = Callable[[Tensor], Tensor]
_LARGEST_NOISE, _MOST_SHOWN = 1024, 12


def check_tensors(root: Any) -> None:
    """Refuse a tree with more tensors, or longer names in it, than any GAN's: reports list them.

    Raises:
        InputError: it has.
    """
    for number, _ in enumerate(tree.tensors(root)):
        if number >= MOST_TENSORS:
            raise InputError(f"the file has more than {MOST_TENSORS:,} tensors", "is it of a GAN?")


class Account:
    """The tensors of a file, and what became of each."""

    def __init__(self, root: Any) -> None:
        self.tensors: dict[str, Tensor] = {}
        for name, tensor in tree.tensors(root):
            self.tensors.setdefault(name, tensor)
        self._fates: dict[str, Fate] = {}

    def network(self, role: str, prefix: str = "", *, without: tuple[str, ...] = ()) -> Moves:
        """The tensors below `prefix` ("g_ema."), to become those of our `role`. Levels of a name
        that are called as in `without` ("module", of a wrapper) are left out of it."""
        names = {
            ".".join(part for part in name.removeprefix(prefix).split(".") if part not in without):
            name
            for name in self.tensors
            if name.startswith(prefix)
        }  # fmt: skip
        return Moves(self, role, prefix, names)

    def note(self, fate: Fate) -> None:
        self._fates[fate.source] = fate

    def drop(self, prefix: str, why: str) -> None:
        """The tensors below `prefix` that nobody has taken become nothing, for a reason."""
        for name in self.tensors:
            if name.startswith(prefix) and name not in self._fates:
                self.note(Fate(name, "", why))

    def drop_outside(self, *prefixes: str) -> list[str]:
        """The tensors that are below none of the `prefixes` become nothing, and a note says so."""
        rest = [n for n in self.tensors if n not in self._fates and not n.startswith(prefixes)]
        for name in rest:
            self.note(Fate(name, "", "of none of its networks"))
        parts = list(dict.fromkeys(name.partition(".")[0] for name in rest))
        more = ", …" if len(parts) > _MOST_SHOWN else ""
        listed = ", ".join(parts[:_MOST_SHOWN])
        return [f"Of none of its networks, and left out: {listed}{more}."] if parts else []

    def fates(self) -> tuple[Fate, ...]:
        """Of every tensor.

        Raises:
            InputError: there are tensors that were neither taken nor dropped.
        """
        unknown = [name for name in self.tensors if name not in self._fates]
        if unknown:
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            raise InputError(
                f"the file has tensors that its family does not have: {', '.join(unknown[:3])}"
                f"{more}",
                "it was written by a changed program; a part of it is not converted silently",
            )
        return tuple(self._fates[name] for name in self.tensors)


class Moves:
    """One network's tensors under their own names, and the state dict that they become.

    Attributes:
        names: of each tensor here, that in the file.
        state: what was moved, by our names.
    """

    def __init__(
        self,
        account: Account,
        role: str,
        prefix: str,
        names: dict[str, str],
        changes: Mapping[str, tuple[Change, str]] | None = None,
    ) -> None:
        """`changes`: of tensors that are looked at and moved changed, and what the change is."""
        self._account, self._role, self._prefix = account, role, prefix
        self._changes = changes or {}
        self.names = names
        self.state: dict[str, Tensor] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Tensor:
        """A tensor to look at.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.names:
            raise InputError(
                f"the {self._role} has no {self._prefix}{name}",
                "it is cut short or of another program",
            )
        tensor, (change, _) = self._account.tensors[self.names[name]], self._change(name)
        return tensor if change is None else change(tensor)

    def _change(self, name: str) -> tuple[Change | None, str]:
        return self._changes.get(name, (None, ""))

    def renamed(self, names: Mapping[str, str], changes: Mapping[str, tuple[Change, str]]) -> Moves:
        """The same tensors under other names: of each of the new `names`, the one here."""
        whole = {name: self.names[here] for name, here in names.items()}
        return Moves(self._account, self._role, self._prefix, whole, changes)

    def tensors(self) -> dict[str, Tensor]:
        """All of them, to look at."""
        return {name: self[name] for name in self.names}

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self[name].shape)

    def move(
        self,
        name: str,
        target: str,
        change: Change | None = None,
        note: str = "",
    ) -> None:
        """The tensor `name` becomes our `target`, in float32, after `change` (what it is, as
        `note`)."""
        tensor = self[name].detach()
        check_real(tensor, self.names[name])
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        self.state[target] = (tensor if change is None else change(tensor)).contiguous()
        self.account(name, target, note)

    def account(self, name: str, target: str, note: str) -> None:
        """The tensor `name` went into our `target`, which something else also did."""
        notes = "; ".join(filter(None, (self._change(name)[1], note)))
        self._account.note(Fate(self.names[name], f"{self._role}: {target}", notes))

    def fill(self, target: str, value: Tensor) -> None:
        """A tensor of ours that the file has none for."""
        self.state[target] = value

    def drop(self, name: str, why: str) -> None:
        """The tensor `name`, if there is one, becomes nothing."""
        if name in self.names:
            self._account.note(Fate(self.names[name], "", why))

    def count(self, pattern: str, *, start: int = 0) -> int:
        """How many there are of "blocks.{}.weight", for `start`, `start` + 1, …"""
        number = start
        while pattern.format(number) in self.names:
            number += 1
        return number - start


def check_real(tensor: Tensor, name: str) -> None:
    """
    Raises:
        InputError: the tensor is of complex numbers, of which the half would be lost.
    """
    if tensor.is_complex():
        raise InputError(f"{name} is of complex numbers", "a changed network cannot be imported")


def scaled(factor: float) -> Change:
    """For `move`: times a number."""
    return lambda tensor: tensor * factor


def is_state(root: Any, *names: str) -> bool:
    """Whether a tree has tensors of all these names (below `module.`, if it was wrapped so)."""
    if not isinstance(root, (Mapping, Record)):
        return False
    found = {name.removeprefix("module.") for name, _ in tree.tensors(root)}
    return all(name in found for name in names)


def number_in(name: str, place: int) -> int | None:
    """The number at a place of a dotted name ("blocks.3.weight": 3 at 1), if there is one."""
    parts = name.split(".")
    return int(parts[place]) if place < len(parts) and parts[place].isdecimal() else None


def fixed_noise(layer: int, *shape: int) -> Tensor:
    """A noise map for a network whose file has none, the same at every import.

    Raises:
        InputError: no network has one so large: a few tensors can say so.
    """
    from ganzoo.rng import philox

    if max(shape) > _LARGEST_NOISE:
        raise InputError(
            f"the generator makes images of {max(shape)} pixels a side, or more",
            f"at most {_LARGEST_NOISE} can be imported",
        )

    numbers = philox(0, f"import/noise/{layer}").standard_normal(math.prod(shape), dtype="float32")
    return torch.from_numpy(numbers).reshape(shape)


def trained_levels(network: Moves, levels: Sequence[Sequence[str]], asked: int | None) -> int:
    """How many of the resolutions 4, 8, … of a growing network were trained, for a program that
    makes all of them at the start. `levels` names tensors of each that start as zeros: those that
    are still zero were never reached. `asked` is a resolution that the user says.

    Raises:
        InputError: `asked` is none of them, or there is nothing to tell by.
    """
    sizes = [4 << level for level in range(len(levels))]
    if asked is not None:
        if asked not in sizes:
            raise InputError(
                f"resolution = {asked} is not in the file", f"use {', '.join(map(str, sizes))}"
            )
        return sizes.index(asked) + 1
    for level in range(len(levels), 0, -1):
        if any(network[name].any() for name in levels[level - 1]):
            return level
    raise InputError(
        "the file does not say up to which resolution it was trained (all its biases are 0)",
        f"give --set resolution={sizes[-1]}, or a lower one",
    )
