"""What READMEs and documentation tell people to type is typed here, from top to bottom, in an empty
folder.

A block behind a path in backticks is a file; other Python blocks run one after the other as in one
session; each line of a shell block runs as `SHELL` says for its first word, and no other word may
come first. Training is cut to two steps on shapes drawn on the spot.
"""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from ganzoo import exporting, installing, plugins
from ganzoo.cli import main

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted(ROOT.glob("plugins/*/README.md"))]
PAGES = [*READMES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
DOCS = sorted(ROOT.glob("docs/**/*.md"))
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    file: str = ""
    """The path that stands above it, where it is the content of a file."""


def blocks(readme: Path) -> Iterator[Block]:
    fenced = re.compile(r"(?:^`([\w./-]+)`\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for match in fenced.finditer(readme.read_text(encoding="utf-8")):
        yield Block(match[2], match[3], match[1] or "")


# -- how each command runs ----------------------------------------------------------------------

GRAY, COLOUR = "shapes?n=128&size=28&channels=1", "shapes?n=128&size=32&channels=3"


def run_ganzoo(*words: str) -> None:
    """The real command line, in this process; what it would install is left at the command."""
    if words[0] == "install":
        assert installing.install_command(installing.parse(words[1]))
    elif words[0] == "uninstall":
        assert installing.uninstall_command(words[1])
    if words[0] in ("install", "uninstall"):
        return
    result = CliRunner().invoke(main, shortened(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output


def shortened(words: tuple[str, ...]) -> list[str]:
    """Training as here and now: the last value of an option counts."""
    if words[0] in ("evaluate", "audit") and "--check" not in words:
        return [*words, "-n", "100", *(["--repeats", "1"] if words[0] == "evaluate" else [])]
    if words[0] == "app" and "--space" not in words:
        return [*words, "--help"]  # it would serve until Ctrl-C; its words are read all the same
    if words[0] != "train":
        return list(words)
    shapes = COLOUR if words[1].endswith((".nouns", ".cifar10", ".emoji", ".shapes")) else GRAY
    data = () if "--resume" in words else ("--data", shapes)
    steps = () if "--dry-run" in words else ("--steps", "2")
    return [*words, *data, *steps]


def run_accelerate(*words: str) -> None:
    launcher, (launch, module, name, *arguments) = "accelerate.commands.accelerate_cli", words
    command = [sys.executable, "-m", launcher, launch, module, name, *shortened(tuple(arguments))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run_pip(*words: str) -> None:
    """A plugin of the README is installed, beside the tests' own; the rest is `make demo`'s."""
    assert words[0] == "install"
    for folder in (word for word in words[1:] if word != "-e"):
        if (ROOT / folder / "pyproject.toml").is_file():
            continue
        options = ("--no-index", "--no-deps", "--no-build-isolation", "--target", "site")
        command = [sys.executable, "-m", "pip", "install", *options, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        plugins.load.cache_clear()
        importlib.invalidate_caches()


def run_make(*words: str) -> None:
    """Not run here, since it sets up an environment of its own: the target exists."""
    assert set(words) <= TARGETS


def run_python(*words: str) -> None:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SHELL: dict[str, Callable[..., None]] = {
    "ganzoo": run_ganzoo,
    "accelerate": run_accelerate,
    "pip": run_pip,
    "make": run_make,
    "python": run_python,
}


# -- the tests ------------------------------------------------------------------------------------


def title(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [*READMES, *DOCS], ids=title)
def test_what_a_page_says_works(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if "--to onnx" in page.read_text() and torch.__version__ < exporting.OLDEST_TORCH:
        pytest.skip("torch is older than its export to ONNX")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    request.addfinalizer(lambda: forget(tmp_path))
    session: dict[str, Any] = {}
    for block in blocks(page):
        if block.file:
            file = tmp_path / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.language == "python":
            exec(compile(block.text, f"{page.name}: Python", "exec"), session)
        else:
            assert block.language == "sh", f"how does a block of {block.language!r} run?"
            for line in block.text.replace("\\\n", " ").splitlines():
                if words := shlex.split(line, comments=True):
                    SHELL[words[0]](*words[1:])
    if page == ROOT / "README.md":
        check_what_its_comments_say(session, tmp_path)


def forget(folder: Path) -> None:
    """Another page may install plugins of the same names."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
    importlib.invalidate_caches()
    plugins.load.cache_clear()


def check_what_its_comments_say(session: dict[str, Any], folder: Path) -> None:
    images, pixels, again = session["images"], session["pixels"], session["again"]
    assert images.shape == (16, 1, 28, 28) and images.min() >= -1 and images.max() <= 1
    assert pixels.shape == (16, 28, 28, 1)
    assert (again - images[[3, 5]]).abs().max() < 1e-5
    assert (folder / "grid.png").is_file() and (folder / "walk.gif").is_file()
    assert len(list((folder / "digits").iterdir())) == 11
    made = {path.name for path in (folder / "runs" / "1").iterdir()}
    assert made == {"run.toml", "log.jsonl", "checkpoints", "grids", "model", "audit.html"}


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_and_targets_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / link).exists(), link
    assert set(re.findall(r"`make ([\w-]+)`", text)) <= TARGETS


def test_the_readmes_picture_is_small_and_says_what_made_it() -> None:
    from ganzoo import provenance

    picture = ROOT / "docs" / "models.webp"
    assert picture.stat().st_size <= 400_000
    record = provenance.read_record(picture)
    assert record is not None
    models = sorted(path.parent.name for path in ROOT.glob("plugins/*/*/models/*/config.json"))
    assert record["count"] == len(models)
    named = record["models"].removesuffix(",…").split(",")  # as many as a record holds
    assert named == models[: len(named)]
