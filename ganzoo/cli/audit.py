"""`ganzoo audit`: what a model may have copied, whom it leaves out, what it gives away."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ganzoo.cli.output import json_option, model_argument, note, print_json, print_rows
from ganzoo.errors import GanzooError, InputError


class AuditFailed(GanzooError):
    """The audit says that the model is not fit to be used or published."""


@click.command()
@model_argument
@click.option("--data", help="The training images; by default what the model was trained on.")
@click.option("--holdout", help="Real images that it never saw; by default the data's other split.")
@click.option(
    "-n", "--n", "n", type=click.IntRange(100, 10_000_000), default=10_000, help="Samples (10000)."
)
@click.option("--features", help="The extractor beside the pixels.")
@click.option("--labels", help="A classifier of your own, for groups other than the data's.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the first image (0).")
@click.option("--device", help="cpu, cuda, …; by default a GPU where there is one.")
@click.option(
    "-o", "--report", type=click.Path(dir_okay=False, path_type=Path), help="The page to write."
)
@click.option("--no-write", is_flag=True, help="Do not write into the model's folder and card.")
@json_option
def audit(
    model: str,
    data: str | None,
    holdout: str | None,
    n: int,
    features: str | None,
    labels: str | None,
    seed: int,
    device: str | None,
    report: Path | None,
    no_write: bool,
    as_json: bool,
) -> None:
    """Audit a model: copied training images, classes left out, leaks.

    Held-out images say what is normal; without any the model stays unaudited. The findings go into
    audit.json and the card of a folder of yours, and into a page with pictures (-o), which shows
    training images and is not published. Exits with 1 if the audit fails.

    \b
    ganzoo audit runs/1
    ganzoo audit runs/2 --data folder:cats/train --holdout folder:cats/test -o cats.html
    """
    import ganzoo
    from ganzoo.evaluation.auditing import add_audit
    from ganzoo.evaluation.report import write_report
    from ganzoo.loading import is_path, resolve_folder

    own = is_path(model) and not model.startswith("hf://")
    path = report or report_path(model, own=own)
    if (path.absolute().parent / "config.json").exists():
        raise InputError(
            f"{path} would lie in a model folder, and it shows training images",
            "name another place with -o",
        )
    found = ganzoo.audit(
        model,
        data=data,
        holdout=holdout,
        n=n,
        features=features,
        labels=labels,
        seed=seed,
        device=device,
        progress=sys.stderr.isatty(),
    )
    write_report(path, found)
    if own and not no_write:
        add_audit(resolve_folder(Path(model)), found)
    if as_json:
        print_json([found.to_dict()])
    else:
        rows = [{"verdict": found.verdict, "reason": reason} for reason in found.reasons]
        print_rows(rows, ["verdict", "reason"], as_json=False)
    note(f"the report is {path}")
    if found.verdict == "fail":
        raise AuditFailed(f"{model} fails: {found.reasons[0]}", "do not publish it")


def report_path(model: str, *, own: bool) -> Path:
    """Where the page goes unless it is said: into a run, beside a model folder, else here."""
    if not own:
        return Path(f"{model.rsplit('/', 1)[-1].partition('@')[0]}-audit.html")
    folder = Path(model).absolute()
    if (folder / "config.json").exists():
        return folder.parent / f"{folder.name}-audit.html"
    return folder / "audit.html"
