"""What a registry says of a model, and registry files: read, indexed, written.

A registry file is TOML: `format = 1`, then a [[model]] table for each model. A long one takes over
a second to parse, so what it says is kept in an index, under the hash of the file. A file may be
anyone's (folder registries may be on the Hub): every table is checked before it is an entry.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ganzoo import files, layout
from ganzoo.errors import ConfigError, GanzooError, nearest, printable

FORMAT = 1
_LONG = 100_000  # bytes, from which on a file is indexed
_LARGEST = 100_000_000


@dataclass(frozen=True)
class ModelEntry:
    """One pretrained model.

    Attributes:
        name: arch.data[.scale], unique within a plugin.
        plugin: the distribution that is needed to load it.
        repo, revision: where it is published on the Hub and at which commit; "" until it is.
        subfolder: where it is in that repository, or in a folder registry; "" for its top.
        metrics: protocol -> value; audit: the verdict, "" for none.
        files: file -> {"sha256", "size"}.
        overrides: gate -> why it was published although that gate stops it.
        path: its folder on this machine, where a plugin bundles it or a folder registry holds it.
        registry: the folder registry that it is from; "" for all others.
        problem: what is wrong with its folder, as far as a listing reads it; "" if nothing is.
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
    metrics: Mapping[str, Any] = field(default_factory=dict, repr=False)
    audit: str = ""
    aliases: tuple[str, ...] = ()
    repo: str = ""
    revision: str = ""
    subfolder: str = ""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    overrides: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None
    registry: str = ""
    problem: str = ""

    @property
    def bundled(self) -> bool:
        """Whether it came with an installed plugin."""
        return self.path is not None and not self.registry

    def to_dict(self) -> dict[str, Any]:
        """For `--json`: every field, and `bundled`."""
        values = {name: getattr(self, name) for name in _SHOWN}
        return {**values, "aliases": list(self.aliases), "bundled": self.bundled}

    def to_json(self) -> str:
        """`to_dict` as JSON; files that are JSON still are not parsed for it."""
        values = {name: getattr(self, name) for name in _SHOWN if name != "files"}
        text, said = _encode({**values, "bundled": self.bundled}), self.files
        below = getattr(said, "text", None) or _encode(said)  # `FilesText`, of a long file
        return f'{text[:-1]}, "files": {below}}}'

    @classmethod
    def from_checked(cls, table: Mapping[str, Any]) -> ModelEntry:
        """The entry of a [[model]] table that was checked before."""
        entry = object.__new__(cls)  # in a fifth of the time of __init__: there may be 10,000
        entry.__dict__.update(_DEFAULTS)
        entry.__dict__.update(table)
        return entry

    @classmethod
    def from_folder(cls, folder: Path) -> ModelEntry:
        """The entry of a model folder, from its own files."""
        config = layout.read_config(folder)
        shape = config.generator.config.get("image_shape", (0, 0, 0))
        if not isinstance(shape, (list, tuple)) or [type(n) for n in shape] != [int] * 3:
            raise ConfigError(f"{folder}: image_shape = {shape!r} is no shape", "use [C, H, W]")
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
            metrics=_values(folder / "metrics.json"),
            audit=_verdict(folder / "audit.json"),
            files=files_of(folder),
            overrides=dict(config.overrides),
            path=folder,
        )


def _values(path: Path) -> dict[str, Any]:
    """Protocol -> value, of a metrics.json that may be anyone's."""
    from ganzoo.markdown import is_number

    found = layout.read_json(path) if path.is_file() else {}
    values = {
        name: entry.get("value") for name, entry in found.items() if isinstance(entry, Mapping)
    }
    return {name: value for name, value in values.items() if is_number(value)}


def _verdict(path: Path) -> str:
    verdict = layout.read_json(path).get("verdict") if path.is_file() else ""
    return verdict if isinstance(verdict, str) else ""


_KEYS = {f.name for f in fields(ModelEntry)} - {"path", "registry", "problem"}
_SHOWN = [f.name for f in fields(ModelEntry) if f.name != "path"]
_encode = json.JSONEncoder(default=str, ensure_ascii=False).encode
_DEFAULTS = vars(ModelEntry("", "", ""))


def files_of(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """Hash and size of each file that the folder's SHA256SUMS names; {} for another folder."""
    try:
        stat = (folder / layout.SUMS).stat()
    except OSError:
        return {}
    return _files_of(folder, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@functools.lru_cache(maxsize=256)
def _files_of(folder: Path, stamp: tuple[int, int, int]) -> Mapping[str, Mapping[str, Any]]:
    """The same, read once for each state of the SHA256SUMS: every load of a name asks for all."""
    return {
        name: {"sha256": digest, "size": (folder / name).stat().st_size}
        for name, digest in layout.read_sums(folder).items()
        if (folder / name).is_file()
    }


# -- registry files --------------------------------------------------------------------------------


def read(path: Path) -> list[ModelEntry]:
    """The models of a registry file.

    Raises:
        GanzooError: it cannot be read, is no TOML, of another format, or has an odd model.
    """
    return [ModelEntry.from_checked(table) for table in _said(path)[1]]


def document(path: Path) -> dict[str, Any]:
    """What a registry file says beside its models."""
    return _said(path)[0]


def _said(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        stat = path.stat()
    except OSError as error:
        raise GanzooError(
            f"the registry {path} cannot be read: {error.strerror}", "check the path"
        ) from error
    if stat.st_size > _LARGEST:
        raise ConfigError(f"{path} has more than {_LARGEST:,} bytes", "give a registry file")
    return _parsed(path, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@functools.lru_cache(maxsize=32)
def _parsed(path: Path, stamp: tuple[int, int, int]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """All that a registry file says, parsed once for each state of the file."""
    if stamp[1] < _LONG:
        return _as_toml_says(path)
    from ganzoo import catalogue_index

    key = files.sha256(path)
    if (known := catalogue_index.recall(key)) is not None:
        head, tables = known
        for table in tables:
            table["aliases"] = tuple(table["aliases"])
        return head, tables
    head, tables = _as_toml_says(path)
    whole = [{key: table.get(key, _DEFAULTS[key]) for key in sorted(_KEYS)} for table in tables]
    catalogue_index.remember(key, head, whole)
    return head, tables


def _as_toml_says(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no valid TOML: {error}", "mend that line") from error
    if "format" not in said:
        raise ConfigError(
            f"{path} is no registry file: it names no format",
            f"give one that begins with format = {FORMAT}",
        )
    if said["format"] != FORMAT:
        raise ConfigError(
            f"{path} has format {said['format']!r}, this ganzoo reads {FORMAT}",
            "pip install --upgrade ganzoo",
        )
    models = said.pop("model", [])
    if not isinstance(models, list):
        raise ConfigError(f"{path}: model is no list of tables", "write [[model]]")
    return said, [_checked(table, str(path)) for table in models]


def _checked(table: Any, where: str) -> dict[str, Any]:
    """A [[model]] table that has only what an entry may have, its aliases a tuple."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: a model is no table", "write [[model]]")
    if unknown := table.keys() - _KEYS:
        key = min(unknown)
        raise ConfigError(f"{where}: a model has the unknown key {key!r}", nearest(key, _KEYS))
    for key in ("name", "plugin", "arch"):
        if not isinstance(table.get(key), str):
            raise ConfigError(f"{where}: a model lacks {key!r}", "mend the registry file")
    checked = dict(table)
    wrong = [key for key, value in table.items() if not _fits(key, value)]
    if wrong:
        name = printable(table["name"], longest=80)
        raise ConfigError(
            f"{where}: model {name!r} has an odd {wrong[0]!r}", "mend the registry file"
        )
    checked["aliases"] = tuple(table.get("aliases", ()))
    return checked


_NAME = re.compile(r"[\w.\-]{1,255}", re.ASCII).fullmatch  # as SHA256SUMS takes them


def _fits(key: str, value: Any) -> bool:
    """Whether a table's value is of the type that entries have there."""
    if key == "aliases":
        return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
    if key == "overrides":
        return isinstance(value, Mapping) and all(isinstance(why, str) for why in value.values())
    if key == "files":
        return isinstance(value, Mapping) and all(
            isinstance(file, Mapping)
            and len(str(file.get("sha256"))) == 64
            and not str(file.get("sha256")).strip("0123456789abcdef")
            and type(file.get("size", 0)) is int
            and _NAME(name)
            for name, file in value.items()
        )
    return type(value) is type(_DEFAULTS[key])


def put(path: Path, entry: ModelEntry) -> None:
    """Write one entry into a registry file, in place of a former one of its plugin and name."""
    if not path.exists():
        files.write_text(path, f"format = {FORMAT}\n")
    others = [e for e in read(path) if (e.plugin, e.name) != (entry.plugin, entry.name)]
    write(path, sorted([*others, entry], key=lambda e: (e.name, e.plugin)))


def write(path: Path, entries: Iterable[ModelEntry]) -> None:
    """Write the models of a registry file; what stands before the first one stays."""
    head = f"\n{path.read_text(encoding='utf-8')}".partition("\n[[model]]")[0].strip()
    files.write_text(path, f"{head}\n\n{as_toml(entries)}")


def as_toml(entries: Iterable[ModelEntry]) -> str:
    """Entries as [[model]] tables."""
    import tomli_w

    tables = [
        {k: v for k, v in entry.to_dict().items() if k in _KEYS and v not in ("", {}, [])}
        for entry in entries
    ]
    return tomli_w.dumps({"model": tables})
