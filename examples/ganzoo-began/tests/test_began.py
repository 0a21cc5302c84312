"""BEGAN against the paper's formulas, and the kit. Runs where core and plugin are installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ganzoo_began.config import AutoencoderConfig, GeneratorConfig, LossConfig
from ganzoo_began.losses import BoundaryEquilibrium
from ganzoo_began.networks import Autoencoder, Generator
from safetensors.torch import load_file
from torch import Tensor

import ganzoo
from ganzoo.errors import CompatibilityError, ConfigError
from ganzoo.models import Outputs
from ganzoo.parts import check_compatible
from ganzoo.testing import parametrize_with_checks
from ganzoo.testing.reference import DISCRIMINATOR, make_step
from ganzoo.training import Recipe, find_recipe, train


@parametrize_with_checks("ganzoo-began")
def test_conformance(check: Callable[[], None]) -> None:
    check()


# -- the loss -------------------------------------------------------------------------------------


class Halves(ganzoo.Discriminator):
    """D(v) = v / 2, so that L(v) is half the mean of |v|."""

    def outputs(self, x: Tensor, labels: Tensor | None = None) -> Outputs:  # type: ignore[override]
        return Outputs(-x.abs().mean((1, 2, 3)) / 2, reconstruction=x / 2)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.outputs(x).score


class Fills(ganzoo.Generator):
    """Images of one value."""

    def __init__(self, config: Any, value: float) -> None:
        super().__init__(config)
        self.value = torch.nn.Parameter(torch.tensor(value))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.value.expand(len(z), *self.image_shape)


def iteration(loss: BoundaryEquilibrium, real: float, fake: float) -> dict[str, float]:
    """One iteration on images that are all `real` and fakes that are all `fake`: what is minimised
    and logged."""
    shape = (1, 16, 16)
    G = Fills(GeneratorConfig(shape, 0, 8), fake)
    D = Halves(AutoencoderConfig(shape))
    seen: dict[str, float] = {}
    for role, terms_of in (
        ("discriminator", loss.discriminator_terms),
        ("generator", loss.generator_terms),
    ):
        step = make_step(G, D, role=role)
        step.real = torch.full((4, *shape), real)
        step.log = lambda name, value: seen.__setitem__(name, float(value))
        for name, value in terms_of(step).items():
            seen[f"{role} {name}"] = value.item()
    loss.after_generator_step(step)
    return seen


def test_terms_and_k_follow_the_papers_formulas() -> None:
    """L(x) = 0.4, L(G(z)) = 0.1 at first: k rises by 0.1 (0.5 * 0.4 - 0.1), and so on."""
    loss, k = BoundaryEquilibrium(LossConfig(gamma=0.5, lambda_k=0.1)), 0.0
    for real, fake in ((0.8, 0.2), (0.8, 0.3), (0.2, 1.0), (1.0, 0.0)):
        L_real, L_fake = real / 2, fake / 2
        expected = {
            "discriminator real": L_real,
            "discriminator fake": -k * L_fake,
            "generator fake": L_fake,
        }
        balance = 0.5 * L_real - L_fake
        k = min(1.0, max(0.0, k + 0.1 * balance))
        expected |= {"k": k, "convergence": L_real + abs(balance)}
        assert iteration(loss, real, fake) == pytest.approx(expected, abs=1e-6)
        assert loss.state_dict()["k"].item() == pytest.approx(k, abs=1e-6)


@pytest.mark.parametrize(("real", "fake", "end"), [(1.0, 0.0, 1.0), (0.0, 1.0, 0.0)])
def test_k_stays_between_0_and_1(real: float, fake: float, end: float) -> None:
    loss = BoundaryEquilibrium(LossConfig(gamma=0.9, lambda_k=1.0))
    for _ in range(5):
        iteration(loss, real, fake)
    assert loss.k.item() == end


def test_g_learns_through_image_and_reconstruction() -> None:
    """|v - v / 2| has slope 1/2 in v, whichever way it goes; without the second way it had 1."""
    G, D = Fills(GeneratorConfig((1, 16, 16), 0, 8), 0.3), Halves(AutoencoderConfig((1, 16, 16)))
    terms = BoundaryEquilibrium(LossConfig()).generator_terms(make_step(G, D, role="generator"))
    (slope,) = torch.autograd.grad(terms["fake"], G.value)
    assert slope.item() == pytest.approx(0.5)


# -- the networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 32, 64])
def test_networks_of_every_size(size: int) -> None:
    G = Generator(GeneratorConfig((3, size, size), 0, 8, width=4))
    D = Autoencoder(AutoencoderConfig((3, size, size), 0, 8, width=4))
    x = G(torch.randn(2, 8))
    assert x.shape == (2, 3, size, size)
    found = D.outputs(x)
    assert found.reconstruction.shape == x.shape and D.encoder(x).shape == (2, 8)
    error = np.abs(x.detach().numpy() - found.reconstruction.detach().numpy()).mean((1, 2, 3))
    np.testing.assert_allclose(-found.score.detach().numpy(), error, rtol=1e-5)


def test_the_decoder_is_gs() -> None:
    G = Generator(GeneratorConfig((3, 32, 32), 0, 8, width=4))
    D = Autoencoder(AutoencoderConfig((3, 32, 32), 0, 8, width=4))
    shapes = {name: value.shape for name, value in G.decoder.state_dict().items()}
    assert shapes == {name: value.shape for name, value in D.decoder.state_dict().items()}
    widths = [m.out_channels for m in D.encoder if isinstance(m, torch.nn.Conv2d)]
    assert widths == [4, 4, 4, 8, 8, 8, 12, 12, 12]  # n more with each halving


def test_z_becomes_uniform() -> None:
    """P(Z < z) of N(0, 1) is (1 + erf(z / sqrt 2)) / 2: quartiles go to -1/2, 0 and 1/2."""
    G = Generator(GeneratorConfig((1, 16, 16), 0, 8, width=4))
    G.decoder = torch.nn.Identity()
    quartiles = torch.tensor([[-0.6744898, 0.0, 0.6744898]])
    torch.testing.assert_close(G(quartiles), torch.tensor([[-0.5, 0.0, 0.5]]))


def test_settings_out_of_range_are_refused() -> None:
    for make in (
        lambda: LossConfig(gamma=1.5),
        lambda: GeneratorConfig((3, 24, 24)),
        lambda: AutoencoderConfig(hidden_dim=0),
    ):
        with pytest.raises(ConfigError, match="use "):
            make()


# -- runs -----------------------------------------------------------------------------------------


def small(**changes: Any) -> Recipe:
    document: dict[str, Any] = {
        "name": "small",
        "data": {"source": "shapes?n=64&size=16&channels=1"},
        "generator": {"part": "began", "z_dim": 8, "width": 4},
        "discriminator": {"part": "began", "hidden_dim": 8, "width": 4},
        "loss": {"part": "began", "gamma": 1.0, "lambda_k": 0.2},
        "batch": 8,
        "kimg": 0.08,
        "every": {"log": 1, "checkpoint": 5, "grid": 0},
        **changes,
    }
    return Recipe.from_dict(document)


def state(run: Path) -> Path:
    return run / "checkpoints" / "000000010" / "state.safetensors"


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_run_resumes_exactly_with_its_k(accumulation: int, tmp_path: Path) -> None:
    recipe = small(accumulation=accumulation)
    whole = train(recipe, tmp_path / "whole", device="cpu")
    parts = train(recipe, tmp_path / "parts", device="cpu", steps=5)
    train(recipe, parts, device="cpu", resume=True)
    assert state(whole).read_bytes() == state(parts).read_bytes()
    log = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    k = 0.0  # by what the log says of each step
    for line in log:
        assert line["D/fake"] <= 0
        balance = line["D/real"] - line["G/fake"]
        k = min(1.0, max(0.0, k + 0.2 * balance))
        assert line["k"] == pytest.approx(k, abs=1e-4)
        assert line["convergence"] == pytest.approx(line["D/real"] + abs(balance), abs=1e-4)
    assert 0 < k < 1
    assert load_file(state(whole))["loss.k"].item() == pytest.approx(k, abs=1e-4)
    assert ganzoo.load(whole).sample(2).shape == (2, 1, 16, 16)


def test_an_augmented_image_is_compared_with_its_own_reconstruction() -> None:
    """Under an augmentation D's reconstruction is of what it saw."""

    def flipped(x: Tensor, labels: Tensor | None = None) -> Outputs:
        seen = x.flip(3)
        return Outputs(seen.mean((1, 2, 3)), reconstruction=seen.clone(), seen=seen)

    G = Fills(GeneratorConfig((1, 16, 16), 0, 8), 0.3)
    step = make_step(G, Halves(AutoencoderConfig((1, 16, 16))), role="discriminator")
    step.D_outputs = flipped
    assert BoundaryEquilibrium(LossConfig()).discriminator_terms(step)["real"].item() == 0


def test_the_recipe_is_found_and_resolves() -> None:
    resolved = find_recipe("began.shapes").resolve((3, 32, 32), 4)
    assert resolved.part("loss").name == "began"
    chosen = {
        "loss": resolved.chosen["loss"],
        "discriminator": (DISCRIMINATOR, ganzoo.DiscriminatorConfig((3, 32, 32))),
    }
    with pytest.raises(CompatibilityError, match=r"'reconstruction'.*--set discriminator=began"):
        check_compatible(chosen, lambda role: [resolved.part(role)])
