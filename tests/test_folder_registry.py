"""Folder registries: found, resolved, filled, and refused where they are unsound."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import ganzoo
from ganzoo import catalogue, files, folder_registry, layout, loading, plugins, registry
from ganzoo.cli import main
from ganzoo.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    IntegrityError,
    NotFoundError,
)
from ganzoo.mirror import mirror
from ganzoo.models import build
from tests.hub_server import Hub


def make(folder: Path, *, name: str = "gan.mine", seed: int = 0) -> Path:
    part = plugins.load().parts.get("generator", "gan")
    generator = build(part, part.config_class(**part.tiny), seed=seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return ganzoo.save(folder, generator, name=name)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANZOO_REGISTRY", str(tmp_path / "zoo"))
    (tmp_path / "zoo").mkdir()
    return tmp_path / "zoo"


def test_the_variable_names_several(monkeypatch: pytest.MonkeyPatch) -> None:
    text = os.pathsep.join(["/a b", "hf://me/zoo@v1", "c.toml"]) + ", hf://x/y"
    monkeypatch.setenv("GANZOO_REGISTRY", text)
    assert folder_registry.roots() == ["/a b", "hf://me/zoo@v1", "c.toml", "hf://x/y"]


@pytest.mark.parametrize("place", ["gan.mine", "me/gan.mine", "me/gan.mine/v2"])
def test_a_tree_of_model_folders_is_a_registry(root: Path, place: str) -> None:
    folder = make(root / place)
    (entry,) = [entry for entry in ganzoo.list_models() if entry.name == "gan.mine"]
    assert (entry.path, entry.registry, entry.bundled) == (folder, str(root), False)
    assert ganzoo.load("gan.mine").name == "gan.mine"


def test_the_last_version_counts(root: Path) -> None:
    for number in (1, 2, 10):
        make(root / "me" / "gan.mine" / f"v{number}", seed=number)
    assert registry.find("gan.mine").path == root / "me" / "gan.mine" / "v10"


def test_what_is_bundled_comes_first_and_then_the_first_registry(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(root / "a", name="gan.mnist")
    make(root / "b")
    make(tmp_path / "second" / "b", seed=5)
    monkeypatch.setenv("GANZOO_REGISTRY", f"{root}{os.pathsep}{tmp_path / 'second'}")
    assert registry.find("gan.mnist").bundled
    assert registry.find("gan.mine").path == root / "b"


def test_a_damaged_model_is_listed_and_hides_no_other(root: Path) -> None:
    make(root / "good")
    bad = make(root / "bad", name="gan.bad")
    (bad / "config.json").write_text("{")
    names = {entry.name for entry in ganzoo.list_models()}
    assert {"gan.mine", "bad"} <= names
    (entry,) = [entry for entry in ganzoo.list_models() if entry.problem]
    assert entry.name == "bad" and "config.json was changed or damaged" in entry.problem
    with pytest.raises(CheckpointError, match=r"config\.json was changed or damaged"):
        ganzoo.load("bad")
    make(root / "other" / "bad", name="bad")  # a whole one of that name is found
    assert registry.find("bad").path == root / "other" / "bad"


def test_unsound_registries_are_one_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(root / "one")
    for second in ("x/two", "three"):
        make(root / second, seed=1)
        message = rf"holds two models called 'gan\.mine': (one and {second}|{second} and one)"
        with pytest.raises(ConfigError, match=message):
            ganzoo.list_models()
        shutil.rmtree(root / second)
    monkeypatch.setenv("GANZOO_REGISTRY", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="which is no folder"):
        ganzoo.list_models()


def test_a_bundled_model_is_found_though_a_registry_is_gone(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANZOO_REGISTRY", f"{tmp_path / 'absent'},hf://nobody/nothing")
    assert registry.find("gan.mnist").bundled
    assert ganzoo.load("gan.mnist").name == "gan.mnist"
    assert server.requests == []
    with pytest.raises(ConfigError, match="which is no folder"):
        registry.find("gan.other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = 5", "model is no list of tables"),
        ("model = ['x']", "a model is no table"),
        ("x = " + "[" * 5000, "is no valid TOML"),
        *(
            (f"[[model]]\nname = 'gan.x'\nplugin = 'p'\narch = 'gan'\n{line}", f"odd '{key}'")
            for key, line in {
                "aliases": "aliases = 5",
                "repo": "repo = 5",
                "subfolder": "subfolder = 7",
                "resolution": "resolution = 'x'",
                "metrics": "metrics = []",
                "files": "files = 3",
            }.items()
        ),
        (
            "[[model]]\nname = 'gan.x'\nplugin = 'p'\narch = 'gan'\n"
            "[model.files.'config.json']\nsize = 3",
            "odd 'files'",
        ),
    ],
)
def test_an_odd_registry_file_is_one_line(root: Path, text: str, message: str) -> None:
    (root / "registry.toml").write_text(f"format = 1\n{text}\n")
    for ask in (ganzoo.list_models, lambda: ganzoo.load("gan.x")):
        with pytest.raises(ConfigError, match=message) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_a_tree_of_many_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_registry, "_MANY", 2)
    monkeypatch.setenv("GANZOO_CACHE", str(root / ".cache"))
    for name in ("gan.a", "gan.b", "gan.c"):
        make(root / name, name=name)
        for file in (root / name).iterdir():
            os.utime(file, (1e9, 1e9))
    read: list[str] = []
    whole = layout.read_config

    def reading(folder: Path) -> layout.ModelConfig:
        read.append(folder.name)
        return whole(folder)

    monkeypatch.setattr(layout, "read_config", reading)
    first = folder_registry.of_root(str(root))
    assert sorted(read) == ["gan.a", "gan.b", "gan.c"]
    assert folder_registry.of_root(str(root)) == first
    assert len(read) == 3
    (root / "gan.b" / "config.json").write_text("{")  # and what changes is read again
    problems = [entry.problem for entry in folder_registry.of_root(str(root))]
    assert read[3:] == ["gan.b"]
    assert [bool(problem) for problem in problems] == [False, True, False]
    (index,) = (root / ".cache" / "index").iterdir()
    index.write_bytes(b"damaged")
    assert [bool(e.problem) for e in folder_registry.of_root(str(root))] == [False, True, False]


def test_mirror_takes_no_other_models_place(root: Path, tmp_path: Path) -> None:
    list(mirror(["dcgan.mnist"], root))
    before = (root / "registry.toml").read_bytes()
    with pytest.raises(InputError, match="holds another model, dcgan of ganzoo-dcgan"):
        list(mirror([make(tmp_path / "source", name="dcgan.mnist")], root))
    assert (root / "registry.toml").read_bytes() == before
    assert layout.read_config(root / "dcgan.mnist").plugin == "ganzoo-dcgan"
    with pytest.raises(InputError, match="is a model folder"):
        list(mirror(["gan.mnist"], root / "dcgan.mnist"))


def test_mirror_fills_one_and_again_changes_nothing(root: Path) -> None:
    assert [done.new for done in mirror(["dcgan.mnist", "gan.mnist"], root)] == [True, True]
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.safetensors")}
    assert [done.new for done in mirror(["dcgan.mnist"], root)] == [False]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    entries = {entry.name: entry for entry in folder_registry.of_root(str(root))}
    assert set(entries) == {"dcgan.mnist", "gan.mnist"}
    assert entries["dcgan.mnist"].files == registry.find("dcgan.mnist").files


def test_mirror_keeps_one_of_a_name_and_says_what_it_replaced(root: Path, tmp_path: Path) -> None:
    """Runs of one recipe have one name, and are models of their own."""
    first, second = make(tmp_path / "first"), make(tmp_path / "second", seed=7)
    with pytest.raises(InputError, match=r"first and .*second are both called 'gan.mine'"):
        list(mirror([first, first, second], root))
    weights = files.sha256(first / "model.safetensors")
    assert files.sha256(root / "gan.mine" / "model.safetensors") == weights
    said = CliRunner().invoke(main, ["mirror", str(second), "--to", str(root)])
    assert said.exit_code == 0
    assert said.stderr.startswith("another state of gan.mine was there, and is replaced\n")
    assert files.sha256(root / "gan.mine" / "model.safetensors") != weights
    assert [done.replaced for done in mirror([second], root)] == [False]


def test_mirror_mends_what_was_damaged_and_refuses_damaged_sources(
    root: Path, tmp_path: Path
) -> None:
    source = make(tmp_path / "source")
    assert [done.new for done in mirror([source], root)] == [True]
    (root / "gan.mine" / "model.safetensors").write_bytes(b"damaged")
    assert [done.new for done in mirror([source], root)] == [True]
    assert ganzoo.load("gan.mine").sample(1).shape[0] == 1
    (source / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="is not mirrored"):
        list(mirror([source], root))
    assert ganzoo.load("gan.mine").sample(1).shape[0] == 1


def test_the_registry_files_hashes_take_precedence(root: Path, tmp_path: Path) -> None:
    list(mirror([make(tmp_path / "source")], root))
    other = make(tmp_path / "other", seed=7)
    for name in layout.FILES:
        if (other / name).is_file():  # whole in itself, but not what was mirrored
            (root / "gan.mine" / name).write_bytes((other / name).read_bytes())
    with pytest.raises(IntegrityError, match=r"does not have the SHA-256 that .* pins"):
        ganzoo.load("gan.mine")


def test_a_registry_file_leads_nowhere_else(root: Path, tmp_path: Path) -> None:
    make(tmp_path / "outside", name="gan.outside")
    file = root / "registry.toml"
    for place in ("../outside", str(tmp_path / "outside")):
        file.write_text(
            f'format = 1\n[[model]]\nname = "gan.outside"\nplugin = "ganzoo-gan"\narch = "gan"\n'
            f'subfolder = "{place}"\n'
        )
        (entry,) = folder_registry.of_root(str(file))
        assert entry.path is None


def test_a_repository_of_the_hub_is_one(
    server: Hub, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    list(mirror([make(tmp_path / "source")], root))
    tree = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    commit = server.push("me/zoo", tree, sums=False)
    monkeypatch.setenv("GANZOO_REGISTRY", "hf://me/zoo")
    located = loading.locate("gan.mine")
    assert located.address == f"hf://me/zoo@{commit}/gan.mine"
    assert ganzoo.load("gan.mine").record["source"] == located.address
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    server.requests.clear()
    assert ganzoo.load("gan.mine").sample(1).shape[0] == 1
    assert server.requests == []
    with pytest.raises(NotFoundError):
        ganzoo.load("gan.other")


def test_a_long_registry_file_is_indexed_under_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    entries = [catalogue.ModelEntry(f"gan.{k}", "ganzoo-gan", "gan") for k in range(2000)]
    file = tmp_path / "registry.toml"
    file.write_text(f"format = 1\n\n{catalogue.as_toml(entries)}")
    assert catalogue.read(file) == entries
    (index,) = (tmp_path / "cache" / "index").iterdir()
    whole = index.read_bytes()
    monkeypatch.setattr(tomllib, "loads", None)  # a sound index is all that is read
    catalogue._parsed.cache_clear()
    assert catalogue.read(file) == entries
    monkeypatch.undo()
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    for damage in (b"", b"{", whole[:-9], whole.replace(b'"gan.7"', b'"gan.8"'), whole + b"\n{}"):
        index.write_bytes(damage)
        catalogue._parsed.cache_clear()
        assert catalogue.read(file) == entries
        assert index.read_bytes() == whole
    monkeypatch.setenv("GANZOO_CACHE", str(file / "no"))  # where nothing can be written
    catalogue._parsed.cache_clear()
    assert catalogue.read(file) == entries
    file.write_text(file.read_text().replace('"gan.7"', '"gan.seven"'))
    assert "gan.seven" in {entry.name for entry in catalogue.read(file)}
