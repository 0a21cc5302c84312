"""Berthelot et al. 2017, "BEGAN: Boundary Equilibrium Generative Adversarial Networks", sections
3.3 and 3.4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.training.losses import Loss
from ganzoo.training.step import Step
from ganzoo_began.config import LossConfig


class BoundaryEquilibrium(Loss):
    """With L(v) = |v - D(v)|, the mean error of D's reconstruction of v:

        D: L(x) - k L(G(z_D))
        G: L(G(z_G))
        k <- clip(k + lambda_k (gamma L(x) - L(G(z_G))), 0, 1)

    k starts at 0. It is a buffer, so that a checkpoint has it. The measure of convergence,
    M = L(x) + |gamma L(x) - L(G(z_G))|, is logged. Where the paper updates both networks at once,
    G's step sees D after its own.
    """

    config: LossConfig
    k: Tensor

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self.register_buffer("k", torch.zeros(()))
        self._errors: dict[str, list[Tensor]] = {"real": [], "fake": []}  # of this iteration

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real = error(step, step.real, step.labels)
        fake = error(step, step.fake, step.fake_labels)
        self._errors["real"].append(real.detach())
        return {"real": real, "fake": -self.k * fake}

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        fake = error(step, step.fake, step.fake_labels)
        self._errors["fake"].append(fake.detach())
        return {"fake": fake}

    def after_generator_step(self, step: Step) -> None:
        real, fake = (torch.stack(self._errors[kind]).mean() for kind in ("real", "fake"))
        self._errors = {"real": [], "fake": []}
        balance = self.config.gamma * real - fake
        self.k.copy_((self.k + self.config.lambda_k * balance).clamp(0, 1))
        step.log("k", self.k)
        step.log("convergence", real + balance.abs())


def error(step: Step, images: Tensor, labels: Tensor | None) -> Tensor:
    """L of images as D sees them."""
    judged = step.D_outputs(images, labels)
    return (judged.seen - judged.reconstruction).abs().mean()
