"""Which requests reach Gradio, and what is answered without it.

Gradio serves more than this app is made of (uploads, proxies, files by address, its own editor).
`Doors` lets through what the page needs and nothing else, and tells the browser to fetch nothing
from elsewhere. Pictures of one folder, Gradio's scripts and the first look at the page are answered
here: Gradio would find, check and compress them anew for every visitor.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ganzoo.app.assets import Assets

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
_ASSET = "/assets/"
_FILE_TYPES = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".safetensors": "application/octet-stream",
}
_LARGEST_REQUEST = 1 << 20
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:;"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:;"
    " connect-src 'self' blob: data:; worker-src 'self' blob:; form-action 'self';"
    " base-uri 'self'; object-src 'none'"
)
_SAID = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Doors:
    """ASGI middleware around Gradio.

    Args:
        app: what is behind.
        folder: the one whose files are served.
        hosts: the names by which a browser may call this server; None for any. On a loopback
            address, this keeps pages of other sites out that had their name point here, and their
            scripts and forms out as well.
        assets: Gradio's scripts and styles.
        first: HTML that the page begins with, until Gradio has made its own.
    """

    def __init__(
        self,
        app: Any,
        folder: Path,
        hosts: frozenset[str] | None,
        *,
        assets: Assets | None = None,
        first: str = "",
    ) -> None:
        self.app, self.folder, self.hosts = app, folder.resolve(), hosts
        self.assets, self.first = assets, first.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers, method, path = dict(scope["headers"]), scope["method"], scope["path"]
        if not self._opens(method, path, headers):
            await _answer(send, 404, [], b"not found\n")
            return

        async def say(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_SAID]}
            await send(message)

        packs = b"gzip" in headers.get(b"accept-encoding", b"")
        asset = path.removeprefix(_ASSET)
        if path.startswith(_FILE):
            await self._file(scope, receive, say)
        elif self.assets and method == "GET" and path.startswith(_ASSET) and asset in self.assets:
            await _answer(say, 200, *self.assets.get(asset, packs))
        elif self.first and method == "GET" and path == "/":
            await self.app(scope, receive, self._page(say, packs))
        else:
            await self.app(scope, _bounded(receive), say)

    def _opens(self, method: str, path: str, headers: dict[bytes, bytes]) -> bool:
        if self.hosts is not None:
            host = headers.get(b"host", b"").decode("latin-1").rpartition(":")
            if (host[0] if host[2].isdigit() else "".join(host)).strip("[]") not in self.hosts:
                return False
            if method == "POST" and not _same_origin(headers):
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
            return (
                file.parent == self.folder
                and file.suffix in _FILE_TYPES
                and not file.name.startswith(".")  # half written
                and file.is_file()
            )
        except (OSError, ValueError, RuntimeError):
            return False

    async def _file(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.responses import FileResponse

        file = Path(scope["path"].removeprefix(_FILE)).resolve()
        answer = FileResponse(
            file,
            media_type=_FILE_TYPES[file.suffix],
            filename=file.name,
            content_disposition_type="attachment" if file.suffix == ".safetensors" else "inline",
        )
        try:
            await answer(scope, receive, send)
        except (OSError, RuntimeError):  # it went meanwhile, as the oldest pictures do
            if file.exists():
                raise
            await _answer(send, 404, [], b"not found\n")

    def _page(self, send: Any, packs: bool) -> Any:
        """A `send` that puts the first look into the page's body."""
        start: dict[str, Any] = {}
        parts: list[bytes] = []

        async def say(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            page = b"".join(parts).replace(b"<gradio-app", self.first + b"<gradio-app", 1)
            headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
            if packs:
                page = gzip.compress(page, 5, mtime=0)
                headers += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
            await _answer(send, start["status"], headers, page)

        return say


async def _answer(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _bounded(receive: Any) -> Any:
    """A `receive` that ends a request that is longer than it may be: not all say how long."""
    read = 0

    async def some() -> Any:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        return message if read <= _LARGEST_REQUEST else {"type": "http.disconnect"}

    return some


def _same_origin(headers: dict[bytes, bytes]) -> bool:
    """Whether a request is of this very page, or of no page at all."""
    if headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
        return False
    origin = headers.get(b"origin")
    return origin is None or urlsplit(origin).netloc == headers.get(b"host")
