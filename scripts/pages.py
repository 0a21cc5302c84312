"""Pages of Markdown of which a part is written by a script, between two markers."""

from __future__ import annotations

from pathlib import Path

from ganzoo import files
from ganzoo.errors import GanzooError


def rewrite(path: Path, name: str, section: str) -> None:
    """Put the section into a page, as `written` does."""
    files.write_text(path, written(path.read_text(encoding="utf-8"), name, section))


def written(page: str, name: str, section: str) -> str:
    """A page with the section put between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        GanzooError: the page has no such place.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.partition(f"{start}\n")
    _, ended, after = rest.partition(f"{end}\n")
    if not found or not ended:
        raise GanzooError(
            f"the page has no lines {start} and {end}", f"put both where the {name} is to be"
        )
    return f"{before}{start}\n{section}\n{end}\n{after}"
