"""The search for the latent of a picture: the optimisation of `ganzoo.projection`.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix D: w starts at
the mean of many, is shaken by noise that fades, and follows Adam with a learning rate that rises
and falls; the noise maps of the layers can be found too, and are kept from carrying the picture.
Other generators have z alone: it starts at the best of many and is held at the length that most z
have. Here several starts are optimised at once, of which the best is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ganzoo import latents, rng
from ganzoo.evaluation.similarity import Perception, Similarity
from ganzoo.latents import Latents

if TYPE_CHECKING:
    from ganzoo.models import Generator

CANDIDATES = 256
"""Random images of which the best are starts; what is random is measured by them, too."""
MEANS = 10_000
"""z whose w are averaged, as in the paper."""
LEARNING_RATE = 0.1
RAMP_UP, RAMP_DOWN = 0.05, 0.25
"""Shares of the steps in which the learning rate rises, and falls."""
SHAKING, SHAKEN = 0.05, 0.75
"""Noise on w at first, in units of the spread of all w, and the share of the steps that has it."""
NOISE_WEIGHT = 1e5
"""Of the correlations in noise maps."""
MOST_FRAMES = 96
MOST_PIXELS = 1 << 22
"""Of random images that are computed at once."""


@dataclass(frozen=True)
class Settings:
    """`space` is "w", "w+" or "z"."""

    space: str
    steps: int
    starts: int
    seed: int
    optimize_noise: bool


@dataclass(frozen=True, eq=False)
class Found:
    """What `ganzoo.projection.Projection` says of it; `path` has the latents on the way."""

    latents: Latents
    label: int | None
    extractor: str
    similarity: Similarity
    random: Similarity
    path: tuple[Tensor, ...]


class Search:
    """The optimisation of one target, float (1, C, H, W) in [-1, 1]."""

    def __init__(
        self, generator: Generator, target: Tensor, how: Settings, label: int | None
    ) -> None:
        config = generator.record.get("config")
        source = config.dataset.name if config else ""
        crop = config.dataset.content_crop if config else None
        self.generator: Any = generator
        self.how, self.label = how, label
        self.perception = Perception(target, source=source, crop=crop)

    def run(self, title: str) -> Found:
        how, generator = self.how, self.generator
        z, labels, random = self._candidates()
        values, labels, spread = self._starts(z, labels)
        noise = self._noise() if how.optimize_noise else {}
        values.requires_grad_(True)
        parameters = [values, *noise.values()]
        optimizer = torch.optim.Adam(parameters, lr=0.0)
        radius = math.sqrt(generator.z_dim)
        every = math.ceil(how.steps / MOST_FRAMES)
        path = [values.detach().clone()]
        for step in _tracked(range(how.steps), title):
            t = step / how.steps
            rate, shaking = _schedule(t)
            for group in optimizer.param_groups:
                group["lr"] = rate * (spread if how.space != "z" else 1.0)
            draws = rng.Draws(how.seed, "projection/shaking", step, device=values.device)
            shape = values.shape[1:]
            shaken = values + draws.normal(len(values), *shape) * (
                shaking * spread * math.sqrt(values.shape[-1])
            )
            images = self._latents(shaken, labels, noise).render(generator)
            loss = self.perception.loss(images).sum()
            if noise:
                loss = loss + NOISE_WEIGHT * noise_correlation(noise.values())
            gradients = torch.autograd.grad(loss, parameters)
            for parameter, gradient in zip(parameters, gradients):
                parameter.grad = gradient
            optimizer.step()
            with torch.no_grad():
                if how.space == "z":
                    values.mul_(radius / values.norm(dim=1, keepdim=True))
                for maps in noise.values():
                    deviation, mean = torch.std_mean(maps, (1, 2, 3), correction=0, keepdim=True)
                    maps.sub_(mean).div_(deviation)
            if step % every == every - 1 or step == how.steps - 1:
                path.append(values.detach().clone())
        noise = {layer: x.detach() for layer, x in noise.items()}
        return self._best(path, labels, noise, random)

    @torch.no_grad()
    def _best(
        self,
        path: list[Tensor],
        labels: Tensor | None,
        noise: dict[int, Tensor],
        random: Similarity,
    ) -> Found:
        """The one start, or what came of it, that is closest: an ill-fated search is no worse than
        its start. `path` has the values of all starts, from the first to the last."""
        twice = None if labels is None else torch.cat([labels, labels])
        doubled = {layer: torch.cat([x, x]) for layer, x in noise.items()}
        both = self._latents(torch.cat([path[0], path[-1]]), twice, doubled)
        made = both.render(self.generator)
        best = int(self.perception.loss(made).nan_to_num(math.inf).argmin())
        start = slice(best % self.how.starts, best % self.how.starts + 1)
        kept = Latents(
            both.kind,
            both.values[best : best + 1].contiguous(),
            None if both.labels is None else both.labels[best : best + 1],
            {layer: x[start] for layer, x in noise.items()} or None,
        )
        return Found(
            latents=kept,
            label=None if labels is None else int(labels[start]),
            extractor=self.perception.name,
            similarity=self.perception.compare(made[best : best + 1])[0],
            random=random,
            path=tuple(self._latents(x[start], None, {}).values for x in path),
        )

    def _latents(self, values: Tensor, labels: Tensor | None, noise: dict[int, Tensor]) -> Latents:
        """Of points in the space that is searched."""
        if self.how.space == "z":
            return Latents("z", values, labels, noise or None)
        if self.how.space == "w":
            values = values.expand(-1, self.generator.num_ws, -1)
        return Latents("w", values, None, noise or None)

    @torch.no_grad()
    def _candidates(self) -> tuple[Tensor, Tensor | None, Similarity]:
        """The best of many random z, with their labels; and how like the target a random image
        is: the median of each measure."""
        how, generator = self.how, self.generator
        draw = rng.philox(how.seed, "projection/candidates").standard_normal
        z = torch.from_numpy(draw((CANDIDATES, generator.z_dim), dtype=np.float32))
        z = z.to(generator.device)
        labels = None
        if generator.num_classes:
            labels = torch.arange(CANDIDATES, device=z.device) % generator.num_classes
            if self.label is not None:
                labels = torch.full_like(labels, self.label)
        losses, similar = [], []
        _, height, width = generator.image_shape
        batch = min(32, max(1, MOST_PIXELS // (height * width)))
        for begin in range(0, CANDIDATES, batch):
            part = slice(begin, begin + batch)
            some = Latents("z", z[part], None if labels is None else labels[part])
            images = some.render(generator)
            losses.append(self.perception.loss(images))
            similar += self.perception.compare(images)
        best = torch.cat(losses).argsort()[: how.starts]
        names = ("psnr", "mse", "ssim", "perceptual")
        medians = {k: float(np.median([getattr(x, k) for x in similar])) for k in names}
        return z[best], None if labels is None else labels[best], Similarity(**medians)

    @torch.no_grad()
    def _starts(self, z: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None, float]:
        """Where to start, with labels, and the spread of a component there: the z, brought to the
        length of most; or their w, with the mean of all w of the best label in place of the last.
        """
        if self.how.space == "z":
            return z * (math.sqrt(z.shape[1]) / z.norm(dim=1, keepdim=True)), labels, 1.0
        draw = rng.philox(self.how.seed, "projection/means").standard_normal
        many = torch.from_numpy(draw((MEANS, z.shape[1]), dtype=np.float32)).to(z.device)
        parts = []
        for some in torch.split(many, 1000):
            of_best = None if labels is None else labels[:1].expand(len(some))
            parts.append(self.generator.mapping(some, of_best)[:, 0].clone())
        ws = torch.cat(parts)
        mean = ws.mean(0)
        spread = float((ws - mean).square().mean().sqrt())
        starts = self.generator.mapping(z, labels).clone()
        starts[-1] = mean
        if labels is not None:
            labels = torch.cat([labels[:-1], labels[:1]])
        return starts[:, :1].clone() if self.how.space == "w" else starts, labels, spread

    def _noise(self) -> dict[int, Tensor]:
        """Noise maps to optimise, (starts, 1, H, W) for each layer."""
        device, found = self.generator.device, {}
        for layer, shape in latents.noise_shapes(self.generator).items():
            draw = rng.philox(self.how.seed, "projection/noise", layer).standard_normal
            values = draw((self.how.starts, *shape), dtype=np.float32)
            found[layer] = torch.from_numpy(values).to(device).requires_grad_(True)
        return found


def _schedule(t: float) -> tuple[float, float]:
    """The learning rate, and the noise on w in units of its spread, at the share t of the steps."""
    rise = min(1.0, t / RAMP_UP) if t > 0 else 1e-2
    fall = min(1.0, (1 - t) / RAMP_DOWN)
    rate = LEARNING_RATE * rise * (0.5 - 0.5 * math.cos(math.pi * fall))
    return rate, SHAKING * max(0.0, 1 - t / SHAKEN) ** 2


def noise_correlation(maps: Iterable[Tensor]) -> Tensor:
    """The squared correlations of noise maps (N, 1, H, W) with themselves, one pixel further in
    either direction, summed over all maps and their halves down to 8 x 8 (appendix D)."""
    total: Any = 0.0
    for noise in maps:
        while True:
            for axis in (2, 3):
                total = total + (noise * noise.roll(1, axis)).mean((1, 2, 3)).square().sum()
            if min(noise.shape[2:]) <= 8:
                break
            # averaged, and of unit variance again
            noise = avg_pool2d(noise, 2) * 2
    return torch.as_tensor(total)


def _tracked(steps: range, title: str) -> Iterable[int]:
    if not title:
        return steps
    from rich.progress import track

    from ganzoo.console import stderr

    return track(steps, description=title, console=stderr(), transient=True)
