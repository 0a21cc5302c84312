"""The app from start to end: what is asked for is checked, then the server runs until Ctrl-C."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ganzoo import files
from ganzoo.app import serving


def run(
    models: Sequence[str] = (),
    *,
    watch: Path | None = None,
    save: Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    device: str | None = None,
    opens: bool = False,
    until_eof: bool = False,
) -> None:
    """Serve models, a run, or both, until Ctrl-C.

    Raises:
        GanzooError: a model or run is not to be had, a folder or address not to be used, or Gradio
            is not installed.
    """
    ends = _at_end_of_input() if until_eof else lambda: False
    if until_eof and hasattr(os, "nice"):
        os.nice(10)  # beside training, which has the first claim on the processor
    with serving.folder_of_pictures() as folder:
        serving.require_gradio()
        visit: Any = None
        log: Any = None
        if watch is not None:
            from ganzoo.app.watching import Run

            log = Run(watch, folder)
        if models or watch is None:
            from ganzoo.app.shelf import Shelf
            from ganzoo.app.visit import Visit

            shelf = Shelf(models, device=device)
            if save is not None:
                with files.writable(save):
                    save.mkdir(parents=True, exist_ok=True)
            shelf.generator(shelf.names[0])  # refused before Gradio is imported, which takes long
            visit = Visit(shelf, folder, keep=save)
        from ganzoo.app import controls, page

        blocks, first = page.whole(visit, log)
        how: dict[str, Any] = {"host": host, "port": port, "opens": opens, "ends": ends}
        try:
            serving.serve(blocks, controls.STYLE, folder, first=first, **how)
        except KeyboardInterrupt:
            sys.stderr.write("\n")


def _at_end_of_input() -> Callable[[], bool]:
    """Whether who started this is gone: stdin is a pipe of theirs, on which nothing comes."""
    gone = threading.Event()

    def wait() -> None:
        sys.stdin.buffer.read()
        gone.set()

    threading.Thread(target=wait, daemon=True).start()
    return gone.is_set
