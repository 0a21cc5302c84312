"""The loss of Huang et al. 2024, "The GAN is dead; long live the GAN!", sections 2.1 and 2.2.

D scores each real image above a fake of its pair, and G the other way round (the relativistic
pairing of Jolicoeur-Martineau 2019):

    D minimises E[softplus(D(fake) - D(real))] + gamma / 2 (R1 + R2)
    G minimises E[softplus(D(real) - D(fake))]

R1 and R2 are E[||grad_x D(x)||^2] at the real and at the fake images (Mescheder et al. 2018): with
both, this game converges, which relativistic pairing alone does not.
"""

from __future__ import annotations

from ganzoo.training.losses import Loss, squared_slopes
from ganzoo.training.step import Step
from torch import Tensor
from torch.nn.functional import softplus


class RelativisticPairing(Loss):
    pairs_labels = True  # the fake of a pair is of the real image's class

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real = step.D(step.real, step.labels)
        fake = step.D(step.fake, step.fake_labels)
        step.log("score/margin", (real - fake).mean())
        weight = self.config.gamma / 2
        return {
            "pairs": softplus(fake - real).mean(),
            "r1": weight * squared_slopes(step, step.real, step.labels).mean(),
            "r2": weight * squared_slopes(step, step.fake, step.fake_labels).mean(),
        }

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        real = step.D(step.real, step.labels)
        fake = step.D(step.fake, step.fake_labels)
        return {"pairs": softplus(real - fake).mean()}
