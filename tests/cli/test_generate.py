"""`ganzoo generate`: every form of output, and which images they are."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import ganzoo as package
from ganzoo import files, provenance
from ganzoo.cli.asked import parse_labels, parse_seeds
from ganzoo.cli.generate import find_target
from ganzoo.contact_sheet import contact_sheet
from tests.environments import PEAK


@pytest.fixture
def expected(model):
    """uint8 images (N, H, W, C) of the model, by the library."""

    def sample(*arguments, **options):
        return package.load(model).sample(*arguments, **options).to_uint8()

    return sample


def read(path):
    with Image.open(path) as image:
        pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def test_grid(ganzoo, model, tmp_path):
    path = tmp_path / "grid.png"
    result = ganzoo("generate", "tiny.shapes", "-n", 6, "--columns", 3, "-o", path)
    assert result.stdout == f"{path}\n"
    with Image.open(path) as image:
        assert image.width > image.height
    record = provenance.read_record(path)
    assert record["model"] == "tiny.shapes"
    assert record["plugin"].startswith("ganzoo-tiny")


def test_bf16_is_less_exact_says_so_and_is_reproduced(ganzoo, expected, model, tmp_path):
    path = tmp_path / "images.npz"
    ganzoo("generate", "tiny.shapes", "-n", 8, "--dtype", "bf16", "-o", path)
    with np.load(path) as arrays:
        difference = arrays["images"].astype(int) - expected(8).astype(int)
    assert 0 < np.abs(difference).max() < 16
    grid = tmp_path / "grid.png"
    ganzoo("generate", "tiny.shapes", "-n", 8, "--dtype", "bf16", "-o", grid)
    assert provenance.read_record(grid)["dtype"] == "bfloat16"
    assert ganzoo("reproduce", grid).exit_code == 0


def test_compile_needs_a_compiler(ganzoo, model, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    result = ganzoo("generate", "tiny.shapes", "--compile", "-o", tmp_path / "a.png")
    assert result.exit_code == 1 and "needs a C++ compiler" in result.stderr
    assert not (tmp_path / "a.png").exists()


def test_default_is_a_grid_of_16_named_after_the_model(ganzoo, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = ganzoo("generate", "tiny.shapes", "--json")
    rows = json.loads(result.stdout)
    assert [row["seed"] for row in rows] == list(range(16))
    assert {row["file"] for row in rows} == {"tiny.shapes.png"}
    assert rows[4]["label"] == 1
    assert (tmp_path / "tiny.shapes.png").is_file()


@pytest.mark.parametrize("name", [f"{'a' * 251}.png", f"{'é' * 125}.npz", "a" * 255], ids=len)
def test_names_may_be_as_long_as_the_system_allows(ganzoo, model, tmp_path, name):
    assert ganzoo("generate", "tiny.shapes", "-n", 2, "-o", tmp_path / name).exit_code == 0
    assert name in [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    "arguments", [["-o", "out/"], ["-o", "out"], ["-o", "out", "--format", "png"]], ids=str
)
def test_single_files_are_named_by_seed(ganzoo, expected, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    ganzoo("generate", "tiny.shapes", "-n", 3, "--seed", 5, *arguments)
    names = [f"seed00000{seed}.png" for seed in (5, 6, 7)]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    for name, image in zip(names, expected(3, seed=5), strict=True):
        assert np.array_equal(read(tmp_path / "out" / name), image)
    record = provenance.read_record(tmp_path / "out" / names[1])
    assert record["seed"] == 6
    assert record["label"] == 0


@pytest.mark.parametrize(
    ("form", "suffix", "kind"), [("webp", ".webp", "WEBP"), ("jpeg", ".jpg", "JPEG")]
)
def test_other_image_formats(ganzoo, model, tmp_path, form, suffix, kind):
    ganzoo("generate", "tiny.shapes", "-n", 2, "-o", tmp_path / "out", "--format", form)
    for seed in range(2):
        with Image.open(tmp_path / "out" / f"seed00000{seed}{suffix}") as image:
            assert image.format == kind


def test_one_image_as_a_file_is_the_image_itself(ganzoo, expected, tmp_path):
    path = tmp_path / "one.png"
    ganzoo("generate", "tiny.shapes", "-n", 1, "--seed", 3, "-o", path)
    assert np.array_equal(read(path), expected(1, seed=3)[0])


def test_npz_has_images_seeds_and_labels(ganzoo, expected, tmp_path):
    path = tmp_path / "arrays.npz"
    ganzoo("generate", "tiny.shapes", "--seeds", "0-2,100", "-o", path, "--batch-size", 3)
    with np.load(path) as arrays:
        assert sorted(arrays) == ["images", "labels", "seeds"]
        assert arrays["images"].dtype == np.uint8
        assert np.array_equal(arrays["images"], expected(seeds=[0, 1, 2, 100]))
        assert arrays["seeds"].tolist() == [0, 1, 2, 100]
        assert arrays["labels"].tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("text", ["2", "cross", "Cross"])
def test_class_by_number_and_by_name(ganzoo, expected, tmp_path, text):
    ganzoo("generate", "tiny.shapes", "-n", 4, "--class", text, "-o", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["labels"].tolist() == [2, 2, 2, 2]
        assert np.array_equal(arrays["images"], expected(4, labels=2))


def test_labels_decide_how_many(ganzoo, expected, tmp_path):
    ganzoo("generate", "tiny.shapes", "--labels", "cross,0-1", "-o", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert np.array_equal(arrays["images"], expected(3, labels=[2, 0, 1]))


def test_one_seed_in_every_class(ganzoo, model, tmp_path):
    out = tmp_path / "out"
    ganzoo("generate", "tiny.shapes", "--seeds", "7,7", "--labels", "0,1", "-o", out)
    names = ["seed000007-class0.png", "seed000007-class1.png"]
    assert sorted(p.name for p in out.iterdir()) == names
    assert not np.array_equal(read(out / names[0]), read(out / names[1]))


def test_mark_can_be_left_out(ganzoo, model, tmp_path):
    path = tmp_path / "grid.png"
    result = ganzoo("generate", "tiny.shapes", "-o", path, "--no-mark")
    assert provenance.read_record(path) is None
    assert "nothing in these files will say that a generator made them" in result.stderr


def test_the_record_names_everything_that_made_the_image(ganzoo, model, tmp_path):
    path = tmp_path / "one.png"
    ganzoo("generate", "tiny.shapes", "-n", 1, "--seed", 5, "-o", path)
    assert provenance.read_record(path) == {
        "model": "tiny.shapes",
        "weights_sha256": files.sha256(model / "model.safetensors"),
        "plugin": "ganzoo-tiny 1.2",
        "seed": 5,
        "label": 2,
    }


def test_the_seed_can_be_left_out(ganzoo, refused, expected, tmp_path):
    out = tmp_path / "out"
    result = ganzoo("generate", "tiny.shapes", "-n", 2, "--seed", 42, "--hide-seed", "-o", out)
    assert "can be found by trying" in result.stderr
    assert sorted(p.name for p in out.iterdir()) == ["image000000.png", "image000001.png"]
    for path, image in zip(sorted(out.iterdir()), expected(2, seed=42), strict=True):
        assert np.array_equal(read(path), image)
        assert set(provenance.read_record(path)) == {"model", "weights_sha256", "plugin", "label"}
    sheet = tmp_path / "grid.png"
    ganzoo("generate", "tiny.shapes", "--hide-seed", "--class-grid", "-o", sheet)
    assert "seeds" not in provenance.read_record(sheet)
    line = refused("generate", "tiny.shapes", "--hide-seed", "-o", tmp_path / "a.npz")
    assert "names the seed of each image" in line


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_interpolation_walks_from_seed_to_seed_and_back(ganzoo, model, tmp_path, suffix):
    path = tmp_path / f"walk{suffix}"
    result = ganzoo(
        "generate", "tiny.shapes", "--seeds", "0,4", "--interpolate", "--steps", 5, "-o", path
    )
    assert result.exit_code == 0, result.output
    with Image.open(path) as animation:
        assert animation.n_frames == 10  # --steps a seed
        assert animation.info["loop"] == 0


def test_no_compiler_is_imported(model, tmp_path):
    """Generating costs little more than importing torch: its compiler would cost as much again."""
    code = (
        "import sys; from ganzoo.cli import main\n"
        "try: main(sys.argv[1:])\nfinally: print(*sys.modules)"
    )
    command = [sys.executable, "-c", code, "generate", "tiny.shapes", "-o", str(tmp_path / "a.png")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    loaded = set(result.stdout.split())
    assert "torch" in loaded
    assert not loaded & {"torch._dynamo", "torch._inductor", "sympy", "torchvision", "accelerate"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process")
def test_many_images_in_bounded_memory(model, tmp_path):
    """The peak for 20,000 images is that for 2,000, give or take what a batch needs."""
    code = (
        "import sys; from ganzoo.cli import main\n"
        f"main(sys.argv[1:], standalone_mode=False); print({PEAK})"
    )
    peaks = []
    for n in (2000, 20000):
        command = [sys.executable, "-c", code, "generate", "tiny.shapes", "-n", str(n),
                   "-o", str(tmp_path / f"{n}.npz")]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        peaks.append(int(result.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 12_000  # KiB; the seeds and labels alone are lists
    with np.load(tmp_path / "20000.npz") as arrays:
        assert arrays["images"].shape == (20000, 8, 8, 1)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", [3]), ("0-2,100", [0, 1, 2, 100]), (" 5 - 6 , 2", [5, 6, 2]),
     (str(2**63 - 1), [2**63 - 1])],
)  # fmt: skip
def test_seeds(text, seeds):
    assert list(parse_seeds(text)) == seeds


def test_labels():
    assert parse_labels("0-2, cat,10") == [0, 1, 2, "cat", 10]


@pytest.mark.parametrize(
    ("out", "form", "n", "target"),
    [
        (None, None, 16, ("grid", "m.png", "")),
        (None, "png", 16, ("files", "m", ".png")),
        (None, "npz", 16, ("npz", "m.npz", "")),
        ("a.png", None, 1, ("image", "a.png", "")),
        ("a.png", "grid", 1, ("grid", "a.png", "")),
        ("a.webp", None, 9, ("grid", "a.webp", "")),
        ("a.png", "png", 1, ("image", "a.png", "")),
        ("a.v2/", None, 9, ("files", "a.v2", ".png")),
        ("a", "jpeg", 9, ("files", "a", ".jpg")),
    ],
)
def test_targets(out, form, n, target):
    found = find_target(out, form, interpolate=False, n=n, name="m")
    assert (found.form, str(found.path), found.suffix) == target


# -- classes in pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "seeds", "labels"),
    [
        (["-n", 2], [0, 1], [0, 1, 2]),
        (["--seeds", "7,3,5"], [7, 3, 5], [0, 1, 2]),
        (["-n", 1, "--seed", 4, "--labels", "cross,0"], [4], [2, 0]),
        ([], list(range(8)), [0, 1, 2]),
    ],
    ids=str,
)
def test_a_class_grid_has_a_row_for_each_class_and_a_column_for_each_seed(
    ganzoo, model, tmp_path, arguments, seeds, labels
):
    path = tmp_path / "grid.png"
    result = ganzoo("generate", "tiny.shapes", "--class-grid", *arguments, "-o", path, "--json")
    wanted = [(seed, label) for label in labels for seed in seeds]
    assert [(row["seed"], row["label"]) for row in json.loads(result.stdout)] == wanted
    images = [package.load(model).sample(seeds=[s], labels=[k]).to_uint8()[0] for s, k in wanted]
    expected = contact_sheet(np.stack(images), columns=len(seeds))
    assert np.array_equal(read(path), expected)
    record = provenance.read_record(path)
    assert record["class_grid"] is True
    assert record["seeds"] == {2: "0-1", 3: "7,3,5", 1: "4", 8: "0-7"}[len(seeds)]
    assert record["labels"] == ("2,0" if labels == [2, 0] else "0-2")


def test_a_grid_records_its_classes(ganzoo, model, tmp_path):
    path = tmp_path / "grid.png"
    ganzoo("generate", "tiny.shapes", "-n", 5, "--seed", 1, "-o", path)
    assert provenance.read_record(path)["labels"] == "1-2,0-2"  # seed mod 3
    ganzoo("generate", "tiny.shapes", "-n", 4, "--class", "cross", "-o", path)
    assert provenance.read_record(path)["label"] == 2
    walk = tmp_path / "walk.gif"
    ganzoo("generate", "tiny.shapes", "-n", 2, "--steps", 2, "--interpolate", "-o", walk)
    assert provenance.read_record(walk)["label"] == 0
