"""What people may have to say of a DCGAN's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ganzoo.configs import check_range


@dataclass(frozen=True)
class ExampleConfig:
    """`classes`: how many of the input's numbers are a one-hot label, behind z (and, in D,
    behind the image's channels); the file does not say, and the program of the examples has none.
    `image_shape`: [C, H, W] of its images, where copies of the program make two sizes of them.
    """

    classes: int = 0
    image_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        check_range("classes", self.classes, 0, 1_000_000)


@dataclass(frozen=True)
class GanZooConfig:
    """`classes`: how many of the input's numbers are a one-hot label. `output`: what follows the
    last convolution, where the file does not have the criterion of training that says so ("tanh"
    for DCGAN and MSE, "none" for WGANGP and Logistic)."""

    classes: int = 0
    output: Literal["tanh", "none"] | None = None

    def __post_init__(self) -> None:
        check_range("classes", self.classes, 0, 1_000_000)
