"""Options of a generator's `forward` and `sample`: which ones it takes, and with which values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ganzoo import rng
from ganzoo.errors import InputError
from ganzoo.numbers import as_float, check_truncation

if TYPE_CHECKING:
    from ganzoo.models import Generator

Mix: TypeAlias = tuple[tuple[int, ...], int]
"""Other seeds, one or one an image, and the layer from which on their styles are used."""

OPTIONS = {
    "truncation": "w-space",
    "truncation_cutoff": "w-space",
    "noise": "layer-noise",
    "mix": "style-mixing",
    "lod": "progressive",
}
"""Option -> the capability that a generator needs for it."""

NEUTRAL = {"truncation": 1, "noise": "const", "lod": 0}
"""Option -> the value that changes nothing."""

NOISES = ("const", "random", "none")


def check_options(generator: Generator, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that matter, checked; those at their neutral value are dropped."""
    kept = {}
    for key, value in options.items():
        if key not in OPTIONS:
            raise InputError(f"sample has no option {key!r}", f"known: {', '.join(OPTIONS)}")
        if value is None:
            continue
        if key == "truncation":
            value = check_truncation(value)
        if OPTIONS[key] in generator.provides:
            value = _checked(generator, key, value)
            if value != NEUTRAL.get(key):
                kept[key] = value
        elif not (key == "truncation" and value == 1):
            raise InputError(
                f"{generator.title} takes no {key}",
                f"leave it out; it needs a generator with {OPTIONS[key]!r}",
            )
    return kept


def _checked(generator: Generator, key: str, value: Any) -> Any:
    """The value of an option that the generator has; how large a `lod` it has, it says itself."""
    if key == "truncation_cutoff":
        return generator.check_layer(key, value)
    if key == "noise" and not (isinstance(value, str) and value in NOISES):
        raise InputError(f"noise {value!r} is none", "use 'const', 'random' or 'none'")
    if key == "lod":
        value, given = as_float(value), value
        if math.isnan(value):
            raise InputError(f"lod {given!r} is no number", "use 0 (full size) or more")
    return _checked_mix(generator, value) if key == "mix" else value


def _checked_mix(generator: Generator, mix: Any) -> Mix:
    if not isinstance(mix, Sequence) or isinstance(mix, str) or len(mix) != 2:
        raise InputError(f"mix {mix!r} is no pair", "use mix=(seed, layer)")
    seeds, layer = mix
    seeds = tuple(seeds) if isinstance(seeds, Sequence) else (seeds,)
    layer = generator.check_layer("layer of mix", layer)
    return tuple(rng.check_seed(seed) for seed in seeds), layer


def mix_each(mix: Mix | None, n: int) -> Mix | None:
    """A checked `mix` with a seed for each of n images."""
    if mix is None:
        return None
    seeds, layer = mix
    if len(seeds) not in (1, n):
        raise InputError(
            f"mix names {len(seeds)} seeds for {n} images", "give one, or one an image"
        )
    return (seeds * n if len(seeds) == 1 else seeds), layer
