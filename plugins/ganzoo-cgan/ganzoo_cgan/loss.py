"""Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", section 3.

L_S is the log-likelihood of the right source (real or fake), L_C that of the right class. D
maximises L_S + L_C, over real and generated images; G maximises L_C - L_S, here in the
non-saturating form of Goodfellow et al. 2014. The critic does not see the label: it names it.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from ganzoo.training.losses import Loss
from ganzoo.training.step import Step
from ganzoo_cgan.config import AuxiliaryClassifierConfig


class AuxiliaryClassifier(Loss):
    def __init__(self, config: AuxiliaryClassifierConfig | None = None) -> None:
        super().__init__(config or AuxiliaryClassifierConfig())

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real = step.D_outputs(step.real, step.labels)
        fake = step.D_outputs(step.fake, step.fake_labels)
        step.log("score/real", real.score.mean())
        step.log("score/fake", fake.score.mean())
        correct = real.classes.argmax(dim=1) == step.labels
        step.log("accuracy/real", correct.float().mean())
        return {
            "real": softplus(-real.score).mean(),
            "fake": softplus(fake.score).mean(),
            "classes/real": self.config.real_weight * cross_entropy(real.classes, step.labels),
            "classes/fake": self.config.fake_weight * cross_entropy(fake.classes, step.fake_labels),
        }

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        fake = step.D_outputs(step.fake, step.fake_labels)
        classes = cross_entropy(fake.classes, step.fake_labels)
        return {
            "fake": softplus(-fake.score).mean(),
            "classes": self.config.generator_weight * classes,
        }
