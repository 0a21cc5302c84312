"""The tables of a recipe beside those of its parts and optimisers: what is trained on, what is
averaged, how often something is done, and what is said of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ganzoo.configs import check_range
from ganzoo.errors import ConfigError, nearest
from ganzoo.evaluation.protocol import METRICS

SAID_OF_DATA = (
    "name",
    "license",
    "credit",
    "consent",
    "shows_people",
    "not_for_all_audiences",
)
"""What a recipe says of its images, which changes none of them."""


@dataclass(frozen=True)
class DataConfig:
    """Which images: a source as `--data` takes it, and the size and channels to bring them to.

    Of a folder or an archive, nothing but the images is known: `name`, `license` and `credit` (whom
    to name) say the rest, for the model's card; of one that nobody else can get, called "private",
    `consent` says by what right it is used. Whether it shows people, and whether it is not for all
    audiences, nobody finds out by looking at a few images; a model is published only where both are
    answered. All of these belong to the source, and go with it.
    """

    source: str = ""
    resolution: int | None = None
    channels: int | None = None
    name: str | None = None
    license: str | None = None
    credit: str | None = None
    consent: str | None = None
    shows_people: bool | None = None
    not_for_all_audiences: bool | None = None

    def with_source(self, source: str) -> DataConfig:
        """These settings for other images."""
        if source == self.source:
            return self
        return DataConfig(source, self.resolution, self.channels)


@dataclass(frozen=True)
class EMAConfig:
    """The average of G's weights that is published: exactly one of a half-life in thousands of
    images, or a decay per step (0 for no averaging). `rampup` r caps the half-life at r times the
    images seen, so that the first, bad weights are soon forgotten (Karras et al. 2020)."""

    half_life_kimg: float | None = None
    decay: float | None = None
    rampup: float | None = None

    def __post_init__(self) -> None:
        if (self.half_life_kimg is None) == (self.decay is None):
            raise ConfigError(
                "ema needs exactly one of half_life_kimg and decay", "set one of them"
            )
        if self.half_life_kimg is not None:
            check_range("half_life_kimg", self.half_life_kimg, 1e-6, 1e9)
        if self.decay is not None:
            check_range("decay", self.decay, 0.0, 0.9999999)
        if self.rampup is not None:
            check_range("rampup", self.rampup, 1e-6, 1e6)
            if self.half_life_kimg is None:
                raise ConfigError("rampup shortens a half-life", "set half_life_kimg, not decay")


@dataclass(frozen=True)
class Every:
    """How often, in steps; 0 for never. `keep` is how many checkpoints stay."""

    log: int = 100
    checkpoint: int = 1000
    grid: int = 1000
    keep: int = 2

    def __post_init__(self) -> None:
        check_range("log", self.log, 1, 10**9)
        check_range("checkpoint", self.checkpoint, 0, 10**9)
        check_range("grid", self.grid, 0, 10**9)
        check_range("keep", self.keep, 1, 10**6)


@dataclass(frozen=True)
class Evaluate:
    """Metrics during the run: every so many steps (0 for never), of the averaged generator, against
    the training data. The model with the best value of the first metric is kept in `best/`."""

    every: int = 0
    metrics: tuple[str, ...] = ("fid",)
    n: int = 2000
    features: str = ""

    def __post_init__(self) -> None:
        check_range("every", self.every, 0, 10**9)
        check_range("n", self.n, 16, 10**6)
        for name in self.metrics:
            if name not in METRICS:
                raise ConfigError(f"no metric is called {name!r}", nearest(name, METRICS))
        if not self.metrics:
            raise ConfigError("no metric to evaluate", f"use {', '.join(METRICS)}")


@dataclass(frozen=True)
class Finish:
    """What follows the last step, so that the model is ready to be published: `evaluate` measures
    the metrics of `[evaluate]`, and `audit` audits it, on so many generated images (0 for not)."""

    evaluate: int = 0
    audit: int = 0

    def __post_init__(self) -> None:
        for name, least in (("evaluate", 2), ("audit", 100)):
            n = getattr(self, name)
            if n and not least <= n <= 10**6:
                raise ConfigError(
                    f"finish.{name} = {n} images", f"use {least} to 1000000, or 0 for none"
                )


@dataclass(frozen=True)
class Publication:
    """What is said about the model that a run writes, and how its weights are stored."""

    license: str = "apache-2.0"
    license_name: str = ""
    license_link: str = ""
    storage_dtype: Literal["float32", "float16"] = "float32"
    summary: str = ""


@dataclass(frozen=True)
class About:
    """What a recipe is for: "small" takes minutes to an hour or two on a CPU, "standard" hours on
    one GPU, "paper" what the paper took. `expected` is its result, `source` where its settings
    come from."""

    scale: Literal["small", "standard", "paper"] = "small"
    expected: str = ""
    source: str = ""
