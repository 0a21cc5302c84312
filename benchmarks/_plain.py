"""The same networks as one would first write them in PyTorch: what ours are compared with.

StyleGAN2 as its equations stand: every image has weights of its own, in a grouped convolution, and
each filter is a pass of its own. The other families' `forward` is plain already, but for how it
computes transposed convolutions and those of doubled maps. All of them in NCHW.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, leaky_relu, pad

from ganzoo.models import Generator
from ganzoo.nn import ConvTranspose2d, EqualizedConv2d


class PlainConv2d(EqualizedConv2d):
    """One that sees a doubled map where it takes its input at twice the size."""

    def forward(self, x: Tensor) -> Tensor:
        x = interpolate(x, scale_factor=2) if self.up else x
        return conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


def plain_copy(network: nn.Module) -> nn.Module:
    """The same network of plain layers."""
    network = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    for layer in network.modules():
        if isinstance(layer, ConvTranspose2d):
            layer.__class__ = nn.ConvTranspose2d
        elif isinstance(layer, EqualizedConv2d):
            layer.__class__ = PlainConv2d
    return network


def plain(G: Generator) -> Callable[..., Tensor]:
    """(z, labels) -> images, by the weights of G."""
    network = plain_copy(G)
    if G.part is not None and G.part.name == "stylegan2":
        return lambda z, labels=None: synthesis(network, network.mapping(z, labels))
    return network


def synthesis(G: Generator, ws: Tensor, noise: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """StyleGAN2's; `noise` gives the map of a layer, by default its constant one."""
    x, image = G.const.expand(len(ws), -1, -1, -1), None
    for layer, conv in enumerate(G.convs):
        x = modulated(x, conv.weight, conv.affine(ws[:, layer]), G.fir if conv.up else None)
        x = x + (conv.noise if noise is None else noise(x)) * conv.noise_strength
        x = leaky_relu(x + conv.bias[:, None, None], 0.2) * math.sqrt(2)
        if layer % 2 == 0:
            to_image = G.to_images[layer // 2]
            style = to_image.affine(ws[:, layer + 1]) * to_image.scale
            weight = to_image.weight[:, :, None, None]
            level = modulated(x, weight, style, demodulate=False) + to_image.bias[:, None, None]
            image = level if image is None else upsampled(image, G.fir) + level
    return image


def modulated(
    x: Tensor, weight: Tensor, style: Tensor, fir: Tensor | None = None, demodulate: bool = True
) -> Tensor:
    """Karras et al. 2020, equations 1 and 3; with a filter, to twice the size."""
    (n, channels, height, width), (out, _, size, _) = x.shape, weight.shape
    weights = weight[None] * style[:, None, :, None, None]  # (N, out, in, k, k)
    if demodulate:
        weights = weights * (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, n * channels, height, width)
    if fir is None:
        x = conv2d(x, weights.reshape(n * out, channels, size, size), padding=size // 2, groups=n)
        return x.reshape(n, out, height, width)
    weights = weights.transpose(1, 2).reshape(n * channels, out, size, size)
    x = conv_transpose2d(x, weights, stride=2, groups=n)
    return filtered(x.reshape(n, out, *x.shape[2:]), fir, (1, 1, 1, 1))


def filtered(x: Tensor, fir: Tensor, padding: tuple[int, ...]) -> Tensor:
    channels = x.shape[1]
    kernel = fir.flip(0, 1).repeat(channels, 1, 1, 1)
    return conv2d(pad(x, padding), kernel, groups=channels)


def upsampled(x: Tensor, fir: Tensor) -> Tensor:
    """Zeros between the pixels, and the filter."""
    n, channels, height, width = x.shape
    zeros = x.new_zeros(n, channels, height, 2, width, 2)
    zeros[:, :, :, 0, :, 0] = x
    return filtered(zeros.reshape(n, channels, 2 * height, 2 * width), fir, (2, 1, 2, 1))
