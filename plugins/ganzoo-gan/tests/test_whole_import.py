"""Networks that were saved whole: what their modules say is taken from them, not asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganzoo.errors import InputError
from ganzoo.importing.converting import convert
from tests.restated import imported, in_a_program, randomised, same


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
    made = imported(tmp_path, nn.DataParallel(G))
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
