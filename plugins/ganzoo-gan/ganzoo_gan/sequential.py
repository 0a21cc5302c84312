"""Networks that are a list of layers (`sequential_config.Layer`), for weights of other programs:
each layer of theirs is one of ours, in the same order, with its own sizes and constants."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import ganzoo
from ganzoo_gan.sequential_config import (
    DiscriminatorConfig,
    GeneratorConfig,
    Layer,
    Shape,
    shapes,
)


class Generator(ganzoo.Generator):
    config: GeneratorConfig

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.code = Code(config.num_classes, config.embedding_dim) if config.num_classes else None
        self.layers = sequence(config.filled, config.start)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        if self.code is not None:
            code = self.code(labels)  # (N, code)
            if self.config.conditioning == "product":
                z = z * code
            else:
                z = torch.cat([z, code] if self.config.conditioning == "last" else [code, z], dim=1)
        x = self.layers(z if len(self.config.start) == 1 else z[:, :, None, None])
        return x.reshape(-1, *self.image_shape)  # (N, C, H, W)


class Discriminator(ganzoo.Discriminator):
    config: DiscriminatorConfig

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__(config)
        self.code = Code(config.num_classes, config.embedding_dim) if config.num_classes else None
        self.layers = sequence(config.layers, config.start)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        if len(self.config.start) == 1:
            x = x.flatten(1)
        if self.code is not None:
            code = self.code(labels).to(x.dtype)
            if x.ndim == 4:
                code = code[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, code] if self.config.conditioning == "last" else [code, x], dim=1)
        return self.layers(x).flatten()  # (N,)


class Code(nn.Module):
    """A label as numbers: learned, or one-hot where `width` is 0."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embed = nn.Embedding(num_classes, width) if width else None

    def forward(self, labels: Tensor) -> Tensor:
        if self.embed is not None:
            return self.embed(labels)  # (N, width)
        return one_hot(labels, self.num_classes).float()


def sequence(layers: tuple[Layer, ...], start: Shape) -> nn.Sequential:
    return nn.Sequential(*(_module(*each) for each in shapes(layers, start)))


def _module(layer: Layer, before: Shape, after: Shape) -> nn.Module:
    width = before[0]
    if layer.kind == "linear":
        return nn.Linear(width, layer.width, bias=layer.bias)
    if layer.kind == "conv":
        return nn.Conv2d(
            width, layer.width, layer.kernel, layer.stride, layer.padding, bias=layer.bias
        )
    if layer.kind == "conv-transpose":
        return nn.ConvTranspose2d(
            width,
            layer.width,
            layer.kernel,
            layer.stride,
            layer.padding,
            layer.output_padding,
            bias=layer.bias,
        )
    if layer.kind == "batch-norm":
        norm = nn.BatchNorm1d if len(before) == 1 else nn.BatchNorm2d
        return norm(width, eps=layer.eps)
    if layer.kind in ("instance-norm", "layer-norm"):
        groups = width if layer.kind == "instance-norm" else 1
        return nn.GroupNorm(groups, width, eps=layer.eps)
    plain = {
        "reshape": lambda: nn.Unflatten(1, after),
        "flatten": nn.Flatten,
        "upsample": lambda: nn.Upsample(scale_factor=2),
        "relu": nn.ReLU,
        "leaky-relu": lambda: nn.LeakyReLU(layer.slope),
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
    }
    module: nn.Module = plain[layer.kind]()
    return module
