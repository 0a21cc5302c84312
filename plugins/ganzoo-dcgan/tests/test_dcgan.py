"""DCGAN: the networks of the paper at every size, and the conformance kit."""

from __future__ import annotations

import pytest
import torch
from ganzoo_dcgan.config import SIZES, DiscriminatorConfig, GeneratorConfig
from ganzoo_dcgan.networks import Discriminator, Generator
from torch import nn

from ganzoo.errors import CompatibilityError, ConfigError
from ganzoo.nn import ConvTranspose2d, pyramid
from ganzoo.parts import Part, check_compatible
from ganzoo.testing import parametrize_with_checks


@parametrize_with_checks("ganzoo-dcgan")
def test_conformance(check) -> None:
    check()


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_channels_are_those_of_figure_1() -> None:
    assert pyramid(64, 128, 1024) == [(4, 1024), (8, 512), (16, 256), (32, 128)]
    assert pyramid(28, 64, 128) == [(4, 128), (7, 128), (14, 64)]
    assert pyramid(16, 8, 1024) == [(4, 16), (8, 8)]


def test_parameters_are_those_of_the_common_64x64_dcgan() -> None:
    """PyTorch's DCGAN tutorial (width 64) counts 3,576,704 and 2,765,568; ours also have biases at
    the layers without batch norm: 3 in G, 64 + 1 in D."""
    G = Generator(GeneratorConfig(image_shape=(3, 64, 64), width=64))
    D = Discriminator(DiscriminatorConfig(image_shape=(3, 64, 64), width=64))
    assert parameters(G) == 3_576_704 + 3
    assert parameters(D) == 2_765_568 + 65


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_works_in_both_directions(size: int, channels: int) -> None:
    shape = (channels, size, size)
    G = Generator(GeneratorConfig(image_shape=shape, width=4))
    D = Discriminator(DiscriminatorConfig(image_shape=shape, width=4))
    images = G(torch.randn(2, 100))
    assert images.shape == (2, *shape) and images.abs().max() <= 1
    assert D(images).shape == (2,)


def test_batch_norm_is_everywhere_but_at_gs_output_and_ds_input() -> None:
    G = Generator(GeneratorConfig(image_shape=(3, 64, 64), width=4))
    D = Discriminator(DiscriminatorConfig(image_shape=(3, 64, 64), width=4))
    kinds = [type(layer).__name__ for layer in G.layers]
    assert kinds == ["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 4 + ["ConvTranspose2d", "Tanh"]
    kinds = [type(layer).__name__ for layer in D.layers]
    assert kinds == ["Conv2d", "LeakyReLU"] + ["Conv2d", "BatchNorm2d", "LeakyReLU"] * 3 + [
        "Conv2d"
    ]
    assert all(
        layer.negative_slope == 0.2 for layer in D.layers if hasattr(layer, "negative_slope")
    )


@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("out_channels", [3, 24])
@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding"),
    [(1, 4, 1, 0), (1, 7, 1, 0), (4, 3, 2, 1), (4, 4, 2, 1), (8, 4, 2, 1)],
)
def test_transposed_convolutions_are_torchs(
    side: int, kernel: int, stride: int, padding: int, out_channels: int, learning: bool
) -> None:
    ours, torchs = (
        kind(256, out_channels, kernel, stride, padding).to(memory_format=torch.channels_last)
        for kind in (ConvTranspose2d, nn.ConvTranspose2d)
    )
    torchs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 256, side, side).to(memory_format=torch.channels_last)
    results = []
    for layer in (ours, torchs):
        with torch.set_grad_enabled(learning):
            images = layer(x.requires_grad_(learning))
        tensors = [x, layer.weight, layer.bias]
        gradients = torch.autograd.grad(images.square().sum(), tensors) if learning else []
        results.append([images.detach(), *gradients])
    torch.testing.assert_close(*results, rtol=1e-4, atol=2e-4)


def test_initial_weights_are_the_papers() -> None:
    torch.manual_seed(0)
    G = Generator(GeneratorConfig(image_shape=(3, 64, 64), width=64))
    for layer in G.layers:
        if isinstance(layer, nn.ConvTranspose2d):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.01)
            assert not layer.bias.any()


@pytest.mark.parametrize(
    ("norm", "independent"), [("batch", False), ("layer", True), ("instance", True), ("none", True)]
)
def test_per_sample_is_what_the_norm_makes_it(norm: str, independent: bool) -> None:
    config = DiscriminatorConfig(image_shape=(1, 16, 16), width=4, norm=norm)
    D = Discriminator(config)
    x = torch.randn(4, 1, 16, 16)
    alone = torch.cat([D(x[:2]), D(x[2:])])
    assert torch.allclose(D(x), alone, atol=1e-6) == independent
    assert ("per-sample" in config.provides) == independent


def test_a_penalty_on_each_sample_refuses_batch_norm() -> None:
    from ganzoo import plugins

    registry = plugins.load().parts
    critic = registry.get("discriminator", "dcgan")
    loss = Part("penalty", "loss", "m:C", requires={"discriminator": {"per-sample"}})
    chosen = {"loss": (loss, None), "discriminator": (critic, critic.make_config())}
    with pytest.raises(CompatibilityError, match=r"--set discriminator\.norm=layer"):
        check_compatible(chosen, lambda role: [o.part for o in registry.all(role)])


@pytest.mark.parametrize("shape", [(1, 30, 30), (3, 64, 32), (3, 512, 512)])
def test_other_sizes_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="use a square of 16, 28, 32, 64, 128, 256"):
        GeneratorConfig(image_shape=shape)


def test_labels_change_image_and_score() -> None:
    G = Generator(GeneratorConfig(num_classes=3, width=8)).eval()
    D = Discriminator(DiscriminatorConfig(num_classes=3, width=8)).eval()
    z = torch.randn(1, 100)
    a, b = (G(z, torch.tensor([k])) for k in (0, 1))
    assert not torch.equal(a, b)
    assert D(a, torch.tensor([0])) != D(a, torch.tensor([1]))


def test_a_critic_that_names_classes_does_not_see_them() -> None:
    config = DiscriminatorConfig(num_classes=3, width=8, conditioning="auxiliary")
    plain = DiscriminatorConfig(width=8, conditioning="auxiliary")
    assert "classes" in config.provides and "conditional" not in config.provides
    D, x = Discriminator(config).eval(), torch.randn(4, 1, 28, 28)
    found = D.outputs(x, torch.tensor([0, 1, 2, 0]))
    assert found.score.shape == (4,) and found.classes.shape == (4, 3)
    assert torch.equal(D(x), found.score) and torch.equal(D.outputs(x).classes, found.classes)
    # one convolution of all: the score first
    last = D.layers[-1]
    alone = torch.nn.Sequential(*D.layers[:-1])(x).flatten(1)
    expected = alone @ last.weight.flatten(1).T + last.bias
    torch.testing.assert_close(torch.cat([found.score[:, None], found.classes], 1), expected)
    assert Discriminator(plain).outputs(x).classes is None
