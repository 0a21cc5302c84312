"""Finding entry points: the same as `importlib.metadata` finds, without importing it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo.distributions import EntryPoint, entry_points
from ganzoo.plugins import _fits


@pytest.mark.parametrize("group", ["ganzoo", "console_scripts", "pytest11", "no.such.group"])
def test_finds_what_importlib_finds(group: str) -> None:
    expected = {
        (e.name, e.module, e.dist.name, e.dist.version, tuple(e.dist.requires or ()))
        for e in importlib.metadata.entry_points(group=group)
        if e.dist is not None
    }
    found = {
        (e.name, e.value.partition(":")[0], e.distribution, e.version, e.requires)
        for e in entry_points(group)
    }
    assert found == expected
    assert bool(found) is (group != "no.such.group")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "one"), str(tmp_path / "two"), "nowhere"])
    return tmp_path


def write(info: Path, metadata: str, entries: str) -> None:
    info.mkdir(parents=True)
    (info / ("PKG-INFO" if info.suffix == ".egg-info" else "METADATA")).write_text(metadata)
    (info / "entry_points.txt").write_text(entries)


def test_the_first_on_the_path_counts(folder: Path) -> None:
    new = "Name: My.Plugin\nVersion: 2\nRequires-Dist: ganzoo>=0.1\n\nVersion: not this\n"
    write(folder / "one" / "my_plugin-2.dist-info", new, "[ganzoo]\nmine = my_plugin\n")
    write(folder / "two" / "My.Plugin-1.dist-info", "", "[ganzoo]\nmine = old\n")
    assert entry_points("ganzoo") == [
        EntryPoint("mine", "my_plugin", "My.Plugin", "2", ("ganzoo>=0.1",))
    ]


def test_other_groups_comments_and_extras(folder: Path) -> None:
    text = "[x]\na = b\n\n[ganzoo]\n# c = d\ne=f:g [extra]\n[ganzoo.more]\nh = i\n"
    write(folder / "one" / "odd.egg-info", "Name: odd\n", text)
    assert entry_points("ganzoo") == [EntryPoint("e", "f:g", "odd", "?", ())]


def test_broken_files_are_no_obstacle(folder: Path) -> None:
    (folder / "one" / "a-1.dist-info").mkdir(parents=True)
    (folder / "one" / "a-1.dist-info" / "entry_points.txt").write_bytes(b"[ganzoo]\na = \xff\n=\n[")
    assert [e.name for e in entry_points("ganzoo")] == ["", "a"]


@pytest.mark.parametrize(
    ("version", "ranges", "fits"),
    [
        ("0.1.0", ">=0.1,<0.2", True),
        ("0.1.0", ">=0.1.0 , < 0.1.1", True),
        ("0.2.0", ">=0.1,<0.2", False),
        ("0.1.9", ">=0.2", False),
        ("0.10.0", ">=0.9", True),
        ("1.0", ">=1.0.0", True),
        ("0.1.0", "", True),
        ("0.1.0", "~=0.1.0", True),
        ("0.1.0", "!=0.1.0,>=0.1", False),
        ("0.2.0.dev1", ">=0.1,<0.2", False),
        ("0.2.0.dev1", ">=0.1", True),
        ("0.1.0", "nonsense", True),
        ("0.1.0", ">=0..1", True),
    ],
)
def test_core_ranges(version: str, ranges: str, fits: bool) -> None:
    assert _fits(version, ranges) is fits


def test_listing_imports_neither_importlib_metadata_nor_packaging() -> None:
    code = "from ganzoo import registry; registry.list_models(); import sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    assert "ganzoo.registry" in loaded
    assert not loaded & {"importlib.metadata", "packaging", "email", "torch", "numpy"}
