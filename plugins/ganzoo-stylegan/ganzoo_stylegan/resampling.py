"""Resampling by windowed-sinc filters: their design, and fast ways to apply them.

Karras et al. 2021, "Alias-Free Generative Adversarial Networks", section 3 and appendix C.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from ganzoo.nn import takes_function, without_autocast

# -- design ----------------------------------------------------------------------------------------


def lowpass(
    taps: int, *, cutoff: float, half_width: float, sampling_rate: float, radial: bool = False
) -> np.ndarray:
    """An ideal low-pass filter under a Kaiser window, with a sum of 1 (appendix C.1).

    Separable, it is a sinc of (taps,), to be used along each axis; `radial`, (taps, taps), a jinc:
    the transform of a disc of frequencies, with the window along each axis.
    """
    x = (np.arange(taps) - (taps - 1) / 2) / sampling_rate
    window = np.kaiser(taps, _beta(taps, half_width, sampling_rate))
    if not radial:
        filter = np.sinc(2 * cutoff * x) * window
    else:
        radius = np.hypot(x[:, None], x)
        filter = _jinc(2 * cutoff * radius) * np.outer(window, window)
    return filter / filter.sum()


def _beta(taps: int, half_width: float, sampling_rate: float) -> float:
    """The shape of a Kaiser window whose filter falls within 2 half_width: from the attenuation
    that this allows (Kaiser 1974)."""
    attenuation = 2.285 * (taps - 1) * math.pi * (2 * half_width / (sampling_rate / 2)) + 7.95
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return 0.0


def _jinc(x: np.ndarray) -> np.ndarray:
    """2 J1(pi x) / (pi x), 1 at 0. J1 is the mean of cos(t - x sin t) over a period of t, which a
    sum of equal steps gives to the last digit."""
    t = 2 * np.pi * np.arange(256) / 256
    at = np.pi * np.where(x == 0, 1, x)[..., None]
    j1 = np.cos(t - at * np.sin(t)).mean(-1)
    return np.where(x == 0, 1, 2 * j1 / at[..., 0])


# -- use -------------------------------------------------------------------------------------------


def upsample(x: Tensor, filter: Tensor, factor: int, *, padding: int, size: int) -> Tensor:
    """Zeros between the pixels of x, `padding` zeros before them, filtered; a constant keeps its
    value.

    Args:
        x: (N, C, n, n).
        filter: (T,), along each axis, or (T, T).
        factor: pixels for each of x along an axis.
        padding: zeros before the first pixel; negative to begin later.
        size: of the result, (N, C, size, size).
    """
    kernel = (filter * factor if filter.ndim == 1 else filter * factor**2).flip(_axes(filter))
    return _resample(x, kernel, True, factor, padding, size)


def downsample(x: Tensor, filter: Tensor, factor: int, *, padding: int = 0, size: int) -> Tensor:
    """x between zeros, filtered, of which every `factor`-th pixel is kept; as in `upsample`."""
    return _resample(x, filter.flip(_axes(filter)), False, factor, padding, size)


def _resample(x: Tensor, kernel: Tensor, up: bool, factor: int, lo: int, size: int) -> Tensor:
    # autocast would compute in another precision than that of x
    with without_autocast(x):
        kernel = kernel.to(x.dtype)
        if takes_function(x):
            resampled: Tensor = _Resample.apply(x, kernel, up, factor, lo, size)  # type: ignore[no-untyped-call]
            return resampled
        return (_spread if up else _gather)(x, kernel, factor, lo, size)


class _Resample(torch.autograd.Function):
    """The gradient of one way is the other way with the kernel turned around: what takes one phase
    of it after another is much faster than the gradient of a depthwise convolution with a stride
    (in bfloat16 on a CPU thirty times)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, up: bool, factor: int, lo: int, size: int
    ) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.how = not up, factor, len(kernel) - 1 - lo, x.shape[2]
        return (_spread if up else _gather)(x, kernel, factor, lo, size)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (kernel,), (grad,) = ctx.saved_tensors, grads
        back = _resample(grad, kernel.flip(_axes(kernel)), *ctx.how)
        return back, None, None, None, None, None


def _spread(x: Tensor, kernel: Tensor, factor: int, lo: int, size: int) -> Tensor:
    """y[o] = sum over k of kernel[k] z[o + k - lo], where z[factor i] = x[i] and 0 between.

    The pixels o = p, p + factor, … meet every factor-th tap only: each phase p is a convolution of
    x itself. With lo = -1 modulo the factor all phases begin at the same pixel; zeros before the
    kernel make it so.
    """
    more = (factor - 1 - lo) % factor
    taps = len(kernel) + more
    ends = (more, -taps % factor)
    kernel = pad(kernel, ends * kernel.ndim)
    left = (lo + more + 1) // factor - 1
    each = -(-size // factor)  # pixels of a phase
    right = each + len(kernel) // factor - 1 - x.shape[2] - left
    phases = range(factor - 1, -1, -1)
    if kernel.ndim == 1:
        for axis in (3, 2):
            y, padding = _padded(x, left, right, axis)
            x = _woven([_depthwise(y, kernel[p::factor], axis, padding) for p in phases], axis)
    else:
        y, padding = _padded(x, left, right)
        rows = [
            _woven([_depthwise(y, kernel[p::factor, q::factor], 0, padding) for q in phases], 3)
            for p in phases
        ]
        x = _woven(rows, 2)
    return x[:, :, :size, :size]


def _gather(x: Tensor, kernel: Tensor, factor: int, lo: int, size: int) -> Tensor:
    """y[i] = sum over k of kernel[k] x[factor i + k - lo], with zeros around x."""
    right = (size - 1) * factor + len(kernel) - x.shape[2] - lo
    for axis in (2, 3) if kernel.ndim == 1 else (0,):
        y, padding = _padded(x, lo, right, axis)
        x = _depthwise(y, kernel, axis, padding, factor)
    return x


def _axes(filter: Tensor) -> list[int]:
    return list(range(filter.ndim))


def _padded(x: Tensor, left: int, right: int, axis: int = 0) -> tuple[Tensor, int]:
    """x and the zeros that a convolution is to add: all, if it is as many on either side. Along one
    axis, or along both (0)."""
    if left == right >= 0:
        return x, left
    ends = {0: (left, right, left, right), 2: (0, 0, left, right), 3: (left, right)}[axis]
    return pad(x, ends), 0


def _depthwise(x: Tensor, kernel: Tensor, axis: int, padding: int, stride: int = 1) -> Tensor:
    """Each channel with the same kernel, along one axis or both (0)."""
    channels, along = x.shape[1], {0: (1, 1), 2: (1, 0), 3: (0, 1)}[axis]
    if kernel.ndim == 1:
        kernel = kernel[:, None] if axis == 2 else kernel[None]
    return conv2d(
        x,
        kernel.expand(channels, 1, *kernel.shape),
        stride=[stride if used else 1 for used in along],
        padding=[padding if used else 0 for used in along],
        groups=channels,
    )


def _woven(phases: list[Tensor], axis: int) -> Tensor:
    """Pixel after pixel along an axis from each in turn; in channels_last, in large pieces."""
    pixels = torch.stack([phase.permute(0, 2, 3, 1) for phase in phases], dim=axis)
    return pixels.flatten(axis - 1, axis).permute(0, 3, 1, 2)
