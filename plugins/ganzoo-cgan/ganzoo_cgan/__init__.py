"""Conditional GANs (Mirza & Osindero 2014; Odena et al. 2017; Miyato & Koyama 2018) as a plugin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganzoo import Part, hookimpl

GANZOO_API = 1

_HERE = Path(__file__).parent
_PAPER = "Mirza and Osindero 2014, Conditional Generative Adversarial Nets, arXiv:1411.1784"
_AC = (
    "Odena et al. 2017, Conditional Image Synthesis with Auxiliary Classifier GANs,"
    " arXiv:1610.09585"
)


@hookimpl
def ganzoo_generators() -> Iterable[Part]:
    return [
        Part(
            name="cgan",
            kind="generator",
            factory="ganzoo_cgan.networks:Generator",
            config="ganzoo_cgan.config:GeneratorConfig",
            tiny={"image_shape": [1, 16, 16], "num_classes": 3, "z_dim": 8, "width": 8},
            provides=frozenset({"conditional"}),
            summary="A DCGAN with labels: conditional batch norm, or one-hot or embedding at z",
            paper=_PAPER,
        ),
        Part(
            name="cgan-mlp",
            kind="generator",
            factory="ganzoo_cgan.mlp:Generator",
            config="ganzoo_cgan.config:MLPGeneratorConfig",
            tiny={
                "image_shape": [1, 8, 8],
                "num_classes": 3,
                "z_dim": 8,
                "z_width": 8,
                "label_width": 8,
                "width": 32,
            },
            provides=frozenset({"conditional"}),
            summary="Fully connected: z and label through layers of their own, then joined",
            paper=_PAPER,
        ),
    ]


@hookimpl
def ganzoo_discriminators() -> Iterable[Part]:
    return [
        Part(
            name="cgan",
            kind="discriminator",
            factory="ganzoo_cgan.networks:Discriminator",
            config="ganzoo_cgan.config:DiscriminatorConfig",
            tiny={"image_shape": [1, 16, 16], "num_classes": 3, "width": 8},
            summary="A DCGAN critic with labels: projection, one-hot or embedding maps, or AC-GAN",
            paper=_PAPER,
        ),
        Part(
            name="cgan-mlp",
            kind="discriminator",
            factory="ganzoo_cgan.mlp:Discriminator",
            config="ganzoo_cgan.config:MLPDiscriminatorConfig",
            tiny={
                "image_shape": [1, 8, 8],
                "num_classes": 3,
                "image_width": 16,
                "label_width": 8,
                "width": 16,
            },
            summary="Maxout layers for image and label, joined; or projection, or AC-GAN",
            paper=_PAPER,
        ),
    ]


@hookimpl
def ganzoo_losses() -> Iterable[Part]:
    return [
        Part(
            name="ac",
            kind="loss",
            factory="ganzoo_cgan.loss:AuxiliaryClassifier",
            config="ganzoo_cgan.config:AuxiliaryClassifierConfig",
            requires={"discriminator": frozenset({"classes"})},
            summary="Non-saturating, and both players make D's classifier name the right class",
            paper=_AC,
        )
    ]


@hookimpl
def ganzoo_recipes() -> Iterable[Path]:
    return sorted((_HERE / "recipes").glob("*.toml"))


@hookimpl
def ganzoo_models() -> Path:
    return _HERE / "models"
