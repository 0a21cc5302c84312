"""oneDNN's products and convolutions of constant weights, for inference on CPUs.

PyTorch takes its matrix products from MKL, which on processors of other makers than its own needs
twice the time of oneDNN; and its convolutions have oneDNN sort their weights anew at each call,
which for small maps takes longer than the convolution. Here oneDNN computes both, of weights that
it has sorted once. Without it, or where gradients or another program's graph are wanted, these are
PyTorch's own operators.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FEWEST_ROWS = 16
"""Of fewer, such as those of a mapping of z to w, MKL's product is as fast, and rounded less."""

NO_MORE: tuple[Any, ...] = ("none", [], "")
"""What is to follow in the same pass."""


def fits(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN can compute with x and a constant weight."""
    return (
        x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype
        and x.numel() > 0
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and available()
        and (_is_float32(x) or (x.dtype == torch.bfloat16 and has_bfloat16()))
    )


def available() -> bool:
    """Whether there is oneDNN, on a processor on which this has been measured."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def _is_float32(x: Tensor) -> bool:
    """And to be computed with as such."""
    return x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (M, K) and a weight (N, K), sorted or not -> (M, N)."""
    if not (weight.is_mkldnn or fits(x, weight)):
        return functional.linear(x, weight, bias)
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, *NO_MORE)
    return out


def sorted_matrix(weight: Tensor) -> Tensor:
    """weight (N, K) as `linear` reads it fastest."""
    if not fits(weight, weight):
        return weight
    out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
    return out


class Linear(nn.Module):
    """A linear layer of constant weights."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        if x.numel() < FEWEST_ROWS * x.shape[-1]:
            return functional.linear(x, self.weight, self.bias)
        return linear(x, self.weight, self.bias)


class Convolution:
    """Computes a convolution, transposed or not, of which it keeps the sorted weight."""

    def __init__(self, stride: int, padding: int, *, transposed: bool = False) -> None:
        self.stride, self.padding, self.transposed = [stride] * 2, [padding] * 2, transposed
        self._weight: Tensor | None = None

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x (N, in, H, W); weight (out, in, k, k), or (in, out, k, k) if transposed. It must be the
        same at every call."""
        if weight.dtype == torch.bfloat16:  # as autocast would have it
            x, bias = x.to(weight.dtype), None if bias is None else bias.to(weight.dtype)
        if not fits(x, weight):
            plain = functional.conv_transpose2d if self.transposed else functional.conv2d
            return plain(x, weight, bias, self.stride, self.padding)
        operators = torch.ops.mkldnn
        how: list[Any] = [self.padding, self.stride, [1, 1], 1]
        convolve, sort = operators._convolution_pointwise, operators._reorder_convolution_weight
        if self.transposed:
            how.insert(1, [0, 0])  # output_padding
            convolve = operators._convolution_transpose_pointwise
            sort = operators._reorder_convolution_transpose_weight
        if self._weight is None:
            self._weight = sort(weight, *how, list(x.shape))
        out: Tensor = convolve(x, self._weight, bias, *how, *NO_MORE)
        return out
