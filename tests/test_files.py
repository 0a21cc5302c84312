"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganzoo import files
from ganzoo.errors import InputError


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_takes_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.png"
    with files.replacing(target) as temporary:
        assert temporary.suffix == ".png" and temporary.parent == target.parent
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    with pytest.raises(ValueError, match="stop"), files.replacing(target) as temporary:
        temporary.write_text("half")
        raise ValueError("stop")
    assert target.read_text() == "new" and names(target.parent) == ["a.png"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ("one", "two"):
        with files.replacing_folder(target) as temporary:
            (temporary / content).write_text(content)
        assert names(target) == [content]
    with pytest.raises(ValueError, match="stop"), files.replacing_folder(target) as temporary:
        (temporary / "half").write_text("")
        raise ValueError("stop")
    assert names(target) == ["two"] and names(tmp_path) == ["model"]


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".model.x1y2.tmp").mkdir()
    (tmp_path / ".model.x1y2.tmp" / "half").write_text("")
    (tmp_path / ".other.x1y2.tmp").mkdir()
    with files.replacing_folder(tmp_path / "model") as temporary:
        (temporary / "a").write_text("")
    assert names(tmp_path) == [".other.x1y2.tmp", "model"]


def test_refusals_of_the_system_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*: (Not a directory|File exists)"):
        files.write_text(tmp_path / "file" / "a.txt", "x")
    full = pytest.raises(InputError, match="No space left on device: free some space")
    with full, files.replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
        raise OSError(28, os.strerror(28), str(temporary))
    assert names(tmp_path) == ["file"]


def test_text_is_written_with_unix_line_ends(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "é\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\n"


def test_sha256_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "abc").write_text("abc")  # FIPS 180-2, appendix B.1
    assert files.sha256(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", "/somewhere")
    assert files.cache_folder("a", "b") == Path("/somewhere/a/b")
    monkeypatch.delenv("GANZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert files.cache_folder() == Path("/xdg/ganzoo")
