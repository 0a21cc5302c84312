"""`ganzoo keys`: a key of one's own, to sign images with."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ganzoo.cli.output import json_option, note, print_rows

_COLUMNS = ["key", "chain", "root"]


@click.group()
def keys() -> None:
    """Make a key of your own, to sign images with.

    `ganzoo generate MODEL --c2pa` signs with it. It is another than that of `ganzoo sign`, which is
    for model folders.
    """


@keys.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Where to put the files.")
@click.option(
    "--name", default="ganzoo user", help="The signer's name, which everyone can read in the files."
)
@json_option
def init(folder: Path | None, name: str, as_json: bool) -> None:
    """Make a key and its certificates; nothing is overwritten.

    The key stays with you: only you may read the file. The certificate is your own as well, so
    other programs call you an unknown signer until they are given the root certificate.
    """
    from ganzoo import manifests

    made = manifests.make_keys(folder, name=name)
    row = {column: str(getattr(made, column)) for column in _COLUMNS}
    print_rows([row], _COLUMNS, as_json=as_json)
    if folder is not None:
        quoted = shlex.quote(str(folder))
        note(f"to sign with it: GANZOO_KEYS={quoted} ganzoo generate MODEL --c2pa")
    note(f"give {made.root} to whoever is to know you, and {made.key} to nobody")
