"""The original GAN (Goodfellow et al. 2014), fully connected, as a ganzoo plugin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganzoo import Part, hookimpl

GANZOO_API = 1

_HERE = Path(__file__).parent
_PAPER = "Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661"


@hookimpl
def ganzoo_generators() -> Iterable[Part]:
    return [
        Part(
            name="gan",
            kind="generator",
            factory="ganzoo_gan.networks:Generator",
            config="ganzoo_gan.config:GeneratorConfig",
            tiny={"image_shape": [1, 8, 8], "z_dim": 8, "widths": [16, 32]},
            provides=frozenset({"conditional"}),
            summary="Fully connected: z, three LeakyReLU layers, tanh; any image shape",
            paper=_PAPER,
        ),
        Part(
            name="sequential",
            kind="generator",
            factory="ganzoo_gan.sequential:Generator",
            config="ganzoo_gan.sequential_config:GeneratorConfig",
            tiny={
                "image_shape": [1, 8, 8],
                "z_dim": 8,
                "layers": [
                    {"kind": "linear", "width": 32},
                    {"kind": "leaky-relu"},
                    {"kind": "linear", "width": 0},
                    {"kind": "tanh"},
                ],
            },
            provides=frozenset({"conditional"}),
            summary="Any list of layers, one after another: for weights of other programs",
        ),
    ]


@hookimpl
def ganzoo_discriminators() -> Iterable[Part]:
    return [
        Part(
            name="gan",
            kind="discriminator",
            factory="ganzoo_gan.networks:Discriminator",
            config="ganzoo_gan.config:DiscriminatorConfig",
            tiny={"image_shape": [1, 8, 8], "widths": [32, 16]},
            provides=frozenset({"per-sample", "gradient-penalty", "conditional"}),
            summary="Fully connected: two LeakyReLU layers and a raw score",
            paper=_PAPER,
        ),
        Part(
            name="sequential",
            kind="discriminator",
            factory="ganzoo_gan.sequential:Discriminator",
            config="ganzoo_gan.sequential_config:DiscriminatorConfig",
            tiny={
                "image_shape": [1, 8, 8],
                "layers": [
                    {"kind": "flatten"},
                    {"kind": "linear", "width": 32},
                    {"kind": "leaky-relu"},
                    {"kind": "linear", "width": 1},
                ],
            },
            provides=frozenset({"conditional"}),
            summary="Any list of layers, one after another: for weights of other programs",
        ),
    ]


@hookimpl
def ganzoo_importers() -> Iterable[Part]:
    return [
        Part(
            name="plain",
            kind="importer",
            factory="ganzoo_gan.importing.plain:Plain",
            config="ganzoo_gan.importing.config:PlainConfig",
            summary="State dicts of linear layers, convolutions and batch norms, one after another",
        )
    ]


@hookimpl
def ganzoo_recipes() -> Iterable[Path]:
    return sorted((_HERE / "recipes").glob("*.toml"))


@hookimpl
def ganzoo_models() -> Path:
    return _HERE / "models"
