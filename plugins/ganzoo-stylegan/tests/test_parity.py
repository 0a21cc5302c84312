"""StyleGAN2 against images and scores that an independent implementation computed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ganzoo_stylegan.importing.rosinality2 import Rosinality2

from ganzoo.importing.importer import Converted, Network
from ganzoo.importing.tree import Checkpoint
from ganzoo.models import build
from ganzoo.plugins import load


@pytest.fixture(scope="module")
def fixture() -> tuple[Converted, Any]:
    folder = os.environ.get("GANZOO_SHARED")
    if not folder:
        pytest.skip("GANZOO_SHARED is not set to the folder of the shared data")
    stem = Path(folder, "fixtures", "rosi_sg2_converted32")
    tree = torch.load(f"{stem}-config-f.pt", weights_only=True)
    importer = Rosinality2()
    checkpoint = Checkpoint("x.pt", 0, "", "torch-zip", tree)
    assert importer.recognises(checkpoint)
    return importer.convert(checkpoint), np.load(f"{stem}.npz")


def network(kind: str, converted: Network) -> Any:
    part = load().parts.get(kind, converted.part)
    module = build(part, part.make_config(converted.config))
    module.load_state_dict(dict(converted.state))
    return module.eval()


@pytest.mark.shared
def test_images_are_those_of_the_fixture(fixture: tuple[Converted, Any]) -> None:
    converted, expected = fixture
    G = network("generator", converted.generator)
    z = torch.from_numpy(expected["z"])
    with torch.no_grad():
        found = {
            "ws": G.mapping(z),
            "img_const_psi1": G(z),
            "img_const_psi07": G(z, truncation=0.7),
            "img_const_mix_inject3": G(z[:4], mix=(z[4:], 3)),
        }
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.shared
def test_scores_are_those_of_the_fixture(fixture: tuple[Converted, Any]) -> None:
    converted, expected = fixture
    assert converted.discriminator is not None
    D = network("discriminator", converted.discriminator)
    images = torch.from_numpy(expected["img_const_psi1"])
    with torch.no_grad():
        for name, scores in (("D_fake", D(images)), ("D_fake_b3", D(images[:3]))):
            np.testing.assert_allclose(scores, expected[name][:, 0], rtol=0, atol=1e-4)
