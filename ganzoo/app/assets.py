"""The scripts and styles of Gradio's page, from memory.

The page asks for about a hundred of them before it shows anything. Gradio finds, checks and
compresses each anew for every visitor; here that is done once.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path

_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_KEPT = b"public, max-age=31536000, immutable"
"""A browser need not ask again: each name has a hash of what is in the file."""


class Assets:
    """The files of one folder, by name. What is not among them when this is made is not served."""

    def __init__(self, folder: Path) -> None:
        self._paths = {
            entry.name: Path(entry.path)
            for entry in os.scandir(folder)
            if entry.is_file() and Path(entry.name).suffix in _TYPES
        }
        self._packed: dict[str, bytes] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._paths

    def get(self, name: str, packed: bool) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Headers and body of one of them, compressed with gzip or as it is."""
        path = self._paths[name]
        headers = [
            (b"content-type", _TYPES[path.suffix].encode()),
            (b"cache-control", _KEPT),
            (b"vary", b"accept-encoding"),
        ]
        if not packed:
            return headers, path.read_bytes()
        if name not in self._packed:
            self._packed[name] = gzip.compress(path.read_bytes(), 6, mtime=0)
        return [*headers, (b"content-encoding", b"gzip")], self._packed[name]
