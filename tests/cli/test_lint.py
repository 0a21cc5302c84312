"""lint, declare, and publishing with an override, as they are typed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganzoo import catalogue, curation, layout
from ganzoo.cli import main
from tests import fit
from tests.hub_server import Hub

pytestmark = pytest.mark.usefixtures("measured_again")
REASON = "its digits are public, and copies harm nobody"


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fit.model(tmp_path / "model")


@pytest.fixture
def unaudited(folder: Path) -> Path:
    (folder / "audit.json").unlink()
    return fit.sealed(folder)


def test_lint_of_a_good_folder(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = run("lint", folder, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert rows and {row["level"] for row in rows} == {"warn"}
    assert set(rows[0]) == {"gate", "level", "message"}
    assert "it may be published" in result.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_lint_names_every_gate_that_stops_it(unaudited: Path) -> None:
    assert run("declare", unaudited, "license=unknown").exit_code == 0
    result = run("lint", unaudited)
    assert result.exit_code == 1
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert {gate for level, gate, _ in lines if level == "block"} == {"licences", "audit"}
    assert result.stderr.splitlines()[-1] == (
        f"error: {unaudited} is not fit to be published: mend licences, audit"
    )


def test_what_is_declared(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    facts = ["shows_people=yes", "dataset=private", "dataset_size=900", "not_for_all_audiences=no",
             "dataset_consent=Photographs of my own, of 2026", "classes=a, b",
             "content_crop=2,2,28,28"]  # fmt: skip
    result = run("declare", folder, *facts, "--json")
    assert result.exit_code == 0, result.output
    (said,) = json.loads(result.stdout)
    config = layout.read_config(folder)
    assert config.shows_people is True and config.not_for_all_audiences is False
    assert (config.dataset.name, config.dataset.size) == ("private", 900)
    assert config.dataset.consent == "Photographs of my own, of 2026"
    assert config.classes == ("a", "b") and config.dataset.content_crop == (2, 2, 28, 28)
    assert said["dataset_size"] == 900 and said["license"] == "mit"
    assert "may show people" in (folder / "README.md").read_text()
    assert run("verify", folder).exit_code == 0
    assert (folder / "model.safetensors").read_bytes() == weights
    assert json.loads(run("declare", folder, "--json").stdout) == [said]


@pytest.mark.parametrize(
    ("fact", "code", "text"),
    [
        ("show_people=no", 1, "did you mean shows_people?"),
        ("shows_people=perhaps", 1, "say yes or no"),
        ("dataset_size=many", 1, "of the wrong type"),
        ("shows_people", 2, "is no KEY=VALUE"),
    ],
)
def test_declarations_that_are_refused(folder: Path, fact: str, code: int, text: str) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = run("declare", folder, fact)
    assert result.exit_code == code and text in result.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_damaged_folder_gets_no_new_hashes(folder: Path) -> None:
    (folder / "samples.png").write_bytes(b"other")
    before = (folder / "SHA256SUMS").read_bytes()
    result = run("declare", folder, "shows_people=no")
    assert result.exit_code == 1 and "changed or damaged" in result.stderr
    assert (folder / "SHA256SUMS").read_bytes() == before


def test_an_override_is_seen_wherever_the_model_is(
    server: Hub, unaudited: Path, tmp_path: Path
) -> None:
    refused = run("publish", unaudited, "me/mine", "--yes")
    assert refused.exit_code == 1 and "(audit): it was not audited" in refused.stderr
    override = ["--override", "audit", "--reason", REASON]
    result = run("publish", unaudited, "me/mine", "--yes", *override, "--json")
    assert result.exit_code == 0, result.output
    line = f"published although the gate 'audit' stops it, because: {REASON}"
    assert f"note: {line}" in result.stderr
    assert json.loads(result.stdout)[0]["overrides"] == {"audit": REASON}

    (info,) = json.loads(run("info", "hf://me/mine", "--json").stdout)
    assert info["overrides"] == info["config"]["overrides"] == {"audit": REASON}
    assert f"overrides.audit\t{REASON}" in run("info", "hf://me/mine").stdout
    verified = run("verify", "hf://me/mine", "--json")
    assert verified.exit_code == 0 and f"note: {line}" in verified.stderr
    assert json.loads(verified.stdout)[0]["overrides"] == {"audit": REASON}

    file = tmp_path / "registry.toml"
    added = run("registry", "add", "me/mine", "--to", file)
    assert added.exit_code == 0, added.output
    assert tomllib.loads(file.read_text())["model"][0]["overrides"] == {"audit": REASON}
    (entry,) = catalogue.read(file)
    assert entry.overrides == {"audit": REASON}
    assert [checked.problems for checked in curation.check_registry(file)] == [()]
    file.write_text(file.read_text().replace(REASON, "all is well with it"))
    (checked,) = curation.check_registry(file)
    assert "the entry says overrides {'audit': 'all is well with it'}" in checked.problems[0]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--override", "audit"], 2, "give one --reason for each --override GATE"),
        (["--reason", REASON], 2, "give one --reason for each --override GATE"),
        (["--override", "audit", "--reason", "no"], 1, "has 2 characters"),
        (["--override", "header", "--reason", REASON], 1, "cannot be overridden"),
        (["--override", "audti", "--reason", REASON], 1, "did you mean audit"),
        (["--override", "audit", "--reason", REASON] * 2, 2, "give one --reason for each"),
    ],
)
def test_overrides_that_are_refused(
    server: Hub, unaudited: Path, words: list[str], code: int, text: str
) -> None:
    result = run("publish", unaudited, "me/mine", "--yes", *words)
    assert result.exit_code == code, result.output
    assert text in result.stderr.splitlines()[-1]
    assert server.repos == {}


def test_a_model_of_a_recipe_declares_what_the_recipe_says() -> None:
    from ganzoo.training import Recipe, find_recipe

    recipe = find_recipe("dcgan.mnist")
    assert recipe.data.shows_people is False and recipe.data.not_for_all_audiences is False
    other = recipe.data.with_source("folder:faces")  # what was said of the digits is not true of it
    assert other.shows_people is None and other.not_for_all_audiences is None
    changed = recipe.with_settings(["data.source=folder:faces"])
    assert isinstance(changed, Recipe) and changed.data.shows_people is None
