"""What each update of a run is made of: how many images, which latents and labels, and networks as
they are called.

A `Step` is handed to the loss. All of it follows from the run's seed and the number of the update
(`ganzoo.rng`), so that nothing here has a state but what is kept to be used twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from ganzoo import rng
from ganzoo.data import ImageData
from ganzoo.models import Discriminator, Generator
from ganzoo.training.augmentation import Augmentation
from ganzoo.training.config import AlternatingConfig, OptimizerConfig
from ganzoo.training.losses import Loss, Role
from ganzoo.training.means import Means
from ganzoo.training.order import DataOrder
from ganzoo.training.recipe import Recipe
from ganzoo.training.step import Step


class Steps:
    """Base of the trainer, which sets these and changes `step`: what follows from it."""

    config: AlternatingConfig
    recipe: Recipe
    data: ImageData
    order: DataOrder
    device: torch.device
    rank: int
    world: int
    G: Generator
    D: Discriminator
    loss: Loss
    augment: Augmentation | None
    means: Means
    step: int
    _real_scores: dict[int, Tensor]
    _last_real: tuple[int, Tensor, Tensor | None] | None

    # -- what follows from the step: a trainer with a schedule overrides these ---------------------

    @property
    def batch(self) -> int:
        """Images of one update at this step, over all processes."""
        return self.recipe.batch

    @property
    def batch_setting(self) -> str:
        """What to `--set` for another batch at this step."""
        return "batch"

    @property
    def images_per_step(self) -> int:
        return self.batch * self.config.n_critic

    def images_at(self, step: int) -> int:
        """Real images shown to D in the steps before `step`."""
        return step * self.images_per_step

    @property
    def images(self) -> int:
        return self.images_at(self.step)

    @property
    def total_steps(self) -> int:
        return math.ceil(self.recipe.images / self.images_per_step)

    def stretches(self) -> list[range]:
        """The steps of the run, parted where their cost changes; a dry run measures each part."""
        return [range(self.total_steps)]

    def options(self, role: Role) -> dict[str, Any]:
        """Keyword options that `forward` of a network gets at this step (`lod`)."""
        return {}

    def optimizer_config(self, role: Role) -> OptimizerConfig:
        """The optimiser's settings at this step, of which the learning rate may change."""
        config: OptimizerConfig = getattr(self.recipe.optimizer, role)
        return config

    def batches(self) -> dict[str, int]:
        """Every batch size of the run, by the setting that it comes from."""
        return {"batch": self.recipe.batch}

    # -- one update --------------------------------------------------------------------------------

    @property
    def _reuses_fake(self) -> bool:
        config, recipe = self.config, self.recipe
        return config.reuse_fake and config.n_critic == 1 and recipe.accumulation == 1

    def _steps(self, role: Role, critic: int) -> list[Step]:
        """The micro-batches of one update: the global batch, this rank's rows, split."""
        n = self.batch // self.world
        update = self._number(critic)
        real, labels = self._real(critic)
        conditional = self.G.num_classes > 0
        reused = role == "generator" and self._reuses_fake
        stream = "discriminator" if reused else role
        z = self._draws(f"z/{stream}", update).normal(n, self.G.z_dim)
        real_labels = fake_labels = labels if conditional else None
        if conditional and not self.loss.pairs_labels:
            fake_labels = self._draws(f"labels/{stream}", update).integers(n, self.G.num_classes)
        parts = self.recipe.accumulation
        reals = real.chunk(parts)
        return [
            Step(
                index=self.step,
                real=reals[i],
                labels=None if real_labels is None else real_labels.chunk(parts)[i],
                z=z.chunk(parts)[i],
                fake_labels=None if fake_labels is None else fake_labels.chunk(parts)[i],
                G=self._network_G(role, update, i),
                D=self._seen_by_D(self.D, role, update, i, reals[i]),
                D_plain=self.D_plain,
                D_outputs=self._seen_by_D(self.D.outputs, role, update, i, reals[i]),
                generator=self.G,
                options=self.options("generator"),
                rng=self._draws(f"loss/{role}/{i}", update),
                log=self.means.add,
                images=self.images,
            )
            for i in range(parts)
        ]

    def _number(self, critic: int) -> int:
        """How many updates of D there were before this one of the step: what draws are keyed by."""
        return self.step * self.config.n_critic + critic

    def _real(self, critic: int) -> tuple[Tensor, Tensor | None]:
        """This rank's real images of an update, in [-1, 1], and their labels, on the device.

        Kept for the update of G that follows on the same images.
        """
        position = self.images + critic * self.batch
        if self._last_real is None or self._last_real[0] != position:
            indices = self.order.indices(position, self.batch)[self.rank :: self.world]
            pixels, labels = self.data.batch(indices)
            if self.device.type == "cuda":  # else the processor waits until they are copied
                pixels = pixels.pin_memory()
            real = pixels.to(self.device, non_blocking=True).to(
                torch.float32, memory_format=self._memory_format
            )
            labels = None if labels is None else labels.to(self.device, non_blocking=True)
            self._last_real = (position, real.div_(127.5).sub_(1), labels)
        return self._last_real[1:]

    @property
    def _memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.recipe.channels_last else torch.contiguous_format

    def _network_G(self, role: Role, update: int, part: int) -> Any:
        draws = self._draws(f"G/{role}/{part}", update)

        def call(z: Tensor, labels: Tensor | None = None) -> Tensor:
            graph = role == "generator" and torch.is_grad_enabled()  # D's step has no use for one
            with torch.set_grad_enabled(graph), self._autocast():
                images = self.G.train_forward(z, labels, draws, **self.options("generator"))
            return images.float()

        return call

    def _seen_by_D(
        self, judge: Callable[..., Any], role: Role, update: int, part: int, real: Tensor
    ) -> Any:
        """`judge` (D or its `outputs`) under augmentation and the run's precision."""
        draws = self._draws(f"augment/{role}/{part}", update)

        def call(x: Tensor, labels: Tensor | None = None) -> Any:
            with self._autocast():
                seen = x if self.augment is None else self.augment(x, draws)
                judged = judge(seen, labels, **self.options("discriminator"))
                judged = tree_map_only(Tensor, Tensor.float, judged)
            if "seen" in getattr(judged, "_fields", ()):
                judged = judged._replace(seen=seen)
            if self.augment is not None and role == "discriminator" and x is real:
                scores = judged if isinstance(judged, Tensor) else judged.score
                self._real_scores[part] = scores.detach()  # once, if a loss asks several times
            return judged

        return call

    def _log_augment(self, name: str, value: Tensor) -> None:
        self.means.add(f"augment/{name}", value)

    def D_plain(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """D in float32 without augmentation."""
        with torch.autocast(self.device.type, enabled=False):
            scores: Tensor = self.D(x.float(), labels, **self.options("discriminator"))
        return scores

    def _autocast(self) -> Any:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"
        )

    def _draws(self, stream: str, index: int) -> rng.Draws:
        return rng.Draws(
            self.recipe.seed, stream, index, rank=self.rank, world=self.world, device=self.device
        )
