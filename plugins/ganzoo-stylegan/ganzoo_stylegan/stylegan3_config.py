"""Settings of StyleGAN3, and what follows from them: the rate, band and size of each layer.

Karras et al. 2021, "Alias-Free Generative Adversarial Networks", section 3.2 and appendix C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import ganzoo
from ganzoo.configs import check_range
from ganzoo.errors import ConfigError
from ganzoo_stylegan.config import check_resolution

GAIN = 2
"""Layers work at this many times the higher of their two sampling rates around the nonlinearity."""


@dataclass(frozen=True)
class Band:
    """Of a layer's output: its frequencies in cycles an image, samples in pixels an image.

    Attributes:
        cutoff: f_c, up to which frequencies pass.
        half_width: f_h, of the transition of a filter at f_c.
        sampling_rate: s.
        size: pixels a side; with a margin around the image, except in the last layers.
        channels: of its output.
        critical: whether it is critically sampled (f_c = s / 2).
    """

    cutoff: float
    half_width: float
    sampling_rate: int
    size: int
    channels: int
    critical: bool


@dataclass(frozen=True)
class StyleGAN3GeneratorConfig(ganzoo.GeneratorConfig):
    """The defaults are the paper's configuration T, equivariant to translation. Its R, to rotation
    too, has conv_kernel 1, radial_filters, channel_base 65536 and channel_max 1024.

    Attributes:
        channel_base, channel_max: a layer of cutoff f has min(channel_base / (2 f), channel_max).
        layers, critical_layers: N, before the one that makes the image; of these, the last ones
            that are critically sampled.
        conv_kernel: of the convolutions; 1 makes them equivariant to rotation.
        radial_filters: whether downsampling has radially symmetric filters.
        first_cutoff, first_stopband: f_c and f_t of the input, in cycles an image.
        last_stopband: f_t of the last layers, as a multiple of their cutoff (half the resolution).
        margin: pixels around the image, at each layer's own rate.
        filter_size: taps of a filter for each pixel of the lower rate.
        conv_clamp: largest absolute value after each nonlinearity.
        output_scale: what the last layer's output is multiplied by.
        magnitude_half_life_kimg: of the average of squared features that layers are divided by.
        style_mixing: share of training images whose later layers have the w of a second z.
        w_avg_beta: weight of the old average of w in each step of training.
    """

    image_shape: tuple[int, int, int] = (3, 256, 256)
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 2
    mapping_lr_multiplier: float = 0.01
    channel_base: int = 32768
    channel_max: int = 512
    layers: int = 14
    critical_layers: int = 2
    conv_kernel: Literal[3, 1] = 3
    radial_filters: bool = False
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband: float = 2**0.3
    margin: int = 10
    filter_size: int = 6
    conv_clamp: float | None = 256.0
    output_scale: float = 0.25
    magnitude_half_life_kimg: float = 20.0
    style_mixing: float = 0.0
    w_avg_beta: float = 0.998

    def __post_init__(self) -> None:
        super().__post_init__()
        check_resolution(self.image_shape)
        half = self.image_shape[1] / 2
        check_range("w_dim", self.w_dim, 1, 65_536)
        check_range("mapping_layers", self.mapping_layers, 1, 64)
        check_range("mapping_lr_multiplier", self.mapping_lr_multiplier, 1e-6, 1e3)
        check_range("channel_base", self.channel_base, 1, 2**24)
        check_range("channel_max", self.channel_max, 1, 16_384)
        check_range("layers", self.layers, 2, 64)
        check_range("critical_layers", self.critical_layers, 1, self.layers - 1)
        check_range("first_cutoff", self.first_cutoff, 0.1, half / 2)
        check_range("last_stopband", self.last_stopband, 1.01, 4)
        check_range("first_stopband", self.first_stopband, 0.5, half * self.last_stopband)
        if self.first_stopband <= self.first_cutoff:
            raise ConfigError(
                f"first_stopband = {self.first_stopband} is not above first_cutoff",
                f"use more than {self.first_cutoff}",
            )
        check_range("margin", self.margin, 0, 64)
        check_range("filter_size", self.filter_size, 1, 32)
        if self.conv_clamp is not None:
            check_range("conv_clamp", self.conv_clamp, 1e-3, 1e6)
        check_range("output_scale", self.output_scale, 1e-6, 1e6)
        check_range("magnitude_half_life_kimg", self.magnitude_half_life_kimg, 1e-3, 1e6)
        check_range("style_mixing", self.style_mixing, 0, 1)
        check_range("w_avg_beta", self.w_avg_beta, 0, 1)

    @property
    def bands(self) -> list[Band]:
        """Of the layers 0 … N - 1 and of the image, N; the input's are those of layer 0.

        Cutoffs and stopbands grow geometrically, up to the first critically sampled layer; each
        layer has the lowest power of two as its rate that its stopband allows.
        """
        image_channels, resolution, _ = self.image_shape
        last_cutoff = resolution / 2
        last_stopband = last_cutoff * self.last_stopband
        bands = []
        for layer in range(self.layers + 1):
            grown = min(layer / (self.layers - self.critical_layers), 1)
            cutoff = self.first_cutoff * (last_cutoff / self.first_cutoff) ** grown
            stopband = self.first_stopband * (last_stopband / self.first_stopband) ** grown
            # at 256x256, layer 9 has a stopband of 64 to the last digit
            rate = 2 ** math.ceil(math.log2(min(2 * stopband, resolution)) - 1e-9)
            whole = layer >= self.layers - 1
            channels = max(1, round(min(self.channel_base / 2 / cutoff, self.channel_max)))
            bands.append(
                Band(
                    cutoff=cutoff,
                    half_width=max(stopband, rate / 2) - cutoff,
                    sampling_rate=rate,
                    size=resolution if whole else rate + 2 * self.margin,
                    channels=image_channels if layer == self.layers else channels,
                    critical=layer >= self.layers - self.critical_layers,
                )
            )
        return bands
