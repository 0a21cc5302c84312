"""Seconds a step of our trainer, beside a plain PyTorch loop that trains the same networks.

The plain loop is what tutorials have: NCHW, latents drawn afresh for G's step, D not frozen in it,
Adam as it comes. It does neither averaging nor logging; ours does both. Told our draws, it must
find our losses.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import click
import torch
from _sides import alternate, report
from accelerate import Accelerator
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from ganzoo.data import load_data
from ganzoo.training import Recipe
from ganzoo.training.config import AlternatingConfig
from ganzoo.training.observers import Observers
from ganzoo.training.trainer import Setup, Trainer

AT_LEAST = {32: 1.2, 64: 1.15}
BATCH = 64
TOLERANCE = 1e-3
"""Of losses near 1 in float32: D's at the start, and G's after D's update. From then on Adam, whose
first updates are little more than the sign of the gradient, amplifies rounding."""


class PlainLoop:
    """The networks of a trainer, copied and trained in the usual way."""

    def __init__(self, trainer: Trainer) -> None:
        contiguous = {"memory_format": torch.contiguous_format}
        self.G, self.D = (copy.deepcopy(n).to(**contiguous) for n in (trainer.G, trainer.D))
        self.optimizer_G = torch.optim.Adam(self.G.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.optimizer_D = torch.optim.Adam(self.D.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.images = torch.from_numpy(trainer.data.pixels.copy()).float().div(127.5).sub(1)

    def step(self, given: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """One step, on the real images and latents that are given, or on its own."""
        if given is None:
            real = self.images[torch.randint(len(self.images), (BATCH,))]
            z = torch.randn(BATCH, self.G.z_dim)
            z_again = torch.randn(BATCH, self.G.z_dim)
        else:
            real, z = given
            z_again = z
        ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)
        self.optimizer_D.zero_grad()
        fake = self.G(z).detach()
        loss_D = cross_entropy(self.D(real), ones) + cross_entropy(self.D(fake), zeros)
        loss_D.backward()
        self.optimizer_D.step()
        self.optimizer_G.zero_grad()
        loss_G = cross_entropy(self.D(self.G(z_again)), ones)
        loss_G.backward()
        self.optimizer_G.step()
        return loss_D.detach(), loss_G.detach()


def make_trainer(size: int) -> Trainer:
    recipe = Recipe.from_dict(
        {
            "name": "benchmark",
            "data": {"source": f"shapes?n=512&size={size}&channels=3"},
            "generator": "dcgan",
            "discriminator": "dcgan",
            "loss": "non-saturating",
            "batch": BATCH,
            "kimg": 1000,
        }
    )
    data = load_data(recipe.data.source)
    resolved = recipe.resolve(data.image_shape, data.num_classes)
    setup = Setup(resolved, data, Path(), Accelerator(cpu=True), Observers())
    return Trainer(AlternatingConfig(), setup)


def largest_difference(size: int, steps: int = 1) -> float:
    """Of the losses, with the trainer's images and latents given to the plain loop."""
    trainer = make_trainer(size)
    plain = PlainLoop(trainer)
    seen: list[Any] = []
    terms = trainer.loss.discriminator_terms

    def watched(step: Any) -> Any:
        seen.append((step.real.clone(), step.z.clone()))
        return terms(step)

    trainer.loss.discriminator_terms = watched  # type: ignore[method-assign]
    worst = 0.0
    for _ in range(steps):
        trainer.train_step()
        trainer.step += 1
        logs = trainer.collect_logs()
        loss_D, loss_G = plain.step(seen[-1])
        worst = max(
            worst,
            abs(logs["D/real"] + logs["D/fake"] - loss_D.item()),
            abs(logs["G/fake"] - loss_G.item()),
        )
    return worst


@click.command(help=__doc__)
@click.option("--size", "sizes", multiple=True, type=int, default=sorted(AT_LEAST))
@click.option("--rounds", default=7, show_default=True)
@click.option("--steps", default=2, show_default=True, help="In a round, of each side.")
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
def main(sizes: tuple[int, ...], rounds: int, steps: int, threads: int) -> None:
    torch.set_num_threads(threads)
    results = {}
    for size in sizes:
        difference = largest_difference(size)
        trainer = make_trainer(size)
        plain = PlainLoop(trainer)

        def ours(trainer: Trainer = trainer) -> None:
            for _ in range(steps):
                trainer.train_step()
                trainer.step += 1
            trainer.collect_logs()

        def theirs(plain: PlainLoop = plain) -> None:
            for _ in range(steps):
                _, loss = plain.step()
            loss.item()

        seconds = alternate({"plain": theirs, "ganzoo": ours}, rounds)
        ratio = seconds["plain"] / seconds["ganzoo"]
        results[f"{size}x{size}"] = {
            "seconds_per_step": {name: value / steps for name, value in seconds.items()},
            "ratio": ratio,
            "at_least": AT_LEAST.get(size, 1.0),
            "largest_difference_of_losses": difference,
            "met": ratio >= AT_LEAST.get(size, 1.0) and difference <= TOLERANCE,
        }
    met = all(result["met"] for result in results.values())
    report(benchmark="training", batch=BATCH, threads=threads, results=results, met=met)


if __name__ == "__main__":
    main()
