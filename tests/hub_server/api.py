"""Requests, answers, and who may have which: what the pages of the Hub are made with."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_server.store import Commit, Repo


@dataclass(frozen=True)
class Account:
    """Whose token it is, and what it may do."""

    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()


class Request:
    """A request as it came."""

    def __init__(self, method: str, target: str, headers: Message, body: bytes):
        self.method, self.headers, self.body = method, headers, body
        parts = urlsplit(target)
        self.path, self.query = parts.path, parse_qs(parts.query)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def asks(self, name: str) -> bool:
        return self.query.get(name, ["false"])[0].lower() in ("1", "true")


class Answer(Exception):
    """What a request is answered with; raised where nothing more is to be done."""

    def __init__(
        self, status: int, body: Any = b"", headers: Mapping[str, str] | None = None, code: str = ""
    ) -> None:
        self.status = status
        self.headers = dict(headers or {}) | ({"X-Error-Code": code} if code else {})
        if not isinstance(body, bytes):
            self.headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body).encode()
        self.body = body


ROUTES: list[tuple[re.Pattern[str], Callable[..., Answer]]] = []


def on(route: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Name the requests that a method answers; what it has in braces are its arguments."""
    pattern = route.replace("{repo}", "(?P<repo>[^/]+/[^/]+)").replace("{path}", "(?P<path>.+)")
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)

    def note(method: Callable[..., Answer]) -> Callable[..., Answer]:
        ROUTES.append((re.compile(pattern), method))
        return method

    return note


class HubApi:
    """A Hub without its network; `Publishing` and `Reading` give it its pages.

    Attributes:
        url: where it is reached.
        repos: repo id -> repository.
        blobs: sha256 -> content, as uploaded by Git LFS.
        tokens: token -> whose it is.
        refuse: repo id -> (status, X-Error-Code) of every answer.
        lies: whether it tells wrong hashes of what is in LFS.
        page_size: how many entries a page of a list has at most.
    """

    def __init__(self) -> None:
        self.url = ""
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.tokens = {
            "hf_writing": Account("me", orgs=("zoo",)),
            "hf_reading": Account("me", "read", orgs=("zoo",)),
            "hf_stranger": Account("stranger"),
        }
        self.refuse: dict[str, tuple[int, str]] = {}
        self.lies = False
        self.page_size = 20
        self.lock = threading.RLock()

    def answer(self, request: Request) -> Answer:
        for pattern, method in ROUTES:
            if match := pattern.fullmatch(str(request)):
                named = {key: unquote(value) for key, value in match.groupdict().items() if value}
                try:
                    with self.lock:
                        return method(self, request, **named)
                except Answer as answer:
                    return answer
        return Answer(404, {"error": "no such page"})

    # -- who may what ------------------------------------------------------------------------------

    def account(self, request: Request) -> Account | None:
        """Who asks; None for anybody."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            error = "Invalid credentials in Authorization header"
            raise Answer(401, {"error": error}, {"X-Error-Message": error})
        return self.tokens.get(token)

    def writer(self, request: Request, owner: str = "") -> Account:
        """Who asks, if they may write at all, and where an owner is named, in their name."""
        account = self.account(request)
        if account is None:
            raise Answer(401, {"error": "Invalid username or password."})
        if account.role != "write" or owner not in ("", account.name, *account.orgs):
            error = f"You have no right to write with this token{f' to {owner}' if owner else ''}"
            raise Answer(403, {"error": error}, {"X-Error-Message": error})
        return account

    def find_repo(self, request: Request, repo_id: str) -> Repo:
        """A repository, if it exists for who asks: a private one does not for others."""
        if repo_id in self.refuse:
            status, code = self.refuse[repo_id]
            raise Answer(status, code=code)
        account, repo = self.account(request), self.repos.get(repo_id)
        if repo is None or (repo.private and not owns(account, repo)):
            error = {"error": "Repository not found"}
            raise Answer(404 if account else 401, error, code="RepoNotFound")
        return repo

    def find_commit(
        self, request: Request, repo_id: str, revision: str
    ) -> tuple[Repo, str, Commit]:
        """A repository, and the id and content of the commit that a revision of it names."""
        repo = self.find_repo(request, repo_id)
        sha = repo.find(revision)
        if not sha:
            raise Answer(404, {"error": f"Invalid rev id: {revision}"}, code="RevisionNotFound")
        return repo, sha, repo.commits[sha]

    @on("GET /api/whoami-v2")
    def whoami(self, request: Request) -> Answer:
        account = self.account(request)
        if account is None:
            return Answer(401, {"error": "Invalid username or password."})
        token = {"displayName": "test", "role": account.role}
        orgs = [{"type": "org", "name": name} for name in account.orgs]
        return Answer(200, {"type": "user", "name": account.name, "orgs": orgs,
                            "auth": {"type": "access_token", "accessToken": token}})  # fmt: skip

    @on("GET /api/agent-harnesses")
    def agent_harnesses(self, request: Request) -> Answer:
        return Answer(200, {"standardEnvVars": [], "harnesses": {}})


def owns(account: Account | None, repo: Repo) -> bool:
    return account is not None and repo.owner in (account.name, *account.orgs)


def stamp(date: datetime) -> str:
    return f"{date:%Y-%m-%dT%H:%M:%S}.{date.microsecond // 1000:03d}Z"
