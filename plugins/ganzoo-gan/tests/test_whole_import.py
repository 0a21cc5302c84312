"""Networks that were saved whole: what their modules say is taken from them, not asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ganzoo.errors import InputError
from ganzoo.importing.converting import convert
from tests.restated import imported, in_a_program, randomised, same, same_scores


class Whole(nn.Module):
    """What a state dict of it does not show is nearly all in its modules."""

    def __init__(self, *more: nn.Module) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(6, 8 * 9), nn.LeakyReLU(0.3))
        block = nn.Sequential(nn.ConvTranspose2d(8, 6, 3, 2, 1, 1), nn.BatchNorm2d(6, 0.4), *more)
        self.maps = nn.Sequential(block, nn.Upsample(scale_factor=2), nn.Conv2d(6, 6, 3, 1, 1))
        self.out = nn.Sequential(nn.ReLU(), nn.Dropout2d(), nn.Conv2d(6, 1, 5, 1, 2), nn.Sigmoid())

    def forward(self, z: Tensor) -> Tensor:
        return self.out(self.maps(self.fc(z).view(-1, 8, 3, 3)))


def test_a_module_that_was_saved_whole_answers_what_is_asked_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_program(monkeypatch, Whole)
    G, z = randomised(Whole(nn.Tanh())), torch.randn(4, 6)
    made = imported(tmp_path, nn.DataParallel(G), "upsample=[1,2,1]")  # `forward` might, before out
    assert made.generator.image_shape == (1, 12, 12)
    same(made.generator(z), 2 * G(z) - 1)
    assert "it says of them was taken from it" in made.converted.notes[0]
    with pytest.raises(InputError, match="--set activation=relu"):
        imported(tmp_path, G.state_dict())


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        (nn.GELU(), r"behind maps\.0\.1 is a GELU, of which ours has none"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), "is a Upsample"),
        (nn.PixelShuffle(1), "is a PixelShuffle"),
        (nn.InstanceNorm1d(6, affine=True), "is a InstanceNorm1d, of which ours has none"),
        (nn.GroupNorm(2, 6), "is a GroupNorm without running statistics, of 2 groups, of which"),
        (nn.BatchNorm2d(6, track_running_stats=False), "is a BatchNorm2d without running stat"),
    ],
)
def test_modules_that_ours_has_not_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: nn.Module, problem: str
) -> None:
    in_a_program(monkeypatch, Whole)
    with pytest.raises(InputError, match=problem):
        torch.save(Whole(layer), tmp_path / "G.pt")
        convert(tmp_path / "G.pt", family="plain")


class Shortcut(nn.Linear):
    """Another layer than the one whose tensors it has."""


class Padded(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.main = nn.Sequential(nn.Linear(6, 8 * 9), nn.Unflatten(1, (8, 3, 3)), *layers)


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        ([nn.ConvTranspose2d(8, 1, 4, 2, 1, dilation=2)], r"main\.2 has dilation = \(2, 2\)"),
        ([nn.ConvTranspose2d(8, 1, 4, (2, 1), 1)], r"main\.2 has a stride of \(2, 1\)"),
        ([nn.Conv2d(8, 1, 3, padding="same")], "and a padding of 'same'"),
        ([nn.Conv2d(8, 1, 3, padding=1, padding_mode="reflect")], "has padding_mode = 'reflect'"),
        ([nn.Flatten(), Shortcut(72, 9)], r"main\.3 is a program\.Shortcut"),
    ],
)
def test_settings_that_ours_has_not_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layers: list[nn.Module], problem: str
) -> None:
    in_a_program(monkeypatch, Padded, Shortcut)
    with pytest.raises(InputError, match=problem):
        imported(tmp_path, Padded(*layers), "output=none")


class Normalised(nn.Module):
    """Of the program's own, without tensors."""

    def forward(self, x: Tensor) -> Tensor:
        return x / x.norm(dim=1, keepdim=True)


class Rows(nn.Module):
    """What the attributes hold runs in order."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


def doubled(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return 2 * output


def hooked() -> nn.Module:
    layer = nn.Linear(8, 8)
    layer.register_forward_hook(doubled)
    return layer


SHARED = nn.Linear(8, 8)
FIRST, LAST = nn.Linear(6, 8), nn.Linear(8, 16)


@pytest.mark.parametrize(
    ("modules", "problem"),
    [
        ({"a": nn.Sequential(Normalised(), FIRST, nn.ReLU(), LAST)}, "beside a.1 is a program.Nor"),
        ({"a": FIRST, "norm": Normalised(), "b": LAST}, "norm is a program.Normalised, of which"),
        ({"a": FIRST, "norm": nn.InstanceNorm2d(8), "b": LAST}, "norm is a InstanceNorm2d, of wh"),
        (
            {"a": nn.Sequential(FIRST, SHARED, nn.ReLU(), SHARED, LAST)},
            "a.3 is a module that is used else",
        ),
        (
            {"a": nn.Sequential(FIRST, *[nn.Sequential(SHARED)] * 2, LAST)},
            "a.2 is a module that is used",
        ),
        ({"a": FIRST, "b": SHARED, "c": SHARED, "e": LAST}, "c is a module that is used elsewhere"),
        ({"a": FIRST, "b": hooked(), "c": LAST}, r"b has _forward_hooks = \{\d+: <Reference prog"),
        (
            {"emb": nn.Embedding(3, 4, max_norm=1.0), "a": nn.Linear(10, 8), "b": LAST},
            "emb has max_norm = 1.0: only None",
        ),
        (
            {"a": nn.Sequential(nn.Linear(6, 32), nn.Unflatten(1, (2, 2, 8)), nn.Conv2d(2, 1, 1))},
            "behind a.0 is a Unflatten",
        ),
    ],
)
def test_what_a_chain_does_not_have_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modules: dict[str, nn.Module], problem: str
) -> None:
    in_a_program(monkeypatch, Rows, Normalised)
    monkeypatch.setattr(doubled, "__module__", "program")
    monkeypatch.setattr(sys.modules["program"], "doubled", doubled, raising=False)
    with pytest.raises(InputError, match=problem):
        imported(tmp_path, Rows(**modules), "activation=relu", "output=tanh", "labels=last")


def test_an_instance_norm_of_maps_that_a_linear_layer_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = [nn.Unflatten(1, (8, 3, 3)), nn.InstanceNorm2d(8, 0.3), nn.ReLU()]
    G = randomised(nn.Sequential(nn.Linear(6, 72), *maps, nn.Conv2d(8, 1, 3, 1, 1), nn.Tanh()))
    z = torch.randn(4, 6)
    same(imported(tmp_path, G).generator(z), G(z))


class Blocks(nn.Module):
    """Where pixels are doubled is in `forward` alone, and what activates a list's layers too."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 32)])
        self.block = nn.Sequential(nn.Conv2d(8, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.out = nn.Sequential(nn.Conv2d(4, 1, 3, 1, 1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        for layer in self.fc:
            z = layer(z).relu()
        return self.out(interpolate(self.block(z.view(-1, 8, 2, 2)), scale_factor=2))


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_in_forward_alone_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    in_a_program(monkeypatch, Blocks)
    G, z = randomised(Blocks()), torch.randn(4, 6)
    root = G if whole else G.state_dict()
    said = ["activation=relu", "output=tanh", "eps=1e-5"]
    with pytest.raises(InputError, match=r"enlarges its maps .* what is between its layers"):
        imported(tmp_path, root, *said[1:])
    made = imported(tmp_path, root, *said, "upsample=[1,2]", "linear_activation=true")
    same(made.generator(z), G(z))


def test_what_stands_behind_a_critics_last_layer_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_program(monkeypatch, Rows)
    G = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh())
    x = torch.randn(4, 1, 4, 4)
    for last in (nn.Tanh(), nn.Sigmoid()):
        D = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1), last)
        D = randomised(D, 0, 0.3)
        scores = imported(tmp_path, {"G": randomised(G), "D": D}).discriminator(x)
        same_scores(scores.sigmoid() if isinstance(last, nn.Sigmoid) else scores, D(x).flatten())
