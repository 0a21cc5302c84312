"""A new plugin's distribution, complete: `template/` with its names put in.

The template is a plugin called `newgan`, in files that read like those of any other; its words in
capitals (`LICENSE_ID`, `AUTHOR_TABLE`, …) are what else differs from plugin to plugin. What is
written is its author's: no condition of ganzoo's licence applies to it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ganzoo import __version__, files
from ganzoo.errors import InputError, nearest
from ganzoo.scaffold import names

LICENSES = {
    "apache-2.0": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "gpl-3.0": "GPL-3.0-only",
    "mit": "MIT",
    "mpl-2.0": "MPL-2.0",
}
"""Licence, as the Hub and `licenses/` call it -> its SPDX identifier."""

_HERE = Path(__file__).parent
_PLACES = {
    "gitignore": ".gitignore",  # under their own names they would be at work in this repository
    "ci.yml": ".github/workflows/ci.yml",
    "tests.py": "tests/test_newgan.py",
}
"""Files of the template that lie elsewhere in a plugin."""


def write_plugin(
    name: str,
    folder: Path | None = None,
    *,
    license: str = "apache-2.0",
    author: str = "",
    allow_similar: bool = False,
) -> Path:
    """Write the distribution ganzoo-NAME; returns its folder.

    Args:
        name: what the entry point, the parts and the recipe are called, such as "big-gan".
        folder: where; by default ./ganzoo-NAME. It must not exist, or be empty but for a `.git`.
        license: of the code and of the weights that its recipe trains, one of `LICENSES`.
        author: "Name" or "Name <address>"; by default "The ganzoo-NAME authors".
        allow_similar: let the name be one letter or a number away from another's.

    Raises:
        InputError: the name is taken or looks like another's, the folder has files in it, there
            is no such licence, or the author is not one line of text.
    """
    names.check(name, allow_similar=allow_similar)
    if license not in LICENSES:
        raise InputError(f"no licence {license!r} to choose", nearest(license, LICENSES))
    person, address = _author(author or f"The ganzoo-{name} authors")
    words = {
        "ganzoo_newgan": f"ganzoo_{name.replace('-', '_')}",
        "test_newgan": f"test_{name.replace('-', '_')}",
        "newgan": name,
        "CORE_RANGE": core_range(__version__),
        "LICENSE_ID": LICENSES[license],
        "WEIGHTS_LICENSE": license,
        "AUTHOR_TABLE": _table(person, address),
        "AUTHOR": person,
        "YEAR": str(datetime.date.today().year),
    }

    def filled(text: str) -> str:
        # whole words: the licences speak of AUTHORS
        return re.sub(rf"\b({'|'.join(words)})\b", lambda word: words[word[0]], text)

    folder = Path(f"ganzoo-{name}") if folder is None else Path(folder)
    _refuse_full(folder)
    with _filling(folder) as temporary:
        for source in sorted((_HERE / "template").rglob("*")):
            if source.is_dir() or "__pycache__" in source.parts:
                continue
            place = source.relative_to(_HERE / "template").as_posix()
            target = temporary / filled(_PLACES.get(place, place))
            target.parent.mkdir(parents=True, exist_ok=True)
            files.write_text(target, filled(source.read_text(encoding="utf-8")))
        terms = (_HERE / "licenses" / f"{license}.txt").read_text(encoding="utf-8")
        if license.startswith(("mit", "bsd")):  # the others are not to be changed
            terms = filled(terms)
        files.write_text(temporary / "LICENSE", terms)
    return folder


def _refuse_full(folder: Path, *ours: str) -> None:
    """Refuse a folder in which there is anything but a repository without files."""
    with files.writable(folder.parent, folder):
        if not folder.exists() or (
            folder.is_dir() and {path.name for path in folder.iterdir()} <= {".git", *ours}
        ):
            return
    raise InputError(f"{folder} exists and is not empty", "choose another folder with --out")


@contextlib.contextmanager
def _filling(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, which becomes `folder` or, if that is there, its content: all of it
    or nothing."""
    if not folder.is_dir():
        with files.replacing_folder(folder) as temporary:
            yield temporary
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()  # refused if it has come meanwhile, with something in it
        return
    # it stays the same folder: a shell may be in it, and it may be a link or a mount
    with files.writable(folder), tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as name:
        temporary, moved = Path(name), []
        yield temporary
        _refuse_full(folder, temporary.name)  # files may have come into it meanwhile
        try:
            for path in sorted(temporary.iterdir()):
                moved.append(path.rename(folder / path.name))
        except BaseException:
            for path in moved:
                path.rename(temporary / path.name)
            raise


def core_range(version: str) -> str:
    """The versions of the core that a plugin for this one works with: its minor version."""
    major, minor = map(int, version.split(".")[:2])
    return f"ganzoo>={major}.{minor},<{major}.{minor + 1}"


def _author(text: str) -> tuple[str, str]:
    """The name and the address, if any, of "Name <address>"."""
    match = re.fullmatch(r"\s*([^<>@]+?)\s*(?:<([^\s<>@]+@[^\s<>@]+)>)?\s*", text)
    if not match or not text.isprintable() or len(text) > 200:
        raise InputError(f"{text!r} is no author", 'write "Name" or "Name <name@example.org>"')
    return match[1], match[2] or ""


def _table(person: str, address: str) -> str:
    """An author as an inline table of TOML, whose basic strings are JSON's."""
    email = f", email = {json.dumps(address, ensure_ascii=False)}" if address else ""
    return f"{{ name = {json.dumps(person, ensure_ascii=False)}{email} }}"
