"""A Hub on the loopback, for the real client: repositories, commits, Git LFS, search, and faults.

It speaks what huggingface_hub asks for in loading, publishing and searching a model. It has no Xet:
`xet-write-token` is a 404, as on many self-hosted Hubs.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

PAGE = 20


def lfs(path: str) -> bool:
    return path.endswith(".safetensors")


@dataclass
class Commit:
    files: dict[str, bytes]
    parent: str = ""
    message: str = ""


@dataclass
class Repo:
    """A repository; `refs` holds branches, tags ("tags/v1") and pull requests ("refs/pr/1")."""

    id: str
    private: bool = False
    downloads: int = 0
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(
        self, files: dict[str, bytes], *, ref: str = "main", parent: str = "", message: str = ""
    ) -> str:
        seed = repr((sorted(files.items()), parent, message, len(self.commits)))
        sha = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[sha] = Commit(dict(files), parent, message)
        self.refs[ref] = sha
        return sha

    def find(self, revision: str) -> str:
        """The commit of a branch, tag, pull request or commit; "" for none."""
        if revision in self.commits:
            return revision
        return self.refs.get(revision) or self.refs.get(f"tags/{revision}", "")

    def card(self) -> dict[str, Any]:
        text = self.commits[self.refs["main"]].files.get("README.md", b"").decode()
        match = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
        return (yaml.safe_load(match[1]) or {}) if match else {}

    def tags(self) -> list[str]:
        card = self.card()
        tags = [*card.get("tags", []), card.get("library_name"), card.get("pipeline_tag")]
        tags += [f"dataset:{name}" for name in card.get("datasets", [])]
        tags += [f"license:{card['license']}"] if "license" in card else []
        return list(dict.fromkeys(tag for tag in tags if tag))


@dataclass
class Fault:
    """What goes wrong with the next `times` requests that match `pattern` ("METHOD path").

    Kinds: "flip" a byte of the body, "truncate" it (the length says so), "drop" the connection in
    the middle of it, "reset" it there, "lose" the answer of what was done, "etag" a wrong one,
    "slow" body, "hang" before anything is done, or a status such as "503", with `headers`.
    """

    kind: str
    pattern: str
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


class Answer(Exception):
    """What a request is answered with."""

    def __init__(
        self, status: int, body: Any = b"", headers: dict[str, str] | None = None, code: str = ""
    ) -> None:
        self.status = status
        self.headers = dict(headers or {}) | ({"X-Error-Code": code} if code else {})
        if not isinstance(body, bytes):
            self.headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body).encode()
        self.body = body


class Hub:
    """What the server holds and how it misbehaves.

    Attributes:
        repos: repo id -> repository.
        blobs: sha256 -> content, as uploaded by Git LFS.
        tokens: token -> role, "write" or "read"; of the user `me`.
        requests: what was asked, as "METHOD path".
        faults: what is to go wrong.
        refuse: repo id -> (status, X-Error-Code) of every answer.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.tokens = {"hf_writing": "write", "hf_reading": "read"}
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.refuse: dict[str, tuple[int, str]] = {}
        self.lock = threading.RLock()
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
        repo = self.repos.setdefault(repo_id, Repo(repo_id))
        return repo.commit(files, ref=ref, parent=repo.refs.get(ref, ""))

    def fail(self, kind: str, pattern: str, times: int = 1, **headers: str) -> None:
        """Let the next requests that match go wrong; see `Fault`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(kind, pattern, times, named))

    def fault(self, request: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.pattern, request):
                fault.times -= 1
                return fault
        return None

    # -- answers -----------------------------------------------------------------------------------

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        role = self.tokens.get((headers.get("Authorization") or "").removeprefix("Bearer "), "")
        for pattern, handler in self.ROUTES:
            if match := re.fullmatch(pattern, f"{method} {parts.path}"):
                named = {key: unquote(value or "") for key, value in match.groupdict().items()}
                try:
                    with self.lock:
                        return handler(self, role=role, query=query, headers=headers, body=body,
                                       **named)  # fmt: skip
                except Answer as answer:
                    return answer
        return Answer(404, {"error": "no such page"})

    def _repo(self, repo_id: str, role: str, revision: str = "main") -> tuple[Repo, str]:
        if repo_id in self.refuse:
            status, code = self.refuse[repo_id]
            raise Answer(status, code=code)
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and not role):
            raise Answer(404 if role else 401, code="RepoNotFound")
        sha = repo.find(revision or "main")
        if not sha:
            raise Answer(404, code="RevisionNotFound")
        return repo, sha

    def _write(self, role: str) -> None:
        if role != "write":
            raise Answer(403 if role else 401, {"error": "this token may not write"})

    def whoami(self, *, role: str, **_: Any) -> Answer:
        if not role:
            return Answer(401, {"error": "Invalid credentials"})
        token = {"displayName": "test", "role": role}
        return Answer(200, {"type": "user", "name": "me", "orgs": [],
                            "auth": {"type": "access_token", "accessToken": token}})  # fmt: skip

    def create(self, *, role: str, body: bytes, **_: Any) -> Answer:
        self._write(role)
        wanted = json.loads(body)
        repo_id = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        answer = {"url": f"{self.url}/{repo_id}", "name": repo_id, "id": "1"}
        if repo_id in self.repos:
            return Answer(409, {**answer, "error": "You already created this model repo"})
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        self.repos[repo_id] = Repo(repo_id, private=private)
        self.repos[repo_id].commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        return Answer(200, answer)

    def validate(self, *, body: bytes, **_: Any) -> Answer:
        match = re.match(r"---\n(.*?)\n---", json.loads(body)["content"], re.DOTALL)
        values = (yaml.safe_load(match[1]) or {}) if match else {}
        errors = [] if isinstance(values.get("license"), str) else [{"message": "license missing"}]
        return Answer(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, *, repo: str, revision: str, role: str, body: bytes, **_: Any) -> Answer:
        self._write(role)
        found, sha = self._repo(repo, role, revision)
        files = []
        for file in json.loads(body)["files"]:
            path = file["path"]
            entry = {"path": path, "uploadMode": "lfs" if lfs(path) else "regular",
                     "shouldIgnore": False}  # fmt: skip
            if path in found.commits[sha].files:
                entry["oid"] = _oid(path, found.commits[sha].files[path])
            files.append(entry)
        return Answer(200, {"files": files})

    def batch(self, *, role: str, body: bytes, **_: Any) -> Answer:
        self._write(role)
        objects = []
        for wanted in json.loads(body)["objects"]:
            entry: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.blobs:
                upload = {"href": f"{self.url}/lfs/{wanted['oid']}"}
                verify = {"href": f"{self.url}/lfs-verify"}
                entry["actions"] = {"upload": upload, "verify": verify}
            objects.append(entry)
        return Answer(200, {"transfer": "basic", "objects": objects})

    def put(self, *, oid: str, body: bytes, **_: Any) -> Answer:
        if hashlib.sha256(body).hexdigest() != oid:
            return Answer(400, {"error": "wrong hash"})
        self.blobs[oid] = body
        return Answer(200)

    def verified(self, *, body: bytes, **_: Any) -> Answer:
        known = json.loads(body)["oid"] in self.blobs
        return Answer(200 if known else 404, {})

    def make_commit(
        self, *, repo: str, revision: str, role: str, query: dict[str, list[str]], body: bytes,
        **_: Any,
    ) -> Answer:  # fmt: skip
        self._write(role)
        found, sha = self._repo(repo, role, revision)
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header = lines[0]["value"]
        files = dict(found.commits[sha].files)
        if header.get("parentCommit") not in (None, sha):
            return Answer(412, {"error": "the branch has moved since"})
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.blobs:
                    return Answer(400, {"error": f"no blob {value['oid']}"})
                files[value["path"]] = self.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"], None)
        ref, answer = revision, {"success": True}
        if query.get("create_pr"):
            number = 1 + sum(name.startswith("refs/pr/") for name in found.refs)
            ref = f"refs/pr/{number}"
            answer["pullRequestUrl"] = f"{self.url}/{repo}/discussions/{number}"
        new = found.commit(files, ref=ref, parent=sha, message=header["summary"])
        return Answer(
            200, {**answer, "commitOid": new, "commitUrl": f"{self.url}/{repo}/commit/{new}"}
        )

    def info(
        self, *, repo: str, role: str, query: dict[str, list[str]], revision: str = "main", **_: Any
    ) -> Answer:
        found, sha = self._repo(repo, role, revision)
        return Answer(200, self._info(found, sha, blobs="blobs" in query))

    def _info(self, repo: Repo, sha: str, *, blobs: bool = False) -> dict[str, Any]:
        siblings = []
        for path, content in sorted(repo.commits[sha].files.items()):
            entry: dict[str, Any] = {"rfilename": path}
            if blobs:
                entry |= {"size": len(content), "blobId": _git_sha1(content)}
                if lfs(path):
                    digest = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        return {
            "_id": "1", "id": repo.id, "modelId": repo.id, "sha": sha, "private": repo.private,
            "tags": repo.tags(), "downloads": repo.downloads, "likes": 0, "siblings": siblings,
            "lastModified": "2026-01-02T03:04:05.000Z", "createdAt": "2026-01-02T03:04:05.000Z",
            "cardData": repo.card(), "library_name": repo.card().get("library_name"),
        }  # fmt: skip

    def refs(self, *, repo: str, role: str, **_: Any) -> Answer:
        found, _sha = self._repo(repo, role)
        lists: dict[str, list[dict[str, str]]] = {"branches": [], "tags": [], "converts": []}
        lists["pullRequests"] = []
        for name, sha in found.refs.items():
            if name.startswith("refs/pr/"):
                kind, ref = "pullRequests", name
            elif name.startswith("tags/"):
                kind, ref = "tags", f"refs/{name}"
            else:
                kind, ref = "branches", f"refs/heads/{name}"
            lists[kind].append(
                {"name": name.removeprefix("tags/"), "ref": ref, "targetCommit": sha}
            )
        return Answer(200, lists)

    def tag(self, *, repo: str, revision: str, role: str, body: bytes, **_: Any) -> Answer:
        self._write(role)
        found, sha = self._repo(repo, role, revision)
        name = f"tags/{json.loads(body)['tag']}"
        if name in found.refs:
            return Answer(409, {"error": "Tag exists already"})
        found.refs[name] = sha
        return Answer(200, {})

    def models(self, *, role: str, query: dict[str, list[str]], **_: Any) -> Answer:
        found = [repo for repo in self.repos.values() if not repo.private or role]
        found = [repo for repo in found if set(query.get("filter", [])) <= set(repo.tags())]
        if author := query.get("author"):
            found = [repo for repo in found if repo.id.startswith(f"{author[0]}/")]
        if text := query.get("search"):
            found = [repo for repo in found if text[0].lower() in repo.id.lower()]
        if query.get("sort") == ["downloads"]:
            found.sort(key=lambda repo: -repo.downloads)
        start = int(query.get("cursor", ["0"])[0])
        size = min(PAGE, int(query.get("limit", [str(PAGE)])[0]))
        headers = {}
        if start + size < len(found):
            rest = "&".join(
                f"{k}={v}" for k, values in query.items() if k != "cursor" for v in values
            )
            url = f"{self.url}/api/models?{rest}&cursor={start + size}"
            headers["Link"] = f'<{url}>; rel="next"'
        page = [self._info(repo, repo.refs["main"]) for repo in found[start : start + size]]
        return Answer(200, page, headers)

    def resolve(
        self, *, repo: str, revision: str, path: str, role: str, headers: Any, **_: Any
    ) -> Answer:
        found, sha = self._repo(repo, role, revision)
        commit = {"X-Repo-Commit": sha}
        content = found.commits[sha].files.get(path)
        if content is None:
            return Answer(404, headers=commit, code="EntryNotFound")
        answer = Answer(200, content, {**commit, "ETag": f'"{_oid(path, content)}"'})
        answer.headers["Accept-Ranges"] = "bytes"
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range") or ""):
            start, end = int(match[1]), int(match[2] or len(content) - 1)
            answer.status, answer.body = 206, content[start : end + 1]
            answer.headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        return answer

    _ID = r"(?P<repo>[^/]+/[^/]+)"
    ROUTES: tuple[tuple[str, Callable[..., Answer]], ...] = (
        (r"GET /api/whoami-v2", whoami),
        (r"POST /api/repos/create", create),
        (r"POST /api/validate-yaml", validate),
        (r"GET /api/models", models),
        (rf"POST /api/models/{_ID}/preupload/(?P<revision>[^/]+)", preupload),
        (rf"POST /api/models/{_ID}/commit/(?P<revision>[^/]+)", make_commit),
        (rf"POST /api/models/{_ID}/tag/(?P<revision>[^/]+)", tag),
        (rf"GET /api/models/{_ID}/refs", refs),
        (rf"GET /api/models/{_ID}(/revision/(?P<revision>[^/]+))?", info),
        (rf"POST /{_ID}\.git/info/lfs/objects/batch", batch),
        (r"PUT /lfs/(?P<oid>\w+)", put),
        (r"POST /lfs-verify", verified),
        (rf"(GET|HEAD) /{_ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
    )


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _oid(path: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if lfs(path) else _git_sha1(content)


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers on a free port of 127.0.0.1 until the block ends."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            request = f"{self.command} {self.path}"
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = self._chunks()
            hub.requests.append(request)
            fault = hub.fault(request)
            kind = fault.kind if fault else ""
            if fault and kind.isdigit():
                self._send(Answer(int(kind), {"error": "busy"}, fault.headers))
                return
            if kind == "drop" and self.command not in ("GET", "HEAD"):
                self.close_connection = True  # before anything is done
                return
            if kind == "hang":
                time.sleep(20)
            answer = hub.answer(self.command, self.path, self.headers, body)
            if kind == "lose":
                self.close_connection = True
                return
            self._send(answer, kind)

        do_HEAD = do_POST = do_PUT = do_GET

        def _chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _send(self, answer: Answer, kind: str = "") -> None:
            body, headers = answer.body, dict(answer.headers)
            if kind == "flip":
                middle = len(body) // 2
                body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
            elif kind == "truncate":
                body = body[: len(body) // 2]
            elif kind == "etag":
                headers["ETag"] = f'"{"0" * 40}"'
            self.send_response(answer.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if kind in ("drop", "reset"):
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                if kind == "reset":  # closing with unsent data discarded sends an RST
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.shutdown(socket.SHUT_RD)
                self.connection.close()
                self.close_connection = True
                return
            if kind == "slow":
                for start in range(0, len(body), max(1, len(body) // 50)):
                    self.wfile.write(body[start : start + max(1, len(body) // 50)])
                    self.wfile.flush()
                    time.sleep(0.1)
                return
            self.wfile.write(body)

        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):  # the client has gone, or was cut off
                super().handle()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.handle_error = lambda *args: None  # type: ignore[method-assign]
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
