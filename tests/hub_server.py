"""A Hub on the loopback that answers /resolve, for the real client, with faults on demand."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Hub:
    """What the server holds and how it misbehaves.

    Attributes:
        files: (repo id, commit, path) -> content.
        refs: (repo id, branch or tag) -> commit.
        requests: what was asked, as "METHOD path".
        spoil: path -> how many of its next bodies have one bit flipped.
        refuse: repo id -> (status, X-Error-Code) of every answer.
    """

    def __init__(self) -> None:
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.refs: dict[tuple[str, str], str] = {}
        self.requests: list[str] = []
        self.spoil: dict[str, int] = {}
        self.refuse: dict[str, tuple[int, str]] = {}
        self.url = ""

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
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.files |= {(repo_id, commit, path): content for path, content in files.items()}
        self.refs[repo_id, ref] = commit
        return commit

    def answer(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        self.requests.append(f"{method} {path}")
        repo_id, _, rest = path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        revision, name = unquote(revision), unquote(name)
        if repo_id in self.refuse:
            status, code = self.refuse[repo_id]
            return status, {"X-Error-Code": code} if code else {}, b""
        commits = {commit for repo, commit, _ in self.files if repo == repo_id}
        commit = revision if revision in commits else self.refs.get((repo_id, revision), "")
        if not commits:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        if not commit:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        headers = {"X-Repo-Commit": commit}
        content = self.files.get((repo_id, commit, name))
        if content is None:
            return 404, {**headers, "X-Error-Code": "EntryNotFound"}, b""
        headers["ETag"] = f'"{hashlib.sha1(content).hexdigest()}"'
        if method == "GET" and self.spoil.get(name, 0) > 0:
            self.spoil[name] -= 1
            content = bytes([content[0] ^ 1]) + content[1:]
        return 200, headers, content


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers on a free port of 127.0.0.1 until the block ends."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = hub.answer(self.command, self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
