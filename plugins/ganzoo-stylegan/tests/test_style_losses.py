"""R1 and path length regularisation against closed forms."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ganzoo_stylegan.config import R1Config, StyleGAN2LossConfig
from ganzoo_stylegan.losses import R1, StyleGAN2
from ganzoo_stylegan.styles import StyleGenerator
from torch import Tensor
from torch.nn.functional import softplus

import ganzoo
from ganzoo import plugins
from ganzoo.errors import CompatibilityError, ConfigError
from ganzoo.parts import check_compatible
from ganzoo.rng import Draws
from ganzoo.testing.steps import StepOnImages, step_on


def step(D: Any = None, generator: Any = None, **changes: Any) -> StepOnImages:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 6, 3, 4, 4)
    return step_on(D, real, fake, **{"generator": generator, "z": torch.randn(6, 5), **changes})


def test_both_players_have_the_non_saturating_terms() -> None:
    loss = R1(R1Config())

    def D(x: Tensor, labels: Tensor | None) -> Tensor:
        return x.sum((1, 2, 3))

    at = step(D)
    real, fake = D(at.real, None), D(at.fake, None)
    terms = loss.discriminator_terms(at)
    assert set(terms) == {"real", "fake"}
    torch.testing.assert_close(terms["real"], softplus(-real).mean())
    torch.testing.assert_close(terms["fake"], softplus(fake).mean())
    torch.testing.assert_close(loss.generator_terms(at)["fake"], softplus(-fake).mean())


def test_the_penalty_of_a_linear_critic_is_its_squared_slope() -> None:
    slope = torch.randn(3, 4, 4, requires_grad=True)
    penalty = R1(R1Config(gamma=3.0)).penalty(step(lambda x, labels: (x * slope).sum((1, 2, 3))))
    torch.testing.assert_close(penalty, 1.5 * slope.square().sum())
    (gradient,) = torch.autograd.grad(penalty, slope)
    torch.testing.assert_close(gradient, 3.0 * slope.detach())


def test_the_penalty_is_the_mean_over_images_at_real_ones() -> None:
    """D(x) = |x|^2 / 2 has the gradient x."""
    at = step(lambda x, labels: x.square().sum((1, 2, 3)) / 2)
    expected = 5.0 * at.real.square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(R1(R1Config(gamma=10.0)).penalty(at), expected)
    assert not at.real.requires_grad


def test_the_penalty_is_lazy_or_a_plain_term() -> None:
    at = step(lambda x, labels: x.square().sum((1, 2, 3)) / 2)
    lazy, plain = R1(R1Config(interval=16)), R1(R1Config(interval=1))
    assert lazy.intervals == {"discriminator": {"r1": 16}} and not plain.intervals
    torch.testing.assert_close(plain.discriminator_terms(at)["r1"], plain.penalty(at))
    torch.testing.assert_close(lazy.lazy_term(at, "discriminator", "r1"), lazy.penalty(at))
    off = R1(R1Config(gamma=0.0))
    assert not off.intervals and not R1.intervals


class Linear:
    """Images of ws (N, 2, 5): the sum over layers of w A."""

    provides: frozenset[str] = frozenset()

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.A = torch.randn(2, 5, 3 * 4 * 4, requires_grad=True)

    def train_mapping(self, z: Tensor, labels: Tensor | None, rng: Draws, **options: Any) -> Tensor:
        return z[:, None].repeat(1, 2, 1).requires_grad_()

    def synthesis(self, ws: Tensor) -> Tensor:
        return torch.einsum("nlw,lwi->ni", ws, self.A).unflatten(1, (3, 4, 4))


def test_path_lengths_of_a_linear_generator() -> None:
    """Its Jacobian is A: |J^T y|^2 is the mean over layers of |A y|^2, the same for every w."""
    G, loss = Linear(), StyleGAN2(StyleGAN2LossConfig())
    found = loss.lazy_term(step(generator=G), "generator", "path_length")
    generator = Draws(0, "test", 0).torch_generator()
    y = torch.randn(3, 3, 4, 4, generator=generator).flatten(1) / 4  # half the batch, sqrt(4 * 4)
    lengths = torch.einsum("lwi,ni->nlw", G.A, y).square().sum(2).mean(1).sqrt()
    mean = 0.01 * lengths.mean()
    torch.testing.assert_close(found, 2.0 * (lengths - mean).square().mean())
    torch.testing.assert_close(loss.pl_mean, mean.detach())
    (gradient,) = torch.autograd.grad(found, G.A)
    assert bool(gradient.isfinite().all()) and bool(gradient.any())


def test_the_mean_length_follows_the_jacobians_norm() -> None:
    """E |A y|^2 = |A|_F^2 / (H W) for y from N(0, 1 / (H W)); its root is near the mean length."""
    G, loss = Linear(), StyleGAN2(StyleGAN2LossConfig(path_length_decay=1.0))
    z = torch.randn(4000, 5)
    loss.lazy_term(step(generator=G, z=z), "generator", "path_length")
    expected = math.sqrt(float(G.A.detach().square().sum()) / 2 / 16)
    assert loss.pl_mean.item() == pytest.approx(expected, rel=0.1)


def test_a_generator_whose_lengths_are_the_mean_pays_nothing() -> None:
    class Constant(Linear):
        def synthesis(self, ws: Tensor) -> Tensor:
            return ws.sum((1, 2))[:, None, None, None].expand(-1, 3, 4, 4) * 0.0

    loss = StyleGAN2(StyleGAN2LossConfig(path_length_decay=1.0))
    assert loss.path_length(step(generator=Constant())).item() == 0


def test_path_lengths_are_lazy_beside_r1_or_left_out() -> None:
    assert StyleGAN2(StyleGAN2LossConfig()).intervals == {
        "discriminator": {"r1": 16},
        "generator": {"path_length": 4},
    }
    off = StyleGAN2(StyleGAN2LossConfig(path_length_weight=0.0, interval=1))
    assert not off.intervals
    plain = StyleGAN2(StyleGAN2LossConfig(path_length_interval=1))
    terms = plain.generator_terms(step(lambda x, labels: x.sum((1, 2, 3)), Linear()))
    assert set(terms) == {"fake", "path_length"} and "generator" not in plain.intervals


@pytest.mark.parametrize(
    "settings",
    [{"gamma": -1.0}, {"interval": 0}, {"path_length_decay": 2.0}, {"path_length_batch_shrink": 0}],
)
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        StyleGAN2LossConfig(**settings)


def test_parts_without_the_ability_are_refused_with_a_remedy() -> None:
    registry = plugins.load().parts

    def check(loss: str, generator: str, critic: str) -> None:
        names = {"loss": loss, "generator": generator, "discriminator": critic}
        parts = {role: registry.get(role, name) for role, name in names.items()}
        shape = {"image_shape": [3, 32, 32]}
        chosen = {
            role: (part, part.make_config({} if role == "loss" else shape))
            for role, part in parts.items()
        }
        check_compatible(chosen, lambda role: [o.part for o in registry.all(role)])

    check("r1", "dcgan", "stylegan2")
    check("stylegan2", "stylegan2", "stylegan2")
    with pytest.raises(CompatibilityError, match=r"needs the generator 'dcgan' to be 'w-space'.*"
                       r"--set generator=.*stylegan2"):  # fmt: skip
        check("stylegan2", "dcgan", "stylegan2")
    with pytest.raises(CompatibilityError, match=r"--set discriminator\.norm=layer"):
        check("r1", "stylegan2", "dcgan")


def test_the_log_has_the_path_length() -> None:
    at = step(generator=Linear())
    StyleGAN2(StyleGAN2LossConfig()).path_length(at)
    assert at.logged["path_length"] > 0


class Squares(StyleGenerator):
    """w is z; the image of ws (N, 6, 5) is half the sum of all w^2 at each pixel."""

    num_ws = 6
    provides: frozenset[str] = frozenset()

    def __init__(self, style_mixing: float) -> None:
        config = SimpleNamespace(
            z_dim=5, w_dim=5, num_classes=0, style_mixing=style_mixing, w_avg_beta=0.5
        )
        super().__init__(config)
        self.mapper = lambda z, labels: z

    def synthesis(self, ws: Tensor, **options: Any) -> Tensor:
        half = ws.square().sum((1, 2)) / 2
        return half[:, None, None, None].expand(-1, 3, 4, 4)


@pytest.mark.parametrize("style_mixing", [0.0, 0.7])
def test_path_lengths_are_those_of_mixed_styles(style_mixing: float) -> None:
    """The gradient of <G(w), y> is w sum(y): the length is |sum(y)| |w|, of the w of two z, which
    are told apart by what the same draws give."""
    G, loss = Squares(style_mixing), StyleGAN2(StyleGAN2LossConfig(path_length_decay=0.5))
    z = torch.randn(64, 5, generator=torch.Generator().manual_seed(2)).requires_grad_()
    found = loss.path_length(step(generator=G, z=z))
    draws, n = Draws(0, "test", 0), 32  # half the batch
    squares = torch.empty(n, 6)
    if style_mixing:
        second, crossover = draws.normal(n, 5), 1 + draws.integers(n, 5)
        mixed = draws.uniform(n) < style_mixing
        assert 0 < mixed.sum() < n
    for k in range(n):
        for layer in range(6):
            other = style_mixing and mixed[k] and layer >= crossover[k]
            squares[k, layer] = (second if other else z.detach())[k].square().sum()
    y = torch.randn(n, 3, 4, 4, generator=draws.torch_generator()) / 4
    lengths = y.sum((1, 2, 3)).abs() * squares.mean(1).sqrt()
    mean = 0.5 * lengths.mean()
    torch.testing.assert_close(loss.pl_mean, mean)
    torch.testing.assert_close(found.detach(), 2.0 * (lengths - mean).square().mean())
    torch.testing.assert_close(G.w_avg, 0.5 * z[:n].detach().mean(0))  # of the first z


def test_path_lengths_are_those_of_the_resolution_that_is_trained() -> None:
    """While a generator grows, layers that are not in use get no gradient."""
    part = plugins.load().parts.get("generator", "stylegan")
    G = part.build(part.make_config(part.tiny))
    G.part = part
    at = step(generator=G, z=torch.randn(4, G.z_dim), options={"lod": 1.0})
    StyleGAN2(StyleGAN2LossConfig()).path_length(at).backward()
    assert all(p.grad is None for p in G.layers[-1].parameters())
    assert any(p.grad is not None for p in G.layers[0].parameters())


def test_a_generator_that_mixes_nothing_is_trained_on_the_w_of_its_mapping() -> None:
    part = plugins.load().parts.get("generator", "stylegan2")
    G, z = part.build(part.make_config(part.tiny)), torch.randn(3, 8)
    ws = ganzoo.Generator.train_mapping(G, z, None, Draws(0, "test", 0))
    torch.testing.assert_close(ws, G.mapping(z))
