"""`ganzoo evaluate` and `ganzoo compare`: what models are worth, by protocols that say how."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.output import (
    is_main_process,
    json_option,
    model_argument,
    note,
    print_json,
    print_rows,
)
from ganzoo.errors import CheckpointError, InputError


@click.command()
@model_argument
@click.option("--data", help="The real images; by default what the model was trained on.")
@click.option("--metrics", help="fid,kid,precision,recall,density,coverage,inception-score")
@click.option(
    "-n", "--n", "n", type=click.IntRange(2, 10_000_000), help="Generated images (10000)."
)
@click.option("--features", help="The extractor; by default the one made for the data set.")
@click.option("--repeats", type=click.IntRange(1), help="Measurements with other seeds (3).")
@click.option("--seed", type=click.IntRange(0), help="Seed of the first image (0).")
@click.option("--truncation", type=float, help="Truncation psi, -1 to 2; families with w only.")
@click.option("--device", help="cpu, cuda, …; by default a GPU where there is one.")
@click.option("--check", is_flag=True, help="Measure what metrics.json says again: same numbers?")
@click.option("--no-write", is_flag=True, help="Do not write into the model's folder and card.")
@json_option
def evaluate(
    model: str,
    data: str | None,
    metrics: str | None,
    n: int | None,
    features: str | None,
    repeats: int | None,
    seed: int | None,
    truncation: float | None,
    device: str | None,
    check: bool,
    no_write: bool,
    as_json: bool,
) -> None:
    """Measure a model: FID, KID, precision, recall, density, coverage.

    Every number comes with its protocol: extractor and version, images, split, resize. Results of a
    folder of yours go into its metrics.json and card. On several GPUs or machines:
    accelerate launch -m ganzoo evaluate …

    \b
    ganzoo evaluate runs/1
    ganzoo evaluate runs/1 --data mnist@test --metrics fid,kid -n 50000
    ganzoo evaluate runs/1 --check
    """
    given: dict[str, Any] = {
        "metrics": None if metrics is None else [m.strip() for m in metrics.split(",")],
        "n": n,
        "features": features,
        "repeats": repeats,
        "seed": seed,
        "truncation": truncation,
    }
    given = {key: value for key, value in given.items() if value is not None}
    if check and given:
        raise InputError(
            f"--check measures by the stored protocol, --{next(iter(given))} does not apply",
            "leave it out",
        )
    progress = sys.stderr.isatty()
    if check:
        _check(model, data, device, progress, as_json)
        return

    import ganzoo

    results = ganzoo.evaluate(model, data=data, device=device, progress=progress, **given)
    if not is_main_process():
        return
    rows = [result.to_dict() for result in results]
    if as_json:
        print_json(rows)
    else:
        shown = [{"metric": r.name, "value": number(r.value, r.std)} for r in results]
        print_rows(shown, ["metric", "value"], as_json=False)
    if not no_write:
        keep(model, results)


def _check(model: str, data: str | None, device: str | None, progress: bool, as_json: bool) -> None:
    from ganzoo.evaluation.results import recheck

    checked = recheck(model, data=data, device=device, progress=progress)
    if not is_main_process():
        return
    rows = [
        {"metric": c.name, "stored": c.stored, "found": c.found, "same": not c.problem}
        for c in checked
    ]
    print_rows(rows, ["metric", "stored", "found", "same"], as_json=as_json)
    problems = [c.problem for c in checked if c.problem]
    if problems:
        raise CheckpointError(problems[0], "evaluate the model again")


def keep(model: str, results: list[Any]) -> None:
    """Write the results into the folder of a model, if that is one of the user's own."""
    from ganzoo.evaluation.results import add_results
    from ganzoo.loading import is_path, resolve_folder

    if is_path(model) and not model.startswith("hf://"):
        folder = resolve_folder(Path(model))
        add_results(folder, results)
        note(f"written to {folder / 'metrics.json'}")
    else:
        note("printed only: the folder of an installed or downloaded model is not changed")


def number(value: float, std: float | None) -> str:
    """A value as it is read: four digits, and its deviation where there is one."""
    return f"{value:.4g}" if std is None else f"{value:.4g} ± {std:.2g}"


@click.command()
@click.argument("models", metavar="MODEL…", nargs=-1, required=True)
@click.option("--metric", help="Only this one, such as fid.")
@json_option
def compare(models: tuple[str, ...], metric: str | None, as_json: bool) -> None:
    """Compare models by their recorded results, best first.

    Numbers of different protocols are never ranked: models without a common one are refused.

    \b
    ganzoo compare dcgan.mnist wgan-gp.mnist stylegan2.mnist
    ganzoo compare runs/1 runs/2 --metric fid --json
    """
    from ganzoo.evaluation.results import compare as side_by_side

    tables = side_by_side(models, metric=metric)
    if as_json:
        print_json({"protocol": name, "models": rows} for name, rows in tables.items())
        return
    rows = [
        {"protocol": name, "rank": rank + 1, "model": row["model"],
         "value": number(row["value"], row["std"])}
        for name, table in tables.items()
        for rank, row in enumerate(table)
    ]  # fmt: skip
    print_rows(rows, ["protocol", "rank", "model", "value"], as_json=False)
