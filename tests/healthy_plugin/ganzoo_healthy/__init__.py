"""A plugin with one part of every kind and every capability, as small as they get."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganzoo import Part, hookimpl

GANZOO_API = 1

_HERE = Path(__file__).parent
_TINY = {"image_shape": [3, 8, 8]}


@hookimpl
def ganzoo_generators() -> Iterable[Part]:
    return [
        Part(
            name="healthy",
            kind="generator",
            factory="ganzoo_healthy.networks:Generator",
            config="ganzoo_healthy.config:GeneratorConfig",
            tiny={**_TINY, "z_dim": 8, "w_dim": 8},
            provides={"conditional", "w-space", "style-mixing", "layer-noise", "progressive"},
        )
    ]


@hookimpl
def ganzoo_discriminators() -> Iterable[Part]:
    return [
        Part(
            name="healthy",
            kind="discriminator",
            factory="ganzoo_healthy.networks:Discriminator",
            config="ganzoo_healthy.config:DiscriminatorConfig",
            tiny=_TINY,
            provides={"conditional", "progressive", "classes", "features", "reconstruction"},
        )
    ]


@hookimpl
def ganzoo_losses() -> Iterable[Part]:
    return [
        Part(
            name="healthy",
            kind="loss",
            factory="ganzoo_healthy.training:Loss",
            config="ganzoo_healthy.config:LossConfig",
            requires={"discriminator": {"per-sample"}},
        )
    ]


@hookimpl
def ganzoo_augmentations() -> Iterable[Part]:
    return [
        Part(
            name="healthy",
            kind="augmentation",
            factory="ganzoo_healthy.training:Augmentation",
            config="ganzoo_healthy.config:AugmentationConfig",
        )
    ]


@hookimpl
def ganzoo_trainers() -> Iterable[Part]:
    return [
        Part(
            name="healthy",
            kind="trainer",
            factory="ganzoo.training.trainer:Trainer",
            config="ganzoo.training.config:AlternatingConfig",
        )
    ]


@hookimpl
def ganzoo_features() -> Iterable[Part]:
    return [
        Part(name="healthy", kind="features", factory="ganzoo_healthy.networks:make_features"),
    ]


@hookimpl
def ganzoo_importers() -> Iterable[Part]:
    return [
        Part(
            name="healthy",
            kind="importer",
            factory="ganzoo_healthy.importing:HealthyImporter",
            config="ganzoo_healthy.config:ImporterConfig",
            tiny={"classes": 0},
            summary="checkpoints of someone/healthy-trainer",
        )
    ]


@hookimpl
def ganzoo_recipes() -> Iterable[Path]:
    return sorted((_HERE / "recipes").glob("*.toml"))


@hookimpl
def ganzoo_models() -> Path:
    return _HERE / "models"


@hookimpl
def ganzoo_train_end(error: BaseException | None) -> None:
    """An observer that takes only the argument it needs."""
