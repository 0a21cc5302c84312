"""Similarities of images beside torchmetrics' and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from ganzoo.evaluation.similarity import Perception, on_white, psnr, pyramid, ssim

RANDOM = torch.Generator().manual_seed(0)


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=RANDOM)


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 40, 32)])
def test_ssim_and_psnr_are_those_of_torchmetrics(shape: tuple[int, ...]) -> None:
    a = images(*shape)
    b = (a + 0.2 * images(*shape)).clamp(0, 1)
    found = ssim(a, b)
    for k in range(len(a)):
        pair = a[k : k + 1], b[k : k + 1]
        whole = structural_similarity_index_measure(*pair, data_range=1.0, return_full_image=True)
        within = whole[1][:, :, 5:-5, 5:-5].mean()  # elsewhere it sees mirrored pixels
        assert float(found[k]) == pytest.approx(float(within), abs=1e-5)
        mse = float((pair[0] - pair[1]).square().mean())
        wanted = peak_signal_noise_ratio(*pair, data_range=1.0)
        assert psnr(mse) == pytest.approx(float(wanted), abs=1e-3)


def test_equal_images() -> None:
    target = images(1, 1, 28, 28) * 2 - 1
    perception = Perception(target, source="mnist", crop=None)
    assert perception.name.startswith("digits-v")
    (same,) = perception.compare(target)
    assert (same.psnr, same.mse, same.perceptual) == (math.inf, 0, 0)
    assert same.ssim == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "source, shape, crop, extractor",
    [
        ("mnist", (1, 32, 32), (2, 2, 28, 28), "digits"),
        ("fashion-mnist", (1, 28, 28), None, "clothes"),
        ("nouns", (3, 32, 32), None, "random"),
        ("", (4, 64, 64), None, "random"),
    ],
)
def test_what_lies_nearer_is_more_alike(
    source: str, shape: tuple[int, int, int], crop: tuple[int, ...] | None, extractor: str
) -> None:
    target = images(1, *shape) * 2 - 1
    perception = Perception(target, source=source, crop=crop)
    assert perception.name.startswith(f"{extractor}-v")
    noise = images(1, *shape) - 0.5
    near = torch.cat([target + 0.05 * noise, target + 0.5 * noise]).requires_grad_(True)
    losses = perception.loss(near)
    assert losses.shape == (2,)
    assert losses[0] < losses[1]
    (gradient,) = torch.autograd.grad(losses.sum(), near)
    assert bool(gradient[0].ne(0).any())
    first, second = perception.compare(near.detach())
    assert first.perceptual < second.perceptual
    assert first.psnr > second.psnr
    assert first.ssim > second.ssim


def test_a_pyramid_halves_down_to_four_pixels() -> None:
    x = images(1, 1, 32, 20)
    assert [tuple(level.shape[2:]) for level in pyramid(x)] == [(32, 20), (16, 10), (8, 5)]
    assert torch.allclose(pyramid(x)[1][0, 0, 0, 0], x[0, 0, :2, :2].mean())


def test_what_is_transparent_lies_on_white() -> None:
    black, half = torch.full((1, 1, 1, 1), -1.0), torch.zeros(1, 1, 1, 1)
    assert float(on_white(torch.cat([black, black], 1))) == 1  # nothing of it is seen
    assert float(on_white(torch.cat([black, half], 1))) == 0
    assert float(on_white(torch.cat([black, -black], 1))) == -1
