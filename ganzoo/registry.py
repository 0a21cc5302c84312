"""The catalogue: registry.toml of the core, and the models that installed plugins bring.

Listing reads TOML and JSON only; torch is not imported and nothing is fetched.
"""

from __future__ import annotations

import functools
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ganzoo import layout, plugins
from ganzoo.errors import (
    ConfigError,
    GanzooError,
    NotFoundError,
    PluginError,
    nearest,
)

FORMAT = 1


@dataclass(frozen=True)
class ModelEntry:
    """One pretrained model.

    Attributes:
        name: arch.data[.scale], unique within a plugin.
        plugin: the distribution that is needed to load it.
        repo, revision: where it is published on the Hub and at which commit; "" until it is.
        files: file -> {"sha256", "size"}.
        path: its folder, where an installed plugin bundles it.
    """

    name: str
    plugin: str
    arch: str
    dataset: str = ""
    resolution: int = 0
    channels: int = 0
    classes: int = 0
    license: str = "unknown"
    dataset_license: str = "unknown"
    summary: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    repo: str = ""
    revision: str = ""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    path: Path | None = None

    @property
    def bundled(self) -> bool:
        return self.path is not None

    def to_dict(self) -> dict[str, Any]:
        """For `--json`: every field, and `bundled`."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "path"}
        return {**values, "aliases": list(self.aliases), "bundled": self.bundled}

    @classmethod
    def from_toml(cls, table: Mapping[str, Any], where: str) -> ModelEntry:
        known = {f.name for f in fields(cls)} - {"path"}
        for key in table:
            if key not in known:
                raise ConfigError(
                    f"{where}: a model has the unknown key {key!r}", nearest(key, known)
                )
        for key in ("name", "plugin", "arch"):
            if not isinstance(table.get(key), str):
                raise ConfigError(f"{where}: a model lacks {key!r}", "mend the registry file")
        return cls(**{**table, "aliases": tuple(table.get("aliases", ()))})

    @classmethod
    def from_folder(cls, folder: Path) -> ModelEntry:
        """The entry of a model folder, from its own files."""
        config = layout.read_config(folder)
        shape = config.generator.config.get("image_shape", (0, 0, 0))
        if not isinstance(shape, (list, tuple)) or [type(n) for n in shape] != [int] * 3:
            raise ConfigError(f"{folder}: image_shape = {shape!r} is no shape", "use [C, H, W]")
        metrics = folder / "metrics.json"
        return cls(
            name=config.name,
            plugin=config.plugin,
            arch=config.generator.part,
            dataset=config.dataset.name,
            resolution=shape[1],
            channels=shape[0],
            classes=config.generator.config.get("num_classes", 0),
            license=config.license,
            dataset_license=config.dataset.license,
            summary=config.summary,
            metrics=layout.read_json(metrics) if metrics.exists() else {},
            files=_files(folder),
            path=folder,
        )


def list_models() -> list[ModelEntry]:
    """All known models, by name: the core's catalogue and what installed plugins bring.

    A model that is both in the catalogue and bundled with its plugin is listed once.
    """
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
    return sorted(found.values(), key=lambda entry: (entry.name, entry.plugin))


def find(name: str) -> ModelEntry:
    """The model of this name or alias; `plugin:name` where two plugins claim it.

    Raises:
        NotFoundError: no such model; names the nearest ones.
        PluginError: two plugins claim the name.
    """
    prefix, _, bare = name.rpartition(":")
    known = list_models()
    matching = [e for e in known if bare == e.name or bare in e.aliases]
    if prefix:
        distributions = {p.distribution for p in plugins.load().found if p.name == prefix}
        matching = [e for e in matching if e.plugin in distributions | {prefix}]
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
    raise NotFoundError(f"no model is called {name!r}", remedy or "ganzoo models lists them all")


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
        return _read(path)[1]
    entries = []
    for folder in sorted(path.iterdir()) if path.is_dir() else ():
        entry = known.get((distribution, folder.name))
        try:
            if entry is not None and entry.files == _files(folder):
                entries.append(replace(entry, path=folder))  # nothing to read that is not known
            elif (folder / layout.CONFIG).is_file():
                entries.append(ModelEntry.from_folder(folder))
        except GanzooError:  # damaged: it is listed, and whoever loads it is told what is wrong
            entry = entry or ModelEntry(folder.name, distribution, folder.name.partition(".")[0])
            entries.append(replace(entry, path=folder))
    return entries


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    """Hash and size of each file that the folder's SHA256SUMS names; {} for another folder."""
    if not (folder / layout.SUMS).is_file():
        return {}
    return {
        name: {"sha256": digest, "size": (folder / name).stat().st_size}
        for name, digest in layout.read_sums(folder).items()
        if (folder / name).is_file()
    }


# -- registry.toml ---------------------------------------------------------------------------------


def curated_plugins() -> list[dict[str, Any]]:
    """The reviewed plugins, installed or not: name (distribution), entry_point, summary, parts."""
    return _read(_catalogue_path())[0]


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
    import tomli_w

    from ganzoo import files

    path = path or _catalogue_path()
    former = {(e.plugin, e.name): e for e in _read(path)[1]}
    tables = []
    for folder in sorted(folders):
        entry = ModelEntry.from_folder(folder)
        old = former.get((entry.plugin, entry.name), entry)
        entry = replace(entry, repo=old.repo, revision=old.revision, aliases=old.aliases)
        values = {
            k: v for k, v in entry.to_dict().items() if k != "bundled" and v not in ("", {}, [])
        }
        tables.append(values)
    text = path.read_text()
    head = text.partition("\n[[model]]")[0].rstrip()
    files.write_text(path, f"{head}\n\n{tomli_w.dumps({'model': tables})}")
    return len(tables)


def _catalogue_path() -> Path:
    """registry.toml inside the installed package, or at the top of a checkout."""
    inside = Path(__file__).with_name("registry.toml")
    return inside if inside.exists() else Path(__file__).parent.parent / "registry.toml"


def _catalogue_models() -> list[ModelEntry]:
    return _read(_catalogue_path())[1]


@functools.lru_cache(maxsize=32)
def _parsed(path: Path, stamp: tuple[int, int]) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is no valid TOML: {error}", "mend that line") from error
    if document.get("format") != FORMAT:
        raise ConfigError(
            f"{path} has format {document.get('format')!r}, this ganzoo reads {FORMAT}",
            "pip install --upgrade ganzoo",
        )
    return document


def _read(path: Path) -> tuple[list[dict[str, Any]], list[ModelEntry]]:
    """(curated plugins, models) of a registry file, parsed once for each state of the file."""
    try:
        stat = path.stat()
    except OSError as error:
        raise GanzooError(f"the registry {path} cannot be read: {error.strerror}") from error
    document = _parsed(path, (stat.st_mtime_ns, stat.st_size))
    entries = [ModelEntry.from_toml(table, str(path)) for table in document.get("model", [])]
    return document.get("plugin", []), entries
