"""The settings of the parts: frozen dataclasses, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

import ganzoo
from ganzoo.configs import check_range, check_square

SIZES = (8, 16, 32, 64, 128)


@dataclass(frozen=True)
class GeneratorConfig(ganzoo.GeneratorConfig):
    """`width` is the number of channels at half the full resolution; each level below has twice as
    many, up to `max_width`."""

    image_shape: tuple[int, int, int] = (3, 32, 32)
    z_dim: int = 64
    width: int = 32
    max_width: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)


@dataclass(frozen=True)
class DiscriminatorConfig(ganzoo.DiscriminatorConfig):
    """`width` and `max_width` as in the generator."""

    image_shape: tuple[int, int, int] = (3, 32, 32)
    width: int = 32
    max_width: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)


@dataclass(frozen=True)
class LossConfig:
    """`gamma` weighs both gradient penalties."""

    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_range("gamma", self.gamma, 0.0, 1000.0)
