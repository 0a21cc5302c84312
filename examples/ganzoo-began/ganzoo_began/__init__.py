"""BEGAN (Berthelot et al. 2017) as a ganzoo plugin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganzoo import Part, hookimpl

GANZOO_API = 1

_PAPER = (
    "Berthelot et al. 2017, BEGAN: Boundary Equilibrium Generative Adversarial Networks,"
    " arXiv:1703.10717"
)


@hookimpl
def ganzoo_generators() -> Iterable[Part]:
    return [
        Part(
            name="began",
            kind="generator",
            factory="ganzoo_began.networks:Generator",
            config="ganzoo_began.config:GeneratorConfig",
            tiny={"image_shape": [1, 16, 16], "z_dim": 8, "width": 4},
            summary="The decoder: 3x3 convolutions with ELU, nearest neighbours to grow",
            paper=_PAPER,
        )
    ]


@hookimpl
def ganzoo_discriminators() -> Iterable[Part]:
    return [
        Part(
            name="began",
            kind="discriminator",
            factory="ganzoo_began.networks:Autoencoder",
            config="ganzoo_began.config:AutoencoderConfig",
            tiny={"image_shape": [1, 16, 16], "hidden_dim": 8, "width": 4},
            provides=frozenset({"reconstruction", "per-sample", "gradient-penalty"}),
            summary="An autoencoder; the score is minus the error of its reconstruction",
            paper=_PAPER,
        )
    ]


@hookimpl
def ganzoo_losses() -> Iterable[Part]:
    return [
        Part(
            name="began",
            kind="loss",
            factory="ganzoo_began.losses:BoundaryEquilibrium",
            config="ganzoo_began.config:LossConfig",
            requires={"discriminator": frozenset({"reconstruction"})},
            summary="Reconstruction errors, held in balance by k",
            paper=_PAPER,
        )
    ]


@hookimpl
def ganzoo_recipes() -> Iterable[Path]:
    return sorted((Path(__file__).parent / "recipes").glob("*.toml"))
