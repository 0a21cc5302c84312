"""`ganzoo project`, `ganzoo generate --latent` and `ganzoo export`, from the command line."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

import ganzoo as package
from ganzoo import inspection

FAST = ("--steps", 10, "--starts", 2)


@pytest.fixture
def picture(model, tmp_path):
    path = tmp_path / "picture.png"
    pixels = package.load("tiny.shapes").sample(seeds=[100], labels=2).to_uint8()[0, :, :, 0]
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def projected(ganzoo, picture, tmp_path):
    result = ganzoo("project", picture, "--model", "tiny.shapes", "-o", tmp_path / "out", *FAST)
    assert result.exit_code == 0, result.output
    return tmp_path / "out"


def test_what_is_found_makes_its_image_again(ganzoo, projected, tmp_path):
    names = ["comparison.png", "projected.png", "projection.json", "z.safetensors"]
    assert sorted(path.name for path in projected.iterdir()) == names
    again = tmp_path / "again.png"
    found = projected / "z.safetensors"
    result = ganzoo("generate", "tiny.shapes", "--latent", found, "-o", again)
    assert result.stdout == f"{again}\n"
    with Image.open(again) as one, Image.open(projected / "projected.png") as other:
        assert one.size == (8, 8)
        assert np.array_equal(np.asarray(one), np.asarray(other))
    for path in (again, projected / "projected.png", projected / "comparison.png"):
        assert inspection.inspect(path).status == inspection.MARKED


def test_a_comparison_is_marked_as_in_part_generated(ganzoo, projected):
    kinds = {"comparison.png": "compositeWithTrainedAlgorithmicMedia",
             "projected.png": "trainedAlgorithmicMedia"}  # fmt: skip
    for name, kind in kinds.items():
        (row, *_) = ganzoo("inspect", projected / name).stdout.splitlines()[1:]
        assert f"{kind}, by ganzoo" in row


def test_what_was_made_from_a_latent_is_made_again_from_the_latent(refused, projected):
    for name in ("projected.png", "comparison.png"):
        said = refused("reproduce", projected / name)
        assert "was made from a latent, not from a seed: ganzoo generate --latent FILE" in said


def test_no_video_without_its_package(refused, picture, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    options = ("--model", "tiny.shapes", "-o", tmp_path / "out", "--video", tmp_path / "a.mp4")
    assert "pip install imageio-ffmpeg, or write .gif" in refused("project", picture, *options)
    assert not (tmp_path / "out").exists()


def test_how_close_it_came(ganzoo, picture, tmp_path):
    out = ("-o", tmp_path / "out")
    result = ganzoo("project", picture, "--model", "tiny.shapes", "--class", "cross", *out, *FAST)
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == ["projection", "sample", "random"]
    assert float(rows[0][1]) > float(rows[2][1])
    assert "digits" not in result.stderr
    assert "not LPIPS" in result.stderr
    options = ("--no-reference", "--json", "--video", tmp_path / "way.webp", "--class", "2")
    result = ganzoo("project", picture, "--model", "tiny.shapes", *out, *FAST, *options)
    (facts,) = json.loads(result.stdout)
    assert (facts["label"], facts["space"], facts["sample"]) == (2, "z", None)
    assert facts["projection"]["psnr"] == pytest.approx(float(rows[0][1]), rel=1e-3)
    assert json.loads((tmp_path / "out" / "projection.json").read_text()) == facts
    with Image.open(tmp_path / "way.webp") as video:
        assert video.n_frames > 1
    assert inspection.inspect(tmp_path / "way.webp").status == inspection.MARKED


@pytest.mark.parametrize(
    "change, said",
    [
        (["nothing.png"], "there is no picture nothing.png"),
        (["folder"], "folder is a folder: name one picture"),
        (["text.png"], "text.png is no picture: name a PNG or JPEG or WEBP or GIF file"),
        (["cut.png"], "cut.png cannot be decoded"),
        (["huge.png"], "huge.png cannot be decoded"),
        (["strip.png"], "a picture of 200 x 4 pixels"),
        (["--model", "tiny.shape"], "did you mean tiny.shapes?"),
        (["--space", "w"], "tiny.shapes has no w: leave the space out, or use z"),
        (["--noise", "optimize"], "tiny.shapes has no noise in its layers"),
        (["--class", "crosss"], "did you mean cross?"),
        (["--class", "0-2"], "--class takes one class: use --class 0"),
        (["--steps", "0"], "steps 0 is out of range"),
        (["--seed", "-1"], "seed -1 is out of range"),
        (["--video", "way.avi"], "--video does not write way.avi"),
        (["-o", "text.png"], "text.png is a file: give a folder with -o"),
        (["-o", "text.png/out"], "text.png is a file: give a folder with -o"),
        (["--device", "cuda:99"], "the device 'cuda:99' cannot be used"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_refused(refused, picture, tmp_path, monkeypatch, change, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:-40])
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    Image.new("L", (200, 4)).save(tmp_path / "strip.png")
    image = [str(picture)] if change[0].startswith("-") else []
    options = ["--model", "tiny.shapes", "-o", "out", *image, *change]
    assert said in refused("project", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--seed", 1], "--latent takes no --seed:"),
        (["--class-grid"], "--latent takes no --class-grid:"),
        (["--truncation", 0.5], "--latent takes no --truncation:"),
        (["-o", "a.npz"], "--latent does not write a.npz: use -o grid.png"),
        (["-o", "folder/"], "--latent does not write folder/"),
    ],
)
def test_what_has_nothing_to_do_with_a_latent(refused, projected, options, said):
    assert said in refused(
        "generate", "tiny.shapes", "--latent", projected / "z.safetensors", *options
    )


def test_no_latent(refused, model, tmp_path):
    for path, said in ((tmp_path / "z.safetensors", "there is no file"), (tmp_path, "is a folder")):
        assert said in refused("generate", "tiny.shapes", "--latent", path)


# -- export --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of the exporters' own code
def test_export(ganzoo, model, tmp_path):
    path = tmp_path / "a.pt2"
    result = ganzoo("export", "tiny.shapes", "-o", path)
    words = result.stdout.strip().split("\t")
    assert words[:4] == [str(path), "pt2", "z, labels", "8"]
    assert float(words[4]) <= 1e-4
    (row,) = json.loads(ganzoo("export", "tiny.shapes", "--to", "pt2", "-o", path, "--json").stdout)
    assert row["inputs"] == ["z", "labels"]
    assert [p.name for p in tmp_path.glob("*.pt2")] == ["a.pt2"]


@pytest.mark.parametrize(
    "options, said",
    [
        (["-o", "a.bin"], "name a file that ends in .onnx or .pt2"),
        (["-o", "a.pt2", "--to", "onnx"], "name a file that ends in .onnx"),
        (["-o", "text/a.pt2"], "text is a file: choose another folder"),
    ],
)
def test_exports_that_are_refused(refused, model, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("a file")
    assert said in refused("export", "tiny.shapes", *options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["site", "text"]


def test_usage(ganzoo, model):
    assert ganzoo("export", "tiny.shapes").exit_code == 2
    assert ganzoo("export", "tiny.shapes", "--to", "torchscript", "-o", "a.pt").exit_code == 2
    assert ganzoo("project", "a.png").exit_code == 2
