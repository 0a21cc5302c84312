"""Mirza and Osindero 2014, "Conditional Generative Adversarial Nets", in the layers of a DCGAN
(Radford et al. 2015): G(z, y) and D(x, y) are each told the label y.

In G, y joins z, as one-hot or embedding; or every batch norm has gains and biases of each class,
as in Dumoulin et al. 2017 (arXiv:1610.07629) and Miyato and Koyama 2018 (arXiv:1802.05637).
In D, y joins the image as constant maps, or the features at the end: see `labels.Head`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, relu
from torch.nn.utils.parametrize import register_parametrization

import ganzoo
from ganzoo.inference import fold_pair
from ganzoo.models import Outputs
from ganzoo.nn import ConvTranspose2d, dcgan_down, dcgan_init, geometry, pyramid
from ganzoo_cgan.config import DiscriminatorConfig, GeneratorConfig
from ganzoo_cgan.labels import Head, label_code


class Generator(ganzoo.Generator):
    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        image_channels, full, _ = config.image_shape
        (size, width), *above = pyramid(full, config.width, config.max_width)
        classes, by_norm = config.num_classes, config.conditioning == "batch-norm"
        self.code = (
            None if by_norm else label_code(config.conditioning, classes, config.embedding_dim)
        )
        z_width = config.z_dim + (self.code.width if self.code else 0)
        # "project and reshape": a linear layer, written as a convolution of a 1x1 map
        convolutions = [ConvTranspose2d(z_width, width, size, bias=False)]
        for next_size, next_width in above:
            convolutions.append(
                ConvTranspose2d(width, next_width, **geometry(size, next_size), bias=False)
            )
            size, width = next_size, next_width
        self.blocks = nn.ModuleList(Block(conv, classes if by_norm else 0) for conv in convolutions)
        self.to_image = ConvTranspose2d(width, image_channels, **geometry(size, full))
        self.apply(dcgan_init)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        if self.code is not None:
            z = torch.cat([z, self.code(labels)], dim=1)
        x = z[:, :, None, None]  # (N, Z, 1, 1)
        for block in self.blocks:
            x = block(x, labels)  # (N, width, 4, 4), then each level's size
        return torch.tanh(self.to_image(x))  # (N, C, H, W)


class Block(nn.Module):
    """Convolution, batch norm (with `num_classes` that of the class), ReLU."""

    def __init__(self, convolution: nn.ConvTranspose2d, num_classes: int) -> None:
        super().__init__()
        width = convolution.out_channels
        self.convolution = convolution
        self.norm: nn.Module = (
            ConditionalBatchNorm2d(width, num_classes) if num_classes else nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        x = self.convolution(x)
        if isinstance(self.norm, ConditionalBatchNorm2d):
            return relu(self.norm(x, labels))
        return relu(self.norm(x))

    def folded(self) -> nn.Module:
        fold_pair(self, "convolution", "norm")
        return self


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm, of the whole batch's statistics, whose gain and bias are the class's."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.gain = nn.Embedding.from_pretrained(torch.ones(num_classes, width), freeze=False)
        self.bias = nn.Embedding.from_pretrained(torch.zeros(num_classes, width), freeze=False)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        gain, bias = self.gain(labels)[:, :, None, None], self.bias(labels)[:, :, None, None]
        return torch.addcmul(bias.to(x.dtype), gain.to(x.dtype), self.norm(x))

    def folded(self) -> nn.Module:
        """Gains and biases of each class with those of the statistics in them."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None and variance is not None
        scale = (variance + self.norm.eps).rsqrt()
        self.gain.weight = nn.Parameter(self.gain.weight * scale, requires_grad=False)
        shift = self.bias.weight - mean * self.gain.weight
        self.bias.weight = nn.Parameter(shift, requires_grad=False)
        self.norm = nn.Identity()  # type: ignore[assignment]
        return self


class Discriminator(ganzoo.Discriminator):
    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__(config)
        image_channels, full, _ = config.image_shape
        below = pyramid(full, config.width, config.max_width)[::-1]
        classes, conditioning = config.num_classes, config.conditioning
        self.code = (
            label_code(conditioning, classes, config.embedding_dim)
            if conditioning in ("concat", "embedding")
            else None
        )
        maps = self.code.width if self.code else 0
        norm = "none" if config.norm == "spectral" else config.norm  # that is one of the weights
        levels = [(full, image_channels + maps), *below]
        layers = dcgan_down(levels, norm, bias=norm == "none")
        size, width = levels[-1]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.head = Head(width * size * size, classes, conditioning)
        self.apply(dcgan_init)
        if config.norm == "spectral":
            for module in (*self.layers, *self.head.children()):
                if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
                    register_parametrization(module, "weight", SpectralNorm(module.weight))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.outputs(x, labels).score

    def outputs(self, x: Tensor, labels: Tensor | None = None) -> Outputs:
        if "conditional" in self.config.provides:
            self.check_labels(labels)
        if self.code is not None:
            maps = self.code(labels).to(x.dtype)[:, :, None, None]
            x = torch.cat([x, maps.expand(-1, -1, *x.shape[2:])], dim=1)
        h = self.layers(x)  # (N, C, H, W) -> (N, F): the last map of 4x4, flattened
        return self.head(h, labels)


class SpectralNorm(nn.Module):
    """A weight over its largest singular value, which one step of power iteration a forward in
    training follows (Miyato et al. 2018, arXiv:1802.05957, algorithm 1).

    Products are written as sums, which autocast leaves in float32: torch's own parametrization
    multiplies in the run's bf16, which has no digits to spare for this.
    """

    u: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("u", normalize(torch.randn(len(weight)), dim=0))
        for _ in range(15):  # so that even the first steps have a good estimate
            self.u.copy_(self.iterate(weight.flatten(1))[0])

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)  # (out, in * k * k)
        u, v = self.iterate(matrix)
        if self.training:
            self.u.copy_(u)
        return weight / (u * (matrix * v).sum(dim=1)).sum()

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """The singular vectors, a step closer."""
        v = normalize((self.u[:, None] * matrix).sum(dim=0), dim=0)
        return normalize((matrix * v).sum(dim=1), dim=0), v
