"""The distributions: what their wheels hold, that they install without the checkout, and that what
pyproject.toml, registry.toml and the plugins say of each other agrees."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import ganzoo
from ganzoo import checkpoint, plugins, provenance, registry
from ganzoo.hookspecs import API_VERSION
from ganzoo.parts import KINDS

ROOT = Path(__file__).parent.parent
PLUGINS = sorted((ROOT / "plugins").glob("ganzoo-*"))
FOLDERS = [ROOT, *PLUGINS]
MODELS = sorted(path.parent for path in ROOT.glob("plugins/*/*/models/*/config.json"))


def pyproject(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return project


def package(folder: Path) -> str:
    """The import package of a distribution."""
    return str(pyproject(folder)["name"]).replace("-", "_")


# -- the wheels ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of every distribution by name, built here without an index."""
    out = tmp_path_factory.mktemp("wheels")
    for folder in FOLDERS:
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", out, folder)
    return {path.name.split("-")[0].replace("_", "-"): path for path in sorted(out.glob("*.whl"))}


def run(*command: object, **options: Any) -> str:
    """stdout of a command that must succeed."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_distribution_builds_and_passes_twine(wheels: dict[str, Path]) -> None:
    assert set(wheels) == {pyproject(folder)["name"] for folder in FOLDERS}
    run(sys.executable, "-m", "twine", "check", "--strict", *wheels.values())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: pyproject(folder)["name"])
def test_a_wheel_holds_its_package_and_nothing_else(wheels: dict[str, Path], folder: Path) -> None:
    with zipfile.ZipFile(wheels[pyproject(folder)["name"]]) as wheel:
        names = set(wheel.namelist())
    own = package(folder)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {own}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    source = folder / own
    wanted = {
        f"{own}/{path.relative_to(source).as_posix()}"
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if folder == ROOT:
        wanted.add("ganzoo/registry.toml")
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert not [name for name in names if "test_" in name or "__pycache__" in name]


def test_the_wheels_work_without_the_checkout(wheels: dict[str, Path], tmp_path: Path) -> None:
    """A new environment gets the wheels from pip and only the dependencies from this one."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps")
    run(*pip, *wheels.values(), env=clean_environment())
    # The dependencies come after the new packages; the .pth files among them, which are how
    # editable installs work, are not followed.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def ganzoo_cli(*words: object) -> str:
        command = (environment / "bin" / "ganzoo", *words)
        return run(*command, cwd=tmp_path, env=clean_environment())

    where = (
        "import ganzoo, ganzoo_gan, ganzoo_dcgan as d; print(ganzoo.__file__); print(d.__file__)"
    )
    places = run(python, "-c", where, cwd=tmp_path, env=clean_environment()).splitlines()
    assert len(places) == 2 and all(Path(place).is_relative_to(site) for place in places)

    listed = {p["distribution"]: p for p in json.loads(ganzoo_cli("plugins", "--json"))}
    assert {name: plugin["state"] for name, plugin in listed.items()} == dict.fromkeys(wheels, "ok")
    models = [m["name"] for m in json.loads(ganzoo_cli("models", "--json")) if m["bundled"]]
    assert models == sorted(folder.name for folder in MODELS)
    for model in models:
        ganzoo_cli("generate", model, "-n", "4", "-o", f"{model}.png")
        assert provenance.read_record(tmp_path / f"{model}.png")["model"] == model


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead a child to the checkout."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "GANZOO_PLUGINS")
    return {key: value for key, value in os.environ.items() if key not in dropped}


# -- what the files say of each other ------------------------------------------------------------


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_says_which_core_and_which_hook_api_it_needs(folder: Path) -> None:
    project = pyproject(folder)
    assert project["name"] == folder.name
    needs = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}
    operators = {specifier.operator for specifier in needs["ganzoo"]}
    assert operators == {">=", "<"}
    assert ganzoo.__version__ in needs["ganzoo"]
    [module] = project["entry-points"]["ganzoo"].values()
    assert importlib.import_module(module).GANZOO_API == API_VERSION


def test_the_catalogue_names_every_plugin_with_its_parts() -> None:
    owned = {
        folder.name: {
            kind: names
            for kind in KINDS
            if (
                names := sorted(
                    o.part.name
                    for o in plugins.load().parts.all(kind)
                    if o.distribution == folder.name
                )
            )
        }
        for folder in PLUGINS
    }
    catalogue = {
        plugin["name"]: {kind: sorted(names) for kind, names in plugin["parts"].items()}
        for plugin in registry.curated_plugins()
    }
    assert catalogue == owned
    entry_points = {p["name"]: p["entry_point"] for p in registry.curated_plugins()}
    assert entry_points == {
        folder.name: next(iter(pyproject(folder)["entry-points"]["ganzoo"])) for folder in PLUGINS
    }


def test_the_catalogue_lists_every_bundled_model_as_it_is() -> None:
    """`make registry` has been run since the last model came."""
    document = tomllib.loads((ROOT / "registry.toml").read_text())
    listed = {m["name"]: m["files"] for m in document.get("model", [])}
    assert listed == {
        folder.name: registry.ModelEntry.from_folder(folder).files for folder in MODELS
    }


def test_bundled_models_are_small_and_whole() -> None:
    for folder in MODELS:
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 6_000_000, folder
        assert not (folder / "discriminator.safetensors").exists()
        assert checkpoint.verify(folder) == []


def test_extras_name_every_plugin() -> None:
    extras = pyproject(ROOT)["optional-dependencies"]
    assert sorted(extras["all"]) == [folder.name for folder in PLUGINS]
    for folder in PLUGINS:
        assert extras[folder.name.removeprefix("ganzoo-")] == [folder.name]


def test_the_licence_is_everywhere_the_same() -> None:
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    for folder in FOLDERS:
        assert (folder / "LICENSE").read_text() == licence
        assert pyproject(folder)["license"] == "Apache-2.0"


def test_continuous_integration_calls_exactly_make_test() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
