"""StyleGAN2 against images and scores that an independent implementation computed: its file,
imported as any other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganzoo.importing.converting import convert


@pytest.fixture(scope="module")
def fixture() -> tuple[Any, Any]:
    folder = os.environ.get("GANZOO_SHARED")
    if not folder:
        pytest.skip("GANZOO_SHARED is not set to the folder of the shared data")
    stem = Path(folder, "fixtures", "rosi_sg2_converted32")
    return convert(f"{stem}-config-f.pt"), np.load(f"{stem}.npz")


@pytest.mark.shared
def test_images_are_those_of_the_fixture(fixture: tuple[Any, Any]) -> None:
    made, expected = fixture
    G, z = made.generator, torch.from_numpy(expected["z"])
    with torch.no_grad():
        found = {
            "ws": G.mapping(z),
            "img_const_psi1": G(z),
            "img_const_psi07": G(z, truncation=0.7),
            "img_const_mix_inject3": G(z[:4], mix=(z[4:], 3)),
        }
    np.testing.assert_allclose(found["ws"], expected["ws"], rtol=0, atol=1e-5)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.shared
def test_scores_are_those_of_the_fixture(fixture: tuple[Any, Any]) -> None:
    made, expected = fixture
    images = torch.from_numpy(expected["img_const_psi1"])
    with torch.no_grad():
        for name, count in (("D_fake", 8), ("D_fake_b3", 3)):
            scores = made.discriminator(images[:count])
            np.testing.assert_allclose(scores, expected[name][:, 0], rtol=0, atol=1e-4)
