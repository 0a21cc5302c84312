"""StyleGAN2 against images and scores that an independent implementation computed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ganzoo_stylegan.config import StyleGAN2DiscriminatorConfig, StyleGAN2GeneratorConfig
from ganzoo_stylegan.stylegan2 import Discriminator, Generator
from torch import Tensor

CHANNELS = (48, 48, 32, 32)


@pytest.fixture(scope="module")
def fixture() -> tuple[dict[str, Any], Any]:
    folder = os.environ.get("GANZOO_SHARED")
    if not folder:
        pytest.skip("GANZOO_SHARED is not set to the folder of the shared data")
    stem = Path(folder, "fixtures", "rosi_sg2_converted32")
    weights = torch.load(f"{stem}-config-f.pt", weights_only=True)
    return weights, np.load(f"{stem}.npz")


def generator_state(theirs: dict[str, Tensor], w_avg: Tensor) -> dict[str, Tensor]:
    """Their names as ours."""
    state = {"const": theirs["input.input"], "w_avg": w_avg}
    for k in range(8):
        for what in ("weight", "bias"):
            state[f"mapper.layers.{k}.{what}"] = theirs[f"style.{k + 1}.{what}"]
    for k, name in enumerate(["conv1", *(f"convs.{k}" for k in range(6))]):
        state[f"convs.{k}.weight"] = theirs[f"{name}.conv.weight"][0]
        state[f"convs.{k}.bias"] = theirs[f"{name}.activate.bias"]
        state[f"convs.{k}.noise_strength"] = theirs[f"{name}.noise.weight"][0]
        state[f"convs.{k}.noise"] = theirs[f"noises.noise_{k}"][0, 0]
        for what in ("weight", "bias"):
            state[f"convs.{k}.affine.{what}"] = theirs[f"{name}.conv.modulation.{what}"]
    for k, name in enumerate(["to_rgb1", *(f"to_rgbs.{k}" for k in range(3))]):
        state[f"to_images.{k}.weight"] = theirs[f"{name}.conv.weight"][0, :, :, 0, 0]
        state[f"to_images.{k}.bias"] = theirs[f"{name}.bias"].flatten()
        for what in ("weight", "bias"):
            state[f"to_images.{k}.affine.{what}"] = theirs[f"{name}.conv.modulation.{what}"]
    return state


def discriminator_state(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    names = {"from_image": ("convs.0.0", "convs.0.1"), "conv": ("final_conv.0", "final_conv.1")}
    for k in range(3):
        names[f"blocks.{k}.conv0"] = (f"convs.{k + 1}.conv1.0", f"convs.{k + 1}.conv1.1")
        names[f"blocks.{k}.conv1"] = (f"convs.{k + 1}.conv2.1", f"convs.{k + 1}.conv2.2")
    names["dense"] = ("final_linear.0", "final_linear.0")
    names["out"] = ("final_linear.1", "final_linear.1")
    state = {}
    for ours, (weight, bias) in names.items():
        state[f"{ours}.weight"] = theirs[f"{weight}.weight"]
        state[f"{ours}.bias"] = theirs[f"{bias}.bias"]
    for k in range(3):
        state[f"blocks.{k}.skip.weight"] = theirs[f"convs.{k + 1}.skip.1.weight"]
    return state


@pytest.mark.shared
def test_images_are_those_of_the_fixture(fixture: tuple[dict[str, Any], Any]) -> None:
    weights, expected = fixture
    config = StyleGAN2GeneratorConfig((3, 32, 32), z_dim=64, w_dim=64, channels=CHANNELS)
    G = Generator(config).eval()
    G.load_state_dict(generator_state(weights["g_ema"], weights["latent_avg"]))
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
def test_scores_are_those_of_the_fixture(fixture: tuple[dict[str, Any], Any]) -> None:
    weights, expected = fixture
    D = Discriminator(StyleGAN2DiscriminatorConfig((3, 32, 32), channels=CHANNELS)).eval()
    D.load_state_dict(discriminator_state(weights["d"]))
    images = torch.from_numpy(expected["img_const_psi1"])
    with torch.no_grad():
        for name, scores in (("D_fake", D(images)), ("D_fake_b3", D(images[:3]))):
            np.testing.assert_allclose(scores, expected[name][:, 0], rtol=0, atol=1e-4)
