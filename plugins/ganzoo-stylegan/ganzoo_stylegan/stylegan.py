"""Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks",
figure 1b and section 2.

G: z and label -> w; from a learned 4x4 constant, each layer convolves, adds noise, and normalises
every channel of every image, to give it the mean and deviation that w says (AdaIN). D is ProGAN's,
with a blur before it halves the size; with classes it has a score for each. Both grow: every
resolution has its own convolution to and from an image, and `lod` chooses among them (0 is the full
resolution, 1 half of it, between them they are blended). Images are full size at every `lod`.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

import ganzoo
from ganzoo.nn import (
    EqualizedConv2d,
    EqualizedLinear,
    downsample_box,
    fir_blur,
    fir_kernel,
    level_of,
    minibatch_stddev,
    pixel_norm,
    upsample_nearest,
    without_autocast,
)
from ganzoo.rng import Noise
from ganzoo_stylegan.config import (
    StyleGANDiscriminatorConfig,
    StyleGANGeneratorConfig,
    levels,
)
from ganzoo_stylegan.styles import StyleGenerator, noise_map

HE = math.sqrt(2)
"""The gain of weights that a leaky ReLU follows."""
BLUR = (1, 2, 1)


class Generator(StyleGenerator):
    config: StyleGANGeneratorConfig

    def __init__(self, config: StyleGANGeneratorConfig) -> None:
        super().__init__(config)
        image_channels, widths = config.image_shape[0], config.widths
        self.mapper = Mapping(config)
        self.const = nn.Parameter(torch.ones(1, widths[0], 4, 4))
        layers = []
        for size, before, width in zip(levels(config.image_shape), widths[:1] + widths, widths):
            # 4x4 is the constant
            first = UpConv(before, width, config.upsampling) if size > 4 else nn.Identity()
            layers.append(StyledLayer(first, width, size, config))
            conv = EqualizedConv2d(width, width, 3, gain=HE, bias=False)
            layers.append(StyledLayer(conv, width, size, config))
        self.layers = nn.ModuleList(layers)
        self.to_images = nn.ModuleList(EqualizedConv2d(c, image_channels, 1) for c in widths)
        self.num_ws = len(layers)

    def used_ws(self, *, lod: float = 0.0, **options: Any) -> int:
        return self.num_ws - 2 * math.floor(lod)

    def synthesis(
        self, ws: Tensor, *, noise: str = "const", rng: Noise | None = None, lod: float = 0.0
    ) -> Tensor:
        top, fraction = level_of(lod, len(self.to_images))
        x = below = self.const.expand(ws.shape[0], -1, -1, -1)  # (N, C, 4, 4)
        for number, layer in enumerate(self.layers[: 2 * top + 2]):
            if number == 2 * top:
                below = x
            x = layer(x, ws[:, number], noise_map(layer.noise, number, noise, rng))
        image = self.to_images[top](x).float()
        if fraction > 0:
            coarse = self.to_images[top - 1](below).float()
            image = torch.lerp(image, upsample_nearest(coarse), fraction)
        if self.config.output == "tanh":
            image = image.tanh()
        return upsample_nearest(image, self.image_shape[1] // image.shape[2])


class Mapping(nn.Module):
    """z and the label's embedding, together brought to unit length, to w."""

    def __init__(self, config: StyleGANGeneratorConfig) -> None:
        super().__init__()
        classes, z_dim, w_dim = config.num_classes, config.z_dim, config.w_dim
        code, slow = config.embedding_dim or z_dim, config.mapping_lr_multiplier
        self.embed = nn.Embedding(classes, code) if classes else None
        wide = z_dim + code if classes else z_dim
        widths = [wide, *[config.mapping_width or w_dim] * (config.mapping_layers - 1), w_dim]
        self.layers = nn.ModuleList(
            EqualizedLinear(before, width, gain=HE, lr_multiplier=slow)
            for before, width in itertools.pairwise(widths)
        )

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(labels)], dim=1)
        x = pixel_norm(z)
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        return x  # (N, w_dim)


class UpConv(nn.Module):
    """Twice the size, a convolution, and a blur unless `upsampling` is "plain"."""

    def __init__(self, in_channels: int, out_channels: int, upsampling: str) -> None:
        super().__init__()
        bias = upsampling == "bias-blur"
        self.conv = EqualizedConv2d(in_channels, out_channels, 3, gain=HE, bias=bias, up=True)
        self.plain = upsampling == "plain"
        if not self.plain:
            self.register_buffer("fir", fir_kernel(BLUR), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x if self.plain else fir_blur(x, self.fir, padding=1)


class StyledLayer(nn.Module):
    """What comes first (a convolution, or nothing); noise, bias, leaky ReLU; AdaIN."""

    def __init__(
        self, first: nn.Module, channels: int, size: int, config: StyleGANGeneratorConfig
    ) -> None:
        super().__init__()
        self.first = first
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise", torch.randn(size, size))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = EqualizedLinear(config.w_dim, 2 * channels)
        self.eps = config.norm_eps

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        with without_autocast(w):
            scale, shift = self.affine(w)[:, :, None, None].chunk(2, dim=1)  # (N, C, 1, 1) each
        x = self.first(x)
        if noise is not None:
            x = x + (noise * self.noise_strength[:, None, None]).to(x.dtype)
        x = leaky_relu(x + self.bias[:, None, None].to(x.dtype), 0.2)
        x = x - x.mean((2, 3), keepdim=True)
        variance = x.square().mean((2, 3), keepdim=True, dtype=torch.float32)
        x = x * ((scale + 1) * (variance + self.eps).rsqrt()).to(x.dtype)
        return x + shift.to(x.dtype)

    def folded(self) -> nn.Module:
        return FoldedLayer(self)


class FoldedLayer(nn.Module):
    """`StyledLayer` for inference, in place."""

    def __init__(self, layer: StyledLayer) -> None:
        super().__init__()
        self.first, self.affine, self.eps = layer.first, layer.affine, layer.eps
        self.register_buffer("noise", layer.noise)
        self.register_buffer("strength", layer.noise_strength[:, None, None])
        self.register_buffer("bias", layer.bias[:, None, None])

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        with without_autocast(w):
            scale, shift = self.affine(w)[:, :, None, None].chunk(2, dim=1)  # (N, C, 1, 1) each
        x, bias = self.first(x), self.bias.to(x.dtype)
        x = x + bias if isinstance(self.first, nn.Identity) else x.add_(bias)
        if noise is not None:
            x = x.addcmul_(noise.to(x.dtype), self.strength.to(x.dtype))
        x = leaky_relu(x, 0.2, inplace=True)
        x = x.sub_(x.mean((2, 3), keepdim=True))
        variance = x.square().mean((2, 3), keepdim=True, dtype=torch.float32)
        factor = (scale + 1) * (variance + self.eps).rsqrt()
        return x.mul_(factor.to(x.dtype)).add_(shift.to(x.dtype))


class Discriminator(ganzoo.Discriminator):
    config: StyleGANDiscriminatorConfig

    def __init__(self, config: StyleGANDiscriminatorConfig) -> None:
        super().__init__(config)
        image_channels, widths = config.image_shape[0], config.widths
        self.from_images = nn.ModuleList(
            EqualizedConv2d(image_channels, c, 1, gain=HE) for c in widths
        )
        self.blocks = nn.ModuleList(
            Down(c, below, below if config.wider == "first" else c)
            for below, c in itertools.pairwise(widths)
        )
        width = widths[0]
        self.conv = EqualizedConv2d(width + (config.mbstd_group > 0), width, 3, gain=HE)
        self.dense = EqualizedLinear(width * 4 * 4, config.dense, gain=HE)
        self.score = EqualizedLinear(config.dense, max(1, config.num_classes))

    def forward(self, x: Tensor, labels: Tensor | None = None, *, lod: float = 0.0) -> Tensor:
        self.check_labels(labels)
        top, fraction = level_of(lod, len(self.from_images))
        image = downsample_box(x, 2 ** (len(self.blocks) - top))  # (N, C, R, R)
        x = self._entered(image, top)
        for level in range(top, 0, -1):
            x = self.blocks[level - 1](x)  # (N, C, R / 2, R / 2)
            if level == top and fraction > 0:
                x = torch.lerp(x, self._entered(downsample_box(image), top - 1), fraction)
        if self.config.mbstd_group:
            x = minibatch_stddev(x, self.config.mbstd_group)
        x = leaky_relu(self.conv(x), 0.2)  # (N, C, 4, 4)
        with without_autocast(x):
            x = self.score(leaky_relu(self.dense(x.flatten(1).float()), 0.2))  # (N, 1 or classes)
        return x.squeeze(1) if labels is None else x.gather(1, labels[:, None]).squeeze(1)

    def _entered(self, image: Tensor, level: int) -> Tensor:
        x = self.from_images[level](image)
        return leaky_relu(x, 0.2) if self.config.entry_activation else x


class Down(nn.Module):
    """Two convolutions, the second from a blurred map to half the size."""

    def __init__(self, in_channels: int, out_channels: int, between: int) -> None:
        super().__init__()
        self.conv0 = EqualizedConv2d(in_channels, between, 3, gain=HE)
        self.conv1 = EqualizedConv2d(between, out_channels, 3, gain=HE, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("fir", fir_kernel(BLUR), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = leaky_relu(self.conv0(x), 0.2)  # (N, between, R, R)
        x = downsample_box(self.conv1(fir_blur(x, self.fir, padding=1)))  # (N, out, R / 2, R / 2)
        return leaky_relu(x + self.bias[:, None, None].to(x.dtype), 0.2)
