"""What people may have to say of a plain network's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Norm = Literal["instance", "layer", "none"]
Activation = Literal["relu", "leaky-relu", "tanh", "sigmoid"]


@dataclass(frozen=True)
class PlainConfig:
    """What a state dict does not say. What is left out and needed is asked for.

    Attributes:
        activation: between the generator's layers, one for all places or a list with one for each;
            `slope` is that of "leaky-relu".
        linear_activation: whether it also follows a linear layer that makes the first maps.
        output: after its last layer, or a list of what is there; of "sigmoid" images are brought
            from [0, 1] to [-1, 1].
        norm: which norm those are that have no running statistics, or of which nothing is in the
            file but a place; "none": there is none.
        eps: of the norms (PyTorch's default is 1e-5; PyTorch-GAN's programs have 0.8).
        image_shape: [C, H, W] of its images.
        transposed: for each of its convolutions whether it is a transposed one.
        strides, paddings: of its convolutions, in order.
        output_paddings: of them; asked for where a transposed one has an odd kernel.
        upsample: 2 for each convolution before which an Upsample doubles the (nearest) pixels,
            else 1.
        classes: how many of the input's numbers are a one-hot label.
        labels: whether the label stands behind z ("last"), before it ("first") or is multiplied
            with it ("product"); "none": the file has an embedding that is not used.
        discriminator: whether to convert it, where the file has one.
        discriminator_activation: as above; "leaky-relu" if not said.
        discriminator_slope, discriminator_strides, discriminator_paddings, discriminator_norm,
            discriminator_labels: as above, of its LeakyReLU, its convolutions, its norms, and where
            a label joins the image.
    """

    activation: Activation | tuple[Activation, ...] | None = None
    slope: float | None = None
    linear_activation: bool | None = None
    output: Literal["tanh", "sigmoid", "none"] | tuple[Activation, ...] | None = None
    norm: Norm | None = None
    eps: float | None = None
    image_shape: tuple[int, int, int] | None = None
    transposed: tuple[bool, ...] | None = None
    strides: tuple[int, ...] | None = None
    paddings: tuple[int, ...] | None = None
    output_paddings: tuple[int, ...] | None = None
    upsample: tuple[int, ...] | None = None
    classes: int = 0
    labels: Literal["last", "first", "product", "none"] | None = None
    discriminator: bool = True
    discriminator_activation: Activation | tuple[Activation, ...] | None = None
    discriminator_slope: float | None = None
    discriminator_strides: tuple[int, ...] | None = None
    discriminator_paddings: tuple[int, ...] | None = None
    discriminator_norm: Norm | None = None
    discriminator_labels: Literal["last", "first"] | None = None
