"""Settings of the Wasserstein losses and of their networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ganzoo
from ganzoo.configs import check_range, check_square

SIZES = (16, 28, 32, 64, 128)

_OF_EACH_IMAGE = frozenset({"per-sample", "gradient-penalty"})
"""What every norm but batch norm leaves a critic."""


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
    max_width: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)


@dataclass(frozen=True)
class CriticConfig(ganzoo.DiscriminatorConfig):
    """`width` is the number of channels at half the full resolution. `norm` follows every
    convolution but the first; all but "batch" keep the gradient of each score its own image's."""

    width: int = 64
    max_width: int = 1024
    norm: Literal["batch", "layer", "instance", "none"] = "layer"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)

    @property
    def provides(self) -> frozenset[str]:
        return _OF_EACH_IMAGE if self.norm != "batch" else frozenset()


@dataclass(frozen=True)
class ResNetGeneratorConfig(ganzoo.GeneratorConfig):
    """`width` is the number of channels of every block."""

    z_dim: int = 128
    width: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("width", self.width, 1, 4096)


@dataclass(frozen=True)
class ResNetCriticConfig(ganzoo.DiscriminatorConfig):
    """`width` is the number of channels of every block; `norm` comes before each activation but the
    first and the last."""

    width: int = 128
    norm: Literal["layer", "instance", "none"] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("width", self.width, 1, 4096)

    @property
    def provides(self) -> frozenset[str]:
        return _OF_EACH_IMAGE
