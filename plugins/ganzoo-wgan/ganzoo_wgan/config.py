"""Settings of the Wasserstein losses and of their networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ganzoo
from ganzoo.configs import check_range
from ganzoo.errors import ConfigError

SIZES = (16, 28, 32, 64, 128)
"""Networks double or halve the size: from 4x4, or from 7x7 for 28x28."""


@dataclass(frozen=True)
class WeightClippingConfig:
    """`clip` is c: all of the critic's parameters are kept in [-c, c]."""

    clip: float = 0.01

    def __post_init__(self) -> None:
        check_range("clip", self.clip, 1e-9, 100.0)


@dataclass(frozen=True)
class GradientPenaltyConfig:
    """`gradient_penalty` is lambda; `drift` weighs the squared scores of real images."""

    gradient_penalty: float = 10.0
    drift: float = 0.0

    def __post_init__(self) -> None:
        check_range("gradient_penalty", self.gradient_penalty, 0.0, 1e6)
        check_range("drift", self.drift, 0.0, 1e3)


@dataclass(frozen=True)
class GeneratorConfig(ganzoo.GeneratorConfig):
    """`width` is the number of channels at half the full resolution; each level below has twice as
    many, up to `max_width`."""

    z_dim: int = 128
    width: int = 64
    max_width: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.image_shape)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)


@dataclass(frozen=True)
class CriticConfig(ganzoo.DiscriminatorConfig):
    """`width` is the number of channels at half the full resolution. `norm` follows every
    convolution but the first; all but "batch" keep the gradient of each score its own image's."""

    width: int = 64
    max_width: int = 512
    norm: Literal["layer", "none", "batch"] = "layer"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.image_shape)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)

    @property
    def provides(self) -> frozenset[str]:
        return INDEPENDENT if self.norm != "batch" else frozenset()


@dataclass(frozen=True)
class ResNetGeneratorConfig(ganzoo.GeneratorConfig):
    """`width` is the number of channels of every block."""

    z_dim: int = 128
    width: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.image_shape)
        check_range("width", self.width, 1, 4096)


@dataclass(frozen=True)
class ResNetCriticConfig(ganzoo.DiscriminatorConfig):
    """`width` is the number of channels of every block; `norm` comes before each activation but the
    first."""

    width: int = 128
    norm: Literal["layer", "none"] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.image_shape)
        check_range("width", self.width, 1, 4096)

    @property
    def provides(self) -> frozenset[str]:
        return INDEPENDENT


INDEPENDENT = frozenset({"per-sample", "gradient-penalty"})
"""What every norm but batch norm leaves a critic."""


def check_size(image_shape: tuple[int, int, int]) -> None:
    _, height, width = image_shape
    if height != width or height not in SIZES:
        raise ConfigError(
            f"image_shape {list(image_shape)} does not suit these networks",
            f"use a square of {', '.join(map(str, SIZES))} (--set data.resolution=…)",
        )


def sizes(full: int) -> list[int]:
    """From the smallest map to half the full size: 4, 8, 16, … or 7, 14 for 28."""
    found = [full // 2]
    while found[0] > 7:
        found.insert(0, found[0] // 2)
    return found


def widths(full: int, width: int, max_width: int) -> list[int]:
    """The channels at each of `sizes`: twice as many at half the size."""
    return [min(width << below, max_width) for below in reversed(range(len(sizes(full))))]
