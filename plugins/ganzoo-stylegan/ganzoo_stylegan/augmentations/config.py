"""Settings of the augmentations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ganzoo.configs import check_range


@dataclass(frozen=True)
class DiffAugmentConfig:
    """The paper's three policies. `color` is brightness, saturation and contrast; `translation` is
    the largest shift and `cutout` the side of the hole, as fractions of the image (0 for none).

    `p` is the probability with which each policy is applied to an image; the paper's is 1.
    """

    color: bool = True
    translation: float = 1 / 8
    cutout: float = 1 / 2
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("translation", self.translation, 0.0, 1.0)
        check_range("cutout", self.cutout, 0.0, 1.0)
        check_range("p", self.p, 0.0, 1.0)


Transformation = Literal[
    "x-flip",
    "quarter-turns",
    "integer-translation",
    "isotropic-scale",
    "rotation",
    "anisotropic-scale",
    "fractional-translation",
    "brightness",
    "contrast",
    "luma-flip",
    "hue",
    "saturation",
]


@dataclass(frozen=True)
class ADAConfig:
    """Adaptive discriminator augmentation: p starts at `p` and follows D's scores.

    Attributes:
        target: of r_t, the mean sign of D's scores of real images; 0 keeps p as it is.
        interval: updates of D between two changes of p.
        kimg: thousands of real images in which p can go from 0 to 1.
        transformations: the paper's "bgc" (blit, geometry, colour), or some of them.
    """

    p: float = 0.0
    target: float = 0.6
    interval: int = 4
    kimg: float = 500.0
    transformations: tuple[Transformation, ...] = get_args(Transformation)

    def __post_init__(self) -> None:
        check_range("p", self.p, 0.0, 1.0)
        check_range("target", self.target, 0.0, 1.0)
        check_range("interval", self.interval, 1, 1_000_000)
        check_range("kimg", self.kimg, 1e-3, 1e9)
