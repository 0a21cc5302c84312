"""Seconds of `ganzoo models` with 10,000 more entries, above the command's bare start-up."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

import click
from _sides import command, report

from ganzoo import catalogue
from ganzoo.catalogue import ModelEntry

AT_MOST = 0.3


@click.command(help=__doc__)
@click.option("-n", default=10_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(n: int, rounds: int) -> None:
    ganzoo = str(Path(sys.executable).with_name("ganzoo"))
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, "registry.toml")
        file.write_text(f"format = 1\n\n{catalogue.as_toml(map(entry, range(n)))}")
        os.environ |= {"GANZOO_REGISTRY": str(file), "GANZOO_CACHE": temporary}
        sides = {
            "start-up": [ganzoo, "--help"],
            "table": [ganzoo, "models"],
            "json": [ganzoo, "models", "--json"],
        }
        first = command(sides["table"])["wall"]  # writes the index
        seconds = {
            name: statistics.median(command(words)["wall"] for _ in range(rounds))
            for name, words in sides.items()
        }
    above = {name: seconds[name] - seconds["start-up"] for name in ("table", "json")}
    met = max(above.values()) <= AT_MOST
    report(benchmark="listing", entries=n, first=first, seconds=seconds, above=above,
           at_most=AT_MOST, met=met)  # fmt: skip


def entry(k: int) -> ModelEntry:
    files = {
        name: {"sha256": f"{k:064x}", "size": 1_000_000 + k}
        for name in ("README.md", "config.json", "model.safetensors", "samples.png")
    }
    return ModelEntry(
        f"dcgan.data-{k}", "ganzoo-dcgan", "dcgan", f"data-{k}", 32, 3, license="apache-2.0",
        dataset_license="cc0-1.0", repo=f"owner-{k % 100}/gan-{k}", revision=f"{k:040x}",
        files=files,
    )  # fmt: skip


if __name__ == "__main__":
    main()
