"""Settings of the core's losses and trainer. No torch here: compatibility is checked without it."""

from __future__ import annotations

from dataclasses import dataclass

from ganzoo.configs import check_range


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
