"""What the plugin brings to ganzoo, as data. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganzoo import Part, hookimpl

GANZOO_API = 1

PAPER = (
    "Huang et al. 2024, The GAN is dead; long live the GAN! A Modern GAN Baseline, arXiv:2501.05441"
)


@hookimpl
def ganzoo_generators() -> Iterable[Part]:
    return [
        Part(
            name="newgan",
            kind="generator",
            factory="ganzoo_newgan.networks:Generator",
            config="ganzoo_newgan.config:GeneratorConfig",
            tiny={"image_shape": [3, 8, 8], "z_dim": 8, "width": 4},
            provides=frozenset({"conditional"}),
            summary="Nearest-neighbour upsampling, 3x3 convolutions, batch norm; 8 to 128 pixels",
        )
    ]


@hookimpl
def ganzoo_discriminators() -> Iterable[Part]:
    return [
        Part(
            name="newgan",
            kind="discriminator",
            factory="ganzoo_newgan.networks:Discriminator",
            config="ganzoo_newgan.config:DiscriminatorConfig",
            tiny={"image_shape": [3, 8, 8], "width": 4},
            provides=frozenset({"conditional", "per-sample", "gradient-penalty"}),
            summary="Strided convolutions without any norm; 8 to 128 pixels",
        )
    ]


@hookimpl
def ganzoo_losses() -> Iterable[Part]:
    return [
        Part(
            name="newgan",
            kind="loss",
            factory="ganzoo_newgan.loss:RelativisticPairing",
            config="ganzoo_newgan.config:LossConfig",
            requires={"discriminator": frozenset({"gradient-penalty"})},
            summary="Relativistic pairing of real and fake, with R1 and R2",
            paper=PAPER,
        )
    ]


@hookimpl
def ganzoo_recipes() -> Iterable[Path]:
    return sorted((Path(__file__).parent / "recipes").glob("*.toml"))
