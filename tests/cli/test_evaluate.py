"""`ganzoo evaluate` and `ganzoo compare`, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import ganzoo as library
from ganzoo import layout, training
from tests import tiny

Run = Callable[..., Result]
FEW = ("-n", 32, "--repeats", 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.train(tiny.recipe("gan"), tmp_path_factory.mktemp("runs") / "1")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    own = tmp_path / "own"
    library.save(
        own, library.load(trained), training=layout.read_json(trained / "model/training.json")
    )
    return own


def test_results_are_printed_and_kept(ganzoo: Run, run: Path) -> None:
    done = ganzoo("evaluate", run, *FEW, "--metrics", "fid,kid", "--json")
    assert done.exit_code == 0, done.output
    fid, kid = json.loads(done.stdout)
    assert (fid["metric"], kid["metric"]) == ("fid", "kid")
    assert json.loads((run / "metrics.json").read_text()) == {
        fid["protocol"]: fid,
        kid["protocol"]: kid,
    }
    assert f"written to {run / 'metrics.json'}" in done.stderr
    assert fid["protocol"] in (run / "README.md").read_text()

    done = ganzoo("evaluate", run, "--check", "--json")
    assert done.exit_code == 0, done.output
    assert [row["same"] for row in json.loads(done.stdout)] == [True, True]

    done = ganzoo("info", run, "--json")
    (facts,) = json.loads(done.stdout)
    assert facts["metrics"][fid["protocol"]]["value"] == fid["value"]


def test_another_number_fails_the_check(ganzoo: Run, run: Path) -> None:
    ganzoo("evaluate", run, *FEW, "--metrics", "fid")
    path = run / "metrics.json"
    (name,) = stored = json.loads(path.read_text())
    stored[name]["value"] *= 2
    path.write_text(json.dumps(stored))
    done = ganzoo("evaluate", run, "--check")
    assert done.exit_code == 1
    assert "is stored: evaluate the model again" in done.stderr


def test_no_write_writes_nothing(ganzoo: Run, run: Path) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    done = ganzoo("evaluate", run, *FEW, "--metrics", "precision", "--no-write")
    assert done.exit_code == 0 and done.stdout.startswith("precision/random-v1/n32/train/")
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_models_are_compared_best_first(ganzoo: Run, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    trained = training.train(tiny.recipe("gan", seed=9), tmp_path / "run")
    library.save(
        other, library.load(trained), training=layout.read_json(trained / "model/training.json")
    )
    for model in (run, other):
        assert ganzoo("evaluate", model, *FEW, "--metrics", "fid").exit_code == 0
    done = ganzoo("compare", run, other, "--json")
    (table,) = json.loads(done.stdout)
    values = [row["value"] for row in table["models"]]
    assert values == sorted(values)
    lines = ganzoo("compare", run, other).stdout.splitlines()
    assert [line.split("\t")[1] for line in lines] == ["1", "2"]


def test_refusals_are_one_line(
    ganzoo: Run, refused: Callable[..., str], run: Path, tmp_path: Path
) -> None:
    assert "there is no model folder" in refused("compare", run, tmp_path / "none")
    assert "compared with itself" in refused("compare", run, run)
    assert "has no such results: ganzoo evaluate" in refused("compare", run, "gan.mnist")
    assert "has no results to check" in refused("evaluate", run, "--check")
    assert "does not apply" in refused("evaluate", run, "--check", "-n", 5)
    assert "did you mean fid" in refused("evaluate", run, "--metrics", "fidd")
    assert "no data set is called" in refused("evaluate", run, "--data", "mnnist")
    assert "use --features random" in refused("evaluate", run, "--features", "digits")


def test_an_installed_models_folder_is_not_written(
    ganzoo: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = library.list_models()[0].path
    assert path is not None
    before = (path / "README.md").read_bytes()
    data = "shapes?channels=1&size=28&n=64"
    name = next(e.name for e in library.list_models() if e.name == "gan.mnist")
    done = ganzoo("evaluate", name, "--data", data, *FEW, "--metrics", "fid")
    assert done.exit_code == 0, done.output
    assert "printed only" in done.stderr
    assert (path / "README.md").read_bytes() == before
