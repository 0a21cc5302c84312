"""`ganzoo lint` and `ganzoo declare`: what stands between a model folder and its publication."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.cli.output import json_option, note, print_facts, print_rows
from ganzoo.errors import CheckpointError


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--with-discriminator", is_flag=True, help="As if it were published with it.")
@click.option("--data", help="The real images of its metrics, if they are not where they were.")
@click.option("--quick", is_flag=True, help="Do not compute the metrics again.")
@json_option
def lint(
    folder: Path, with_discriminator: bool, data: str | None, quick: bool, as_json: bool
) -> None:
    """Ask of a model folder what publishing it would ask.

    DIR is of a model or a run. Prints what each gate finds, a line each: what would stop it, and
    warnings. Nothing is changed or sent. Exits with 1 if a gate would stop it.

    \b
    ganzoo lint runs/1
    ganzoo lint runs/1 --quick --json
    """
    from ganzoo import gates

    report = gates.lint(folder, with_discriminator=with_discriminator, data=data, quick=quick)
    print_rows([vars(f) for f in report.findings], ["level", "gate", "message"], as_json=as_json)
    if blocks := report.of("block"):
        found = ", ".join(dict.fromkeys(finding.gate for finding in blocks))
        raise CheckpointError(f"{report.folder} is not fit to be published", f"mend {found}")
    note("it may be published: ganzoo publish")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("facts", nargs=-1, metavar="[KEY=VALUE]...")
@json_option
def declare(folder: Path, facts: tuple[str, ...], as_json: bool) -> None:
    """Say of a model folder what only its author knows.

    What is said goes into config.json and the card; the weights stay as they are, and a signature
    goes. Without KEY=VALUE, all that is declared is printed. For a model still to be trained, write
    it into the recipe.

    \b
    ganzoo declare runs/1 shows_people=no not_for_all_audiences=no
    ganzoo declare runs/1 dataset=private dataset_size=900 dataset_consent="taken by myself in 2026"
    """
    from ganzoo import declaring

    pairs = [fact.partition("=") for fact in facts]
    if wrong := [key for key, sign, _ in pairs if not sign]:
        raise click.UsageError(f"{wrong[0]!r} is no KEY=VALUE")
    print_facts(declaring.declare(folder, {key: text for key, _, text in pairs}), as_json=as_json)
