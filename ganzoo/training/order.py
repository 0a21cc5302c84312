"""Which images a step sees: a closed form of the number of images seen so far."""

from __future__ import annotations

import functools

import numpy as np

from ganzoo import rng


class DataOrder:
    """Every epoch is a permutation drawn from (seed, epoch); position p is its p-th image.

    There is nothing to save: a resume, or another batch size, goes on from the position. The last
    images of an epoch and the first of the next may share a batch; none is dropped.
    """

    def __init__(self, seed: int, size: int) -> None:
        self._size = size
        self._permutation = functools.lru_cache(maxsize=2)(
            lambda epoch: rng.philox(seed, "order", epoch).permutation(size)
        )

    def indices(self, position: int, count: int) -> np.ndarray:
        """The data-set indices of positions [position, position + count), int64."""
        positions = np.arange(position, position + count)
        epochs, places = np.divmod(positions, self._size)
        out = np.empty(count, dtype=np.int64)
        for epoch in np.unique(epochs):
            mask = epochs == epoch
            out[mask] = self._permutation(int(epoch))[places[mask]]
        return out
