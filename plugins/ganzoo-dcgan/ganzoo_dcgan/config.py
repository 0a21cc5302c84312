"""Settings of DCGAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ganzoo
from ganzoo.configs import check_range
from ganzoo.errors import ConfigError

SIZES = (16, 28, 32, 64, 128)
"""The paper's 64x64, other powers of two, and MNIST's 28x28 (4, 7, 14, 28)."""


@dataclass(frozen=True)
class GeneratorConfig(ganzoo.GeneratorConfig):
    """`width` is the number of channels at half the full resolution; each level below has twice as
    many, up to `max_width`. The paper's 64x64 generator is width 128."""

    width: int = 128
    max_width: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.image_shape)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)


@dataclass(frozen=True)
class DiscriminatorConfig(ganzoo.DiscriminatorConfig):
    """`width` is the number of channels at half the full resolution. `norm` follows every
    convolution but the first; all but "batch" keep each score independent of its batch."""

    width: int = 64
    max_width: int = 1024
    norm: Literal["batch", "layer", "instance", "none"] = "batch"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.image_shape)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)

    @property
    def provides(self) -> frozenset[str]:
        if self.norm == "batch":
            return frozenset()
        return frozenset({"per-sample", "gradient-penalty"})


def check_size(image_shape: tuple[int, int, int]) -> None:
    """DCGAN doubles the size level by level."""
    _, height, width = image_shape
    if height != width or height not in SIZES:
        raise ConfigError(
            f"image_shape {list(image_shape)} does not suit DCGAN",
            f"use a square of {', '.join(map(str, SIZES))} (--set data.resolution=…)",
        )


def levels(size: int, width: int, max_width: int) -> list[tuple[int, int]]:
    """(size, channels) from 4x4 up to half the full size: 4, 8, 16, … or 4, 7, 14 for 28x28."""
    sizes = [size // 2]
    while sizes[0] > 4:
        sizes.insert(0, (sizes[0] + 1) // 2)
    return [(s, min(width << up, max_width)) for up, s in zip(range(len(sizes))[::-1], sizes)]
