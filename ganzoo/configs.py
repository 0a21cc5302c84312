"""Configs: frozen dataclasses, checked on creation, with a strict way to and from plain data.

Nothing here imports torch: a recipe and a config.json are checked before anything is computed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ganzoo.errors import ConfigError, nearest


@dataclass(frozen=True)
class GeneratorConfig:
    """What every generator's config has: subclass it, add fields, keep it a frozen dataclass.

    `image_shape` is (C, H, W); `num_classes` 0 means unconditional.
    """

    image_shape: tuple[int, int, int] = (1, 28, 28)
    num_classes: int = 0
    z_dim: int = 100

    def __post_init__(self) -> None:
        check_image_shape(self.image_shape)
        check_range("num_classes", self.num_classes, 0, 1_000_000)
        check_range("z_dim", self.z_dim, 1, 65_536)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """What every discriminator's config has: the shape (C, H, W) it judges, and the classes."""

    image_shape: tuple[int, int, int] = (1, 28, 28)
    num_classes: int = 0

    def __post_init__(self) -> None:
        check_image_shape(self.image_shape)
        check_range("num_classes", self.num_classes, 0, 1_000_000)


@dataclass(frozen=True)
class NoConfig:
    """The config of a part that has no settings."""


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a config value outside [low, high] (and NaN), naming the field."""
    if not (low <= value <= high) or math.isnan(value):
        raise ConfigError(f"{name} = {value!r} is out of range", f"use {low} to {high}")


def check_image_shape(shape: tuple[int, int, int]) -> None:
    """Refuse a shape that is not (1-4 channels, 1-4096, 1-4096)."""
    if len(shape) != 3 or not 1 <= shape[0] <= 4 or not all(1 <= n <= 4096 for n in shape[1:]):
        raise ConfigError(
            f"image_shape = {list(shape)} is not a shape",
            "use [channels 1 to 4, height, width up to 4096]",
        )


def check_square(image_shape: tuple[int, int, int], sizes: Sequence[int]) -> None:
    """Refuse an image that is not a square of one of these sizes."""
    _, height, width = image_shape
    if height != width or height not in sizes:
        raise ConfigError(
            f"image_shape = {list(image_shape)} does not suit this network",
            f"use a square of {', '.join(map(str, sizes))} (--set data.resolution=…)",
        )


def toml_value(text: str) -> Any:
    """The value in `--set KEY=VALUE`: TOML, or a bare word such as `norm=layer`."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:  # of TOML, or of a number with thousands of digits
        return text


# -- to and from plain data --------------------------------------------------------------

C = TypeVar("C")


def config_to_dict(config: Any) -> dict[str, Any]:
    """A config as JSON and TOML know it: tuples become lists."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return config_to_dict(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def config_from_dict(cls: type[C], settings: Mapping[str, Any], *, where: str) -> C:
    """Make the frozen dataclass `cls` of plain data, strictly.

    Raises:
        ConfigError: an unknown key (with the nearest name), a missing one, or a wrong type; `where`
            says in what.
    """
    hints = field_types(cls)
    for key in settings:
        if key not in hints:
            raise ConfigError(f"{where} has no setting {key!r}", nearest(str(key), hints))
    values = {key: _typed(hints[key], value, f"{where}.{key}") for key, value in settings.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error.problem}", error.remedy) from error
    except TypeError as error:
        raise ConfigError(f"{where} is incomplete", str(error).partition("() ")[2]) from error


_hints = functools.cache(typing.get_type_hints)  # a recipe asks for the same ones many times


def field_types(cls: Any) -> dict[str, Any]:
    """Field name -> type of a config dataclass."""
    hints = _hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _typed(hint: Any, value: Any, where: str) -> Any:
    """`value` as type `hint`; JSON's lists become tuples and whole numbers floats where asked."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if hint is float and type(value) is int and abs(value) < 1e300:
        return float(value)
    if hint in (int, float, str, bool) and type(value) is hint:
        return value
    if hint in (None, types.NoneType) and value is None:
        return None
    if origin is Literal and value in args:
        return value
    if origin in (typing.Union, types.UnionType):
        for option in args:
            try:
                return _typed(option, value, where)
            except ConfigError:
                continue
    if origin is tuple and isinstance(value, (list, tuple)):
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_typed(args[0], item, where) for item in value)
        if len(args) == len(value):
            return tuple(_typed(a, item, where) for a, item in zip(args, value, strict=True))
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {str(k): _typed(args[1], item, f"{where}.{k}") for k, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return config_from_dict(hint, value, where=where)
    raise ConfigError(f"{where} = {value!r} is of the wrong type", f"use {_describe(hint)}")


def _describe(hint: Any) -> str:
    if dataclasses.is_dataclass(hint):
        return f"a table of {', '.join(field_types(hint))}"
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(option) for option in typing.get_args(hint))
    options = [option for option in typing.get_args(hint) if option is not types.NoneType]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_describe(option) for option in options)
    if typing.get_origin(hint) is tuple:
        each = [_describe(option) for option in options if option is not Ellipsis]
        return f"a list, [{', '.join([*each, '…'] if Ellipsis in options else each)}]"
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
