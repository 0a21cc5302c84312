"""`ganzoo publish`: a model folder to the Hub, or all curated models to an organisation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.output import json_option, note, print_rows
from ganzoo.errors import printable

FILES, DONE = ["file", "size", "sha256"], ["repo", "commit", "tag", "new", "url"]


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.argument("repo", required=False, metavar="[OWNER/NAME]")
@click.option("--private", is_flag=True, help="Make the repository private, if it is made.")
@click.option("--create-pr", is_flag=True, help="Send a pull request to someone else's repository.")
@click.option("--tag", help="Give the commit a name, such as v1.")
@click.option(
    "--dry-run", is_flag=True, help="Check everything, show what would be sent, and stop."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Overwrite what was not published from here.")
@click.option(
    "--with-discriminator",
    is_flag=True,
    help="Send the discriminator too: it tells more about single training images.",
)
@click.option(
    "--override",
    "gates",
    multiple=True,
    metavar="GATE",
    help="Publish although this gate stops it; give a --reason for each.",
)
@click.option(
    "--reason", "reasons", multiple=True, metavar="TEXT", help="Why; readers of the model see it."
)
@click.option("--data", help="The real images of its metrics, if they are not where they were.")
@click.option("--all", "organisation", metavar="OWNER", help="Publish every curated model there.")
@json_option
def publish(
    folder: Path | None,
    repo: str | None,
    private: bool,
    create_pr: bool,
    tag: str | None,
    dry_run: bool,
    yes: bool,
    force: bool,
    with_discriminator: bool,
    gates: tuple[str, ...],
    reasons: tuple[str, ...],
    data: str | None,
    organisation: str | None,
    as_json: bool,
) -> None:
    """Publish a model folder on the Hub.

    FOLDER, of a model or a run, becomes the repository OWNER/NAME. It has to pass the
    gates first (`ganzoo lint` asks them alone): its files, licences, data, card, metrics, audit,
    samples. Then its files go into one commit, which is fetched back and compared before success is
    reported. It needs a token: `hf auth login`.

    \b
    ganzoo publish runs/1 me/my-gan --dry-run
    ganzoo publish runs/1 me/my-gan --tag v1
    ganzoo publish runs/1 me/my-gan --override audit --reason "its data are public domain scans"
    """
    from ganzoo import publishing

    options: dict[str, Any] = {
        "private": private or None,
        "create_pr": create_pr,
        "tag": tag,
        "dry_run": dry_run,
        "force": force,
    }
    if len(gates) != len(reasons) or len(set(gates)) != len(gates):
        raise click.UsageError("give one --reason for each --override GATE")
    if organisation is not None:
        if gates or data:
            raise click.UsageError("--override and --data are for one model, not for --all")
        if folder is not None or repo is not None or with_discriminator:
            raise click.UsageError("--all takes no folder, and bundled models no discriminator")
        _confirm(f"publish every curated model under {organisation}", dry_run or yes)
        done = publishing.publish_all(organisation, **options)
    else:
        if folder is None or repo is None:
            raise click.UsageError("name a model folder and OWNER/NAME, or --all OWNER")
        _confirm(f"publish {folder} as {repo}", dry_run or yes)
        options["data"] = data
        options["overrides"] = dict(zip(gates, reasons))
        done = [publishing.publish(folder, repo, with_discriminator=with_discriminator, **options)]
    for one in done:
        for line in one.notes:
            note(f"note: {printable(line)}")
    if dry_run:
        rows = [{"repo": d.repo, **vars(shipped)} for d in done for shipped in d.files]
        columns = FILES if organisation is None else ["repo", *FILES]
        print_rows(rows, columns, as_json=as_json)
        note("nothing was sent (--dry-run)")
        return
    rows = [{**vars(d), "files": [vars(f) for f in d.files], "notes": list(d.notes)} for d in done]
    print_rows(rows, DONE, as_json=as_json)
    if organisation is None and not create_pr:
        note(f"try: ganzoo generate hf://{done[0].repo} -n 16 -o grid.png")


def _confirm(what: str, sure: bool) -> None:
    """Ask a person; a script has to say --yes."""
    if sure:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"to {what}, say --yes (or --dry-run)")
    click.confirm(f"{what[0].upper()}{what[1:]}?", abort=True, err=True)
