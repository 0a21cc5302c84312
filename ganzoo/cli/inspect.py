"""`ganzoo inspect` and `ganzoo reproduce`: where an image says it comes from, and if it does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.output import json_option, model_names, note, print_rows
from ganzoo.errors import IntegrityError

_path = click.Path(path_type=Path)


@click.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=_path)
@click.option("--trust", type=_path, help="Certificates (PEM) of signers that you know.")
@click.option("--skip-invisible", is_flag=True, help="Do not look for the invisible mark.")
@json_option
def inspect(
    files: tuple[Path, ...], trust: Path | None, skip_invisible: bool, as_json: bool
) -> None:
    """Say how files are marked as generated, and if the marks hold.

    For each file, layer by layer: marked, marked-but-broken, or no mark found. That no mark is
    found says nothing about where a file comes from, and what stands in clear text can be forged:
    only a C2PA manifest shows that a file is as its signer left it.

    \b
    xmp        the IPTC source type that image programs read
    record     what ganzoo notes: the model, the hash of its weights, the seeds
    c2pa       a signed manifest; needs pip install 'ganzoo[c2pa]'
    invisible  the mark in the pixels; proves nothing (a key of your own: GANZOO_MARK_KEY)
    """
    from ganzoo import inspection

    rows: list[dict[str, Any]] = []
    try:
        for path in files:
            found = inspection.inspect(path, invisible=not skip_invisible, trust=trust)
            layers = [vars(layer) for layer in found.layers]
            if as_json:
                rows.append({"file": str(path), "status": found.status, "layers": layers,
                             "record": dict(found.record)})  # fmt: skip
            else:
                all_in_all = {"name": "all", "status": found.status, "detail": found.meaning}
                rows += [{"file": str(path), **row} for row in (all_in_all, *layers)]
    finally:  # what was found before a file that cannot be read is shown
        if rows:
            print_rows(rows, ["file", "name", "status", "detail"], as_json=as_json)


@click.command()
@click.argument("file", metavar="FILE", type=_path)
@click.option("-o", "--out", type=_path, help="Keep the new image here.")
@click.option(
    "--model", shell_complete=model_names, help="The model, if it is not where the record says."
)
@click.option("--yes", is_flag=True, help="Fetch the model without asking.")
@click.option("--device", help="cpu, cuda, cuda:1, mps, …; by default a GPU where there is one.")
@json_option
def reproduce(
    file: Path, out: Path | None, model: str | None, yes: bool, device: str | None, as_json: bool
) -> None:
    """Make the image of a file again, and compare the two.

    FILE is an image or a grid that ganzoo wrote. The model that its record names is looked for
    here, and fetched only if you agree; its weights must have the hash of the record. Pixels are
    identical on the same platform, and may differ by one level elsewhere. Exits with 1 if they
    differ by more.
    """
    from ganzoo import reproduction

    def allow(address: str) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            note(f"to fetch {address}, say --yes")
            return False
        return click.confirm(f"Fetch {address}?", err=True)

    done = reproduction.reproduce(file, model=model, out=out, allow=allow, device=device)
    row = {**vars(done), "file": str(file)}
    print_rows([row], ["file", "result", "largest", "differing", "model"], as_json=as_json)
    if not done.ok:
        size = "it has another size" if done.largest is None else f"by up to {done.largest} levels"
        raise IntegrityError(
            f"{file} is not the image of its record ({size})",
            "the image or its record was changed, or another version made it",
        )
