"""Images a second of `G.sample`, beside a plain loop over torch's layers in NCHW, batch 64."""

from __future__ import annotations

import copy
from collections.abc import Callable

import click
import torch
from _sides import alternate, report
from torch import nn

import ganzoo
from ganzoo import plugins
from ganzoo.models import Generator, build
from ganzoo.nn import ConvTranspose2d

AT_LEAST, BATCH = 1.2, 64  # the batch that `sample` has by default


@click.command(help=__doc__)
@click.option("--model", default="dcgan.mnist", show_default=True)
@click.option("--size", "sizes", multiple=True, type=int, default=(32, 64), show_default=True)
@click.option("-n", default=512, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
def main(model: str, sizes: tuple[int, ...], n: int, rounds: int, threads: int) -> None:
    torch.set_num_threads(threads)
    results = {}
    for G in (ganzoo.load(model), *map(untrained, sizes)):
        seconds = alternate({"plain": plain_loop(G, n), "ganzoo": lambda G=G: G.sample(n)}, rounds)
        ratio = seconds["plain"] / seconds["ganzoo"]
        results[G.name] = {
            "image_shape": G.image_shape,
            "images_per_second": {name: n / value for name, value in seconds.items()},
            "ratio": ratio,
            "met": ratio >= AT_LEAST,
        }
    met = all(result["met"] for result in results.values())
    report(benchmark="generation", threads=threads, at_least=AT_LEAST, results=results, met=met)


def plain_loop(G: Generator, n: int) -> Callable[[], torch.Tensor]:
    plain = copy.deepcopy(G).to(memory_format=torch.contiguous_format)
    for layer in plain.modules():
        if isinstance(layer, ConvTranspose2d):
            layer.__class__ = nn.ConvTranspose2d

    def loop() -> torch.Tensor:
        with torch.no_grad():
            batches = [min(BATCH, n - start) for start in range(0, n, BATCH)]
            return torch.cat([plain(torch.randn(batch, G.z_dim)) for batch in batches])

    return loop


def untrained(size: int) -> Generator:
    """DCGAN as its default config has it: at 64x64 the paper's."""
    part = plugins.load().parts.get("generator", "dcgan")
    config = part.make_config({"image_shape": [3, size, size]})
    G: Generator = build(part, config, seed=0).eval()
    G.name = f"untrained dcgan {size}x{size}"
    return G


if __name__ == "__main__":
    main()
