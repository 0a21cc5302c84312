"""`ganzoo train` from the outside: run folder, resume, dry run, signals, accelerate."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import ganzoo as package


def weights(run):
    return (run / "model" / "model.safetensors").read_bytes()


def test_a_run_and_its_model(ganzoo, model, tmp_path):
    run = tmp_path / "run"
    result = ganzoo("train", "tiny", "--out", run, "--set", "every.log=5")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{run / 'model'}\n"
    assert f"ganzoo generate {run}" in result.stderr
    assert (run / "run.toml").is_file()
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert steps == [5, 10]
    assert package.load(run).num_classes == 4
    assert ganzoo("verify", run).exit_code == 0
    (facts,) = json.loads(ganzoo("info", run, "--json").stdout)
    assert facts["training"]["steps"] == 10
    made = ganzoo("generate", run, "--class", "square", "-n", 4, "-o", tmp_path / "grid.png")
    assert made.exit_code == 0, made.output


def test_a_recipe_file_and_settings(ganzoo, model, tmp_path, site):
    recipe = tmp_path / "mine.toml"
    recipe.write_text((site.folder / "tiny_plugin" / "tiny.toml").read_text())
    arguments = (
        "--set",
        "loss=hinge",
        "--kimg",
        "0.016",
        "--data",
        "shapes?n=32&size=8&channels=1",
    )
    result = ganzoo("train", recipe, "--out", tmp_path / "run", "--json", *arguments)
    assert result.exit_code == 0, result.output
    (made,) = json.loads(result.stdout)
    assert made == {"run": str(tmp_path / "run"), "model": str(tmp_path / "run" / "model")}
    (facts,) = json.loads(ganzoo("info", tmp_path / "run", "--json").stdout)
    assert facts["training"]["steps"] == 2
    assert facts["training"]["recipe"]["loss"]["part"] == "hinge"
    assert facts["training"]["data"]["n"] == 32


@pytest.mark.parametrize("recipe", [["tiny"], []], ids=["named", "from run.toml"])
def test_resume_ends_where_one_run_ends(ganzoo, model, tmp_path, recipe):
    one, two = tmp_path / "one", tmp_path / "two"
    assert ganzoo("train", "tiny", "--out", one).exit_code == 0
    assert ganzoo("train", "tiny", "--out", two, "--steps", 4).exit_code == 0
    assert weights(one) != weights(two)
    result = ganzoo("train", *recipe, "--out", two, "--resume")
    assert result.exit_code == 0, result.output
    assert weights(one) == weights(two)


def test_init_starts_from_a_model(ganzoo, model, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert ganzoo("train", "tiny", "--out", first).exit_code == 0
    result = ganzoo("train", "tiny", "--init", first, "--out", second, "--set", "seed=1")
    assert result.exit_code == 0, result.output
    fresh = tmp_path / "fresh"
    assert ganzoo("train", "tiny", "--out", fresh, "--set", "seed=1").exit_code == 0
    assert weights(second) != weights(fresh)


def test_dry_run_reports_and_writes_nothing(ganzoo, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    (report,) = json.loads(ganzoo("train", "tiny", "--dry-run", "--json").stdout)
    assert report["parameters"]["generator"] == 4 * 4 + 4 * 4 + 4 + 4 * 64 + 64
    assert report["recipe"]["generator"]["width"] == 4
    assert report["steps"] == 10
    assert report["images_per_second"] > 0
    assert report["eta_seconds"] > 0
    result = ganzoo("train", "tiny", "--dry-run")
    text = result.stdout
    assert result.stderr == "measuring a few steps (1 of 1)\n"
    assert "recipe.generator.width\t4" in text
    assert "time\t0:00:0" in text
    assert sorted(tmp_path.iterdir()) == before


def test_dry_run_measures_on_noise_where_the_data_are_not(ganzoo, model, tmp_path):
    shape = ("--set", "data.resolution=8", "--set", "data.channels=3", "--set", "conditional=false")
    words = ("train", "tiny", "--dry-run", "--data", f"folder:{tmp_path / 'no'}")
    (report,) = json.loads(ganzoo(*words, *shape, "--json").stdout)
    assert report["data"]["absent"].startswith("noise in its place: ")
    assert f"{tmp_path / 'no'} does not exist" in report["data"]["absent"]
    assert report["parameters"]["generator"] > 0 and report["seconds_per_step"] > 0
    refused = ganzoo(*words)  # of a shape that nobody knows
    assert refused.exit_code == 1 and "does not exist" in refused.stderr


def test_dry_run_where_the_system_counts_no_memory(ganzoo, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    (report,) = json.loads(ganzoo("train", "tiny", "--dry-run", "--json").stdout)
    assert report["memory_bytes"] is None
    result = ganzoo("train", "tiny", "--dry-run")
    assert result.exit_code == 0
    assert "memory" not in result.stdout


def test_the_run_folder_may_have_a_long_name(ganzoo, model, tmp_path):
    run = tmp_path / ("r" * 255)
    assert ganzoo("train", "tiny", "--out", run, "--steps", 1).exit_code == 0
    assert ganzoo("verify", run).exit_code == 0


def test_tensorboard(ganzoo, model, tmp_path):
    pytest.importorskip("tensorboard")
    result = ganzoo("train", "tiny", "--out", tmp_path / "run", "--tensorboard")
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_ctrl_c_saves_and_says_how_to_resume(model, tmp_path, ganzoo):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "ganzoo", "train", "tiny", "--out", str(run),
               "--kimg", "100000", "--set", "every.log=1"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    log = run / "log.jsonl"
    while not (log.exists() and log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    line = errors.splitlines()[-1]  # the others say how far it was
    assert line.startswith("interrupted: stopped at step ")
    assert f"--out {run} --resume" in line
    step = int(line.split("stopped at step ")[1].split(";")[0])
    assert (run / "checkpoints" / f"{step:09d}").is_dir()
    resumed = ganzoo("train", "tiny", "--out", run, "--resume", "--steps", 1, "--kimg", "100000")
    assert resumed.exit_code == 0, resumed.output
    assert f"resuming at step {step}" in resumed.stderr


def test_two_processes_write_one_run_and_answer_once(model, tmp_path):
    """As accelerate starts them; test_readme.py runs `accelerate launch` itself."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "-m", "ganzoo",
               "train", "tiny", "--out", str(run), "--json"]  # fmt: skip
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [{"run": str(run), "model": str(run / "model")}]
    training = json.loads((run / "model" / "training.json").read_text())
    assert training["hardware"]["processes"] == 2
    assert training["steps"] == 10
