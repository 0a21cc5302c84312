"""When a run has which resolution: closed forms of the step, without torch."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ganzoo.errors import ConfigError
from ganzoo_progan.config import ProgressiveConfig


@dataclass(frozen=True)
class Stage:
    """The steps at one resolution, which it is faded in at first.

    Attributes:
        lod: of this resolution when it is faded in: how often the full one is halved.
        setting: where `batch` comes from, as `--set` takes it.
        first_step, first_image: steps made and real images shown before this stage.
        fade: images shown while this resolution is blended in; 0 where training starts.
    """

    resolution: int
    lod: int
    batch: int
    setting: str
    images_per_step: int
    first_step: int
    first_image: int
    fade: int

    def images_at(self, step: int) -> int:
        return self.first_image + (step - self.first_step) * self.images_per_step

    def step_at(self, images: int) -> int:
        """The first step before which so many images were shown."""
        return self.first_step + math.ceil((images - self.first_image) / self.images_per_step)


@dataclass(frozen=True)
class Schedule:
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, config: ProgressiveConfig, shape: tuple[int, int, int], batch: int) -> Schedule:
        """The stages of a run to images of `shape`, with the recipe's `batch` for what
        `config.batch` does not name.

        Raises:
            ConfigError: `start_resolution` does not become the full one by doubling, or a table
                names a resolution that does not occur.
        """
        _, height, width = shape
        doublings = math.log2(height / config.start_resolution)
        if height != width or doublings < 0 or doublings % 1:
            raise ConfigError(
                f"{config.start_resolution}x{config.start_resolution} does not become"
                f" {height}x{width} by doubling",
                "set trainer.start_resolution or data.resolution",
            )
        occurring = [str(height >> lod) for lod in range(int(doublings), -1, -1)]
        _check_table("batch", config.batch, occurring)
        _check_table("lr", config.lr, occurring)
        fade, stable = round(config.fade_kimg * 1000), round(config.stable_kimg * 1000)
        stages: list[Stage] = []
        for lod in range(int(doublings), -1, -1):
            resolution = height >> lod
            named = str(resolution) in config.batch
            size = config.batch[str(resolution)] if named else batch
            former = stages[-1] if stages else None
            # a stage ends with the step in which its images are through
            first = former.step_at(former.first_image + former.fade + stable) if former else 0
            stage = Stage(
                resolution,
                lod,
                size,
                f"trainer.batch.{resolution}" if named else "batch",
                size * config.n_critic,
                first,
                former.images_at(first) if former else 0,
                fade if former else 0,
            )
            stages.append(stage)
        return cls(tuple(stages))

    def stage(self, step: int) -> Stage:
        """The stage of a step; of two that start there (the former has no length), the later."""
        after = bisect.bisect_right(self.stages, step, key=lambda stage: stage.first_step)
        return self.stages[after - 1]

    def images_at(self, step: int) -> int:
        """Real images shown before `step`."""
        return self.stage(step).images_at(step)

    def lod(self, step: int) -> float:
        """0 at the full resolution, 1 at half of it; between them while one is faded in."""
        stage = self.stage(step)
        shown = stage.images_at(step) - stage.first_image
        return stage.lod + max(0.0, 1 - shown / stage.fade) if stage.fade else float(stage.lod)

    @property
    def grown(self) -> int:
        """Images after which the full resolution is faded in."""
        return self.stages[-1].first_image + self.stages[-1].fade

    def total_steps(self, images: int) -> int:
        return self.stages[-1].step_at(images)


def _check_table(name: str, table: Mapping[str, float], occurring: Sequence[str]) -> None:
    """Refuse entries that would never be looked at."""
    odd = [resolution for resolution in table if resolution not in occurring]
    if odd:
        kept = ", ".join(f"{key} = {value}" for key, value in table.items() if key in occurring)
        raise ConfigError(
            f"trainer.{name} names {', '.join(odd)}; the resolutions of this run are"
            f" {', '.join(occurring)}",
            f"--set 'trainer.{name} = {{{kept}}}', or other resolutions",
        )
