"""Settings of networks that are a list of layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import ganzoo
from ganzoo.configs import check_range
from ganzoo.errors import ConfigError

WEIGHTED = ("linear", "conv", "conv-transpose")
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        kind: "reshape" makes `width` square maps of a vector, "flatten" a vector of maps,
            "upsample" four pixels of each; the others are PyTorch's ("layer-norm" is over all of an
            image's numbers, with a gain and bias a channel).
        width: units, channels or maps, of a linear layer, a convolution or a reshape. A generator's
            linear layer of width 0 has as many units as the image has numbers.
        kernel, stride, padding, output_padding: of a convolution.
        bias: whether a linear layer or a convolution has one.
        eps: of a norm.
        slope: of a leaky ReLU, for what is below 0.
    """

    kind: Literal[
        "linear",
        "conv",
        "conv-transpose",
        "batch-norm",
        "instance-norm",
        "layer-norm",
        "reshape",
        "flatten",
        "upsample",
        "relu",
        "leaky-relu",
        "tanh",
        "sigmoid",
    ]
    width: int = 0
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    bias: bool = True
    eps: float = 1e-5
    slope: float = 0.2

    def __post_init__(self) -> None:
        needs_width = self.kind in ("conv", "conv-transpose", "reshape")
        check_range("width", self.width, 1 if needs_width else 0, 65_536)
        for name, low, high in (
            ("kernel", 1, 64), ("stride", 1, 64), ("padding", 0, 64), ("output_padding", 0, 63),
            ("eps", 0.0, 10.0), ("slope", -10.0, 10.0),
        ):  # fmt: skip
            check_range(name, getattr(self, name), low, high)

    def after(self, shape: Shape) -> Shape:
        """The shape of what it makes of one image's `shape`, (C,) or (C, H, W).

        Raises:
            ConfigError: it does not take such a shape.
        """
        if self.kind == "linear" and len(shape) == 1:
            return (self.width,)
        if self.kind == "reshape" and len(shape) == 1:
            side = math.isqrt(shape[0] // self.width)
            if self.width * side * side == shape[0] and side:
                return (self.width, side, side)
        elif self.kind == "flatten":
            return (math.prod(shape),)
        elif self.kind in ("conv", "conv-transpose") and len(shape) == 3:
            side = self._side(shape[1])
            if side >= 1:
                return (self.width, side, side)
        elif self.kind == "upsample" and len(shape) == 3:
            return (shape[0], 2 * shape[1], 2 * shape[2])
        elif self.kind == "instance-norm":
            if math.prod(shape[1:]) > 1:  # of one number a channel it would leave 0
                return shape
        elif self.kind not in (*WEIGHTED, "reshape", "upsample"):
            return shape
        raise ConfigError(
            f"layers has a {self.kind} for {' x '.join(map(str, shape))} numbers, which it does"
            " not take",
            "check the layers before it",
        )

    def _side(self, side: int) -> int:
        if self.kind == "conv":
            return (side + 2 * self.padding - self.kernel) // self.stride + 1
        grown = (side - 1) * self.stride - 2 * self.padding + self.kernel
        return grown + self.output_padding


def shapes(layers: Iterable[Layer], start: Shape) -> Iterator[tuple[Layer, Shape, Shape]]:
    """Each layer with the shapes before and after it."""
    for layer in layers:
        following = layer.after(start)
        yield layer, start, following
        start = following


@dataclass(frozen=True)
class GeneratorConfig(ganzoo.GeneratorConfig):
    """A generator of `layers`, from z to the image: a vector of its numbers counts as one.

    `conditioning`: where the label's code joins z: behind it ("last"), before it ("first"), or
    multiplied with it ("product", which needs `embedding_dim` = `z_dim`). The code is one-hot, or
    learned, of `embedding_dim` numbers.
    """

    layers: tuple[Layer, ...] = (Layer("linear", 0), Layer("tanh"))
    conditioning: Literal["last", "first", "product"] = "last"
    embedding_dim: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("embedding_dim", self.embedding_dim, 0, 65_536)
        *_, (_, _, made) = [(None, None, self.start), *shapes(self.filled, self.start)]
        if made != self.image_shape and made != (math.prod(self.image_shape),):
            raise ConfigError(
                f"layers make {' x '.join(map(str, made))} numbers of z, and"
                f" image_shape is {list(self.image_shape)}",
                "make the two agree",
            )

    @property
    def filled(self) -> tuple[Layer, ...]:
        """`layers`, with the width of each."""
        numbers = math.prod(self.image_shape)
        return tuple(
            replace(layer, width=numbers) if layer.kind == "linear" and not layer.width else layer
            for layer in self.layers
        )

    @property
    def start(self) -> Shape:
        """The shape of what the first layer takes: a vector, or one pixel."""
        code = (self.embedding_dim or self.num_classes) if self.num_classes else 0
        if self.num_classes and self.conditioning == "product":
            if code != self.z_dim:
                raise ConfigError(
                    f"a label of {code} numbers cannot be multiplied with {self.z_dim} of z",
                    "make embedding_dim = z_dim",
                )
            code = 0
        return start(self.layers, (self.z_dim + code,))


@dataclass(frozen=True)
class DiscriminatorConfig(ganzoo.DiscriminatorConfig):
    """A critic of `layers`, from the image to one raw score. The label's code, as in the generator,
    joins the flattened image or, where the first layer is a convolution, the image as maps."""

    layers: tuple[Layer, ...] = (Layer("flatten"), Layer("linear", 1))
    conditioning: Literal["last", "first"] = "last"
    embedding_dim: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("embedding_dim", self.embedding_dim, 0, 65_536)
        *_, (_, _, made) = [(None, None, self.start), *shapes(self.layers, self.start)]
        if math.prod(made) != 1:
            raise ConfigError(
                f"layers make {' x '.join(map(str, made))} numbers of an image, and not one score",
                "end with a linear layer of width 1",
            )

    @property
    def start(self) -> Shape:
        """The shape of what the first layer takes."""
        code = (self.embedding_dim or self.num_classes) if self.num_classes else 0
        if self.layers and self.layers[0].kind == "flatten":
            return (math.prod(self.image_shape) + code,)
        return (self.image_shape[0] + code, *self.image_shape[1:])

    @property
    def provides(self) -> frozenset[str]:
        if any(layer.kind == "batch-norm" for layer in self.layers):
            return frozenset()
        return frozenset({"per-sample", "gradient-penalty"})


def start(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    """A vector's shape; as one pixel, where a transposed convolution is the first to take it."""
    return (*shape, 1, 1) if layers and layers[0].kind in ("conv-transpose", "conv") else shape
