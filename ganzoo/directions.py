"""Directions in latent space along which images change: closed-form and random ones.

Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs" (arXiv:2007.06600): the
latent x enters the generator by a linear layer y = A x + b, and of all unit vectors n, those that
change y the most, |A n|^2, are the eigenvectors of A^T A (equations 5 to 8). x is w in a generator
that has it, with the rows of all layers that it enters in one A; elsewhere it is z.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ganzoo import latents, rng
from ganzoo.errors import InputError
from ganzoo.latents import Latents
from ganzoo.nn import EqualizedLinear
from ganzoo.numbers import as_int

if TYPE_CHECKING:
    from ganzoo.models import Generator

LINEAR = (nn.Linear, EqualizedLinear, nn.ConvTranspose2d, nn.Conv2d)
"""Layers that are looked at. A convolution of a map of 1 x 1 is a linear layer."""
SEEDS = 512
"""How many w say how far apart w are."""


@dataclass(frozen=True)
class Directions:
    """Unit vectors in a latent space.

    Attributes:
        kind: "w" or "z".
        vectors: float32 (K, dim), each of length 1.
        unit: how far an amount of 1 moves: the deviation of one component of the latents, which is
            1 in z.
    """

    kind: str
    vectors: Tensor
    unit: float

    def __len__(self) -> int:
        return len(self.vectors)

    def move(self, points: Latents, amounts: Sequence[float]) -> Latents:
        """The points, each moved by `amounts[k]` units along direction k; w in all layers alike.

        Raises:
            InputError: more amounts than directions, one that is not finite, points of another
                space.
        """
        if points.kind != self.kind or points.values.shape[-1] != self.vectors.shape[1]:
            raise InputError("the directions are of another latent space", "use those of the model")
        try:
            along = np.asarray(amounts, dtype=np.float32)
        except (TypeError, ValueError):
            along = np.empty((), np.float32)
        if along.ndim != 1 or not np.isfinite(along).all():
            raise InputError(f"amounts {amounts!r} are no finite numbers", "such as [3.0, -2.0]")
        if len(along) > len(self):
            raise InputError(f"{len(along)} amounts", f"there are {len(self)} directions")
        by = torch.from_numpy(along) * self.unit
        shift = by @ self.vectors[: len(by)]  # (dim,)
        return Latents(
            points.kind, points.values + shift.to(points.values), points.labels, points.noise
        )


def closed_form(generator: Generator, count: int = 8) -> Directions:
    """The `count` directions that change most what the first layers make of the latent, the
    strongest first. Their signs are arbitrary: the largest component of each is positive.

    Raises:
        InputError: no linear layer is found that the latent enters.
    """
    matrix = entrance(generator).cpu().double()  # (out, dim)
    count = _check_count(count, matrix.shape[1])
    _, vectors = np.linalg.eigh((matrix.T @ matrix).numpy())  # ascending, columns
    strongest = vectors[:, ::-1][:, :count].T
    largest = np.abs(strongest).argmax(axis=1, keepdims=True)
    signed = strongest * np.sign(np.take_along_axis(strongest, largest, axis=1))
    return _directions(generator, signed.astype(np.float32))


def random_directions(generator: Generator, count: int = 8, *, seed: int = 0) -> Directions:
    """Directions that are uniform on the sphere; direction k is that of seed + k."""
    seed = rng.check_seed(seed)
    dim = latents.of_seeds(generator, [0]).values.shape[-1]
    count = _check_count(count, 1 << 16)
    normal = rng.latents(range(seed, seed + count), dim)
    return _directions(generator, normal / np.linalg.norm(normal, axis=1, keepdims=True))


def _check_count(count: int, most: int) -> int:
    number = as_int(count)
    if number is None or not 1 <= number <= most:
        raise InputError(f"{count!r} directions", f"ask for 1 to {most:,}")
    return number


def _directions(generator: Generator, vectors: np.ndarray) -> Directions:
    points = latents.of_seeds(generator, range(SEEDS))
    if points.kind == "z":
        return Directions("z", torch.from_numpy(vectors), 1.0)
    spread = points.values[:, 0].var(dim=0).mean().sqrt()
    return Directions("w", torch.from_numpy(vectors), float(spread))


# -- the layers that the latent enters -------------------------------------------------------------


@torch.no_grad()
def entrance(generator: Generator) -> Tensor:
    """The matrix A (out, dim) by which the latent enters: w all layers of `synthesis` that take it,
    z the first one, or those that the generator names in `latent_layers`."""
    named = [generator.get_submodule(name) for name in generator.latent_layers]
    layers = named or _entered(generator)
    if not layers:
        raise InputError(
            f"{generator.name or type(generator).__name__}: no linear layer that the latent enters",
            "name them in the generator's latent_layers",
        )
    dim = latents.of_seeds(generator, [0]).values.shape[-1]
    return torch.cat([_matrix(layer)[:, :dim] for layer in layers])


def _matrix(layer: Any) -> Tensor:
    """A (out, in) of a linear layer as it computes: with what it multiplies its weights by."""
    weight = next(layer.parameters())
    wide = getattr(layer, "in_features", None) or getattr(layer, "in_channels", None)
    if wide is None:
        wide = weight.shape[1]
    basis = torch.cat([torch.eye(wide), torch.zeros(1, wide)]).to(weight)  # and the origin
    if isinstance(layer, (nn.ConvTranspose2d, nn.Conv2d)):
        basis = basis[:, :, None, None]
    out: Tensor = layer(basis).flatten(1)  # (in + 1, out)
    return (out[:-1] - out[-1]).T


def _entered(generator: Any) -> list[nn.Module]:
    """The layers in question, found by watching an image being made."""
    points = latents.of_seeds(generator, [0, 1])
    found: list[nn.Module] = []
    with torch.enable_grad():
        values = points.values.clone().requires_grad_(True)

        def is_w(layer: nn.Module, x: Tensor) -> bool:
            return x._base is values  # the w of one layer is a view of all

        def is_first(layer: nn.Module, x: Tensor) -> bool:
            return not found and x.requires_grad  # an embedding of labels may come before

        with _watching(generator, is_w if points.kind == "w" else is_first, found):
            Latents(points.kind, values, points.labels).render(generator)
    return found


@contextmanager
def _watching(
    generator: nn.Module, asks: Callable[[nn.Module, Tensor], bool], found: list[nn.Module]
) -> Iterator[None]:
    """Linear layers whose input is what `asks` looks for are put into `found`."""

    def look(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor) and asks(layer, inputs[0]):
            found.append(layer)

    layers = [module for module in generator.modules() if isinstance(module, LINEAR)]
    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
