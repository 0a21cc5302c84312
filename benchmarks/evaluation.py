"""FID of 50,000 images of a DCGAN 32x32, beside generating them and extracting their features."""

from __future__ import annotations

import os
import tempfile

import click
import torch
from _sides import alternate, report

from ganzoo import plugins
from ganzoo.data import load_data
from ganzoo.evaluation.evaluating import measure
from ganzoo.evaluation.features import features_of, generated_images, open_extractor
from ganzoo.evaluation.workers import Workers
from ganzoo.models import Generator, build

AT_MOST = 1.3


@click.command(help=__doc__)
@click.option("-n", default=50_000, show_default=True)
@click.option("--features", default="random", show_default=True)
@click.option("--rounds", default=1, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
@click.option("--device", default="cpu", show_default=True)
def main(n: int, features: str, rounds: int, threads: int, device: str) -> None:
    torch.set_num_threads(threads)
    part = plugins.load().parts.get("generator", "dcgan")
    G: Generator = build(part, part.make_config({"image_shape": [3, 32, 32]}), seed=0).eval()
    G = G.to(device)
    extractor, data = open_extractor(features, device=device), load_data("shapes?n=1000&size=32")
    workers = Workers(device)

    def parts() -> None:
        for _ in features_of(generated_images(G, range(n)), extractor):
            pass

    def fid() -> None:
        measure(G, data, extractor, metrics=["fid"], n=n, workers=workers)

    with tempfile.TemporaryDirectory() as cache:
        os.environ["GANZOO_CACHE"] = cache  # the real side, which is kept, counts once
        seconds = alternate({"generation and features": parts, "fid": fid}, rounds)
    ratio = seconds["fid"] / seconds["generation and features"]
    report(
        benchmark="evaluation",
        n=n,
        features=features,
        threads=threads,
        device=device,
        seconds=seconds,
        ratio=ratio,
        at_most=AT_MOST,
        met=ratio <= AT_MOST,
    )


if __name__ == "__main__":
    main()
