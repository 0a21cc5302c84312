"""A Hub on the loopback for the real client of huggingface_hub, with faults on demand.

`store` is what it holds, `publishing` and `reading` what it answers; here it is put on the network
and broken.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.hub_server.api import Answer, Request
from tests.hub_server.publishing import Publishing
from tests.hub_server.reading import Reading
from tests.hub_server.store import Repo


@dataclass
class Fault:
    """What goes wrong with the next `times` requests that match `pattern`.

    Kinds:
        "503" or another status: nothing is done, and this answered with `headers`.
        "flip": a bit of the body is another.
        "truncate": half the body, and the length says so.
        "etag": a wrong one.
        "drop": the connection ends in the middle of a body that is fetched, or once what was sent
            has arrived, before anything is done.
        "reset": as "drop", by a TCP reset; of what is sent in the middle.
        "lose": the connection ends after everything was done, without an answer.
        "slow": the body comes in fifty pieces, with a pause after each.
        "hang": nothing happens for a minute, or until the server ends.
    """

    kind: str
    pattern: str
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


class Hub(Publishing, Reading):
    """The server: what a test puts in, what it looks at, and how it lets things go wrong.

    Attributes:
        requests: what was asked, as "METHOD path?query".
        asked: the same as it came, with headers and body.
        faults: what is to go wrong.
        pause: seconds between the pieces of a slow body.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[str] = []
        self.asked: list[Request] = []
        self.faults: list[Fault] = []
        self.pause = 0.1
        self.ended = threading.Event()
        self._port = 0
        self._server: _Server | None = None

    def push(
        self, repo_id: str, files: dict[str, bytes], *, ref: str = "main", sums: bool = True
    ) -> str:
        """Commit files to a branch, with a SHA256SUMS in each folder; returns the commit."""
        files = dict(files)
        if sums:
            for folder in {path.rpartition("/")[0] for path in files}:
                prefix = f"{folder}/" if folder else ""
                lines = [
                    f"{hashlib.sha256(content).hexdigest()}  {path.removeprefix(prefix)}\n"
                    for path, content in sorted(files.items())
                    if path.rpartition("/")[0] == folder
                ]
                files[f"{prefix}SHA256SUMS"] = "".join(lines).encode()
        repo = self.repos.setdefault(repo_id, Repo(repo_id))
        return repo.commit(files, ref=ref, parent=repo.refs.get(ref, ""))

    def fail(self, kind: str, pattern: str, times: int = 1, **headers: str) -> None:
        """Let the next requests go wrong of which "METHOD path?query" has a match; see `Fault`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(kind, pattern, times, named))

    def fault(self, request: str) -> Fault:
        """What is to go wrong with a request; a fault without a kind for nothing."""
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
        return Fault("", "")

    def start(self) -> None:
        """Be there; after `stop`, at the same address."""
        self._server = _Server(self, self._port)
        self._port = self._server.server_port
        self.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Be gone: connections end, and new ones are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.end_connections()
            self._server = None


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers on a free port of 127.0.0.1 until the block ends."""
    hub = Hub()
    hub.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        hub.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, hub: Hub, port: int) -> None:
        self.hub = hub
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def end_connections(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for its header to be acknowledged
    server: _Server

    def handle(self) -> None:
        self.server.connections.add(self.connection)
        with contextlib.suppress(OSError, ValueError):  # the client has gone, or was cut off
            super().handle()
        self.server.connections.discard(self.connection)

    def do_GET(self) -> None:
        hub, fetches = self.server.hub, self.command in ("GET", "HEAD")
        line = f"{self.command} {self.path}"
        fault = hub.fault(line)
        hub.requests.append(line)
        if fault.kind == "reset" and not fetches:
            self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
            return self._cut(reset=True)
        request = Request(self.command, self.path, self.headers, self._body())
        hub.asked.append(request)
        if fault.kind == "drop" and not fetches:
            return self._cut()
        if fault.kind == "hang":
            hub.ended.wait(60)
        if fault.kind.isdigit():
            return self._send(Answer(int(fault.kind), {"error": "a fault"}, fault.headers))
        answer = hub.answer(request)
        if fault.kind == "lose":
            return self._cut()
        self._send(answer, fault.kind)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, answer: Answer, fault: str = "") -> None:
        body, headers = answer.body, dict(answer.headers)
        if fault == "flip":
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        elif fault == "truncate":
            body = body[: len(body) // 2]
        elif fault == "etag":
            wrong = {"ETag", "X-Linked-Etag"} & headers.keys()
            headers |= {name: f'"{"0" * (len(headers[name]) - 2)}"' for name in wrong}
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault in ("drop", "reset"):
            self.wfile.write(body[: len(body) // 2])
            return self._cut(reset=fault == "reset")
        pieces = 50 if fault == "slow" else 1
        size = -(-len(body) // pieces) or 1
        for start in range(0, len(body), size):
            self.wfile.write(body[start : start + size])
            if fault == "slow":
                self.server.hub.ended.wait(self.server.hub.pause)

    def _cut(self, *, reset: bool = False) -> None:
        """End the connection here and now."""
        self.close_connection = True
        if reset:  # closing without lingering sends an RST
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.rfile.close()
            self.wfile.close()
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args: Any) -> None:
        pass
