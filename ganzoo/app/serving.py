"""The server of the app: Gradio's, behind the doors of doors.py."""

from __future__ import annotations

import errno
import importlib.util
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from ganzoo.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORTS = range(7860, 7960)
"""Tried one after the other where no port is named."""


@contextmanager
def folder_of_pictures() -> Iterator[Path]:
    """The one folder of which files are served, for as long as the server runs. To be entered
    before Gradio is imported, which is told of it."""
    with tempfile.TemporaryDirectory(prefix="ganzoo-app-") as temporary:
        folder = Path(temporary).resolve()
        os.environ["GRADIO_TEMP_DIR"] = str(folder)
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        yield folder


def require_gradio() -> None:
    """Refuse to go on where Gradio is not installed; it is not imported yet."""
    if importlib.util.find_spec("gradio") is None:
        raise InputError("the app needs Gradio", "pip install 'ganzoo[app]'")


def serve(
    page: Any,
    style: dict[str, Any],
    folder: Path,
    *,
    first: str = "",
    host: str = "127.0.0.1",
    port: int | None = None,
    opens: bool = False,
    ends: Callable[[], bool] = lambda: False,
) -> None:
    """Serve a page until Ctrl-C or SIGTERM, or until `ends`. Its address goes to stderr.

    `first` is HTML that a browser shows until the page itself is there.

    Raises:
        InputError: the address cannot be had.
    """
    import gradio
    from starlette.middleware import Middleware

    from ganzoo.app.assets import Assets
    from ganzoo.app.doors import Doors

    hosts = frozenset(LOOPBACK) if host in LOOPBACK else None
    scripts = Path(gradio.__file__).with_name("templates") / "frontend" / "assets"
    assets = Assets(scripts) if scripts.is_dir() else None  # else Gradio serves them itself
    doors = Middleware(Doors, folder=folder, hosts=hosts, assets=assets, first=first)
    page.queue(max_size=32, default_concurrency_limit=1, api_open=False)
    for number in islice(_free_ports(host), 10) if port is None else [port]:
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=number,
                prevent_thread_lock=True,
                inbrowser=False,
                quiet=True,
                share=False,
                show_error=False,
                allowed_paths=[],
                max_file_size=1,
                enable_monitoring=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                run_history=False,
                footer_links=[],
                state_session_capacity=64,
                max_threads=8,
                app_kwargs={"middleware": [doors]},
                **style,
            )
            break
        except OSError:  # another program has taken it in the meantime
            continue
    else:
        raise InputError(
            f"{host}:{port or PORTS.start} cannot be listened on", "use another --host or --port"
        )
    _rest(page)
    if hosts is None:
        sys.stderr.write("note: whoever can reach this machine can use the page\n")
    sys.stderr.write(f"ganzoo app: {address}\n")
    sys.stderr.flush()
    if opens:
        import webbrowser

        webbrowser.open(address)
    main = threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        while not ends():
            time.sleep(0.5)
            for block in list(page.blocks.values()):
                getattr(block, "temp_files", set()).clear()  # else it grows with every picture
    finally:
        page.close(verbose=False)
        if main:
            signal.signal(signal.SIGTERM, former)


def _rest(page: Any) -> None:
    """Let Gradio look for work 50 times a second, not 1000, which takes a 30th of a processor."""
    for name, seconds in (("sleep_when_free", 0.02), ("progress_update_sleep_when_free", 0.1)):
        if hasattr(page._queue, name):
            setattr(page._queue, name, seconds)


def _free_ports(host: str) -> Iterator[int]:
    """Those that nobody listens on when they are asked for."""
    import socket

    for port in PORTS:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                    raise InputError(
                        f"this machine has no address {host!r}", "leave --host out, or use 0.0.0.0"
                    ) from error
                continue
        yield port
    raise InputError(f"no port from {PORTS.start} to {PORTS.stop - 1} is free", "name one: --port")
