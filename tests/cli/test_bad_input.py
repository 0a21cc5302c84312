"""Bad input, through the command line: one line, a remedy, exit code 1, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ganzoo import layout


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def out(tmp_path):
    """A folder for output, empty before the test and after it."""
    folder = tmp_path / "out"
    folder.mkdir()
    yield folder
    assert files_in(folder) == []


@pytest.fixture
def edited(model):
    """Change a JSON file of the model folder and keep SHA256SUMS true to it."""

    def edit(change, name="config.json"):
        document = json.loads((model / name).read_text())
        change(document)
        (model / name).write_text(json.dumps(document))
        layout.write_sums(model)

    return edit


# -- models and plugins ----------------------------------------------------------------------------


def test_unknown_model_names_the_nearest(refused, model, out):
    message = refused("generate", "tiny.shape", "-o", out / "grid.png")
    assert message == "no model is called 'tiny.shape': did you mean tiny.shapes?"
    assert "did you mean tiny.shapes?" in refused("info", "tiny.shape")


@pytest.mark.parametrize("start", ["", "https://huggingface.co/", "hf:"])
def test_a_repository_as_others_write_it_is_told_the_address(refused, out, start):
    message = refused("generate", f"{start}someone/my-gan", "-o", out / "grid.png")
    assert message.startswith(f"there is no model folder {start}someone/my-gan: ")
    assert "hf://someone/my-gan " in message


def test_names_differ_in_case(refused, model, out):
    message = refused("generate", "Tiny.SHAPES", "-o", out / "grid.png")
    assert message.endswith("did you mean tiny.shapes?")


def test_a_folder_is_not_a_name(refused, ganzoo, model, tmp_path, monkeypatch, out):
    shutil.copytree(model, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    for command in (["generate", "mine", "-o", out / "grid.png"], ["info", "mine"]):
        assert refused(*command).endswith("the folder of that name is ./mine")
    assert ganzoo("info", "./mine").exit_code == 0


def test_a_file_is_no_folder(refused, model, out, tmp_path):
    (tmp_path / "notes").write_text("mine")
    message = refused("generate", tmp_path / "notes", "-o", out / "grid.png")
    assert message.endswith("notes is a file: give a model or run folder")
    for file in (tmp_path / "notes", "/dev/null"):
        message = refused("generate", "tiny.shapes", "-o", file)
        assert message == f"{file} is no folder: use -o FOLDER/, grid.png or arrays.npz"
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_film_ends(refused, model, out):
    message = refused(
        "generate", "tiny.shapes", "--interpolate", "--steps", 10**9, "-o", out / "walk.gif"
    )
    assert message.startswith("a film has at most 100,000 frames")


@pytest.fixture
def reviewed(monkeypatch):
    """A reviewed plugin that is not installed."""
    monkeypatch.setattr("ganzoo.registry.curated_parts", lambda: {"later": "ganzoo-later"})
    monkeypatch.setattr("ganzoo.registry.curated_distributions", lambda: {"ganzoo-later"})


def test_a_curated_plugin_that_is_missing_says_pip_install(refused, reviewed, model, out):
    message = refused("generate", "later.nothing", "-o", out / "grid.png")
    assert message.endswith("is not installed: pip install ganzoo-later")
    message = refused("train", "later.nothing", "--data", "shapes", "--out", out / "run")
    assert message.endswith("is not installed: pip install ganzoo-later")


def test_a_curated_plugin_that_is_left_out_says_so(refused, model, out):
    message = refused("generate", "dcgan.mnist", "-o", out / "grid.png")
    assert message.endswith("which GANZOO_PLUGINS leaves out: add dcgan to GANZOO_PLUGINS")


def test_folder_of_a_missing_plugin(refused, model, site, tmp_path, out):
    folder = shutil.copytree(model, tmp_path / "copy")
    site.uninstall("ganzoo-tiny")
    message = refused("generate", folder, "-o", out / "grid.png")
    assert "ganzoo-tiny" in message
    assert "pip install" not in message  # the name is not a reviewed one: anyone may have taken it


def test_folder_of_a_curated_plugin_that_is_missing(refused, reviewed, model, edited, out):
    def curated(config):
        config["plugin"], config["requires"] = "ganzoo-later", "ganzoo-later>=0.1,<0.2"
        config["generator"]["part"] = "later"

    edited(curated)
    message = refused("generate", model, "-o", out / "grid.png")
    assert message.endswith("pip install 'ganzoo-later>=0.1,<0.2'")


def test_folder_cannot_choose_what_is_installed(refused, reviewed, model, edited, out):
    def evil(config):
        config["plugin"], config["requires"] = "ganzoo-later", "evil-package"
        config["generator"]["part"] = "later"

    edited(evil)
    message = refused("generate", model, "-o", out / "grid.png")
    assert message.endswith(": pip install ganzoo-later")


def test_broken_plugin(refused, model, tmp_path, site, out):
    folder = shutil.copytree(model, tmp_path / "copy")
    (site.folder / "tiny_plugin" / "__init__.py").write_text("raise RuntimeError('kaputt')")
    site.forget()
    message = refused("generate", folder, "-o", out / "grid.png")
    assert "broken (RuntimeError: kaputt)" in message
    assert "ganzoo plugins" in message
    message = refused("generate", "tiny.shapes", "-o", out / "grid.png")
    assert "kaputt" in message


def test_strict_stops_at_a_broken_plugin(refused, site, monkeypatch):
    site.install("broken", {"__init__.py": "1/0"}, distribution="ganzoo-b", module="broken_plugin")
    monkeypatch.setenv("GANZOO_STRICT", "1")
    assert "ZeroDivisionError" in refused("models")


def test_two_plugins_that_claim_an_entry_point(ganzoo, refused, model, site, out):
    site.install("tiny", {"__init__.py": ""}, distribution="ganzoo-rival", module="rival_plugin")
    message = refused("generate", "tiny.shapes", "-o", out / "grid.png")
    assert "'tiny' is also claimed by ganzoo-" in message
    rows = {r["distribution"]: r for r in json.loads(ganzoo("plugins", "--json").stdout)}
    assert "uninstall one of them" in rows["ganzoo-tiny"]["error"]
    assert "ganzoo-tiny" in rows["ganzoo-rival"]["error"]


def test_two_plugins_that_claim_a_part(ganzoo, refused, model, site, tmp_path, out):
    source = (site.folder / "tiny_plugin" / "__init__.py").read_text()
    site.install(
        "rival",
        {"__init__.py": source, "tiny.toml": ""},
        distribution="ganzoo-rival",
        module="rival_plugin",
    )
    arguments = ("train", site.folder / "tiny_plugin" / "tiny.toml", "--out", out / "run")
    message = refused(*arguments)
    assert "generator 'tiny' is claimed by ganzoo-rival and ganzoo-tiny" in message
    assert "rival:tiny or tiny:tiny" in message
    # a model names its plugin, so it is not in doubt
    assert ganzoo("generate", "tiny.shapes", "-o", tmp_path / "grid.png").exit_code == 0


# -- options of generate ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--class", "3"], "no class 3: use 0 to 2"),
        (["--class", "sqare"], "no class 'sqare': did you mean square?"),
        (["--labels", "0,9"], "no class 9"),
        (["--labels", "0,1", "-n", "3"], "2 labels for 3 images"),
        (["--labels", "0", "--class", "0"], "give one of the two"),
        (["--class", "0-2"], "--class takes one class: use --labels 0-2"),
        (["--class", "2-0"], "the classes 2-0 are none: write 0-2"),
        (["--labels", "1,2-0"], "the classes 2-0 are none: write 0-2"),
        (["--class-grid", "--class", "1"], "takes no --class: choose rows with --labels"),
        (["--class-grid", "--columns", "3"], "--class-grid takes no --columns"),
        (["--class-grid", "--labels", "0,3"], "no class 3: use 0 to 2"),
        (["--class-grid", "-n", "400"], "not 1,200: choose classes with --labels"),
        (["--class-grid", "-n", "0"], "ask for 1 image or more"),
        (["--seeds", "1,2", "--seed", "0"], "--seed and --seeds are both given"),
        (["--steps", "9"], "--steps is for an animation: add --interpolate"),
        (["--fps", "9"], "--fps is for an animation: add --interpolate"),
        (["--columns", "2", "-n", "1"], "--columns is for a grid: leave it out"),
        (["--seed", "-1"], "seed -1 is out of range"),
        (["--seed", str(2**63)], "out of range"),
        (["--seed", str(2**63 - 2), "-n", "5"], "out of range"),
        (["--seeds", "5-x"], "'5-x' is no seed"),
        (["--seeds", "9-5"], "write 5-9"),
        (["--seeds", f"0-{2**63}"], "out of range"),
        (["--seeds", "0-99999999999"], "too many for one call"),
        (["--seeds", "9" * 5000], "is no seed: write 0-63,100"),
        (["--mix", "9" * 5000], "is no seed: write --mix 7"),
        (["--seeds", "1,2", "-n", "3"], "give one of the two"),
        (["-n", "0"], "ask for 1 image or more"),
        (["-n", "1025"], "a grid holds at most 1,024"),
        (["--batch-size", "0"], "use 1 or more"),
        (["--truncation", "2.5"], "use -1 to 2"),
        (["--truncation", "nan"], "out of range"),
        (["--truncation", "0.7"], "takes no truncation"),
        (["--noise", "random"], "takes no noise"),
        (["--device", "abacus"], "the device 'abacus' cannot be used"),
        (["--interpolate"], "use -o walk.gif"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_options_out_of_range(refused, model, out, arguments, said):
    assert said in refused("generate", "tiny.shapes", "-o", out / "grid.png", *arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("a.gif", [], "add --interpolate"),
        ("a.tiff", [], "use -o grid.png"),
        ("a.png", ["--format", "npz"], "use -o arrays.npz"),
        ("a.png", ["--format", "png"], "use -o FOLDER/"),
        ("a.gif", ["--interpolate", "-n", "1"], "one seed leads nowhere"),
        ("a.gif", ["--interpolate", "--labels", "0,1"], "keeps to one class"),
        ("a.gif", ["--interpolate", "--class-grid"], "--class-grid takes no --interpolate"),
        ("a.npz", ["--class-grid"], "--class-grid does not write"),
        ("files/", ["--class-grid"], "--class-grid does not write"),
        ("files", ["--seeds", "1,1"], "a seed is given twice"),
        ("files", ["--columns", "2"], "--columns is for a grid"),
        ("a.npz", ["--columns", "2"], "--columns is for a grid"),
        ("a.gif", ["--columns", "2", "--interpolate"], "--columns is for a grid"),
    ],
    ids=str,
)
def test_impossible_outputs(refused, model, out, name, arguments, said):
    assert said in refused("generate", "tiny.shapes", "-o", out / name, *arguments)


def test_classes_of_an_unconditional_model(refused, model, edited, out):
    def unconditional(config):
        config["generator"]["config"]["num_classes"] = 0
        config["classes"] = []

    tensors = load_file(model / "model.safetensors")
    tensors["embed.weight"] = tensors["embed.weight"][:1].clone()
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    edited(unconditional)
    for label in ("1", "circle"):
        said = refused("generate", model, "--class", label, "-o", out / "grid.png")
        assert "has no classes" in said
    for arguments in (["--labels", "0,1"], ["--class-grid"], ["--class-grid", "--labels", "0"]):
        said = refused("generate", model, *arguments, "-o", out / "grid.png")
        assert "has no classes" in said


# -- places that cannot be written -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["grid.png", "folder/", "arrays.npz"])
def test_output_folder_that_is_a_file(refused, model, tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    message = refused("generate", "tiny.shapes", "-o", f"{tmp_path}/file/{name}")
    assert message.startswith(f"cannot write {tmp_path}/file/")
    assert message.endswith(f": {tmp_path}/file is a file: choose another folder")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(
    "command",
    ["export tiny.shapes -o x.pt2", "generate tiny.shapes --interpolate -n 20 -o walk.mp4"],
)
def test_files_for_which_there_is_no_room(model, out, command):
    """The writers of PyTorch and ffmpeg are told by the system, as where a disk is full."""
    limited = f"ulimit -f 1; GANZOO_PLUGINS=tiny {sys.executable} -m ganzoo {command}"
    done = subprocess.run(
        ["bash", "-c", limited], capture_output=True, text=True, timeout=300, cwd=out
    )
    assert done.returncode == 1, done.stderr
    *told, line = done.stderr.splitlines()
    assert line.startswith(("error: cannot write", "error: ffmpeg did not write the film"))
    assert all("ganzoo" not in other for other in told)  # ffmpeg's own


@pytest.mark.parametrize("name", ["grid.png", "folder/", "arrays.npz", "walk.gif"])
def test_full_disk(refused, model, out, monkeypatch, name):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    arguments = ["--interpolate"] if name.endswith("gif") else []
    message = refused("generate", "tiny.shapes", "-o", f"{out}/{name}", *arguments)
    image = "seed000000.png" if name == "folder/" else ""
    assert message == (
        f"cannot write {out}/{name}{image}: No space left on device:"
        " free some space or choose another place"
    )


@pytest.mark.parametrize("name", ["grid.png", "arrays.npz", "walk.gif"])
def test_refused_write_in_a_process_of_its_own(shell, model, out, name):
    """The kernel refuses the write itself: no file may grow beyond 2,000 bytes."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    walk = ("--interpolate", "-n", "4") if name == "walk.gif" else ("-n", "500")
    result = shell("generate", "tiny.shapes", *walk, "-o", name, cwd=out, preexec_fn=limit)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    remedy = "free some space or choose another place"
    assert line == f"error: cannot write {name}: File too large: {remedy}"


def test_run_folder_that_is_a_file(refused, model, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for run in (tmp_path / "file", tmp_path / "file" / "run"):
        message = refused("train", "tiny", "--out", run)
        assert message == (
            f"cannot write {run}: {tmp_path / 'file'} is a file: choose another folder"
        )


# -- model folders ---------------------------------------------------------------------------------


def test_tampered_weights(refused, model, out):
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    for source in (model, "tiny.shapes"):
        message = refused("generate", source, "-o", out / "grid.png")
        assert "model.safetensors was changed or damaged" in message


@pytest.mark.parametrize("cut", [0, 4, 60, 300])
def test_truncated_weights(refused, model, out, cut):
    weights = (model / "model.safetensors").read_bytes()[:cut]
    (model / "model.safetensors").write_bytes(weights)
    assert "changed or damaged" in refused("generate", model, "-o", out / "grid.png")
    layout.write_sums(model)  # even with the hash of what is there
    message = refused("generate", model, "-o", out / "grid.png")
    assert "no sound safetensors file" in message
    result = refused_verify(model)
    assert "no sound safetensors file" in result


def refused_verify(model):
    from click.testing import CliRunner

    from ganzoo.cli import main

    result = CliRunner().invoke(main, ["verify", str(model)], catch_exceptions=False)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    return line


def test_weights_that_are_not_finite(refused, model, out):
    tensors = load_file(model / "model.safetensors")
    tensors["inner.bias"][0] = float("nan")
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    layout.write_sums(model)
    assert "'inner.bias' is not finite" in refused("generate", model, "-o", out / "grid.png")


def test_weights_that_do_not_fit_the_config(refused, model, edited, out):
    edited(lambda config: config["generator"]["config"].update(width=5))
    message = refused("generate", model, "-o", out / "grid.png")
    assert "does not fit its config" in message
    assert "[3, 4]" in message
    assert "[3, 5]" in message


def test_weights_of_another_model(refused, model, out):
    save_file({"other": torch.zeros(2)}, model / "model.safetensors", metadata={"format": "pt"})
    layout.write_sums(model)
    message = refused("generate", model, "-o", out / "grid.png")
    assert "it lacks 'embed.weight' (and 5 more)" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["generator"]["config"].update(widht=4), "did you mean width?"),
        (lambda c: c["generator"]["config"].update(width="4"), "use int"),
        (lambda c: c["generator"]["config"].update(z_dim=0), "z_dim = 0 is out of range"),
        (lambda c: c["generator"].update(part="tinny"), "is not in the installed ganzoo-tiny"),
        (lambda c: c.update(colour="red"), "has no setting 'colour'"),
        (lambda c: c.update(storage_dtype="int4"), "use one of 'float32', 'float16'"),
        (lambda c: c.update(format=99), "has format 99"),
        (lambda c: c.pop("generator"), "incomplete"),
    ],
    ids=["key", "type", "range", "part", "top key", "choice", "format", "missing"],
)
def test_config_that_is_wrong(refused, model, edited, out, change, said):
    edited(change)
    assert said in refused("generate", model, "-o", out / "grid.png")


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff\xfe", "[" * 100_000])
def test_config_that_is_no_json_object(refused, model, out, text):
    (model / "config.json").write_text(text, encoding="latin-1")
    layout.write_sums(model)
    assert "config.json" in refused("generate", model, "-o", out / "grid.png")


@pytest.mark.parametrize("suffix", [".pt", ".pkl", ".pth", ".ckpt"])
def test_pickles_are_never_opened(refused, model, tmp_path, out, suffix, monkeypatch):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = tmp_path / f"model{suffix}"
    torch.save(Bomb(), path)
    monkeypatch.chdir(tmp_path)
    for source in (path, path.name):
        message = refused("generate", source, "-o", out / "grid.png")
        assert "can run code" in message
        assert "safetensors" in message
    assert not (tmp_path / "exploded").exists()


def test_folders_that_are_no_models(refused, model, tmp_path, out):
    (tmp_path / "empty").mkdir()
    assert "no config.json" in refused("generate", f"{tmp_path}/empty", "-o", out / "a.png")
    assert "there is no" in refused("generate", f"{tmp_path}/nowhere", "-o", out / "a.png")
    assert "there is no" in refused("verify", f"{tmp_path}/nowhere")
    (tmp_path / "a.pkl").write_bytes(b"")
    assert "can run code" in refused("verify", tmp_path / "a.pkl")
    assert "there is no" in refused("info", f"{tmp_path}/nowhere")


# -- data ------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    """A folder of 24 images of 8x8 in two classes."""
    rng = np.random.default_rng(0)
    for k in range(24):
        folder = tmp_path / "pictures" / ("even", "odd")[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k:02d}.png")
    return tmp_path / "pictures"


def test_missing_and_empty_data(refused, model, tmp_path, out):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nowhere"):
        refused("train", "tiny", "--data", f"folder:{tmp_path}/{name}", "--out", out / "run")
    assert "did you mean shapes?" in refused(
        "train", "tiny", "--data", "shape", "--out", out / "run"
    )


def test_data_that_cannot_be_read(refused, model, tmp_path, out):
    (tmp_path / "broken").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "broken" / name).write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    message = refused("train", "tiny", "--data", f"folder:{tmp_path}/broken", "--out", out / "run")
    assert "no image that can be read, of 2" in message
    (tmp_path / "no.zip").write_bytes(b"not a zip")
    refused("train", "tiny", "--data", f"zip:{tmp_path}/no.zip", "--out", out / "run")


def test_one_corrupt_image_is_named_and_skipped(ganzoo, model, pictures, tmp_path):
    path = pictures / "odd" / "03.png"
    path.write_bytes(path.read_bytes()[:50])
    result = ganzoo("train", "tiny", "--data", f"folder:{pictures}", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "03.png" in line]
    assert "skipped 1 of 24 images" in line


def test_mixed_sizes_need_a_resize(ganzoo, refused, model, pictures, out, tmp_path):
    Image.new("L", (9, 7)).save(pictures / "odd" / "99.png")
    arguments = ("train", "tiny", "--data", f"folder:{pictures}")
    message = refused(*arguments, "--out", out / "run")
    assert "several sizes" in message
    assert "--set data.resolution=N" in message
    resized = (*arguments, "--set", "data.resolution=8", "--out", tmp_path / "run")
    assert ganzoo(*resized).exit_code == 0


def test_data_without_classes_or_with_others(refused, model, pictures, tmp_path, out):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in pictures.rglob("*.png"):
        path.rename(flat / path.name)
    message = refused("train", "tiny", "--data", f"folder:{flat}", "--out", out / "run")
    assert "has no classes: choose labelled data" in message
    wanted = ("--set", "generator.num_classes=3", "--set", "discriminator.num_classes=3")
    message = refused("train", "tiny", *wanted, "--out", out / "run")
    assert message.startswith("generator.num_classes is 3, 'shapes?n=64&size=8&channels=1' has 4")
    assert message.endswith("leave num_classes out, or use data with that many")
    free = ("--set", "conditional=false", *wanted)
    message = refused("train", "tiny", *free, "--out", out / "run")
    assert "the recipe is not conditional: --set conditional=true" in message
    larger = ("--set", "generator.image_shape=[1, 16, 16]")
    message = refused("train", "tiny", *larger, "--out", out / "run")
    assert "generator.image_shape is [1, 16, 16]" in message


def test_models_of_other_classes(ganzoo, refused, model, pictures, tmp_path, out):
    """The model has three classes, the shapes four, the pictures two."""
    message = refused("train", "tiny", "--init", "tiny.shapes", "--out", out / "run")
    assert "num_classes is 3 there, 4 here" in message
    run = tmp_path / "run"
    assert ganzoo("train", "tiny", "--out", run, "--steps", 2).exit_code == 0
    message = refused("train", "--resume", "--out", run, "--data", f"folder:{pictures}")
    assert "data.source was" in message


# -- training --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tinny"], "no recipe is called 'tinny': did you mean tiny?"),
        (["nowhere.toml"], "cannot read the recipe"),
        (["--resume"], "is no run folder: name the --out of an earlier run"),
        (["tiny", "--kimg", "0"], "kimg = 0.0 is out of range"),
        (["tiny", "--kimg", "nan"], "kimg = nan is out of range"),
        (["tiny", "--dry-run", "--init", "tiny.shapes"], "--dry-run takes no --init: leave"),
        (["tiny", "--dry-run", "--resume"], "--dry-run takes no --resume"),
        (["tiny", "--dry-run", "--tensorboard"], "--dry-run takes no --tensorboard"),
        (["tiny", "--dry-run", "--steps", "2"], "--dry-run takes no --steps"),
        (["tiny", "--set", "bach=3"], "did you mean batch?"),
        (["tiny", "--set", "batch=many"], "use int"),
        (["tiny", "--set", "batch"], "write key=value"),
        (["tiny", "--set", "loss=hing"], "did you mean hinge?"),
        (["tiny", "--set", "generator.width=wide"], "use int"),
        (["tiny", "--set", "batch=1000"], "--set batch=64"),
        (["tiny", "--device", "abacus"], "no device is called 'abacus'"),
        (["tiny", "--init", "nothing.here"], "no model is called"),
        (["tiny", "--resume"], "no run folder"),
    ],
    ids=str,
)
def test_recipes_and_settings(refused, model, out, arguments, said):
    assert said in refused("train", *arguments, "--out", out / "run")


def test_train_without_a_place_or_a_recipe(refused, model, out):
    assert "give --out FOLDER" in refused("train", "tiny")
    for words in ([], ["--out", out / "run"], ["--dry-run"]):  # and what there is
        message = refused("train", *words)
        assert message.startswith("no recipe is named: ") and message.endswith(" one of tiny")


def test_resume_under_another_recipe(ganzoo, refused, model, tmp_path):
    run = tmp_path / "run"
    assert ganzoo("train", "tiny", "--out", run, "--steps", 4).exit_code == 0
    before = {path: path.read_bytes() for path in files_in(run)}
    message = refused("train", "tiny", "--out", run, "--resume", "--set", "loss=hinge")
    assert "another recipe" in message
    assert "loss" in message
    assert "holds a run already" in refused("train", "tiny", "--out", run)
    assert {path: path.read_bytes() for path in files_in(run)} == before


def test_resume_of_a_truncated_checkpoint_falls_back(ganzoo, model, tmp_path):
    run = tmp_path / "run"
    every = ("--set", "every.checkpoint=2", "--set", "every.keep=3")
    ganzoo("train", "tiny", "--out", run, "--steps", 6, *every)
    newest = run / "checkpoints" / "000000006" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    result = ganzoo("train", "tiny", "--out", run, "--resume", *every)
    assert result.exit_code == 0, result.stderr
    assert "000000006 is damaged" in result.stderr
    assert "resuming at step 4" in result.stderr
    assert (run / "checkpoints" / "000000010").is_dir()


def test_resume_where_no_checkpoint_is_whole(ganzoo, refused, model, tmp_path):
    run = tmp_path / "run"
    ganzoo("train", "tiny", "--out", run, "--steps", 2)
    (run / "checkpoints" / "000000002" / "state.json").write_text("{")
    result = ganzoo("train", "tiny", "--out", run, "--resume")
    assert result.exit_code == 1
    assert "no checkpoint can be read" in result.stderr.splitlines()[-1]


# -- memory ----------------------------------------------------------------------------------------


def test_out_of_memory_names_the_batch_size_to_try(refused, model, out, monkeypatch):
    monkeypatch.setenv("TINY_IS_GREEDY", "1")
    message = refused("generate", "tiny.shapes", "--batch-size", 48, "-o", out / "grid.png")
    assert message == "out of memory with batches of 48: use --batch-size 24"
    message = refused("generate", "tiny.shapes", "--batch-size", 1, "-o", out / "grid.png")
    assert "another --device" in message


def test_training_out_of_memory_names_the_batch_size_to_try(ganzoo, model, tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_IS_GREEDY", "1")
    result = ganzoo("train", "tiny", "--out", tmp_path / "run")
    assert result.exit_code == 1
    caution, line = result.stderr.splitlines()
    assert caution.startswith("warning: it may memorise: ")
    assert "out of memory with batch 8: --set batch=4" in line
