"""`ganzoo new-plugin` on the command line; tests/test_scaffold.py has what it writes."""

from __future__ import annotations

import shlex
import tomllib


def test_it_writes_into_the_folder_that_its_name_gives(ganzoo, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = ganzoo("new-plugin", "star-gaze")
    assert result.exit_code == 0
    assert result.stdout == "ganzoo-star-gaze\n"
    assert result.stderr.startswith("try: cd ganzoo-star-gaze && pip install -e")
    assert result.stderr.endswith(" && ganzoo train star-gaze.shapes --out runs/1\n")
    assert [path.name for path in tmp_path.iterdir()] == ["ganzoo-star-gaze"]
    passed = ganzoo("check", "./ganzoo-star-gaze")
    assert (passed.exit_code, passed.stdout) == (0, "")


def test_its_options(ganzoo, tmp_path) -> None:
    folder = tmp_path / "deep" / "acgan"
    result = ganzoo("new-plugin", "acgan", "--out", folder, "--allow-similar",
                    "--license", "bsd-3-clause", "--author", "Ada <ada@example.org>")  # fmt: skip
    assert result.stdout == f"{folder}\n"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["license"] == "BSD-3-Clause"
    assert project["authors"] == [{"name": "Ada", "email": "ada@example.org"}]
    assert ", Ada\n" in (folder / "LICENSE").read_text()


def test_the_next_commands_can_be_pasted(ganzoo, tmp_path) -> None:
    folder = tmp_path / "my plugins" / "star"
    result = ganzoo("new-plugin", "star-gaze", "--out", folder)
    assert shlex.split(result.stderr.partition("&&")[0]) == ["try:", "cd", str(folder)]


def test_what_it_refuses_leaves_nothing(ganzoo, refused, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "taken by ganzoo-dcgan: choose another" in refused("new-plugin", "dcgan")
    assert "--allow-similar" in refused("new-plugin", "dcgam")
    assert "is no author" in refused("new-plugin", "star-gaze", "--author", "<>")
    assert "write star-gaze" in refused("new-plugin", "Star_Gaze")
    assert ganzoo("new-plugin", "star-gaze", "--license", "mine").exit_code == 2
    assert ganzoo("new-plugin").exit_code == 2
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    assert "not empty" in refused("new-plugin", "star-gaze", "--out", "full")
    assert "cannot write" in refused("new-plugin", "star-gaze", "--out", "full/file/new")
