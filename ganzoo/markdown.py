"""Reading and quoting what may come from anyone, for cards in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Facts:
    """A JSON object, read without trust in its shape."""

    facts: Mapping[str, Any]

    def get(self, *path: str, default: Any = None) -> Any:
        """The value at a path; the default where it is absent or of another type than that."""
        value: Any = self.facts
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        wrong = (
            default is not None
            and not isinstance(default, str)
            and type(value) is not type(default)
        )
        return default if value is None or wrong else value

    def text(self, *path: str) -> str:
        value = self.get(*path)
        return " ".join(value.split()) if isinstance(value, str) else ""

    def number(self, *path: str, plain: bool = False) -> str:
        value = self.get(*path)
        if not isinstance(value, int):
            return ""
        return str(value) if plain else f"{value:,}"


def prose(value: Any) -> str:
    """Text on one line that stays text: no HTML, link, picture, emphasis or table cell."""
    text = re.sub(r"([\\`*\[\]|])", r"\\\1", " ".join(str(value).split()))
    return text.replace("&", "&amp;").replace("<", "&lt;")


def is_number(value: Any) -> bool:
    """Whether JSON gave a number that can be computed with: finite, of a sane size, no boolean."""
    return type(value) in (int, float) and -1e300 < value < 1e300


def code(value: Any) -> str:
    return f"`{' '.join(str(value).split()).replace('`', chr(39)).replace('|', ' ')}`"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
