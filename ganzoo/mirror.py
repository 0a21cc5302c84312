"""Filling a folder registry: models copied, verified and listed, for machines without the Hub."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ganzoo import catalogue, checkpoint, files, folder_registry, layout, loading, registry
from ganzoo.catalogue import ModelEntry
from ganzoo.errors import CheckpointError, GanzooError, InputError


@dataclass(frozen=True)
class Mirrored:
    """A model in a folder registry: its name there, its folder, whether it was copied now, and
    whether in place of another state of it."""

    name: str
    folder: Path
    new: bool
    replaced: bool


def mirror(sources: Iterable[str | Path], to: str | Path) -> Iterator[Mirrored]:
    """Copy models into a folder registry, each as a whole or not at all.

    Args:
        sources: what `ganzoo.load` takes.
        to: the directory; it is made.

    Raises:
        CheckpointError: a model is damaged.
        InputError: one has no name, or that of another model, there or among the sources; `to` is
            a model folder.
    """
    to = Path(to)
    if (to / layout.CONFIG).is_file():
        raise InputError(f"{to} is a model folder", "name the directory that is to hold the models")
    copied: dict[Path, str | Path] = {}
    for source in sources:
        located = loading.locate(source, signature=True)
        folder = located.folder
        if problems := checkpoint.verify(folder):
            raise CheckpointError(f"{source} is not mirrored: {problems[0]}")
        entry = _entry(source, folder)
        if not entry.name or Path(entry.name).name != entry.name or entry.name.startswith("."):
            raise InputError(
                f"{source} is called {entry.name!r}, which is no name of a folder",
                "save it with a name",
            )
        target = to / entry.name
        _refuse_another(target, entry)
        new = not _same(folder, target)
        replaced = new and target.exists()
        if replaced and target in copied:
            raise InputError(
                f"{copied[target]} and {source} are both called {entry.name!r}",
                "save one of them with another name, or mirror it to another directory",
            )
        copied[target] = source
        if new:
            with files.replacing_folder(target) as temporary:
                for name in layout.FILES:
                    if (folder / name).is_file():
                        shutil.copyfile(folder / name, temporary / name)
                _keep_to_what_is_there(temporary)
                for name in layout.read_sums(temporary):
                    if (temporary / name).is_file():  # a signed folder keeps what it says
                        layout.check_file(temporary, name)
        catalogue.put(to / folder_registry.FILE, replace(entry, subfolder=entry.name))
        yield Mirrored(entry.name, target, new, replaced)


def _entry(source: str | Path, folder: Path) -> ModelEntry:
    entry = ModelEntry.from_folder(folder)
    if isinstance(source, str) and not loading.is_path(source):
        known = registry.find(source)
        entry = replace(entry, name=known.name, aliases=known.aliases)
    return entry


def _refuse_another(target: Path, entry: ModelEntry) -> None:
    """Two models may have one name; the second is not to take the first one's place."""
    try:
        there = ModelEntry.from_folder(target)
    except GanzooError:
        return  # there is none, or it is damaged and this one mends it
    if (there.plugin, there.arch) != (entry.plugin, entry.arch):
        raise InputError(
            f"{target} holds another model, {there.arch} of {there.plugin}",
            "remove it, or mirror to another directory",
        )


def _same(folder: Path, target: Path) -> bool:
    """Whether the target holds the same files, and they are whole."""
    try:
        sums = layout.read_sums(folder)
        if sums != layout.read_sums(target):
            return False
        return all(
            files.sha256(target / name) == digest
            for name, digest in sums.items()
            if (folder / name).is_file()
        )
    except (CheckpointError, OSError):
        return False


def _keep_to_what_is_there(folder: Path) -> None:
    """A folder from the Hub may come without its discriminator, which its SHA256SUMS names."""
    if (folder / layout.SIGNATURE).is_file():
        return
    sums = layout.read_sums(folder)
    if any(not (folder / name).is_file() for name in sums):
        layout.write_sums(folder)
