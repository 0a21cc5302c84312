"""Peak memory of `ganzoo generate` for many images, beside that for few: it must not grow."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
from _sides import command, report

MOST_TIMES = 1.1


@click.command(help=__doc__)
@click.option("--model", default="dcgan.mnist", show_default=True)
@click.option("--few", default=2_000, show_default=True)
@click.option("--many", default=50_000, show_default=True)
def main(model: str, few: int, many: int) -> None:
    results = {}
    for form, name in (("npz", "images.npz"), ("files", "images/")):
        measured = {}
        for n in (few, many):
            with tempfile.TemporaryDirectory() as folder:
                out = f"{Path(folder, name)}/" if name.endswith("/") else str(Path(folder, name))
                words = ["-m", "ganzoo", "generate", model, "-n", str(n), "-o", out]
                measured[n] = command([sys.executable, *words])
        results[form] = {
            "mib": {n: run["mib"] for n, run in measured.items()},
            "wall_seconds": {n: run["wall"] for n, run in measured.items()},
            "ratio": measured[many]["mib"] / measured[few]["mib"],
        }
    met = all(result["ratio"] <= MOST_TIMES for result in results.values())
    report(benchmark="memory", model=model, at_most=MOST_TIMES, results=results, met=met)


if __name__ == "__main__":
    main()
