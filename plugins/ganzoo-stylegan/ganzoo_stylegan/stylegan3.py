"""Karras et al. 2021, "Alias-Free Generative Adversarial Networks", sections 2 and 3, figure 4.

z and label -> w. The image begins as waves of random frequencies that w turns and moves. Each layer
is a modulated convolution and a nonlinearity at a higher sampling rate, between low-pass filters
that keep what it adds above the layer's band from folding back: nothing in the network knows where
its pixels lie, and details move with what they belong to. The features reach beyond the image, by a
margin that the last layers cut off. Neither noise nor skips.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu

from ganzoo.nn import EqualizedLinear, takes_function, without_autocast
from ganzoo.rng import Draws
from ganzoo_stylegan.resampling import downsample, lowpass, upsample
from ganzoo_stylegan.stylegan2 import SQRT2, Mapping
from ganzoo_stylegan.stylegan3_config import GAIN, Band, StyleGAN3GeneratorConfig
from ganzoo_stylegan.styles import StyleGenerator


class Generator(StyleGenerator):
    config: StyleGAN3GeneratorConfig
    shared_buffers: ClassVar = ("w_avg", "magnitudes")

    def __init__(self, config: StyleGAN3GeneratorConfig) -> None:
        super().__init__(config)
        *bands, _ = config.bands
        self.mapper = Mapping(
            config.z_dim,
            config.num_classes,
            config.w_dim,
            layers=config.mapping_layers,
            lr_multiplier=config.mapping_lr_multiplier,
        )
        self.input = Waves(bands[0], config.w_dim)
        befores = [bands[0], *bands[:-1]]
        self.layers = nn.ModuleList(
            Layer(before, band, config) for before, band in zip(befores, bands, strict=True)
        )
        self.to_image = ToImage(bands[-1].channels, config)
        # the mean square of what enters each layer, as training saw it
        self.register_buffer("magnitudes", torch.ones(len(bands) + 1))
        self.num_ws = len(bands) + 2
        # one of 256x256 takes up to ten seconds on a core
        self.samples_shown = 4 if config.image_shape[1] <= 256 else 2

    def synthesis(self, ws: Tensor) -> Tensor:  # type: ignore[override]
        """Images (N, C, H, W) of ws (N, num_ws, w_dim)."""
        return self._images(ws)

    def train_forward(self, z: Tensor, labels: Tensor | None, rng: Draws, **options: Any) -> Tensor:
        """`train_mapping`; and the average magnitudes follow those of this batch, with a half-life
        of `magnitude_half_life_kimg` thousand generated images, 0.5^(N / 20,000) a batch of N by
        default. They are counted in the steps of both players; the authors update in D's alone."""
        ws = self.train_mapping(z, labels, rng, **options)
        images = len(ws) * rng.world
        decay = 0.5 ** (images / (1000 * self.config.magnitude_half_life_kimg))
        return self._images(ws, decay)

    def _images(self, ws: Tensor, decay: float | None = None) -> Tensor:
        x = self.input(ws[:, 0])  # (N, C, size, size)
        for k, layer in enumerate(self.layers):
            x = layer(x, ws[:, k + 1], self._gain(k, x, decay))
        k = len(self.layers)
        image: Tensor = self.to_image(x, ws[:, k + 1], self._gain(k, x, decay))
        return image

    def _gain(self, k: int, x: Tensor, decay: float | None) -> Tensor:
        """What brings the input of layer k to unit magnitude on average, a scalar; the averages are
        updated first where there is a `decay` of the old ones."""
        if decay is not None:
            with torch.no_grad():
                self.magnitudes[k].lerp_(x.float().square().mean(), 1 - decay)
        return self.magnitudes[k].rsqrt()


class Waves(nn.Module):
    """The input: sine waves, of frequencies spread evenly over the disc of the band, at each pixel
    of the image and its margin, turned and moved by w; then a linear map of the channels.

    `transform` (3, 3) moves all images: position x in the image, which is 1 wide, has the values
    that `transform` @ (x, 1) would have.
    """

    def __init__(self, band: Band, w_dim: int) -> None:
        super().__init__()
        channels = band.channels
        directions = torch.randn(channels, 2)
        square = directions.square().sum(1, keepdim=True)
        # exp(-r^2 / 2) of a normal pair is uniform, and its root the radius of a point of the disc
        radius = (-square / 4).exp() * band.cutoff
        self.register_buffer("freqs", directions * square.rsqrt() * radius)
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = EqualizedLinear(w_dim, 4)  # cosine, sine, shift to the right, down
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
        self.band = band

    def forward(self, w: Tensor) -> Tensor:
        band = self.band
        with without_autocast(w):
            cos, sin, right, down = self.affine(w).unbind(1)
            length = torch.hypot(cos, sin)
            cos, sin, right, down = cos / length, sin / length, right / length, down / length
            turn = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
            shift = -torch.stack([right, down], 1)[:, :, None]
            # p -> turn (A p + b + shift), where `transform` is p -> A p + b
            matrix = turn @ self.transform[:2, :2]
            offset = turn @ (self.transform[:2, 2:] + shift)
            freqs = self.freqs @ matrix  # (N, C, 2): f . (M p) = (f M) . p
            phases = self.phases + (self.freqs @ offset).squeeze(2)  # (N, C)
            # a transform that enlarges them takes waves out of the band: they fade on the way to
            # the highest frequency that the sampling rate has
            nyquist = band.sampling_rate / 2
            excess = (freqs.norm(dim=2) - band.cutoff) / (nyquist - band.cutoff)
            amplitude = (1 - excess).clamp(0, 1)
            pixels = torch.arange(band.size, device=w.device, dtype=w.dtype) + 0.5
            at = (pixels - band.size / 2) / band.sampling_rate  # pixel centres; 0 is the image's
            across, along = at * freqs[:, :, :1], at * freqs[:, :, 1:]  # (N, C, size)
            angle = across.mT[:, None] + (along + phases[:, :, None]).mT[:, :, None]  # (N, H, W, C)
            x = (2 * math.pi * angle).sin() * amplitude[:, None, None]
            x = x @ self.weight.T / math.sqrt(self.weight.shape[1])
        return x.permute(0, 3, 1, 2)


class Layer(nn.Module):
    """Modulated convolution, bias, and a leaky ReLU at GAIN times the higher sampling rate.

    As in StyleGAN2, the style scales the input and the norms of the modulated weights the output.
    The weights of an output channel and a style are brought to unit mean square first, which only
    changes how they compare with the 1e-8 in the demodulation. The authors take the mean over the
    styles of the whole batch; here it is that of one image, which must not depend on its mates.
    """

    def __init__(self, before: Band, band: Band, config: StyleGAN3GeneratorConfig) -> None:
        super().__init__()
        kernel, channels = config.conv_kernel, before.channels
        self.affine = EqualizedLinear(config.w_dim, channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(band.channels, channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(band.channels))
        rate = GAIN * max(before.sampling_rate, band.sampling_rate)
        self.up, self.down = rate // before.sampling_rate, rate // band.sampling_rate
        up_taps, down_taps = config.filter_size * self.up, config.filter_size * self.down
        radial = config.radial_filters and not band.critical
        self.register_buffer("up_filter", _filter(before, up_taps, rate))
        self.register_buffer("down_filter", _filter(band, down_taps, rate, radial=radial))
        # the convolution sees all that touches its input; then the size asks for so many zeros in
        # all, or for less than there is. Pixels are centred between their zeros, hence `up` more on
        # the side of the first one (appendix C).
        self.size, self.middle = band.size, (band.size - 1) * self.down + down_taps
        grown = (before.size + kernel - 1) * self.up
        self.padding = (self.middle - grown + up_taps - 1 + self.up) // 2
        self.clamp = config.conv_clamp

    def forward(self, x: Tensor, w: Tensor, gain: Tensor) -> Tensor:
        with without_autocast(w):
            style = self.affine(w)  # (N, in)
            style = style * style.square().mean(1, keepdim=True).rsqrt()
            squares = self.weight.square().sum((2, 3))  # (out, in)
            scale = (squares.mean(1) / self.weight[0, 0].numel()).rsqrt()  # (out,)
            norms = style.square() @ (squares * scale.square()[:, None]).T
            demodulation = (norms + 1e-8).rsqrt() * scale * SQRT2  # (N, out)
            style = style * gain
        x = x * style[:, :, None, None].to(x.dtype)
        x = conv2d(x, self.weight, padding=self.weight.shape[2] - 1)
        x = x * demodulation[:, :, None, None].to(x.dtype)
        x = x.add_((self.bias * SQRT2)[:, None, None].to(x.dtype))
        x = upsample(x, self.up_filter, self.up, padding=self.padding, size=self.middle)
        x = leaky_relu(x, 0.2) if self.clamp is None else _bent(x, self.clamp)
        return downsample(x, self.down_filter, self.down, size=self.size)


def _bent(x: Tensor, clamp: float) -> Tensor:
    """Leaky ReLU of slope 0.2, clamped."""
    if takes_function(x):
        bent: Tensor = _Bent.apply(x, clamp)  # type: ignore[no-untyped-call]
        return bent
    return leaky_relu(x, 0.2).clamp_(-clamp, clamp)


class _Bent(torch.autograd.Function):
    """What `_bent` gives says what its gradient is: nothing else is kept of the largest tensors of
    the network."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, clamp: float) -> Tensor:
        y = leaky_relu(x, 0.2).clamp_(-clamp, clamp)
        ctx.save_for_backward(y)
        ctx.clamp = clamp
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (y,), (grad,) = ctx.saved_tensors, grads
        inner = torch.ops.aten.hardtanh_backward(grad, y, -ctx.clamp, ctx.clamp)
        return torch.ops.aten.leaky_relu_backward(inner, y, 0.2, True), None


class ToImage(nn.Module):
    """A modulated 1x1 convolution to the image, without demodulation or nonlinearity, in float32.

    Few output channels make it cheaper to scale the weights than the input.
    """

    def __init__(self, channels: int, config: StyleGAN3GeneratorConfig) -> None:
        super().__init__()
        image_channels = config.image_shape[0]
        self.affine = EqualizedLinear(config.w_dim, channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(image_channels, channels))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.clamp, self.scale = config.conv_clamp, config.output_scale

    def forward(self, x: Tensor, w: Tensor, gain: Tensor) -> Tensor:
        with without_autocast(w):
            style = self.affine(w) * (gain / math.sqrt(self.weight.shape[1]))
            weight = self.weight * style[:, None]  # (N, image, in)
            pixels = x.to(weight.dtype).permute(0, 2, 3, 1).flatten(1, 2)
            image = pixels @ weight.mT + self.bias  # (N, HW, image)
            if self.clamp is not None:
                image = image.clamp(-self.clamp, self.clamp)
        return image.mul(self.scale).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


def _filter(band: Band, taps: int, rate: int, *, radial: bool = False) -> Tensor:
    """The low-pass filter of a band at a sampling rate; float32."""
    how = {"cutoff": band.cutoff, "half_width": band.half_width, "sampling_rate": rate}
    return torch.tensor(lowpass(taps, radial=radial, **how), dtype=torch.float32)
