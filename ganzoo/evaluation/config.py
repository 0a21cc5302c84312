"""Settings of the core's feature extractors: which weights, with which hash. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from ganzoo.data.sources import DIGITS, FASHION


@dataclass(frozen=True)
class Unconfigured:
    """An extractor without settings."""

    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassifierConfig:
    """Which classes, the file in `weights/` with the SHA-256 that it must have, and the data sets
    that are measured with this classifier unless another is asked for."""

    classes: tuple[str, ...]
    file: str = ""
    sha256: str = ""
    data: tuple[str, ...] = ()
    image_shape: tuple[int, int, int] = (1, 28, 28)


@dataclass(frozen=True)
class Digits(ClassifierConfig):
    classes: tuple[str, ...] = DIGITS
    file: str = "digits-v1.safetensors"
    sha256: str = "052cff9267b0d95377951b983d630d6f8721f5889e772864f7c09f4bf76505b4"
    data: tuple[str, ...] = ("mnist",)


@dataclass(frozen=True)
class Clothes(ClassifierConfig):
    classes: tuple[str, ...] = FASHION
    file: str = "clothes-v1.safetensors"
    sha256: str = "895654e413cb51abaf5257e0ac6a00ef40886c6ceb05f4e5353c3ec4b05f4d82"
    data: tuple[str, ...] = ("fashion-mnist",)


@dataclass(frozen=True)
class InceptionConfig:
    """The SHA-256 of torch-fidelity's weights file, ported from TensorFlow's of 2015-12-05; "" is
    an untrained network, for tests."""

    sha256: str = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
    data: tuple[str, ...] = ()
