"""Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation",
figures 1 and 2, table 2, sections 3 and 4.

From 4x4 up, two 3x3 convolutions a resolution in G, and their mirror in D; LeakyReLU 0.2, equalised
learning rates, pixel norm in G, minibatch standard deviation in D. Each resolution has a 1x1
convolution of its own to or from RGB. All of them exist from the start, and `lod` chooses: 0 is the
full resolution, 1 half of it, and between them the two are blended, as in figure 2. Images are full
size at every `lod`.

With num_classes > 0, the one-hot label joins z in G; D has one score a class, of which the label
picks one, or one score and the logits of all classes (AC-GAN's heads, as the authors have them).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.functional import avg_pool2d, conv2d, leaky_relu, pad

import ganzoo
from ganzoo.models import Outputs
from ganzoo.nn import (
    EqualizedConv2d,
    EqualizedLinear,
    downsample_box,
    level_of,
    minibatch_stddev,
    pixel_norm,
    upsample_nearest,
    with_one_hot,
)
from ganzoo_progan.config import RESOLUTIONS, DiscriminatorConfig, GeneratorConfig

HE = math.sqrt(2)  # the gain of layers that a (leaky) ReLU follows


# -- the generator ---------------------------------------------------------------------------------


class Activation(nn.Module):
    """What follows a convolution: LeakyReLU and pixel norm, in the paper's order or the other."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        self.norm_first = norm_first

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_first:
            return leaky_relu(pixel_norm(x), 0.2)
        return pixel_norm(leaky_relu(x, 0.2))

    def folded(self) -> nn.Module:
        return InPlace(self.norm_first)


class InPlace(nn.Module):
    """`Activation` for inference, in place, with the norm of each pixel in one pass: a quarter of
    the time of a ProGAN at 256x256."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        self.norm_first = norm_first

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.norm_first else leaky_relu(x, 0.2, inplace=True)
        norm = vector_norm(x, dim=1, keepdim=True)  # (N, 1, H, W)
        x = x.mul_((norm.square() / x.shape[1] + 1e-8).rsqrt_())
        return leaky_relu(x, 0.2, inplace=True) if self.norm_first else x


class Start(nn.Module):
    """The 4x4 block: a dense layer, reshaped, and one convolution."""

    def __init__(self, inputs: int, width: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.activated = Activation(config.norm_first)
        self.dense = EqualizedLinear(inputs, width * 4 * 4, gain=HE / 4, bias=False)
        size = 4 if config.start_bias == "pixel" else 1
        self.bias = nn.Parameter(torch.zeros(width, size, size) if size > 1 else torch.zeros(width))
        self.conv = EqualizedConv2d(width, width, 3, gain=HE)

    def forward(self, z: Tensor) -> Tensor:
        bias = self.bias if self.bias.ndim == 3 else self.bias[:, None, None]
        x = self.activated(self.dense(z).unflatten(1, (-1, 4, 4)) + bias)
        return self.activated(self.conv(x))  # (N, C, 4, 4)


class Up(nn.Module):
    """Twice the resolution: upsampling, and two convolutions."""

    def __init__(self, inputs: int, width: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.activated = Activation(config.norm_first)
        self.conv0 = EqualizedConv2d(inputs, width, 3, gain=HE, up=True)
        self.conv1 = EqualizedConv2d(width, width, 3, gain=HE)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activated(self.conv0(x))  # (N, inputs, R / 2, R / 2) -> (…, R, R)
        return self.activated(self.conv1(x))  # (N, width, R, R)


class Generator(ganzoo.Generator):
    config: GeneratorConfig

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        image_channels, widths = config.image_shape[0], config.widths
        first: list[nn.Module] = [Start(config.z_dim + config.num_classes, widths[0], config)]
        ups = [Up(before, width, config) for before, width in itertools.pairwise(widths)]
        self.blocks = nn.ModuleList(first + ups)
        self.to_rgb = nn.ModuleList(EqualizedConv2d(width, image_channels, 1) for width in widths)

    def forward(self, z: Tensor, labels: Tensor | None = None, *, lod: float = 0.0) -> Tensor:
        self.check_labels(labels)
        top, fraction = level_of(lod, len(self.blocks))
        config = self.config
        if config.normalise_latent and not config.normalise_label:
            z = pixel_norm(z)
        z = with_one_hot(z, labels, self.num_classes, length=config.label_length)
        if config.normalise_latent and config.normalise_label:
            z = pixel_norm(z)
        x = below = z  # (N, Z)
        for block in self.blocks[: top + 1]:
            below, x = x, block(x)  # (N, C, R, R)
        image = self.to_rgb[top](x)
        if fraction > 0:
            image = torch.lerp(image, upsample_nearest(self.to_rgb[top - 1](below)), fraction)
        if config.output == "tanh":
            image = image.tanh()
        return upsample_nearest(image, self.image_shape[1] // image.shape[2])


# -- the discriminator -----------------------------------------------------------------------------


class FromRGB(nn.Module):
    def __init__(self, image_channels: int, width: int, *, activated: bool) -> None:
        super().__init__()
        self.conv = EqualizedConv2d(image_channels, width, 1, gain=HE)
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return leaky_relu(x, 0.2) if self.activated else x


class Down(nn.Module):
    """Two convolutions, and half the resolution.

    Fused, squares are averaged before the bias and LeakyReLU of the second one: a convolution of
    stride 2, whose 4x4 kernel is the mean of the 3x3 one at four places. Else they are averaged
    last.
    """

    def __init__(self, width: int, outputs: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.fused = config.fused_scale
        between = outputs if config.wider == "first" else width
        self.conv0 = EqualizedConv2d(width, between, 3, gain=HE)
        self.conv1 = EqualizedConv2d(between, outputs, 3, gain=HE)

    def forward(self, x: Tensor) -> Tensor:
        x = leaky_relu(self.conv0(x), 0.2)  # (N, between, R, R)
        if not self.fused:
            return downsample_box(leaky_relu(self.conv1(x), 0.2))  # (N, outputs, R / 2, R / 2)
        kernel = avg_pool2d(pad(self.conv1.weight * self.conv1.scale, (1, 1, 1, 1)), 2, stride=1)
        return leaky_relu(conv2d(x, kernel, self.conv1.bias, stride=2, padding=1), 0.2)


def consecutive_stddev(x: Tensor, group_size: int) -> Tensor:
    """`minibatch_stddev` of images beside each other, unbiased. The batch is one group where it is
    not divisible by `group_size`; a single image has a deviation of 0."""
    n, channels, height, width = x.shape
    size = n if n % min(group_size, n) else min(group_size, n)
    if size == 1:
        return torch.cat([x, x.new_zeros(n, 1, height, width)], dim=1)
    variance = x.float().reshape(-1, size, channels, height, width).var(dim=1)
    deviation = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3)).repeat_interleave(size)  # (N,)
    channel = deviation.to(x.dtype)[:, None, None, None].expand(n, 1, height, width)
    return torch.cat([x, channel], dim=1)


def image_stddev(x: Tensor, images: Tensor) -> Tensor:
    """x with one channel more: the mean over all values of the images' standard deviation in the
    batch, unbiased; 0 of a single image."""
    n, _, height, width = x.shape
    if n == 1:
        return torch.cat([x, x.new_zeros(1, 1, height, width)], dim=1)
    # smoothed: of a pixel that is the same in all images, a penalty's gradient would be no number
    deviation = (images.float().var(dim=0) + 1e-12).sqrt().mean()
    return torch.cat([x, deviation.to(x.dtype).expand(n, 1, height, width)], dim=1)


class Judge(nn.Module):
    """The 4x4 block: minibatch statistics, one convolution, two dense layers."""

    def __init__(self, width: int, scores: int, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.group_size, self.consecutive = config.group_size, config.consecutive_groups
        self.of_features = config.group_size > 0 and config.statistics == "features"
        self.conv = EqualizedConv2d(width + (config.group_size > 0), width, 3, gain=HE)
        self.dense = EqualizedLinear(width * 4 * 4, config.dense, gain=HE)
        self.score = EqualizedLinear(config.dense, scores)

    def forward(self, x: Tensor) -> Tensor:
        if self.of_features:
            of_groups = consecutive_stddev if self.consecutive else minibatch_stddev
            x = of_groups(x, self.group_size)  # (N, width + 1, 4, 4)
        x = leaky_relu(self.conv(x), 0.2)
        x = leaky_relu(self.dense(x.flatten(1)), 0.2)
        return self.score(x)  # (N, scores)


class Discriminator(ganzoo.Discriminator):
    config: DiscriminatorConfig

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__(config)
        image_channels, widths = config.image_shape[0], config.widths
        self.of_images = config.group_size > 0 and config.statistics == "images"
        scores = 1 + config.num_classes if config.names_classes else max(1, config.num_classes)
        last: list[nn.Module] = [Judge(widths[0], scores, config)]
        self.blocks = nn.ModuleList(
            last + [Down(b, a, config) for a, b in itertools.pairwise(widths)]
        )
        self.from_rgb = nn.ModuleList(
            FromRGB(image_channels, width, activated=config.entry_activation) for width in widths
        )

    def forward(self, x: Tensor, labels: Tensor | None = None, *, lod: float = 0.0) -> Tensor:
        return self.outputs(x, labels, lod=lod).score

    def outputs(self, x: Tensor, labels: Tensor | None = None, *, lod: float = 0.0) -> Outputs:
        if not self.config.names_classes:
            self.check_labels(labels)
        top, fraction = level_of(lod, len(self.blocks))
        image = downsample_box(x, x.shape[2] // RESOLUTIONS[top])  # (N, C, R, R)
        x = self.from_rgb[top](image)
        for level in range(top, -1, -1):
            if level == 0 and self.of_images:
                x = image_stddev(x, image)
            x = self.blocks[level](x)
            if level == top and fraction > 0:
                below = self.from_rgb[top - 1](downsample_box(image))
                x = torch.lerp(x, below, fraction)  # (N, C, R / 2, R / 2)
        if self.config.names_classes:
            return Outputs(x[:, 0], classes=x[:, 1:])
        if labels is not None:
            x = x.gather(1, labels[:, None])  # (N, classes) -> (N, 1)
        return Outputs(x.squeeze(1))
