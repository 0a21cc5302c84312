"""Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", figures 2, 3 and 7.

G: z and label -> w; w scales the input channels of every convolution, whose output is scaled back
to unit variance (demodulation); each resolution adds its image to the upsampled one before it.
D: residual blocks down to 4x4, minibatch standard deviation, one score; with classes, the scalar
product with an embedding of the label (Miyato and Koyama 2018), or a score for each class. Every
weight is scaled at run time ("equalised"), every change of resolution is filtered by [1, 3, 3, 1].
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, one_hot

import ganzoo
from ganzoo.nn import (
    ConvTranspose2d,
    EqualizedLinear,
    fir_blur,
    fir_downsample,
    fir_kernel,
    fir_upsample,
    minibatch_stddev,
    pixel_norm,
    without_autocast,
)
from ganzoo.rng import Noise
from ganzoo.winograd import Conv3x3
from ganzoo_stylegan.config import (
    StyleGAN2DiscriminatorConfig,
    StyleGAN2GeneratorConfig,
    levels,
)
from ganzoo_stylegan.styles import StyleGenerator, noise_map

SQRT2 = math.sqrt(2)
"""Follows every leaky ReLU, which halves the variance. As it commutes with it, it is multiplied
into what is small: biases, weights or the factors of demodulation."""


class Generator(StyleGenerator):
    config: StyleGAN2GeneratorConfig

    def __init__(self, config: StyleGAN2GeneratorConfig) -> None:
        super().__init__(config)
        image_channels = config.image_shape[0]
        sizes, widths = levels(config.image_shape), config.widths
        self.mapper = Mapping(
            config.z_dim,
            config.num_classes,
            config.w_dim,
            layers=config.mapping_layers,
            width=config.mapping_width,
            embedding_dim=config.embedding_dim,
            lr_multiplier=config.mapping_lr_multiplier,
            joint=config.conditioning == "joint",
        )
        self.const = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        residual = config.architecture == "resnet"
        gain = 1 / SQRT2 if residual else 1.0  # of both paths
        convs = [StyledConv(widths[0], widths[0], 4, config)]
        for size, before, width in zip(sizes[1:], widths, widths[1:]):
            convs.append(StyledConv(before, width, size, config, up=True))
            convs.append(StyledConv(width, width, size, config, gain=gain))
        self.convs = nn.ModuleList(convs)
        self.skips = nn.ModuleList(
            Conv(before, width, 1, up=True, gain=gain, linear=True)
            for before, width in itertools.pairwise(widths)
            if residual
        )
        self.unseen = 0 if config.architecture == "skip" else len(widths) - 1
        self.to_images = nn.ModuleList(
            ToImage(width, image_channels, config) for width in widths[self.unseen :]
        )
        self.register_buffer("fir", fir_kernel(gain=4), persistent=False)
        self.num_ws = len(convs) + 1

    def synthesis(self, ws: Tensor, *, noise: str = "const", rng: Noise | None = None) -> Tensor:
        x, image = self.const.expand(ws.shape[0], -1, -1, -1), None  # (N, C, 4, 4)
        for layer, conv in enumerate(self.convs):
            if layer % 2 and self.skips:  # past this resolution's convolutions
                skipped = self.skips[layer // 2](x)
            x = conv(x, ws[:, layer], noise_map(conv.noise, layer, noise, rng))
            if layer % 2:  # the first of two convolutions of a resolution
                continue
            if layer and self.skips:
                x = skipped + x
            number = layer // 2 - self.unseen
            if number < 0:  # of "resnet" and "orig", only the last resolution makes an image
                continue
            # an image's layer has the w of the convolution that follows it
            level = self.to_images[number](x, ws[:, layer + 1])
            with without_autocast(level):
                image = level if image is None else fir_upsample(image, self.fir) + level
        assert image is not None
        return image


class Mapping(nn.Module):
    """z and the label's code, each brought to unit length, or `joint`ly, to w. Without z (z_dim 0),
    D's map of labels."""

    def __init__(
        self,
        z_dim: int,
        num_classes: int,
        w_dim: int,
        *,
        layers: int,
        lr_multiplier: float,
        width: int | None = None,
        embedding_dim: int | None = None,
        joint: bool = False,
    ) -> None:
        """`width` is that of the layers before the last, `embedding_dim` of the label's embedding:
        w_dim if left out, or that of z for a `joint` one, which is neither equalised nor has a
        bias."""
        super().__init__()
        self.num_classes, self.joint = num_classes, joint
        embedding_dim = embedding_dim or (z_dim if joint else w_dim)
        self.embed: nn.Module | None = None
        if num_classes and joint:
            self.embed = nn.Embedding(num_classes, embedding_dim)
        elif num_classes:
            self.embed = EqualizedLinear(num_classes, embedding_dim)
        wide = z_dim + (embedding_dim if num_classes else 0)
        widths = [wide, *[width or w_dim] * (layers - 1), w_dim]
        self.layers = nn.ModuleList(
            EqualizedLinear(widths[k], widths[k + 1], lr_multiplier=lr_multiplier)
            for k in range(layers)
        )

    def forward(self, z: Tensor | None, labels: Tensor | None) -> Tensor:
        if self.joint:
            x = pixel_norm(z if self.embed is None else torch.cat([z, self.embed(labels)], dim=1))
        else:
            parts = [] if z is None else [pixel_norm(z)]
            if self.embed is not None:
                parts.append(pixel_norm(self.embed(one_hot(labels, self.num_classes).float())))
            x = torch.cat(parts, dim=1)
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2) * SQRT2
        return x  # (N, w_dim)


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU (figure 2d).

    Scaling the weights by the style s, and to unit norm, is scaling the input by s and the output
    by d = 1 / |w s|: one convolution for the whole batch, instead of other weights for each image.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        config: StyleGAN2GeneratorConfig,
        *,
        up: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.affine = EqualizedLinear(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(size, size))
        self.up, self.gain = up, gain * SQRT2
        self.clamp = None if config.conv_clamp is None else config.conv_clamp * gain
        if up:
            self.register_buffer("fir", fir_kernel(gain=4), persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        with without_autocast(w):
            style = self.affine(w)  # (N, in)
            norms = style.square() @ self.weight.square().sum((2, 3)).T
            demodulation = (norms + 1e-8).rsqrt() * self.gain  # (N, out)
        x = x * style[:, :, None, None].to(x.dtype)
        if self.up:
            x = conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)  # (N, out, 2H+1, 2W+1)
            x = fir_blur(x, self.fir, padding=1)
        else:
            x = conv2d(x, self.weight, padding=1)
        # one new tensor, on which the rest is done in place: at these sizes memory is what costs
        x = x * demodulation[:, :, None, None].to(x.dtype)
        x = x.add_((self.bias * self.gain)[:, None, None].to(x.dtype))
        if noise is not None:
            x = x.add_((noise * (self.noise_strength * self.gain)).to(x.dtype))
        x = leaky_relu(x, 0.2, inplace=True)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def folded(self) -> nn.Module:
        return FoldedConv(self)


class FoldedConv(nn.Module):
    """`StyledConv` for inference: what no style changes is worked out, and the rest in place."""

    def __init__(self, layer: StyledConv) -> None:
        super().__init__()
        self.affine, self.up = layer.affine, layer.up
        self.gain, self.clamp = layer.gain, layer.clamp
        self.register_buffer("noise", layer.noise)
        self.register_buffer("strength", layer.noise_strength * layer.gain)
        self.register_buffer("bias", (layer.bias * layer.gain)[:, None, None])
        self.register_buffer("norms", layer.weight.square().sum((2, 3)).T.contiguous())  # (in, out)
        self.conv: nn.Module = Conv3x3(layer.weight)
        if layer.up:
            out, channels = layer.weight.shape[:2]
            self.conv = ConvTranspose2d(channels, out, 3, stride=2, bias=False, device="meta")
            self.conv.weight = nn.Parameter(layer.weight.transpose(0, 1), requires_grad=False)
            self.register_buffer("fir", layer.fir)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        with without_autocast(w):
            style = self.affine(w)  # (N, in)
            demodulation = (style.square() @ self.norms + 1e-8).rsqrt_().mul_(self.gain)  # (N, out)
        x = x * style[:, :, None, None].to(x.dtype)
        x = self.conv(x)  # (N, out, H, W), or (N, out, 2H+1, 2W+1)
        if self.up:
            x = fir_blur(x, self.fir, padding=1)
        x = x.mul_(demodulation[:, :, None, None].to(x.dtype)).add_(self.bias.to(x.dtype))
        if noise is not None:
            x = x.add_((noise * self.strength).to(x.dtype))
        x = leaky_relu(x, 0.2, inplace=True)
        return x if self.clamp is None else x.clamp_(-self.clamp, self.clamp)


class ToImage(nn.Module):
    """A modulated 1x1 convolution to an image, without demodulation, in float32.

    Few output channels make it cheaper to scale the weights than the input.
    """

    def __init__(
        self, in_channels: int, image_channels: int, config: StyleGAN2GeneratorConfig
    ) -> None:
        super().__init__()
        self.affine = EqualizedLinear(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(image_channels, in_channels))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.scale = 1 / math.sqrt(in_channels)
        self.clamp = config.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        with without_autocast(w):
            weight = self.weight * (self.affine(w) * self.scale)[:, None]  # (N, image, in)
        pixels = x.permute(0, 2, 3, 1)  # (N, H, W, in): as they lie in channels_last, also backward
        image = pixels.flatten(1, 2) @ weight.to(x.dtype).mT  # (N, HW, image)
        image = image.float() + self.bias
        if self.clamp is not None:
            image = image.clamp(-self.clamp, self.clamp)
        return image.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


class Discriminator(ganzoo.Discriminator):
    config: StyleGAN2DiscriminatorConfig

    def __init__(self, config: StyleGAN2DiscriminatorConfig) -> None:
        super().__init__(config)
        image_channels, (*_, width) = config.image_shape[0], config.widths
        architecture, clamp = config.architecture, config.conv_clamp
        self.from_image = Conv(image_channels, width, 1, clamp=clamp)
        blocks = []
        for below in config.widths[-2::-1]:
            blocks.append(Block(width, below, architecture, clamp))
            width = below
        self.blocks = nn.ModuleList(blocks)
        # the image enters each later resolution too
        entries = config.widths[-2::-1] if architecture == "skip" else []
        self.from_images = nn.ModuleList(
            Conv(image_channels, entry, 1, clamp=clamp if k < len(entries) - 1 else None)
            for k, entry in enumerate(entries)
        )
        self.mbstd_channels = config.mbstd_channels if config.mbstd_group else 0
        self.conv = Conv(width + self.mbstd_channels, width, 3, clamp=clamp)
        dense = config.dense_width or width
        self.dense = EqualizedLinear(width * 4 * 4, dense)
        projects = config.num_classes > 0 and config.conditioning == "projection"
        self.out_dim = (config.cmap_dim or width) if projects else max(1, config.num_classes)
        self.out = EqualizedLinear(dense, self.out_dim)
        self.mapper: nn.Module | None = None
        if projects:
            self.mapper = Mapping(
                0,
                config.num_classes,
                self.out_dim,
                layers=config.mapping_layers,
                width=config.mapping_width,
                embedding_dim=config.embedding_dim,
                lr_multiplier=config.mapping_lr_multiplier,
            )
        self.register_buffer("fir", fir_kernel(), persistent=False)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        image, x = x, self.from_image(x)  # (N, C, H, W)
        for k, block in enumerate(self.blocks):
            x = block(x)
            if self.from_images:
                image = fir_downsample(image, self.fir)
                x = x + self.from_images[k](image)
        if self.config.mbstd_group:
            x = minibatch_stddev(x, self.config.mbstd_group, channels=self.mbstd_channels)
        x = self.conv(x)  # (N, C, 4, 4)
        with without_autocast(x):
            x = self.out(leaky_relu(self.dense(x.flatten(1).float()), 0.2) * SQRT2)  # (N, out_dim)
            if self.mapper is not None:
                x = (x * self.mapper(None, labels)).sum(1, keepdim=True) / math.sqrt(self.out_dim)
            elif labels is not None:
                x = x.gather(1, labels[:, None])  # (N, classes) -> (N, 1)
        return x.squeeze(1)


class Block(nn.Module):
    """Two convolutions to half the size; as a residual, both paths are scaled by 1 / sqrt(2)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        architecture: str,
        clamp: float | None,
    ) -> None:
        super().__init__()
        residual = architecture == "resnet"
        gain = 1 / SQRT2 if residual else 1.0
        self.conv0 = Conv(in_channels, in_channels, 3, clamp=clamp)
        self.conv1 = Conv(in_channels, out_channels, 3, down=True, gain=gain, clamp=clamp)
        self.skip = (
            Conv(in_channels, out_channels, 1, down=True, gain=gain, linear=True)
            if residual
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.conv0(x))
        return y if self.skip is None else self.skip(x) + y


class Conv(nn.Module):
    """A convolution, to half the size if `down`, with bias and leaky ReLU unless it is `linear`;
    a linear 1x1 one to twice the size if `up`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        up: bool = False,
        down: bool = False,
        linear: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = None if linear else nn.Parameter(torch.zeros(out_channels))
        self.gain = gain if linear else gain * SQRT2
        self.scale = self.gain / math.sqrt(in_channels * kernel_size**2)
        self.clamp = None if clamp is None else clamp * gain
        self.kernel_size, self.up, self.down = kernel_size, up, down
        if up or down:
            self.register_buffer("fir", fir_kernel(gain=4 if up else 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        bias = None if self.bias is None else self.bias * self.gain
        if self.up:
            x = fir_upsample(conv2d(x, weight, bias), self.fir)
        elif not self.down:
            x = conv2d(x, weight, bias, padding=self.kernel_size // 2)
        elif self.kernel_size == 1:
            x = conv2d(fir_downsample(x, self.fir), weight, bias)
        else:
            x = conv2d(fir_blur(x, self.fir, padding=2), weight, bias, stride=2)
        if bias is None:
            return x
        x = leaky_relu(x, 0.2, inplace=True)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)
