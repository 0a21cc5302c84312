"""Counter-based randomness: pinned values, prefixes, strides, and independence of global state."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganzoo import rng
from ganzoo.errors import InputError

GOLDEN = [
    [0.3945695161819458, 0.6820668578147888, -0.8411138653755188],
    [1.6938830614089966, -0.648298442363739, 0.13738998770713806],
    [0.05625860393047333, 0.09910746663808823, -1.7590651512145996],
]


def test_latents_are_pinned() -> None:
    """A change of these values would change every image that anyone made from a seed."""
    z = rng.latents([0, 1, 2**63 - 1], 3)
    np.testing.assert_array_equal(z, np.array(GOLDEN, dtype=np.float32))


def test_latents_are_the_draws_of_the_stream_z() -> None:
    seeds = [3, 0, 2**63 - 1, 3]
    for z, seed in zip(rng.latents(seeds, 101), seeds, strict=True):
        np.testing.assert_array_equal(z, rng.philox(seed, "z").standard_normal(101, np.float32))


def test_a_latent_is_of_its_seed_alone() -> None:
    many = rng.latents(range(20), 64)
    np.testing.assert_array_equal(rng.latents([7], 64)[0], many[7])
    np.testing.assert_array_equal(rng.latents([7], 16)[0], many[7][:16])


def test_latents_are_standard_normal() -> None:
    z = rng.latents(range(4000), 50)
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.std() - 1) < 4 / np.sqrt(2 * z.size)
    # neighbouring seeds are unrelated: correlation of N pairs has deviation 1 / sqrt(N)
    assert abs(np.corrcoef(z[:-1].ravel(), z[1:].ravel())[0, 1]) < 4 / np.sqrt(z.size)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True, "0"])
def test_seeds_out_of_range_are_refused(seed: object) -> None:
    with pytest.raises(InputError, match="seed"):
        rng.check_seed(seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", ["z", "noise", "init/generator", "torch/0", "order"])
def test_large_seeds_and_keys_are_not_rounded(stream: str) -> None:
    """A list with a 64-bit number becomes float64 in NumPy, which would make neighbours equal."""
    expected = np.random.Generator(
        np.random.Philox(key=np.array([2**62 + 1, rng.stream_key(stream)], dtype=np.uint64))
    ).random(4)
    np.testing.assert_array_equal(rng.philox(2**62 + 1, stream).random(4), expected)
    assert not np.array_equal(rng.philox(2**62, stream).random(4), expected)
    assert any(rng.stream_key(s) >= 2**63 for s in ("noise", "init/generator"))


def test_streams_and_steps_differ() -> None:
    first = rng.philox(3, "z", 5).random(4)
    for other in (rng.philox(4, "z", 5), rng.philox(3, "y", 5), rng.philox(3, "z", 6)):
        assert not np.array_equal(first, other.random(4))
    np.testing.assert_array_equal(first, rng.philox(3, "z", 5).random(4))


@pytest.mark.parametrize("kind", ["normal", "uniform", "integers"])
def test_ranks_together_draw_what_one_process_draws(kind: str) -> None:
    def draw(n: int, rank: int, world: int) -> torch.Tensor:
        draws = rng.Draws(1, "z", 7, rank=rank, world=world)
        draws.uniform(n)  # the second call of a stream is another draw
        return draws.integers(n, 10) if kind == "integers" else getattr(draws, kind)(n, 3)

    whole = draw(8, 0, 1)
    for rank in range(2):
        assert torch.equal(draw(4, rank, 2), whole[rank::2])


def test_calls_of_a_stream_differ() -> None:
    draws = rng.Draws(1, "z", 7)
    assert not torch.equal(draws.normal(4, 2), draws.normal(4, 2))


def test_ranks_have_their_own_torch_generators() -> None:
    a, b = (rng.Draws(1, "noise", 7, rank=r, world=2).torch_generator() for r in range(2))
    assert a.initial_seed() != b.initial_seed()


def test_noise_of_a_step_is_drawn_layer_after_layer_and_repeats_with_its_draws() -> None:
    first, again, other = (rng.Draws(1, "G", step).noise(3) for step in (7, 7, 8))
    a, b = first.normal(0, 1, 4, 4), first.normal(1, 1, 4, 4)
    assert a.shape == (3, 1, 4, 4) and a.dtype == torch.float32
    assert not torch.equal(a, b) and not torch.equal(a[0], a[1])
    assert torch.equal(again.normal(0, 1, 4, 4), a) and torch.equal(again.normal(1, 1, 4, 4), b)
    assert not torch.equal(other.normal(0, 1, 4, 4), a)
