"""What took long to read, kept in the user's cache in a form that is read fast: tables of models.

An index has a key, which changes with what it was made of. Its first line is a checksum of the
rest, its second one JSON: a head, the columns and the rows. The files of the models are most of it
and are seldom asked for, so they stand below, a line of JSON for each row, and are parsed on
demand. One that is damaged, or of another ganzoo, is made anew; without a cache there is none.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganzoo import __version__, files
from ganzoo.errors import GanzooError

_KEPT = 16  # indexes of former states of a file or tree are of no use to anyone
Table = dict[str, Any]


class FilesText(Mapping[str, Mapping[str, Any]]):
    """The `files` of a model as JSON text, parsed when they are asked for."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return self._parsed()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __repr__(self) -> str:
        return repr(self._parsed())

    def _parsed(self) -> dict[str, Mapping[str, Any]]:
        parsed: dict[str, Mapping[str, Any]] = json.loads(self.text)
        return parsed


def recall(key: str) -> tuple[Any, list[Table]] | None:
    """The head and the tables that were remembered under a key; None where there are none."""
    try:
        checksum, _, rest = _place(key).read_bytes().partition(b"\n")
        if checksum != _checksum(rest):
            return None
        head, *below = rest.decode().split("\n")
        said = json.loads(head)
        columns = said["columns"]
        tables = [dict(zip(columns, row)) for row in said["rows"]]
        for table, text in zip(tables, below, strict=True):
            table["files"] = FilesText(text)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError):  # RuntimeError: no home
        return None
    return said["head"], tables


def remember(key: str, head: Any, tables: Sequence[Table]) -> None:
    """Keep tables, all of the same columns, for `recall`; where that cannot be, it is not done."""
    columns = [column for column in (tables[0] if tables else ()) if column != "files"]
    rows = [[table[column] for column in columns] for table in tables]
    with contextlib.suppress(GanzooError, OSError, RuntimeError, TypeError, ValueError):
        lines = [_json({"head": head, "columns": columns, "rows": rows})]
        lines += [_json(dict(table["files"])) for table in tables]
        place, rest = _place(key), "\n".join(lines).encode()
        with files.replacing(place) as temporary:
            temporary.write_bytes(_checksum(rest) + b"\n" + rest)
        kept = sorted(place.parent.glob("*.index"), key=lambda path: path.stat().st_mtime_ns)
        for former in kept[:-_KEPT]:
            former.unlink()


def _place(key: str) -> Path:
    return files.cache_folder("index") / f"{key}.index"


def _checksum(rest: bytes) -> bytes:
    return f"ganzoo {__version__} {len(rest)} {zlib.crc32(rest):08x}".encode()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
