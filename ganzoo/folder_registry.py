"""Folder registries: directory trees of model folders, for machines without the Hub.

`GANZOO_REGISTRY` names them: directories, registry files (.toml) and `hf://owner/name`, with the
system's path separator or commas between them. In a directory, every folder down to three levels
that has a config.json and a SHA256SUMS is a model: `<root>/<name>/`, `<root>/<owner>/<name>/` or
`<root>/<owner>/<name>/<version>/`, of which the last version counts. A registry.toml at its top,
which `ganzoo mirror` writes, spares reading each of them, and its hashes take precedence. A
repository of the Hub that is such a tree needs that file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ganzoo import catalogue, layout
from ganzoo.catalogue import ModelEntry
from ganzoo.errors import ConfigError, GanzooError

FILE = "registry.toml"
_DEPTH = 3


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
        return [_placed(entry, path.parent, root) for entry in catalogue.read(path)]
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
    found: dict[tuple[str, str], tuple[str, ModelEntry]] = {}
    for folder in model_folders(path):
        entry = (
            _placed(listed[folder], path, root) if folder in listed else _read(path, folder, root)
        )
        key = (entry.plugin, entry.name)
        other = found.get(key)
        if other is not None and Path(other[0]).parent != Path(folder).parent:
            raise ConfigError(
                f"{root} holds two models called {entry.name!r}: {other[0]} and {folder}",
                "rename or remove one of them",
            )
        if other is None or _natural(folder) > _natural(other[0]):  # versions of one model
            found[key] = folder, entry
    return [entry for _, entry in found.values()]


def model_folders(root: Path) -> Iterator[str]:
    """The model folders of a tree, as paths below its root with /."""

    def walk(folder: str, prefix: str, depth: int) -> Iterator[str]:
        try:
            with os.scandir(folder) as scanned:
                inside = sorted(entry.name for entry in scanned if entry.is_dir())
        except OSError as error:
            raise GanzooError(f"{folder} cannot be read: {error.strerror}") from error
        for name in inside:
            if name.startswith("."):
                continue
            below = f"{folder}/{name}"
            if os.path.isfile(f"{below}/{layout.CONFIG}"):  # noqa: PTH113 - of 10,000 of them
                if os.path.isfile(f"{below}/{layout.SUMS}"):  # noqa: PTH113
                    yield f"{prefix}{name}"
            elif depth > 1:
                yield from walk(below, f"{prefix}{name}/", depth - 1)

    yield from walk(str(root), "", _DEPTH)


def _read(root: Path, folder: str, registry: str) -> ModelEntry:
    path = root / folder
    try:
        entry = ModelEntry.from_folder(path)
        entry = entry if entry.name else replace(entry, name=path.name)
    except GanzooError:  # damaged: it is listed, and whoever loads it is told what is wrong
        entry = ModelEntry(path.name, "", path.name.partition(".")[0], path=path)
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
