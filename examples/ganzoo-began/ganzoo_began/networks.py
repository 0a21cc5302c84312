"""Berthelot et al. 2017, "BEGAN: Boundary Equilibrium Generative Adversarial Networks", section
3.5 and figure 1, without the vanishing residuals.

3x3 convolutions with ELU, two at each resolution. The encoder's channels grow by n with each
halving; the decoder has n throughout and grows by nearest neighbours. A linear map leads from 8x8
to the code h and back. G is a decoder with weights of its own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.models import Outputs
from ganzoo_began.config import AutoencoderConfig, GeneratorConfig

SMALLEST = 8
"""The side of the smallest maps."""


class Generator(ganzoo.Generator):
    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.decoder = decoder(config.z_dim, config.image_shape, config.width)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        z = torch.erf(z / math.sqrt(2))  # N(0, 1) to the paper's uniform distribution in [-1, 1]
        return self.decoder(z)  # (N, z_dim) -> (N, C, H, W)


class Autoencoder(ganzoo.Discriminator):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config)
        self.encoder = encoder(config.hidden_dim, config.image_shape, config.width)
        self.decoder = decoder(config.hidden_dim, config.image_shape, config.width)

    def outputs(self, x: Tensor, labels: Tensor | None = None) -> Outputs:  # type: ignore[override]
        """The reconstruction of x, and minus its L1 error as the score: less is more real."""
        self.check_labels(labels)
        reconstruction = self.decoder(self.encoder(x))
        score = -(x - reconstruction).abs().mean((1, 2, 3))
        return Outputs(score, reconstruction=reconstruction)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.outputs(x, labels).score


def encoder(hidden_dim: int, image_shape: tuple[int, int, int], width: int) -> nn.Sequential:
    """(N, C, H, W) -> (N, hidden_dim)."""
    channels, size, _ = image_shape
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ELU()]
    wide = width
    while size > SMALLEST:
        layers += [*two_convolutions(wide, wide)]
        layers += [nn.Conv2d(wide, wide + width, 3, stride=2, padding=1), nn.ELU()]
        size, wide = size // 2, wide + width
    layers += [*two_convolutions(wide, wide), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(wide * SMALLEST**2, hidden_dim))


def decoder(inputs: int, image_shape: tuple[int, int, int], width: int) -> nn.Sequential:
    """(N, inputs) -> (N, C, H, W)."""
    channels, size, _ = image_shape
    layers: list[nn.Module] = [
        nn.Linear(inputs, width * SMALLEST**2),
        nn.Unflatten(1, (width, SMALLEST, SMALLEST)),
        *two_convolutions(width, width),
    ]
    for _ in range(int(math.log2(size // SMALLEST))):
        layers += [nn.UpsamplingNearest2d(scale_factor=2), *two_convolutions(width, width)]
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))


def two_convolutions(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.ELU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.ELU(),
    ]
