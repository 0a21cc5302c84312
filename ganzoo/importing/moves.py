"""From the tensors of another program's network to the state dict of ours, each accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganzoo.errors import InputError
from ganzoo.importing.importer import Fate, Network
from ganzoo.importing.modules import check_real


class Source(NamedTuple):
    """A tensor, its name in the file, and how it was changed so far."""

    tensor: Tensor
    name: str
    note: str = ""


class Moves:
    """Moves the tensors of one network; `network` refuses what is left over.

    Attributes:
        where: the network in the file ("G_ema"), for messages and fates.
        role: ours, "generator" or "discriminator".
        state: what was moved, by our names.
        fates: of each tensor that was moved or dropped.
    """

    def __init__(self, where: str, role: str, sources: Mapping[str, Source]) -> None:
        self.where, self.role = where, role
        self.state: dict[str, Tensor] = {}
        self.fates: list[Fate] = []
        self._left = dict(sources)

    def __contains__(self, name: str) -> bool:
        """Whether a tensor of this name has not been moved or dropped yet."""
        return name in self._left

    def tensors(self) -> dict[str, Tensor]:
        """Those that have not been moved or dropped yet."""
        return {name: source.tensor for name, source in self._left.items()}

    def look(self, name: str) -> Tensor:
        """A tensor, which is moved or dropped later."""
        return self._source(name).tensor

    def _source(self, name: str) -> Source:
        if name not in self._left:
            raise InputError(
                f"{self.where} lacks the tensor {name!r}", "it is cut short or of another program"
            )
        return self._left[name]

    def _take(self, name: str) -> Source:
        source = self._source(name)
        del self._left[name]
        return source

    def move(
        self,
        name: str,
        target: str,
        change: Callable[[Tensor], Tensor] | None = None,
        note: str = "",
    ) -> None:
        """Make `change` of the tensor `name` our `target`, in float32; `note` says what it does."""
        source = self._take(name)
        check_real(source.tensor, f"{self.where}.{source.name}")
        tensor = source.tensor if change is None else change(source.tensor)
        self.state[target] = tensor.to(torch.float32).contiguous()
        notes = "; ".join(filter(None, (source.note, note)))
        self.fates.append(Fate(f"{self.where}.{source.name}", f"{self.role}: {target}", notes))

    def drop(self, names: Iterable[str], note: str) -> None:
        for name in names:
            self.fates.append(Fate(f"{self.where}.{self._take(name).name}", "", note))

    def network(self, part: str, settings: Mapping[str, Any]) -> Network:
        """The network of what was moved.

        Raises:
            InputError: a tensor of theirs was neither moved nor dropped.
        """
        if self._left:
            more = f" and {len(self._left) - 1} more" if len(self._left) > 1 else ""
            raise InputError(
                f"{self.where} has a tensor {next(iter(self._left.values())).name!r}{more} that"
                " the original network does not have",
                "a changed network cannot be imported",
            )
        return Network(part, settings, self.state)
