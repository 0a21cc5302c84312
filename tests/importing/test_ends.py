"""What shows in a file's first and last bytes is refused before the rest of it is read."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ganzoo.errors import CheckpointError
from ganzoo.importing.converting import convert
from ganzoo.importing.reading import read

GIGABYTES = 5 << 30


@pytest.mark.parametrize(
    ("start", "problem"),
    [
        (b"", "starts with zeros only: it was never filled"),
        (b"PK\x03\x04", "its archive ends too early"),
        (b"\x80\x02", "it is no pickle, or damaged"),
        (b"<!DOCTYPE html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    ],
)
def test_gigabytes_of_nothing_are_not_read(tmp_path: Path, start: bytes, problem: str) -> None:
    path = tmp_path / "large.pth"
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(GIGABYTES)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=problem):
        read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < GIGABYTES / 100  # other threads of the tests may run, too


@pytest.mark.parametrize(
    "page", ["\n\n  <!doctype html>", "<HTML><body>", '<?xml version="1.0"?><Error/>', "<head>"]
)
def test_web_pages_are_told_however_they_start(tmp_path: Path, page: str) -> None:
    (tmp_path / "G.pkl").write_text(page)
    with pytest.raises(CheckpointError, match="it is a web page: the download failed"):
        read(tmp_path / "G.pkl")


@pytest.mark.parametrize("text", ["Entry not found\n", '{"error": "x"}', "   \n", "x", "\0"])
def test_other_texts_are_no_pickles(tmp_path: Path, text: str) -> None:
    (tmp_path / "G.pkl").write_text(text)
    with pytest.raises(CheckpointError, match="no pickle"):
        read(tmp_path / "G.pkl")


def test_archives_that_are_none_of_torchs(tmp_path: Path) -> None:
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    with pytest.raises(CheckpointError, match="it is an empty zip archive"):
        read(tmp_path / "empty.zip")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", b"")
        archive.writestr("script/code/__torch__.py", "class Module:", zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="it is a program of TorchScript"):
        read(tmp_path / "script.pt")


def test_a_safetensors_file_is_read_under_any_name_in_the_order_of_numbers(tmp_path: Path) -> None:
    layers = [nn.ConvTranspose2d(6, 16, 4, bias=False)]
    for width in (16, 8, 4):
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)]
    layers += [nn.BatchNorm2d(2), nn.ReLU(), nn.ConvTranspose2d(2, 3, 4, 2, 1, bias=False)]
    G = nn.Sequential(*layers, nn.Tanh()).eval()
    save_file({f"main.{k}": v for k, v in G.state_dict().items()}, tmp_path / "G.pt")
    made = convert(tmp_path / "G.pt")
    z = torch.randn(2, 6)
    assert made.family == "dcgan-pytorch" and made.checkpoint.container == "safetensors"
    torch.testing.assert_close(made.generator(z), G(z[:, :, None, None]), rtol=0, atol=1e-4)
    whole = (tmp_path / "G.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"its header promises .*: get the file afresh"):
        read(tmp_path / "cut.pt")
