"""Losses of StyleGAN and StyleGAN2: non-saturating, with R1, and with path length regularisation.

Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", eq. 9; Karras et al.
2020, section 3.2 and appendix B.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganzoo.training.losses import Loss, Role, squared_slopes
from ganzoo.training.step import Step
from ganzoo_stylegan.config import R1Config, StyleGAN2LossConfig


class R1(Loss):
    """Each player's softplus, and gamma / 2 * E[|grad D(x)|^2] at real images x.

    The penalty is on images without augmentation, in float32. With an interval k > 1 it is a lazy
    term: every k steps, and then k times as heavy.
    """

    config: R1Config

    def __init__(self, config: R1Config) -> None:
        super().__init__(config)
        if config.interval > 1 and config.gamma:
            self.intervals = {"discriminator": {"r1": config.interval}}

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        real, fake = step.D(step.real, step.labels), step.D(step.fake, step.fake_labels)
        step.log("score/real", real.mean())
        step.log("score/fake", fake.mean())
        terms = {"real": softplus(-real).mean(), "fake": softplus(fake).mean()}
        if self.config.interval == 1 and self.config.gamma:
            terms["r1"] = self.penalty(step)
        return terms

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        return {"fake": softplus(-step.D(step.fake, step.fake_labels)).mean()}

    def lazy_term(self, step: Step, role: Role, name: str) -> Tensor:
        return self.penalty(step)

    def penalty(self, step: Step) -> Tensor:
        return self.config.gamma / 2 * squared_slopes(step, step.real, step.labels).mean()


class StyleGAN2(R1):
    """R1, and path length regularisation: a step in w should change the image by a fixed amount.

    For an image y drawn from N(0, 1) / sqrt(H W), the length of the gradient of <G(w), y> in w is
    |J^T y|; its squared distance from its running mean is the penalty. It is a term of its own
    fresh images, in float32, whose styles are mixed as those of other training images.
    """

    config: StyleGAN2LossConfig

    def __init__(self, config: StyleGAN2LossConfig) -> None:
        super().__init__(config)
        self.register_buffer("pl_mean", torch.zeros(()))
        if config.path_length_interval > 1 and config.path_length_weight:
            lazy = {"path_length": config.path_length_interval}
            self.intervals = {**self.intervals, "generator": lazy}

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        terms = super().generator_terms(step)
        if self.config.path_length_interval == 1 and self.config.path_length_weight:
            terms["path_length"] = self.path_length(step)
        return terms

    def lazy_term(self, step: Step, role: Role, name: str) -> Tensor:
        return self.penalty(step) if role == "discriminator" else self.path_length(step)

    def path_length(self, step: Step) -> Tensor:
        G, config = step.generator, self.config
        n = max(1, len(step.z) // config.path_length_batch_shrink)
        labels = None if step.fake_labels is None else step.fake_labels[:n]
        options = dict(step.options)
        ws = G.train_mapping(step.z[:n], labels, step.rng, **options)  # (n, num_ws, w_dim)
        if "layer-noise" in G.provides:
            options |= {"noise": "random", "rng": step.rng.noise(n)}
        images = G.synthesis(ws, **options)
        y = torch.randn(
            images.shape, generator=step.rng.torch_generator(), device=images.device
        ) / math.sqrt(images.shape[2] * images.shape[3])
        (slope,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
        lengths = slope.square().sum(2).mean(1).sqrt()  # (n,)
        mean = self.pl_mean.lerp(lengths.mean(), config.path_length_decay)
        self.pl_mean.copy_(mean.detach())
        step.log("path_length", lengths.mean())
        return config.path_length_weight * (lengths - mean).square().mean()
