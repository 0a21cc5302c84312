"""Means of scalars over a logging interval, kept on the device."""

from __future__ import annotations

import torch
from torch import Tensor


class Means:
    """`add` never reads a value: that would make the processor wait for the device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, name: str, value: Tensor) -> None:
        """Count a scalar towards the mean of `name`."""
        total, count = self._sums.get(name, (torch.zeros((), device=self._device), 0))
        self._sums[name] = (total + value.detach().float(), count + 1)

    def take(self) -> tuple[list[str], Tensor]:
        """The names, sorted, and their means since the last call (len(names),)."""
        names = sorted(self._sums)
        means = [self._sums[name][0] / self._sums[name][1] for name in names]
        self._sums = {}
        return names, torch.stack(means) if means else torch.zeros(0)
