"""Images a second of `G.sample`, beside a plain loop over the same generator in NCHW."""

from __future__ import annotations

import copy

import click
import torch
from _sides import alternate, report

import ganzoo
from ganzoo import plugins
from ganzoo.models import Generator, build

AT_LEAST, BATCH = 1.2, 64


@click.command(help=__doc__)
@click.option("--model", help="A pretrained model; by default DCGAN as the paper has it.")
@click.option("--size", default=64, show_default=True, help="Of the images without --model.")
@click.option("-n", default=256, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
def main(model: str | None, size: int, n: int, rounds: int, threads: int) -> None:
    torch.set_num_threads(threads)
    G = ganzoo.load(model) if model else untrained(size)
    plain = copy.deepcopy(G).to(memory_format=torch.contiguous_format)

    def plain_loop() -> torch.Tensor:
        images = []
        with torch.no_grad():
            for start in range(0, n, BATCH):
                z = torch.randn(min(BATCH, n - start), G.z_dim)
                images.append(plain(z))
        return torch.cat(images)

    def ours() -> torch.Tensor:
        return G.sample(n, batch_size=BATCH)

    seconds = alternate({"plain": plain_loop, "ganzoo": ours}, rounds)
    ratio = seconds["plain"] / seconds["ganzoo"]
    report(
        benchmark="generation",
        model=G.name,
        image_shape=G.image_shape,
        threads=threads,
        images_per_second={name: n / value for name, value in seconds.items()},
        ratio=ratio,
        at_least=AT_LEAST,
        met=ratio >= AT_LEAST,
    )


def untrained(size: int) -> Generator:
    """DCGAN with the paper's widths."""
    part = plugins.load().parts.get("generator", "dcgan")
    config = part.make_config({"image_shape": [3, size, size]})
    G: Generator = build(part, config, seed=0).eval()
    G.name = f"untrained dcgan {size}x{size}"
    return G


if __name__ == "__main__":
    main()
