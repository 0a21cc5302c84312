"""Arjovsky et al. 2017, "Wasserstein GAN", and Gulrajani et al. 2017, "Improved Training of
Wasserstein GANs".

The critic f maximises E[f(real)] - E[f(fake)] over 1-Lipschitz functions: its maximum is the
Wasserstein-1 distance between images and fakes, which is logged as `wasserstein`. A critic of slope
K gives K times the distance. Under a gradient penalty the mean slope is known (it settles above 1,
where the gain balances the penalty) and divided out; under weight clipping K stays unknown.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.training.losses import Loss, squared_slopes
from ganzoo.training.step import Step


class Wasserstein(Loss):
    """G raises the mean score of its images (Arjovsky et al. 2017, algorithm 1, line 10)."""

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        return {"fake": -step.D(step.fake, step.fake_labels).mean()}


class WeightClipping(Wasserstein):
    """Arjovsky et al. 2017, algorithm 1: weights are clipped to [-c, c] after each critic step, so
    that the critic is K-Lipschitz for some K that depends on c and its layers."""

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real = step.D(step.real, step.labels).mean()
        fake = step.D(step.fake, step.fake_labels).mean()
        step.log("wasserstein", (real - fake).detach())
        return {"real": -real, "fake": fake}

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

    With classes, f judges a point between an image and a fake of the same class as one of it: the
    trainer draws the fakes' classes so, as the authors' code does.
    """

    pairs_labels = True

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real = step.D(step.real, step.labels)
        fake = step.D(step.fake, step.fake_labels)
        slope = self.slope(step)
        step.log("gradient_norm", slope.detach().mean())
        step.log("wasserstein", (real.mean() - fake.mean()).detach() / slope.detach().mean())
        terms = {
            "real": -real.mean(),
            "fake": fake.mean(),
            "penalty": self.config.gradient_penalty * (slope - 1).square().mean(),
        }
        if self.config.drift:
            terms["drift"] = self.config.drift * real.square().mean()
        return terms

    def slope(self, step: Step) -> Tensor:
        """||grad_x f(x)||_2 at a random point between each image and a fake, (N,)."""
        e = step.rng.uniform(len(step.real), 1, 1, 1)
        x = torch.lerp(step.real, step.fake.detach(), e)  # (N, C, H, W)
        return (squared_slopes(step, x, step.labels) + 1e-12).sqrt()
