"""Networks like DCGAN's, as Gulrajani et al. 2017 have them in section 5.1: the critic's batch norm
is replaced by layer norm, because a gradient penalty is that of each image alone.

With num_classes > 0, the one-hot label joins z in G, and joins the image as constant maps in D.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import ganzoo
from ganzoo_wgan.config import CriticConfig, GeneratorConfig, sizes, widths


class Generator(ganzoo.Generator):
    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        channels, full, _ = config.image_shape
        start, (width, *above) = sizes(full)[0], widths(full, config.width, config.max_width)
        layers: list[nn.Module] = [
            nn.Linear(config.z_dim + config.num_classes, width * start**2, bias=False),
            nn.Unflatten(1, (width, start, start)),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        for wider in above:
            layers += [
                nn.ConvTranspose2d(width, wider, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(wider),
                nn.ReLU(inplace=True),
            ]
            width = wider
        layers += [nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        if labels is not None:
            z = torch.cat([z, one_hot(labels, self.num_classes).to(z.dtype)], dim=1)
        return self.layers(z)  # (N, Z) -> (N, C, H, W)


class Critic(ganzoo.Discriminator):
    def __init__(self, config: CriticConfig) -> None:
        super().__init__(config)
        channels, full, _ = config.image_shape
        *above, width = widths(full, config.width, config.max_width)
        layers: list[nn.Module] = [
            nn.Conv2d(channels + config.num_classes, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        ]
        for wider in reversed(above):
            layers += [
                nn.Conv2d(width, wider, 4, stride=2, padding=1),
                NORMS[config.norm](wider),
                nn.LeakyReLU(0.2),
            ]
            width = wider
        layers += [nn.Flatten(), nn.Linear(width * sizes(full)[0] ** 2, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        if labels is not None:
            maps = one_hot(labels, self.num_classes).to(x.dtype)[:, :, None, None]
            x = torch.cat([x, maps.expand(-1, -1, *x.shape[2:])], dim=1)
        return self.layers(x).squeeze(1)  # (N, C, H, W) -> (N,)


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "layer": lambda width: nn.GroupNorm(1, width),
    "none": lambda width: nn.Identity(),
    "batch": nn.BatchNorm2d,
}
