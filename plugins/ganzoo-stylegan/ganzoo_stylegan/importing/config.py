"""What users can be asked for, where a file does not say it."""

from __future__ import annotations

from dataclasses import dataclass

from ganzoo.configs import check_range


@dataclass(frozen=True)
class TensorFlowConfig:
    """`mbstd_group`: the images in a group of the discriminator's minibatch standard deviation."""

    mbstd_group: int | None = None

    def __post_init__(self) -> None:
        if self.mbstd_group is not None:
            check_range("mbstd_group", self.mbstd_group, 1, 4096)
