"""Pages of Markdown of which a part is written by a script, between two markers."""

from __future__ import annotations

from ganzoo.errors import GanzooError


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
