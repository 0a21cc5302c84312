"""Settings of conditional GANs. Their networks always have classes: ten, unless data say other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ganzoo
from ganzoo.configs import check_range, check_square
from ganzoo.errors import ConfigError

SIZES = (16, 28, 32, 64, 128)
"""Of the convolutional networks."""


@dataclass(frozen=True)
class _GeneratorConfig(ganzoo.GeneratorConfig):
    num_classes: int = 10
    embedding_dim: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_classes(self.num_classes)
        check_range("embedding_dim", self.embedding_dim, 1, 4096)


@dataclass(frozen=True)
class _DiscriminatorConfig(ganzoo.DiscriminatorConfig):
    num_classes: int = 10
    conditioning: Literal["concat", "embedding", "projection", "auxiliary"] = "projection"
    embedding_dim: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_classes(self.num_classes)
        check_range("embedding_dim", self.embedding_dim, 1, 4096)

    @property
    def provides(self) -> frozenset[str]:
        return frozenset({"classes" if self.conditioning == "auxiliary" else "conditional"})


@dataclass(frozen=True)
class GeneratorConfig(_GeneratorConfig):
    """The convolutional generator.

    `conditioning`: the label's one-hot vector ("concat") or a learned vector of `embedding_dim`
    numbers ("embedding") joins z, or each class has its own gains and biases in every batch norm
    ("batch-norm"). `width` is the number of channels at half the full resolution; each level below
    has twice as many, up to `max_width`.
    """

    conditioning: Literal["concat", "embedding", "batch-norm"] = "batch-norm"
    width: int = 128
    max_width: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)


@dataclass(frozen=True)
class DiscriminatorConfig(_DiscriminatorConfig):
    """The convolutional critic.

    `conditioning`: the label joins the image as constant maps, one-hot ("concat") or of
    `embedding_dim` learned numbers ("embedding"); or each class has a direction in the features
    that adds to the score ("projection"); or the critic does not see the label and names it
    ("auxiliary", for the loss `ac`). `width` and `max_width` are as in the generator. `norm`
    follows every convolution but the first, or divides every weight by its largest singular value
    ("spectral"); all but "batch" keep each score independent of its batch.
    """

    width: int = 64
    max_width: int = 1024
    norm: Literal["batch", "layer", "instance", "spectral", "none"] = "batch"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_square(self.image_shape, SIZES)
        check_range("width", self.width, 1, 4096)
        check_range("max_width", self.max_width, 1, 8192)

    @property
    def provides(self) -> frozenset[str]:
        if self.norm == "batch":
            return super().provides
        return super().provides | {"per-sample", "gradient-penalty"}


@dataclass(frozen=True)
class MLPGeneratorConfig(_GeneratorConfig):
    """The fully connected generator of Mirza & Osindero 2014, section 4.1: `z_width` and
    `label_width` units see z and the label, `width` units both; `dropout` follows each layer.
    The paper has no norm; batch norm keeps the label's larger layer from drowning z.

    `conditioning`: the label comes as one-hot ("concat") or as a learned vector of `embedding_dim`
    numbers ("embedding").
    """

    conditioning: Literal["concat", "embedding"] = "concat"
    z_width: int = 200
    label_width: int = 1000
    width: int = 1200
    norm: Literal["none", "batch"] = "none"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_widths(self.z_width, self.label_width, self.width)
        check_range("dropout", self.dropout, 0.0, 0.95)


@dataclass(frozen=True)
class MLPDiscriminatorConfig(_DiscriminatorConfig):
    """The fully connected critic of Mirza & Osindero 2014, section 4.1: maxout layers of
    `image_width` and `label_width` units see image and label, one of `width` units both;
    `pieces` and `joint_pieces` are the linear pieces of a unit, `dropout` follows each layer.

    `conditioning` is as in the convolutional critic; under "projection" and "auxiliary" there is no
    layer for the label.
    """

    conditioning: Literal["concat", "embedding", "projection", "auxiliary"] = "concat"
    image_width: int = 240
    label_width: int = 50
    width: int = 240
    pieces: int = 5
    joint_pieces: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_widths(self.image_width, self.label_width, self.width)
        check_range("pieces", self.pieces, 1, 64)
        check_range("joint_pieces", self.joint_pieces, 1, 64)
        check_range("dropout", self.dropout, 0.0, 0.95)

    @property
    def provides(self) -> frozenset[str]:
        return super().provides | {"per-sample", "gradient-penalty"}


@dataclass(frozen=True)
class AuxiliaryClassifierConfig:
    """Weights of the classifier's cross-entropy in Odena et al. 2017, all 1 in the paper: on real
    and on generated images in D's step, and on generated ones in G's."""

    real_weight: float = 1.0
    fake_weight: float = 1.0
    generator_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("real_weight", "fake_weight", "generator_weight"):
            check_range(name, getattr(self, name), 0.0, 1e6)


def _check_classes(num_classes: int) -> None:
    if num_classes < 1:
        raise ConfigError(
            f"num_classes = {num_classes}, and a conditional GAN needs classes",
            "--set conditional=true and labelled data",
        )


def _check_widths(*widths: int) -> None:
    for width in widths:
        check_range("width", width, 1, 65_536)
