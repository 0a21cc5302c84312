"""What a Hub answers in publishing: repositories, uploads by Git LFS, commits, refs, pull requests.

It has no Xet: `xet-write-token` is a 404, as on many self-hosted Hubs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from tests.hub_server.api import Answer, HubApi, Request, on, stamp
from tests.hub_server.store import Blob, Discussion, Repo, card_problems, is_lfs


class Publishing(HubApi):
    @on("POST /api/repos/create")
    def create_repo(self, request: Request) -> Answer:
        wanted = request.json
        account = self.writer(request, wanted.get("organization") or "")
        repo_id = f"{wanted.get('organization') or account.name}/{wanted['name']}"
        answer = {"url": f"{self.url}/{repo_id}", "name": repo_id, "id": "1"}
        if repo_id in self.repos:
            return Answer(409, {**answer, "error": "You already created this model repo"})
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        repo = self.repos[repo_id] = Repo(repo_id, private=private)
        attributes = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}
        repo.commit(attributes, message="initial commit", author=account.name)
        return Answer(200, answer)

    @on("POST /api/validate-yaml")
    def validate(self, request: Request) -> Answer:
        errors, warnings = card_problems(request.json["content"])
        problems = {"errors": errors, "warnings": warnings}
        body = {key: [{"message": text} for text in texts] for key, texts in problems.items()}
        return Answer(400 if errors else 200, body)

    @on("POST /api/models/{repo}/preupload/{revision}")
    def preupload(self, request: Request, repo: str, revision: str) -> Answer:
        found, _, commit = self.find_commit(request, repo, revision)
        self.writer(request, "" if request.asks("create_pr") else found.owner)
        files = []
        for file in request.json["files"]:
            path, sample = file["path"], base64.b64decode(file["sample"])
            mode = "lfs" if is_lfs(path, sample, file["size"]) else "regular"
            entry = {"path": path, "uploadMode": mode, "shouldIgnore": False}
            if path in commit.files:
                entry["oid"] = Blob(path, commit.files[path]).etag
            files.append(entry)
        return Answer(200, {"files": files})

    @on(r"GET /api/models/{repo}/xet-(write|read)-token/{revision}")
    def xet_token(self, request: Request, repo: str, revision: str) -> Answer:
        return Answer(404, {"error": "this Hub has no Xet"})

    @on(r"POST /{repo}\.git/info/lfs/objects/batch")
    def lfs_batch(self, request: Request, repo: str) -> Answer:
        self.find_repo(request, repo)
        self.writer(request)  # of a pull request it is anybody
        objects = []
        for wanted in request.json["objects"]:
            entry: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.blobs:
                upload = {"href": f"{self.url}/lfs/{wanted['oid']}"}
                verify = {"href": f"{self.url}/lfs-verify"}
                entry["actions"] = {"upload": upload, "verify": verify}
            objects.append(entry)
        return Answer(200, {"transfer": "basic", "objects": objects})

    @on("PUT /lfs/{oid}")
    def lfs_put(self, request: Request, oid: str) -> Answer:
        if hashlib.sha256(request.body).hexdigest() != oid:
            return Answer(400, {"error": "the content has another hash"})
        self.blobs[oid] = request.body
        return Answer(200)

    @on("POST /lfs-verify")
    def lfs_verify(self, request: Request) -> Answer:
        content = self.blobs.get(request.json["oid"])
        right = content is not None and len(content) == request.json["size"]
        return Answer(200 if right else 404, {})

    @on("POST /api/models/{repo}/commit/{revision}")
    def make_commit(self, request: Request, repo: str, revision: str) -> Answer:
        found, sha, commit = self.find_commit(request, repo, revision)
        create_pr = request.asks("create_pr")
        account = self.writer(request, "" if create_pr else found.owner)
        lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, sha):
            error = "A commit has happened since. Please refresh and try again."
            return Answer(412, {"error": error})
        if revision not in found.refs:
            return Answer(400, {"error": f"{revision} is no branch"})
        files = dict(commit.files)
        for line in lines[1:]:
            self._apply(files, line["key"], line["value"])
        answer: dict[str, Any] = {"success": True}
        if create_pr:
            found.discussions.append(Discussion(header["summary"], account.name))
            number = len(found.discussions)
            revision = f"refs/pr/{number}"
            answer["pullRequestUrl"] = f"{self.url}/{repo}/discussions/{number}"
        new = found.commit(
            files, ref=revision, parent=sha, message=header["summary"],
            description=header.get("description", ""), author=account.name,
        )  # fmt: skip
        answer |= {"commitOid": new, "commitUrl": f"{self.url}/{repo}/commit/{new}"}
        return Answer(200, answer)

    def _apply(self, files: dict[str, bytes], kind: str, value: dict[str, Any]) -> None:
        """One line of a commit."""
        path = value["path"]
        if kind == "file":
            content = base64.b64decode(value["content"])
            if path == "README.md" and (errors := card_problems(content.decode())[0]):
                raise Answer(400, {"error": errors[0]})
            files[path] = content
        elif kind == "lfsFile":
            if value["oid"] not in self.blobs:
                raise Answer(400, {"error": f"LFS object {value['oid']} was never uploaded"})
            files[path] = self.blobs[value["oid"]]
        else:  # deletedFile, deletedFolder
            inside = f"{path.rstrip('/')}/"
            gone = [name for name in files if f"{name}/".startswith(inside)]
            if not gone:
                raise Answer(404, {"error": f"{path} does not exist"}, code="EntryNotFound")
            for name in gone:
                del files[name]

    @on("POST /api/models/{repo}/(?P<kind>tag|branch)/{name}")
    def make_ref(self, request: Request, repo: str, kind: str, name: str) -> Answer:
        wanted = request.json
        revision = name if kind == "tag" else wanted.get("startingPoint", "main")
        found, sha, _ = self.find_commit(request, repo, revision)
        self.writer(request, found.owner)
        ref = f"tags/{wanted['tag']}" if kind == "tag" else name
        if ref in found.refs:
            return Answer(409, {"error": f"{kind} exists already"})
        found.refs[ref] = sha
        return Answer(200, {})

    # -- pull requests -----------------------------------------------------------------------------

    @on("GET /api/models/{repo}/discussions")
    def list_discussions(self, request: Request, repo: str) -> Answer:
        found = self.find_repo(request, repo)
        listed = [_discussion(found, number) for number in range(1, len(found.discussions) + 1)]
        return Answer(200, {"discussions": listed[::-1], "count": len(listed), "start": 0})

    @on("POST /api/models/{repo}/discussions")
    def make_discussion(self, request: Request, repo: str) -> Answer:
        found, sha, _ = self.find_commit(request, repo, "main")
        account, wanted = self.writer(request), request.json
        pull = bool(wanted.get("pullRequest"))
        new = Discussion(wanted["title"], account.name, pull, "draft" if pull else "open")
        found.discussions.append(new)
        if pull:
            found.refs[f"refs/pr/{len(found.discussions)}"] = sha
        return Answer(200, {"num": len(found.discussions), "pullRequest": pull})

    @on(r"GET /api/models/{repo}/discussions/(?P<number>\d+)")
    def get_discussion(self, request: Request, repo: str, number: str) -> Answer:
        return Answer(200, _discussion(self.find_repo(request, repo), int(number)))

    @on(r"POST /api/models/{repo}/discussions/(?P<number>\d+)/(?P<act>status|merge)")
    def change_discussion(self, request: Request, repo: str, number: str, act: str) -> Answer:
        found = self.find_repo(request, repo)
        account, view = self.writer(request, found.owner), _discussion(found, int(number))
        one = found.discussions[int(number) - 1]
        if act == "merge":
            main, theirs = found.refs["main"], found.refs[f"refs/pr/{number}"]
            if main not in dict(found.history(theirs)):
                return Answer(409, {"error": "main has moved since"})
            found.commit(found.commits[theirs].files, parent=main, message=one.title)
        one.status = "merged" if act == "merge" else request.json["status"]
        event = {"id": "1", "type": "status-change", "createdAt": view["createdAt"]}
        event |= {"author": {"name": account.name}, "data": {"status": one.status}}
        return Answer(200, {"newStatus": event})


def _discussion(repo: Repo, number: int) -> dict[str, Any]:
    if not 0 < number <= len(repo.discussions):
        raise Answer(404, {"error": f"there is no discussion {number}"})
    one = repo.discussions[number - 1]
    return {
        "num": number, "title": one.title, "author": {"name": one.author}, "status": one.status,
        "createdAt": stamp(one.date), "isPullRequest": one.pull_request, "events": [],
        "repo": {"name": repo.id, "type": "model"}, "filesWithConflicts": [],
        "changes": {"base": "refs/heads/main"},
    }  # fmt: skip
