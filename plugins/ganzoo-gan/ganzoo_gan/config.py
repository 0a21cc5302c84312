"""Settings of the fully connected GAN."""

from __future__ import annotations

from dataclasses import dataclass

import ganzoo
from ganzoo.configs import check_range


@dataclass(frozen=True)
class GeneratorConfig(ganzoo.GeneratorConfig):
    """`widths` are the hidden layers', from z to the image. Weights start from N(0, init_std), or
    from PyTorch's default where that is 0."""

    widths: tuple[int, ...] = (256, 512, 1024)
    init_std: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("init_std", self.init_std, 0.0, 1.0)
        for width in self.widths:
            check_range("widths", width, 1, 65_536)


@dataclass(frozen=True)
class DiscriminatorConfig(ganzoo.DiscriminatorConfig):
    """`widths` are the hidden layers', from the image to the score; `dropout` follows each (as in
    Goodfellow et al. 2014, section 5). `init_std` is as in the generator."""

    widths: tuple[int, ...] = (512, 256)
    dropout: float = 0.0
    init_std: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("dropout", self.dropout, 0.0, 0.95)
        check_range("init_std", self.init_std, 0.0, 1.0)
        for width in self.widths:
            check_range("widths", width, 1, 65_536)
