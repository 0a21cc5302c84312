"""Goodfellow et al. 2014, "Generative Adversarial Networks": two multilayer perceptrons.

G: z -> 256 -> 512 -> 1024 -> C*H*W, LeakyReLU 0.2 between, tanh at the end.
D: C*H*W -> 512 -> 256 -> 1, LeakyReLU 0.2 between, a raw score: the sigmoid lives in the loss.
With num_classes > 0, the one-hot label is appended to the input of both (Mirza and Osindero 2014).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.nn import with_one_hot
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
        x = self.layers(with_one_hot(z, labels, self.num_classes))  # (N, C*H*W)
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
        x = with_one_hot(x.flatten(1), labels, self.num_classes)  # (N, C*H*W + classes)
        return self.layers(x).squeeze(1)  # (N,)


def initialise(module: nn.Module, std: float) -> None:
    """Linear weights from N(0, std), biases 0; PyTorch's default where std is 0."""
    for layer in module.modules():
        if std and isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, std)
            nn.init.zeros_(layer.bias)
