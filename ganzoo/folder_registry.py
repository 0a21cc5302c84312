"""Folder registries: directory trees of model folders, for machines without the Hub.

`GANZOO_REGISTRY` names them: directories, registry files (.toml) and `hf://owner/name`, with the
system's path separator or commas between them. In a directory, every folder down to three levels
that has a config.json and a SHA256SUMS is a model: `<root>/<name>/`, `<root>/<owner>/<name>/` or
`<root>/<owner>/<name>/<version>/`, of which the last version counts. A registry.toml at its top,
which `ganzoo mirror` writes, spares reading each of them, and its hashes take precedence; without
it, what many folders say is kept in an index. A repository of the Hub that is such a tree needs
that file.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG

from ganzoo import catalogue, catalogue_index, layout
from ganzoo.catalogue import ModelEntry
from ganzoo.errors import ConfigError, GanzooError

FILE = "registry.toml"
_DEPTH = 3
_MANY = 50  # model folders, from which on an index is kept
Stamp = list[int]
"""The time, size and inode of a model folder's config.json and SHA256SUMS."""


def roots() -> list[str]:
    """The folder registries that `GANZOO_REGISTRY` names, the first of which counts most."""
    text = os.environ.get("GANZOO_REGISTRY", "")
    # hf://… holds the separator of paths itself
    return [
        part.strip() for part in re.split(rf",|{re.escape(os.pathsep)}(?!//)", text) if part.strip()
    ]


def entries() -> list[ModelEntry]:
    """The models of all folder registries, each name once.

    Raises:
        GanzooError: one of them is missing or cannot be read, or holds two models of one name.
    """
    found: dict[tuple[str, str], ModelEntry] = {}
    for root in roots():
        for entry in of_root(root):
            found.setdefault((entry.plugin, entry.name), entry)
    return list(found.values())


def of_root(root: str) -> list[ModelEntry]:
    """The models of one folder registry."""
    if root.startswith("hf://"):
        return _on_the_hub(root)
    path = Path(root).expanduser()
    if path.suffix == ".toml":
        top = path.parent
        return [_placed(entry, top, root) for entry in catalogue.read(path)]
    if not path.is_dir():
        raise ConfigError(
            f"GANZOO_REGISTRY names {root}, which is no folder",
            "name directories of model folders, registry files or hf:// addresses",
        )
    listed = {}
    if (path / FILE).is_file():
        listed = {
            entry.subfolder: entry for entry in catalogue.read(path / FILE) if entry.subfolder
        }
    stamps = dict(model_folders(path))
    read = _read_all(path, {f: stamp for f, stamp in stamps.items() if f not in listed}, root)
    found: dict[tuple[str, str], tuple[str, ModelEntry]] = {}
    for folder in stamps:
        entry = _placed(listed[folder], path, root) if folder in listed else read[folder]
        key = (entry.plugin, entry.name)
        other = found.get(key)
        if other is not None and not _are_versions(other[0], folder):
            raise ConfigError(
                f"{root} holds two models called {entry.name!r}: {other[0]} and {folder}",
                "rename or remove one of them",
            )
        if other is None or _natural(folder) > _natural(other[0]):
            found[key] = folder, entry
    return [entry for _, entry in found.values()]


def _are_versions(folder: str, other: str) -> bool:
    """Whether two model folders are <owner>/<name>/<version> of one model."""
    parent, _, _ = folder.rpartition("/")
    return parent.count("/") == _DEPTH - 2 and parent == other.rpartition("/")[0]


def model_folders(root: Path) -> Iterator[tuple[str, Stamp]]:
    """The model folders of a tree, as paths below its root with /, each with its stamp."""

    def walk(folder: str, prefix: str, depth: int) -> Iterator[tuple[str, Stamp]]:
        try:
            with os.scandir(folder) as scanned:
                inside = sorted(entry.name for entry in scanned if entry.is_dir())
        except OSError as error:
            if prefix:  # such as the lost+found of a disk
                return
            raise GanzooError(
                f"{folder} cannot be read: {error.strerror}", "mend GANZOO_REGISTRY"
            ) from error
        for name in inside:
            if name.startswith("."):
                continue
            below = f"{folder}/{name}"
            if (config := _stamp(f"{below}/{layout.CONFIG}")) is not None:
                if (sums := _stamp(f"{below}/{layout.SUMS}")) is not None:
                    yield f"{prefix}{name}", [*config, *sums]
            elif depth > 1:
                yield from walk(below, f"{prefix}{name}/", depth - 1)

    yield from walk(str(root), "", _DEPTH)


def _stamp(path: str) -> Stamp | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 - of 20,000 of them
    except OSError:
        return None
    return [stat.st_mtime_ns, stat.st_size, stat.st_ino] if S_ISREG(stat.st_mode) else None


def _read_all(root: Path, stamps: dict[str, Stamp], registry: str) -> dict[str, ModelEntry]:
    """The entries of model folders, from the index where a folder is as it was then."""
    known: dict[str, catalogue_index.Table] = {}
    key = f"tree-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()}" if stamps else ""
    if len(stamps) >= _MANY and (recalled := catalogue_index.recall(key)) is not None:
        known = {table["subfolder"]: table for table in recalled[1]}
    entries, tables, anew = {}, [], False
    latest = time.time_ns() - 2_000_000_000  # a file so new may change within its time stamp
    for folder, stamp in stamps.items():
        table = known.get(folder)
        if table is not None and table.pop("stamp") == stamp:
            table["aliases"] = ()
            entry = ModelEntry.from_checked({**table, "path": root / folder, "registry": registry})
        else:
            entry, anew = _read(root, folder, registry), True
        entries[folder] = entry
        if max(stamp[0], stamp[3]) < latest:
            tables.append({**vars(entry), "stamp": stamp})
    if anew and len(stamps) >= _MANY:
        for table in tables:
            del table["path"], table["registry"]
        catalogue_index.remember(key, None, tables)
    return entries


def _read(root: Path, folder: str, registry: str) -> ModelEntry:
    path = root / folder
    try:
        entry = ModelEntry.from_folder(path)
        entry = entry if entry.name else replace(entry, name=path.name)
    except (GanzooError, OSError) as error:  # damaged: listed with what is wrong
        entry = ModelEntry(
            path.name, "", path.name.partition(".")[0], path=path, problem=str(error)
        )
    return replace(entry, subfolder=folder, registry=registry, files={})


def _placed(entry: ModelEntry, root: Path, registry: str) -> ModelEntry:
    """An entry of a registry file with the folder that it names, where that is there."""
    path = None
    if (
        entry.subfolder
        and not entry.subfolder.startswith(("/", "\\"))
        and ".." not in entry.subfolder.split("/")
    ):
        path = root / entry.subfolder if (root / entry.subfolder).is_dir() else None
    entry.__dict__.update(registry=registry, path=path)  # just read, and of nobody else
    return entry


def _on_the_hub(root: str) -> list[ModelEntry]:
    from ganzoo import hub

    path, ref = hub.fetch_file(root, FILE)
    return [
        replace(
            entry,
            registry=root,
            repo=entry.repo or ref.repo_id,
            revision=entry.revision or ref.revision or "",
        )
        for entry in catalogue.read(path)
    ]


def _natural(text: str) -> list[tuple[int, int | str]]:
    """In which v10 comes after v9."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]
