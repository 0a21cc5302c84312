"""StyleGAN as a ganzoo plugin: its augmentations."""

from __future__ import annotations

from collections.abc import Iterable

from ganzoo import Part, hookimpl

GANZOO_API = 1


@hookimpl
def ganzoo_augmentations() -> Iterable[Part]:
    return [
        Part(
            name="diffaugment",
            kind="augmentation",
            factory="ganzoo_stylegan.augmentations.diffaugment:DiffAugment",
            config="ganzoo_stylegan.augmentations.config:DiffAugmentConfig",
            summary="Random colour, translation and cutout of every image that D sees",
            paper="Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training,"
            " arXiv:2006.10738",
        ),
        Part(
            name="ada",
            kind="augmentation",
            factory="ganzoo_stylegan.augmentations.ada:ADA",
            config="ganzoo_stylegan.augmentations.config:ADAConfig",
            tiny={"p": 0.5},
            summary="Twelve transformations with a probability that follows how much D overfits",
            paper="Karras et al. 2020, Training Generative Adversarial Networks with Limited Data,"
            " arXiv:2006.06676",
        ),
    ]
