"""Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", appendix C, table 3: the residual
networks for CIFAR-10, at other sizes with more or fewer blocks.

G: z -> 4x4 -> three blocks that double the size -> batch norm, ReLU, 3x3 convolution, tanh.
D: a block that halves the size, one more, two that keep it, ReLU, mean over the pixels, linear.
With num_classes > 0, the one-hot label joins z in G, and joins the image as constant maps in D.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

import ganzoo
from ganzoo.inference import fold_pair
from ganzoo.nn import NORMS, upsample_nearest, with_one_hot
from ganzoo_wgan.config import ResNetCriticConfig, ResNetGeneratorConfig


class Generator(ganzoo.Generator):
    def __init__(self, config: ResNetGeneratorConfig) -> None:
        super().__init__(config)
        channels, size, _ = config.image_shape
        self.start = 7 if size == 28 else 4
        width = config.width
        self.project = nn.Linear(config.z_dim + config.num_classes, width * self.start**2)
        self.blocks = nn.Sequential(
            *(
                Block(width, width, nn.BatchNorm2d, resample=upsample_nearest)
                for _ in range(int(math.log2(size // self.start)))
            )
        )
        self.norm = nn.BatchNorm2d(width)
        self.to_image = nn.Conv2d(width, channels, 3, padding=1)
        initialise(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        z = with_one_hot(z, labels, self.num_classes)
        x = self.project(z).unflatten(1, (-1, self.start, self.start))  # (N, width, 4, 4)
        x = self.blocks(x)  # (N, width, H, W)
        return torch.tanh(self.to_image(relu(self.norm(x))))  # (N, C, H, W)


class Critic(ganzoo.Discriminator):
    def __init__(self, config: ResNetCriticConfig) -> None:
        super().__init__(config)
        channels, size, _ = config.image_shape
        width, norm = config.width, NORMS[config.norm]
        halvings = max(1, int(math.log2(size // 7)))  # to 8x8, or 7x7
        self.first = FirstBlock(channels + config.num_classes, width)
        self.blocks = nn.Sequential(
            *(Block(width, width, norm, resample=avg_pool) for _ in range(halvings - 1)),
            *(Block(width, width, norm) for _ in range(2)),
        )
        self.score = nn.Linear(width, 1)
        initialise(self)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        x = with_one_hot(x, labels, self.num_classes)
        x = self.blocks(self.first(x))  # (N, width, 8, 8)
        return self.score(relu(x).mean(dim=(2, 3))).squeeze(1)  # (N,)


class Block(nn.Module):
    """norm, ReLU, convolution, norm, ReLU, convolution, beside a shortcut; one resampling on each
    way: before the first convolution where the size grows, after the second where it shrinks."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: Callable[[int], nn.Module],
        resample: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(in_channels), norm(out_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if resample else nn.Identity()
        self.grow = resample if resample is upsample_nearest else identity
        self.shrink = resample if resample is avg_pool else identity

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.grow(relu(self.norm1(x))))
        y = self.shrink(self.conv2(relu(self.norm2(y))))
        return y + self.grow(self.shortcut(self.shrink(x)))  # a 1x1 convolution before growing

    def folded(self) -> nn.Module:
        fold_pair(self, "conv1", "norm2")
        return self


class FirstBlock(nn.Module):
    """The first block of D halves the size, and does not change the image before it is seen."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool(self.conv2(relu(self.conv1(x)))) + self.shortcut(avg_pool(x))


def avg_pool(x: Tensor) -> Tensor:
    return avg_pool2d(x, 2)


def identity(x: Tensor) -> Tensor:
    return x


def initialise(network: nn.Module) -> None:
    """Glorot's uniform distribution, for convolutions that a ReLU comes before with He's gain."""
    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            gain = math.sqrt(2) if name.endswith(("conv1", "conv2")) else 1.0
            nn.init.xavier_uniform_(layer.weight, gain)
            nn.init.zeros_(layer.bias)
