"""What a run measures as it goes: metrics with the best model kept, and mode collapse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ganzoo
from ganzoo import layout, training
from ganzoo.errors import ConfigError, GanzooError, InputError
from ganzoo.evaluation.results import read_results
from ganzoo.training.scoring import Due
from tests import tiny


def log(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def curve(run: Path, name: str) -> dict[int, float]:
    return {int(entry["step"]): entry[name] for entry in log(run) if name in entry}


def recipe(**changes: object) -> training.Recipe:
    evaluate = {"every": 4, "n": 32, "metrics": ["fid", "coverage"]}
    return tiny.recipe("gan", **{"evaluate": evaluate, **changes})


def test_due_is_the_first_logging_step_of_each_interval() -> None:
    due = Due(10)
    assert [step for step in range(3, 60, 3) if due(step)] == [12, 21, 30, 42, 51]
    resumed = Due(10)
    assert [step for step in range(33, 60, 3) if resumed(step)] == [42, 51]
    assert [step for step in range(4, 13, 4) if Due(4)(step)] == [4, 8, 12]


def test_metrics_are_logged_and_the_best_model_is_kept(tmp_path: Path) -> None:
    run = training.train(recipe(), tmp_path / "run", tensorboard=True)
    fid = curve(run, "eval/fid")
    assert list(fid) == [4, 8, 12, 16, 20]
    assert set(curve(run, "eval/coverage")) == set(fid)

    best = run / "best"
    step = layout.read_json(best / "training.json")["steps"]
    assert fid[step] == min(fid.values())
    results = {name.partition("/")[0]: entry for name, entry in read_results(best).items()}
    assert results["fid"]["value"] == pytest.approx(fid[step], rel=1e-5)
    assert results["fid"]["settings"]["split"] == "train"
    assert not ganzoo.verify(best).problems
    again = ganzoo.evaluate(best, n=32, repeats=1, metrics=["fid"])[0]
    # the folder's weights are those that were measured, but for the batches of its features
    assert again.value == pytest.approx(fid[step], rel=1e-3)

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("eval/fid")] == list(fid)


def test_a_metric_that_grows_keeps_the_highest(tmp_path: Path) -> None:
    evaluate = {"every": 4, "n": 32, "metrics": ["density"]}
    run = training.train(recipe(evaluate=evaluate), tmp_path / "run")
    density = curve(run, "eval/density")
    step = layout.read_json(run / "best" / "training.json")["steps"]
    assert density[step] == max(density.values())


def test_measuring_does_not_change_the_run(tmp_path: Path) -> None:
    plain = training.train(tiny.recipe("gan"), tmp_path / "plain")
    every = {"log": 2, "checkpoint": 5, "grid": 4}
    measured = training.train(recipe(every=every), tmp_path / "measured")
    a, b = (ganzoo.load(run).state_dict() for run in (plain, measured))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_resumed_run_keeps_its_best_model_and_its_curve(tmp_path: Path) -> None:
    whole = training.train(recipe(), tmp_path / "whole")
    parted = training.train(recipe(), tmp_path / "parted", steps=10)
    training.train(recipe(), tmp_path / "parted", resume=True)
    for name in ("eval/fid", "eval/coverage"):
        assert curve(parted, name) == curve(whole, name)
    a, b = (ganzoo.load(run / "best").state_dict() for run in (whole, parted))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_metrics_that_cannot_be_are_refused_before_the_run(tmp_path: Path) -> None:
    for evaluate, line in (
        ({"features": "nope"}, "no features is called 'nope'"),
        ({"features": "digits"}, "gray images of 28 x 28"),
        ({"metrics": ["inception-score"]}, "needs a classifier"),
    ):
        with pytest.raises(GanzooError, match=line):
            training.train(recipe(evaluate={"every": 4, "n": 32, **evaluate}), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_a_measurement_that_fails_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from ganzoo.training import scoring

    def fails(*arguments: object, **options: object) -> None:
        raise InputError("no space left", "free some")

    monkeypatch.setattr(scoring, "measure", fails)
    run = training.train(recipe(), tmp_path / "run")
    assert curve(run, "eval/fid") == {}
    assert (run / "model" / "config.json").is_file()
    assert "step 4: not measured: no space left: free some" in capfd.readouterr().err


def test_a_measurement_that_ends_the_run_costs_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a device has no memory left for it: the run would come no further, ever."""
    from ganzoo.training import scoring

    def fails(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    every = {"log": 4, "checkpoint": 8, "grid": 0}
    whole = recipe(every=every, evaluate={"every": 8, "n": 32})
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(scoring, "measure", fails)
        training.train(whole, tmp_path / "run")
    run = tmp_path / "run"
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["000000008"]
    training.train(whole, run, resume=True, steps=1)


def test_a_best_model_that_is_damaged_is_none(tmp_path: Path) -> None:
    from ganzoo.training.scoring import _stored

    best = tmp_path / "best"
    best.mkdir()
    assert _stored(best, "fid") is None
    (best / "metrics.json").write_text('{"fid": 3}')
    assert _stored(best, "fid") is None
    assert best.exists()


def test_the_classifier_of_a_data_set_is_for_its_own_size_only(tmp_path: Path) -> None:
    """MNIST at another size is looked at by the random network."""
    from dataclasses import replace

    from ganzoo.data import load_data
    from ganzoo.training.scoring import ModeCoverage

    data = replace(load_data("shapes?n=64&size=8&channels=1"), source="mnist?resolution=8")
    coverage = ModeCoverage(4, data, torch.device("cpu"))
    coverage._prepare(data)
    assert coverage._what == "clusters"


@pytest.mark.parametrize(
    ("evaluate", "line"),
    [
        ({"every": 4, "metrics": ["fdi"]}, "no metric is called 'fdi'"),
        ({"every": 4, "metrics": []}, "no metric to evaluate"),
        ({"every": 4, "n": 1}, "n"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(
    evaluate: dict[str, object], line: str
) -> None:
    with pytest.raises(ConfigError, match=line):
        recipe(evaluate=evaluate)


# -- mode collapse ---------------------------------------------------------------------------------


def test_collapse_is_logged_and_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A G whose learning rate is 0 keeps showing what it was drawn as: nearly one image."""
    every = {"log": 2, "checkpoint": 0, "grid": 4}
    optimizer = {"generator": {"lr": 0.0}}
    run = training.train(tiny.recipe("gan", every=every, optimizer=optimizer), tmp_path / "run")
    shares = curve(run, "modes/share")
    assert list(shares) == [4, 8, 12, 16, 20]
    assert max(shares.values()) < 0.5
    said = [line for line in capfd.readouterr().err.splitlines() if "mode collapse?" in line]
    assert len(said) == 1  # once, not at every interval
    assert "show 1 of the" in said[0] or "clusters that as many real ones show" in said[0]


def test_real_images_show_all_their_modes(tmp_path: Path) -> None:
    """What as many images of G are compared with."""
    from ganzoo.data import load_data
    from ganzoo.training.scoring import ModeCoverage

    data = load_data("shapes?n=512&size=16&channels=1")
    coverage = ModeCoverage(4, data, torch.device("cpu"))
    coverage._prepare(data)
    assert coverage._of_real >= 12


def test_two_processes_measure_together(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path.cwd())!r})\n"
        "from ganzoo import training\n"
        "from tests.test_scoring import recipe\n"
        "training.train(recipe(), sys.argv[1], device='cpu')\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    out = tmp_path / "run"
    done = subprocess.run([*command, script, out], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(curve(out, "eval/fid")) == [4, 8, 12, 16, 20]
    step = layout.read_json(out / "best" / "training.json")["steps"]
    assert curve(out, "eval/fid")[step] == min(curve(out, "eval/fid").values())
