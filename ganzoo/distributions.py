"""Installed distributions that bring plugins, read from what pip wrote beside them.

`importlib.metadata` finds the same, but importing it (with `email`, which parses METADATA) takes a
third of what `ganzoo models` may take; this takes a millisecond. Only folders on `sys.path` are
looked at, as pip and its editable installs make them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EntryPoint:
    """A line `name = package.module` (or `:object`) of entry_points.txt, and whose it is."""

    name: str
    value: str
    distribution: str
    version: str
    requires: tuple[str, ...]


def entry_points(group: str) -> list[EntryPoint]:
    """The entry points of a group, by name; a distribution counts where `sys.path` has it first."""
    found: dict[tuple[str, str], EntryPoint] = {}
    hidden: set[str] = set()
    for folder in sys.path:
        for info in _infos(Path(folder)):
            text = _read(info / "entry_points.txt")
            name = info.name.partition("-")[0]
            key = re.sub(r"[-_.]+", "-", name).lower()
            if key in hidden:
                continue
            hidden.add(key)
            if f"[{group}]" not in text:
                continue
            headers = _headers(info)
            for entry, value in _entries(text, group):
                found[key, entry] = EntryPoint(
                    name=entry,
                    value=value,
                    distribution=dict(headers).get("Name", name),
                    version=dict(headers).get("Version", "?"),
                    requires=tuple(text for header, text in headers if header == "Requires-Dist"),
                )
    return sorted(found.values(), key=lambda point: (point.name, point.distribution))


def _infos(folder: Path) -> list[Path]:
    """The .dist-info and .egg-info folders in a folder."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name.endswith((".dist-info", ".egg-info"))]
    except OSError:  # a zip file or nothing at all
        return []
    return [folder / name for name in sorted(names)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _headers(info: Path) -> list[tuple[str, str]]:
    """The headers of METADATA (PKG-INFO in an .egg-info), which end at the first empty line."""
    text = _read(info / "METADATA") or _read(info / "PKG-INFO")
    lines = text.partition("\n\n")[0].splitlines()
    return [(name, value.strip()) for name, colon, value in (li.partition(":") for li in lines)]


def _entries(text: str, group: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == group and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.partition("[")[0].strip()
