"""A generator and a discriminator that mirror each other between 4x4 and the full resolution.

With num_classes > 0, the one-hot label joins z in G, and joins the image as constant maps in D.
"""

from __future__ import annotations

import ganzoo
from ganzoo.nn import pyramid, with_one_hot
from torch import Tensor, nn

from .config import DiscriminatorConfig, GeneratorConfig


class Generator(ganzoo.Generator):
    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        image_channels, full, _ = config.image_shape
        (_, width), *above = pyramid(full, config.width, config.max_width)
        layers: list[nn.Module] = [
            nn.Linear(config.z_dim + config.num_classes, width * 4 * 4),
            nn.Unflatten(1, (width, 4, 4)),
        ]
        for _, next_width in [*above, (full, image_channels)]:
            layers += [
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.Upsample(scale_factor=2),  # nearest: no checkerboards
                nn.Conv2d(width, next_width, 3, padding=1),
            ]
            width = next_width
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        images: Tensor = self.layers(with_one_hot(z, labels, self.num_classes))  # (N, C, H, W)
        return images


class Discriminator(ganzoo.Discriminator):
    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__(config)
        image_channels, full, _ = config.image_shape
        width = image_channels + config.num_classes
        layers: list[nn.Module] = []
        for _, next_width in pyramid(full, config.width, config.max_width)[::-1]:
            layers += [nn.Conv2d(width, next_width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            width = next_width
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 4 * 4, 1))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        scores: Tensor = self.layers(with_one_hot(x, labels, self.num_classes))  # (N, 1)
        return scores.flatten()
