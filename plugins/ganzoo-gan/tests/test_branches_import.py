"""Conditional networks that start with one branch for z or the image and one for the label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot

from ganzoo.errors import InputError
from tests.restated import imported, in_a_program, randomised, same, same_scores

CLASSES = 3
SAID = ("activation=relu", "output=tanh", "eps=1e-5", "discriminator_slope=0.2")


class TwoInputs(nn.Module):
    """As znxlwm's: a_1 takes z or the image and a_2 the label, each with its norm, if any."""

    def __init__(
        self, a: nn.Module, b: nn.Module, norms: list[nn.Module], *rest: nn.Module
    ) -> None:
        super().__init__()
        names = ["a_1", "a_1_bn", "a_2", "a_2_bn"] if norms else ["a_1", "a_2"]
        for name, layer in zip(names, [a, *norms[:1], b, *norms[1:]], strict=True):
            self.add_module(name, layer)
        for k, layer in enumerate(rest, start=2):
            self.add_module(f"layer{k}", layer)
        self.label_first, self.slope = False, 0.0

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        branches = []
        for name, value in (("a_1", x), ("a_2", label)):
            value = getattr(self, name)(value)
            norm = getattr(self, f"{name}_bn", None)
            branches.append(leaky_relu(value if norm is None else norm(value), self.slope))
        x = torch.cat(branches[::-1] if self.label_first else branches, 1)
        layers = [m for n, m in self.named_children() if n.startswith("layer")]
        for k, layer in enumerate(layers):
            x = x.flatten(1) if isinstance(layer, nn.Linear) and x.ndim > 2 else x
            x = layer(x)
            is_norm = isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d))
            normed = k + 1 < len(layers) and isinstance(layers[k + 1], nn.BatchNorm2d)
            if k + 1 < len(layers) and (is_norm or not normed):
                x = leaky_relu(x, self.slope)
        return x


def linear_pair() -> tuple[nn.Module, nn.Module]:
    G = TwoInputs(nn.Linear(5, 6), nn.Linear(CLASSES, 4), [nn.BatchNorm1d(6), nn.BatchNorm1d(4)],
                  nn.Linear(10, 8), nn.Linear(8, 16))  # fmt: skip
    D = TwoInputs(nn.Linear(16, 7), nn.Linear(CLASSES, 7), [], nn.Linear(14, 5), nn.Linear(5, 1))
    return G, D


def convolutional_pair() -> tuple[nn.Module, nn.Module]:
    G = TwoInputs(nn.ConvTranspose2d(5, 6, 4), nn.ConvTranspose2d(CLASSES, 2, 4),
                  [nn.BatchNorm2d(6), nn.BatchNorm2d(2)], nn.ConvTranspose2d(8, 4, 4, 2, 1),
                  nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 1, 4, 2, 1))  # fmt: skip
    D = TwoInputs(nn.Conv2d(1, 3, 4, 2, 1), nn.Conv2d(CLASSES, 3, 4, 2, 1), [],
                  nn.Conv2d(6, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 1, 4))  # fmt: skip
    return G, D


@pytest.mark.parametrize("label_first", [False, True])
@pytest.mark.parametrize("pair", [linear_pair, convolutional_pair])
def test_two_first_layers_are_one(tmp_path: Path, pair: Any, label_first: bool) -> None:
    theirs = [randomised(net, k, 0.3) for k, net in enumerate(pair())]
    theirs[1].slope = 0.2
    for net in theirs:
        net.label_first = label_first
    order = "first" if label_first else "last"
    root = {"G": theirs[0].state_dict(), "D": theirs[1].state_dict()}
    made = imported(tmp_path, root, *SAID, f"classes={CLASSES}", f"labels={order}",
                    f"discriminator_labels={order}")  # fmt: skip
    assert (made.generator.z_dim, made.generator.num_classes) == (5, CLASSES)
    z, labels = torch.randn(4, 5), torch.tensor([0, 2, 1, 2])
    x, label = torch.randn(4, *made.generator.image_shape), one_hot(labels, CLASSES).float()
    if pair is linear_pair:
        same(made.generator(z, labels).flatten(1), theirs[0](z, label).tanh())
        scores = theirs[1](x.flatten(1), label)
    else:
        same(
            made.generator(z, labels),
            theirs[0](z[:, :, None, None], label[:, :, None, None]).tanh(),
        )
        scores = theirs[1](x, label[:, :, None, None].expand(-1, -1, *x.shape[2:]))
    same_scores(made.discriminator(x, labels), scores.flatten())
    targets = {fate.source: fate.target for fate in made.converted.fates}
    assert targets["G.a_2.weight"] == targets["G.a_1.weight"] == "generator: layers.0.weight"
    assert all(targets.values())


def test_which_branch_is_the_labels_is_asked_for(tmp_path: Path) -> None:
    G = randomised(linear_pair()[0])
    with pytest.raises(
        InputError, match=r"for 5 and 3 numbers.*which is for the label: give --set cl"
    ):
        imported(tmp_path, G.state_dict(), *SAID)
    with pytest.raises(InputError, match="whether the label stands before or behind z"):
        imported(tmp_path, G.state_dict(), *SAID, "classes=3")


@pytest.mark.parametrize(
    ("second", "norms"),
    [
        (nn.Conv2d(CLASSES, 4, 1), []),
        (nn.Linear(CLASSES, 4, bias=False), []),
        (nn.Linear(CLASSES, 5), []),
        (nn.Linear(CLASSES, 4), [nn.LayerNorm(6), nn.LayerNorm(4)]),
    ],
)
def test_branches_that_differ_or_have_layer_norms_are_not_joined(
    tmp_path: Path, second: nn.Module, norms: list[nn.Module]
) -> None:
    G = TwoInputs(nn.Linear(5, 6), second, norms, nn.Linear(10, 8), nn.Linear(8, 16))
    with pytest.raises(InputError, match="of no family that is known here"):
        imported(tmp_path, G.state_dict(), *SAID, "classes=3", "labels=last", "norm=layer")


class Activated(nn.Module):
    """Each branch has its own activation."""

    def __init__(self, *activations: nn.Module) -> None:
        super().__init__()
        self.a_1 = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), activations[0])
        self.a_2 = nn.Sequential(nn.Linear(CLASSES, 4), nn.BatchNorm1d(4), activations[1])
        self.rest = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 16), nn.Tanh())

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        return self.rest(torch.cat([self.a_1(z), self.a_2(label)], 1))


def test_branches_of_a_module_that_was_saved_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_program(monkeypatch, Activated)
    said, labels, z = ("classes=3", "labels=last"), torch.tensor([0, 2, 1]), torch.randn(3, 5)
    G = randomised(Activated(nn.LeakyReLU(0.3), nn.LeakyReLU(0.3)))
    images = imported(tmp_path, G, *said).generator(z, labels)
    same(images.flatten(1), G(z, one_hot(labels, CLASSES).float()))
    with pytest.raises(InputError, match="of no family that is known here"):
        imported(tmp_path, Activated(nn.LeakyReLU(0.3), nn.LeakyReLU(0.2)), *said)
