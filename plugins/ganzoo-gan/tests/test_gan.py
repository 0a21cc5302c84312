"""The fully connected GAN: the networks of the paper, and the conformance kit."""

from __future__ import annotations

import pytest
import torch
from ganzoo_gan.config import DiscriminatorConfig, GeneratorConfig
from ganzoo_gan.networks import Discriminator, Generator
from ganzoo_gan.sequential_config import GeneratorConfig as SequentialConfig
from ganzoo_gan.sequential_config import Layer

from ganzoo.errors import ConfigError
from ganzoo.testing import parametrize_with_checks
from ganzoo.training import find_recipe


@parametrize_with_checks("ganzoo-gan")
def test_conformance(check) -> None:
    check()


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_default_networks_have_the_papers_widths() -> None:
    G, D = Generator(GeneratorConfig()), Discriminator(DiscriminatorConfig())
    # weights and biases of 100-256-512-1024-784 and of 784-512-256-1
    assert parameters(G) == 101 * 256 + 257 * 512 + 513 * 1024 + 1025 * 784
    assert parameters(D) == 785 * 512 + 513 * 256 + 257
    slopes = {
        m.negative_slope for m in [*G.modules(), *D.modules()] if hasattr(m, "negative_slope")
    }
    assert slopes == {0.2}


def test_forward_is_the_formula() -> None:
    torch.manual_seed(0)
    G = Generator(GeneratorConfig(image_shape=(3, 4, 5), z_dim=6, widths=(7, 8)))
    z = torch.randn(2, 6)
    x = z
    for name in ("0", "2"):
        layer = G.layers.get_submodule(name)
        x = x @ layer.weight.T + layer.bias
        x = torch.where(x > 0, x, 0.2 * x)
    x = torch.tanh(x @ G.layers[4].weight.T + G.layers[4].bias).reshape(2, 3, 4, 5)
    torch.testing.assert_close(G(z), x)


def test_labels_change_image_and_score() -> None:
    G = Generator(GeneratorConfig(num_classes=3))
    D = Discriminator(DiscriminatorConfig(num_classes=3))
    z = torch.randn(1, 100)
    a, b = (G(z, torch.tensor([k])) for k in (0, 1))
    assert not torch.equal(a, b)
    assert D(a, torch.tensor([0])) != D(a, torch.tensor([1]))


def test_dropout_is_for_training_only() -> None:
    D = Discriminator(DiscriminatorConfig(dropout=0.5))
    x = torch.randn(4, 1, 28, 28)
    assert not torch.equal(D(x), D(x))
    D.eval()
    assert torch.equal(D(x), D(x))


def test_initial_weights() -> None:
    torch.manual_seed(0)
    G = Generator(GeneratorConfig())
    assert G.layers[6].weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not G.layers[6].bias.any()
    default = Generator(GeneratorConfig(init_std=0.0))
    assert default.layers[6].weight.abs().max() <= 1 / 1024**0.5  # PyTorch's uniform bound


def test_the_recipe_has_the_original_settings() -> None:
    recipe = find_recipe("gan.mnist")
    assert recipe.batch == 64 and recipe.images == 200 * 60_000
    for optimizer in (recipe.optimizer.generator, recipe.optimizer.discriminator):
        assert (optimizer.name, optimizer.lr, optimizer.betas) == ("adam", 2e-4, (0.5, 0.999))
    assert recipe.loss.part == "non-saturating"
    assert recipe.every.log == 100 and recipe.every.grid == -(-60_000 // 64)
    resolved = recipe.resolve((1, 28, 28), 10)
    assert resolved.config("generator").widths == (256, 512, 1024)
    assert resolved.config("generator").num_classes == 0


@pytest.mark.parametrize("settings", [{"dropout": 1.0}, {"widths": (0,)}, {"init_std": -1.0}])
def test_impossible_settings_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        DiscriminatorConfig(**settings)


@pytest.mark.parametrize("maps", [(), (Layer("reshape", 8),)])
def test_an_instance_norm_of_one_number_a_channel_is_refused(maps: tuple[Layer, ...]) -> None:
    layers = (Layer("linear", 8), *maps, Layer("instance-norm"), Layer("flatten"), Layer("linear"))
    with pytest.raises(ConfigError, match=r"instance-norm for 8( x 1 x 1)? numbers, which it does"):
        SequentialConfig(image_shape=(1, 4, 4), layers=layers)
