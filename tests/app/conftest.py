"""The explorer without a page, and a whole one in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ganzoo.app.shelf import Shelf
from ganzoo.app.visit import Visit

MODELS = ("gan.mnist", "cgan.fashion-mnist", "stylegan2.nouns")

needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="gradio is not installed (ganzoo[app])"
)


@pytest.fixture(scope="session")
def shelf() -> Shelf:
    return Shelf(MODELS)


@pytest.fixture
def visit(shelf: Shelf, tmp_path: Path) -> Visit:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return Visit(shelf, folder, keep=tmp_path / "kept")


@dataclass
class Running:
    """A command of ganzoo, its address once it has said it, and its stderr so far."""

    process: subprocess.Popen[str]
    lines: list[str]
    reader: threading.Thread
    address: str = ""

    @property
    def stderr(self) -> str:
        return "".join(self.lines)

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=300)

    def close(self) -> None:
        """When all that writes to its stderr has ended."""
        self.reader.join(timeout=300)
        assert self.process.stderr is not None
        self.process.stderr.close()


def start(
    arguments: Sequence[object], *, cwd: Path, program: Sequence[str] = ("-m", "ganzoo")
) -> Running:
    """Start a command of ganzoo, or a program in Python, and wait until it says its address."""
    process = subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    lines: list[str] = []
    said = queue.Queue[str]()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if line.startswith("ganzoo app: "):
                said.put(line.split()[-1].rstrip("/"))
        said.put("")

    running = Running(process, lines, threading.Thread(target=read, daemon=True))
    running.reader.start()
    try:
        running.address = said.get(timeout=300)
    except queue.Empty:
        process.kill()
    assert running.address, running.stderr
    return running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`ganzoo app` on the loopback, with a folder to save to."""
    folder = tmp_path_factory.mktemp("app")
    running = start(["app", *MODELS, "--save", "kept"], cwd=folder)
    yield running
    assert running.interrupt() == 0
    running.close()
    assert "a fault of the app" not in running.stderr, running.stderr
