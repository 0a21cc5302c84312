"""The catalogue: what is listed, found and refused; and the file generated from folders."""

from __future__ import annotations

import json
import os
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ganzoo
from ganzoo import catalogue, checkpoint, hookimpl, layout, plugins, registry
from ganzoo.errors import ConfigError, IntegrityError, NotFoundError, PluginError
from ganzoo.models import build
from ganzoo.registry import ModelEntry
from ganzoo.training import find_recipe, recipes

Bring = Callable[..., None]


@pytest.fixture
def bring() -> Iterator[Bring]:
    """Register a plugin whose `ganzoo_models` answers as told."""
    loaded = plugins.load()
    modules = []

    def add(name: str, answer: Any) -> None:
        module = types.ModuleType(f"test_{name}")

        def ganzoo_models() -> Any:
            return answer

        module.ganzoo_models = hookimpl(ganzoo_models)  # type: ignore[attr-defined]
        loaded.add(module, name=name, distribution=f"ganzoo-{name}", version="1.0")
        modules.append(module)

    yield add
    for module in modules:
        loaded.manager.unregister(module)
        loaded.found[:] = [p for p in loaded.found if p.module is not module]


def model_folder(path: Path, name: str) -> Path:
    part = plugins.load().parts.get("generator", "gan")
    G = build(part, part.make_config(part.tiny), seed=1)
    return checkpoint.save(path, G, name=name, info=layout.ModelInfo(license="mit"))


def entry(name: str, **more: Any) -> ModelEntry:
    return ModelEntry(name=name, **{"plugin": "ganzoo-mine", "arch": "gan", **more})


def test_every_answer_of_the_hook_is_listed(tmp_path: Path, bring: Bring) -> None:
    model_folder(tmp_path / "models" / "gan.one", "gan.one")
    (tmp_path / "models" / "notes").mkdir()
    file = tmp_path / "registry.toml"
    file.write_text('format = 1\n[[model]]\nname = "gan.two"\nplugin = "ganzoo-b"\narch = "gan"\n')
    bring("a", tmp_path / "models")
    bring("b", file)
    bring("c", [entry("gan.three", aliases=("three",))])
    listed = {e.name: e for e in registry.list_models()}
    assert listed["gan.one"].bundled and listed["gan.one"].license == "mit"
    assert (listed["gan.one"].plugin, listed["gan.one"].resolution) == ("ganzoo-gan", 8)
    assert not listed["gan.two"].bundled and listed["gan.two"].plugin == "ganzoo-b"
    assert registry.find("three").name == "gan.three"
    assert ganzoo.load("gan.one").sample(2).shape == (2, 1, 8, 8)


def test_a_folder_that_the_catalogue_does_not_know_as_it_is_is_read(
    tmp_path: Path, bring: Bring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue's entry stands for a bundled folder only while every hash agrees."""
    folder = model_folder(tmp_path / "models" / "gan.one", "gan.one")
    known = ModelEntry.from_folder(folder)
    stale = entry("gan.one", plugin="ganzoo-a", license="stale", files=known.files, repo="o/r")
    monkeypatch.setattr(registry, "_catalogue_models", lambda: [stale])
    bring("a", tmp_path / "models")
    assert registry.find("gan.one").license == "stale"  # same hashes: taken from the catalogue
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "license": "new"}))
    layout.write_sums(folder)
    assert {e.license for e in registry.list_models() if e.bundled} >= {"new"}


def test_a_broken_folder_is_its_plugins_fault_alone(tmp_path: Path, bring: Bring) -> None:
    folder = model_folder(tmp_path / "models" / "gan.one", "gan.one")
    (folder / "config.json").write_text("{}")
    bring("a", tmp_path / "models")
    bring("c", [entry("gan.three")])
    model_folder(tmp_path / "models" / "gan.two", "gan.two")
    assert {"gan.one", "gan.two", "gan.three"} <= {e.name for e in registry.list_models()}
    with pytest.raises(IntegrityError, match=r"config\.json was changed or damaged"):
        ganzoo.load("gan.one")
    assert ganzoo.load("gan.two").sample(1).isfinite().all()


@pytest.mark.parametrize("answer", [["x"], [3], 3])
def test_an_answer_of_another_type_is_its_plugins_fault(bring: Bring, answer: Any) -> None:
    bring("a", answer)
    bring("c", [entry("gan.three")])
    assert "gan.three" in {e.name for e in registry.list_models()}
    (broken,) = (p for p in plugins.load().found if p.name == "a")
    assert broken.error


def test_unknown_models_name_the_nearest_or_the_plugin() -> None:
    with pytest.raises(NotFoundError, match=r"no model is called 'dcgan\.mnits': did you mean dcg"):
        registry.find("dcgan.mnits")


def test_a_missing_reviewed_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "curated_parts", lambda: {"biggan": "ganzoo-biggan"})
    monkeypatch.setattr(registry, "curated_distributions", lambda: {"ganzoo-biggan"})
    missing = r"needs the plugin ganzoo-biggan, which is not installed: pip install ganzoo-biggan$"
    with pytest.raises(PluginError, match=rf"model 'biggan\.mnist' {missing}"):
        registry.find("biggan.mnist")
    with pytest.raises(PluginError, match=rf"recipe 'biggan\.mnist' {missing}"):
        find_recipe("biggan.mnist")


@pytest.mark.parametrize("what", ["broken", "left out"])
def test_a_plugin_that_is_installed_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """With the real catalogue: the model is known, its plugin is there but not at work."""
    loaded = plugins.Plugins()
    if what == "broken":
        module = types.ModuleType("ganzoo_dcgan")
        module.GANZOO_API = 99  # type: ignore[attr-defined]
        loaded.add(module, name="dcgan", distribution="ganzoo-dcgan", version="1")
        cause = r"which is installed but broken \(is written for hook API 99"
    else:
        monkeypatch.setenv("GANZOO_PLUGINS", "gan")
        loaded.discover()
        cause = "which GANZOO_PLUGINS leaves out: add dcgan to GANZOO_PLUGINS"
    monkeypatch.setattr(plugins, "load", lambda: loaded)
    for ask in (lambda: ganzoo.load("dcgan.mnist"), lambda: find_recipe("dcgan.mnist"),
                lambda: loaded.parts.get("discriminator", "dcgan")):  # fmt: skip
        with pytest.raises(PluginError, match=f"needs the plugin ganzoo-dcgan, {cause}"):
            ask()


@pytest.mark.parametrize(
    ("plugin", "remedy"),
    [("ganzoo-later", "pip install ganzoo-later"), ("stranger", "has not reviewed that plugin")],
)
def test_an_unbundled_model_says_how_to_get_it(
    bring: Bring, monkeypatch: pytest.MonkeyPatch, plugin: str, remedy: str
) -> None:
    monkeypatch.setattr(registry, "curated_distributions", lambda: {"ganzoo-later"})
    bring("a", [entry("gan.far", plugin=plugin)])
    with pytest.raises(PluginError, match=remedy) as caught:
        ganzoo.load("gan.far")
    assert ("pip install" in str(caught.value)) == (plugin == "ganzoo-later")


def test_a_recipe_that_two_plugins_bring_is_told_apart(tmp_path: Path, bring: Bring) -> None:
    found = recipes()
    assert "gan.mnist" in found
    module = types.ModuleType("second")
    module.ganzoo_recipes = hookimpl(lambda: [found["gan.mnist"]])  # type: ignore[attr-defined]
    module.ganzoo_recipes.__name__ = "ganzoo_recipes"
    loaded = plugins.load()
    loaded.add(module, name="second", distribution="ganzoo-second", version="1")
    try:
        with pytest.raises(PluginError, match=r"ask for gan:gan\.mnist or second:gan\.mnist"):
            find_recipe("gan.mnist")
        assert find_recipe("second:gan.mnist").name == "gan.mnist"
    finally:
        loaded.manager.unregister(module)
        loaded.found[:] = [p for p in loaded.found if p.name != "second"]


def test_two_plugins_that_claim_a_model_are_told_apart(bring: Bring) -> None:
    bring("a", [entry("gan.same", plugin="ganzoo-a")])
    bring("b", [entry("gan.same", plugin="ganzoo-b")])
    with pytest.raises(PluginError, match=r"ganzoo-a and ganzoo-b: ask for a:gan\.same or b:gan"):
        registry.find("gan.same")
    assert registry.find("b:gan.same").plugin == "ganzoo-b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format = 1\n[[model]\n", "is no valid TOML"),
        ("name = 'x'\n", "is no registry file: it names no format: give one that begins with"),
        ("format = 9\n", "has format 9, this ganzoo reads 1: pip install --upgrade ganzoo"),
        ("format = 1\n[[model]]\nnam = 'x'\n", "unknown key 'nam': did you mean name"),
        ("format = 1\n[[model]]\nname = 'x'\nplugin = 'y'\n", "a model lacks 'arch'"),
    ],
)
def test_odd_registry_files_are_refused_in_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "registry.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        catalogue.read(file)


def test_the_file_is_generated_from_folders_and_keeps_what_is_not_in_them(tmp_path: Path) -> None:
    folders = [model_folder(tmp_path / name, name) for name in ("gan.b", "gan.a")]
    file = tmp_path / "registry.toml"
    head = '# mine\n\nformat = 1\n\n[[plugin]]\nname = "p"\n'
    file.write_text(head)
    assert registry.write_models(folders, file) == 2
    text = file.read_text()
    assert text.startswith(head.rstrip())
    first, second = catalogue.read(file)
    assert (first.name, second.name) == ("gan.a", "gan.b")
    assert first.files["model.safetensors"]["size"] == (
        (tmp_path / "gan.a" / "model.safetensors").stat().st_size
    )
    file.write_text(text.replace('name = "gan.a"', 'name = "gan.a"\nrepo = "o/r"\naliases = ["a"]'))
    registry.write_models(folders, file)
    (first, _) = catalogue.read(file)
    assert (first.repo, first.aliases) == ("o/r", ("a",))


def test_a_file_that_is_written_twice_within_a_tick_of_the_clock_is_read_anew(
    tmp_path: Path,
) -> None:
    """Kernels stamp files in steps of milliseconds."""
    file = tmp_path / "registry.toml"
    for summary in ("one", "two"):
        catalogue.put(file, ModelEntry("gan.one", "ganzoo-gan", "gan", summary=summary))
        os.utime(file, ns=(0, 0))
        assert [entry.summary for entry in catalogue.read(file)] == [summary]


def test_bundled_weights_are_hashed_on_every_load(tmp_path: Path, bring: Bring) -> None:
    folder = model_folder(tmp_path / "models" / "gan.one", "gan.one")
    bring("a", tmp_path / "models")
    ganzoo.load("gan.one")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(IntegrityError, match="was changed or damaged"):
        ganzoo.load("gan.one")
