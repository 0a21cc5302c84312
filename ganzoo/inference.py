"""What `sample` runs on a CPU in place of a generator for many images: the same function, faster.

A copy with its kernels in channels_last, in which a CPU convolves faster, and with its batch norms
folded into the convolutions before them (benchmarks/generation.py).
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ganzoo.nn import ConvTranspose2d

M = TypeVar("M", bound=nn.Module)


def for_many(network: M) -> M:
    """A copy for inference on the CPU; the network itself may be trained on, as it is laid out."""
    network = copy.deepcopy(network)
    times = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    for layers in [module for module in network.modules() if type(module) is nn.Sequential]:
        for k, (convolution, norm) in enumerate(itertools.pairwise(layers)):
            if _folds(convolution, norm) and times[id(convolution)] == times[id(norm)] == 1:
                layers[k + 1] = _Shift(_fold(convolution, norm))
    return network.to(memory_format=torch.channels_last)


def _folds(convolution: nn.Module, norm: nn.Module) -> bool:
    """Whether they are a convolution and a batch norm that uses its statistics, as torch has them:
    a subclass, a parametrised layer or one with hooks may do something else."""
    convolutions = (nn.Conv2d, nn.ConvTranspose2d, ConvTranspose2d)
    plain = type(convolution) in convolutions and type(norm) is nn.BatchNorm2d
    hooked = any(m._forward_hooks or m._forward_pre_hooks for m in (convolution, norm))
    return plain and not hooked and not norm.training and norm.running_mean is not None


def _fold(convolution: Any, norm: Any) -> Tensor:
    """Scale a convolution as the batch norm behind it does; returns what is left to be added."""
    weight, shift = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=isinstance(convolution, nn.ConvTranspose2d),
    )
    convolution.weight, convolution.bias = weight, None
    return shift.detach()


class _Shift(nn.Module):
    """What a batch norm adds, in place: a transposed convolution takes longer with a bias, and a
    tensor of its own for the result costs as much as the sum."""

    shift: Tensor

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        return x.add_(self.shift[:, None, None])  # (N, C, H, W)
