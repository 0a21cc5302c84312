"""What the copying audit catches, and how often it accuses an honest model; prints JSON lines.

    python scripts/audit_power.py                  # all of it: half an hour on one CPU thread
    python scripts/audit_power.py gauss --honest 20 # some of it

Honest "generators" are real images (or draws) that are neither in T nor in P. Copies are training
images with a little noise, 1 % of 5,000 samples. Features are cut to 64 dimensions by a fixed
random projection, and T to 5,000 images, to make 600 audits affordable: distances shrink alike.

gauss    64 normal features, and a fixed random layer over them
mnist    pixels, and a fixed random convolutional network; P is of MNIST's test split, which is of
         other writers than T and the honest samples are
bundled  models on MNIST with all of the data; none may fail
gans     GANs trained on 50 and on 200 images; both must fail
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch.nn.functional import conv2d, max_pool2d, relu

import ganzoo
from ganzoo.data import load_data
from ganzoo.evaluation.copying import CopyingAudit, Space, audit_copying

CASES = ("gauss", "mnist", "bundled", "gans")
N, COPIED, TRAIN = 5000, 50, 5000
SMALL_GAN = [  # of gan.mnist: quick, free to overfit, and without the collapse of its own loss
    "loss=wgan-gp",
    "batch=50",
    "generator.widths=[128,256]",
    "discriminator.widths=[256,128]",
    "discriminator.dropout=0",
    "ema.half_life_kimg=5",
    "every.grid=0",
]
Features = Callable[[np.ndarray], np.ndarray]


def matrix(*shape: int) -> np.ndarray:
    """A fixed random matrix whose rows have about unit length."""
    values = np.random.default_rng(shape).standard_normal(shape) / np.sqrt(shape[0])
    return values.astype(np.float32)


def pixels(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255 @ matrix(784, 64)


def network(images: np.ndarray) -> np.ndarray:
    """Two random 3x3 convolutions with pooling, projected."""
    first = torch.from_numpy(matrix(9, 16).T.reshape(16, 1, 3, 3).copy())
    second = torch.from_numpy(matrix(144, 32).T.reshape(32, 16, 3, 3).copy())
    out = []
    for start in range(0, len(images), 1000):
        x = torch.from_numpy(images[start : start + 1000].astype(np.float32) / 255)
        x = max_pool2d(relu(conv2d(x, first, padding=1)), 2)
        x = max_pool2d(relu(conv2d(x, second, padding=1)), 2)
        out.append(x.flatten(1).numpy() @ matrix(7 * 7 * 32, 64))
    return np.concatenate(out)


def layer(x: np.ndarray) -> np.ndarray:
    return np.maximum(x @ matrix(64, 64), 0)


SPACES: dict[str, Features] = {"pixels": pixels, "network": network}


def audit(
    spaces: dict[str, Features], train: np.ndarray, held_out: np.ndarray, q: np.ndarray
) -> CopyingAudit:
    return audit_copying(
        {name: Space(f(train), f(held_out), f(q)) for name, f in spaces.items()}, suspects=0
    )


def gauss_draw(
    rng: np.random.Generator, copied: bool
) -> tuple[dict[str, Features], np.ndarray, np.ndarray, np.ndarray]:
    train, held_out, q = rng.standard_normal((3, N, 64)).astype(np.float32)
    if copied:
        q[:COPIED] = train[:COPIED] + 0.2 * rng.standard_normal((COPIED, 64))
    return {"raw": lambda x: x, "layer": layer}, train, held_out, q


class Mnist:
    """Random splits of MNIST. Features of the 70,000 images are computed once."""

    def __init__(self) -> None:
        self.train, self.test = (load_data(spec).pixels for spec in ("mnist", "mnist@test"))
        self.features = {n: (f(self.train), f(self.test)) for n, f in SPACES.items()}

    def spaces_of(self, rng: np.random.Generator, copied: bool) -> dict[str, Space]:
        order = rng.permutation(len(self.train))
        t, q, p = order[:TRAIN], order[TRAIN : TRAIN + N], rng.permutation(len(self.test))[:N]
        copies = self.train[t[:COPIED]] * rng.uniform(0.9, 1, (COPIED, 1, 1, 1))
        copies = np.clip(np.rint(copies + 8 * rng.standard_normal(copies.shape)), 0, 255)
        made = {}
        for name, (train, test) in self.features.items():
            generated = train[q]
            if copied:
                generated[:COPIED] = SPACES[name](copies.astype(np.uint8))
            made[name] = Space(train[t], test[p], generated)
        return made


def summary(name: str, audits: list[CopyingAudit], seconds: float) -> None:
    """How many failed or warned, the smallest p of each run, and how z* is distributed."""
    p = np.array([min(x.p for r in a.spaces.values() for x in r.rates) for a in audits])
    z = np.array([r.nearness.z for a in audits for r in a.spaces.values()])
    click.echo(
        json.dumps(
            {
                "case": name,
                "runs": len(audits),
                "fail": sum(a.verdict == "fail" for a in audits),
                "warn": sum(a.verdict == "warn" for a in audits),
                "alarms": {
                    "rate": sum(
                        x.alarm for a in audits for r in a.spaces.values() for x in r.rates
                    ),
                    "z": sum(r.nearness.alarm for a in audits for r in a.spaces.values()),
                },
                "p median, largest, smallest": [
                    f"{x:.0e}" for x in (np.median(p), p.max(), p.min())
                ],
                "z mean, sd, min": [round(float(x), 2) for x in (z.mean(), z.std(), z.min())],
                "seconds": round(seconds),
            }
        )
    )


def power(case: str, honest: int, copied: int) -> None:
    mnist = Mnist() if case == "mnist" else None
    for kind, runs in (("honest", honest), ("1% copied", copied)):
        start, audits = time.monotonic(), []
        for run in range(runs):
            rng = np.random.default_rng([run, kind == "honest", case == "mnist"])
            copies = kind != "honest"
            if mnist:
                audits.append(audit_copying(mnist.spaces_of(rng, copies), suspects=0))
            else:
                audits.append(audit(*gauss_draw(rng, copies)))
        if audits:
            summary(f"{case}, {kind}", audits, time.monotonic() - start)


def gans(folder: Path) -> None:
    """Train on few images, with ganzoo's own trainer, and audit what comes out."""
    data, test = load_data("mnist"), load_data("mnist@test").pixels
    steps = 12_000
    for n in (50, 200):
        images = folder / f"images-{n}"
        images.mkdir()
        for i in range(n):
            Image.fromarray(data.pixels[i, 0]).save(images / f"{i:03}.png")
        start = time.monotonic()
        run = ganzoo.train(
            "gan.mnist",
            folder / f"run-{n}",
            data=f"folder:{images}?labels=none",
            settings=[*SMALL_GAN, f"kimg={steps * 50 / 1000}"],
        )
        samples = generated(ganzoo.load(run))
        result = audit(SPACES, data.pixels[:n], test, samples)
        report(f"gan on {n} images, {steps} steps", result, time.monotonic() - start)


def bundled() -> None:
    train, test = load_data("mnist").pixels, load_data("mnist@test").pixels
    for name in ("dcgan.mnist", "gan.mnist", "wgan-gp.mnist", "cgan.mnist"):
        start = time.monotonic()
        result = audit(SPACES, train, test, generated(ganzoo.load(name)))
        report(name, result, time.monotonic() - start)


def generated(model: ganzoo.Generator) -> np.ndarray:
    images = model.sample(N, seed=0).numpy()
    return np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8)


def report(name: str, result: CopyingAudit, seconds: float) -> None:
    flagged = {n: [round(x.share, 4) for x in r.rates] for n, r in result.spaces.items()}
    control = {n: [round(x.control, 4) for x in r.rates] for n, r in result.spaces.items()}
    near = {
        n: [round(r.nearness.z, 1), round(r.nearness.auc, 3), round(r.nearness.control, 3)]
        for n, r in result.spaces.items()
    }
    click.echo(
        json.dumps(
            {
                "case": name,
                "verdict": result.verdict,
                "reasons": result.reasons,
                "flagged": flagged,
                "control": control,
                "z, auc, control": near,
                "seconds": round(seconds),
            }
        )
    )


@click.command(help=__doc__)
@click.argument("cases", nargs=-1, type=click.Choice(CASES))
@click.option("--honest", default=200, help="honest runs of each case")
@click.option("--copied", default=100, help="runs with copies of each case")
def main(cases: tuple[str, ...], honest: int, copied: int) -> None:
    for case in cases or CASES:
        if case == "bundled":
            bundled()
        elif case == "gans":
            with tempfile.TemporaryDirectory() as folder:
                gans(Path(folder))
        else:
            power(case, honest, copied)


if __name__ == "__main__":
    main()
