"""StyleGAN (Karras et al. 2019), 2 (2020) and 3 (2021), ADA and DiffAugment as a ganzoo plugin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganzoo import Part, hookimpl

GANZOO_API = 1

_HERE = Path(__file__).parent
_STYLEGAN = (
    "Karras et al. 2019, A Style-Based Generator Architecture for Generative Adversarial Networks,"
    " arXiv:1812.04948"
)
_STYLEGAN2 = (
    "Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN, arXiv:1912.04958"
)
_R1 = (
    "Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, arXiv:1801.04406"
)
_TINY = {"image_shape": [3, 8, 8], "channel_base": 64, "channel_max": 8}
_STYLES = {"z_dim": 8, "w_dim": 8, "mapping_layers": 2}
_STYLE_ABILITIES = frozenset({"conditional", "w-space", "style-mixing", "layer-noise"})


@hookimpl
def ganzoo_generators() -> Iterable[Part]:
    return [
        Part(
            name="stylegan",
            kind="generator",
            factory="ganzoo_stylegan.stylegan:Generator",
            config="ganzoo_stylegan.config:StyleGANGeneratorConfig",
            tiny={**_TINY, **_STYLES},
            provides=_STYLE_ABILITIES | {"progressive"},
            summary="AdaIN, noise, progressive growing; powers of two from 8 to 1024",
            paper=_STYLEGAN,
        ),
        Part(
            name="stylegan2",
            kind="generator",
            factory="ganzoo_stylegan.stylegan2:Generator",
            config="ganzoo_stylegan.config:StyleGAN2GeneratorConfig",
            tiny={**_TINY, **_STYLES},
            provides=_STYLE_ABILITIES,
            summary="Modulated convolutions, noise, RGB skips; powers of two from 8 to 1024",
            paper=_STYLEGAN2,
        ),
        Part(
            name="stylegan3",
            kind="generator",
            factory="ganzoo_stylegan.stylegan3:Generator",
            config="ganzoo_stylegan.stylegan3_config:StyleGAN3GeneratorConfig",
            tiny={**_TINY, **_STYLES, "layers": 4, "margin": 4},
            provides=frozenset({"conditional", "w-space", "style-mixing"}),
            summary="Alias-free layers, configurations T and R; powers of two from 8 to 1024",
            paper="Karras et al. 2021, Alias-Free Generative Adversarial Networks,"
            " arXiv:2106.12423",
        ),
    ]


@hookimpl
def ganzoo_discriminators() -> Iterable[Part]:
    return [
        Part(
            name="stylegan",
            kind="discriminator",
            factory="ganzoo_stylegan.stylegan:Discriminator",
            config="ganzoo_stylegan.config:StyleGANDiscriminatorConfig",
            version=2,
            upgrade="ganzoo_stylegan.config:upgrade_stylegan_discriminator",
            tiny=_TINY,
            provides=frozenset({"conditional", "progressive", "gradient-penalty"}),
            summary="ProGAN's, with a blur before each halving and a score for each class",
            paper=_STYLEGAN,
        ),
        Part(
            name="stylegan2",
            kind="discriminator",
            factory="ganzoo_stylegan.stylegan2:Discriminator",
            config="ganzoo_stylegan.config:StyleGAN2DiscriminatorConfig",
            tiny=_TINY,
            provides=frozenset({"conditional", "gradient-penalty"}),
            summary="Residual blocks, minibatch stddev; architecture = resnet, skip or orig",
            paper=_STYLEGAN2,
        ),
    ]


@hookimpl
def ganzoo_losses() -> Iterable[Part]:
    return [
        Part(
            name="r1",
            kind="loss",
            factory="ganzoo_stylegan.losses:R1",
            config="ganzoo_stylegan.config:R1Config",
            requires={"discriminator": frozenset({"gradient-penalty"})},
            summary="Non-saturating, with D's squared gradient at real images, lazily",
            paper=_R1,
        ),
        Part(
            name="stylegan2",
            kind="loss",
            factory="ganzoo_stylegan.losses:StyleGAN2",
            config="ganzoo_stylegan.config:StyleGAN2LossConfig",
            requires={
                "discriminator": frozenset({"gradient-penalty"}),
                "generator": frozenset({"w-space"}),
            },
            summary="r1 with path length regularisation of G, lazily",
            paper=_STYLEGAN2,
        ),
    ]


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


@hookimpl
def ganzoo_importers() -> Iterable[Part]:
    return [
        Part(
            name="stylegan2-rosinality",
            kind="importer",
            factory="ganzoo_stylegan.importing.rosinality2:Rosinality2",
            config="ganzoo.configs:NoConfig",
            summary="rosinality/stylegan2-pytorch: files of training and converted ones",
        ),
        Part(
            name="stylegan-rosinality",
            kind="importer",
            factory="ganzoo_stylegan.importing.rosinality:Rosinality",
            config="ganzoo_stylegan.importing.rosinality_config:RosinalityConfig",
            summary="rosinality/style-based-gan-pytorch: files of training and of one generator",
        ),
        Part(
            name="stylegan-gan-zoo",
            kind="importer",
            factory="ganzoo_stylegan.importing.gan_zoo:GanZoo",
            config="ganzoo_stylegan.importing.rosinality_config:GanZooConfig",
            summary="facebookresearch/pytorch_GAN_zoo: StyleGAN",
        ),
        Part(
            name="stylegan-nvidia",
            kind="importer",
            factory="ganzoo_stylegan.importing.nvidia:NvidiaImporter",
            summary="Pickles of stylegan2-ada-pytorch and stylegan3",
            paper=_STYLEGAN2,
        ),
        Part(
            name="stylegan-nvidia-tf",
            kind="importer",
            factory="ganzoo_stylegan.importing.tensorflow:TensorFlowImporter",
            config="ganzoo_stylegan.importing.config:TensorFlowConfig",
            summary="Pickles of StyleGAN, StyleGAN2 and StyleGAN2 with ADA for TensorFlow",
            paper=_STYLEGAN2,
        ),
    ]


@hookimpl
def ganzoo_recipes() -> Iterable[Path]:
    return sorted((_HERE / "recipes").glob("*.toml"))


@hookimpl
def ganzoo_models() -> Path:
    return _HERE / "models"
