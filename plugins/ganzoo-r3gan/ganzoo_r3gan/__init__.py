"""R3GAN (Huang et al. 2024) as a ganzoo plugin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganzoo import Part, hookimpl

GANZOO_API = 1

_PAPER = (
    "Huang et al. 2024, The GAN is dead; long live the GAN! A Modern GAN Baseline, arXiv:2501.05441"
)
_TINY = {
    "image_shape": [1, 16, 16],
    "width": 4,
    "max_width": 8,
    "blocks": 1,
    "group_size": 4,
    "embed_dim": 4,
}


@hookimpl
def ganzoo_generators() -> Iterable[Part]:
    return [
        Part(
            name="r3gan",
            kind="generator",
            factory="ganzoo_r3gan.networks:Generator",
            config="ganzoo_r3gan.config:GeneratorConfig",
            tiny={**_TINY, "z_dim": 8},
            provides=frozenset({"conditional"}),
            summary="Inverted bottlenecks with grouped convolutions, no norm, no styles",
            paper=_PAPER,
        )
    ]


@hookimpl
def ganzoo_discriminators() -> Iterable[Part]:
    return [
        Part(
            name="r3gan",
            kind="discriminator",
            factory="ganzoo_r3gan.networks:Discriminator",
            config="ganzoo_r3gan.config:DiscriminatorConfig",
            tiny=_TINY,
            provides=frozenset({"conditional", "per-sample", "gradient-penalty"}),
            summary="G's mirror image; with classes, a projection",
            paper=_PAPER,
        )
    ]


@hookimpl
def ganzoo_losses() -> Iterable[Part]:
    return [
        Part(
            name="r3gan",
            kind="loss",
            factory="ganzoo_r3gan.losses:RelativisticR1R2",
            config="ganzoo_r3gan.config:LossConfig",
            requires={"discriminator": frozenset({"gradient-penalty"})},
            summary="Each real image against one fake, with D's squared gradient at both",
            paper=_PAPER,
        )
    ]


@hookimpl
def ganzoo_recipes() -> Iterable[Path]:
    return sorted((Path(__file__).parent / "recipes").glob("*.toml"))
