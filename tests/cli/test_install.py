"""`ganzoo install` and `uninstall`: what reaches pip, and what is refused before."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ganzoo import installing
from ganzoo.errors import PluginError
from tests import environments

ROOT = Path(__file__).parent.parent.parent

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "ganzoo-comet"
version = "0.3"
license = "MIT"
dependencies = ["ganzoo>=0.1"]

[project.entry-points.ganzoo]
comet = "ganzoo_comet"
"""
PLUGIN = """
from ganzoo import Part, hookimpl

GANZOO_API = 1

@hookimpl
def ganzoo_losses():
    return [Part("comet", "loss", "ganzoo.training.losses:Hinge")]
"""


def write_plugin(folder: Path, *, module: str = PLUGIN) -> Path:
    (folder / "ganzoo_comet").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "ganzoo_comet" / "__init__.py").write_text(module)
    return folder


def write_wheel(folder: Path, entry_points: str) -> Path:
    path = folder / "ganzoo_comet-0.3-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("ganzoo_comet/__init__.py", PLUGIN)
        wheel.writestr("ganzoo_comet-0.3.dist-info/entry_points.txt", entry_points)
    return path


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run."""
    ran: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(installing.subprocess, "run", run)
    return ran


def test_install_check_and_uninstall_for_real(tmp_path: Path) -> None:
    python = environments.make(tmp_path / "venv")
    good = write_plugin(tmp_path / "good")
    bad = write_plugin(tmp_path / "bad", module=PLUGIN.replace("GANZOO_API = 1", ""))
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1"}

    def ganzoo(*words: object):
        return environments.start(python, "-m", "ganzoo", *words, env=offline, cwd=tmp_path)

    done = ganzoo("install", "./good")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    command = [str(python), "-m", "pip", "install", str(good)]
    assert shlex.split(done.stderr.splitlines()[0]) == command
    assert done.stderr.splitlines()[-1].endswith(" passed")
    assert list((tmp_path / "venv").rglob("ganzoo_comet-0.3.dist-info"))

    done = ganzoo("uninstall", "ganzoo_comet")
    assert done.returncode == 0, done.stderr
    command = [str(python), "-m", "pip", "uninstall", "--yes", "ganzoo-comet"]
    assert shlex.split(done.stderr.splitlines()[0]) == command
    assert not list((tmp_path / "venv").rglob("ganzoo_comet*"))

    done = ganzoo("install", bad)
    assert done.returncode == 1
    assert "GANZOO_API" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "error: ganzoo-comet is installed, but did not pass the check above: ganzoo uninstall"
    )

    (bad / "pyproject.toml").write_text(PYPROJECT.replace("hatchling.build", "no_such_backend"))
    done = ganzoo("install", "./bad")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: pip failed (exit code ")


def test_a_reviewed_requirement_is_shown_run_and_checked(ganzoo, commands) -> None:
    result = ganzoo("install", "-U", "Ganzoo_DCGAN >= 0.1")
    assert result.exit_code == 0
    pip = [sys.executable, "-m", "pip", "install", "--upgrade", "Ganzoo_DCGAN>=0.1"]
    assert commands == [pip, [sys.executable, "-m", "ganzoo", "check", "ganzoo-dcgan"]]
    assert result.stderr == f"{shlex.join(pip)}\n"


def test_one_that_nobody_reviewed_is_named_as_such(ganzoo, commands) -> None:
    result = ganzoo("install", "ganzoo-comet[extra]==0.3")
    assert result.stderr.splitlines()[0] == "note: ganzoo has not reviewed 'ganzoo-comet'"
    assert commands[0][-1] == "ganzoo-comet[extra]==0.3"


def test_an_editable_folder(ganzoo, commands, tmp_path) -> None:
    folder = write_plugin(tmp_path / "comet")
    assert ganzoo("install", "-e", f"{folder}/").exit_code == 0
    assert commands[0][-2:] == ["--editable", str(folder)]
    assert commands[1][-1] == "ganzoo-comet"


def test_a_wheel_is_checked_by_its_name(ganzoo, commands, tmp_path) -> None:
    wheel = write_wheel(tmp_path, "[ganzoo]\ncomet = ganzoo_comet\n")
    assert ganzoo("install", wheel).exit_code == 0
    assert commands[0][-1] == str(wheel)
    assert commands[1][-1] == "ganzoo-comet"


def test_a_wheel_without_a_plugin_is_not_installed(refused, commands, tmp_path) -> None:
    wheel = write_wheel(tmp_path, "[console_scripts]\ncomet = ganzoo_comet:main\n")
    assert f"{wheel} brings no plugin of ganzoo" in refused("install", wheel)
    wheel.write_bytes(b"PK\3\4")
    assert f"{wheel} is no wheel" in refused("install", wheel)
    assert commands == []


def test_what_turns_out_to_be_no_plugin_is_undone_by_what_it_says(ganzoo, monkeypatch) -> None:
    ran = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        ran.append(command)
        return subprocess.CompletedProcess(command, int("check" in command))

    monkeypatch.setattr(installing.subprocess, "run", run)
    result = ganzoo("install", "some-library")
    assert result.exit_code == 1
    undo = f"{sys.executable} -m pip uninstall some-library"
    assert result.stderr.splitlines()[-1] == (
        f"error: some-library is installed, but it is no plugin of ganzoo: {undo}"
    )
    assert len(ran) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--", "--index-url=https://example.org"], "is no requirement"),
        (["--", "-rrequirements.txt"], "is no requirement"),
        (["ganzoo-dcgan --index-url=https:"], "is no requirement"),
        (["ganzoo-dcgan\n--pre"], "is no requirement"),
        (["ganzoo-comet@file:comet"], "names an address"),
        (["https://example.org/ganzoo_comet-1-py3-none-any.whl"], "is no requirement"),
        (["ganzoo-comet @ https://example.org/x.whl"], "names an address"),
        (["git+https://example.org/x"], "is no requirement"),
        (["./nowhere"], "no plugin's folder or wheel"),
        ([ROOT / "pyproject.toml"], "no plugin's folder or wheel"),
        ([ROOT], "declares no plugin"),
        (["ganzoo"], "is no plugin"),
        (["dcgan"], "is not 'ganzoo-dcgan', which ganzoo has reviewed: ganzoo install ganzoo-dcg"),
        (["ganzoo-dcgna"], "is not 'ganzoo-dcgan'"),
        (["ganzoo.dc-gan"], "is not 'ganzoo-dcgan'"),
        (["ganzoo-dcg4n==1"], "is not 'ganzoo-dcgan'"),
        (["ganzo-dcgan"], "is not 'ganzoo-dcgan'"),
        (["-e", "ganzoo-dcgan"], "is no folder"),
    ],
)
def test_what_pip_might_take_for_something_else_is_refused(refused, commands, words, said) -> None:
    assert said in refused("install", *words)
    assert commands == []


def test_options_are_not_passed_on(ganzoo, commands) -> None:
    assert ganzoo("install", "ganzoo-dcgan", "--index-url", "https://example.org").exit_code == 2
    assert ganzoo("install", "ganzoo-dcgan", "ganzoo-gan").exit_code == 2
    assert commands == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torch", "no plugin 'torch' is installed"),
        ("ganzoo-dcgna", "did you mean ganzoo-dcgan"),
        ("ganzoo", "is no plugin"),
        ("GANzoo-wgan", "ganzoo-progan needs ganzoo-wgan: ganzoo uninstall ganzoo-progan first"),
        ("./ganzoo-dcgan", "no plugin"),
    ],
)
def test_only_plugins_that_none_needs_are_uninstalled(refused, commands, name, said) -> None:
    assert said in refused("uninstall", name)
    assert commands == []


def test_uv_does_where_there_is_no_pip(ganzoo, commands, monkeypatch) -> None:
    without_pip(monkeypatch)
    monkeypatch.setattr(installing.shutil, "which", lambda name: f"/bin/{name}")
    assert ganzoo("install", "ganzoo-dcgan").exit_code == 0
    python = ["--python", sys.executable]
    assert commands[0] == ["/bin/uv", "pip", "install", *python, "ganzoo-dcgan"]
    assert ganzoo("uninstall", "ganzoo-dcgan").exit_code == 0
    assert commands[-1] == ["/bin/uv", "pip", "uninstall", *python, "ganzoo-dcgan"]


UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(UV is None, reason="uv is not installed (pip install uv)")
def test_the_real_uv_in_an_environment_without_pip(tmp_path: Path) -> None:
    assert UV is not None
    python = environments.make_with_uv(UV, tmp_path / "venv")
    folder = write_plugin(tmp_path / "comet")
    path = f"{Path(UV).parent}{os.pathsep}{os.environ['PATH']}"
    alone = {"PATH": path, "UV_OFFLINE": "1", "UV_NO_BUILD_ISOLATION": "1"}
    alone["UV_CACHE_DIR"] = str(tmp_path / "cache")

    def ganzoo(*words: object):
        return environments.start(python, "-m", "ganzoo", *words, env=alone, cwd=tmp_path)

    def version() -> str:
        (info,) = (tmp_path / "venv").rglob("ganzoo_comet-*.dist-info")
        return info.stem.partition("-")[2]

    assert "No module named pip" in environments.start(python, "-m", "pip").stderr
    done = ganzoo("install", "./comet")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    command = [UV, "pip", "install", "--python", str(python), str(folder)]
    assert shlex.split(done.stderr.splitlines()[0]) == command
    assert done.stderr.splitlines()[-1].endswith(" passed")
    assert version() == "0.3"

    # what was changed since is what is installed and checked, although the version is the same
    module = folder / "ganzoo_comet" / "__init__.py"
    module.write_text(PLUGIN.replace("GANZOO_API = 1", ""))
    done = ganzoo("install", "./comet")
    assert done.returncode == 1 and "GANZOO_API" in done.stderr

    module.write_text(PLUGIN)
    wheels = (sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps")
    environments.run(*wheels, "--no-build-isolation", "-w", tmp_path, folder)
    (wheel,) = tmp_path.glob("ganzoo_comet-0.3-*.whl")
    for words in (["install", wheel], ["install", "-e", "./comet"]):
        done = ganzoo(*words)
        assert done.returncode == 0, done.stderr
        assert version() == "0.3"

    done = ganzoo("uninstall", "Ganzoo_Comet")
    assert done.returncode == 0, done.stderr
    command = [UV, "pip", "uninstall", "--python", str(python), "ganzoo-comet"]
    assert shlex.split(done.stderr.splitlines()[0]) == command
    assert not list((tmp_path / "venv").rglob("*ganzoo_comet*"))

    done = ganzoo("install", "ganzoo-no-such-plugin")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: uv failed (exit code ")


def test_without_pip_and_uv_it_says_so(refused, commands, monkeypatch) -> None:
    without_pip(monkeypatch)
    monkeypatch.setattr(installing.shutil, "which", lambda name: None)
    for words in (["install", "ganzoo-dcgan"], ["uninstall", "ganzoo-dcgan"]):
        said = refused(*words)
        assert "there is no pip in" in said and "no uv: python -m ensurepip" in said
    assert commands == []


def without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pip" else find(name)
    )


def test_a_failure_names_the_tool(monkeypatch, tmp_path) -> None:
    failing = tmp_path / "uv"
    failing.write_text("#!/bin/sh\nexit 3\n")
    failing.chmod(0o755)
    with pytest.raises(PluginError, match=r"^uv failed \(exit code 3\)"):
        installing.run([str(failing), "pip", "install", "ganzoo-dcgan"])
