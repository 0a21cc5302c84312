"""How alike two images are: pixel by pixel, in their structure, and to a network.

PSNR and SSIM: Wang et al. 2004, "Image quality assessment: from error visibility to structural
similarity". The perceptual distance has the form of Zhang et al. 2018, "The Unreasonable
Effectiveness of Deep Features as a Perceptual Metric", equation 1, with all weights 1; its network
is one of the extractors here, so its values are none of LPIPS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.evaluation.extractors import Extractor
from ganzoo.evaluation.features import Crop, cropped, extractor_for, open_extractor


@dataclass(frozen=True)
class Similarity:
    """Of two images: `psnr` in dB (infinite for equal ones), `mse` of pixels in [0, 1], `ssim`
    (1 for equal ones), and `perceptual`, 0 for equal ones."""

    psnr: float
    mse: float
    ssim: float
    perceptual: float


class Perception:
    """Distances of images, float (N, C, H, W) in [-1, 1], to one target (1, C, H, W)."""

    def __init__(self, target: Tensor, *, source: str, crop: Crop) -> None:
        """`source` is the data set that the images are like; `crop` the place of their content."""
        name = extractor_for(source, target.shape[1:], crop)
        opened = open_extractor(name, device=target.device)
        self.name, self.crop, self.target = opened.name, crop, target
        self.network: Extractor = opened.network
        self._levels = pyramid(target)
        self._maps = self._seen(target)

    def loss(self, images: Tensor) -> Tensor:
        """What a projection minimises, (N,): the perceptual distance, and the mean squared error of
        pixels, averaged over the image and its halves down to 4 x 4. Beyond [-1, 1], where the
        pixels of pictures end, a tenth counts: enough for a gradient that leads back."""
        images = torch.lerp(images.clamp(-1, 1), images, 0.1)
        levels = pyramid(images)
        pixels = [(a - b).square().mean((1, 2, 3)) for a, b in zip(levels, self._levels)]
        return self.perceptual(images) + torch.stack(pixels).mean(0)

    def perceptual(self, images: Tensor) -> Tensor:
        """(N,): squared distances of the unit-length activations, averaged over the pixels of a
        layer and summed over layers."""
        seen = zip(self._seen(images), self._maps)
        return torch.stack([(a - b).square().sum(1).mean((1, 2)) for a, b in seen]).sum(0)

    @torch.no_grad()
    def compare(self, images: Tensor) -> list[Similarity]:
        """Every image with the target, as pictures of them are: clamped to [-1, 1]."""
        images = images.clamp(-1, 1)
        a, b = (images + 1) / 2, (self.target + 1) / 2
        mse = (a - b).square().mean((1, 2, 3)).tolist()
        structure, perceptual = ssim(a, b).tolist(), self.perceptual(images).tolist()
        return [
            Similarity(psnr(error), error, alike, distance)
            for error, alike, distance in zip(mse, structure, perceptual)
        ]

    def _seen(self, images: Tensor) -> list[Tensor]:
        maps = self.network.maps(cropped(on_white(images), self.crop))
        return [x * (x.square().sum(1, keepdim=True) + 1e-6).rsqrt() for x in maps]


def psnr(mse: float) -> float:
    """The peak signal-to-noise ratio in dB, of images in [0, 1]."""
    return math.inf if mse == 0 else -10 * math.log10(mse)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """The mean structural similarity (N,) of images (N, C, H, W) in [0, 1], over windows that lie
    within the image: Gaussian of deviation 1.5, 11 pixels wide, or less in smaller images."""
    channels, side = a.shape[1], min(11, *a.shape[2:])
    side -= 1 - side % 2
    x = torch.arange(side, dtype=a.dtype, device=a.device) - side // 2
    line = torch.exp(-x.square() / (2 * 1.5**2))
    line = line / line.sum()
    window = torch.outer(line, line).expand(channels, 1, side, side)

    def mean(x: Tensor) -> Tensor:
        return F.conv2d(x, window, groups=channels)

    b = b.expand_as(a)
    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a.square() + mean(b * b) - mean_b.square()
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    structure = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    return (luminance * structure).mean((1, 2, 3))


def pyramid(x: Tensor) -> list[Tensor]:
    """x (N, C, H, W), and its halves, averaged, as long as both sides are 4 or more."""
    levels = [x]
    while min(levels[-1].shape[2:]) >= 8:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def on_white(x: Tensor) -> Tensor:
    """Images in [-1, 1] of 2 or 4 channels as opaque ones of 1 or 3; others as they are."""
    if x.shape[1] in (1, 3):
        return x
    alpha = (x[:, -1:] + 1) / 2
    return x[:, :-1] * alpha + (1 - alpha)
