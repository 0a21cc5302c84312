"""`ganzoo train`: a recipe, a data set and a folder to a trained model."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.asked import refuse_beside
from ganzoo.cli.output import is_main_process, json_option, note, print_facts, print_json
from ganzoo.energy import as_text
from ganzoo.errors import InputError


def recipe_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of recipe names."""
    from ganzoo.training.finding import recipes

    return [name for name in recipes() if name.startswith(incomplete)]


@click.command()
@click.argument("recipe", required=False, shell_complete=recipe_names)
@click.option("--data", help="mnist, shapes, folder:PATH, zip:PATH, hf:owner/name, …")
@click.option("-o", "--out", "folder", type=click.Path(), help="The run folder.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a setting.")
@click.option("--kimg", type=float, help="Length in thousands of images; --set kimg=… for short.")
@click.option("--seed", type=int, help="Of all that is random in the run; --set seed=… for short.")
@click.option("--steps", type=click.IntRange(1), help="Stop after so many steps; --resume goes on.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--init", help="Start from the weights of this model.")
@click.option("--device", help="cpu, cuda or mps; by default a GPU where there is one.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard event files beside log.jsonl.")
@click.option("--watch", is_flag=True, help="Show the run in a browser; its address is printed.")
@click.option("--dry-run", is_flag=True, help="Show what would be trained, and how long it takes.")
@json_option
def train(
    recipe: str | None,
    data: str | None,
    folder: str | None,
    settings: tuple[str, ...],
    kimg: float | None,
    seed: int | None,
    steps: int | None,
    resume: bool,
    init: str | None,
    device: str | None,
    tensorboard: bool,
    watch: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train a model from a recipe; mix parts with --set.

    RECIPE is a name or a TOML file: `ganzoo train` alone lists the names. With --resume it may be
    left out. A run folder has run.toml, log.jsonl, checkpoints, grids, and the model itself in
    model/.

    \b
    ganzoo train dcgan.mnist --data mnist --out runs/1
    ganzoo train dcgan.mnist --data folder:photos --out runs/2 --set loss=hinge --set batch=32
    ganzoo train --resume --out runs/1 --watch
    ganzoo generate runs/1 -n 64 -o grid.png

    Ctrl-C writes a checkpoint and stops. On several GPUs or machines:
    accelerate launch -m ganzoo train …
    """
    out = Path(folder) if folder else None
    if dry_run:
        no_run = {
            "--resume": resume,
            "--init": init,
            "--steps": steps,
            "--tensorboard": tensorboard,
            "--watch": watch,
        }
        refuse_beside("--dry-run", no_run)
    if recipe is None and not resume:
        from ganzoo.training.finding import recipes

        remedy = f"--resume --out of an earlier run, a TOML file, or one of {', '.join(recipes())}"
        raise InputError("no recipe is named", f"give {remedy}")
    if out is None and not dry_run:
        raise InputError("there is no place for the run", "give --out FOLDER, or --dry-run")
    if recipe is None:
        assert out is not None
        recipe = str(out / "run.toml")
        if not Path(recipe).is_file():
            raise InputError(f"{out} is no run folder", "name the --out of an earlier run")
    if kimg is not None:
        settings = (*settings, f"kimg={kimg}")
    if seed is not None:
        settings = (*settings, f"seed={seed}")

    from ganzoo import training

    if dry_run:
        report = training.plan(recipe, data=data, settings=settings, device=device, progress=True)
        if is_main_process():
            print_facts(report if as_json else readable(report), as_json=as_json)
        return
    assert out is not None
    from ganzoo.app import beside

    with beside.watching(watch) as observers:
        training.train(
            recipe,
            out,
            data=data,
            settings=settings,
            resume=resume,
            init=init,
            steps=steps,
            device=device,
            observers=observers,
            progress=True,
            tensorboard=tensorboard,
        )
    if not is_main_process():
        return
    if as_json:
        print_json([{"run": str(out), "model": str(out / "model")}])
    else:
        click.echo(str(out / "model"))
        from ganzoo.loading import as_argument

        note(f"try: ganzoo generate {as_argument(out)} -n 64 -o grid.png")


def readable(report: dict[str, Any]) -> dict[str, Any]:
    """The report of a dry run with its numbers for people."""
    facts = dict(report)
    memory = facts.pop("memory_bytes")
    if memory is not None:
        facts["memory"] = f"{memory / 2**20:,.0f} MiB"
    facts["seconds_per_step"] = f"{facts['seconds_per_step']:.3g}"
    facts["images_per_second"] = f"{facts['images_per_second']:.4g}"
    facts["time"] = str(timedelta(seconds=round(facts.pop("eta_seconds"))))
    facts["energy"] = as_text(facts["energy"])
    return facts
