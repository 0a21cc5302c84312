"""Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern GAN Baseline", section 4:
StyleGAN2 without its styles, noise and tricks, and with the residual blocks of today.

G: a learned 4x4 basis, scaled by a linear function of z; at each resolution residual blocks, then
twice the size; a 1x1 convolution to the image.
D: the same backwards; a global depthwise convolution in place of the basis, and a linear score.
A block is an inverted bottleneck, 1x1 to more channels, grouped 3x3, 1x1 back, with a leaky ReLU
between. Nothing is normalised: the last convolution of each block starts at zero and the others
small (Zhang et al. 2019, "Fixup Initialization"), so that the networks start as their skip paths,
which are linear. Every change of resolution is filtered by [1, 3, 3, 1].
With num_classes > 0, an embedding of the label joins z in G, and D's score is the scalar product
of its last features with another (Miyato and Koyama 2018). Images of 28x28 start at 7x7.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

import ganzoo
from ganzoo.nn import fir_downsample, fir_kernel, fir_upsample, without_autocast
from ganzoo_r3gan.config import DiscriminatorConfig, GeneratorConfig

SLOPE = 0.2
"""Of the leaky ReLU."""


class Generator(ganzoo.Generator):
    config: GeneratorConfig

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        levels, inputs = config.levels, config.z_dim
        if config.num_classes:
            self.embed = nn.Embedding(config.num_classes, config.embed_dim)
            inputs += config.embed_dim
        (size, width), *above = levels
        self.basis = nn.Parameter(torch.randn(width, size, size))
        self.modulate = linear(inputs, width)
        stages: list[nn.Module] = residual_blocks(config, width)
        for _, next_width in above:
            stages += [Up(width, next_width), *residual_blocks(config, next_width)]
            width = next_width
        self.stages = nn.Sequential(*stages)
        self.to_image = conv(width, config.image_shape[0], 1, bias=True)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        if labels is not None:
            z = torch.cat([z, self.embed(labels)], dim=1)
        x = self.modulate(z)[:, :, None, None] * self.basis  # (N, width, 4, 4)
        return self.to_image(self.stages(x))  # (N, C, H, W)


class Discriminator(ganzoo.Discriminator):
    config: DiscriminatorConfig

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__(config)
        *above, (_, width) = config.levels
        self.from_image = conv(config.image_shape[0], width, 1, bias=True)
        stages: list[nn.Module] = residual_blocks(config, width)
        for _, next_width in reversed(above):
            stages += [Down(width, next_width), *residual_blocks(config, next_width)]
            width = next_width
        self.stages = nn.Sequential(*stages)
        size = config.levels[0][0]
        self.basis = conv(width, width, size, groups=width)
        if config.num_classes:
            self.embed = nn.Embedding(config.num_classes, config.embed_dim)
            self.score = linear(width, config.embed_dim)
        else:
            self.score = linear(width, 1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        x = self.stages(self.from_image(x))  # (N, width, 4, 4)
        with without_autocast(x):  # differences of scores are what counts
            x = self.score(self.basis(x.float()).flatten(1))  # (N, 1 or embed_dim)
            if labels is None:
                return x.squeeze(1)  # (N,)
            return (x * self.embed(labels)).sum(1) / math.sqrt(self.config.embed_dim)


class Block(nn.Module):
    """x + conv1x1(f(grouped conv3x3(f(conv1x1(x))))), f the leaky ReLU.

    `scale` of the first two convolutions' weights is L^(-1/4) for L blocks in the network: Fixup's
    L^(-1 / (2m - 2)) for the m = 3 convolutions of a branch.
    """

    def __init__(self, width: int, hidden: int, groups: int, scale: float) -> None:
        super().__init__()
        gain = math.sqrt(2 / (1 + SLOPE**2)) * scale
        self.expand = conv(width, hidden, 1, bias=True, gain=gain)
        self.spatial = conv(hidden, hidden, 3, bias=True, groups=groups, gain=gain)
        self.reduce = conv(hidden, width, 1, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = leaky_relu(self.expand(x), SLOPE)  # (N, hidden, H, W)
        y = leaky_relu(self.spatial(y), SLOPE)
        return x + self.reduce(y)  # (N, width, H, W)


def residual_blocks(config: GeneratorConfig | DiscriminatorConfig, width: int) -> list[nn.Module]:
    """The blocks of one resolution."""
    hidden = width * config.expansion
    scale = (config.blocks * len(config.levels)) ** -0.25
    return [Block(width, hidden, hidden // config.group_size, scale) for _ in range(config.blocks)]


class Up(nn.Module):
    """To twice the size and another width: a 1x1 convolution, then [1, 3, 3, 1]."""

    fir: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = width_change(in_channels, out_channels)
        self.register_buffer("fir", fir_kernel(gain=4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return fir_upsample(self.conv(x), self.fir)


class Down(nn.Module):
    """To half the size and another width: [1, 3, 3, 1], then a 1x1 convolution."""

    fir: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = width_change(in_channels, out_channels)
        self.register_buffer("fir", fir_kernel(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(fir_downsample(x, self.fir))


def width_change(in_channels: int, out_channels: int) -> nn.Module:
    """A 1x1 convolution where the width changes; nothing where it does not."""
    return nn.Identity() if in_channels == out_channels else conv(in_channels, out_channels, 1)


def conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    groups: int = 1,
    bias: bool = False,
    gain: float = 1.0,
) -> nn.Conv2d:
    """A convolution of weights from N(0, gain^2 / fan_in), which keeps the variance at gain 1;
    one over the whole map (D's last) is not padded."""
    padding = 1 if kernel_size == 3 else 0
    made = nn.Conv2d(
        in_channels, out_channels, kernel_size, padding=padding, groups=groups, bias=bias
    )
    nn.init.normal_(made.weight, std=gain / math.sqrt(made.weight[0].numel()))
    if made.bias is not None:
        nn.init.zeros_(made.bias)
    return made


def linear(in_features: int, out_features: int) -> nn.Linear:
    """A linear layer without bias whose outputs have its inputs' variance."""
    made = nn.Linear(in_features, out_features, bias=False)
    nn.init.normal_(made.weight, std=1 / math.sqrt(in_features))
    return made
