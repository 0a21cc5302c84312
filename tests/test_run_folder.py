"""The run folder: what it holds, who may have it, going on in it, and stopping at any time."""

from __future__ import annotations

import io
import json
import os
import pkgutil
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ganzoo
from ganzoo import files, weights
from ganzoo.data import load_data
from ganzoo.errors import TrainingError
from ganzoo.hookspecs import hookimpl
from ganzoo.training import Recipe, folder, train
from ganzoo.training import trainer as training
from ganzoo.training.trainer import Trainer
from tests.test_training import state_bytes
from tests.tiny import recipe


class At:
    """Does something at the end of a logging interval."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        self.step, self.act = step, act

    @hookimpl
    def ganzoo_step_end(self, trainer: Trainer, step: int, logs: Mapping[str, float]) -> None:
        if step == self.step:
            self.act()


def test_a_run_folder_has_everything(tmp_path: Path) -> None:
    run = train(recipe("dcgan", every={"log": 4, "checkpoint": 8, "grid": 10}), tmp_path / "run")
    assert sorted(p.name for p in run.iterdir()) == [
        "checkpoints",
        "grids",
        "log.jsonl",
        "model",
        "run.toml",
    ]
    assert [p.name for p in sorted((run / "checkpoints").iterdir())] == ["000000016", "000000020"]
    assert sorted(p.name for p in (run / "grids").iterdir()) == [
        "000000000.png",
        "000000012.png",
        "000000020.png",
    ]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [4, 8, 12, 16, 20]
    assert {"D/real", "D/fake", "G/fake", "images_per_second", "images"} <= set(log[0])
    record = json.loads((run / "model" / "training.json").read_text())
    assert record["steps"] == 20 and record["images"] == 160 and record["seed"] == 3
    assert record["data"]["digest"] == load_data(recipe("dcgan").data.source).digest
    assert record["versions"]["torch"] == torch.__version__
    assert Recipe.load(run / "run.toml") == Recipe.from_dict(record["recipe"])


def test_a_run_is_loaded_like_a_model(tmp_path: Path) -> None:
    run = train(recipe("dcgan"), tmp_path / "run", steps=2)
    G = ganzoo.load(run)
    assert not G.training and G.sample(3).shape == (3, 1, 16, 16)
    D = ganzoo.load_discriminator(run)
    assert D(G.sample(3)).shape == (3,)


def test_interrupted_runs_are_refused_without_resume(tmp_path: Path) -> None:
    run = train(recipe("gan"), tmp_path / "run", steps=2)
    with pytest.raises(TrainingError, match="holds a run already: --resume"):
        train(recipe("gan"), run)
    with pytest.raises(TrainingError, match="no run folder"):
        train(recipe("gan"), tmp_path / "none", resume=True)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("batch=4", "batch was 8, now 4"),
        ("loss=hinge", "loss.part was 'non-saturating', now 'hinge'"),
        ("optimizer.generator.lr=0.1", "optimizer.generator.lr was 0.0002"),
        ("discriminator.widths=[4]", "discriminator.widths"),
    ],
)
def test_another_recipe_does_not_resume(tmp_path: Path, setting: str, named: str) -> None:
    run = train(recipe("gan"), tmp_path / "run", steps=2)
    before = state_bytes(run)
    with pytest.raises(TrainingError, match=named):
        train(recipe("gan"), run, settings=[setting], resume=True)
    with pytest.raises(TrainingError, match=r"was 'shapes|other data"):
        train(recipe("gan"), run, data="shapes?n=90&size=8&channels=1", resume=True)
    assert state_bytes(run) == before


def test_a_longer_run_goes_on(tmp_path: Path) -> None:
    run = train(recipe("gan", kimg=0.08), tmp_path / "run")
    train(recipe("gan", kimg=0.16), run, resume=True)
    assert json.loads((run / "model" / "training.json").read_text())["steps"] == 20


def test_a_truncated_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(recipe("gan"), tmp_path / "run", steps=10)
    whole = state_bytes(run)
    newest = run / "checkpoints" / "000000010" / "state.safetensors"
    newest.write_bytes(whole[: len(whole) // 2])
    train(recipe("gan"), run, resume=True, steps=5)
    said = capsys.readouterr().err
    assert "000000010 is damaged" in said and "resuming at step 5" in said
    assert state_bytes(run) == whole

    for path in (run / "checkpoints").glob("*/state.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(TrainingError, match="no checkpoint can be read"):
        train(recipe("gan"), run, resume=True)


def test_the_log_is_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    run = train(recipe("gan"), tmp_path / "run", steps=5)
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "images": 48}\n{"step": 8, "ima')
    train(recipe("gan"), run, resume=True, steps=5)
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 5, 6, 8, 10]


# -- folders that are no place for a new run -------------------------------------------------------


@pytest.mark.parametrize("held", ["notes.txt", "model", "grids", "log.jsonl"])
def test_a_folder_with_other_files_is_no_place_for_a_run(tmp_path: Path, held: str) -> None:
    (tmp_path / held).mkdir() if "." not in held else (tmp_path / held).write_text("mine")
    with pytest.raises(TrainingError, match=rf"holds other files already, such as {held}: use"):
        train(recipe("gan"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [held]


@pytest.mark.parametrize(("name", "is_foreign"), [("log.txt", False), ("log.jsonl", True)])
def test_the_file_that_a_run_prints_to_may_be_in_its_folder(
    tmp_path: Path, name: str, is_foreign: bool
) -> None:
    """The shell makes it before the run starts; a name that the run itself writes is not free."""
    stdout = os.dup(1)
    with (tmp_path / name).open("w") as file:
        os.dup2(file.fileno(), 1)
    try:
        found = folder.others(tmp_path)
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
    assert found == ({name} if is_foreign else set())
    assert folder.others(tmp_path) == {name}


def test_a_model_without_its_checkpoints_is_not_overwritten(tmp_path: Path) -> None:
    run = train(recipe("gan"), tmp_path / "run", steps=2)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(TrainingError, match="such as model: use another --out"):
        train(recipe("gan"), run)


def test_a_run_without_a_checkpoint_is_started_anew_in_its_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        train(recipe("gan"), run, observers=[At(2, lambda: 1 / 0)])
    (run / ".DS_Store").write_text("the system's")
    assert (run / "run.toml").exists() and train(recipe("gan"), run, steps=2) == run


# -- checkpoints ---------------------------------------------------------------------------------


def test_a_run_that_went_back_behind_a_damaged_checkpoint_keeps_its_new_one(tmp_path: Path) -> None:
    run = train(recipe("gan"), tmp_path / "run", steps=10)
    (run / "checkpoints" / "000000010" / "state.safetensors").write_bytes(b"")
    one = recipe("gan", every={"log": 2, "checkpoint": 1, "grid": 0, "keep": 1})
    train(one, run, resume=True, steps=2)
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["000000007"]


@pytest.mark.parametrize("cut_short", ["write_model", "state.save"])
def test_where_a_checkpoint_is_its_model_is_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_short: str
) -> None:
    """A process that ends within the last checkpoint leaves a run that a resume completes."""
    real = attrgetter(cut_short)(training)

    def end(trainer: Trainer, *rest: Any, **more: Any) -> Any:
        if trainer.step == trainer.total_steps:
            raise ZeroDivisionError
        return real(trainer, *rest, **more)

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(f"ganzoo.training.trainer.{cut_short}", end)
        train(recipe("gan"), tmp_path / "run")
    run = train(recipe("gan"), tmp_path / "run", resume=True)
    assert json.loads((run / "model" / "training.json").read_text())["steps"] == 20


def test_a_checkpoint_of_other_networks_is_refused(tmp_path: Path) -> None:
    """As where a plugin of another version gives its tensors other names."""
    run = train(recipe("gan"), tmp_path / "run", steps=2)
    (path,) = (run / "checkpoints").glob("*/state.safetensors")
    tensors = load_file(path)
    tensors["G.renamed"] = tensors.pop("G.layers.0.weight")
    weights.write_tensors(path, tensors)
    state = json.loads((path.parent / "state.json").read_text()) | {"sha256": files.sha256(path)}
    (path.parent / "state.json").write_text(json.dumps(state))
    with pytest.raises(TrainingError, match="G of the checkpoint at step 2 does not fit the netw"):
        train(recipe("gan"), run, resume=True)


def test_a_checkpoint_between_logging_steps_counts_the_time(tmp_path: Path) -> None:
    seldom = {"log": 1000, "checkpoint": 2, "grid": 0}
    with pytest.raises(ZeroDivisionError):  # told of step 4 by its checkpoint
        train(recipe("gan", every=seldom), tmp_path, observers=[At(4, lambda: 1 / 0)])
    (state,) = (tmp_path / "checkpoints").glob("*/state.json")
    assert json.loads(state.read_text())["wall_seconds"] > 0


# -- stopping --------------------------------------------------------------------------------------

INT, TERM = signal.SIGINT, signal.SIGTERM


@pytest.mark.parametrize("number", [INT, TERM])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path, number: int) -> None:
    run, former = tmp_path / "run", [signal.getsignal(n) for n in (INT, TERM)]
    with pytest.raises(KeyboardInterrupt, match=r"stopped at step 7; go on with .* --resume"):
        train(recipe("gan"), run, observers=[At(6, lambda: os.kill(os.getpid(), number))])
    whole = train(recipe("gan"), tmp_path / "whole")
    train(recipe("gan"), run, resume=True)
    assert state_bytes(run) == state_bytes(whole)
    assert [signal.getsignal(n) for n in (INT, TERM)] == former


@pytest.mark.parametrize(
    ("phase", "signals", "said"),
    [
        ("data.prepare.digest", [TERM], "before the first checkpoint; start anew in the same way"),
        (
            "training.trainer.Trainer.train_step",
            [INT],
            "at step 1; go on with --out {run} --resume",
        ),
        ("training.trainer.Trainer.train_step", [INT, TERM], "before the first checkpoint; start"),
        ("weights.write_tensors", [INT], "at step 6; go on with --out {run} --resume"),
        ("training.state.save", [INT] * 2, "before the first checkpoint; start anew with another"),
        ("training.finishing._evaluate", [INT], "at step 20; go on with --out {run} --resume"),
        ("training.finishing._evaluate", [TERM], "at step 20; go on with --out {run} --resume"),
    ],
)
def test_a_signal_in_any_phase_leaves_a_run_that_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    signals: list[signal.Signals],
    said: str,
) -> None:
    run = tmp_path / "run"
    whole = recipe("gan", finish={"evaluate": 16})
    real, left = pkgutil.resolve_name(f"ganzoo.{phase}"), list(signals)

    def interrupted(*values: Any, **more: Any) -> Any:
        while left:
            os.kill(os.getpid(), left.pop(0))
        return real(*values, **more)

    monkeypatch.setattr(f"ganzoo.{phase}", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(whole, run)
    assert said.format(run=run) in str(stopped.value)
    if "another" in said:
        run = tmp_path / "another"
    train(whole, run, resume="--resume" in said)
    assert json.loads((run / "model" / "training.json").read_text())["steps"] == 20
    assert (run / "model" / "metrics.json").exists()


def test_the_first_ctrl_c_is_answered_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def press() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert capsys.readouterr().err.endswith("a second Ctrl-C stops at once\n")

    with pytest.raises(KeyboardInterrupt):
        train(recipe("gan"), tmp_path / "run", observers=[At(2, press)])


def test_a_run_outlives_who_reads_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `tee`, which Ctrl-C ends too."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    press = At(6, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match="stopped at step 7; go on with"):
        train(recipe("gan"), tmp_path / "run", progress=True, observers=[press])


def test_ctrl_c_in_the_last_step_is_not_lost(tmp_path: Path) -> None:
    """What a recipe asks for after it is not begun, and observers are told why."""
    ends: list[BaseException | None] = []

    class End:
        @hookimpl
        def ganzoo_train_end(self, trainer: Trainer, error: BaseException | None) -> None:
            ends.append(error)

    run, whole = tmp_path / "run", recipe("gan", finish={"evaluate": 16})
    press = At(20, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match="stopped at step 20"):
        train(whole, run, observers=[press, End()])
    assert not (run / "model" / "metrics.json").exists()
    train(whole, run, resume=True, observers=[End()])
    assert (run / "model" / "metrics.json").exists()
    assert isinstance(ends[0], KeyboardInterrupt) and ends[1] is None
