"""Settings, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ganzoo


@dataclass(frozen=True)
class GeneratorConfig(ganzoo.GeneratorConfig):
    w_dim: int = 16
    tags: tuple[str, ...] = ("small",)


@dataclass(frozen=True)
class DiscriminatorConfig(ganzoo.DiscriminatorConfig):
    norm: Literal["batch", "none"] = "batch"

    @property
    def provides(self) -> frozenset[str]:
        return frozenset({"per-sample", "gradient-penalty"} if self.norm == "none" else ())


@dataclass(frozen=True)
class LossConfig:
    penalty: float = 10.0


@dataclass(frozen=True)
class AugmentationConfig:
    p: float = 0.5


@dataclass(frozen=True)
class ImporterConfig:
    """`classes`: how many of the inputs of the first layer are labels; -1 where it is not said."""

    classes: int = -1
