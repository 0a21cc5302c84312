"""DCGAN (Radford et al. 2015) as a ganzoo plugin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganzoo import Part, hookimpl

GANZOO_API = 1

_HERE = Path(__file__).parent
_PAPER = (
    "Radford et al. 2015, Unsupervised Representation Learning with Deep Convolutional Generative"
    " Adversarial Networks, arXiv:1511.06434"
)


@hookimpl
def ganzoo_generators() -> Iterable[Part]:
    return [
        Part(
            name="dcgan",
            kind="generator",
            factory="ganzoo_dcgan.networks:Generator",
            config="ganzoo_dcgan.config:GeneratorConfig",
            tiny={"image_shape": [1, 16, 16], "z_dim": 8, "width": 8},
            provides=frozenset({"conditional"}),
            summary="Transposed convolutions, batch norm, ReLU, tanh; 28x28 or 16 to 256",
            paper=_PAPER,
        )
    ]


@hookimpl
def ganzoo_discriminators() -> Iterable[Part]:
    return [
        Part(
            name="dcgan",
            kind="discriminator",
            factory="ganzoo_dcgan.networks:Discriminator",
            config="ganzoo_dcgan.config:DiscriminatorConfig",
            tiny={"image_shape": [1, 16, 16], "width": 8},
            summary="Strided convolutions, LeakyReLU; norm = batch, layer, instance or none",
            paper=_PAPER,
        )
    ]


@hookimpl
def ganzoo_importers() -> Iterable[Part]:
    return [
        Part(
            name="dcgan-pytorch",
            kind="importer",
            factory="ganzoo_dcgan.importing.example:Example",
            config="ganzoo_dcgan.importing.config:ExampleConfig",
            summary="The DCGAN of PyTorch's examples and tutorial, of 16 to 256 pixels",
        ),
        Part(
            name="dcgan-gan-zoo",
            kind="importer",
            factory="ganzoo_dcgan.importing.gan_zoo:GanZoo",
            config="ganzoo_dcgan.importing.config:GanZooConfig",
            summary="facebookresearch/pytorch_GAN_zoo: DCGAN",
        ),
    ]


@hookimpl
def ganzoo_recipes() -> Iterable[Path]:
    return sorted((_HERE / "recipes").glob("*.toml"))


@hookimpl
def ganzoo_models() -> Path:
    return _HERE / "models"
