"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
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


@pytest.fixture
def dead() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_link_to_a_folder_is_replaced_and_its_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with files.replacing_folder(tmp_path / "link") as temporary:
        (temporary / "a").write_text("new")
    assert (tmp_path / "link" / "a").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]
    assert list((tmp_path / "real").iterdir()) == []


def kill_in_replacing_folder(target: Path, moment: str) -> None:
    """Replace a folder in a process that ends at once, at the moment or between the two moves."""
    code = (
        "import os, sys, pathlib; from ganzoo import files\n"
        "move, moves = os.replace, []\n"
        "def replace(*names):\n"
        "    if moves and sys.argv[2] == 'between': os._exit(9)\n"
        "    moves.append(move(*names))\n"
        "os.replace = replace\n"
        "with files.replacing_folder(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    (temporary / 'new').write_text('')\n"
        "    if sys.argv[2] == 'before': os._exit(9)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(target), moment], timeout=300)
    assert result.returncode == 9


@pytest.mark.parametrize("moment", ["before", "between"])
def test_what_a_killed_process_left_is_put_right(tmp_path: Path, moment: str) -> None:
    target = tmp_path / "model [1].v2"
    target.mkdir()
    (target / "former").write_text("")
    kill_in_replacing_folder(target, moment)
    assert target.exists() == (moment == "before") and len(names(tmp_path)) == 2
    with pytest.raises(ValueError, match="stop"), files.replacing_folder(target):
        raise ValueError("stop")
    assert names(tmp_path) == [target.name] and names(target) == ["former"]


def test_a_failing_last_move_brings_the_former_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, move = tmp_path / "model", os.replace
    with files.replacing_folder(target) as temporary:
        (temporary / "former").write_text("")

    def replace(source: Path, place: Path) -> None:
        if source == made:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(source), None, str(place))
        move(source, place)

    monkeypatch.setattr(os, "replace", replace)
    refused = pytest.raises(InputError, match=f"cannot write {re.escape(str(target))}: ")
    with refused, files.replacing_folder(target) as made:
        (made / "new").write_text("")
    assert names(tmp_path) == ["model"] and names(target) == ["former"]


def test_two_processes_that_live_leave_each_other_alone(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with files.replacing_folder(target) as temporary:
        (temporary / "a").write_text("")
        code = (
            "import sys, pathlib; from ganzoo import files\n"
            "with files.replacing_folder(pathlib.Path(sys.argv[1])) as t: (t / 'b').write_text('')"
        )
        subprocess.run([sys.executable, "-c", code, str(target)], timeout=300, check=True)
        assert names(target) == ["b"] and names(temporary) == ["a"]
    assert names(target) == ["a"] and names(tmp_path) == ["model"]


def test_what_belongs_to_another_folder_stays(tmp_path: Path, dead: int) -> None:
    with files.replacing_folder(tmp_path / "other") as temporary:
        theirs = temporary.name.replace(f".{os.getpid()}.", f".{dead}.")
    (tmp_path / theirs).mkdir()
    with files.replacing_folder(tmp_path / "model"):
        pass
    assert names(tmp_path) == sorted([theirs, "model", "other"])


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, f"{'a' * 251}.png", f"a.{'b' * 253}"])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path, name: str) -> None:
    files.write_text(tmp_path / name, "x")
    with files.replacing_folder(tmp_path / "in" / name) as temporary:
        files.write_text(temporary / name, "y")
    assert (tmp_path / "in" / name / name).read_text() == "y"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_line_about_the_file(tmp_path: Path, number: int) -> None:
    target = tmp_path / "a.txt"
    said = f"cannot write {target}: {os.strerror(number)}: free some space"
    for name in (None, "temporary"):
        with (
            pytest.raises(InputError, match=re.escape(said)),
            files.replacing(target) as temporary,
        ):
            raise OSError(number, os.strerror(number), str(temporary) if name else None)
    assert names(tmp_path) == []


def test_a_refusal_within_a_temporary_folder_names_the_folder(tmp_path: Path) -> None:
    said = re.escape(f"cannot write {tmp_path / 'model'}: ")
    with (
        pytest.raises(InputError, match=said),
        files.replacing_folder(tmp_path / "model") as folder,
        files.replacing(folder / "config.json"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "afile"
    in_the_way.write_text("")
    for target in (in_the_way / "a.txt", in_the_way / "deeper" / "a.txt"):
        said = re.escape(f"cannot write {target}: {in_the_way} is a file: choose another folder")
        with pytest.raises(InputError, match=said):
            files.write_text(target, "x")
    with pytest.raises(InputError, match="is a file"), files.replacing_folder(in_the_way):
        pass
    with pytest.raises(InputError, match="is a file"), files.writable(in_the_way):
        pass
    assert names(tmp_path) == ["afile"]


def test_an_error_about_another_place_is_not_taken_for_one_of_writing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "in" / "a.txt"):
        (tmp_path / "source" / "data").read_bytes()


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
    monkeypatch.setenv("GANZOO_CACHE", "")
    assert files.cache_folder() == Path("/xdg/ganzoo")


def test_a_secret_is_the_owners_whole_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(TypeError):  # as any error while it is written
        files.write_secret(path, "no bytes")  # type: ignore[arg-type]
    assert not path.exists()
    files.write_secret(path, b"secret")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        files.write_secret(path, b"another")
    assert path.read_bytes() == b"secret"
