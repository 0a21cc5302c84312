"""Low-pass (FIR) filters around changes of resolution, with their gradients of any order.

Zhang 2019, "Making Convolutional Networks Shift-Invariant Again"; Karras et al. 2020, "Analyzing
and Improving the Image Quality of StyleGAN".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d


def fir_kernel(taps: Sequence[float] = (1, 3, 3, 1), *, gain: float = 1.0) -> Tensor:
    """The separable filter (T, T) of `taps`, with a sum of `gain`; to be kept as a buffer."""
    scale = gain / sum(taps) ** 2
    return torch.tensor([[scale * a * b for b in taps] for a in taps], dtype=torch.float32)


def fir_blur(x: Tensor, kernel: Tensor, *, padding: int, stride: int = 1) -> Tensor:
    """Filter each channel of zero-padded x: (N, C, H, W) -> (N, C, H + 2 padding - T + 1, …).

    The kernel is symmetric, so that this correlation is a convolution. In channels_last it is as
    cheap as two passes over x on CPUs, and a separable pair of filters is not cheaper.
    """
    return _filter(x, kernel, stride, padding)


def fir_downsample(x: Tensor, kernel: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H / 2, W / 2), filtered before every second pixel is kept."""
    padding = len(kernel) // 2 - 1
    if x.device.type == "cpu" and x.dtype == torch.bfloat16:
        # twice the work forward, but a strided depthwise convolution takes 20 times it backward
        return fir_blur(x, kernel, padding=padding)[:, :, ::2, ::2]
    return fir_blur(x, kernel, padding=padding, stride=2)


def fir_upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2 H, 2 W): zeros between the pixels, filtered. A constant keeps its
    value where the kernel has a gain of 4."""
    padding = len(kernel) // 2 - 1
    height, width = (2 * (side - 1) + len(kernel) - 2 * padding for side in x.shape[2:])
    return _filter(x, kernel, 2, padding, (height, width))


def takes_function(x: Tensor) -> bool:
    """Whether x has a gradient for which there may be a `torch.autograd.Function`. The transforms
    of `torch.func` take only those that are written for them."""
    wanted = torch.is_grad_enabled() and x.requires_grad
    return wanted and not torch._C._are_functorch_transforms_active()


def _filter(
    x: Tensor, kernel: Tensor, stride: int, padding: int, spread: tuple[int, int] | None = None
) -> Tensor:
    """A depthwise convolution, or its transpose to a map of the size `spread`."""
    if takes_function(x) and not kernel.requires_grad:
        filtered: Tensor = _Filter.apply(x, kernel, stride, padding, spread)
        return filtered
    return _Filter.of(x, kernel, stride, padding, spread)


class _Filter(torch.autograd.Function):
    """The gradient of a filter is a filter. Torch's own gradient of that gradient, which penalties
    on slopes need, takes as many convolutions as there are channels, to find what nobody asks for:
    the gradient of the kernel."""

    @staticmethod
    def of(
        x: Tensor, kernel: Tensor, stride: int, padding: int, spread: tuple[int, int] | None
    ) -> Tensor:
        channels = x.shape[1]
        weight = kernel.to(x.dtype).expand(channels, 1, *kernel.shape)
        if spread is None:
            return conv2d(x, weight, padding=padding, stride=stride, groups=channels)
        fewest = (stride * (side - 1) + len(kernel) - 2 * padding for side in x.shape[2:])
        more = [size - least for size, least in zip(spread, fewest, strict=True)]
        return conv_transpose2d(
            x, weight, stride=stride, padding=padding, output_padding=more, groups=channels
        )

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        kernel: Tensor,
        stride: int,
        padding: int,
        spread: tuple[int, int] | None,
    ) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.how = stride, padding, spread, x.dtype, tuple(x.shape[2:])
        ctx.channels_last = x.is_contiguous(memory_format=torch.channels_last)
        return _Filter.of(x, kernel, stride, padding, spread)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (kernel,), (grad,) = ctx.saved_tensors, grads
        stride, padding, spread, dtype, size = ctx.how
        if ctx.channels_last:  # which the gradient of every second pixel is not
            grad = grad.contiguous(memory_format=torch.channels_last)
        if stride == 1:  # as an ordinary convolution, which is faster than a transposed one
            back = _filter(grad, kernel.flip(0, 1), 1, len(kernel) - 1 - padding)
        else:
            back = _filter(grad, kernel, stride, padding, size if spread is None else None)
        return back.to(dtype), None, None, None, None
