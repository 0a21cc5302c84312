"""Peak memory: of `ganzoo generate` for many images, beside that for few, which must not grow; and
of loading a checkpoint of 1 GB, which must be little more than its size."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click
from _sides import command, report

from ganzoo import checkpoint, plugins
from ganzoo.models import build

MOST_TIMES, MOST_OF_SIZE = 1.1, 1.3
WIDE = {"image_shape": [3, 64, 64], "width": 604, "max_width": 4832}  # 1.0 GB of DCGAN
LOAD = """
import resource, sys, torch, ganzoo.models, ganzoo_dcgan.networks
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
ganzoo.load(sys.argv[1])
print(peak() - before)
"""


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
    load = loading()
    met = all(result["ratio"] <= MOST_TIMES for result in results.values())
    met = met and load["ratio"] <= MOST_OF_SIZE
    report(benchmark="memory", model=model, at_most=MOST_TIMES, results=results, load=load,
           load_at_most=MOST_OF_SIZE, met=met)  # fmt: skip


def loading() -> dict[str, float]:
    """What a process grows by that loads a large checkpoint, beside the size of that."""
    part = plugins.load().parts.get("generator", "dcgan")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model/")
        checkpoint.save(folder, build(part, part.make_config(WIDE), seed=0), name="wide")
        words = [sys.executable, "-c", LOAD, f"{folder}/"]
        grown = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        size = (folder / "model.safetensors").stat().st_size
    return {"bytes": size, "grown": grown, "ratio": grown / size}


if __name__ == "__main__":
    main()
