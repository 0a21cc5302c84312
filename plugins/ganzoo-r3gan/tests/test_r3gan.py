"""R3GAN's loss against closed forms, its networks by hand, and the kit."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ganzoo_r3gan.config import DiscriminatorConfig, GeneratorConfig, LossConfig
from ganzoo_r3gan.losses import RelativisticR1R2
from ganzoo_r3gan.networks import SLOPE, Block, Discriminator, Down, Generator, Up
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu

from ganzoo import plugins
from ganzoo.errors import CompatibilityError, ConfigError
from ganzoo.hookspecs import hookimpl
from ganzoo.testing import parametrize_with_checks
from ganzoo.testing.steps import step_on
from ganzoo.training import Recipe, find_recipe, recipes, train
from ganzoo.training.step import Step
from ganzoo.training.trainer import Trainer


@parametrize_with_checks("ganzoo-r3gan")
def test_conformance(check) -> None:
    check()


# -- the loss -------------------------------------------------------------------------------------


def images(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 2, 3, 3, generator=generator, dtype=torch.float64)


REAL, FAKE = images(0), images(1)


def quadratic(x: Tensor, labels: Tensor | None = None) -> Tensor:
    """|x|^2 / 2, whose slope is x."""
    return x.square().sum((1, 2, 3)) / 2


def test_the_terms_of_a_quadratic_critic_are_known() -> None:
    """In float64, by NumPy: log(1 + e^t) of the difference of each pair, and gamma / 2 E|x|^2."""
    loss = RelativisticR1R2(LossConfig(gamma=3.0))
    s = step_on(quadratic, REAL, FAKE)
    real, fake = ((x.numpy() ** 2).sum((1, 2, 3)) for x in (REAL, FAKE))
    expected = {
        "relativistic": np.log1p(np.exp((fake - real) / 2)).mean(),
        "r1": 1.5 * real.mean(),
        "r2": 1.5 * fake.mean(),
    }
    found = {name: value.item() for name, value in loss.discriminator_terms(s).items()}
    assert found == pytest.approx(expected, rel=1e-12)
    assert s.logged["accuracy"] == (real > fake).mean()
    of_G = {name: value.item() for name, value in loss.generator_terms(s).items()}
    assert of_G == pytest.approx(
        {"relativistic": np.log1p(np.exp((real - fake) / 2)).mean()}, rel=1e-12
    )


def test_images_and_fakes_are_paired_by_their_position() -> None:
    loss = RelativisticR1R2(LossConfig())
    plain = loss.discriminator_terms(step_on(quadratic, REAL, FAKE))
    together = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    both = loss.discriminator_terms(step_on(quadratic, REAL[together], FAKE[together]))
    apart = loss.discriminator_terms(step_on(quadratic, REAL, FAKE.roll(1, 0)))
    for name in plain:
        torch.testing.assert_close(both[name], plain[name])
    torch.testing.assert_close(apart["r2"], plain["r2"])
    assert abs(apart["relativistic"] - plain["relativistic"]) > 1e-3


def test_a_constant_in_the_scores_changes_nothing() -> None:
    loss = RelativisticR1R2(LossConfig())
    plain = loss.discriminator_terms(step_on(quadratic, REAL, FAKE))
    raised = loss.discriminator_terms(step_on(lambda x, labels=None: quadratic(x) + 50, REAL, FAKE))
    for name, value in plain.items():
        torch.testing.assert_close(raised[name], value)


def critic() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(18, 16), nn.Softplus(), nn.Linear(16, 1), nn.Flatten(0)
    ).double()


def test_what_d_minimises_is_the_papers_objective() -> None:
    """All of it again, image after image, and the gradient by central differences."""
    D, gamma = critic(), 0.7

    def objective() -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for x, y in zip(REAL, FAKE, strict=True):
            total = total + (1 + (D(y[None]) - D(x[None])).exp()).log().sum()
            for image in (x, y):
                jacobian = torch.autograd.functional.jacobian(D, image[None], create_graph=True)
                total = total + gamma / 2 * (jacobian**2).sum()
        return total / len(REAL)

    loss = RelativisticR1R2(LossConfig(gamma=gamma))
    s = step_on(lambda x, labels=None: D(x), REAL, FAKE)
    terms = loss.discriminator_terms(s)
    total = torch.stack(list(terms.values())).sum()
    torch.testing.assert_close(total, objective())
    total.backward()
    weight = D[1].weight
    for row, column in ((0, 0), (7, 11)):
        values = []
        for change in (1e-5, -2e-5):
            with torch.no_grad():
                weight[row, column] += change
            values.append(objective().item())
        with torch.no_grad():
            weight[row, column] += 1e-5
        slope = (values[0] - values[1]) / 2e-5
        assert weight.grad[row, column].item() == pytest.approx(slope, rel=1e-5)


def test_the_penalties_reach_d_and_never_g() -> None:
    D = critic()
    fake = FAKE.clone().requires_grad_()  # as if the step had not detached it
    loss = RelativisticR1R2(LossConfig())
    terms = loss.discriminator_terms(step_on(lambda x, labels=None: D(x), REAL, fake))
    for name in ("r1", "r2"):
        of_fake, *of_D = torch.autograd.grad(
            terms[name], [fake, *D.parameters()], retain_graph=True, allow_unused=True
        )
        assert of_fake is None
        assert all(g is not None and bool(g.any()) for g in of_D[:3])  # the last bias has none


def test_labels_reach_every_score() -> None:
    """D(x, c) = c |x|^2 / 2: the slope at a fake is that under the fake's own label."""

    def D(x: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return labels * quadratic(x)

    of_real, of_fake = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([2, 2, 1, 1, 0, 0])
    s = step_on(D, REAL, FAKE, labels=of_real, fake_labels=of_fake)
    terms = RelativisticR1R2(LossConfig(gamma=2.0)).discriminator_terms(s)
    for name, x, labels in (("r1", REAL, of_real), ("r2", FAKE, of_fake)):
        slopes = labels.numpy() ** 2 * (x.numpy() ** 2).sum((1, 2, 3))
        assert terms[name].item() == pytest.approx(slopes.mean(), rel=1e-12)


def test_gamma_follows_half_a_cosine_within_the_burn_in() -> None:
    loss = RelativisticR1R2(LossConfig(gamma=2.0, final_gamma=0.5, burn_in_kimg=10.0))
    for seen, gamma in (
        (0, 2.0),
        (2500, 0.5 + 1.5 * (1 + math.sqrt(0.5)) / 2),
        (5000, 1.25),
        (10_000, 0.5),
        (10**7, 0.5),
    ):
        terms = loss.discriminator_terms(step_on(quadratic, REAL, FAKE, images=seen))
        expected = gamma / 2 * REAL.square().sum((1, 2, 3)).mean()
        torch.testing.assert_close(terms["r1"], expected)
    assert RelativisticR1R2(LossConfig(gamma=2.0)).gamma(10**7) == 2.0


@pytest.mark.parametrize(
    ("config", "settings", "said"),
    [
        (LossConfig, {"gamma": -1.0}, "gamma = -1.0 is out of range"),
        (LossConfig, {"final_gamma": 0.1}, "belong together"),
        (LossConfig, {"burn_in_kimg": 5.0}, "belong together"),
        (LossConfig, {"final_gamma": math.nan, "burn_in_kimg": 5.0}, "out of range"),
        (GeneratorConfig, {"image_shape": (1, 24, 24)}, "use a square of"),
        (DiscriminatorConfig, {"image_shape": (3, 32, 64)}, "use a square of"),
        (
            GeneratorConfig,
            {"width": 20, "group_size": 16},
            "group_size = 16 does not divide the 40",
        ),
    ],
)
def test_settings_out_of_range_are_refused(config: type, settings: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(**settings)


# -- the networks ---------------------------------------------------------------------------------

SMALL = {"width": 4, "max_width": 8, "blocks": 1, "group_size": 4, "embed_dim": 4}


def generator(size: int = 16, classes: int = 0, **settings: Any) -> Generator:
    torch.manual_seed(0)
    return Generator(GeneratorConfig((3, size, size), classes, 8, **{**SMALL, **settings}))


def discriminator(size: int = 16, classes: int = 0, **settings: Any) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(DiscriminatorConfig((3, size, size), classes, **{**SMALL, **settings}))


@pytest.mark.parametrize("size", [8, 16, 28, 32, 64, 128, 256])
@pytest.mark.parametrize("classes", [0, 3])
def test_every_size_works_in_both_directions(size: int, classes: int) -> None:
    labels = torch.tensor([0, 2]) if classes else None
    made = generator(size, classes)(torch.randn(2, 8), labels)
    assert made.shape == (2, 3, size, size)
    assert discriminator(size, classes)(made, labels).shape == (2,)


def test_the_levels_double_from_the_smallest_map() -> None:
    config = GeneratorConfig((3, 32, 32), width=64, max_width=256)
    assert config.levels == [(4, 256), (8, 256), (16, 128), (32, 64)]
    assert replace(config, image_shape=(1, 28, 28)).levels == [(7, 256), (14, 128), (28, 64)]


def test_branches_are_zero_at_the_start_so_that_the_networks_are_their_skip_paths() -> None:
    """With every block left out, both are the same, and linear in what they get."""
    z = torch.randn(3, 8)
    for network, x in ((generator(), z), (discriminator(), torch.randn(3, 3, 16, 16))):
        whole = network(x)
        torch.testing.assert_close(network(x + 2 * x) - network(2 * x), whole)
        stages = [m for m in network.stages if not isinstance(m, Block)]
        assert len(stages) == 2 and len(network.stages) == 5
        network.stages = nn.Sequential(*stages)
        torch.testing.assert_close(network(x), whole, rtol=0, atol=0)


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_other_convolutions_of_a_branch_start_small(blocks: int) -> None:
    """He's deviation, times L^(-1/4) for the L blocks of the network (Fixup with m = 3)."""
    settings = {"width": 64, "max_width": 64, "blocks": blocks, "group_size": 16}
    for network in (generator(**settings), discriminator(**settings)):
        found = [m for m in network.modules() if isinstance(m, Block)]
        assert len(found) == 3 * blocks
        for block in found:
            assert not block.reduce.weight.any()
            for conv, fan_in in ((block.expand, 64), (block.spatial, 16 * 9)):
                he = math.sqrt(2 / (1 + SLOPE**2) / fan_in)
                expected = he * (3 * blocks) ** -0.25
                assert conv.weight.std().item() == pytest.approx(expected, rel=0.05)
                assert not conv.bias.any()


def test_no_layer_normalises_and_scores_are_each_images_own() -> None:
    D = awake(discriminator())
    assert {type(m).__name__ for m in [*D.modules(), *generator().modules()]} <= {
        "Discriminator", "Generator", "Sequential", "Block", "Conv2d", "Linear", "Up", "Down",
        "Identity",
    }  # fmt: skip
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(D(x)[1:2], D(x[1:2]))


def awake(network: nn.Module) -> Any:
    """The network after a few steps, so to say: with branches that count."""
    for module in network.modules():
        if isinstance(module, Block):
            nn.init.normal_(module.reduce.weight, std=0.3)
            nn.init.normal_(module.expand.bias)
            nn.init.normal_(module.spatial.bias)
    return network


def test_a_block_is_an_inverted_bottleneck_with_grouped_convolutions() -> None:
    """By hand: each group of the 3x3 convolution on its own."""
    block = awake(nn.Sequential(Block(4, 8, 2, 1.0)))[0]
    x = torch.randn(2, 4, 6, 6)
    y = leaky_relu(conv2d(x, block.expand.weight, block.expand.bias), 0.2)
    assert y.shape[1] == 8
    halves = [
        conv2d(y[:, s], block.spatial.weight[s], block.spatial.bias[s], padding=1)
        for s in (slice(0, 4), slice(4, 8))
    ]
    y = leaky_relu(torch.cat(halves, 1), 0.2)
    torch.testing.assert_close(block(x), x + conv2d(y, block.reduce.weight))


def test_resampling_is_filtered() -> None:
    """[1, 3, 3, 1] / 8 on each axis: a constant stays, within; an impulse spreads as said."""
    taps = torch.tensor([1.0, 3, 3, 1])
    impulse = torch.zeros(1, 1, 8, 8)
    impulse[0, 0, 3, 3] = 1
    grown = Up(1, 1)(impulse)[0, 0]
    torch.testing.assert_close(grown[5:9, 5:9], torch.outer(taps, taps) / 16)
    assert grown.sum().item() == pytest.approx(4)
    shrunk = Down(1, 1)(impulse)[0, 0]  # between four pixels, nearest to (1, 1)
    near = torch.tensor([3.0, 1]) / 8
    torch.testing.assert_close(shrunk[1:3, 1:3], torch.outer(near, near))
    torch.testing.assert_close(Down(1, 1)(torch.ones(1, 1, 8, 8))[0, 0, 1:3, 1:3], torch.ones(2, 2))
    torch.testing.assert_close(
        Up(1, 1)(torch.ones(1, 1, 8, 8))[0, 0, 1:-1, 1:-1], torch.ones(14, 14)
    )


def test_the_basis_is_scaled_by_z_and_the_label() -> None:
    G = generator(classes=3)
    z, labels = torch.randn(2, 8), torch.tensor([2, 0])
    inputs = torch.cat([z, G.embed.weight[labels]], 1)
    x = torch.einsum("nk,chw->nchw", torch.ones(2, 1), G.basis)
    x = x * (inputs @ G.modulate.weight.T)[:, :, None, None]
    torch.testing.assert_close(G(z, labels), G.to_image(G.stages(x)))
    other = G(z, torch.tensor([1, 0]))
    assert not torch.allclose(other[0], G(z, labels)[0])
    torch.testing.assert_close(other[1], G(z, labels)[1])


def test_a_score_is_a_projection_on_the_label() -> None:
    D = discriminator(classes=3)
    x, labels = torch.randn(2, 3, 16, 16), torch.tensor([2, 0])
    h = D.stages(D.from_image(x))  # (N, C, 4, 4)
    assert h.shape[2:] == (4, 4)
    h = (h * D.basis.weight[:, 0]).sum((2, 3)) @ D.score.weight.T  # (N, 4)
    expected = (h * D.embed.weight[labels]).sum(1) / 2
    torch.testing.assert_close(D(x, labels), expected)


# -- training -------------------------------------------------------------------------------------


def small(**changes: Any) -> Recipe:
    document: dict[str, Any] = {
        "name": "small",
        "data": {"source": "shapes?n=64&size=16&channels=3"},
        "generator": {"part": "r3gan", "z_dim": 8, **SMALL},
        "discriminator": {"part": "r3gan", **SMALL},
        "loss": {"part": "r3gan", "gamma": 1.0, "final_gamma": 0.1, "burn_in_kimg": 0.04},
        "batch": 16,
        "kimg": 0.096,
        "every": {"log": 2, "checkpoint": 3, "grid": 0},
    }
    return Recipe.from_dict({**document, **changes})


@pytest.mark.parametrize("conditional", [False, True])
def test_a_run_resumes_exactly(conditional: bool, tmp_path: Path) -> None:
    recipe = small(conditional=conditional, precision="bf16")
    whole = train(recipe, tmp_path / "whole", device="cpu")
    parts = train(recipe, tmp_path / "parts", device="cpu", steps=3)
    train(recipe, parts, device="cpu", resume=True)
    file = "checkpoints/000000006/state.safetensors"
    assert (whole / file).read_bytes() == (parts / file).read_bytes()


@pytest.mark.parametrize("settings", [[], ["accumulation=2"], ["trainer.reuse_fake=false"]])
def test_every_pair_is_of_one_class_for_both_players(settings: list[str], tmp_path: Path) -> None:
    pairs: list[tuple[Tensor, Tensor]] = []

    class Watch:
        @hookimpl
        def ganzoo_train_start(self, trainer: Trainer) -> None:
            for role in ("discriminator", "generator"):
                terms = getattr(trainer.loss, f"{role}_terms")

                def watched(step: Step, terms: Any = terms) -> Any:
                    pairs.append((step.labels, step.fake_labels))
                    return terms(step)

                setattr(trainer.loss, f"{role}_terms", watched)

    recipe = small(conditional=True, trainer={"part": "alternating"}).with_settings(settings)
    train(recipe, tmp_path / "run", steps=1, device="cpu", observers=[Watch()])
    assert len(pairs) == 2 * recipe.accumulation
    for of_real, of_fake in pairs:
        assert torch.equal(of_real, of_fake)


def test_a_critic_with_batch_norm_is_refused() -> None:
    if "dcgan" not in {o.part.name for o in plugins.load().parts.all("discriminator")}:
        pytest.skip("ganzoo-dcgan is not installed")
    mixed = small(discriminator={"part": "dcgan", "norm": "batch"})
    with pytest.raises(CompatibilityError, match=r"--set discriminator\.norm=layer"):
        mixed.resolve((3, 16, 16), 4)
    mixed.with_settings(["discriminator.norm=layer"]).resolve((3, 16, 16), 4)


SHAPES = {"mnist": (1, 28, 28), "nouns": (3, 32, 32), "cifar10": (3, 32, 32)}
OWN = [name for name in recipes() if name.startswith("r3gan.")]


def test_there_are_recipes() -> None:
    assert {"r3gan.mnist", "r3gan.nouns"} <= set(OWN)


@pytest.mark.parametrize("name", OWN)
def test_recipes_resolve_and_fit_a_model_folder(name: str) -> None:
    recipe = find_recipe(name)
    shape = SHAPES[name.split(".")[1]]
    resolved = recipe.resolve(shape, 10 if recipe.conditional else 0)
    assert resolved.config("loss").final_gamma is not None
    if recipe.about.scale == "small":
        G = resolved.part("generator").build(resolved.config("generator"))
        assert sum(p.numel() for p in G.parameters()) <= 2_800_000
        assert recipe.model.storage_dtype == "float16"
