"""DiffAugment against loops over pixels, and how often and from which draws it acts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ganzoo_stylegan.augmentations.config import DiffAugmentConfig
from ganzoo_stylegan.augmentations.diffaugment import DiffAugment
from torch import Tensor

from ganzoo.errors import ConfigError
from ganzoo.rng import Draws

OFF: dict[str, Any] = {"color": False, "translation": 0.0, "cutout": 0.0}


def images(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def augment(x: Tensor, seed: int = 0, **config: Any) -> Tensor:
    return DiffAugment(DiffAugmentConfig(**config))(x, Draws(seed, "test", 0))


def by_loops(x: np.ndarray, rng: Draws, config: DiffAugmentConfig) -> np.ndarray:
    """The three policies of one batch, image by image and pixel by pixel."""
    n, channels, height, width = x.shape
    where = rng.uniform(n, 3).numpy() < config.p
    colors = rng.uniform(n, 3).numpy()
    largest = [int(np.floor(side * config.translation + 0.5)) for side in (height, width)]
    shifts = [rng.integers(n, 2 * most + 1).numpy() - most for most in largest]
    sides = [int(np.floor(side * config.cutout + 0.5)) for side in (height, width)]
    middles = [
        rng.integers(n, full + (1 if side % 2 == 0 else 0)).numpy()
        for full, side in zip((height, width), sides, strict=True)
    ]
    out = np.zeros_like(x)
    colored = {1: 1, 2: 1, 3: 3, 4: 3}[channels]
    for i in range(n):
        image = x[i].astype(np.float64)
        if where[i, 0]:
            brightness, saturation, contrast = colors[i] + np.array([-0.5, 0, 0.5])
            c = image[:colored] + brightness
            c = c.mean(0) + (c - c.mean(0)) * saturation * 2
            image[:colored] = c.mean() + (c - c.mean()) * contrast
        down, right = (int(s[i]) * int(where[i, 1]) for s in shifts)
        for row in range(height):
            for column in range(width):
                if 0 <= row - down < height and 0 <= column - right < width:
                    out[i, :, row, column] = image[:, row - down, column - right]
        if where[i, 2]:
            tops = [int(m[i]) - side // 2 for m, side in zip(middles, sides, strict=True)]
            rows, columns = (
                range(max(0, top), min(full, top + side))
                for top, side, full in zip(tops, sides, (height, width), strict=True)
            )
            for row in rows:
                for column in columns:
                    out[i, :, row, column] = 0
    return out


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 16, 16), (3, 17, 24), (4, 19, 16)])
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_it_is_what_loops_over_pixels_make(shape: tuple[int, ...], p: float) -> None:
    config = DiffAugmentConfig(p=p, cutout=0.45)
    x = images(16, *shape)
    expected = by_loops(x.numpy(), Draws(5, "test", 0), config)
    made = DiffAugment(config)(x, Draws(5, "test", 0))
    np.testing.assert_allclose(made.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("changes", [{"p": 0.0}, OFF])
def test_off_it_leaves_images_as_they_are(changes: dict[str, Any]) -> None:
    x = images(8, 3, 16, 16)
    assert torch.equal(augment(x, **changes), x)


def test_alpha_keeps_its_values_under_colour() -> None:
    for channels in (2, 4):
        x = images(8, channels, 16, 16)
        made = augment(x, **{**OFF, "color": True})
        assert torch.equal(made[:, -1], x[:, -1])
        assert not torch.isclose(made[:, :-1], x[:, :-1]).all((1, 2, 3)).any()


def test_a_gray_image_has_no_saturation() -> None:
    """Brightness and contrast alone: an affine map of each image."""
    x = images(4, 1, 16, 16)
    gray, colour = (augment(y, **{**OFF, "color": True}) for y in (x, x.expand(-1, 3, -1, -1)))
    torch.testing.assert_close(gray.expand(-1, 3, -1, -1), colour, rtol=0, atol=1e-6)


def test_the_hole_is_half_the_side_and_the_shift_an_eighth() -> None:
    """Of 512 images some show the extremes, and none goes further."""
    ones = torch.ones(512, 1, 32, 48)
    zeros = (augment(ones, **{**OFF, "cutout": 0.5}) == 0).flatten(1).sum(1)
    assert zeros.max() == 16 * 24 and zeros.min() >= 8 * 12
    shown = augment(ones, **{**OFF, "translation": 0.125})[:, 0] == 1
    assert shown.any(2).sum(1).min() == 32 - 4 and shown.any(1).sum(1).min() == 48 - 6
    # both ways, as often: 8 shifts of 9 lose something, half of them at the top
    assert 512 * 3 / 9 < (~shown[:, 0].any(1)).sum() < 512 * 5 / 9


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_each_policy_acts_on_a_fraction_p_of_the_images(p: float) -> None:
    n = 4000
    x = images(n, 1, 16, 16)
    slack = 4 * (p * (1 - p) / n) ** 0.5
    changed = (augment(x, p=p, **{**OFF, "color": True}) != x).flatten(1).any(1)
    assert changed.float().mean() == pytest.approx(p, abs=slack)
    changed = (augment(x, p=p, **{**OFF, "cutout": 0.5}) != x).flatten(1).any(1)
    assert changed.float().mean() == pytest.approx(p, abs=slack)
    changed = (augment(x, p=p, **{**OFF, "translation": 0.125}) != x).flatten(1).any(1)
    # a shift of (0, 0) is one of 25
    assert changed.float().mean() == pytest.approx(p * 24 / 25, abs=slack)


def test_gradients_are_those_of_finite_differences() -> None:
    x = images(2, 3, 6, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: augment(y, p=0.9), x)


def test_two_processes_together_draw_what_one_does() -> None:
    x = images(8, 3, 16, 16)
    module = DiffAugment()
    together = module(x, Draws(0, "test", 3))
    for rank in range(2):
        alone = module(x[rank::2], Draws(0, "test", 3, rank=rank, world=2))
        torch.testing.assert_close(alone, together[rank::2])


def test_each_image_has_its_own_draws() -> None:
    made = augment(images(1, 3, 16, 16).expand(8, -1, -1, -1))
    assert len({image.numpy().tobytes() for image in made}) == 8


def test_it_is_float32_in_a_bf16_run() -> None:
    x = images(4, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        made = augment(x)
    assert torch.equal(made, augment(x))


@pytest.mark.parametrize("changes", [{"p": 1.5}, {"translation": -0.1}, {"cutout": float("nan")}])
def test_settings_out_of_range_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(changes))} = .* is out of range"):
        DiffAugmentConfig(**changes)
