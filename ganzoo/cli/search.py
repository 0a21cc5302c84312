"""`ganzoo search`: models of the community on the Hub."""

from __future__ import annotations

import click

from ganzoo.cli.output import json_option, note, print_rows

COLUMNS = ["repo", "arch", "dataset", "license", "downloads", "updated"]


@click.command()
@click.argument("text", required=False, default="")
@click.option("--arch", help="Only models of this architecture, such as dcgan.")
@click.option("--dataset", help="Only models that were trained on this data set, such as mnist.")
@click.option("--license", help="Only models under this licence, such as apache-2.0.")
@click.option(
    "--sort",
    default="downloads",
    show_default=True,
    help="Or likes, last_modified, created_at, trending_score.",
)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most.")
@json_option
def search(
    text: str,
    arch: str | None,
    dataset: str | None,
    license: str | None,
    sort: str,
    limit: int,
    as_json: bool,
) -> None:
    """Search the Hub for models of the community.

    Those are listed whose names contain TEXT. Nobody has reviewed them. They are data: loading one
    runs no code of its author's.
    """
    from ganzoo import hub

    found = hub.search(text, arch=arch, dataset=dataset, license=license, sort=sort, limit=limit)
    rows = [{**vars(model), "reviewed": False} for model in found]
    print_rows(rows, COLUMNS, as_json=as_json)
    if not as_json:
        if not found:
            note("nothing found: ask for less, or look at `ganzoo models`")
        else:
            note("unreviewed: anyone may publish there. ganzoo generate hf://OWNER/NAME uses one")
