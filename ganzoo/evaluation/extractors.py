"""The core's feature extractors: classifiers of digits and clothes, and a fixed random network.

An extractor maps images to the vectors that metrics and audits compare. What a metric says depends
on its extractor, so each has a name, a version and a hash, and all three are part of a result.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import files, rng, weights
from ganzoo.errors import InputError, IntegrityError
from ganzoo.evaluation.config import ClassifierConfig, Unconfigured

WEIGHTS = Path(__file__).parent / "weights"


class Outputs(NamedTuple):
    """Of N images: features float32 (N, F), and a classifier's logits (N, K)."""

    features: Tensor
    logits: Tensor | None = None


class Extractor(nn.Module):
    """Base of an extractor: uint8 images (N, C, H, W) to features (N, F), on their device.

    Attributes:
        classes: what the logits stand for; empty for an extractor that is no classifier.
        resize: how images are brought to the network's size, as a protocol names it.
    """

    classes: tuple[str, ...] = ()
    resize: str = "native"

    def outputs(self, images: Tensor) -> Outputs:
        """Features, and logits where there are classes, of uint8 images (N, C, H, W)."""
        raise NotImplementedError

    def maps(self, x: Tensor) -> list[Tensor]:
        """The activations (N, C, H, W) of several layers, the finest first, of opaque images
        (N, C, H, W), float in [-1, 1]; differentiable. An extractor need not have them."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        return self.outputs(images).features


# -- classifiers -----------------------------------------------------------------------------------


class Classifier(Extractor):
    """A small convolutional classifier of gray 28x28 images; its last hidden layer, 128 numbers,
    are the features. `scripts/train_extractors.py` made the weights."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.classes = config.classes
        self.layers = nn.Sequential(  # (N, 1, 28, 28)
            *_conv(1, 32, kernel=5, stride=2),  # (N, 32, 14, 14)
            *_conv(32, 64),
            nn.MaxPool2d(2),  # (N, 64, 7, 7)
            *_conv(64, 128),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),  # (N, 128)
        )
        self.head = nn.Linear(128, len(config.classes))
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU
        if config.file:
            path = WEIGHTS / config.file
            if files.sha256(path) != config.sha256:
                raise IntegrityError(f"{path} is damaged: its SHA-256 differs", "install it again")
            weights.fill(self, path, weights.read_header(path))
        self.eval().requires_grad_(False)

    def outputs(self, images: Tensor) -> Outputs:
        if images.shape[1] not in (1, 2) or images.shape[2:] != (28, 28):
            shape = " x ".join(map(str, images.shape[1:]))
            raise InputError(
                f"this extractor is one for gray images of 28 x 28 pixels, not {shape}",
                "use --features random",
            )
        features = self.layers(opaque(images) / 127.5 - 1)
        return Outputs(features, self.head(features))

    def maps(self, x: Tensor) -> list[Tensor]:
        found = []
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(x)
        return found


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


# -- for images of any kind ------------------------------------------------------------------------


class RandomNetwork(Extractor):
    """A convolutional network with fixed random weights, for color images of any size.

    Images become 64x64; four strided convolutions follow. The means of each one's activations over
    the four quarters of the image, projected at random to 256 numbers, are the features. Random
    features see color, layout and texture, not meaning (Naeem et al. 2020, arXiv:2002.09797, find
    them the better choice where a data set is far from ImageNet).
    """

    SIDE: ClassVar[int] = 64
    WIDTHS: ClassVar[tuple[int, ...]] = (32, 64, 128, 256)
    resize = "bicubic-antialias-64"

    def __init__(self, config: Unconfigured | None = None) -> None:
        super().__init__()
        draw = rng.philox(0, "features/random").standard_normal
        channels = (3, *self.WIDTHS)
        self.kernels = nn.ParameterList()
        for inputs, outputs in itertools.pairwise(channels):
            kernel = draw((outputs, inputs, 3, 3)) * np.sqrt(2 / (9 * inputs))
            self.kernels.append(nn.Parameter(_rounded(kernel)))
        width = 4 * sum(self.WIDTHS)
        # three times, so that features vary by about a half, as Inception's do
        self.projection = nn.Parameter(_rounded(draw((256, width)) * 3 / np.sqrt(width)))
        self.eval().requires_grad_(False)

    def outputs(self, images: Tensor) -> Outputs:
        x = resized(opaque(images), self.SIDE) / 127.5 - 1
        pooled = [F.adaptive_avg_pool2d(x, 2).flatten(1) for x in self._activations(x)]
        return Outputs(F.linear(torch.cat(pooled, dim=1), self.projection))

    def maps(self, x: Tensor) -> list[Tensor]:
        if x.shape[2:] != (self.SIDE, self.SIDE):
            x = _bicubic(x, self.SIDE)
        return list(self._activations(x))

    def _activations(self, x: Tensor) -> Iterator[Tensor]:
        x = x.expand(-1, 3, -1, -1)
        for kernel in self.kernels:
            x = F.leaky_relu(F.conv2d(x, kernel, stride=2, padding=1), 0.2)
            yield x


def _rounded(values: np.ndarray) -> Tensor:
    """As float32 with the precision of float16: the last bits of a draw are the platform's."""
    return torch.from_numpy(values.astype(np.float16).astype(np.float32))


class Pixels(Extractor):
    """The pixels themselves, in [0, 1]; images of more than 32 pixels a side are averaged to 32."""

    SIDE: ClassVar[int] = 32
    resize = "area-32"

    def __init__(self, config: Unconfigured | None = None) -> None:
        super().__init__()

    def outputs(self, images: Tensor) -> Outputs:
        x = images.float() / 255
        if max(x.shape[2:]) > self.SIDE:
            x = F.adaptive_avg_pool2d(x, self.SIDE)
        return Outputs(x.flatten(1))


# -- pictures to tensors ---------------------------------------------------------------------------


def opaque(images: Tensor) -> Tensor:
    """uint8 images as float, in [0, 255]; what is transparent lies on white."""
    x = images.float()
    if x.shape[1] in (1, 3):
        return x
    alpha = x[:, -1:] / 255
    return (x[:, :-1] * alpha + 255 * (1 - alpha)).round()


def resized(x: Tensor, side: int) -> Tensor:
    """Square images of this side, by bicubic interpolation with anti-aliasing, rounded as in a
    picture (Parmar et al. 2022, arXiv:2104.11222: without either, a metric is another)."""
    if x.shape[2:] == (side, side):
        return x
    return _bicubic(x, side).round().clamp(0, 255)


def _bicubic(x: Tensor, side: int) -> Tensor:
    return F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False)
