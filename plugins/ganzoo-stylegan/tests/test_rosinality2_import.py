"""StyleGAN2 of rosinality, restated here and saved as it saves it: imported, it is the same."""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import (
    conv2d,
    conv_transpose2d,
    leaky_relu,
    linear,
)

from ganzoo.errors import InputError
from tests.restated import imported, normed, randomised, same


class Bare(nn.Module):
    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__()
        self.register_parameter(name, nn.Parameter(value))


class StyledConv2(nn.Module):
    def __init__(self, a: int, b: int, w_dim: int, size: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = nn.Module()
        self.conv.weight = nn.Parameter(torch.randn(1, b, a, 3, 3))
        if up:
            self.conv.blur = kernel_of(4)
        self.conv.modulation = SimpleLinear(w_dim, a)
        self.noise = Bare("weight", torch.zeros(1))
        self.activate = Bare("bias", torch.zeros(b))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        n, (_, b, a, *_) = len(x), self.conv.weight.shape
        weight = self.conv.weight * self.conv.modulation(w)[:, None, :, None, None]
        weight = weight / math.sqrt(a * 9)
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        outs = []
        for image, kernel in zip(x, weight):  # one image at a time
            if hasattr(self.conv, "blur"):
                y = conv_transpose2d(image[None], kernel.transpose(0, 1), stride=2)
                fir = self.conv.blur.kernel.expand(b, 1, 4, 4)
                outs.append(conv2d(y, fir, padding=1, groups=b))
            else:
                outs.append(conv2d(image[None], kernel, padding=1))
        y = torch.cat(outs) + self.noise.weight * noise
        assert len(y) == n
        return leaky_relu(y + self.activate.bias[:, None, None], 0.2) * math.sqrt(2)


def kernel_of(gain: float) -> nn.Module:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    module = nn.Module()
    module.register_buffer("kernel", taps.outer(taps) / 64 * gain)
    return module


class SimpleLinear(nn.Module):
    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(b, a)), nn.Parameter(torch.ones(b))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight / math.sqrt(self.weight.shape[1]), self.bias)


class ToRGB2(nn.Module):
    def __init__(self, width: int, w_dim: int, *, up: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        if up:
            self.upsample = kernel_of(4)
        self.conv = nn.Module()
        self.conv.weight = nn.Parameter(torch.randn(1, 3, width, 1, 1))
        self.conv.modulation = SimpleLinear(w_dim, width)

    def forward(self, x: Tensor, w: Tensor, below: Tensor | None) -> Tensor:
        style = self.conv.modulation(w) / math.sqrt(x.shape[1])
        y = torch.einsum("nchw,nc,oc->nohw", x, style, self.conv.weight[0, :, :, 0, 0]) + self.bias
        if below is None:
            return y
        fir = self.upsample.kernel.expand(3, 1, 4, 4)
        return y + conv_transpose2d(below, fir, stride=2, padding=1, groups=3)


class Generator2(nn.Module):
    def __init__(self, widths: list[int], dim: int, depth: int) -> None:
        super().__init__()
        self.style = nn.Sequential(nn.Identity(), *(SimpleLinear(dim, dim) for _ in range(depth)))
        self.input = Bare("input", torch.randn(1, widths[0], 4, 4))
        self.conv1 = StyledConv2(widths[0], widths[0], dim, 4)
        self.to_rgb1 = ToRGB2(widths[0], dim, up=False)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        self.noises = nn.Module()
        self.noises.register_buffer("noise_0", torch.randn(1, 1, 4, 4))
        for k, (a, b) in enumerate(itertools.pairwise(widths)):
            self.convs.append(StyledConv2(a, b, dim, 8 << k, up=True))
            self.convs.append(StyledConv2(b, b, dim, 8 << k))
            self.to_rgbs.append(ToRGB2(b, dim, up=True))
            for i in (1, 2):
                self.noises.register_buffer(f"noise_{2 * k + i}", torch.randn(1, 1, 8 << k, 8 << k))

    def w(self, z: Tensor) -> Tensor:
        x = normed(z)
        for layer in self.style[1:]:  # at a hundredth of the rate
            x = linear(x, layer.weight / math.sqrt(len(x[0])) * 0.01, layer.bias * 0.01)
            x = leaky_relu(x, 0.2) * math.sqrt(2)
        return x

    def forward(self, w: Tensor, noise: list[Tensor]) -> Tensor:
        x = self.conv1(self.input.input.expand(len(w), -1, -1, -1), w, noise[0])
        image = self.to_rgb1(x, w, None)
        for k, to_rgb in enumerate(self.to_rgbs):
            x = self.convs[2 * k](x, w, noise[2 * k + 1])
            x = self.convs[2 * k + 1](x, w, noise[2 * k + 2])
            image = to_rgb(x, w, image)
        return image


@pytest.mark.parametrize("form", ["training", "converted", "old", "bare"])
def test_rosinality_stylegan2(tmp_path: Path, form: str) -> None:
    theirs = randomised(Generator2([6, 5, 4], 8, 2))
    for layer in theirs.style[1:]:
        layer.weight.data *= 100
    state, average = theirs.state_dict(), torch.randn(8)
    if form == "old":  # of before noise maps were kept
        state = {k: v for k, v in state.items() if not k.startswith("noises.")}
    root: Any = {"g_ema": state, "latent_avg": average}
    if form == "training":
        root = {
            "g": {f"module.{k}": v * 0 for k, v in state.items()},
            "g_ema": state,
            "g_optim": {"state": {0: {"step": torch.tensor(3.0)}}},
            "d_optim": {"state": {}},
            "args": argparse.Namespace(size=16, latent=8, channel_multiplier=2),
            "ada_aug_p": 0.1,
        }
    made = imported(tmp_path, state if form == "bare" else root)
    G, z = made.generator, torch.randn(3, 8)
    assert made.family == "stylegan2-rosinality" and G.image_shape == (3, 16, 16)
    w = theirs.w(z)
    same(G.mapping(z)[:, 0], w, 1e-5)
    noise = [conv.noise[None, None] for conv in G.convs]
    if form != "old":
        noise = [getattr(theirs.noises, f"noise_{k}") for k in range(5)]
    same(G(z), theirs(w, noise))
    if form in ("converted", "old"):
        same(G(z, truncation=0.6), theirs(average + 0.6 * (w - average), noise))
    else:
        assert (theirs.w(torch.randn(5000, 8)).mean(0) - G.w_avg).abs().max() < 0.1
    assert ("no noise maps" in " ".join(made.converted.notes)) == (form == "old")


def test_another_filter_is_refused(tmp_path: Path) -> None:
    theirs = randomised(Generator2([6, 5], 8, 2))
    theirs.convs[0].conv.blur.kernel.mul_(2)
    with pytest.raises(InputError, match=r"convs\.0\.conv\.blur\.kernel is another filter"):
        imported(tmp_path, theirs.state_dict())
