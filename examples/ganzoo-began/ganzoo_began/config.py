"""Settings of BEGAN's networks and loss."""

from __future__ import annotations

from dataclasses import dataclass

import ganzoo
from ganzoo.configs import check_range, check_square

SIZES = (16, 32, 64, 128)


@dataclass(frozen=True)
class GeneratorConfig(ganzoo.GeneratorConfig):
    """`width` is the paper's n, the number of channels of every convolution."""

    image_shape: tuple[int, int, int] = (3, 32, 32)
    z_dim: int = 64
    width: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("width", self.width, 1, 4096)


@dataclass(frozen=True)
class AutoencoderConfig(ganzoo.DiscriminatorConfig):
    """`hidden_dim` is N_h, the size of the code; `width` is n: the decoder's channels, and the
    encoder's at the full resolution, where each halving adds n more."""

    image_shape: tuple[int, int, int] = (3, 32, 32)
    hidden_dim: int = 64
    width: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("hidden_dim", self.hidden_dim, 1, 65_536)
        check_range("width", self.width, 1, 4096)


@dataclass(frozen=True)
class LossConfig:
    """`gamma`, the diversity ratio: lower means sharper and less various images. `lambda_k` is the
    rate at which k follows."""

    gamma: float = 0.5
    lambda_k: float = 0.001

    def __post_init__(self) -> None:
        check_range("gamma", self.gamma, 0.0, 1.0)
        check_range("lambda_k", self.lambda_k, 0.0, 1.0)
