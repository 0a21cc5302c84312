"""The shared layers, against their definitions computed by hand in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ganzoo.nn import (
    EqualizedConv2d,
    EqualizedLinear,
    downsample_box,
    minibatch_stddev,
    pixel_norm,
    upsample_nearest,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_equalised_weights_have_unit_deviation_and_are_scaled_at_run_time() -> None:
    layer = EqualizedLinear(400, 300, gain=math.sqrt(2), lr_multiplier=0.01, bias_init=1.0)
    assert layer.weight.std().item() == pytest.approx(100, rel=0.02)
    x = torch.randn(5, 400)
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    expected = x.double().numpy() @ weight.T * (math.sqrt(2) / 20 * 0.01) + bias * 0.01
    np.testing.assert_allclose(layer(x).detach(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bias * 0.01, 1.0, rtol=1e-6)


def test_equalised_convolution_keeps_the_variance_with_he_gain() -> None:
    layer = EqualizedConv2d(64, 64, 3, gain=math.sqrt(2))
    x = torch.randn(8, 64, 16, 16)
    inside = layer(x)[:, :, 1:-1, 1:-1]
    assert inside.std().item() == pytest.approx(math.sqrt(2), rel=0.05)
    assert layer(x).shape == x.shape and layer.scale == pytest.approx(math.sqrt(2 / (64 * 9)))


def test_pixel_norm_gives_unit_length_per_pixel() -> None:
    x = torch.randn(3, 7, 4, 4) * 5
    found = pixel_norm(x)
    np.testing.assert_allclose(found.square().mean(1), np.ones((3, 4, 4)), rtol=1e-5)
    assert torch.allclose(found / found[:, :1], x / x[:, :1], rtol=1e-4)


@pytest.mark.parametrize(("n", "size"), [(8, 4), (4, 4), (3, 3), (6, 3), (5, 1), (1, 1)])
def test_minibatch_stddev_groups_every_mth_image(n: int, size: int) -> None:
    x = torch.randn(n, 3, 2, 2)
    found = minibatch_stddev(x, 4)
    assert torch.equal(found[:, :3], x)
    for image in range(n):
        m = n // size
        group = x.double().numpy()[image % m :: m]
        expected = np.sqrt(group.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(found[image, 3], np.full((2, 2), expected), rtol=1e-5)


def test_resampling_by_squares() -> None:
    x = torch.arange(4.0).view(1, 1, 2, 2)
    assert upsample_nearest(x)[0, 0].tolist() == [
        [0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3],
    ]  # fmt: skip
    assert torch.equal(downsample_box(upsample_nearest(x, 4), 4), x)
    assert downsample_box(x).item() == 1.5
