"""What a Hub answers in reading: repositories, their commits and files, and searches."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import parse_qs, urlencode

from tests.hub_server.api import Answer, HubApi, Request, on, owns, stamp
from tests.hub_server.store import Blob, Repo


class Reading(HubApi):
    @on("GET /api/models/{repo}(/revision/{revision})?")
    def model_info(self, request: Request, repo: str, revision: str = "main") -> Answer:
        found, sha, _ = self.find_commit(request, repo, revision)
        info = self._info(found, sha, blobs=request.asks("blobs"))
        return Answer(200, _expanded(info, request))

    def _info(self, repo: Repo, sha: str, *, blobs: bool = False) -> dict[str, Any]:
        commit, card = repo.commits[sha], repo.card()
        siblings = []
        for blob in commit.blobs():
            entry: dict[str, Any] = {"rfilename": blob.path}
            if blobs:
                entry |= {"size": len(blob.content), "blobId": blob.git_sha1}
                if blob.lfs:
                    entry["lfs"] = self._lfs(blob, "sha256")
            siblings.append(entry)
        return {
            "_id": "1", "id": repo.id, "modelId": repo.id, "author": repo.owner, "sha": sha,
            "private": repo.private, "gated": repo.gated, "disabled": False, "tags": repo.tags(),
            "downloads": repo.downloads, "likes": repo.likes, "siblings": siblings,
            "lastModified": stamp(commit.date), "createdAt": stamp(repo.created), "cardData": card,
            "library_name": card.get("library_name"), "pipeline_tag": card.get("pipeline_tag"),
        }  # fmt: skip

    def _lfs(self, blob: Blob, name: str) -> dict[str, Any]:
        digest = "0" * 64 if self.lies else blob.sha256
        return {name: digest, "size": len(blob.content), "pointerSize": len(blob.in_git)}

    @on("GET /api/models/{repo}/refs")
    def list_refs(self, request: Request, repo: str) -> Answer:
        lists: dict[str, list[dict[str, str]]] = {
            key: [] for key in ("branches", "tags", "converts", "pullRequests")
        }
        for name, sha in self.find_repo(request, repo).refs.items():
            if name.startswith("refs/pr/"):
                lists["pullRequests"].append({"name": name, "ref": name, "targetCommit": sha})
                continue
            kind, ref = (
                ("tags", name) if name.startswith("tags/") else ("branches", f"heads/{name}")
            )
            entry = {"name": name.removeprefix("tags/"), "ref": f"refs/{ref}", "targetCommit": sha}
            lists[kind].append(entry)
        return Answer(200, lists)

    @on("GET /api/models/{repo}/commits/{revision}")
    def list_commits(self, request: Request, repo: str, revision: str) -> Answer:
        found, sha, _ = self.find_commit(request, repo, revision)
        commits = [
            {"id": sha, "title": commit.message, "message": commit.description,
             "date": stamp(commit.date), "authors": [{"user": commit.author}]}
            for sha, commit in found.history(sha)
        ]  # fmt: skip
        return self._page(request, commits)

    @on("GET /api/models/{repo}/tree/{revision}(/{path})?")
    def list_tree(self, request: Request, repo: str, revision: str, path: str = "") -> Answer:
        found, sha, commit = self.find_commit(request, repo, revision)
        blobs = [*commit.blobs(path)]
        if not blobs:
            return Answer(404, {"error": f"{path} does not exist"}, code="EntryNotFound")
        entries: dict[str, dict[str, Any]] = {}
        depth = path.count("/") + 1 if path else 0
        for blob in blobs:
            parts = blob.path.split("/")
            for end in range(depth + 1, len(parts)):
                folder = "/".join(parts[:end])
                oid = hashlib.sha1(folder.encode()).hexdigest()
                entries[folder] = {"type": "directory", "oid": oid, "size": 0, "path": folder}
            entries[blob.path] = self._file(blob)
        if not request.asks("recursive"):
            entries = {name: e for name, e in entries.items() if name.count("/") == depth}
        if request.asks("expand"):
            for name, entry in entries.items():
                last, change = found.last_change(sha, name)
                date = stamp(change.date)
                entry["lastCommit"] = {"id": last, "title": change.message, "date": date}
        return self._page(request, list(entries.values()))

    def _file(self, blob: Blob) -> dict[str, Any]:
        size = len(blob.content)
        entry = {"type": "file", "oid": blob.git_sha1, "size": size, "path": blob.path}
        return entry | ({"lfs": self._lfs(blob, "oid")} if blob.lfs else {})

    @on("POST /api/models/{repo}/paths-info/{revision}")
    def paths_info(self, request: Request, repo: str, revision: str) -> Answer:
        _, _, commit = self.find_commit(request, repo, revision)
        paths = parse_qs(request.body.decode())["paths"]
        return Answer(200, [self._file(b) for b in commit.blobs() if b.path in paths])

    @on("GET /api/models")
    def list_models(self, request: Request) -> Answer:
        account, query = self.account(request), request.query
        found = [r for r in self.repos.values() if not r.private or owns(account, r)]
        found = [repo for repo in found if {*query.get("filter", [])} <= {*repo.tags()}]
        if author := query.get("author"):
            found = [repo for repo in found if repo.owner == author[0]]
        if text := query.get("search"):
            found = [repo for repo in found if text[0].lower() in repo.id.lower()]
        infos = [self._info(repo, repo.refs["main"]) for repo in found]
        if sort := query.get("sort"):
            infos.sort(key=lambda info: info.get(sort[0], 0), reverse=True)
        if not request.asks("full") and "expand" not in query:
            more = {"author", "sha", "siblings", "lastModified", "gated", "disabled"}
            more |= set() if request.asks("cardData") else {"cardData"}
            infos = [{k: v for k, v in info.items() if k not in more} for info in infos]
        return self._page(request, [_expanded(info, request) for info in infos])

    def _page(self, request: Request, entries: list[dict[str, Any]]) -> Answer:
        """The page of a list that is asked for, and a link to the next one."""
        start = int(request.query.get("cursor", ["0"])[0])
        size = min(self.page_size, int(request.query.get("limit", [str(self.page_size)])[0]))
        headers = {}
        if start + size < len(entries):
            query = urlencode({**request.query, "cursor": start + size}, doseq=True)
            headers["Link"] = f'<{self.url}{request.path}?{query}>; rel="next"'
        return Answer(200, entries[start : start + size], headers)

    @on("(GET|HEAD) /{repo}/resolve/{revision}/{path}")
    def resolve(self, request: Request, repo: str, revision: str, path: str) -> Answer:
        found, sha, commit = self.find_commit(request, repo, revision)
        account, headers = self.account(request), {"X-Repo-Commit": sha}
        granted = owns(account, found) or (account is not None and account.name in found.granted)
        if found.gated and not granted:
            error = {"error": f"Access to model {repo} is restricted"}
            return Answer(403 if account else 401, error, headers, code="GatedRepo")
        if path not in commit.files:
            return Answer(404, {"error": "Entry not found"}, headers, code="EntryNotFound")
        blob = Blob(path, commit.files[path])
        headers |= {"ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
        if blob.lfs:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.content))}
        if request.method == "GET" and path == "config.json":
            found.downloads += 1
        return _ranged(request.headers.get("Range", ""), blob.content, headers)


def _ranged(asked: str, content: bytes, headers: dict[str, str]) -> Answer:
    """A file, or the range of it that is asked for."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
    if match is None:
        return Answer(200, content, headers)
    start, end = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
    if start > end:
        return Answer(416, headers={"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
    return Answer(206, content[start : end + 1], headers)


def _expanded(info: dict[str, Any], request: Request) -> dict[str, Any]:
    """Only what `expand=` names, where it names something."""
    asked = request.query.get("expand")
    return info if asked is None else {k: v for k, v in info.items() if k in ("_id", "id", *asked)}
