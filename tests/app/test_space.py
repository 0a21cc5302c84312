"""`ganzoo app --space`: a folder that the Hub takes as it is."""

from __future__ import annotations

import ast
import socket
import urllib.request
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from packaging.requirements import Requirement

from ganzoo.app import running
from ganzoo.cli import main
from tests.app.conftest import needs_gradio, start


def app(*words: object) -> Result:
    return CliRunner().invoke(main, ["app", *map(str, words)])


def test_a_space_is_ready_to_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my space"
    done = app("stylegan2.nouns", "gan.mnist", "--space", folder)
    assert done.exit_code == 0 and done.stdout == f"{folder}\n", done.output
    assert done.stderr == f"try: hf upload YOU/NAME '{folder}' . --repo-type space\n"
    assert {path.name for path in folder.iterdir()} == {"README.md", "app.py", "requirements.txt"}

    _, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    said = yaml.safe_load(front)
    assert (said["sdk"], said["app_file"], said["license"]) == ("gradio", "app.py", "apache-2.0")
    assert said["python_version"] == "3.12"  # the Hub's own default is too old
    assert "stylegan2.nouns, gan.mnist" in text

    needed = [Requirement(line) for line in (folder / "requirements.txt").read_text().splitlines()]
    assert {need.name for need in needed} == {"ganzoo", "ganzoo-stylegan", "ganzoo-gan"}
    assert next(need.extras for need in needed if need.name == "ganzoo") == {"app"}

    asked: list[object] = []
    monkeypatch.setattr(running, "run", lambda models, **how: asked.append((models, how)))
    code = compile(ast.parse((folder / "app.py").read_text()), "app.py", "exec")
    exec(code, {})
    assert asked == [(["stylegan2.nouns", "gan.mnist"], {"host": "0.0.0.0", "port": 7860})]


@needs_gradio
def test_a_space_runs_as_the_hub_runs_it(tmp_path: Path) -> None:
    folder = tmp_path / "space"
    assert app("gan.mnist", "dcgan.mnist", "--space", folder).exit_code == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = folder / "app.py"
    program.write_text(program.read_text().replace("7860", str(port)))  # which may be taken here
    running = start([], cwd=folder, program=["app.py"])
    request = urllib.request.Request(f"http://127.0.0.1:{port}", headers={"Host": "me-x.hf.space"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        page = answer.read().decode()
    assert '"gan.mnist","dcgan.mnist"' in page and page.count('<img src="gradio_api/file=') == 16
    assert running.interrupt() == 0
    running.close()
    assert "Traceback" not in running.stderr
    written = {path.name for path in folder.iterdir()} - {"__pycache__"}
    assert written == {"README.md", "app.py", "requirements.txt"}


def test_by_default_it_shows_the_bundled_models(tmp_path: Path) -> None:
    assert app("--space", tmp_path).exit_code == 0  # an empty folder is as good as none
    assert '"gan.mnist"' in (tmp_path / "app.py").read_text()


def test_what_cannot_be_a_space_is_refused(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    for words, said in (
        (("--space", full), "is not empty"),
        (("runs/1", "--space", tmp_path / "new"), "on this machine alone"),
        (("gan.mnits", "--space", tmp_path / "new"), "no model is called"),
        (("--space", tmp_path / "new", "--port", 80), "--space takes no --port"),
        (("--space", tmp_path / "new", "--save", "x"), "--space takes no --save"),
    ):
        done = app(*words)
        assert done.exit_code == 1 and said in done.stderr and done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    assert [path.name for path in full.iterdir()] == ["mine.txt"]
