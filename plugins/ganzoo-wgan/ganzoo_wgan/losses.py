"""Arjovsky et al. 2017, "Wasserstein GAN", and Gulrajani et al. 2017, "Improved Training of
Wasserstein GANs".

The critic f maximises E[f(real)] - E[f(fake)] over 1-Lipschitz functions: its maximum is the
Wasserstein-1 distance between images and fakes. It is logged as `wasserstein`, up to the constant
by which the critic is steeper or flatter than 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.training.losses import Loss
from ganzoo.training.step import Step


class Wasserstein(Loss):
    """The value function of both papers (Arjovsky et al. 2017, eq. 2 and 3)."""

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real = step.D(step.real, step.labels)
        fake = step.D(step.fake, step.fake_labels)
        step.log("wasserstein", (real.mean() - fake.mean()))
        return {"real": -real.mean(), "fake": fake.mean(), **self.constraint(step, real)}

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        return {"fake": -step.D(step.fake, step.fake_labels).mean()}

    def constraint(self, step: Step, real: Tensor) -> dict[str, Tensor]:
        """Further terms of the critic, which keep it near the 1-Lipschitz functions."""
        return {}


class WeightClipping(Wasserstein):
    """Arjovsky et al. 2017, algorithm 1: weights are clipped to [-c, c] after each critic step, so
    that the critic is K-Lipschitz for some K that depends on c and its layers."""

    def after_discriminator_step(self, step: Step, D: nn.Module) -> None:
        with torch.no_grad():
            torch._foreach_clamp_min_(list(D.parameters()), -self.config.clip)
            torch._foreach_clamp_max_(list(D.parameters()), self.config.clip)


class GradientPenalty(Wasserstein):
    """Gulrajani et al. 2017, eq. 3 and algorithm 1:

        lambda E[(||grad_x f(x)||_2 - 1)^2],  x = (1 - e) real + e fake,  e ~ U(0, 1)

    with one e an image, the norm over all of an image's values, and the mean over images. The norm
    is smoothed by 1e-12 under the root, so that a critic without slope has a gradient too. `drift`
    adds drift E[f(real)^2], which keeps the scores near 0 (Karras et al. 2018, appendix A.1).
    """

    def constraint(self, step: Step, real: Tensor) -> dict[str, Tensor]:
        terms = {"penalty": self.config.gradient_penalty * self.penalty(step)}
        if self.config.drift:
            terms["drift"] = self.config.drift * real.square().mean()
        return terms

    def penalty(self, step: Step) -> Tensor:
        e = step.rng.uniform(len(step.real), 1, 1, 1)
        x = torch.lerp(step.real, step.fake.detach(), e).requires_grad_()  # (N, C, H, W)
        # the sum's gradient by x is that of each score by its own image
        (slope,) = torch.autograd.grad(step.D_plain(x, step.labels).sum(), x, create_graph=True)
        norm = (slope.square().sum(dim=(1, 2, 3)) + 1e-12).sqrt()  # (N,)
        step.log("gradient_norm", norm.mean())
        return (norm - 1).square().mean()
