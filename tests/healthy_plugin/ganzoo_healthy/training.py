"""A loss with a penalty, a lazy term and a memory, and an augmentation that adapts."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganzoo.rng import Draws
from ganzoo.training import augmentation, losses
from ganzoo.training.step import Step
from ganzoo_healthy.config import AugmentationConfig, LossConfig


class Loss(losses.Loss):
    intervals: ClassVar = {"discriminator": {"drift": 2}}

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self.register_buffer("mean_score", torch.zeros(()))

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real = step.D(step.real, step.labels)
        fake = step.D(step.fake, step.fake_labels)
        with torch.no_grad():
            self.mean_score.lerp_(real.mean(), 0.1)
        at = step.rng.uniform(len(step.real), 1, 1, 1)
        images = torch.lerp(step.real, step.fake.detach(), at).requires_grad_()
        score = step.D_plain(images, step.labels).sum()
        (slope,) = torch.autograd.grad(score, images, create_graph=True)
        penalty = self.config.penalty * slope.square().sum((1, 2, 3)).mean()
        return {
            "real": softplus(self.mean_score - real).mean(),
            "fake": softplus(fake - self.mean_score).mean(),
            "penalty": penalty,
        }

    def lazy_term(self, step: Step, role: losses.Role, name: str) -> Tensor:
        return step.D(step.real, step.labels).square().mean()

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        return {"fake": softplus(-step.D(step.fake, step.fake_labels)).mean()}


class Augmentation(augmentation.Augmentation):
    """Flips each image with probability p, which follows the scores."""

    def __init__(self, config: AugmentationConfig) -> None:
        super().__init__(config)
        self.register_buffer("p", torch.tensor(config.p))

    def forward(self, x: Tensor, rng: Draws) -> Tensor:
        flipped = rng.uniform(len(x), 1, 1, 1) < self.p
        return torch.where(flipped, x.flip(3), x)

    def after_discriminator_step(
        self, real_scores: Tensor, log: Callable[[str, Tensor], None]
    ) -> None:
        self.p.add_(0.2 * real_scores.sign().mean()).clamp_(0, 1)
        log("p", self.p)
