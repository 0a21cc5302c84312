"""The shared layers, against their definitions computed by hand in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import conv_transpose2d
from torch.utils._python_dispatch import TorchDispatchMode

from ganzoo.nn import (
    ConvTranspose2d,
    EqualizedConv2d,
    EqualizedLinear,
    dcgan_down,
    dcgan_up,
    downsample_box,
    fir_blur,
    fir_downsample,
    fir_kernel,
    fir_upsample,
    minibatch_stddev,
    pixel_norm,
    pyramid,
    upsample_nearest,
    with_one_hot,
    without_autocast,
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


def test_the_stacks_of_a_dcgan_mirror_each_other() -> None:
    """From 4x4 to an image of 28x28, and back: each map's size and channels are those asked for."""
    levels = [*pyramid(28, 6, 20), (28, 2)]
    assert levels == [(4, 20), (7, 12), (14, 6), (28, 2)]
    maps = [torch.randn(2, 20, 4, 4)]
    up, down = dcgan_up(levels), dcgan_down(levels[::-1], "instance", bias=False)
    for layer in up + down:
        maps.append(layer(maps[-1]))
    seen = [x.shape[1:] for x, layer in zip(maps[1:], up + down) if hasattr(layer, "kernel_size")]
    assert seen == [(c, n, n) for n, c in [*levels[1:], *levels[-2::-1]]]
    names = [[type(layer).__name__ for layer in layers] for layers in (up, down)]
    assert names[0] == ["BatchNorm2d", "ReLU", "ConvTranspose2d"] * 3
    assert names[1] == ["Conv2d", "LeakyReLU"] + ["Conv2d", "GroupNorm", "LeakyReLU"] * 2
    biased = [layer.bias is not None for layer in up + down if hasattr(layer, "kernel_size")]
    assert biased == [False, False, True, True, False, False]  # but where no norm follows


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


def upfirdn(
    x: np.ndarray, taps: list[float], *, up: int, down: int, pad: tuple[int, int], gain: float
) -> np.ndarray:
    """Zeros between the pixels of x (H, W), zeros around, the filter, every down-th pixel."""
    line = np.array(taps) / sum(taps)
    spread = np.zeros((x.shape[0] * up, x.shape[1] * up))
    spread[::up, ::up] = x
    spread = np.pad(spread, pad)
    rows = np.stack([np.convolve(row, line, mode="valid") for row in spread])
    both = np.stack([np.convolve(column, line, mode="valid") for column in rows.T]).T
    return both[::down, ::down] * gain


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_filtered_resampling_is_upfirdn(dtype: torch.dtype) -> None:
    taps = [1, 3, 3, 1]
    kernel, gained = fir_kernel(), fir_kernel(taps, gain=4)
    x = torch.randn(2, 3, 6, 8).to(dtype)
    cases = [
        (fir_blur(x, kernel, padding=2), {"up": 1, "down": 1, "pad": (2, 2), "gain": 1}),
        (fir_blur(x, gained, padding=1), {"up": 1, "down": 1, "pad": (1, 1), "gain": 4}),
        (fir_downsample(x, kernel), {"up": 1, "down": 2, "pad": (1, 1), "gain": 1}),
        (fir_upsample(x, gained), {"up": 2, "down": 1, "pad": (2, 1), "gain": 4}),
    ]
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    for found, how in cases:
        assert found.dtype == dtype
        for n in range(2):
            for channel in range(3):
                expected = upfirdn(x[n, channel].double().numpy(), taps, **how)
                np.testing.assert_allclose(
                    found[n, channel].double(), expected, rtol=tolerance, atol=tolerance
                )


def test_filters_have_their_gain_and_three_taps_keep_the_size() -> None:
    torch.testing.assert_close(fir_kernel([1, 2, 1]), torch.tensor(
        [[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16)  # fmt: skip
    assert fir_kernel(gain=4).sum().item() == pytest.approx(4)
    x = torch.ones(1, 1, 5, 5)
    blurred = fir_blur(x, fir_kernel([1, 2, 1]), padding=1)
    assert blurred.shape == x.shape and blurred[0, 0, 2, 2] == 1
    assert blurred[0, 0, 0, 0].item() == pytest.approx(9 / 16)  # zeros around
    assert fir_upsample(x, fir_kernel(gain=4))[0, 0, 5, 5].item() == pytest.approx(1)


FILTERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "blur": lambda x, kernel: fir_blur(x, kernel, padding=2),
    "down": fir_downsample,
    "up": fir_upsample,
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_have_their_gradients_of_any_order(name: str) -> None:
    """Of a kernel without symmetry, for a map of an odd size too; a penalty on a slope takes no
    more convolutions for more channels."""
    kernel = torch.randn(4, 4, dtype=torch.float64)
    x = torch.randn(2, 3, 7 if name == "blur" else 6, 8, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: FILTERS[name](x, kernel), x)
    assert gradgradcheck(lambda x: FILTERS[name](x, kernel), x)

    wide = torch.randn(1, 32, 8, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(
        FILTERS[name](wide * wide, kernel.float()).tanh().sum(), wide, create_graph=True
    )
    with Counting() as convolutions:
        slope.square().sum().backward()
    assert 0 < len(convolutions.seen) < 8 and wide.grad is not None


def test_a_filter_may_be_learnt() -> None:
    kernel = fir_kernel().requires_grad_()
    fir_blur(torch.ones(1, 1, 6, 6, requires_grad=True), kernel, padding=0).sum().backward()
    assert kernel.grad is not None and kernel.grad.tolist() == [[9.0] * 4] * 4


class Counting(TorchDispatchMode):
    """The convolutions that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "convolution" in str(func):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def test_autocast_can_be_left_for_a_while() -> None:
    x = torch.randn(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with without_autocast(x):
            assert (x @ x).dtype == torch.float32


def test_one_hot_labels_join_vectors_and_images() -> None:
    z, labels = torch.tensor([[5.0], [6.0]]), torch.tensor([2, 0])
    assert with_one_hot(z, labels, 3).tolist() == [[5, 0, 0, 1], [6, 1, 0, 0]]
    joined = with_one_hot(torch.full((2, 1, 2, 3), 7.0, dtype=torch.bfloat16), labels, 3)
    assert joined.dtype == torch.bfloat16 and joined.shape == (2, 4, 2, 3)
    assert joined[:, :, 1, 2].tolist() == [[7, 0, 0, 1], [7, 1, 0, 0]]
    assert bool((joined == joined[:, :, :1, :1]).all())
    assert with_one_hot(z, None, 0) is z


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stride": 1, "padding": 0},
        {"dilation": 2},
        {"output_padding": 1},
        {"groups": 2},
        {"kernel_size": (4, 2)},
        {"padding": (1, 0)},
    ],
)
@pytest.mark.parametrize(("channels", "out", "side"), [(8, 4, 9), (256, 16, 4), (6, 12, 1)])
def test_a_transposed_convolution_is_torchs_however_it_is_computed(
    settings: dict[str, Any], channels: int, out: int, side: int
) -> None:
    settings = {"kernel_size": 4, "stride": 2, "padding": 1} | settings
    layer = ConvTranspose2d(channels, out, **settings)
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    x = torch.randn(3, channels, side, side)
    del settings["kernel_size"]
    expected = conv_transpose2d(x, layer.weight, layer.bias, **settings)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
    for computed in (layer, layer.folded()):
        with torch.no_grad():
            torch.testing.assert_close(computed(x), expected, rtol=1e-4, atol=1e-5)
