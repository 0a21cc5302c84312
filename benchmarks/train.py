"""Seconds and kimg an hour of our trainer's steps, beside a plain PyTorch loop that trains the same
networks by the same losses; on a GPU also seconds per kimg of StyleGAN2 at 256x256.

The plain loop is what tutorials have: NCHW, latents drawn afresh for G's step, D not frozen in it,
Adam as it comes; StyleGAN2's G as `_plain.py` states it. It does neither averaging nor logging;
ours does both. Told our draws, a DCGAN's must find our losses. JSON on stdout, a table on stderr.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from _plain import plain_copy, synthesis
from _quiet import alternate_alone, append_history, flops_of, machine, matrix_peak, table
from _sides import report
from accelerate import Accelerator
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import softplus

from ganzoo.data import load_data
from ganzoo.errors import GanzooError
from ganzoo.training import Recipe
from ganzoo.training.config import AlternatingConfig
from ganzoo.training.observers import Observers
from ganzoo.training.trainer import Setup, Trainer

FAMILIES = ("dcgan", "progan", "stylegan2")
SETTINGS: dict[str, dict[str, Any]] = {
    "dcgan": {"loss": "non-saturating", "batch": 64},
    "progan": {
        "loss": {"part": "wgan-gp", "gradient_penalty": 10, "drift": 0.001},
        "discriminator": {"part": "progan"},
        "batch": 8,
    },
    "stylegan2": {"loss": {"part": "r1", "gamma": 10, "interval": 16}, "batch": 8},
}
"""Losses of published trainings. StyleGAN2's path lengths, every fourth step, are left out."""
LARGE = 256
"""From this size on, a CPU's steps have a batch of 2."""
AT_LEAST = {("dcgan", 32): 1.2, ("dcgan", 64): 1.15, ("progan", 0): 1.3, ("stylegan2", 0): 1.3}
TOLERANCE = 1e-3
"""Of losses near 1 in float32: D's at the start, and G's after D's update. From then on Adam, whose
first updates are little more than the sign of the gradient, amplifies rounding."""
LAZY = 16


class PlainLoop:
    """The networks of a trainer, copied and trained in the usual way."""

    def __init__(self, trainer: Trainer, family: str) -> None:
        self.G, self.D = plain_copy(trainer.G), plain_copy(trainer.D)
        betas = (0.5, 0.999) if family == "dcgan" else (0.0, 0.99)
        self.optimizer_G = torch.optim.Adam(self.G.parameters(), lr=2e-4, betas=betas)
        self.optimizer_D = torch.optim.Adam(self.D.parameters(), lr=2e-4, betas=betas)
        pixels = torch.from_numpy(trainer.data.pixels.copy())
        self.device = next(self.G.parameters()).device
        self.images = pixels.to(self.device).float().div(127.5).sub(1)
        self.family, self.batch, self.number = family, trainer.recipe.batch, 0

    def generated(self, z: Tensor) -> Tensor:
        if self.family != "stylegan2":
            return self.G(z)
        ws = self.G.mapping(z)
        return synthesis(self.G, ws, lambda x: torch.randn_like(x[:, :1]))

    def step(self, given: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """One step, on the real images and latents that are given, or on its own."""
        if given is None:
            real = self.images[torch.randint(len(self.images), (self.batch,))]
            z, z_again = torch.randn(2, self.batch, self.G.z_dim, device=self.device)
        else:
            real, z = given
            z_again = z
        self.optimizer_D.zero_grad()
        loss_D = self.loss_of_D(real, self.generated(z).detach())
        loss_D.backward()
        self.optimizer_D.step()
        if self.family == "stylegan2" and self.number % LAZY == 0:
            self.optimizer_D.zero_grad()
            (5 * LAZY * self.slopes(real).square().sum((1, 2, 3)).mean()).backward()
            self.optimizer_D.step()
        self.optimizer_G.zero_grad()
        loss_G = self.loss_of_G(self.generated(z_again))
        loss_G.backward()
        self.optimizer_G.step()
        self.number += 1
        return loss_D.detach(), loss_G.detach()

    def loss_of_D(self, real: Tensor, fake: Tensor) -> Tensor:
        scores, fakes = self.D(real), self.D(fake)
        if self.family == "dcgan":
            ones, zeros = torch.ones_like(scores), torch.zeros_like(scores)
            return cross_entropy(scores, ones) + cross_entropy(fakes, zeros)
        if self.family == "stylegan2":
            return softplus(-scores).mean() + softplus(fakes).mean()
        share = torch.rand(len(real), 1, 1, 1, device=self.device)
        norms = self.slopes(torch.lerp(real, fake, share)).flatten(1).norm(dim=1)
        penalty = 10 * (norms - 1).square().mean() + 0.001 * scores.square().mean()
        return fakes.mean() - scores.mean() + penalty

    def loss_of_G(self, fake: Tensor) -> Tensor:
        scores = self.D(fake)
        if self.family == "dcgan":
            return cross_entropy(scores, torch.ones_like(scores))
        return softplus(-scores).mean() if self.family == "stylegan2" else -scores.mean()

    def slopes(self, images: Tensor) -> Tensor:
        images = images.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(self.D(images).sum(), images, create_graph=True)
        return slopes


def make_trainer(family: str, size: int, cpu: bool = True) -> Trainer | None:
    """None where the family has no such size."""
    settings = SETTINGS[family]
    batch = 2 if cpu and size >= LARGE else settings["batch"]
    document = {
        "name": "benchmark",
        "data": {"source": f"shapes?n=64&size={size}&channels=3"},
        "generator": family,
        "discriminator": family,
        "kimg": 1000,
        **settings,
        "batch": batch,
    }
    data = load_data(document["data"]["source"])
    recipe = Recipe.from_dict(document)
    try:
        resolved = recipe.resolve(data.image_shape, data.num_classes)
    except GanzooError:
        return None
    setup = Setup(resolved, data, Path(), Accelerator(cpu=cpu), Observers())
    return Trainer(AlternatingConfig(), setup)


def largest_difference(trainer: Trainer, plain: PlainLoop) -> float:
    """Of the losses, with the trainer's images and latents given to the plain loop."""
    seen: list[Any] = []
    terms = trainer.loss.discriminator_terms

    def watched(step: Any) -> Any:
        seen.append((step.real.clone(), step.z.clone()))
        return terms(step)

    trainer.loss.discriminator_terms = watched  # type: ignore[method-assign]
    trainer.train_step()
    trainer.step += 1
    logs = trainer.collect_logs()
    loss_D, loss_G = plain.step(seen[-1])
    trainer.loss.discriminator_terms = terms  # type: ignore[method-assign]
    return max(
        abs(logs["D/real"] + logs["D/fake"] - loss_D.item()), abs(logs["G/fake"] - loss_G.item())
    )


@click.command(help=__doc__)
@click.option("--family", "families", multiple=True, default=FAMILIES, show_default=True)
@click.option("--size", "sizes", multiple=True, type=int, help="32, 64, 256; 1024 too on a GPU.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--steps", default=2, show_default=True, help="In a round, of each side.")
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
@click.option("--history", help="Append the results to this file (benchmarks/history.jsonl).")
def main(
    families: tuple[str, ...],
    sizes: tuple[int, ...],
    rounds: int,
    steps: int,
    threads: int,
    device: str,
    history: str | None,
) -> None:
    torch.set_num_threads(threads)
    sizes = sizes or ((32, 64, 256) if device == "cpu" else (32, 64, 256, 1024))
    peak = matrix_peak(device)
    results: dict[str, Any] = {}
    for family in families:
        for size in sizes:
            trainer = make_trainer(family, size, cpu=device == "cpu")
            if trainer is None:
                continue
            result = compared(trainer, family, size, rounds, steps, threads, device, peak)
            results[f"{family} {size}x{size}"] = result
            row = {"network": f"{family} {size}", "batch": result["batch"]}
            row |= {f"kimg/h {name}": value for name, value in result["kimg_per_hour"].items()}
            row |= {"s/kimg": result["seconds_per_kimg"]["ganzoo"], "x plain": result["ratio"]}
            row |= {"of peak": result["of_peak"], "alone": "yes" if result["alone"] else "NO"}
            table([row])
    everything = {
        "benchmark": "train",
        **machine(threads, device),
        "matrix_peak_flops": peak,
        "results": results,
        "met": all(result["met"] for result in results.values()),
    }
    append_history(history, **everything)
    report(**everything)


def compared(
    trainer: Trainer,
    family: str,
    size: int,
    rounds: int,
    steps: int,
    threads: int,
    device: str,
    peak: float,
) -> dict[str, Any]:
    plain = PlainLoop(trainer, family)
    difference = largest_difference(trainer, plain) if family == "dcgan" else None
    plain.number = trainer.step = 1  # lazy terms are due at multiples of their interval
    flops = flops_of(plain.step)

    def repeated(step: Callable[[], object], after: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(steps):
                step()
            after()

        return run

    def ours() -> None:
        trainer.train_step()
        trainer.step += 1

    sides = {
        "plain": repeated(plain.step, lambda: None),
        "ganzoo": repeated(ours, trainer.collect_logs),
    }
    seconds = alternate_alone(sides, rounds, threads, device)
    images = steps * plain.batch
    per_kimg = {name: 1000 * measured["seconds"] / images for name, measured in seconds.items()}
    ratio = per_kimg["plain"] / per_kimg["ganzoo"]
    at_least = AT_LEAST.get((family, size), AT_LEAST.get((family, 0), 1.0))
    alone = all(measured["kept"] for measured in seconds.values())
    same = difference is None or difference <= TOLERANCE
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "batch": plain.batch,
        "seconds": seconds,
        "seconds_per_kimg": per_kimg,
        "kimg_per_hour": {name: 3600 / value for name, value in per_kimg.items()},
        "ratio": ratio,
        "at_least": at_least,
        "flops_per_image": flops / plain.batch,  # of the plain step
        "of_peak": flops / plain.batch * 1000 / per_kimg["ganzoo"] / peak,
        "largest_difference_of_losses": difference,
        "alone": alone,
        "peak_mib_of_both": mib if device == "cpu" else torch.cuda.max_memory_allocated() / 2**20,
        "met": same and (ratio >= at_least or not alone),  # what was disturbed proves nothing
    }


if __name__ == "__main__":
    main()
