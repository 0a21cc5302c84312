"""Seconds of `ganzoo.load`, beside reading the bytes, hashing them and building the module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import torch
from _sides import alternate, report
from safetensors.torch import load

import ganzoo
from ganzoo import files, layout, plugins, registry
from ganzoo.configs import config_from_dict

AT_MOST = 1.15


@click.command(help=__doc__)
@click.option("--model", "models", multiple=True, help="By default all that are bundled.")
@click.option("--rounds", default=15, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
def main(models: tuple[str, ...], rounds: int, threads: int) -> None:
    torch.set_num_threads(threads)
    results = {}
    for name in models or [entry.name for entry in registry.list_models() if entry.bundled]:
        path = registry.find(name).path
        assert path is not None
        sides = {"plain": plain(path), "ganzoo": lambda name=name: ganzoo.load(name)}
        seconds = alternate(sides, rounds)
        ratio = seconds["ganzoo"] / seconds["plain"]
        results[name] = {"seconds": seconds, "ratio": ratio, "met": ratio <= AT_MOST}
    met = all(result["met"] for result in results.values())
    report(benchmark="loading", threads=threads, at_most=AT_MOST, results=results, met=met)


def plain(folder: Path) -> Callable[[], torch.nn.Module]:
    """What cannot be left out: the bytes, their hash, the module."""
    network = layout.read_config(folder).generator
    part = plugins.load().parts.get("generator", network.part)
    config = config_from_dict(part.config_class, network.config, where=str(folder))

    def run() -> torch.nn.Module:
        path = folder / layout.WEIGHTS["generator"]
        files.sha256(path)
        module: torch.nn.Module = part.build(config)
        module.load_state_dict(load(path.read_bytes()))
        return module.eval()

    return run


if __name__ == "__main__":
    main()
