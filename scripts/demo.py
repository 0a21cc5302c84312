"""What `make demo` shows: images from every bundled model, made as a user would make them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
from overview import write_overview

NEXT = """
Try next, after `source {bin}/activate`:
  ganzoo models                                                   what there is
  ganzoo generate {model} --seed 100 -n 16 -o grid.png        other images
  ganzoo generate {model} -n 6 --interpolate -o walk.gif      from one image to the next
  ganzoo train gan.mnist --data shapes --kimg 64 --out runs/1     a model of your own
  ganzoo generate runs/1 -n 64 -o mine.png                        and what it makes"""


def ganzoo(*arguments: str) -> str:
    """What a command prints on stdout; where it fails it has said why, and this ends as well."""
    command = [sys.executable, "-m", "ganzoo", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.strip()


def main(folder: Path) -> None:
    models = [entry["name"] for entry in json.loads(ganzoo("models", "--json")) if entry["bundled"]]
    if not models:
        sys.exit("error: no model is bundled with the installed plugins; see: ganzoo plugins")
    for model in models:
        click.echo(ganzoo("generate", model, "-n", "64", "-o", str(folder / f"{model}.png")))
    click.echo(write_overview(models, folder / "all-models.png"))
    click.echo(NEXT.format(model=models[0], bin=Path(sys.executable).parent))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
