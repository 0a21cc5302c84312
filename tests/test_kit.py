"""The conformance kit: it passes what is healthy, and each check catches its fault and no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from broken_plugins import FAULTS, MODEL, Fault
from click.testing import CliRunner

import ganzoo
from ganzoo import checkpoint, layout, plugins
from ganzoo.cli import main
from ganzoo.errors import PluginError
from ganzoo.models import build
from ganzoo.testing import Result, declarations, parametrize_with_checks, run
from ganzoo.testing.checks import CHECKS
from ganzoo.testing.subject import Subject, importable

HEALTHY = Path(__file__).parent / "healthy_plugin"
COMPILED = shutil.ignore_patterns("*.pyc", "__pycache__")


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of models are saved here, and none has to survive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@parametrize_with_checks("ganzoo")
def test_the_core_conforms(check: object) -> None:
    assert callable(check)
    check()


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The healthy plugin with a bundled model."""
    folder = tmp_path_factory.mktemp("kit") / "ganzoo-healthy"
    shutil.copytree(HEALTHY, folder, ignore=COMPILED)
    with importable(folder):
        part = plugins.load().parts.get("generator", "healthy")
        info = layout.ModelInfo(license="apache-2.0", dataset_license="CC0-1.0")
        generator = build(part, part.make_config(part.tiny), seed=0)
        checkpoint.save(folder / MODEL, generator, name="healthy.shapes", info=info)
    return folder


@pytest.fixture
def broken(healthy: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The healthy plugin with the fault of this test."""
    fault: Fault = request.param
    folder = tmp_path / "ganzoo-healthy"
    shutil.copytree(healthy, folder, ignore=COMPILED)
    with importable(folder):  # a fault in a model is made with the healthy code
        fault.break_it(folder)
    yield folder


def names(results: list[Result], state: str) -> set[str]:
    return {result.check for result in results if result.state == state}


def test_a_healthy_plugin_passes_every_check(healthy: Path) -> None:
    results = run(healthy)
    assert [str(result) for result in results if result.state != "passed"] == []
    assert {result.check for result in results} == {check.name for check in CHECKS}


@pytest.mark.parametrize(
    ("broken", "fault"),
    [pytest.param(fault, fault, id=str(fault)) for fault in FAULTS],
    indirect=["broken"],
)
def test_a_fault_is_caught_by_its_check_and_no_other(broken: Path, fault: Fault) -> None:
    results = run(broken)
    failed = [result for result in results if result.state == "failed"]
    assert {result.check for result in failed} == {fault.check}
    for result in failed:
        assert fault.concerns(result.target)
        assert result.problem and result.remedy
        assert "\n" not in str(result)


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert {fault.check for fault in FAULTS} == {check.name for check in CHECKS}


def test_every_rule_is_one_line() -> None:
    for check in CHECKS:
        assert check.rule.endswith(".") and "\n" not in check.rule, check.name


def test_what_rests_on_a_failed_check_is_skipped(healthy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    shutil.copytree(healthy, folder, ignore=COMPILED)
    path = folder / "ganzoo_healthy" / "networks.py"
    path.write_text(path.read_text().replace("return fade(x, lod)", "raise RuntimeError('no')"))
    results = [r for r in run(folder) if r.target == "generator:healthy"]
    assert names(results, "failed") == {"images"}
    assert "finite_gradients" in names(results, "skipped")
    assert "RuntimeError in networks.py, line" in str(
        next(r for r in results if r.check == "images")
    )


def test_a_hook_may_have_another_name_in_its_module(healthy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "renamed"
    shutil.copytree(healthy, folder, ignore=COMPILED)
    module = folder / "ganzoo_healthy" / "__init__.py"
    hook = "@hookimpl\ndef ganzoo_losses("
    text = module.read_text()
    assert hook in text
    module.write_text(text.replace(hook, '@hookimpl(specname="ganzoo_losses")\ndef losses('))
    with closing(Subject(folder)) as subject:
        assert "loss:healthy" in {target.name for target in subject.targets}
        declarations.hooks_fit(subject.targets[0])  # type: ignore[arg-type]


def test_a_folder_leaves_no_trace(healthy: Path) -> None:
    before = list(sys.path)
    with closing(Subject(healthy)):
        assert plugins.load().parts.get("loss", "healthy")
        assert "ganzoo_healthy" in sys.modules
    assert sys.path == before
    assert "ganzoo_healthy" not in sys.modules
    with pytest.raises(ganzoo.GanzooError):
        plugins.load().parts.get("loss", "healthy")


def test_a_src_layout_is_found(healthy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    shutil.copytree(healthy, folder / "src", ignore=COMPILED)
    shutil.move(folder / "src" / "pyproject.toml", folder / "pyproject.toml")
    with closing(Subject(folder)) as subject:
        assert "generator:healthy" in {target.name for target in subject.targets}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("ganzoo-nowhere", "no distribution 'ganzoo-nowhere' is installed"),
        ("pluggy", "pluggy brings no plugin"),
        ("./nowhere", "cannot read"),
        (".", "declares no plugin"),
    ],
)
def test_no_plugin_is_one_clear_error(
    source: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    with pytest.raises(PluginError, match=problem):
        run(source)
    result = CliRunner().invoke(main, ["check", source])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1 and problem in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        "[project",
        "project = 1",
        '[project]\nname = "x"\nentry-points = {ganzoo = "x"}',
        '[project]\nname = 5\nentry-points.ganzoo = {x = "x"}',
        '[project]\nname = "a/b"\nentry-points.ganzoo = {x = "x"}',
        '[project]\nname = "x"\nversion = "1/2"\nentry-points.ganzoo = {x = "x"}',
    ],
)
def test_an_odd_pyproject_is_one_clear_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(PluginError, match=r"pyproject\.toml"):
        run(tmp_path)


def test_a_folder_may_be_given_by_its_bare_name(
    healthy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(healthy.parent)
    with closing(Subject("ganzoo-healthy")) as subject:
        assert "generator:healthy" in {target.name for target in subject.targets}


@pytest.mark.parametrize(
    "broken", [f for f in FAULTS if f.check == "licensed"], ids=str, indirect=True
)
def test_the_command_prints_a_line_for_each_broken_rule(broken: Path) -> None:
    result = CliRunner().invoke(main, ["check", str(broken)])
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "failed licensed[plugin:healthy] The distribution names its licence: ganzoo-healthy has no"
        ' licence in its metadata: write license = "Apache-2.0" (or another SPDX expression) under'
        " [project]"
    ]
    assert "1 failed" in result.stderr


def test_the_command_is_silent_about_a_healthy_plugin(healthy: Path) -> None:
    result = CliRunner().invoke(main, ["check", str(healthy)])
    assert (result.exit_code, result.stdout) == (0, "")
    as_json = CliRunner().invoke(main, ["check", str(healthy), "--json"])
    rows = json.loads(as_json.stdout)
    assert {row["state"] for row in rows} == {"passed"}
    assert {"check", "target", "rule", "problem", "remedy", "seconds"} <= set(rows[0])


def test_pytest_gets_one_id_per_check_and_part(healthy: Path, tmp_path: Path) -> None:
    """In a process of its own, as an author would run it."""
    (tmp_path / "test_mine.py").write_text(
        "from pathlib import Path\n"
        "from ganzoo.testing import parametrize_with_checks\n"
        f"@parametrize_with_checks(Path({str(healthy)!r}))\n"
        "def test_conformance(check):\n"
        "    check()\n"
    )
    root = str(Path(ganzoo.__file__).parent.parent)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-k", "generator"]
    process = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    assert "test_conformance[same_image_in_any_batch-generator:healthy] PASSED" in process.stdout
