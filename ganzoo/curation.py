"""Keeping a registry: an entry for a model of the Hub, and the check of all entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ganzoo import (
    catalogue,
    checkpoint,
    folder_registry,
    gates,
    hub,
    layout,
    metadata,
    registry,
    revocation,
)
from ganzoo.catalogue import ModelEntry
from ganzoo.errors import CheckpointError, GanzooError


def make_entry(address: str, *, name: str | None = None) -> ModelEntry:
    """The complete entry of a model of the Hub: pinned to a commit, with every file's hash.

    Args:
        address: "owner/name", "owner/name@revision", or with hf:// before it.
        name: what the registry is to call it; by default as its config.json does.

    Raises:
        CheckpointError: the model is not whole, or does not state its licences.
        HubError: it cannot be reached.
    """
    address = address if address.startswith("hf://") else f"hf://{address}"
    fetched = hub.fetch(address, before_download=revocation.before_download)
    folder = fetched.folder
    entry = replace(
        ModelEntry.from_folder(folder),
        repo=fetched.ref.repo_id,
        revision=fetched.ref.revision or "",
        subfolder=fetched.ref.folder,
        path=None,
    )
    entry = replace(entry, name=name or entry.name)
    problems = [*checkpoint.verify(folder)]
    problems = problems or gates.unsound(folder, "licences", "compatibility", "card")
    if not entry.name:
        problems.append("its config.json gives it no name; give one with --name")
    if problems:
        raise CheckpointError(f"{fetched.ref} is not fit for a registry: {problems[0]}")
    for other in registry.list_models():
        if entry.name in (other.name, *other.aliases) and other.repo != entry.repo:
            raise CheckpointError(
                f"{entry.name!r} is the name of another model (of {other.plugin})",
                "give it another with --name",
            )
    return entry


@dataclass(frozen=True)
class Checked:
    """A registry entry, and what is wrong with it."""

    name: str
    plugin: str
    problems: tuple[str, ...]


def check_registry(path: Path | None = None) -> Iterator[Checked]:
    """Load, hash and sample every model of a registry, and compare it with its entry and card.

    Args:
        path: a registry file, or a folder registry that has one; by default all models that
            `ganzoo.list_models` knows.
    """
    if path is not None and path.is_dir():
        path /= "registry.toml"
    if path is None:
        entries = registry.list_models()
    elif path.suffix == ".toml":
        entries = folder_registry.of_root(str(path))
    else:
        entries = catalogue.read(path)
    for entry in entries:
        try:
            problems = tuple(_problems(entry))
        except GanzooError as error:
            problems = (str(error),)
        yield Checked(entry.name, entry.plugin, problems)


def _problems(entry: ModelEntry) -> Iterator[str]:
    folder = entry.path
    if folder is None:
        pinned = {name: str(file["sha256"]) for name, file in entry.files.items()}
        if not (entry.repo and entry.revision and pinned):
            yield "it is neither bundled nor pinned: repo, revision and files are needed"
            return
        ref = hub.HubRef(entry.repo, entry.revision, entry.subfolder)
        folder = hub.fetch(
            ref, files_sha256=pinned, before_download=revocation.before_download
        ).folder
    yield from checkpoint.verify(folder)
    here = ModelEntry.from_folder(folder)
    for key in ("arch", "plugin", "dataset", "resolution", "channels", "classes", "overrides"):
        if getattr(entry, key) != getattr(here, key):
            yield f"the entry says {key} {getattr(entry, key)!r}, the model {getattr(here, key)!r}"
    for key in ("license", "dataset_license"):
        if getattr(entry, key) in ("", "unknown"):
            yield f"its {key} is not stated"
        elif getattr(entry, key) != getattr(here, key):
            yield f"the entry says {key} {getattr(entry, key)!r}, the model {getattr(here, key)!r}"
    for name, file in entry.files.items():
        if name in here.files and dict(file) != dict(here.files[name]):
            yield f"the entry has another hash or size of {name}"
    missing = {layout.CONFIG, layout.WEIGHTS["generator"], "README.md"} - set(entry.files)
    if missing:
        yield f"the entry does not pin {sorted(missing)[0]}"
    values, problems = metadata.read((folder / "README.md").read_text("utf-8", "replace"))
    yield from (f"its card: {problem}" for problem in problems)
    if not problems and values.get("license") != entry.license:
        yield f"its card says license {values.get('license')!r}, the entry {entry.license!r}"
