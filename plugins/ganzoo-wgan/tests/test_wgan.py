"""The Wasserstein losses against closed forms and by hand, their networks, and the kit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from ganzoo_wgan.config import (
    CriticConfig,
    GeneratorConfig,
    GradientPenaltyConfig,
    ResNetCriticConfig,
    ResNetGeneratorConfig,
    WeightClippingConfig,
)
from ganzoo_wgan.losses import GradientPenalty, WeightClipping
from ganzoo_wgan.networks import Critic, Generator
from ganzoo_wgan.resnet import Block, FirstBlock, avg_pool
from ganzoo_wgan.resnet import Critic as ResNetCritic
from ganzoo_wgan.resnet import Generator as ResNetGenerator
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ganzoo import plugins, rng
from ganzoo.data import ImageData
from ganzoo.errors import CompatibilityError, ConfigError
from ganzoo.parts import check_compatible
from ganzoo.testing import parametrize_with_checks
from ganzoo.testing.steps import step_on
from ganzoo.training import Recipe
from ganzoo.training.losses import Loss
from ganzoo.training.observers import Observers
from ganzoo.training.trainer import Setup, Trainer


@parametrize_with_checks("ganzoo-wgan")
def test_conformance(check) -> None:
    check()


# -- losses ---------------------------------------------------------------------------------------


def linear(slope: Tensor) -> Callable[..., Tensor]:
    return lambda x, labels=None: (x * slope).sum(dim=(1, 2, 3))


def gradient_penalty(weight: float = 10.0, drift: float = 0.0) -> GradientPenalty:
    return GradientPenalty(GradientPenaltyConfig(gradient_penalty=weight, drift=drift))


REAL, FAKE = torch.randn(2, 8, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def test_terms_are_differences_of_mean_scores() -> None:
    D = linear(torch.ones(3, 4, 4))
    real, fake = REAL.sum((1, 2, 3)).mean(), FAKE.sum((1, 2, 3)).mean()
    for loss in (WeightClipping(WeightClippingConfig()), gradient_penalty()):
        s = step_on(D, REAL, FAKE)
        terms = loss.discriminator_terms(s)
        assert terms["real"].item() == pytest.approx(-real.item(), rel=1e-5)
        assert terms["fake"].item() == pytest.approx(fake.item(), rel=1e-5)
        slope = s.logged.get("gradient_norm", 1.0)  # sqrt(48) under the penalty
        assert s.logged["wasserstein"] * slope == pytest.approx((real - fake).item(), rel=1e-5)
        assert loss.generator_terms(s)["fake"].item() == pytest.approx(-fake.item(), rel=1e-5)


@pytest.mark.parametrize("norm", [0.0, 0.25, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_known(norm: float) -> None:
    """The slope of <a, x> is a everywhere: lambda (||a|| - 1)^2, 0 where D is 1-Lipschitz."""
    a = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(1))
    a = a * (norm / a.norm())
    s = step_on(linear(a), REAL, FAKE)
    terms = gradient_penalty(7.0).discriminator_terms(s)
    assert terms["penalty"].item() == pytest.approx(7 * (norm - 1) ** 2, rel=1e-4, abs=1e-6)
    assert s.logged["gradient_norm"] == pytest.approx(norm, rel=1e-4, abs=2e-6)


def test_the_penalty_of_a_quadratic_critic_is_that_of_each_image_at_its_own_point() -> None:
    """f(x) = ||x||^2 / 2 has slope x, so that the norms are those of the interpolated images."""
    s = step_on(lambda x, labels=None: x.square().sum((1, 2, 3)) / 2, REAL, FAKE, index=5)
    penalty = gradient_penalty(1.0).discriminator_terms(s)["penalty"]
    e = rng.Draws(0, "test", 5).uniform(8, 1, 1, 1).numpy().astype(np.float64)
    assert e.shape == (8, 1, 1, 1) and len(np.unique(e)) == 8
    x = (1 - e) * REAL.numpy() + e * FAKE.numpy()
    norms = np.sqrt((x**2).sum((1, 2, 3)))
    assert penalty.item() == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-5)


def trainer_on(images: ImageData, loss: str, **settings: Any) -> Trainer:
    of_wgan = {"part": "wgan", "width": 4}
    document = {
        "data": {"source": "classes"}, "generator": of_wgan, "discriminator": of_wgan,
        "conditional": True, "loss": loss, "batch": 32, "kimg": 1.0,
        "trainer": {"part": "alternating", **settings},
    }  # fmt: skip
    resolved = Recipe.from_dict(document).resolve(images.image_shape, images.num_classes)
    setup = Setup(resolved, images, Path(), Accelerator(cpu=True), Observers())
    return Trainer(resolved.config("trainer"), setup)


def plain_images(classes: int = 5) -> ImageData:
    """Each image is all of one value, which tells its class."""
    labels = np.arange(64) % classes
    pixels = np.broadcast_to(labels[:, None, None, None] * 40, (64, 1, 16, 16)).astype(np.uint8)
    names = tuple("abcdefgh"[:classes])
    return ImageData("classes", (1, 16, 16), names, "", "", (), None, pixels, labels)


def image_of(labels: Tensor) -> Tensor:
    return (labels * 40 / 127.5 - 1)[:, None, None, None].expand(-1, 1, 16, 16)


@pytest.mark.parametrize("settings", [{"n_critic": 1}, {"n_critic": 3}, {"reuse_fake": False}])
def test_the_penalty_is_between_images_of_one_class(settings: dict[str, Any]) -> None:
    """Where G knows the class, an image, its fake and all points between them are the same one."""
    trainer = trainer_on(plain_images(), "wgan-gp", **settings)
    trainer.G.train_forward = lambda z, labels, rng: image_of(labels)  # type: ignore[method-assign]
    forward, seen = trainer.D.forward, []

    def watched(x: Tensor, labels: Tensor) -> Tensor:
        seen.append((x.detach(), labels))
        return forward(x, labels)

    trainer.D.forward = watched  # type: ignore[method-assign]
    updates = trainer.config.n_critic
    for critic in range(updates):
        (s,) = trainer._steps("discriminator", critic)
        trainer.loss.discriminator_terms(s)
    for x, labels in seen:  # of real images, of fakes, and between
        torch.testing.assert_close(x, image_of(labels), rtol=0, atol=1e-6)
    assert len(seen) == 3 * updates
    (s,), (of_G,) = trainer._steps("discriminator", updates - 1), trainer._steps("generator", 0)
    for paired in (s, of_G):
        assert paired.fake_labels is not None and torch.equal(paired.fake_labels, paired.labels)


def test_other_losses_draw_the_classes_of_fakes_on_their_own() -> None:
    (s,) = trainer_on(plain_images(), "hinge")._steps("discriminator", 0)
    assert not torch.equal(s.fake_labels, s.labels)


def test_a_critic_without_slope_is_told_to_rise() -> None:
    weight = torch.zeros(3, 4, 4, requires_grad=True)
    terms = gradient_penalty().discriminator_terms(step_on(linear(weight), REAL, FAKE))
    total = torch.stack(list(terms.values())).sum()
    (gradient,) = torch.autograd.grad(total, weight)
    assert total.item() == pytest.approx(10, rel=1e-4) and bool(gradient.isfinite().all())


def test_lambda_scales_the_penalty_and_its_gradient() -> None:
    def gradient(weight: float) -> Tensor:
        torch.manual_seed(0)
        D = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Linear(16, 1))
        s = step_on(lambda x, labels=None: D(x).squeeze(1), REAL, FAKE)
        total = torch.stack(list(gradient_penalty(weight).discriminator_terms(s).values())).sum()
        total.backward()  # one for all terms, as the trainer does
        return torch.cat([p.grad.flatten() for p in D.parameters() if p.grad is not None])

    none, one, many = gradient(0.0), gradient(1.0), gradient(1000.0)
    torch.testing.assert_close(many - none, 1000 * (one - none), rtol=2e-3, atol=2e-3)
    assert (many - one).norm() > 100 * one.norm()


def test_drift_is_the_mean_square_of_real_scores() -> None:
    a = torch.full((3, 4, 4), 0.1)
    terms = gradient_penalty(drift=0.001).discriminator_terms(step_on(linear(a), REAL, FAKE))
    expected = 0.001 * np.square(0.1 * REAL.numpy().sum((1, 2, 3))).mean()
    assert terms["drift"].item() == pytest.approx(expected, rel=1e-4)
    assert "drift" not in gradient_penalty().discriminator_terms(step_on(linear(a), REAL, FAKE))


def test_the_estimate_for_two_shifted_gaussians_is_their_distance() -> None:
    """W1 of N(0, I) and N(m, I) is ||m||: the critic that attains it is linear along m."""
    shift = torch.tensor([1.5, -2.0])  # of length 2.5
    torch.manual_seed(0)
    D = nn.Sequential(nn.Flatten(), nn.Linear(2, 64), nn.Softplus(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(D.parameters(), 5e-3, betas=(0.0, 0.9))
    loss = gradient_penalty()

    def images(n: int, index: int) -> tuple[Tensor, Tensor]:
        draws = rng.Draws(1, "gaussians", index)
        return draws.normal(n, 1, 1, 2) + shift, draws.normal(n, 1, 1, 2)

    for index in range(300):
        s = step_on(lambda x, labels=None: D(x).squeeze(1), *images(256, index), index=index)
        optimizer.zero_grad()
        torch.stack(list(loss.discriminator_terms(s).values())).sum().backward()
        optimizer.step()
    s = step_on(lambda x, labels=None: D(x).squeeze(1), *images(20_000, 10_000))
    loss.discriminator_terms(s)
    assert s.logged["wasserstein"] == pytest.approx(2.5, rel=0.05)


def test_clipping_keeps_every_parameter_in_the_cube() -> None:
    D = Critic(CriticConfig(image_shape=(1, 16, 16), width=8))
    loss = WeightClipping(WeightClippingConfig(clip=0.003))
    before = [p.detach().clone() for p in D.parameters()]
    loss.after_discriminator_step(step_on(D, REAL, FAKE), D)
    for parameter, old in zip(D.parameters(), before, strict=True):
        assert torch.equal(parameter, old.clamp(-0.003, 0.003))
    assert gradient_penalty().after_discriminator_step(step_on(D, REAL, FAKE), D) is None
    assert type(gradient_penalty()).after_discriminator_step is Loss.after_discriminator_step


def test_batch_norm_is_refused_under_a_penalty_with_the_norms_that_would_do() -> None:
    registry = plugins.load().parts
    critic, loss = registry.get("discriminator", "wgan"), registry.get("loss", "wgan-gp")
    chosen = {
        "loss": (loss, loss.make_config()),
        "discriminator": (critic, critic.make_config({"norm": "batch"})),
    }
    with pytest.raises(CompatibilityError, match=r"'gradient-penalty'.*--set discriminator\.norm"):
        check_compatible(chosen, lambda role: [o.part for o in registry.all(role)])


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (WeightClippingConfig, {"clip": 0.0}),
        (GradientPenaltyConfig, {"gradient_penalty": -1.0}),
        (GradientPenaltyConfig, {"drift": math.nan}),
        (GeneratorConfig, {"image_shape": (1, 24, 24)}),
        (ResNetCriticConfig, {"image_shape": (3, 32, 64)}),
    ],
)
def test_settings_out_of_range_are_refused(config: type, settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="use "):
        config(**settings)


# -- networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 28, 32, 64, 128])
@pytest.mark.parametrize("classes", [0, 3])
def test_every_size_works_in_both_directions(size: int, classes: int) -> None:
    shape = (3, size, size)
    labels = torch.tensor([0, 2]) if classes else None
    pairs = (
        (
            Generator(GeneratorConfig(shape, classes, width=4, max_width=8)),
            Critic(CriticConfig(shape, classes, width=4, max_width=8)),
        ),
        (
            ResNetGenerator(ResNetGeneratorConfig(shape, classes, width=4)),
            ResNetCritic(ResNetCriticConfig(shape, classes, width=4)),
        ),
    )
    for G, D in pairs:
        images = G(torch.randn(2, 128), labels)
        assert images.shape == (2, *shape) and images.abs().max() <= 1
        assert D(images, labels).shape == (2,)


def test_the_resnet_is_that_of_the_papers_table() -> None:
    """Counted by hand from table 3, at 128 channels: 3x3 convolutions of 128 * 128 * 9 + 128
    weights, shortcuts of 128 * 128 + 128 in blocks that resample, and batch norm's gains."""
    conv, shortcut, bn = 128 * 128 * 9 + 128, 128 * 128 + 128, 2 * 128
    G = ResNetGenerator(ResNetGeneratorConfig((3, 32, 32)))
    D = ResNetCritic(ResNetCriticConfig((3, 32, 32)))
    blocks = 3 * (2 * conv + shortcut + 2 * bn)
    assert count(G) == 129 * 4 * 4 * 128 + blocks + bn + (128 * 3 * 9 + 3)
    first = (3 * 128 * 9 + 128) + conv + (3 * 128 + 128)
    assert count(D) == first + (2 * conv + shortcut) + 2 * (2 * conv) + 129
    x = torch.randn(1, 3, 32, 32)
    maps = [D.first(x)]
    for block in D.blocks:
        maps.append(block(maps[-1]))
    assert [m.shape[-1] for m in maps] == [16, 8, 8, 8]


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_blocks_are_residual() -> None:
    """By hand, with torch's functions alone: both ways of each block, and their sum."""
    torch.manual_seed(0)
    x = torch.randn(2, 4, 8, 8)

    def conv(layer: nn.Conv2d, x: Tensor) -> Tensor:
        return conv2d(x, layer.weight, layer.bias, padding=layer.weight.shape[-1] // 2)

    def pool(x: Tensor) -> Tensor:
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    down = Block(4, 6, lambda width: nn.Identity(), resample=avg_pool)
    expected = pool(conv(down.conv2, conv(down.conv1, x.relu()).relu()))
    torch.testing.assert_close(down(x), expected + pool(conv(down.shortcut, x)))
    first = FirstBlock(4, 6)
    expected = pool(conv(first.conv2, conv(first.conv1, x).relu()))
    torch.testing.assert_close(first(x), expected + pool(conv(first.shortcut, x)))
    same = Block(4, 4, lambda width: nn.Identity())
    expected = conv(same.conv2, conv(same.conv1, x.relu()).relu()) + x
    torch.testing.assert_close(same(x), expected)
    G = ResNetGenerator(ResNetGeneratorConfig((1, 16, 16), width=4)).eval()
    up = G.blocks[0]
    grown = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = conv(up.conv1, up.norm1(x).relu().repeat_interleave(2, 2).repeat_interleave(2, 3))
    expected = conv(up.conv2, up.norm2(expected).relu()) + conv(up.shortcut, grown)
    torch.testing.assert_close(up(x), expected)


def test_labels_change_image_and_score() -> None:
    for G, D in (
        (Generator(GeneratorConfig(num_classes=3, width=8)), Critic(CriticConfig(num_classes=3))),
        (
            ResNetGenerator(ResNetGeneratorConfig(num_classes=3, width=8)),
            ResNetCritic(ResNetCriticConfig(num_classes=3, width=8)),
        ),
    ):
        z = torch.randn(1, 128)
        a, b = (G.eval()(z, torch.tensor([k])) for k in (0, 1))
        assert not torch.equal(a, b)
        assert D(a, torch.tensor([0])) != D(a, torch.tensor([1]))
