"""Mirza and Osindero 2014, "Conditional Generative Adversarial Nets", section 4.1 and figure 1.

G: z -> 200 ReLU and y -> 1000 ReLU, both -> 1200 ReLU -> image. The paper's sigmoid is a tanh here,
the same function for images in [-1, 1]; its z is uniform, ours normal.
D: x -> maxout 240 x 5 and y -> maxout 50 x 5, both -> maxout 240 x 4 -> a raw score: the sigmoid
lives in the loss. Under "projection" and "auxiliary" x alone is judged, and the label is met in
`labels.Head`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.models import Outputs
from ganzoo_cgan.config import MLPDiscriminatorConfig, MLPGeneratorConfig
from ganzoo_cgan.labels import Head, label_code


class Generator(ganzoo.Generator):
    def __init__(self, config: MLPGeneratorConfig) -> None:
        super().__init__(config)
        self.code = label_code(config.conditioning, config.num_classes, config.embedding_dim)
        norm, dropout = config.norm, config.dropout
        self.of_z = Dense(config.z_dim, config.z_width, norm, dropout)
        self.of_label = Dense(self.code.width, config.label_width, norm, dropout)
        self.joint = Dense(config.z_width + config.label_width, config.width, norm, dropout)
        self.image = nn.Linear(config.width, math.prod(config.image_shape))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        y = self.of_label(self.code(labels))  # (N,) -> (N, label_width)
        x = self.joint(torch.cat([self.of_z(z), y], dim=1))  # (N, width)
        return torch.tanh(self.image(x)).unflatten(1, self.image_shape)  # (N, C, H, W)


class Discriminator(ganzoo.Discriminator):
    def __init__(self, config: MLPDiscriminatorConfig) -> None:
        super().__init__(config)
        classes, conditioning = config.num_classes, config.conditioning
        pieces, dropout = config.pieces, config.dropout
        self.of_image = Maxout(math.prod(config.image_shape), config.image_width, pieces, dropout)
        width = config.image_width
        if conditioning in ("concat", "embedding"):
            self.code = label_code(conditioning, classes, config.embedding_dim)
            self.of_label = Maxout(self.code.width, config.label_width, pieces, dropout)
            width += config.label_width
        self.joint = Maxout(width, config.width, config.joint_pieces, dropout)
        self.head = Head(config.width, classes, conditioning)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.outputs(x, labels).score

    def outputs(self, x: Tensor, labels: Tensor | None = None) -> Outputs:
        if "conditional" in self.config.provides:
            self.check_labels(labels)
        h = self.of_image(x.flatten(1))  # (N, C, H, W) -> (N, image_width)
        if self.config.conditioning in ("concat", "embedding"):
            h = torch.cat([h, self.of_label(self.code(labels))], dim=1)
        return self.head(self.joint(h), labels)


class Dense(nn.Sequential):
    """A linear layer, batch norm if that is asked for, and ReLU."""

    def __init__(self, width: int, units: int, norm: str, dropout: float) -> None:
        normed = nn.BatchNorm1d(units) if norm == "batch" else nn.Identity()
        super().__init__(nn.Linear(width, units), normed, nn.ReLU(), nn.Dropout(dropout))


class Maxout(nn.Module):
    """Each unit is the largest of `pieces` linear functions (Goodfellow et al. 2013, "Maxout
    Networks", arXiv:1302.4389)."""

    def __init__(self, width: int, units: int, pieces: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, units * pieces)
        self.pieces = pieces
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        pieces = self.linear(x).unflatten(1, (-1, self.pieces))  # (N, units, pieces)
        return self.dropout(pieces.amax(dim=2))
