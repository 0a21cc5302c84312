"""Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks", section 3 and figure 1.

No pooling, no hidden fully connected layer; batch norm everywhere but at G's output and D's input;
ReLU and tanh in G, LeakyReLU 0.2 in D; weights from N(0, 0.02). With num_classes > 0, the one-hot
label joins z in G, and joins the image as constant maps in D.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import ganzoo
from ganzoo_dcgan.config import DiscriminatorConfig, GeneratorConfig, channels


class Generator(ganzoo.Generator):
    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        image_channels, size, _ = config.image_shape
        widths = channels(size, config.width, config.max_width)
        start = size >> len(widths)  # 4, or 7 for 28x28
        layers: list[nn.Module] = [
            # "project and reshape": a linear layer, written as a convolution of a 1x1 map
            nn.ConvTranspose2d(config.z_dim + config.num_classes, widths[0], start, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], image_channels, 4, stride=2, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        if labels is not None:
            z = torch.cat([z, one_hot(labels, self.num_classes).to(z.dtype)], dim=1)
        return self.layers(z[:, :, None, None])  # (N, Z, 1, 1) -> (N, C, H, W)


class Discriminator(ganzoo.Discriminator):
    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__(config)
        image_channels, size, _ = config.image_shape
        widths = channels(size, config.width, config.max_width)[::-1]
        layers: list[nn.Module] = [
            nn.Conv2d(image_channels + config.num_classes, widths[0], 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for before, after in zip(widths, widths[1:], strict=False):
            normed = config.norm in ("batch", "instance", "layer")
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not normed))
            if normed:
                layers.append(NORMS[config.norm](after))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        layers.append(nn.Conv2d(widths[-1], 1, size >> len(widths)))
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.num_classes:
            maps = one_hot(labels, self.num_classes).to(x.dtype)[:, :, None, None]
            x = torch.cat([x, maps.expand(-1, -1, *x.shape[2:])], dim=1)
        return self.layers(x).flatten()  # (N, 1, 1, 1) -> (N,)


NORMS = {
    "batch": nn.BatchNorm2d,
    "layer": lambda width: nn.GroupNorm(1, width),
    "instance": lambda width: nn.GroupNorm(width, width),
}


def initialise(module: nn.Module) -> None:
    """Section 4: all weights from a zero-centred normal distribution of deviation 0.02."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
