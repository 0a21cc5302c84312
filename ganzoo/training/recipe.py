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
from ganzoo.errors import ConfigError, DataError, NotFoundError
from ganzoo.parts import Part, check_compatible
from ganzoo.rng import MAX_SEED
from ganzoo.training.config import Optimizers
from ganzoo.training.tables import (
    SAID_OF_DATA,
    About,
    DataConfig,
    EMAConfig,
    Evaluate,
    Every,
    Finish,
    Publication,
)

ROLES = ("generator", "discriminator", "loss", "trainer", "augmentation")


@dataclass(frozen=True)
class Choice:
    """A part by name, and its settings. In TOML: a table with `part` and the settings."""

    part: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


_TAKES_AWAY = {
    "data.source": SAID_OF_DATA,
    "ema.decay": ("half_life_kimg", "rampup"),
    "ema.half_life_kimg": ("decay",),
}
"""Setting -> those beside it that go where its value changes: they are of the former one."""


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
    data: DataConfig = field(default_factory=DataConfig)
    generator: Choice = Choice()
    discriminator: Choice = Choice()
    loss: Choice = Choice("non-saturating")
    trainer: Choice = Choice("alternating")
    augmentation: Choice | None = None
    optimizer: Optimizers = field(default_factory=Optimizers)
    ema: EMAConfig = field(default_factory=lambda: EMAConfig(half_life_kimg=10.0))
    batch: int = 64
    accumulation: int = 1
    kimg: float = 1000.0
    seed: int = 0
    conditional: bool = False
    precision: Literal["float32", "bf16"] = "float32"
    channels_last: bool = True
    every: Every = field(default_factory=Every)
    evaluate: Evaluate = field(default_factory=Evaluate)
    finish: Finish = field(default_factory=Finish)
    model: Publication = field(default_factory=Publication)
    about: About = field(default_factory=About)

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
            if len(keys) == 1 and keys[0] in ROLES:
                document[keys[0]] = {"part": text.strip()}
                continue
            table = document
            for key in keys[:-1]:
                table = table.setdefault(key, {})
                if not isinstance(table, dict):
                    raise ConfigError(f"--set {setting}: {key!r} is no table", "check the key")
            value = toml_value(text.strip())
            if value != table.get(keys[-1]):
                for other in _TAKES_AWAY.get(".".join(keys), ()):
                    table.pop(other, None)
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
