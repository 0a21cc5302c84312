"""Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks", section 3 and figure 1.

No pooling, no hidden fully connected layer; batch norm everywhere but at G's output and D's input;
ReLU and tanh in G, LeakyReLU 0.2 in D; weights from N(0, 0.02). With num_classes > 0, the one-hot
label joins z in G; in D it joins the image as constant maps, or each class has a logit behind the
score (AC-GAN, Odena et al. 2017).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

import ganzoo
from ganzoo.models import Outputs
from ganzoo.nn import (
    ConvTranspose2d,
    dcgan_down,
    dcgan_init,
    dcgan_up,
    pyramid,
    with_one_hot,
)
from ganzoo_dcgan.config import DiscriminatorConfig, GeneratorConfig


class Generator(ganzoo.Generator):
    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        image_channels, full, _ = config.image_shape
        levels = [*pyramid(full, config.width, config.max_width), (full, image_channels)]
        size, width = levels[0]
        self.layers = nn.Sequential(
            # "project and reshape": a linear layer, written as a convolution of a 1x1 map
            ConvTranspose2d(config.z_dim + config.num_classes, width, size, bias=False),
            *dcgan_up(levels),
            *([nn.Tanh()] if config.output == "tanh" else []),
        )
        self.apply(dcgan_init)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        z = with_one_hot(z, labels, self.num_classes)
        return self.layers(z[:, :, None, None])  # (N, Z, 1, 1) -> (N, C, H, W)


class Discriminator(ganzoo.Discriminator):
    config: DiscriminatorConfig

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__(config)
        image_channels, full, _ = config.image_shape
        named = config.num_classes if config.names_classes else 0
        below = pyramid(full, config.width, config.max_width)[::-1]
        levels = [(full, image_channels + config.num_classes - named), *below]
        size, width = levels[-1]
        self.layers = nn.Sequential(
            *dcgan_down(levels, config.norm, bias=config.norm == "none"),
            nn.Conv2d(width, 1 + named, size),
        )
        self.apply(dcgan_init)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.outputs(x, labels).score

    def outputs(self, x: Tensor, labels: Tensor | None = None, **options: Any) -> Outputs:
        if self.config.names_classes:
            found = self.layers(x).flatten(1)  # (N, 1 + classes, 1, 1) -> (N, 1 + classes)
            return Outputs(found[:, 0], classes=found[:, 1:])
        self.check_labels(labels)
        x = with_one_hot(x, labels, self.num_classes)
        return Outputs(self.layers(x).flatten())  # (N, 1, 1, 1) -> (N,)
