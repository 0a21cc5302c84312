"""The losses of the core, and the base class of every loss.

D(x) is a raw score; the sigmoid of the original papers lives in here, as log sigmoid(s) =
-softplus(-s) and log(1 - sigmoid(s)) = -softplus(s), which are exact for scores of any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from ganzoo.training.config import LossConfig
from ganzoo.training.step import Step

Role = Literal["generator", "discriminator"]


class Loss(nn.Module):
    """What D and G minimise, as named scalar terms (already weighted) that the trainer sums.

    A loss may differentiate, but never calls backward, steps an optimiser or draws from anything
    but `step.rng`. Its state is buffers, which are checkpointed. Values that are only to be logged
    go to `step.log`.
    """

    intervals: Mapping[Role, Mapping[str, int]] = MappingProxyType({})
    """Lazy regularisation: role -> {term: k}; `lazy_term` is then asked every k steps. Of a class,
    or of an instance whose config has the k."""

    pairs_labels: bool = False
    """Whether each fake is of its real image's class: for terms on pairs of them."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config = config

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        """What D minimises at this step; `step.fake` carries no gradient to G."""
        raise NotImplementedError

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        """What G minimises at this step; D is frozen, gradients flow through `step.fake`."""
        raise NotImplementedError

    def lazy_term(self, step: Step, role: Role, name: str) -> Tensor:
        """A term of `intervals`, unscaled: the trainer multiplies it by its interval."""
        raise NotImplementedError

    def after_discriminator_step(self, step: Step, D: nn.Module) -> None:
        """Called after D's optimiser has stepped; weight clipping changes D's parameters here."""

    def after_generator_step(self, step: Step) -> None:
        """Called once an iteration, after G's optimiser has stepped, with the last step that the
        terms were asked for: a state that follows the game (BEGAN's k) moves here. The terms are
        asked once for each micro-batch where a recipe accumulates; this is not."""


class _CrossEntropy(Loss):
    """D of Goodfellow et al. 2014, eq. 1, with an optional one-sided label smoothing."""

    def __init__(self, config: LossConfig | None = None) -> None:
        super().__init__(config or LossConfig())

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real, fake = step.D(step.real, step.labels), step.D(step.fake, step.fake_labels)
        smoothing = self.config.label_smoothing
        real_term = softplus(-real)
        if smoothing:  # cross-entropy against the target 1 - smoothing
            real_term = (1 - smoothing) * real_term + smoothing * softplus(real)
        _log_scores(step, real, fake)
        return {"real": real_term.mean(), "fake": softplus(fake).mean()}


class Minimax(_CrossEntropy):
    """The value function of eq. 1 for both players: G minimises E[log(1 - D(G(z)))]."""

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        return {"fake": -softplus(step.D(step.fake, step.fake_labels)).mean()}


class NonSaturating(_CrossEntropy):
    """Goodfellow et al. 2014, section 3: G maximises E[log D(G(z))] instead."""

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        return {"fake": softplus(-step.D(step.fake, step.fake_labels)).mean()}


class LeastSquares(Loss):
    """Mao et al. 2017, eq. 9 (a = 0, b = c = 1); smoothing lowers b, the target of real images."""

    def __init__(self, config: LossConfig | None = None) -> None:
        super().__init__(config or LossConfig())

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real, fake = step.D(step.real, step.labels), step.D(step.fake, step.fake_labels)
        _log_scores(step, real, fake)
        target = 1 - self.config.label_smoothing
        return {
            "real": 0.5 * (real - target).square().mean(),
            "fake": 0.5 * fake.square().mean(),
        }

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        return {"fake": 0.5 * (step.D(step.fake, step.fake_labels) - 1).square().mean()}


class Hinge(Loss):
    """Lim and Ye 2017, section 4 (also Miyato et al. 2018, eqs. 16 and 17)."""

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real, fake = step.D(step.real, step.labels), step.D(step.fake, step.fake_labels)
        _log_scores(step, real, fake)
        return {"real": relu(1 - real).mean(), "fake": relu(1 + fake).mean()}

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        return {"fake": -step.D(step.fake, step.fake_labels).mean()}


def squared_slopes(step: Step, images: Tensor, labels: Tensor | None) -> Tensor:
    """||grad D(x)||^2 at each of these images, (N,): what gradient penalties are made of.

    D is in float32 and sees the images as they are. D's weights get a gradient, the images none.
    """
    x = images.detach().requires_grad_()
    # the sum's gradient is, for each image, that of its own score, and under a statistic of the
    # batch (minibatch stddev) also of what it does to its mates'
    (slopes,) = torch.autograd.grad(step.D_plain(x, labels).sum(), x, create_graph=True)
    return slopes.square().sum(dim=(1, 2, 3))


def _log_scores(step: Step, real: Tensor, fake: Tensor) -> None:
    step.log("score/real", real.mean())
    step.log("score/fake", fake.mean())
