"""The live view of `ganzoo train --watch`: a process of its own, which only reads the run's files.

Training does not wait for it and does not end with it. Ctrl-C is for training alone, which writes
its checkpoint first; the page ends after it, also when training is killed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ganzoo.app import serving
from ganzoo.hookspecs import hookimpl

if TYPE_CHECKING:
    from ganzoo.training.trainer import Trainer


class LiveView:
    """An observer that starts the page of its run."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    @hookimpl
    def ganzoo_train_start(self, trainer: Trainer) -> None:
        if self.process is not None or not trainer.accelerator.is_main_process:
            return
        command = [sys.executable, "-m", "ganzoo", "app", "--until-eof"]
        self.process = subprocess.Popen(
            [*command, "--watch", str(trainer.folder)],
            stdin=subprocess.PIPE,  # its end tells the page that training is gone
            stdout=subprocess.DEVNULL,
            # Ctrl-C does not reach it; in a session of its own, Linux would give it as much of the
            # processor as all of training, however nice it is (sched(7), autogroups)
            process_group=0,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def close(self) -> None:
        if self.process is None or self.process.stdin is None:
            return
        self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def watching(asked: bool) -> Iterator[Sequence[object]]:
    """The observers for a run that is to be watched; none where that is not asked for.

    Raises:
        InputError: Gradio is not installed.
    """
    if not asked:
        yield []
        return
    serving.require_gradio()
    view = LiveView()
    try:
        yield [view]
    finally:
        view.close()
