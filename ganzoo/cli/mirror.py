"""`ganzoo download` and `ganzoo mirror`: models for later, and for machines without the Hub."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ganzoo.cli.output import json_option, model_names, note, print_rows

models_argument = click.argument(
    "models", metavar="MODEL…", nargs=-1, required=True, shell_complete=model_names
)


@click.command()
@models_argument
@json_option
def download(models: tuple[str, ...], as_json: bool) -> None:
    """Fetch models into the cache, verified.

    Each MODEL is a name, or hf://owner/name@revision. What is bundled or cached is not fetched. The
    list of revoked weights (GANZOO_REVOCATIONS) is brought up to date first.
    """
    from ganzoo import layout, loading, revocation

    revocation.refresh()
    rows = []
    for model in models:
        located = loading.locate(model)
        layout.read_config(located.folder)  # a folder may be no model's
        rows.append({"model": model, "address": located.address, "folder": str(located.folder)})
    print_rows(rows, ["model", "address", "folder"], as_json=as_json)


@click.command()
@models_argument
@click.option(
    "--to", required=True, type=click.Path(path_type=Path, file_okay=False), help="The directory."
)
@json_option
def mirror(models: tuple[str, ...], to: Path, as_json: bool) -> None:
    """Copy models into a folder registry.

    Each MODEL is a name, a folder, or hf://owner/name. Where GANZOO_REGISTRY names the directory,
    they are found by name, without a network. To do it again changes nothing; a model that has
    changed since takes the place of its former state, and that is said.
    """
    from ganzoo.mirror import mirror as copy

    rows = []
    try:
        for done in copy(models, to):
            rows.append({"name": done.name, "new": done.new, "folder": str(done.folder)})
            if done.replaced:
                note(f"another state of {done.name} was there, and is replaced")
    finally:  # what was copied before another one failed is there
        if rows:
            print_rows(rows, ["name", "new", "folder"], as_json=as_json)
    note(f"to use it: GANZOO_REGISTRY={shlex.quote(str(to))} ganzoo models")
