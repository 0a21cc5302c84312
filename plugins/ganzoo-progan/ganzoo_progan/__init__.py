"""Progressive growing of GANs (Karras et al. 2018) as a ganzoo plugin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganzoo import Part, hookimpl

GANZOO_API = 1

_HERE = Path(__file__).parent
_PAPER = (
    "Karras et al. 2018, Progressive Growing of GANs for Improved Quality, Stability, and"
    " Variation, arXiv:1710.10196"
)


@hookimpl
def ganzoo_generators() -> Iterable[Part]:
    return [
        Part(
            name="progan",
            kind="generator",
            factory="ganzoo_progan.networks:Generator",
            config="ganzoo_progan.config:GeneratorConfig",
            tiny={"image_shape": [1, 16, 16], "z_dim": 8, "fmap_base": 64, "fmap_max": 8},
            provides=frozenset({"conditional", "progressive"}),
            summary="Equalised learning rate, pixel norm; a power of two from 4 to 1024",
            paper=_PAPER,
        )
    ]


@hookimpl
def ganzoo_discriminators() -> Iterable[Part]:
    return [
        Part(
            name="progan",
            kind="discriminator",
            factory="ganzoo_progan.networks:Discriminator",
            config="ganzoo_progan.config:DiscriminatorConfig",
            version=2,
            upgrade="ganzoo_progan.config:upgrade_discriminator",
            tiny={"image_shape": [1, 16, 16], "fmap_base": 64, "fmap_max": 8},
            provides=frozenset({"progressive", "gradient-penalty"}),
            summary="Mirrors the generator, with minibatch standard deviation; AC-GAN's if asked",
            paper=_PAPER,
        )
    ]


@hookimpl
def ganzoo_trainers() -> Iterable[Part]:
    return [
        Part(
            name="progressive",
            kind="trainer",
            factory="ganzoo_progan.trainer:Progressive",
            config="ganzoo_progan.config:ProgressiveConfig",
            requires={
                "generator": frozenset({"progressive"}),
                "discriminator": frozenset({"progressive"}),
            },
            summary="Doubles the resolution step by step, fading each new one in",
            paper=_PAPER,
        )
    ]


@hookimpl
def ganzoo_importers() -> Iterable[Part]:
    return [
        Part(
            name="progan-gan-zoo",
            kind="importer",
            factory="ganzoo_progan.importing.gan_zoo:GanZoo",
            config="ganzoo_progan.importing.lookalikes_config:GanZooConfig",
            summary="facebookresearch/pytorch_GAN_zoo: PGAN",
        ),
        Part(
            name="progan-rosinality",
            kind="importer",
            factory="ganzoo_progan.importing.rosinality:Rosinality",
            config="ganzoo_progan.importing.lookalikes_config:RosinalityConfig",
            summary="rosinality/progressive-gan-pytorch: a module saved whole, a critic",
        ),
        Part(
            name="progan-nvidia-tf",
            kind="importer",
            factory="ganzoo_progan.importing.tensorflow:TensorFlowImporter",
            summary="Pickles of the authors' TensorFlow program",
            paper=_PAPER,
        ),
    ]


@hookimpl
def ganzoo_recipes() -> Iterable[Path]:
    return sorted((_HERE / "recipes").glob("*.toml"))


@hookimpl
def ganzoo_models() -> Path:
    return _HERE / "models"
