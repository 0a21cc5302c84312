"""DCGAN's networks as Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", have them in
section 4: the critic's batch norm becomes layer norm, because a penalty on the gradient of a score
is one of its image alone.

With num_classes > 0, the one-hot label joins z in G, and joins the image as constant maps in D.
"""

from __future__ import annotations

from torch import Tensor, nn

import ganzoo
from ganzoo.nn import dcgan_down, dcgan_init, dcgan_up, pyramid, with_one_hot
from ganzoo_wgan.config import CriticConfig, GeneratorConfig


class Generator(ganzoo.Generator):
    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        channels, full, _ = config.image_shape
        levels = [*pyramid(full, config.width, config.max_width), (full, channels)]
        size, width = levels[0]
        self.layers = nn.Sequential(
            nn.Linear(config.z_dim + config.num_classes, width * size**2, bias=False),
            nn.Unflatten(1, (width, size, size)),
            *dcgan_up(levels),
            nn.Tanh(),
        )
        self.apply(dcgan_init)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        z = with_one_hot(z, labels, self.num_classes)
        return self.layers(z)  # (N, Z) -> (N, C, H, W)


class Critic(ganzoo.Discriminator):
    def __init__(self, config: CriticConfig) -> None:
        super().__init__(config)
        channels, full, _ = config.image_shape
        below = pyramid(full, config.width, config.max_width)[::-1]
        levels = [(full, channels + config.num_classes), *below]
        size, width = levels[-1]
        self.layers = nn.Sequential(
            *dcgan_down(levels, config.norm, bias=True),
            nn.Flatten(),
            nn.Linear(width * size**2, 1),
        )
        self.apply(dcgan_init)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        x = with_one_hot(x, labels, self.num_classes)
        return self.layers(x).squeeze(1)  # (N, C, H, W) -> (N,)
