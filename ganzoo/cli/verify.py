"""`ganzoo verify`: whether a model folder is what it says it is."""

from __future__ import annotations

import click

from ganzoo.cli.output import json_option, model_argument, print_rows
from ganzoo.errors import CheckpointError


@click.command()
@model_argument
@json_option
def verify(model: str, as_json: bool) -> None:
    """Verify a model folder: hashes, weights, a finite sample.

    Checks the SHA-256 of every file, loads the weights strictly and generates a few images. Exits
    with 1 if anything is wrong.
    """
    from ganzoo import checkpoint, layout, loading

    folder = loading.resolve_folder(model)
    if not folder.is_dir():
        layout.read_config(folder)  # says what it is instead
    problems = checkpoint.verify(folder)
    row = {"model": model, "folder": str(folder), "ok": not problems, "problems": problems}
    print_rows([row], ["model", "ok", "folder"], as_json=as_json)
    if problems:
        more = f" (and {len(problems) - 1} more, see --json)" if len(problems) > 1 else ""
        raise CheckpointError(f"{problems[0]}{more}")
