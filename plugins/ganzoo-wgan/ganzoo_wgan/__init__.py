"""Wasserstein GANs (Arjovsky et al. 2017; Gulrajani et al. 2017) as a ganzoo plugin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganzoo import Part, hookimpl

GANZOO_API = 1

_HERE = Path(__file__).parent
_WGAN = "Arjovsky et al. 2017, Wasserstein GAN, arXiv:1701.07875"
_WGAN_GP = "Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028"


@hookimpl
def ganzoo_generators() -> Iterable[Part]:
    return [
        Part(
            name="wgan",
            kind="generator",
            factory="ganzoo_wgan.networks:Generator",
            config="ganzoo_wgan.config:GeneratorConfig",
            tiny={"image_shape": [1, 16, 16], "z_dim": 8, "width": 8},
            provides=frozenset({"conditional"}),
            summary="Like DCGAN's: transposed convolutions, batch norm, ReLU, tanh",
            paper=_WGAN_GP,
        ),
        Part(
            name="wgan-resnet",
            kind="generator",
            factory="ganzoo_wgan.resnet:Generator",
            config="ganzoo_wgan.config:ResNetGeneratorConfig",
            tiny={"image_shape": [1, 16, 16], "z_dim": 8, "width": 8},
            provides=frozenset({"conditional"}),
            summary="Residual blocks with batch norm, one for each doubling of the size",
            paper=_WGAN_GP,
        ),
    ]


@hookimpl
def ganzoo_discriminators() -> Iterable[Part]:
    return [
        Part(
            name="wgan",
            kind="discriminator",
            factory="ganzoo_wgan.networks:Critic",
            config="ganzoo_wgan.config:CriticConfig",
            tiny={"image_shape": [1, 16, 16], "width": 8},
            provides=frozenset({"conditional"}),
            summary="Like DCGAN's with layer norm; norm = layer, batch, instance or none",
            paper=_WGAN_GP,
        ),
        Part(
            name="wgan-resnet",
            kind="discriminator",
            factory="ganzoo_wgan.resnet:Critic",
            config="ganzoo_wgan.config:ResNetCriticConfig",
            tiny={"image_shape": [1, 16, 16], "width": 8},
            provides=frozenset({"conditional"}),
            summary="Residual blocks and a mean over the pixels; norm = none, layer or instance",
            paper=_WGAN_GP,
        ),
    ]


@hookimpl
def ganzoo_losses() -> Iterable[Part]:
    return [
        Part(
            name="wgan",
            kind="loss",
            factory="ganzoo_wgan.losses:WeightClipping",
            config="ganzoo_wgan.config:WeightClippingConfig",
            summary="Difference of the mean scores; the critic's weights are clipped",
            paper=_WGAN,
        ),
        Part(
            name="wgan-gp",
            kind="loss",
            factory="ganzoo_wgan.losses:GradientPenalty",
            config="ganzoo_wgan.config:GradientPenaltyConfig",
            requires={"discriminator": {"gradient-penalty"}},
            summary="Difference of the mean scores, with a penalty on the critic's slope; drift",
            paper=_WGAN_GP,
        ),
    ]


@hookimpl
def ganzoo_recipes() -> Iterable[Path]:
    return sorted((_HERE / "recipes").glob("*.toml"))


@hookimpl
def ganzoo_models() -> Path:
    return _HERE / "models"
