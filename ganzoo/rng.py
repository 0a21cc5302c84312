"""Counter-based randomness: every draw is a function of (seed, stream, index), of nothing else.

NumPy's Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") is keyed by the
seed and the stream; the index is its counter. So image k is the same in any batch, step k is the
same after a resume, and no generator state is ever saved. torch's CPU generator is not used for
this: it keeps 32 bits of a seed, and `randn(8)` is no prefix of `randn(20)`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ganzoo.errors import InputError
from ganzoo.numbers import as_int

if TYPE_CHECKING:
    import torch

MAX_SEED = 2**63 - 1


def check_seed(seed: Any) -> int:
    """`seed` as int if it is an integer in [0, 2^63 - 1], else `InputError`."""
    number = as_int(seed)
    if number is None:
        raise InputError(f"seed {seed!r} is no integer", f"use 0 to {MAX_SEED}")
    if not 0 <= number <= MAX_SEED:
        raise InputError(f"seed {number} is out of range", f"use 0 to {MAX_SEED} (2^63 - 1)")
    return number


def stream_key(stream: str) -> int:
    """The 64-bit key of a named stream: the first eight bytes of its SHA-256, little-endian."""
    return int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")


def philox(seed: int, stream: str, *index: int) -> np.random.Generator:
    """The generator of (seed, stream, index), where index is up to three numbers.

    Key = (seed, stream_key(stream)); the index fills the upper words of the 256-bit counter, so
    each has 2^64 blocks of its own.
    """
    # arrays, because NumPy would make a list with a number of 64 bits float64, and round it
    key = np.array([check_seed(seed), stream_key(stream)], dtype=np.uint64)
    counter = np.array([0, *index, *([0] * (3 - len(index)))], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def latents(seeds: Sequence[int], z_dim: int) -> np.ndarray:
    """z of each seed, standard normal float32 (len(seeds), z_dim); each row is its seed's alone."""
    bits = np.random.Philox(key=[0, stream_key("z")])
    start, normal = bits.state, np.random.Generator(bits).standard_normal
    out = np.empty((len(seeds), z_dim), dtype=np.float32)
    for row, seed in zip(out, seeds, strict=True):
        # `philox(seed, "z")`, at a third of the cost: one generator, set back with another key
        start["state"]["key"][0] = check_seed(seed)
        bits.state = start
        normal(dtype=np.float32, out=row)
    return out


class Draws:
    """The draws of one stream at one step, equal for any number of processes.

    Each call draws for the global batch and keeps the rows of this rank, `[rank::world]`, so that
    several processes together draw what one process would.
    """

    def __init__(
        self,
        seed: int,
        stream: str,
        step: int,
        *,
        rank: int = 0,
        world: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        self._seed, self._stream, self._step = seed, stream, step
        self._rank, self._world, self._device = rank, world, device
        self._calls = 0

    @property
    def world(self) -> int:
        """How many processes draw together."""
        return self._world

    def _next(self) -> np.random.Generator:
        generator = philox(self._seed, self._stream, self._step, self._calls)
        self._calls += 1
        return generator

    def _place(self, array: np.ndarray) -> torch.Tensor:
        import torch

        rows = torch.from_numpy(np.ascontiguousarray(array[self._rank :: self._world]))
        return rows.to(self._device, non_blocking=True)

    def normal(self, n: int, *shape: int) -> torch.Tensor:
        """Standard normal float32 (n, *shape); n is this process's share."""
        size = (n * self._world, *shape)
        return self._place(self._next().standard_normal(size, dtype=np.float32))

    def uniform(self, n: int, *shape: int) -> torch.Tensor:
        """Uniform float32 in [0, 1), (n, *shape)."""
        return self._place(self._next().random((n * self._world, *shape), dtype=np.float32))

    def integers(self, n: int, high: int) -> torch.Tensor:
        """Uniform int64 in [0, high), (n,)."""
        return self._place(self._next().integers(0, high, n * self._world, dtype=np.int64))

    def seed(self) -> int:
        """A seed for a generator that is not NumPy's, of 32 bits because torch's keeps no more."""
        return int(self._next().integers(0, 2**32, dtype=np.int64))

    def torch_generator(self) -> torch.Generator:
        """A torch generator on the device for large maps, of this rank alone."""
        import torch

        ranked = philox(self._seed, f"{self._stream}/{self._rank}", self._step, self._calls)
        self._calls += 1
        return torch.Generator(self._device).manual_seed(int(ranked.integers(0, 2**32)))

    def noise(self, n: int) -> StepNoise:
        """Random noise maps for n images of this step."""
        return StepNoise(self.torch_generator(), n)


class Noise(Protocol):
    """Where layers get random noise maps: `rng` of a generator with "layer-noise"."""

    def normal(self, layer: int, *shape: int) -> torch.Tensor:
        """Standard normal float32 (N, *shape) for noise layer `layer`."""


class StepNoise:
    """Random noise maps of a training step: drawn on the device, layer after layer."""

    def __init__(self, generator: torch.Generator, n: int) -> None:
        self._generator, self._n = generator, n

    def normal(self, layer: int, *shape: int) -> torch.Tensor:
        """Standard normal float32 (n, *shape) for the next noise layer."""
        import torch

        device = self._generator.device
        return torch.randn(self._n, *shape, generator=self._generator, device=device)


class SeedNoise:
    """Random noise maps of a sample: the map of (seed, layer) is the same in any batch."""

    def __init__(self, seeds: Sequence[int], device: str | torch.device = "cpu") -> None:
        self._seeds, self._device = list(seeds), device

    def normal(self, layer: int, *shape: int) -> torch.Tensor:
        """Standard normal float32 (len(seeds), *shape) for noise layer `layer`."""
        import torch

        maps = [
            philox(s, "noise", layer).standard_normal(shape, dtype=np.float32) for s in self._seeds
        ]
        return torch.from_numpy(np.stack(maps)).to(self._device)
