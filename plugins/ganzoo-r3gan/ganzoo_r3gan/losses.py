"""Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern GAN Baseline", section 2.

D does not say of an image that it is real, but of a real and a fake image which is which. The
penalties on its slope, at both kinds, let the game converge.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from ganzoo.training.losses import Loss, squared_slopes
from ganzoo.training.schedule import anneal
from ganzoo.training.step import Step
from ganzoo_r3gan.config import LossConfig


class RelativisticR1R2(Loss):
    """RpGAN + R1 + R2, with f(t) = log(1 + e^t) of differences of scores:

        D: E[f(D(G(z)) - D(x))] + gamma / 2 E[|grad D(x)|^2] + gamma / 2 E[|grad D(G(z))|^2]
        G: E[f(D(x) - D(G(z)))]

    Image i is paired with fake i (Jolicoeur-Martineau 2019, RpGAN); with classes, both are of one.
    The penalties are plain terms of every step, on images without augmentation, in float32.
    """

    config: LossConfig
    pairs_labels = True

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real, fake = step.D(step.real, step.labels), step.D(step.fake, step.fake_labels)
        step.log("score/real", real.mean())
        step.log("score/fake", fake.mean())
        step.log("accuracy", (real > fake).float().mean())
        half_gamma = self.gamma(step.images) / 2
        return {
            "relativistic": softplus(fake - real).mean(),
            "r1": half_gamma * squared_slopes(step, step.real, step.labels).mean(),
            "r2": half_gamma * squared_slopes(step, step.fake, step.fake_labels).mean(),
        }

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        real, fake = step.D(step.real, step.labels), step.D(step.fake, step.fake_labels)
        return {"relativistic": softplus(real - fake).mean()}

    def gamma(self, images: int) -> float:
        """The weight of the penalties after so many images."""
        config = self.config
        if config.final_gamma is None or config.burn_in_kimg is None:
            return config.gamma
        return anneal("cosine", config.gamma, config.final_gamma, images, config.burn_in_kimg)
