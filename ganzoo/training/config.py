"""Settings of the core's losses, trainer and optimisers.

No torch here: compatibility is checked without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ganzoo.configs import check_range
from ganzoo.errors import ConfigError
from ganzoo.training.schedule import Schedule


@dataclass(frozen=True)
class LossConfig:
    """`label_smoothing` s makes the target of real images 1 - s (one-sided: Salimans et al. 2016,
    arXiv:1606.03498, section 3.4); fakes keep the target 0."""

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_range("label_smoothing", self.label_smoothing, 0.0, 0.5)


@dataclass(frozen=True)
class AlternatingConfig:
    """n_critic: updates of D for one of G. reuse_fake: with n_critic 1, G's step scores the very
    images that D's step drew (one forward of G saved); without it, G's step draws fresh z."""

    n_critic: int = 1
    reuse_fake: bool = True

    def __post_init__(self) -> None:
        check_range("n_critic", self.n_critic, 1, 100)


@dataclass(frozen=True)
class OptimizerConfig:
    """`betas` are Adam's; `alpha` and `momentum` are RMSProp's and SGD's.

    `schedule` leads `lr` to `final_lr`, and `betas` to `final_betas` where they are set, within the
    first `schedule_kimg` thousand images (the whole run, where it is left out).
    """

    name: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    eps: float = 1e-8
    alpha: float = 0.99
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    schedule_kimg: float | None = None
    final_lr: float = 0.0
    final_betas: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_range("lr", self.lr, 0.0, 10.0)
        for beta in self.betas:
            check_range("betas", beta, 0.0, 0.999999)
        self._check_schedule()
        check_range("eps", self.eps, 0.0, 1.0)
        check_range("alpha", self.alpha, 0.0, 1.0)
        check_range("momentum", self.momentum, 0.0, 0.999999)
        check_range("weight_decay", self.weight_decay, 0.0, 1.0)

    def _check_schedule(self) -> None:
        check_range("final_lr", self.final_lr, 0.0, 10.0)
        for beta in self.final_betas or ():
            check_range("final_betas", beta, 0.0, 0.999999)
        if self.schedule_kimg is not None:
            check_range("schedule_kimg", self.schedule_kimg, 1e-3, 1e9)
        goals = self.final_lr or self.final_betas or self.schedule_kimg
        if goals and self.schedule == "constant":
            raise ConfigError(
                "final_lr, final_betas and schedule_kimg are of a schedule, which is constant",
                'set schedule to "linear" or "cosine"',
            )
        if self.final_betas and self.name not in ("adam", "adamw"):
            raise ConfigError(
                f"final_betas are Adam's, the optimiser is {self.name}", "leave them out"
            )

    @property
    def follows_length(self) -> bool:
        """Whether the rate at a step depends on how long the run is."""
        return self.schedule != "constant" and self.schedule_kimg is None


@dataclass(frozen=True)
class Optimizers:
    """One optimiser a network."""

    generator: OptimizerConfig = OptimizerConfig()
    discriminator: OptimizerConfig = OptimizerConfig()
