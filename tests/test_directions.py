"""Directions in latent space, against an eigendecomposition of the weights that NumPy makes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ganzoo import Generator, GeneratorConfig, directions, latents
from ganzoo.directions import closed_form, random_directions
from ganzoo.errors import InputError
from tests.test_walks import generator


def equalized(layer: Any, dim: int, gain: float = 1.0) -> np.ndarray:
    weight: np.ndarray = layer.weight.detach().double().numpy()
    return (gain / math.sqrt(weight.shape[1]) * weight)[:, :dim]


def plain(weight: torch.Tensor, dim: int) -> np.ndarray:
    return weight.detach().double().numpy()[:, :dim]


def transposed(weight: torch.Tensor, dim: int) -> np.ndarray:
    """Of a transposed convolution (in, out, k, k), which a map of 1 x 1 enters."""
    array: np.ndarray = weight.detach().double().numpy()
    return array.reshape(len(array), -1).T[:, :dim]


# by what their papers say of the first layers, and by the names of ours
MATRICES: dict[str, Any] = {
    "gan": lambda G: plain(G.layers[0].weight, G.z_dim),
    "dcgan": lambda G: transposed(G.layers[0].weight, G.z_dim),
    "cgan": lambda G: transposed(G.blocks[0].convolution.weight, G.z_dim),
    "cgan-mlp": lambda G: plain(G.of_z[0].weight, G.z_dim),
    "progan": lambda G: equalized(G.blocks[0].dense, G.z_dim, math.sqrt(2) / 4),
    "stylegan": lambda G: np.concatenate(
        [equalized(layer.affine, G.config.w_dim) for layer in G.layers]
    ),
    "stylegan2": lambda G: np.concatenate(
        [equalized(layer.affine, G.config.w_dim) for layer in (*G.convs, *G.to_images)]
    ),
}


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("family", MATRICES)
def test_closed_form_is_the_eigenvectors_of_the_first_layers(family: str, classes: int) -> None:
    if family.startswith("cgan") and not classes:
        pytest.skip("conditional only")
    G = generator(family, num_classes=classes)
    A = MATRICES[family](G)
    found = closed_form(G, 3)
    # right singular vectors of A are the eigenvectors of A^T A, sorted
    _, singular, right = np.linalg.svd(A, full_matrices=False)
    vectors = found.vectors.double().numpy()
    assert found.kind == ("w" if family.startswith("style") else "z")
    assert np.allclose(np.abs((vectors * right[:3]).sum(axis=1)), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(A @ vectors.T, axis=0), singular[:3], rtol=1e-4)
    assert np.allclose(vectors @ vectors.T, np.eye(3), atol=1e-5)
    assert (np.take_along_axis(vectors, np.abs(vectors).argmax(1)[:, None], 1) > 0).all()
    assert torch.equal(found.vectors, closed_form(G, 3).vectors)


def test_every_family_has_an_entrance() -> None:
    from tests.tiny import families

    for family in families():
        G = generator(family)
        dim = latents.of_seeds(G, [0]).values.shape[-1]
        assert directions.entrance(G).shape[1] == dim


def test_moves_are_in_units_of_the_spread_of_latents() -> None:
    G = generator("stylegan2")
    found = closed_form(G, 3)
    w = latents.of_seeds(G, range(512)).values[:, 0]
    assert math.isclose(found.unit, float(w.var(dim=0).mean().sqrt()), rel_tol=1e-5)
    start = latents.of_seeds(G, [4])
    moved = found.move(start, [0, -2])
    along = (moved.values - start.values)[0] @ found.vectors.T  # (num_ws, 3)
    assert torch.allclose(along, found.unit * torch.tensor([0.0, -2.0, 0.0]), atol=1e-5)
    assert random_directions(generator("gan")).unit == 1


def test_random_directions_are_those_of_their_seeds() -> None:
    G = generator("dcgan")
    some, more = random_directions(G, 2, seed=6), random_directions(G, 3, seed=5)
    assert torch.equal(some.vectors, more.vectors[1:])
    assert torch.allclose(more.vectors.norm(dim=1), torch.ones(3))


class Named(Generator):
    """Its latent enters by a sum of two layers, of which one is to count."""

    latent_layers = ("second",)

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.first, self.second = (nn.Linear(config.z_dim, 64) for _ in range(2))

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return torch.tanh(self.first(z) + self.second(z)).view(-1, 1, 8, 8)


class Wild(Named):
    latent_layers = ()

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return z[:, :1, None, None].expand(-1, 1, 8, 8)


def test_a_generator_may_name_its_layers() -> None:
    config = GeneratorConfig(image_shape=(1, 8, 8), z_dim=5)
    G = Named(config)
    assert torch.allclose(directions.entrance(G), G.second.weight, atol=1e-6)
    with pytest.raises(InputError, match="no linear layer that the latent enters: name them"):
        closed_form(Wild(config), 2)


def test_bad_moves_are_refused() -> None:
    G = generator("gan")
    found, start = closed_form(G, 2), latents.of_seeds(G, [0])
    no_numbers = ([math.nan], 3.0, None, ["far"], [[1.0, 2.0]])
    for amounts, said in (([1, 2, 3], "3 amounts"), *((no, "no finite") for no in no_numbers)):
        with pytest.raises(InputError, match=said):
            found.move(start, amounts)
    with pytest.raises(InputError, match="another latent space"):
        found.move(latents.of_seeds(generator("stylegan2"), [0]), [1])
    for count in (0, G.z_dim + 1):
        with pytest.raises(InputError, match=f"{count} directions: ask for 1 to"):
            closed_form(G, count)
