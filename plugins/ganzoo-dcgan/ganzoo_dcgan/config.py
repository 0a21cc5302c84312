"""Settings of DCGAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ganzoo
from ganzoo.configs import check_range, check_square

SIZES = (16, 28, 32, 64, 128, 256)
"""The paper's 64x64, other powers of two, and MNIST's 28x28 (4, 7, 14, 28)."""


@dataclass(frozen=True)
class GeneratorConfig(ganzoo.GeneratorConfig):
    """`width` is the number of channels at half the full resolution; each level below has twice as
    many, up to `max_width`. The paper's 64x64 generator is width 128. `output` follows the last
    convolution."""

    width: int = 128
    max_width: int = 1024
    output: Literal["tanh", "none"] = "tanh"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)


@dataclass(frozen=True)
class DiscriminatorConfig(ganzoo.DiscriminatorConfig):
    """`width` is the number of channels at half the full resolution. `norm` follows every
    convolution but the first; all but "batch" keep each score independent of its batch.
    `conditioning`: with classes, the one-hot label joins the image ("concat"), or the critic does
    not see the label and names it ("auxiliary", for the loss `ac`)."""

    width: int = 64
    max_width: int = 1024
    norm: Literal["batch", "layer", "instance", "none"] = "batch"
    conditioning: Literal["concat", "auxiliary"] = "concat"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)

    @property
    def names_classes(self) -> bool:
        """Whether there are classes, and the critic names them."""
        return self.num_classes > 0 and self.conditioning == "auxiliary"

    @property
    def provides(self) -> frozenset[str]:
        labels = frozenset({"classes" if self.conditioning == "auxiliary" else "conditional"})
        return labels if self.norm == "batch" else labels | {"per-sample", "gradient-penalty"}
