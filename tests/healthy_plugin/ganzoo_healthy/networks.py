"""Networks that grow, mix styles, add noise, and look at images in every declared way."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, one_hot

import ganzoo
from ganzoo.configs import NoConfig
from ganzoo.errors import InputError
from ganzoo.rng import Noise
from ganzoo_healthy.config import DiscriminatorConfig, GeneratorConfig


def shrink(x: Tensor, levels: int) -> Tensor:
    """Full-size images of a resolution that is halved `levels` times."""
    small = avg_pool2d(x, 2**levels)
    return interpolate(small, scale_factor=2**levels)


def fade(x: Tensor, lod: float) -> Tensor:
    """Blend the two resolutions between which `lod` lies."""
    whole = math.floor(lod)
    return torch.lerp(shrink(x, whole), shrink(x, whole + 1), lod - whole) if lod > 0 else x


class Generator(ganzoo.Generator):
    """z -> w, two layers of the image, each with its own w and its own noise."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.to_w = nn.Linear(config.z_dim + config.num_classes, config.w_dim)
        size = math.prod(config.image_shape)
        self.layers = nn.ModuleList(nn.Linear(config.w_dim, size) for _ in range(2))
        self.strengths = nn.Parameter(torch.zeros(2))
        self.register_buffer("w_mean", torch.zeros(config.w_dim))
        self.register_buffer("maps", torch.randn(2, *config.image_shape))
        self.num_ws = len(self.layers)

    def mapping(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        self.check_labels(labels)
        if labels is not None:
            z = torch.cat([z, one_hot(labels, self.num_classes).to(z.dtype)], dim=1)
        w = self.to_w(z)
        ws = w[:, None].repeat(1, len(self.layers), 1)  # (N, num_ws, w_dim)
        truncated = torch.lerp(self.w_mean, ws, truncation)
        if truncation_cutoff is None:
            return truncated
        return torch.cat([truncated[:, :truncation_cutoff], ws[:, truncation_cutoff:]], dim=1)

    def synthesis(
        self, ws: Tensor, *, noise: str = "const", lod: float = 0, rng: Noise | None = None
    ) -> Tensor:
        x = torch.zeros((), device=ws.device)
        for number, layer in enumerate(self.layers):
            x = x + layer(ws[:, number]).unflatten(1, self.image_shape)
            if noise == "const":
                x = x + self.strengths[number] * self.maps[number]
            elif noise == "random":
                x = x + self.strengths[number] * rng.normal(number, *self.image_shape)
        return fade(x, lod)

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
        noise: str = "const",
        mix: tuple[Tensor, int] | None = None,
        lod: float = 0,
        rng: Noise | None = None,
    ) -> Tensor:
        def ws_of(z: Tensor) -> Tensor:
            return self.mapping(
                z, labels, truncation=truncation, truncation_cutoff=truncation_cutoff
            )

        ws = ws_of(z)
        if mix is not None:
            other, layer = mix
            ws = torch.cat([ws[:, :layer], ws_of(other)[:, layer:]], dim=1)
        return self.synthesis(ws, noise=noise, lod=lod, rng=rng)


class Outputs(NamedTuple):
    score: Tensor
    classes: Tensor
    features: list[Tensor]
    reconstruction: Tensor


class Discriminator(ganzoo.Discriminator):
    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__(config)
        size = math.prod(config.image_shape)
        self.hidden = nn.Linear(size + config.num_classes, 8)
        self.norm = nn.BatchNorm1d(8) if config.norm == "batch" else nn.Identity()
        self.score = nn.Linear(8, 1)
        self.classify = nn.Linear(8, config.num_classes) if config.num_classes else None
        self.reconstruct = nn.Linear(8, size)

    def outputs(self, x: Tensor, labels: Tensor | None = None, *, lod: float = 0) -> Outputs:
        if self.num_classes and labels is None:
            raise InputError("the critic is conditional", "pass labels")
        x = fade(x, lod).flatten(1)
        if labels is not None:
            x = torch.cat([x, one_hot(labels, self.num_classes).to(x.dtype)], dim=1)
        features = leaky_relu(self.norm(self.hidden(x)), 0.2)
        return Outputs(
            self.score(features).squeeze(1),
            features[:, :0] if self.classify is None else self.classify(features),
            [features],
            self.reconstruct(features).unflatten(1, self.image_shape),
        )

    def forward(self, x: Tensor, labels: Tensor | None = None, *, lod: float = 0) -> Tensor:
        return self.outputs(x, labels, lod=lod).score


class Means(nn.Module):
    """Mean and deviation of each channel: features that need no weights."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], dim=1)


def make_features(config: NoConfig) -> nn.Module:
    return Means()
