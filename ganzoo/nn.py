"""Layers that several families share.

Equalised learning rate, pixel norm and minibatch standard deviation: Karras et al. 2018,
"Progressive Growing of GANs for Improved Quality, Stability, and Variation", sections 3 and 4.
Low-pass filters around changes of resolution are in `ganzoo.fir`.
The convolutions, norms and initial weights of a DCGAN: Radford et al. 2015, "Unsupervised
Representation Learning with Deep Convolutional Generative Adversarial Networks", sections 3 and 4.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    avg_pool2d,
    conv2d,
    conv_transpose2d,
    interpolate,
    linear,
    one_hot,
    pixel_shuffle,
)

from ganzoo import onednn
from ganzoo.errors import InputError
from ganzoo.fir import fir_blur as fir_blur
from ganzoo.fir import fir_downsample as fir_downsample
from ganzoo.fir import fir_kernel as fir_kernel
from ganzoo.fir import fir_upsample as fir_upsample
from ganzoo.fir import takes_function as takes_function
from ganzoo.winograd import Conv3x3

M = TypeVar("M", bound=nn.Module)


def with_parameters(layer: M, **values: Tensor | None) -> M:
    """A copy of a layer with these constants in place of parameters; all else is shared."""
    layer = copy.copy(layer)
    layer._parameters = dict(layer._parameters)
    for name, value in values.items():
        constant = None if value is None else nn.Parameter(value, requires_grad=False)
        layer._parameters[name] = constant
    return layer


class EqualizedLinear(nn.Module):
    """A linear layer of weights from N(0, 1) that are scaled as they are used (section 4.1).

    The scale is `gain` / sqrt(fan_in), He's constant: under Adam, whose steps do not depend on the
    scale of a gradient, all layers then learn at one rate. `lr_multiplier` m makes a layer learn at
    m times that rate (StyleGAN's mapping): weights start at N(0, 1 / m^2), and weights and bias are
    multiplied by m.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        gain: float = 1.0,
        lr_multiplier: float = 1.0,
        bias: bool = True,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        weight = torch.randn(out_features, in_features)
        self.weight = nn.Parameter(weight if lr_multiplier == 1 else weight / lr_multiplier)
        start = torch.full((out_features,), bias_init / lr_multiplier)
        self.bias = nn.Parameter(start) if bias else None
        self.scale = gain / math.sqrt(in_features) * lr_multiplier
        self.bias_scale = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features)."""
        bias = (
            self.bias if self.bias is None or self.bias_scale == 1 else self.bias * self.bias_scale
        )
        return linear(x, self.weight if self.scale == 1 else self.weight * self.scale, bias)

    def folded(self) -> nn.Module:
        """With constant weights."""
        bias = None if self.bias is None else self.bias * self.bias_scale
        return onednn.Linear(self.weight * self.scale, bias)


class EqualizedConv2d(nn.Module):
    """A convolution with padding k // 2, its weights scaled as in `EqualizedLinear`; the bias is
    not scaled. With `up`, of the map of twice the size, in which each pixel is a square."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        gain: float = 1.0,
        bias: bool = True,
        up: bool = False,
    ) -> None:
        super().__init__()
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.scale = gain / math.sqrt(in_channels * kernel_size**2)
        self.padding, self.up = kernel_size // 2, up

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W), or (N, out_channels, 2 H, 2 W)."""
        weight = self.weight if self.scale == 1 else self.weight * self.scale
        if self.up and self.padding == 1 and x.device.type == "cpu" and x.shape[2] >= 16:
            return _of_doubled(x, weight, self.bias)
        x = upsample_nearest(x) if self.up else x
        return conv2d(x, weight, self.bias, padding=self.padding)

    def folded(self) -> nn.Module:
        """With constant weights."""
        if self.weight.shape[2] == 3:
            return Conv3x3(self.weight * self.scale, self.bias, up=self.up)
        layer = with_parameters(self, weight=self.weight * self.scale)
        layer.scale = 1.0
        return layer


def _of_doubled(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The 3x3 convolution of a map of twice the size, from the map itself: what a pixel gives to
    the 4x4 around it, with 16 products instead of 36 (as fast or faster from 16x16 on)."""
    spread = avg_pool2d(weight.flip(2, 3), 2, stride=1, padding=1, divisor_override=1)  # (…, 4, 4)
    return conv_transpose2d(x, spread.transpose(0, 1), bias, stride=2, padding=1)


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """x / sqrt(mean of x^2 over the channels + eps), at each pixel (section 4.2); x (N, C, …)."""
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


def minibatch_stddev(
    x: Tensor, group_size: int = 4, eps: float = 1e-8, *, channels: int = 1
) -> Tensor:
    """Append the mean standard deviation within groups of images, as one channel (section 3).

    x (N, C, H, W) -> (N, C + channels, H, W). Images i, i + M, i + 2M, … form a group, of M groups;
    their biased deviation is averaged over channels and pixels. Where N is not divisible by
    `group_size`, groups are of the largest divisor of N below it. With several `channels`, each is
    the average over that share of those of x, in their order.
    """
    n, _, height, width = x.shape
    size = next(size for size in range(min(group_size, n), 0, -1) if n % size == 0)
    groups = x.float().reshape(size, n // size, channels, -1, height, width)  # (G, M, F, C/F, H, W)
    variance = (groups - groups.mean(dim=0)).square().mean(dim=0)  # `var` is ten times as slow
    deviation = (variance + eps).sqrt().mean(dim=(2, 3, 4))  # (M, F)
    appended = deviation.to(x.dtype).repeat(size, 1)[:, :, None, None]
    return torch.cat([x, appended.expand(n, channels, height, width)], dim=1)


def with_one_hot(
    x: Tensor, labels: Tensor | None, num_classes: int, *, length: float = 1.0
) -> Tensor:
    """x (N, C, …) and labels (N,) to (N, C + num_classes, …): the one-hot label, times `length`,
    joins a vector, or an image as constant maps. Without labels, x as it is."""
    if labels is None:
        return x
    code = one_hot(labels, num_classes).to(x.dtype) * length
    code = code[(..., *(None,) * (x.ndim - 2))].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, code], dim=1)


def upsample_nearest(x: Tensor, factor: int = 2) -> Tensor:
    """(N, C, H, W) -> (N, C, factor H, factor W): each pixel becomes a square."""
    return x if factor == 1 else interpolate(x, scale_factor=float(factor), mode="nearest")


def downsample_box(x: Tensor, factor: int = 2) -> Tensor:
    """(N, C, H, W) -> (N, C, H / factor, W / factor): the means of squares."""
    return x if factor == 1 else avg_pool2d(x, factor)


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """What is computed within is in the precision of its inputs, also in a mixed-precision run.

    Elsewhere it is nothing, because a graph for other programs cannot hold a change of precision.
    """
    kind = x.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def level_of(lod: float, levels: int) -> tuple[int, float]:
    """The highest resolution of the `levels` that is in use at `lod`, and the weight of the one
    below it."""
    if not 0 <= lod <= levels - 1:
        raise InputError(f"lod {lod} is out of range", f"use 0 (full size) to {levels - 1}")
    whole = math.floor(lod)
    return levels - 1 - whole, lod - whole


# -- DCGAN -----------------------------------------------------------------------------------------


def pyramid(size: int, width: int, max_width: int) -> list[tuple[int, int]]:
    """(size, channels) from 4x4 up to half the full size: 4, 8, 16, … or 4, 7, 14 for 28x28.

    The largest has `width` channels; each below has twice as many, up to `max_width`.
    """
    sizes = [size // 2]
    while sizes[0] > 4:
        sizes.insert(0, (sizes[0] + 1) // 2)
    ups = range(len(sizes))[::-1]
    return [(s, min(width << up, max_width)) for up, s in zip(ups, sizes, strict=True)]


def geometry(small: int, large: int) -> dict[str, Any]:
    """The stride-2 convolution between two sizes: kernel 4, or 3 for 4 <-> 7."""
    return {"kernel_size": 4 if large == 2 * small else 3, "stride": 2, "padding": 1}


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's. A square one, with its weight in channels_last on a CPU, is computed in other ways
    where torch's takes longer (benchmarks/generate.py)."""

    convolution: onednn.Convolution | None = None
    """What computes it where the weights are constant."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(N, C, H, W) -> (N, out_channels, (H - 1) stride - 2 padding + kernel, …)."""
        fast = x.device.type == "cpu" and self._is_square
        if fast and self.weight.is_contiguous(memory_format=torch.channels_last):
            shape = (self.kernel_size[0], self.stride[0], self.padding[0])
            if self.out_channels <= 4 and shape == (4, 2, 1):
                return self._from_subpixels(x)
            side = x.shape[2]
            small = side == 1 or (side <= 4 and self.in_channels >= 256)
            if small and self.weight.dtype == torch.float32 and not torch.is_grad_enabled():
                return self._from_patches(x)
        if self.convolution is not None:
            return self.convolution(x, self.weight, self.bias)
        return super().forward(x)

    def folded(self) -> nn.Module:
        """With constant weights."""
        layer = with_parameters(self, weight=self.weight, bias=self.bias)
        if self._is_square:
            stride, padding = self.stride[0], int(self.padding[0])
            layer.convolution = onednn.Convolution(stride, padding, transposed=True)
        return layer

    @property
    def _is_square(self) -> bool:
        """Whether kernel, stride and padding are alike in both directions, and nothing else is
        set: what the other ways compute."""
        sides = (self.kernel_size, self.stride, self.padding)
        plain = (self.dilation, self.output_padding, self.groups) == ((1, 1), (0, 0), 1)
        return plain and all(side[0] == side[1] for side in sides)

    def _from_subpixels(self, x: Tensor) -> Tensor:
        """The four pixels that one becomes, as channels of an ordinary convolution: row 2i + a
        sees rows i - 1 + a and i + a. Three times as fast for few channels out."""
        n, c, h, w = x.shape
        taps = self.weight.flip(2, 3).reshape(c, -1, 2, 2, 2, 2)
        kernel = taps.permute(3, 5, 1, 0, 2, 4).reshape(-1, c, 2, 2)  # (a, b, out) of the pixels
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        y = conv2d(x, kernel, padding=1).reshape(n, 4, self.out_channels, h + 1, w + 1)
        pixels = [y[:, 2 * a + b, :, a : a + h, b : b + w] for a in (0, 1) for b in (0, 1)]
        image = pixel_shuffle(torch.stack(pixels, dim=2).flatten(1, 2), 2)
        return image if self.bias is None else image + self.bias[:, None, None]

    def _from_patches(self, x: Tensor) -> Tensor:
        """Its definition: each pixel times the kernel is a patch, and overlapping patches are
        summed. Up to twice as fast for small maps, of which a sum takes little."""
        (n, c, h, w), (kernel, _), (stride, _) = x.shape, self.kernel_size, self.stride
        rows, columns = (stride * (side - 1) + kernel for side in (h, w))
        pixels = x.permute(0, 2, 3, 1).reshape(-1, c)
        patches = onednn.linear(pixels, self.weight.permute(0, 2, 3, 1).flatten(1).T)
        patches = patches.view(n, h, w, kernel, kernel, self.out_channels)
        out = patches.new_zeros(n, rows, columns, self.out_channels)
        for i in range(kernel):
            for j in range(kernel):
                below, right = i + stride * (h - 1) + 1, j + stride * (w - 1) + 1
                out[:, i:below:stride, j:right:stride] += patches[:, :, :, i, j]
        top, left = (int(padding) for padding in self.padding)
        out = out[:, top : rows - top, left : columns - left]
        out = out if self.bias is None else out + self.bias
        return out.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda width: nn.GroupNorm(1, width),
    "instance": lambda width: nn.GroupNorm(width, width),
    "none": lambda width: nn.Identity(),
}
"""Name of a critic's norm -> the layer for so many channels."""


def dcgan_up(levels: Sequence[tuple[int, int]]) -> list[nn.Module]:
    """The layers from a generator's smallest map to its image: batch norm, ReLU and a transposed
    convolution, again and again. `levels` are (size, channels) of each map, the image's last."""
    layers: list[nn.Module] = []
    for (size, width), (larger, narrower) in itertools.pairwise(levels):
        bias = larger == levels[-1][0]  # elsewhere a batch norm follows
        layers += [
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            ConvTranspose2d(width, narrower, **geometry(size, larger), bias=bias),
        ]
    return layers


def dcgan_down(levels: Sequence[tuple[int, int]], norm: str, *, bias: bool) -> list[nn.Module]:
    """The layers from an image to a critic's smallest map: strided convolutions and LeakyReLU, with
    a norm of `NORMS` (and a `bias`, if so) between but at the first. `levels` are (size, channels)
    of each map, what enters first."""
    (full, channels), (size, width), *_ = levels
    layers = [nn.Conv2d(channels, width, **geometry(size, full)), nn.LeakyReLU(0.2, inplace=True)]
    for (size, width), (smaller, wider) in itertools.pairwise(levels[1:]):
        layers += [
            nn.Conv2d(width, wider, **geometry(smaller, size), bias=bias),
            NORMS[norm](wider),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return layers


def dcgan_init(module: nn.Module) -> None:
    """All weights from a zero-centred normal distribution of deviation 0.02; for `apply`."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
