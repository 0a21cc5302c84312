"""`ganzoo inspect`, `ganzoo reproduce` and `ganzoo keys`, as they are typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo import checkpoint, plugins, provenance, reproduction
from ganzoo.models import build
from tests import fit


@pytest.fixture(autouse=True)
def _own_keys(monkeypatch, tmp_path):
    monkeypatch.setenv("GANZOO_KEYS", str(tmp_path / "keys"))


def changed(path: Path, record=None, **how) -> None:
    """Write a picture again, with one pixel changed, or with another record."""
    with Image.open(path) as opened:
        pixels = np.asarray(opened).copy()
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if record is None:
        pixels[0, 0] ^= 64
    said = {**provenance.read_record(path), **(record or {})}
    provenance.save_image(pixels, path, record={k: v for k, v in said.items() if v is not None})


# -- inspect ---------------------------------------------------------------------------------------


def test_a_file_is_answered_layer_by_layer(ganzoo, model, tmp_path):
    path = tmp_path / "a.png"
    ganzoo("generate", "tiny.shapes", "-n", 1, "--seed", 3, "-o", path)
    lines = [line.split("\t") for line in ganzoo("inspect", path).stdout.splitlines()]
    assert [(line[0], line[1], line[2]) for line in lines] == [
        (str(path), "all", "marked"),
        (str(path), "xmp", "marked"),
        (str(path), "record", "marked"),
        (str(path), "c2pa", "no mark found"),
        (str(path), "invisible", "no mark found"),
    ]
    (row,) = json.loads(ganzoo("inspect", path, "--json", "--skip-invisible").stdout)
    assert (row["status"], row["record"]["seed"]) == ("marked", 3)
    assert [layer["name"] for layer in row["layers"]] == ["xmp", "record", "c2pa", "invisible"]
    assert row["layers"][-1]["status"] == "not checked"


def test_what_was_found_before_a_missing_file_is_shown(ganzoo, model, tmp_path):
    path = tmp_path / "a.png"
    ganzoo("generate", "tiny.shapes", "-o", path, "--no-mark")
    result = ganzoo("inspect", path, tmp_path / "missing.png")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].split("\t")[2] == "no mark found"
    assert "says nothing about where it came from" in result.stdout
    assert "cannot read" in result.stderr


def test_keys_sign_what_is_generated(ganzoo, refused, model, tmp_path):
    pytest.importorskip("c2pa", reason="pip install 'ganzoo[c2pa]'")
    path = tmp_path / "a.png"
    assert "ganzoo keys init" in refused("generate", "tiny.shapes", "--c2pa", "-o", path)
    result = ganzoo("keys", "init", "--name", "Ada", "--json")
    (row,) = json.loads(result.stdout)
    assert {Path(file).parent for file in row.values()} == {tmp_path / "keys"}
    assert Path(row["key"]).stat().st_mode & 0o777 == 0o600
    assert "never overwritten" in refused("keys", "init")
    for out in (path, tmp_path / "out/"):
        words = ["generate", "tiny.shapes", "-n", 4, "--c2pa", "--invisible-mark", "-o", out]
        if out != path:
            words.remove("--invisible-mark")
        assert ganzoo(*words).exit_code == 0
    files = [path, *(tmp_path / "out").iterdir()]
    rows = json.loads(ganzoo("inspect", *files, "--json").stdout)
    assert [row["layers"][2]["status"] for row in rows] == ["marked"] * 5
    assert "Ada, who is known here" in rows[0]["layers"][2]["detail"]
    assert rows[0]["layers"][3]["status"] == "marked"
    assert ganzoo("reproduce", path).stdout.split("\t")[1] == "identical"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--no-mark", "--c2pa"], "--no-mark and --c2pa are both given"),
        (["--no-mark", "--invisible-mark"], "--no-mark and --invisible-mark are both given"),
        (["--invisible-mark", "-o", "a.npz"], "for single pictures and grids"),
        (["--c2pa", "-o", "a.npz"], "cannot hold a C2PA manifest"),
        (["--invisible-mark", "-n", 1, "-o", "a.png"], "8 x 8 is too small"),
    ],
    ids=str,
)
def test_marks_that_cannot_be(refused, model, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert said in refused("generate", "tiny.shapes", *arguments)
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".png", ".npz")]


# -- reproduce -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n", 1, "--seed", 7, "-o", "a.png"],
        ["-n", 5, "--class", "cross", "-o", "a.png"],
        ["--seeds", "9,3-5", "--labels", "2,0,1,1", "-o", "a.webp"],
        ["-n", 6, "--columns", 6, "-o", "a.jpg"],
        ["--class-grid", "-n", 4, "-o", "a.png"],
        ["--class-grid", "--labels", "2,0", "-o", "a.png"],
        ["-n", 4, "--invisible-mark", "-o", "a.png"],
    ],
    ids=str,
)
def test_images_are_made_again(ganzoo, model, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    ganzoo("generate", "tiny.shapes", *arguments)
    path = Path(arguments[-1])
    result = ganzoo("reproduce", path, "-o", f"again{path.suffix}", "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert (row["result"], row["largest"], row["differing"]) == ("identical", 0, 0)
    assert row["model"] == str(model)
    again = Path(f"again{path.suffix}")
    assert again.read_bytes() == path.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_the_sheet_of_a_model_folder_is_made_again(ganzoo, model):
    assert ganzoo("reproduce", model / "samples.png").stdout.split("\t")[1] == "identical"


@pytest.mark.parametrize("n", [1, 3])
def test_what_python_saves_is_made_again(ganzoo, model, tmp_path, n):
    checkpoint.load_generator(model).sample(n, seed=4, labels=1).save(tmp_path / "a.png")
    result = ganzoo("reproduce", tmp_path / "a.png", "--model", model)
    assert result.stdout.split("\t")[1] == "identical"


def test_a_changed_image_differs(ganzoo, model, tmp_path):
    path = tmp_path / "a.png"
    ganzoo("generate", "tiny.shapes", "-n", 1, "-o", path)
    changed(path)
    result = ganzoo("reproduce", path)
    assert result.exit_code == 1
    assert result.stdout.split("\t")[1:4] == ["differs", "64", str(1 / 64)]
    assert "is not the image of its record (by up to 64 levels)" in result.stderr
    changed(path, {"seed": 4})
    assert ganzoo("reproduce", path).exit_code == 1
    ganzoo("generate", "tiny.shapes", "-n", 4, "-o", path)
    changed(path, {"seeds": "0-9", "labels": "0-2,0-2,0-2,0"})
    result = ganzoo("reproduce", path)
    assert result.exit_code == 1
    assert "another size" in result.stderr


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"seed": None}, "does not name the seed"),
        ({"weights_sha256": None}, "does not name the hash of the weights"),
        ({"weights_sha256": "AB"}, "does not name the hash of the weights"),
        ({"weights_sha256": "ab" * 32}, "are not those that the record names"),
        ({"model": None}, "does not name the model"),
        ({"model": "nobody.knows"}, "'nobody.knows' is not here"),
        ({"model": "../model"}, "is not here"),
        ({"model": "hf://me/mine"}, "is not here"),
        ({"source": "hf://me/../../x", "model": None}, "is not here"),
        ({"seed": "one"}, "does not name all of its seed"),
        ({"seed": None, "seeds": "0-5000000"}, "does not name all of its seeds"),
        ({"label": 9}, "has no class 9"),
        ({"label": "0-5"}, "6 labels for 1 images"),
        ({"truncation": 0.5}, "takes no truncation"),
        ({"mix": "7"}, "mix 7 is none"),
        ({"mix": "7:2"}, "mix"),
        ({"lod": "x"}, "takes no lod"),
        ({"cut": True}, "had to be cut"),
    ],
    ids=str,
)
def test_records_that_do_not_suffice_are_one_line(refused, ganzoo, model, tmp_path, record, said):
    path = tmp_path / "a.png"
    ganzoo("generate", "tiny.shapes", "-n", 1, "-o", path)
    changed(path, record)
    assert said in refused("reproduce", path)


def test_files_that_cannot_be_made_again(refused, ganzoo, model, tmp_path):
    plain, walk, arrays = tmp_path / "a.png", tmp_path / "a.gif", tmp_path / "a.npz"
    ganzoo("generate", "tiny.shapes", "-o", plain, "--no-mark")
    assert "has no record" in refused("reproduce", plain)
    ganzoo("generate", "tiny.shapes", "-n", 2, "--steps", 2, "--interpolate", "-o", walk)
    assert "is an animation" in refused("reproduce", walk)
    ganzoo("generate", "tiny.shapes", "-n", 2, "--hide-seed", "-o", plain)
    assert "does not name the seed" in refused("reproduce", plain)
    ganzoo("generate", "tiny.shapes", "-n", 2, "-o", plain)
    assert "another format" in refused("reproduce", plain, "-o", tmp_path / "b.jpg")
    ganzoo("generate", "tiny.shapes", "-n", 1, "-o", arrays)
    assert "is no picture" in refused("reproduce", arrays)
    assert "is the file itself" in refused("reproduce", plain, "-o", plain)
    assert "cannot read" in refused("reproduce", tmp_path / "missing.png")


def test_an_invisible_mark_of_ones_own_needs_its_key(ganzoo, refused, model, tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    monkeypatch.setenv("GANZOO_MARK_KEY", "mine")
    ganzoo("generate", "tiny.shapes", "-n", 4, "--invisible-mark", "-o", path)
    assert ganzoo("reproduce", path).stdout.split("\t")[1] == "identical"
    assert ganzoo("inspect", path).stdout.splitlines()[-1].split("\t")[2] == "marked"
    monkeypatch.delenv("GANZOO_MARK_KEY")
    assert "GANZOO_MARK_KEY" in refused("reproduce", path)
    assert ganzoo("inspect", path).stdout.splitlines()[-1].split("\t")[2] == "no mark found"


def test_what_the_comparison_says():
    old = np.full((2, 2, 1), 7, np.uint8)
    new = old.copy()
    assert reproduction.compare(old, new) == ("identical", 0, 0.0)
    new[0, 0] = 6
    assert reproduction.compare(old, new) == ("differs by at most one level", 1, 0.25)
    new[0, 0] = 255
    assert reproduction.compare(old, new) == ("differs", 248, 0.25)
    assert reproduction.compare(old, new[:1]) == ("differs", None, 1.0)


def test_the_model_may_be_elsewhere(refused, ganzoo, site, model, tmp_path):
    path, folder = tmp_path / "a.png", tmp_path / "elsewhere"
    ganzoo("generate", "tiny.shapes", "-n", 1, "-o", path)
    shutil.copytree(model, folder)
    shutil.rmtree(model)
    site.forget()
    assert "--model" in refused("reproduce", path)
    assert ganzoo("reproduce", path, "--model", folder).stdout.split("\t")[1] == "identical"
    part = plugins.load().parts.get("generator", "tiny")
    other = checkpoint.save(tmp_path / "other", build(part, part.make_config(), seed=1), name="o")
    assert "are not those that the record names" in refused("reproduce", path, "--model", other)


def test_nothing_is_fetched_unless_it_is_agreed_to(
    server, ganzoo, refused, tmp_path, monkeypatch, measured_again
):
    from huggingface_hub import constants

    folder = fit.model(tmp_path / "model")
    assert ganzoo("publish", folder, "me/mine", "--yes").exit_code == 0
    path = tmp_path / "a.png"
    ganzoo("generate", "hf://me/mine", "-n", 1, "-o", path)
    source = provenance.read_record(path)["source"]
    assert source.startswith("hf://me/mine@") and len(source) == 13 + 40
    assert ganzoo("reproduce", path).stdout.split("\t")[1] == "identical"  # it is in the cache
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    server.requests.clear()
    result = ganzoo("reproduce", path)
    assert result.exit_code == 1
    assert f"to fetch {source}, say --yes" in result.stderr
    assert server.requests == []
    result = ganzoo("reproduce", path, "--yes", "--json")
    (row,) = json.loads(result.stdout)
    assert (row["result"], row["model"]) == ("identical", source)
    assert server.requests
