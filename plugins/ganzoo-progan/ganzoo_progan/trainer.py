"""Progressive growing: Karras et al. 2018, section 2, figure 2 and appendix A.1.

Networks are trained at a low resolution first. Each doubling is faded in: G, D and the real images
are then blends of two resolutions, of which the `lod` of a step is the mixture. Batch size,
learning rate and `lod` follow from the step alone (`schedule`), so that a run that is resumed in
the middle of a fade goes on as if it had never stopped.

Nothing is added to the networks on the way. What a `lod` does not use has no gradient, and is
passed over by the optimiser; the average of G goes on through all resolutions.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import torch
from torch import Tensor

from ganzoo.errors import ConfigError, InputError
from ganzoo.loading import Located
from ganzoo.nn import downsample_box, upsample_nearest
from ganzoo.training.config import OptimizerConfig
from ganzoo.training.losses import Role
from ganzoo.training.trainer import Trainer
from ganzoo_progan.config import ProgressiveConfig
from ganzoo_progan.schedule import Schedule, Stage


class Progressive(Trainer):
    config: ProgressiveConfig

    # -- what follows from the step ----------------------------------------------------------------

    @functools.cached_property
    def schedule(self) -> Schedule:
        shape = self.resolved.config("generator").image_shape
        schedule = Schedule.of(self.config, shape, self.recipe.batch)
        if self.recipe.images < schedule.grown:
            raise ConfigError(
                f"kimg = {self.recipe.kimg:g} ends before {shape[1]}x{shape[2]} is reached,"
                f" at {schedule.grown / 1000:g}",
                f"--set kimg={schedule.grown / 1000:g} or more, or lower trainer.fade_kimg and"
                " trainer.stable_kimg",
            )
        return schedule

    @property
    def stage(self) -> Stage:
        return self.schedule.stage(self.step)

    @property
    def lod(self) -> float:
        return self.schedule.lod(self.step)

    @property
    def batch(self) -> int:
        return self.stage.batch

    @property
    def batch_setting(self) -> str:
        return self.stage.setting

    def images_at(self, step: int) -> int:
        return self.schedule.images_at(step)

    @property
    def total_steps(self) -> int:
        return self.schedule.total_steps(self.recipe.images)

    def stretches(self) -> list[range]:
        starts = [stage.first_step for stage in self.schedule.stages]
        ends = [*starts[1:], self.total_steps]
        return [range(a, b) for a, b in zip(starts, ends, strict=True) if a < b]

    def batches(self) -> dict[str, int]:
        return {stage.setting: stage.batch for stage in self.schedule.stages}

    def options(self, role: Role) -> dict[str, Any]:
        return {"lod": self.lod}

    def optimizer_config(self, role: Role) -> OptimizerConfig:
        config = super().optimizer_config(role)
        rate = self.config.lr.get(str(self.stage.resolution), config.lr)
        return dataclasses.replace(config, lr=rate)

    # -- a step ------------------------------------------------------------------------------------

    def train_step(self) -> None:
        if self.step == self.stage.first_step:
            for optimizer in self.optimizers.values():
                optimizer.state.clear()  # the moments belong to the resolution before
        super().train_step()

    def _real(self, critic: int) -> tuple[Tensor, Tensor | None]:
        real, labels = super()._real(critic)
        return fade(real, self.lod), labels

    def collect_logs(self) -> dict[str, float]:
        return {**super().collect_logs(), "lod": self.lod}

    def _init_from(self, model: Located) -> None:
        if len(self.schedule.stages) > 1:
            full = self.schedule.stages[-1].resolution
            raise InputError(
                "--init gives networks that are grown already",
                f"train them on at their full resolution: --set trainer.start_resolution={full}",
            )
        super()._init_from(model)


def fade(x: Tensor, lod: float) -> Tensor:
    """Images as they are at a `lod`, full size: the blend of the two resolutions next to it."""
    whole = math.floor(lod)
    high = downsample_box(x, 2**whole)
    if lod > whole:
        low = upsample_nearest(downsample_box(high))
        high = torch.lerp(high, low, lod - whole)
    return upsample_nearest(high, 2**whole)
