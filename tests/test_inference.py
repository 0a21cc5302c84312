"""The copy that samples many images on a CPU: the same function, and only where that is sure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.inference import folded
from ganzoo.nn import ConvTranspose2d


def network(bias: bool = False) -> nn.Sequential:
    """Convolutions and batch norms that have seen other data than they are used on."""
    layers = nn.Sequential(
        ConvTranspose2d(6, 8, 4, bias=bias),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Conv2d(8, 5, 3, padding=1, bias=bias), nn.BatchNorm2d(5)),
        ConvTranspose2d(5, 3, 4, 2, 1),
        nn.Tanh(),
    )
    for _ in range(5):
        layers(3 * torch.randn(16, 6, 1, 1) + 1)
    return layers.eval()


def norms(layers: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in layers.modules())


@pytest.mark.parametrize("bias", [False, True])
@torch.inference_mode()
def test_batch_norms_are_folded_into_the_same_function(bias: bool) -> None:
    layers = network(bias)
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    z = torch.randn(7, 6, 1, 1)
    expected = layers(z)
    many = folded(layers)
    assert norms(layers) == 2 and norms(many) == 0
    for _ in range(2):  # in place, but not in what it is made of
        torch.testing.assert_close(many(z), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(dict(layers.state_dict()), before, rtol=0, atol=0)


def hooked(layers: nn.Sequential) -> None:
    layers[0].register_forward_hook(lambda module, inputs, output: output * 2)


def shared(layers: nn.Sequential) -> None:
    layers.append(nn.Sequential(nn.Identity(), layers[1], nn.Flatten()))


def parametrised(layers: nn.Sequential) -> None:
    nn.utils.parametrizations.weight_norm(layers[0])


def without_statistics(layers: nn.Sequential) -> None:
    layers[1] = nn.BatchNorm2d(8, track_running_stats=False).eval()


def learning(layers: nn.Sequential) -> None:
    layers[1].train()


class Doubled(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def of_another_class(layers: nn.Sequential) -> None:
    layers[1] = Doubled(8).eval()


@pytest.mark.parametrize(
    "change", [hooked, shared, parametrised, without_statistics, learning, of_another_class]
)
def test_what_may_be_something_else_is_left_alone(change: Callable[[nn.Sequential], None]) -> None:
    layers = network()
    change(layers)
    assert norms(folded(layers)) == norms(layers) - 1  # the other pair


def test_many_images_are_those_of_few() -> None:
    for name in ("dcgan.mnist", "cgan.mnist", "stylegan2.mnist"):
        G = ganzoo.load(name)
        few = torch.cat([G.sample(10, seed=seed) for seed in (0, 10)])
        torch.testing.assert_close(torch.Tensor(G.sample(20)), few, rtol=0, atol=1e-5)
