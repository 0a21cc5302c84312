"""Settings of the augmentations."""

from __future__ import annotations

from dataclasses import dataclass

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
