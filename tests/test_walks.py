"""Walks through latent space: what lies between two points, and which frames that makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ganzoo
from ganzoo import latents, marks, plugins, walks
from ganzoo.errors import InputError
from ganzoo.images import to_uint8
from ganzoo.models import build
from ganzoo.testing.networks import perturbed


def generator(family: str, **settings: Any) -> Any:
    part = plugins.load().parts.get("generator", family)
    G = perturbed(build(part, part.make_config({**part.tiny, **settings}), seed=1)).eval()
    if "w-space" in G.provides:
        G.w_avg.normal_()
    return G


def test_slerp_keeps_to_the_great_circle() -> None:
    a, b = np.array([2.0, 0.0]), np.array([0.0, 2.0])
    assert np.allclose(walks.slerp(a, b, 0.0), a)
    assert np.allclose(walks.slerp(a, b, 1.0), b)
    assert np.allclose(walks.slerp(a, b, 0.5), np.sqrt(2.0))
    assert np.allclose(walks.slerp(a, a, 0.3), a)


@pytest.mark.parametrize("loop", [True, False])
def test_a_walk_in_z_is_along_great_circles(loop: bool) -> None:
    G = generator("gan", num_classes=3)
    frames = np.stack(list(ganzoo.walk(G, [3, 8], label=2, steps=2, loop=loop, batch_size=3)))
    a, b = (z.numpy() for z in G.latents([3, 8]))
    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    half = (a + b) * np.sin(angle / 2) / np.sin(angle)
    points = np.stack([a, half, b, half] if loop else [a, half, b])
    with torch.inference_mode():
        z = torch.from_numpy(points.astype(np.float32))
        expected = to_uint8(G(z, torch.full((len(z),), 2)))
    np.testing.assert_allclose(frames.astype(int), expected, atol=1)


def test_the_points_of_seeds_are_those_whose_images_sample_makes() -> None:
    how: dict[str, Any] = {"truncation": 0.6, "truncation_cutoff": 2, "mix": ([9, 4, 1], 2)}
    for family, options in (("stylegan2", how), ("stylegan", {"mix": (9, 1)}), ("cgan", {})):
        G = generator(family, num_classes=3)
        points = latents.of_seeds(G, [5, 6, 7], **options)
        assert points.kind == ("z" if family == "cgan" else "w")
        expected = G.sample(seeds=[5, 6, 7], **options)
        assert (latents.images(points, G, batch_size=2) - expected).abs().max() < 1e-5
    assert latents.images(latents.of_seeds(G, []), G).shape == (0, *G.image_shape)


def test_images_of_latents_are_saved_with_a_mark(tmp_path: Path) -> None:
    G = generator("cgan", num_classes=3)
    points = latents.of_seeds(G, [5, 6], labels=2)
    latents.images(points, G).save(tmp_path / "two.png")
    found = marks.read_record(tmp_path / "two.png")
    assert (found["latent"], found["latent_sha256"]) == ("z", points.sha256)
    assert "seeds" not in found and "seed" not in found
    latents.images(latents.of_seeds(G, [5], labels=2), G).save(tmp_path / "one.png")
    found = marks.read_record(tmp_path / "one.png")
    assert found["label"] == 2 and "seed" not in found


def test_what_is_no_walk_is_refused() -> None:
    G, S = generator("gan", num_classes=3), generator("stylegan2")
    one, two = (latents.of_seeds(G, [0], labels=label) for label in (1, 2))
    for said, make in {
        "one seed leads nowhere": lambda: ganzoo.walk(G, [1]),
        "has no class 3": lambda: list(ganzoo.walk(G, [0, 1], label=3)),
        "takes no truncation": lambda: ganzoo.walk(G, [0, 1], truncation=0.5),
        "random noise flickers": lambda: ganzoo.walk(S, [0, 1], noise="random"),
        "0 steps are too few": lambda: ganzoo.walk(S, [0, 1], steps=0),
        "keeps to one class": lambda: list(walks.frames(G, [one, two])),
        "w and of z are mixed": lambda: list(walks.frames(S, [latents.of_seeds(S, [0]), one])),
        "no point to start": lambda: walks.frames(G, []),
        "batch_size 0 is too small": lambda: latents.images(
            latents.of_seeds(S, [0]), S, batch_size=0
        ),
        "a Tensor is no Latents": lambda: latents.images(torch.zeros(1, 8), S),  # type: ignore[arg-type]
        "has no w": lambda: latents.images(latents.of_seeds(S, [0]), G),
        "5 are no list of integers": lambda: latents.of_seeds(S, 5),  # type: ignore[arg-type]
        "mix names 2 seeds for 3": lambda: latents.of_seeds(S, [0, 1, 2], mix=([1, 2], 1)),
    }.items():
        with pytest.raises(InputError, match=said) as caught:
            make()
        assert "\n" not in str(caught.value)
