"""What people may have to say of rosinality's StyleGAN, and of pytorch_GAN_zoo's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ganzoo.configs import check_range


@dataclass(frozen=True)
class RosinalityConfig:
    """`resolution` up to which it was trained, where the file does not show it."""

    resolution: int | None = None


@dataclass(frozen=True)
class GanZooConfig:
    """`output`: what follows the last convolution, where the file does not have the criterion of
    training that says so ("tanh" for DCGAN and MSE, "none" for WGANGP and Logistic).
    `classes`: how many of the input's numbers are a one-hot label, behind z."""

    output: Literal["tanh", "none"] | None = None
    classes: int = 0

    def __post_init__(self) -> None:
        check_range("classes", self.classes, 0, 1_000_000)
