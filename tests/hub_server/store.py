"""What the Hub on the loopback holds: repositories of commits, and what it derives from them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

import yaml

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".onnx", ".npz", ".zip")
LFS_SIZE = 10 * 2**20


def is_lfs(path: str, sample: bytes, size: int) -> bool:
    """Whether the Hub takes a file by Git LFS: weights, what is binary, and what is large."""
    return path.endswith(LFS_SUFFIXES) or b"\0" in sample[:512] or size >= LFS_SIZE


@dataclass(frozen=True)
class Blob:
    """A file of a commit, with the names that the Hub has for its content."""

    path: str
    content: bytes

    @property
    def lfs(self) -> bool:
        return is_lfs(self.path, self.content, len(self.content))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def in_git(self) -> bytes:
        """What git stores: of an LFS file, its pointer."""
        if not self.lfs:
            return self.content
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}",
                 f"size {len(self.content)}\n")  # fmt: skip
        return "\n".join(lines).encode()

    @property
    def git_sha1(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.in_git) + self.in_git).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_sha1


@dataclass
class Commit:
    files: dict[str, bytes]
    parent: str = ""
    message: str = ""
    description: str = ""
    author: str = ""
    date: datetime = field(default_factory=lambda: datetime.now(UTC))

    def blobs(self, folder: str = "") -> Iterator[Blob]:
        """The files under a folder, by path."""
        for path, content in sorted(self.files.items()):
            if not folder or path.startswith(f"{folder}/"):
                yield Blob(path, content)


@dataclass
class Discussion:
    """A pull request, or a mere discussion; its number is its place in the repository's list."""

    title: str
    author: str
    pull_request: bool = True
    status: str = "open"
    date: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Repo:
    """A repository.

    Attributes:
        commits: commit id -> commit.
        refs: branch ("main"), tag ("tags/v1") or pull request ("refs/pr/1") -> commit id.
        gated: "auto" or "manual" for one whose files only its owner and `granted` users may read.
        downloads: how many times config.json was fetched.
    """

    id: str
    private: bool = False
    gated: Literal["auto", "manual", False] = False
    granted: set[str] = field(default_factory=set)
    downloads: int = 0
    likes: int = 0
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def owner(self) -> str:
        return self.id.partition("/")[0]

    def commit(
        self, files: dict[str, bytes], *, ref: str = "main", parent: str = "", message: str = "",
        description: str = "", author: str = "",
    ) -> str:  # fmt: skip
        """Move a ref to a new commit of just these files; returns its id."""
        seed = repr((sorted(files.items()), parent, message, len(self.commits)))
        sha = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[sha] = Commit(dict(files), parent, message, description, author)
        self.refs[ref] = sha
        return sha

    def find(self, revision: str) -> str:
        """The commit of a branch, tag, pull request, or (short) commit id; "" for none."""
        for name in (revision, f"tags/{revision}"):
            if name in self.refs:
                return self.refs[name]
        if re.fullmatch("[0-9a-f]{7,40}", revision):
            return next((sha for sha in self.commits if sha.startswith(revision)), "")
        return ""

    def history(self, revision: str = "main") -> Iterator[tuple[str, Commit]]:
        """The commits that led to a revision, the newest first."""
        sha = self.find(revision)
        while sha:
            yield sha, self.commits[sha]
            sha = self.commits[sha].parent

    def last_change(self, sha: str, path: str) -> tuple[str, Commit]:
        """The commit that gave a file or folder the content that it has in `sha`."""

        def content(commit: Commit) -> list[tuple[str, bytes]]:
            inside = f"{path}/"
            return sorted(i for i in commit.files.items() if f"{i[0]}/".startswith(inside))

        steps = [*self.history(sha)]
        for newer, older in pairwise(steps):
            if content(newer[1]) != content(older[1]):
                return newer
        return steps[-1]

    def card(self) -> dict[str, Any]:
        """The metadata of main's README.md; empty where it has none that can be read."""
        head = self.commits[self.refs["main"]] if "main" in self.refs else Commit({})
        try:
            values = metadata(head.files.get("README.md", b"").decode(errors="replace"))
        except yaml.YAMLError:
            return {}
        return values if isinstance(values, dict) else {}

    def tags(self) -> list[str]:
        """What `filter=` of a search finds it by."""
        card = self.card()
        files = self.commits[self.refs["main"]].files if "main" in self.refs else {}
        tags = [card.get("library_name"), *_listed(card.get("tags")), card.get("pipeline_tag")]
        tags += ["safetensors"] if any(path.endswith(".safetensors") for path in files) else []
        tags += ["model-index"] if "model-index" in card else []
        for key, prefix in {"datasets": "dataset", "base_model": "base_model",
                            "license": "license"}.items():  # fmt: skip
            tags += [f"{prefix}:{value}" for value in _listed(card.get(key))]
        return list(dict.fromkeys(tag for tag in tags if isinstance(tag, str)))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


# -- cards -----------------------------------------------------------------------------------------

LICENSES = set(
    """afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
    bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
    cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0
    cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
    creativeml-openrail-m ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gfdl gpl gpl-2.0
    gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1
    openrail openrail++ osl-3.0 other pddl postgresql unknown unlicense wtfpl zlib""".split()  # noqa: SIM905, a name a line would be long
)


def metadata(readme: str) -> Any:
    """The YAML block that a card begins with; None where it begins with none."""
    match = re.match(r"---\r?\n(.*?)\r?\n---", readme, re.DOTALL)
    return yaml.safe_load(match[1]) if match else None


def card_problems(readme: str) -> tuple[list[str], list[str]]:
    """The errors and the warnings that the Hub has for a card."""
    try:
        values = metadata(readme)
    except yaml.YAMLError as error:
        return [f"invalid YAML: {' '.join(str(error).split())}"], []
    if not values:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(values, dict):
        return ["the metadata must be a mapping"], []
    errors = []
    for license in _listed(values.get("license")):
        if license not in LICENSES:
            errors.append(f'"license" must be one of those that the Hub knows, not {license!r}')
    for key in ("tags", "datasets", "language", "base_model"):
        if not all(isinstance(value, str) for value in _listed(values.get(key))):
            errors.append(f'"{key}" must be a string or a list of strings')
    for key in ("library_name", "pipeline_tag", "license_name", "license_link"):
        if not isinstance(values.get(key, ""), str):
            errors.append(f'"{key}" must be a string')
    for number, model in enumerate(_listed(values.get("model-index"))):
        errors += [f'"model-index[{number}].{at}' for at in _model_problems(model)]
    return errors, []


def _model_problems(model: Any) -> Iterator[str]:
    if not isinstance(model, dict) or not isinstance(model.get("name"), str):
        yield 'name" is required'
        return
    for number, result in enumerate(_listed(model.get("results"))):
        for key, required in {"task": ("type",), "dataset": ("name", "type")}.items():
            part = result.get(key) if isinstance(result, dict) else None
            for name in required:
                if not isinstance(part, dict) or not isinstance(part.get(name), str):
                    yield f'results[{number}].{key}.{name}" is required'
        for metric in _listed(result.get("metrics") if isinstance(result, dict) else None):
            if not isinstance(metric, dict) or not {"type", "value"} <= metric.keys():
                yield f'results[{number}].metrics" must have type and value'
