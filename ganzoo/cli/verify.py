"""`ganzoo verify`: whether a model is what it says it is."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.cli.output import json_option, model_argument, note, print_rows
from ganzoo.errors import CheckpointError, printable


@click.command()
@model_argument
@click.option(
    "--key", type=click.Path(path_type=Path), help="Public key (PEM) of whoever signed it."
)
@json_option
def verify(model: str, key: Path | None, as_json: bool) -> None:
    """Verify a model: hashes, weights, its images, its signature.

    Checks the SHA-256 of every file, loads the weights strictly, generates a few images and
    compares them with those of samples.png; with --key, that it is signed with that key and that no
    file was changed, added or removed since. The list of revoked weights (GANZOO_REVOCATIONS) is
    brought up to date first. Exits with 1 if anything is wrong.
    """
    import ganzoo
    from ganzoo.gates import said_of

    found = ganzoo.verify(model, key=key)
    row = {
        "model": model,
        "folder": str(found.folder),
        "ok": found.ok,
        "signature": found.signature,
        "revocations": found.revocations,
        "problems": list(found.problems),
        "overrides": dict(found.overrides),
    }
    print_rows([row], ["model", "ok", "folder", "signature", "revocations"], as_json=as_json)
    for line in said_of(found.overrides):
        note(f"note: {printable(line)}")
    if found.problems:
        more = f" (and {len(found.problems) - 1} more, see --json)" * (len(found.problems) > 1)
        raise CheckpointError(f"{found.problems[0]}{more}")
