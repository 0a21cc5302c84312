"""`ganzoo registry`: for those who keep a registry file."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.cli.output import json_option, note, print_json, print_rows
from ganzoo.errors import CheckpointError


@click.group()
def registry() -> None:
    """Add a model to a registry, or check a whole one."""


@registry.command()
@click.argument("repo", metavar="OWNER/NAME[@REVISION]")
@click.option("--name", help="What to call it; by default its own name.")
@click.option(
    "--to", type=click.Path(path_type=Path, dir_okay=False), help="Write it into this file."
)
@json_option
def add(repo: str, name: str | None, to: Path | None, as_json: bool) -> None:
    """Make the entry of a model on the Hub.

    The entry is complete, pinned to a commit, with the hash of every file. It is printed as TOML,
    for a pull request to a registry.toml, or written --to a file.
    """
    from ganzoo import catalogue, curation
    from ganzoo.registry import curated_distributions

    entry = curation.make_entry(repo, name=name)
    if as_json:
        print_json([entry.to_dict()])
    elif to is None:
        click.echo(catalogue.as_toml([entry]), nl=False)
    if to is not None:
        catalogue.put(to, entry)
        note(f"{entry.name} is in {to}")
    if entry.plugin not in curated_distributions():
        note(f"note: ganzoo has not reviewed its plugin, {entry.plugin!r}")


@registry.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True))
@json_option
def check(file: Path | None, as_json: bool) -> None:
    """Check every entry of a registry.

    Each has to load, its files to have the recorded hashes; it has to make the images of its
    picture, its card to agree, and its licences to be stated.

    FILE is a registry.toml, or the directory of one. Without it, all models that `ganzoo models`
    lists.
    """
    from ganzoo import curation

    rows = []
    for checked in curation.check_registry(file):
        rows.append(
            {
                "name": checked.name,
                "plugin": checked.plugin,
                "ok": not checked.problems,
                "problems": list(checked.problems),
            }
        )
    print_rows(rows, ["name", "plugin", "ok", "problems"], as_json=as_json)
    failed = [row["name"] for row in rows if not row["ok"]]
    if failed:
        raise CheckpointError(f"{len(failed)} of {len(rows)} models have problems", str(failed[0]))
