"""Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", section 3.

D sees T(x) in place of every image x, real or fake, and G learns through T. The ranges are those
of the paper's section 4: brightness within [-0.5, 0.5], contrast within [0.5, 1.5], saturation
within [0, 2]; translation within 1/8 of the image; cutout of a square of half its side.

Images are in [-1, 1], so that what is shifted in or cut out, 0, is mid-gray. Two and four channels
are LA and RGBA: colour leaves alpha alone, translation and cutout move all channels together.
Gray images have no saturation. Colour is not clamped: G would get no gradient where it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.rng import Draws
from ganzoo.training.augmentation import Augmentation
from ganzoo_stylegan.augmentations.config import DiffAugmentConfig


class DiffAugment(Augmentation):
    def __init__(self, config: DiffAugmentConfig | None = None) -> None:
        super().__init__(config or DiffAugmentConfig())

    def forward(self, x: Tensor, rng: Draws) -> Tensor:
        config: DiffAugmentConfig = self.config
        n, channels, height, width = x.shape
        where = rng.uniform(n, 3) < config.p  # (N, 3): which policies an image gets
        if config.color:
            image, alpha = x.tensor_split([channels - 1 + channels % 2], dim=1)
            image = torch.where(_per_image(where[:, 0]), color(image, rng), image)
            x = torch.cat([image, alpha], dim=1)
        if config.translation:
            # round to the nearest pixel, a half up
            down, right = (
                rng.integers(n, 2 * most + 1) - most
                for most in (int(side * config.translation + 0.5) for side in (height, width))
            )
            x = translate(x, down * where[:, 1], right * where[:, 1])
        if config.cutout:
            sides = [int(side * config.cutout + 0.5) for side in (height, width)]
            tops, lefts = (
                # the hole's middle falls on any pixel; between two, for an even side
                rng.integers(n, full + 1 - side % 2) - side // 2
                for full, side in zip((height, width), sides, strict=True)
            )
            hole = span(tops, sides[0], height)[:, :, None] & span(lefts, sides[1], width)[:, None]
            x = x * ~(hole & where[:, 2, None, None])[:, None]  # (N, 1, H, W)
        return x


def color(x: Tensor, rng: Draws) -> Tensor:
    """Brightness, saturation and contrast, in this order; x is (N, 1 or 3, H, W)."""
    brightness, saturation, contrast = _per_image(rng.uniform(len(x), 3)).unbind(1)
    x = x + (brightness - 0.5)
    gray = x.mean(dim=1, keepdim=True)  # (N, 1, H, W)
    x = gray + (x - gray) * (2 * saturation)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)  # (N, 1, 1, 1)
    return mean + (x - mean) * (contrast + 0.5)


def translate(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift each image by whole pixels, (N,) each; what is shifted in is 0."""
    for dim, by in ((2, down), (3, right)):
        side = x.shape[dim]
        source = torch.arange(side, device=x.device) - by[:, None]  # (N, side)
        inside = (source >= 0) & (source < side)
        shape = [len(x), 1, 1, 1]
        shape[dim] = side
        index = source.clamp(0, side - 1).view(shape).expand_as(x)
        x = x.gather(dim, index) * inside.view(shape)
    return x


def span(starts: Tensor, length: int, side: int) -> Tensor:
    """(N, side): true for `length` pixels from each of `starts` (N,), as far as they are inside."""
    position = torch.arange(side, device=starts.device) - starts[:, None]
    return (position >= 0) & (position < length)


def _per_image(x: Tensor) -> Tensor:
    """(N, …) -> (N, …, 1, 1, 1), to be broadcast over channels and pixels."""
    return x[..., None, None, None]
