"""How long a command takes to start: beside `python -c pass`, and beside `import torch`."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import click
from _sides import command, report

PYTHON, GANZOO = [sys.executable, "-c"], [sys.executable, "-m", "ganzoo"]
MOST_TIMES, MOST_MORE = 8.0, 1.0  # times python -c pass; seconds more than import torch


@click.command(help=__doc__)
@click.option("--model", default="dcgan.mnist", show_default=True)
@click.option("--rounds", default=15, show_default=True)
def main(model: str, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        grid = str(Path(folder, "grid.png"))
        sides = {
            "python -c pass": [*PYTHON, "pass"],
            "ganzoo models": [*GANZOO, "models"],
            "ganzoo --help": [*GANZOO, "--help"],
            "import torch": [*PYTHON, "import torch"],
            "ganzoo generate": [*GANZOO, "generate", model, "-n", "64", "-o", grid],
        }
        runs = {name: [] for name in sides}
        for number in range(rounds + 1):
            for name, words in sides.items():
                measured = command(words)
                if number:  # the first round fills the caches
                    runs[name].append(measured)
    wall, cpu = (
        {name: statistics.median(run[kind] for run in runs[name]) for name in sides}
        for kind in ("wall", "cpu")
    )
    listing = ("ganzoo models", "ganzoo --help")
    ratios = {name: wall[name] / wall["python -c pass"] for name in listing}
    more = wall["ganzoo generate"] - wall["import torch"]
    report(
        benchmark="startup",
        wall_seconds=wall,
        cpu_seconds=cpu,
        ratio=ratios,
        at_most=MOST_TIMES,
        generate_minus_import_torch=more,
        at_most_seconds=MOST_MORE,
        met=max(ratios.values()) <= MOST_TIMES and more <= MOST_MORE,
    )


if __name__ == "__main__":
    main()
