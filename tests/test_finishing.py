"""`[finish]` of a recipe: the model is measured and audited, and then fit to be published."""

from __future__ import annotations

from pathlib import Path

import pytest

import ganzoo
from ganzoo import gates, layout, publishing, training
from ganzoo.errors import CheckpointError, ConfigError, InputError
from ganzoo.evaluation import evaluating
from ganzoo.evaluation.results import read_results
from tests import tiny

SAID = {"shows_people": False, "not_for_all_audiences": False}


def recipe(finish: dict[str, int], **changes: object) -> training.Recipe:
    """Of a model that is unconditional, and of which all is said that its author has to say."""
    data = {"source": tiny.recipe("gan").data.source, **SAID}
    return tiny.recipe("gan", **{"data": data, "finish": finish, **changes})


def test_a_finished_model_is_measured_and_audited_as_by_the_commands(tmp_path: Path) -> None:
    evaluate = {"metrics": ["kid", "coverage"]}
    run = training.train(
        recipe({"evaluate": 32, "audit": 100}, evaluate=evaluate), tmp_path / "run"
    )
    model = run / "model"
    found = {name.partition("/")[0]: entry for name, entry in read_results(model).items()}
    assert set(found) == {"kid", "coverage"}
    assert found["kid"]["settings"]["n_fake"] == 32
    (again,) = ganzoo.evaluate(model, n=32, metrics=["kid"])
    assert again.name in read_results(model)
    assert again.value == pytest.approx(found["kid"]["value"], rel=1e-6)
    audit = layout.read_json(model / "audit.json")
    assert audit["protocol"]["generated"] == 100
    assert audit == ganzoo.audit(model, n=100).to_dict()
    assert not ganzoo.verify(model).problems

    sent = publishing.publish(run, "me/tiny", dry_run=True)  # no gate has to be overridden
    assert {"metrics.json", "audit.json"} <= {file.file for file in sent.files}
    assert any(audit["reasons"][0] in note for note in sent.notes)


@pytest.mark.parametrize(
    ("finish", "gate", "line"),
    [({"evaluate": 32}, "audit", "it was not audited"), ({"audit": 100}, "metrics", "neither FID")],
)
def test_what_was_not_asked_for_stops_the_publication(
    tmp_path: Path, finish: dict[str, int], gate: str, line: str
) -> None:
    run = training.train(recipe(finish), tmp_path / "run")
    blocks = gates.lint(run, quick=True).of("block")
    assert [finding.gate for finding in blocks] == [gate]
    assert line in blocks[0].message
    for dry_run in (True, False):
        with pytest.raises(CheckpointError, match=line):
            publishing.publish(run, "me/tiny", dry_run=dry_run)


def test_a_run_that_is_not_at_its_end_is_left_and_done_when_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recipe({"evaluate": 32, "audit": 100})
    run = training.train(asked, tmp_path / "run", steps=12)
    assert not (run / "model" / "metrics.json").exists()
    assert not (run / "model" / "audit.json").exists()
    training.train(asked, run, resume=True)
    first = {path.name: path.read_bytes() for path in (run / "model").iterdir()}
    assert {"metrics.json", "audit.json"} <= set(first)

    def fails(*_: object, **__: object) -> None:
        raise AssertionError("it was done already")

    monkeypatch.setattr(evaluating, "evaluate", fails)
    monkeypatch.setattr("ganzoo.evaluation.auditing.audit", fails)
    training.train(asked, run, resume=True)
    assert {path.name: path.read_bytes() for path in (run / "model").iterdir()} == first


def test_an_older_run_is_resumed_with_it_and_told_of_it(tmp_path: Path) -> None:
    run = training.train(recipe({}), tmp_path / "run")
    training.train(recipe({"evaluate": 32}), run, resume=True)
    assert read_results(run / "model")


def test_what_fails_is_said_and_costs_nobody_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise InputError("the extractor is broken", "mend it")

    monkeypatch.setattr(evaluating, "evaluate", fails)
    run = training.train(recipe({"evaluate": 32, "audit": 100}), tmp_path / "run")
    assert "not measured: the extractor is broken: mend it\n" in capfd.readouterr().err
    assert not (run / "model" / "metrics.json").exists()
    assert (run / "model" / "audit.json").exists()
    assert not ganzoo.verify(run / "model").problems


def test_an_audit_of_other_weights_is_made_anew(tmp_path: Path) -> None:
    from ganzoo.training import finishing

    run = training.train(recipe({"audit": 100}), tmp_path / "run")
    assert finishing.is_audited(run / "model")
    path = run / "model" / "audit.json"
    path.write_text(path.read_text().replace('"weights_sha256": "', '"weights_sha256": "0'))
    assert not finishing.is_audited(run / "model")


def test_what_cannot_be_measured_is_refused_before_the_run(tmp_path: Path) -> None:
    asked = recipe({"evaluate": 32}, evaluate={"metrics": ["inception-score"]})
    with pytest.raises(InputError, match="needs a classifier"):
        training.train(asked, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_record_costs_a_resumed_run_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = recipe({"evaluate": 32})
    run = training.train(asked, tmp_path / "run")
    (run / "model" / "metrics.json").write_text("[")
    training.train(asked, run, resume=True)
    assert "not measured: " in capfd.readouterr().err


@pytest.mark.parametrize("finish", [{"evaluate": 1}, {"audit": 99}, {"evaluate": -1}, {"n": 5}])
def test_odd_numbers_are_refused_before_the_run(tmp_path: Path, finish: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"finish"):
        training.train(recipe(finish), tmp_path / "run")
    assert not (tmp_path / "run").exists()
