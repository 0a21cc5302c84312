"""Train the core's classifiers of digits and clothes, which metrics and audits look through.

    python scripts/train_extractors.py

It takes some minutes on a CPU; GANZOO_DATA says where the data are. The weights go to
ganzoo/evaluation/weights, their SHA-256 and test accuracy are printed.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F

from ganzoo import files, weights
from ganzoo.data import load_data
from ganzoo.evaluation.config import ClassifierConfig
from ganzoo.evaluation.extractors import WEIGHTS, Classifier

EPOCHS, BATCH, LR = 10, 128, 4e-3


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(["digits", "clothes"]))
def main(names: tuple[str, ...]) -> None:
    """Train the named classifiers, or both."""
    for name in names or ("digits", "clothes"):
        data = {"digits": "mnist", "clothes": "fashion-mnist"}[name]
        path = WEIGHTS / f"{name}-v1.safetensors"
        network = train(data, upright=name == "digits")
        weights.write(path, network, "float16")
        network.load_state_dict(_as_stored(network, path))
        right = accuracy(network, f"{data}@test")
        click.echo(f"{path.name}  accuracy {right:.4f}  {files.sha256(path)}")


def train(data: str, *, upright: bool) -> Classifier:
    """AdamW over one cosine of the learning rate. Digits are shifted by up to two pixels, clothes,
    which lie centred, are mirrored."""
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    images = load_data(data)
    network = Classifier(ClassifierConfig(images.classes)).train().requires_grad_(True)
    steps = EPOCHS * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), LR, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    for step in range(steps):
        x, labels = images.batch(np.sort(draw.integers(len(images), size=BATCH)))
        if upright:
            dy, dx = draw.integers(-2, 3, size=2)
            x = F.pad(x, (2, 2, 2, 2))[:, :, 2 + dy : 30 + dy, 2 + dx : 30 + dx]
        elif draw.integers(2):
            x = x.flip(3)
        loss = F.cross_entropy(network.outputs(x).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            click.echo(f"{data} step {step}/{steps} loss {loss.item():.4f}", err=True)
    return network.eval()


def _as_stored(network: Classifier, path: Path) -> dict[str, torch.Tensor]:
    """The weights with the precision that the file has."""
    stored = Classifier(ClassifierConfig(network.classes))
    weights.fill(stored, path, weights.read_header(path))
    return stored.state_dict()


@torch.inference_mode()
def accuracy(network: Classifier, data: str) -> float:
    """The share of images that the network names rightly."""
    images = load_data(data)
    right = 0
    for start in range(0, len(images), 500):
        x, labels = images.batch(np.arange(start, start + 500))
        right += int((network.outputs(x).logits.argmax(1) == labels).sum())
    return right / len(images)


if __name__ == "__main__":
    main()
