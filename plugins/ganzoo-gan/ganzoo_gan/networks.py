"""Goodfellow et al. 2014, "Generative Adversarial Networks": two multilayer perceptrons.

G: z -> 256 -> 512 -> 1024 -> C*H*W, LeakyReLU 0.2 between, tanh at the end.
D: C*H*W -> 512 -> 256 -> 1, LeakyReLU 0.2 between, a raw score: the sigmoid lives in the loss.
With num_classes > 0, the one-hot label is appended to the input of both (Mirza and Osindero 2014).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import ganzoo
from ganzoo_gan.config import DiscriminatorConfig, GeneratorConfig


class Generator(ganzoo.Generator):
    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        layers: list[nn.Module] = []
        width = config.z_dim + config.num_classes
        for hidden in config.widths:
            layers += [nn.Linear(width, hidden), nn.LeakyReLU(0.2)]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, math.prod(config.image_shape)))
        initialise(self, config.init_std)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        x = z if labels is None else with_one_hot(z, labels, self.num_classes)
        x = self.layers(x)  # (N, C*H*W)
        return torch.tanh(x).unflatten(1, self.image_shape)  # (N, C, H, W)


class Discriminator(ganzoo.Discriminator):
    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__(config)
        layers: list[nn.Module] = []
        width = math.prod(config.image_shape) + config.num_classes
        for hidden in config.widths:
            layers += [nn.Linear(width, hidden), nn.LeakyReLU(0.2)]
            if config.dropout:
                layers += [nn.Dropout(config.dropout)]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))
        initialise(self, config.init_std)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        x = x.flatten(1)  # (N, C*H*W)
        if labels is not None:
            x = with_one_hot(x, labels, self.num_classes)
        return self.layers(x).squeeze(1)  # (N,)


def with_one_hot(x: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """(N, F) and labels (N,) to (N, F + num_classes)."""
    return torch.cat([x, one_hot(labels, num_classes).to(x.dtype)], dim=1)


def initialise(module: nn.Module, std: float) -> None:
    """Linear weights from N(0, std), biases 0; PyTorch's default where std is 0."""
    for layer in module.modules():
        if std and isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, std)
            nn.init.zeros_(layer.bias)
