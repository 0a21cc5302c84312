"""Recipes by name: those that installed plugins bring."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ganzoo import plugins, registry
from ganzoo.errors import InputError, NotFoundError, PluginError, nearest
from ganzoo.training.recipe import Recipe


def recipes() -> dict[str, Path]:
    """Recipe name -> path, of all plugins; one that two plugins claim is `plugin:name` for each."""
    found: dict[str, dict[str, Path]] = {}
    loaded = plugins.load()
    for plugin, answer in loaded.call("ganzoo_recipes"):
        for path in loaded.guard(plugin, functools.partial(_paths, answer)) or ():
            found.setdefault(path.stem, {})[plugin.name] = path
    return {
        name if len(owners) == 1 else f"{owner}:{name}": path
        for name, owners in sorted(found.items())
        for owner, path in owners.items()
    }


def _paths(answer: Iterable[Any]) -> list[Path]:
    return [Path(path) for path in answer]


def find_recipe(source: str | Path | Mapping[str, Any]) -> Recipe:
    """A recipe by name, by path where `source` ends in .toml or is a `Path`, or of plain data."""
    if isinstance(source, Mapping):
        return Recipe.from_dict(source)
    if not isinstance(source, (str, Path)):
        raise InputError(f"{source!r} is no recipe", "give a name, a path or a dictionary")
    if isinstance(source, Path) or source.endswith(".toml"):
        return Recipe.load(Path(source))
    known = recipes()
    if source in known:
        return Recipe.load(known[source])
    claims = [name for name in known if name.endswith(f":{source}")]
    if claims:
        owners = " and ".join(name.partition(":")[0] for name in claims)
        raise PluginError(
            f"recipe {source!r} is claimed by the plugins {owners}",
            f"ask for {' or '.join(claims)}",
        )
    lacking = registry.missing_part("generator", source.partition(".")[0], f"recipe {source!r}")
    raise lacking or NotFoundError(f"no recipe is called {source!r}", nearest(source, known))
