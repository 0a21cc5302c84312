"""Recipes: TOML documents that name the parts of a run with their settings, and how long it takes.

A recipe is data. `resolve` turns it, with the shape of a data set, into parts and checked configs;
torch is not needed for that, so an impossible mix is refused at once.
"""

from __future__ import annotations

import copy
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ganzoo import plugins
from ganzoo.configs import check_range, config_from_dict, config_to_dict, toml_value
from ganzoo.errors import ConfigError, DataError, NotFoundError, nearest
from ganzoo.evaluation.protocol import METRICS
from ganzoo.parts import Part, check_compatible
from ganzoo.rng import MAX_SEED
from ganzoo.training.config import Optimizers

ROLES = ("generator", "discriminator", "loss", "trainer", "augmentation")


@dataclass(frozen=True)
class Choice:
    """A part by name, and its settings. In TOML: a table with `part` and the settings."""

    part: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


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


_INSTEAD_OF = {"decay": ("half_life_kimg", "rampup"), "half_life_kimg": ("decay",)}
"""Setting of the average -> those that it takes the place of."""


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


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run. Two runs of one recipe are identical on one kind of CPU. A GPU
    adds in no fixed order: there they are so up to rounding.

    Attributes:
        batch: images a step, over all processes; `accumulation` splits it to save memory.
        kimg: the length, in thousands of real images shown to D.
        conditional: the model takes the data set's classes.
        precision: "bf16" computes the networks in mixed precision; weights stay float32.
    """

    name: str = ""
    data: DataConfig = DataConfig()
    generator: Choice = Choice()
    discriminator: Choice = Choice()
    loss: Choice = Choice("non-saturating")
    trainer: Choice = Choice("alternating")
    augmentation: Choice | None = None
    optimizer: Optimizers = field(default_factory=Optimizers)
    ema: EMAConfig = EMAConfig(half_life_kimg=10.0)
    batch: int = 64
    accumulation: int = 1
    kimg: float = 1000.0
    seed: int = 0
    conditional: bool = False
    precision: Literal["float32", "bf16"] = "float32"
    channels_last: bool = True
    every: Every = Every()
    evaluate: Evaluate = Evaluate()
    finish: Finish = Finish()
    model: Publication = Publication()
    about: About = About()

    def __post_init__(self) -> None:
        check_range("batch", self.batch, 1, 2**20)
        check_range("accumulation", self.accumulation, 1, self.batch)
        check_range("kimg", self.kimg, 1e-3, 1e9)
        check_range("seed", self.seed, 0, MAX_SEED)
        if self.batch % self.accumulation:
            raise ConfigError(
                f"batch {self.batch} is not divisible by accumulation {self.accumulation}",
                "choose a divisor",
            )

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe from a TOML file; without a `name` it has the file's stem."""
        try:
            document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise NotFoundError(
                f"cannot read the recipe {path}: {error.strerror}", "check the path"
            ) from error
        except ValueError as error:
            raise ConfigError(f"{path} is no valid TOML: {error}", "mend that line") from error
        return cls.from_dict({"name": Path(path).stem, **document})

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Recipe:
        """A recipe of plain data, strictly: unknown keys and wrong types are refused."""
        document = dict(document)
        for role in ROLES:
            table = document.get(role)
            if isinstance(table, str):
                document[role] = {"part": table}
            elif isinstance(table, Mapping):
                settings = {k: v for k, v in table.items() if k != "part"}
                document[role] = {"part": table.get("part", ""), "settings": settings}
        return config_from_dict(cls, document, where="recipe")

    def to_dict(self) -> dict[str, Any]:
        """As TOML and JSON know it; settings that are not set are left out."""
        document = {k: v for k, v in config_to_dict(self).items() if v is not None}
        for role in ROLES:
            if role in document:
                document[role] = {"part": document[role]["part"], **document[role]["settings"]}
        return _set(document)

    def with_settings(self, settings: Iterable[str]) -> Recipe:
        """The recipe changed by `key=value` strings, as `--set` takes them.

        `loss=hinge` chooses a part (and drops the settings of the former one);
        `discriminator.norm=layer`, `optimizer.generator.lr=1e-4`, `batch=32` set one thing.
        """
        document = self.to_dict()
        for setting in settings:
            path, equals, text = setting.partition("=")
            if not equals:
                raise ConfigError(f"--set {setting!r} has no value", "write key=value")
            keys = [key.strip() for key in path.split(".")]
            if keys[0] == "ema" and isinstance(document["ema"], dict):
                for other in _INSTEAD_OF.get(keys[-1], ()):
                    document["ema"].pop(other, None)
            if len(keys) == 1 and keys[0] in ROLES:
                document[keys[0]] = {"part": text.strip()}
                continue
            table = document
            for key in keys[:-1]:
                table = table.setdefault(key, {})
                if not isinstance(table, dict):
                    raise ConfigError(f"--set {setting}: {key!r} is no table", "check the key")
            value = toml_value(text.strip())
            if keys == ["data", "source"] and value != table.get("source"):
                for known in SAID_OF_DATA:
                    table.pop(known, None)  # of the former data
            table[keys[-1]] = value
        return Recipe.from_dict(document)

    @property
    def free(self) -> tuple[str, ...]:
        """What a resume may change: not the length, where a learning rate follows it."""
        optimizers = (self.optimizer.generator, self.optimizer.discriminator)
        fixed = not any(optimizer.follows_length for optimizer in optimizers)
        said = tuple(f"data.{key}" for key in SAID_OF_DATA)
        length = ("kimg",) if fixed else ()
        return ("name", "every", "evaluate", "finish", "model", "about", *said, *length)

    @property
    def images(self) -> int:
        """The length in images."""
        return round(self.kimg * 1000)

    def resolve(self, image_shape: tuple[int, int, int], num_classes: int) -> ResolvedRecipe:
        """Find the parts, make their configs for this data, and check that they go together.

        Raises:
            NotFoundError, ConfigError, CompatibilityError: with what to set instead.
        """
        registry = plugins.load().parts
        if self.conditional and not num_classes:
            raise DataError(
                f"{self.name or 'the recipe'} is conditional, {self.data.source!r} has no classes",
                "choose labelled data or --set conditional=false",
            )
        shape = {
            "image_shape": list(image_shape),
            "num_classes": num_classes if self.conditional else 0,
        }
        chosen: dict[str, tuple[Part, Any]] = {}
        for role in ROLES:
            choice: Choice | None = getattr(self, role)
            if choice is None:
                continue
            if not choice.part:
                raise ConfigError(f"the recipe names no {role}", f"--set {role}=NAME")
            part = registry.get(role, choice.part)
            network = role in ("generator", "discriminator")
            settings = {**(shape if network else {}), **choice.settings}
            chosen[role] = (part, part.make_config(settings))
            if network:
                self._check_fits_data(role, chosen[role][1], image_shape, num_classes)
        check_compatible(chosen, lambda role: [o.part for o in registry.all(role)])
        return ResolvedRecipe(self, chosen)

    def _check_fits_data(
        self, role: str, config: Any, image_shape: tuple[int, int, int], num_classes: int
    ) -> None:
        """Refuse a network whose settings name other images or classes than the data have."""
        source = self.data.source
        if config.image_shape != image_shape:
            raise DataError(
                f"{role}.image_shape is {list(config.image_shape)}, images of {source!r} are"
                f" {list(image_shape)}",
                "leave image_shape out, or use --set data.resolution=… and data.channels=…",
            )
        if config.num_classes and not self.conditional:
            raise ConfigError(
                f"{role}.num_classes is {config.num_classes}, the recipe is not conditional",
                "--set conditional=true, and leave num_classes out",
            )
        if self.conditional and config.num_classes != num_classes:
            raise DataError(
                f"{role}.num_classes is {config.num_classes}, {source!r} has {num_classes} classes",
                "leave num_classes out, or use data with that many",
            )


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe with its parts found and their configs made."""

    recipe: Recipe
    chosen: Mapping[str, tuple[Part, Any]]

    def part(self, role: str) -> Part:
        return self.chosen[role][0]

    def config(self, role: str) -> Any:
        return self.chosen[role][1]

    def to_dict(self) -> dict[str, Any]:
        """The recipe with every setting spelled out, defaults included."""
        document = self.recipe.to_dict()
        for role, (_, config) in self.chosen.items():
            # as it was asked for: plugin:name, where two plugins claim the name
            document[role] = {"part": getattr(self.recipe, role).part, **config_to_dict(config)}
        return _set(document)

    def digest(self) -> str:
        """SHA-256 of what decides the weights."""
        return digest_of(self.to_dict(), self.recipe.free)


def digest_of(document: Mapping[str, Any], free: Sequence[str]) -> str:
    """The digest of a recipe with every setting spelled out, but for what is free."""
    kept: dict[str, Any] = copy.deepcopy(dict(document))
    for key in free:
        table, _, last = key.rpartition(".")
        (kept.get(table, {}) if table else kept).pop(last, None)
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _set(table: Mapping[str, Any]) -> dict[str, Any]:
    """What is set in a table and the tables in it: TOML has no null."""
    return {
        key: _set(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }
