"""The server of the app: Gradio's, behind doors.

Gradio serves more than this app is made of (uploads, proxies, files by address, its own editor).
`Doors` lets through what the page needs and nothing else, files of one folder only, and tells the
browser to fetch nothing from elsewhere.
"""

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
from pathlib import Path
from typing import Any

from ganzoo.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORTS = range(7860, 7960)
"""Tried one after the other where no port is named."""
_GET = (
    "/assets/",
    "/static/",
    "/gradio_api/heartbeat/",
    "/gradio_api/call/",
    "/gradio_api/info/",
)
_GET_ALONE = {
    "/",
    "/config",
    "/config/",
    "/theme.css",
    "/favicon.ico",
    "/robots.txt",
    "/manifest.json",
    "/gradio_api/info",
    "/gradio_api/startup-events",
    "/gradio_api/theme.css",
    "/gradio_api/queue/data",
    "/gradio_api/app_id",
    "/gradio_api/login_check",
    "/gradio_api/login_check/",
}
_POST = ("/gradio_api/call/",)
_POST_ALONE = {"/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset"}
_FILE = "/gradio_api/file="
_LARGEST_REQUEST = 1 << 20
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:;"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:;"
    " connect-src 'self' ws: wss: blob: data:; worker-src 'self' blob:; form-action 'self';"
    " base-uri 'self'; object-src 'none'"
)


class Doors:
    """ASGI middleware: which requests reach Gradio.

    Args:
        app: what is behind.
        folder: the one whose files are served.
        hosts: the names by which a browser may call this server; None for any. On a loopback
            address, this keeps pages of other sites out that had their name point here.
    """

    def __init__(self, app: Any, folder: Path, hosts: frozenset[str] | None) -> None:
        self.app, self.folder, self.hosts = app, folder.resolve(), hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        if not self._opens(scope["method"], scope["path"], headers):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"not found\n"})
            return

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                more = [
                    (b"content-security-policy", _POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self.app(scope, receive, answer)

    def _opens(self, method: str, path: str, headers: dict[bytes, bytes]) -> bool:
        if self.hosts is not None:
            host = headers.get(b"host", b"").decode("latin-1").rpartition(":")
            if (host[0] if host[2].isdigit() else "".join(host)).strip("[]") not in self.hosts:
                return False
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > _LARGEST_REQUEST:
            return False
        if method in ("GET", "HEAD"):
            if path.startswith(_FILE):
                return self._is_ours(path.removeprefix(_FILE))
            return path in _GET_ALONE or path.startswith(_GET)
        return method == "POST" and (path in _POST_ALONE or path.startswith(_POST))

    def _is_ours(self, path: str) -> bool:
        try:
            file = Path(path).resolve()
            return file.parent == self.folder and file.is_file()
        except (OSError, ValueError, RuntimeError):
            return False


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
    host: str = "127.0.0.1",
    port: int | None = None,
    opens: bool = False,
    ends: Callable[[], bool] = lambda: False,
) -> None:
    """Serve a page until Ctrl-C or SIGTERM, or until `ends`. Its address goes to stderr.

    Raises:
        InputError: the address cannot be had.
    """
    from starlette.middleware import Middleware

    hosts = frozenset(LOOPBACK) if host in LOOPBACK else None
    page.queue(max_size=32, default_concurrency_limit=1, api_open=False)
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port if port is not None else _free_port(host),
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
            app_kwargs={"middleware": [Middleware(Doors, folder=folder, hosts=hosts)]},
            **style,
        )
    except OSError as error:
        raise InputError(
            f"{host}:{port or PORTS.start} cannot be listened on", "use another --host or --port"
        ) from error
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


def _free_port(host: str) -> int:
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
            return port
    raise InputError(f"no port from {PORTS.start} to {PORTS.stop - 1} is free", "name one: --port")
