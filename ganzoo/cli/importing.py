"""`ganzoo import`: another program's checkpoint to a model folder."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.cli.output import json_option, note, print_facts, print_rows
from ganzoo.errors import printable


@click.command("import")
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The model folder to write.")
@click.option("--as", "family", metavar="FAMILY", help="Which importer, if it is not clear.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Say what the file does not.",
)
@click.option("--license", help="Of the weights: mit, cc-by-4.0, …, or unknown.")
@click.option("--license-link", default="", help="Where a licence is that has no SPDX identifier.")
@click.option("--dataset", default="", help="What it was trained on.")
@click.option("--name", default="", help="What to call the model.")
@click.option("--force", is_flag=True, help="Replace a model folder that is there.")
@click.option("--report", is_flag=True, help="Print what became of each tensor of the file.")
@click.option("--families", is_flag=True, help="List the importers, and what they can be told.")
@json_option
def import_(
    file: Path | None,
    out: Path | None,
    family: str | None,
    settings: tuple[str, ...],
    license: str | None,
    license_link: str,
    dataset: str,
    name: str,
    force: bool,
    report: bool,
    families: bool,
    as_json: bool,
) -> None:
    """Import another program's checkpoint as a model folder.

    FILE is a pickle (.pkl), a file of torch.save (.pt, .pth, .ckpt) or safetensors. It is read
    without running anything in it, and its family is recognised. With --report and without -o
    nothing is written.

    \b
    ganzoo import network-snapshot.pkl -o models/faces
    ganzoo import netG.pth --report
    ganzoo import netG.pth -o models/mine --license mit --set output=tanh
    ganzoo import --families
    """
    if families:
        _list_families(as_json)
        return
    if file is None:
        raise click.UsageError("name the FILE to import (or --families)")
    if out is None and not report:
        raise click.UsageError("say where to write the model: -o DIR (or --report)")
    from ganzoo.importing import converting

    if out is not None:
        converting.check_out(file, out, force)
    conversion = converting.convert(file, family=family, settings=settings)
    if out is not None:
        converting.write(
            conversion,
            out,
            license=license,
            license_link=license_link,
            dataset=dataset,
            name=name,
            force=force,
        )
    if report:
        rows = [fate._asdict() for fate in conversion.converted.fates]
        print_rows(rows, ["source", "target", "note"], as_json=as_json)
        for line in conversion.converted.notes:
            note(line)
    else:
        facts = {"folder": str(out), **converting.summary(conversion)}
        print_facts({**facts, "license": facts["license"] or license}, as_json=as_json)
    if out is None:
        note("nothing was written (no -o)")
    else:
        from ganzoo.loading import as_argument

        note(f"try: ganzoo generate {printable(as_argument(out))} -n 16 -o grid.png")


def _list_families(as_json: bool) -> None:
    from ganzoo import plugins
    from ganzoo.configs import config_to_dict

    rows = [
        {
            "family": owned.part.name,
            "plugin": owned.distribution,
            "settings": config_to_dict(owned.part.make_config()),
            "summary": owned.part.summary,
        }
        for owned in plugins.load().parts.all("importer")
    ]
    columns = ["family", "plugin", "settings", "summary"]
    print_rows(rows, columns, as_json=as_json, spare=["plugin"])
    if not rows:
        note("no installed plugin imports checkpoints: pip install 'ganzoo[all]'")
