"""What models there are: of the core's registry.toml, of installed plugins and folder registries.

Listing reads TOML and JSON only; torch is not imported and nothing is fetched.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganzoo import catalogue, layout, plugins
from ganzoo.catalogue import ModelEntry
from ganzoo.errors import GanzooError, NotFoundError, PluginError, nearest

__all__ = ["ModelEntry", "find", "lacking", "list_models", "missing_part", "write_models"]


def list_models(
    text: str = "", *, arch: str | None = None, dataset: str | None = None
) -> list[ModelEntry]:
    """All known models, by name: the core's catalogue, what installed plugins bring, and what the
    folder registries of `GANZOO_REGISTRY` hold.

    One that is in several of them is listed once: as it is bundled, else as in the first folder
    registry.

    Args:
        text: only those whose names contain it, or fit it as a pattern ("dcgan.*").
        arch: only those of this architecture.
        dataset: only those that were trained on this data set.
    """
    pattern = text if re.search(r"[*?[]", text) else f"*{text}*"
    return [
        entry
        for entry in _by_name(_with_folder_registries(_installed()))
        if arch in (None, entry.arch) and dataset in (None, entry.dataset)
        if any(fnmatch.fnmatchcase(name, pattern) for name in (entry.name, *entry.aliases))
    ]


Found = dict[tuple[str, str], ModelEntry]


def _installed() -> Found:
    """What the catalogue and the installed plugins bring."""
    found = {(entry.plugin, entry.name): entry for entry in _catalogue_models()}
    loaded = plugins.load()
    for plugin, answer in loaded.call("ganzoo_models"):
        listed = functools.partial(_entries, answer, plugin.distribution, found)
        for entry in loaded.guard(plugin, listed) or ():
            known = found.get((entry.plugin, entry.name))
            if known is not None:
                entry = replace(
                    entry, repo=known.repo, revision=known.revision, aliases=known.aliases
                )
            found[entry.plugin, entry.name] = entry
    return found


def _names_folder_registries() -> bool:
    return bool(os.environ.get("GANZOO_REGISTRY"))


def _with_folder_registries(installed: Found) -> Found:
    if not _names_folder_registries():
        return installed  # and their room stays closed: opening it takes a start-up's twentieth
    from ganzoo import folder_registry

    found = dict(installed)
    for entry in folder_registry.entries():
        known = found.get((entry.plugin, entry.name))
        if known is None or known.path is None:
            found[entry.plugin, entry.name] = entry
    return found


def _by_name(found: Found) -> list[ModelEntry]:
    return sorted(found.values(), key=lambda entry: (entry.name, entry.plugin))


def find(name: str) -> ModelEntry:
    """The model of this name or alias; `plugin:name` where two plugins claim it.

    A bundled one comes first: for it, no folder registry is asked, which may be large, far or gone.
    Then come those of folder registries, whole ones first.

    Raises:
        NotFoundError: no such model; names the nearest ones.
        PluginError: two plugins claim the name.
        GanzooError: a folder registry cannot be read.
    """
    prefix, _, bare = name.rpartition(":")
    installed = _installed()
    known = _by_name(installed)
    matching = _called(prefix, bare, known)
    if not any(entry.bundled for entry in matching) and _names_folder_registries():
        known = _by_name(_with_folder_registries(installed))
        matching = _called(prefix, bare, known)
        if len(matching) > 1:
            whole = [entry for entry in matching if not entry.problem] or matching
            matching = [entry for entry in whole if entry.registry] or whole
    if len(matching) == 1:
        return matching[0]
    if matching:
        entry_points = {p.distribution: p.name for p in plugins.load().found}
        choices = " or ".join(f"{entry_points.get(e.plugin, e.plugin)}:{bare}" for e in matching)
        raise PluginError(
            f"model {bare!r} is claimed by {' and '.join(e.plugin for e in matching)}",
            f"ask for {choices}",
        )
    arch, what = bare.partition(".")[0], f"model {name!r}"
    for plugin in plugins.load().found:
        if plugin.error and plugin.name == arch:
            raise lacking(plugin.distribution, what)
    if (missing := missing_part("generator", arch, what)) is not None:
        raise missing
    remedy = nearest(bare, [e.name for e in known])
    if name.strip() and Path(name).is_dir():
        remedy = f"the folder of that name is ./{name}"
    raise NotFoundError(f"no model is called {name!r}", remedy or "ganzoo models lists them all")


def _called(prefix: str, bare: str, known: Iterable[ModelEntry]) -> list[ModelEntry]:
    """The models of a name or alias, of the plugin of that entry point or distribution if any."""
    matching = [e for e in known if bare == e.name or bare in e.aliases]
    if not prefix:
        return matching
    distributions = {p.distribution for p in plugins.load().found if p.name == prefix}
    return [e for e in matching if e.plugin in distributions | {prefix}]


def lacking(distribution: str, what: str, requires: str = "") -> PluginError:
    """The error for `what` (a model, a part, a recipe), whose plugin is not at work.

    Args:
        distribution: of the plugin. Only a reviewed one's name is put behind `pip install`.
        requires: the requirement that a stranger states; only its version range is taken over.
    """
    loaded = plugins.load()
    named = f"{what} needs the plugin {distribution}"
    for plugin in loaded.found:
        if plugin.distribution == distribution and plugin.error:
            return PluginError(
                f"{named}, which is installed but broken ({plugin.error})",
                "ganzoo plugins shows more",
            )
    if distribution in loaded.left_out:
        entry_point = loaded.left_out[distribution]
        return PluginError(
            f"{named}, which GANZOO_PLUGINS leaves out", f"add {entry_point} to GANZOO_PLUGINS"
        )
    if any(plugin.distribution == distribution for plugin in loaded.found):
        return PluginError(f"{what} is not in the installed {distribution}", "update that plugin")
    if distribution not in curated_distributions():
        return PluginError(
            f"{what} needs the plugin {distribution!r}, which is not installed",
            "ganzoo has not reviewed that plugin",
        )
    version = re.match(r"[<>=!~,.\d]+$", requires.removeprefix(distribution))
    wanted = f"'{distribution}{version[0]}'" if version else distribution
    return PluginError(f"{named}, which is not installed", f"pip install {wanted}")


def missing_part(kind: str, name: str, what: str = "") -> PluginError | None:
    """The error for a part that a reviewed plugin would bring, if that plugin is not at work."""
    distribution = curated_parts().get(name)
    working = {p.distribution for p in plugins.load().found if not p.error}
    if distribution is None or distribution in working:
        return None
    return lacking(distribution, what or f"{kind} {name!r}")


def _entries(
    answer: Any, distribution: str, known: Mapping[tuple[str, str], ModelEntry]
) -> list[ModelEntry]:
    """What a plugin's `ganzoo_models` said, as entries."""
    if not isinstance(answer, (str, os.PathLike)):
        for entry in answer:
            if not isinstance(entry, ModelEntry):
                raise PluginError(f"ganzoo_models returned a {type(entry).__name__}, no ModelEntry")
        return list(answer)
    path = Path(answer)
    if path.suffix == ".toml":
        return catalogue.read(path)
    entries = []
    for folder in sorted(path.iterdir()) if path.is_dir() else ():
        entry = known.get((distribution, folder.name))
        try:
            if entry is not None and entry.files == catalogue.files_of(folder):
                entries.append(replace(entry, path=folder))  # nothing to read that is not known
            elif (folder / layout.CONFIG).is_file():
                entries.append(ModelEntry.from_folder(folder))
        except GanzooError as error:  # damaged: listed with what is wrong, and no other's fault
            entry = entry or ModelEntry(folder.name, distribution, folder.name.partition(".")[0])
            entries.append(replace(entry, path=folder, problem=str(error)))
    return entries


# -- the core's registry.toml ----------------------------------------------------------------------


def curated_plugins() -> list[dict[str, Any]]:
    """The reviewed plugins, installed or not: name (distribution), entry_point, summary, parts."""
    said: list[dict[str, Any]] = catalogue.document(_catalogue_path()).get("plugin", [])
    return said


def curated_distributions() -> set[str]:
    """The distribution names that `pip install` may be printed for."""
    return {plugin["name"] for plugin in curated_plugins()}


def curated_parts() -> dict[str, str]:
    """Part name -> the reviewed distribution that brings it."""
    return {
        part: plugin["name"]
        for plugin in curated_plugins()
        for names in plugin.get("parts", {}).values()
        for part in names
    }


def write_models(folders: Iterable[Path], path: Path | None = None) -> int:
    """Generate the [[model]] tables of registry.toml from model folders; returns their number.

    `repo`, `revision` and `aliases` of former entries are kept. `make registry` calls this.
    """
    path = path or _catalogue_path()
    former = {(e.plugin, e.name): e for e in catalogue.read(path)}
    entries = []
    for folder in sorted(folders):
        entry = ModelEntry.from_folder(folder)
        old = former.get((entry.plugin, entry.name), entry)
        entries.append(replace(entry, repo=old.repo, revision=old.revision, aliases=old.aliases))
    catalogue.write(path, entries)
    return len(entries)


def put(entry: ModelEntry, path: Path | None = None) -> None:
    """Write one entry into a registry file, by default the core's."""
    catalogue.put(path or _catalogue_path(), entry)


def _catalogue_path() -> Path:
    """registry.toml inside the installed package, or at the top of a checkout."""
    inside = Path(__file__).with_name("registry.toml")
    return inside if inside.exists() else Path(__file__).parent.parent / "registry.toml"


def _catalogue_models() -> list[ModelEntry]:
    return catalogue.read(_catalogue_path())
