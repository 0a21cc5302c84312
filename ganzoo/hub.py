"""The one room that talks to the Hub: `hf://owner/name@revision` to a verified local folder.

The client of huggingface_hub downloads, caches and authenticates. It checks the size of what it
gets but not the content, so every file is hashed here before it is used, also when it was cached.
A revision is resolved to its commit once; files of a commit that are cached need no network.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ganzoo import files, layout
from ganzoo.errors import (
    CheckpointError,
    GanzooError,
    HubError,
    InputError,
    IntegrityError,
    nearest,
)

R = TypeVar("R")
_LOGIN = "check the spelling; if it is private, log in with: hf auth login"


@dataclass(frozen=True)
class HubRef:
    """A model folder on the Hub: a repository, a revision of it, and a folder in it."""

    repo_id: str
    revision: str | None = None
    folder: str = ""

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://{self.repo_id}{revision}{'/' if self.folder else ''}{self.folder}"


def parse_uri(uri: str) -> HubRef:
    """Read `hf://owner/name[@revision][/folder]`, the grammar of huggingface_hub.

    A revision that contains a slash is written with %2F (`refs/pr/1` may stand as it is).
    """
    from huggingface_hub import parse_hf_uri
    from huggingface_hub.errors import HfUriError

    grammar = "write hf://owner/name, hf://owner/name@revision or hf://owner/name@revision/folder"
    if not uri.startswith("hf://"):
        raise InputError(f"{uri!r} is no hf:// address", grammar)
    try:
        parsed = parse_hf_uri(uri)
    except HfUriError as error:
        raise InputError(f"{uri!r} is no valid address: {error.msg.strip()}", grammar) from None
    if parsed.type != "model":
        raise InputError(f"{uri!r} names a {parsed.type}, not a model", grammar)
    folder = PurePosixPath(parsed.path_in_repo)
    if ".." in folder.parts:
        raise InputError(f"{uri!r} leads out of its repository", grammar)
    if folder.name in (*layout.KNOWN_FILES, layout.SUMS):
        raise InputError(f"{uri!r} names a file", f"name its folder: leave /{folder.name} out")
    return HubRef(parsed.id, parsed.revision, "" if folder.name == "" else str(folder))


@dataclass(frozen=True)
class Fetched:
    """A model folder of the Hub in the client's cache.

    Attributes:
        folder: where it is. Only files that ganzoo knows are in it, and no pickle is.
        ref: its address at the commit that the revision stood for.
        hashes: file -> SHA-256, as it was computed and found right just now.
    """

    folder: Path
    ref: HubRef
    hashes: Mapping[str, str]


def fetch(
    ref: HubRef | str,
    *,
    files_sha256: Mapping[str, str] | None = None,
    discriminator: bool = False,
    signature: bool = False,
    local_files_only: bool = False,
    cache_dir: Path | None = None,
) -> Fetched:
    """Bring a model folder of the Hub into the client's cache and verify every file of it.

    Args:
        ref: the folder; an `hf://` address or its parts.
        files_sha256: hashes that a registry pins; they take precedence over SHA256SUMS.
        discriminator: fetch the discriminator as well, where there is one.
        signature: fetch the signature as well, where there is one; it is not checked here.
        local_files_only: use what is cached and make no request, as `HF_HUB_OFFLINE=1` does.
        cache_dir: another cache than the client's own.

    Raises:
        HubError: it cannot be reached, is not cached, refuses, or holds no model folder.
        IntegrityError: a file is not what its hash promises, also after fetching it again.
    """
    from huggingface_hub import constants, hf_hub_download

    ref = parse_uri(ref) if isinstance(ref, str) else ref
    offline = local_files_only or constants.HF_HUB_OFFLINE
    revision = ref.revision

    def download(name: str, *, again: bool = False) -> Path:
        with one_line(ref, name, offline=offline), _no_half_files(ref.repo_id, cache_dir):
            if not offline:
                _check_size(replace(ref, revision=revision), name, cache_dir)
            path = retrying(
                lambda: hf_hub_download(
                    ref.repo_id,
                    name,
                    subfolder=ref.folder or None,
                    revision=revision,
                    force_download=again,
                    local_files_only=offline,
                    cache_dir=cache_dir,
                    library_name="ganzoo",
                )
            )
            return Path(path)

    folder = download(layout.SUMS).parent
    depth = len(PurePosixPath(ref.folder).parts)
    revision = [folder, *folder.parents][depth].name  # cache layout: snapshots/<commit>/<folder>

    try:
        sums = layout.read_sums(folder)
    except CheckpointError:
        if offline:
            raise
        sums = layout.read_sums(download(layout.SUMS, again=True).parent)
    weights = layout.WEIGHTS
    needed = {layout.CONFIG, weights["generator"]}
    wanted = {name for name in layout.KNOWN_FILES if name in sums}
    if not discriminator:
        wanted.discard(weights["discriminator"])

    hashes: dict[str, str] = {}
    for name in sorted(needed | wanted):
        download(name)
        hashes[name] = files.sha256(folder / name)
        if hashes[name] == _expected(folder, name, files_sha256):
            continue
        if not offline:  # a byte may have flipped on its way, or in the cache
            download(layout.SUMS, again=True)
            download(name, again=True)
            hashes[name] = files.sha256(folder / name)
        if offline or hashes[name] != _expected(folder, name, files_sha256):
            where = "in the cache" if offline else "fetched twice"
            remedy = "go online to fetch it afresh" if offline else "do not use it; tell its author"
            raise IntegrityError(f"{ref}: {name}, {where}, does not have its SHA-256", remedy)
    if signature:  # SHA256SUMS does not name it: a folder without one is found out by asking
        with contextlib.suppress(_NoSuchFile):
            download(layout.SIGNATURE)
    return Fetched(folder, replace(ref, revision=revision), hashes)


def _expected(folder: Path, name: str, pinned: Mapping[str, str] | None) -> str | None:
    return (pinned or {}).get(name) or layout.read_sums(folder).get(name)


def _check_size(ref: HubRef, name: str, cache_dir: Path | None) -> None:
    """Refuse what only weights may be: large. A file that is cached is not asked for."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    path = f"{ref.folder}/{name}" if ref.folder else name
    cached = try_to_load_from_cache(
        ref.repo_id, path, revision=ref.revision, cache_dir=cache_dir or None
    )
    if name in layout.WEIGHTS.values() or name == layout.SUMS or isinstance(cached, str):
        return
    url = hf_hub_url(ref.repo_id, path, revision=ref.revision)
    size = retrying(lambda: get_hf_file_metadata(url, library_name="ganzoo")).size or 0
    if size > layout.LARGEST_RECORD:
        raise HubError(
            f"{ref}: {name} has {size:,} bytes, a model folder's has at most"
            f" {layout.LARGEST_RECORD:,}",
            "do not use it; tell its author",
        )


@dataclass(frozen=True)
class Found:
    """A model that somebody published on the Hub. Nobody has reviewed it."""

    repo: str
    arch: str
    dataset: str
    license: str
    downloads: int
    likes: int
    updated: str
    revision: str


SORTS = ("downloads", "likes", "last_modified", "created_at", "trending_score")


def search(
    text: str = "",
    *,
    arch: str | None = None,
    dataset: str | None = None,
    license: str | None = None,
    sort: str = "downloads",
    limit: int = 50,
) -> list[Found]:
    """The models on the Hub that say they are for ganzoo, those asked for first.

    Args:
        text: what their names contain.
        arch, dataset, license: as their cards state it.
        sort: one of `SORTS`; the most or newest first.
        limit: how many at most.
    """
    from huggingface_hub import HfApi, constants

    if sort not in SORTS:
        raise InputError(f"search has no order {sort!r}", nearest(sort, SORTS))
    if constants.HF_HUB_OFFLINE:
        raise HubError("the Hub may not be asked", "unset HF_HUB_OFFLINE to search it")
    wanted = ["ganzoo", arch, dataset and f"dataset:{dataset}", license and f"license:{license}"]
    order: Any = sort
    with one_line(HubRef("")):
        models = retrying(
            lambda: list(
                HfApi(library_name="ganzoo").list_models(
                    filter=[tag for tag in wanted if tag],
                    search=text or None,
                    sort=order,
                    limit=limit,
                    full=True,
                )
            )
        )
    return [_found(model) for model in models]


def _found(model: Any) -> Found:
    tags = [tag for tag in model.tags or [] if isinstance(tag, str)]

    def tagged(kind: str) -> str:
        return next((tag.partition(":")[2] for tag in tags if tag.startswith(f"{kind}:")), "")

    plain = {"ganzoo", "gan", "image-generation", "unconditional-image-generation", "safetensors"}
    return Found(
        repo=model.id,
        arch=next((tag for tag in tags if ":" not in tag and tag not in plain), ""),
        dataset=tagged("dataset"),
        license=tagged("license"),
        downloads=model.downloads or 0,
        likes=model.likes or 0,
        updated=f"{model.last_modified:%Y-%m-%d}" if model.last_modified else "",
        revision=model.sha or "",
    )


class _NoSuchFile(HubError):
    """The repository, or the cache when no request may be made, has no file of that name."""


@contextlib.contextmanager
def _no_half_files(repo_id: str, cache_dir: Path | None) -> Iterator[None]:
    """Ctrl-C takes the half file along that the client would keep to go on with."""
    from huggingface_hub import constants

    name = f"models--{repo_id.replace('/', '--')}"
    blobs = Path(cache_dir or constants.HF_HUB_CACHE) / name / "blobs"
    others = set(blobs.glob("*.incomplete"))  # of another process, or of an earlier one
    try:
        yield
    except KeyboardInterrupt:
        for half in set(blobs.glob("*.incomplete")) - others:
            half.unlink(missing_ok=True)
        raise


# -- what the client raises ------------------------------------------------------------------------

WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try, where the Hub names no other."""
_LONGEST_WAIT = 30.0


def retrying(request: Callable[[], R]) -> R:
    """Make a request that may be repeated, again while the Hub is busy or the line breaks: resets,
    truncated bodies, 429 and 5xx, which the client of huggingface_hub leaves to its callers."""
    for wait in WAITS:
        try:
            return request()
        except Exception as error:
            if not is_transient(error):
                raise
            time.sleep(min(_LONGEST_WAIT, max(wait, _retry_after(error))))
    return request()


def is_transient(error: Exception) -> bool:
    """Whether the same request may well succeed a moment later."""
    from huggingface_hub import errors, utils

    transport_error = utils.httpx.TransportError  # type: ignore[attr-defined] # of httpx or httpx2
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code if error.response is not None else 0
        return status in (408, 425, 429) or status >= 500
    if isinstance(error, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)):
        return False  # the client has tried for long already, or may not
    if isinstance(error, (transport_error, ConnectionError)):
        return True
    truncated = isinstance(error, OSError) and "Consistency check failed" in str(error)
    return truncated or (isinstance(error, RuntimeError) and "Data processing error" in str(error))


def _retry_after(error: Exception) -> float:
    response = getattr(error, "response", None)
    text = response.headers.get("Retry-After", "") if response is not None else ""
    return float(text) if text.isdigit() else 0.0


@contextlib.contextmanager
def one_line(ref: HubRef, name: str = "", *, offline: bool = False) -> Iterator[None]:
    """Turn what the client raises (its own errors, those of httpx, of hf_xet) into a `HubError`.

    Args:
        ref: the repository that it is about.
        name: the file in it.
        offline: no request may be made.
    """
    try:
        yield
    except GanzooError:
        raise
    except Exception as error:
        raise _explained(error, ref, name, offline=offline) from None


def _explained(error: Exception, ref: HubRef, name: str, *, offline: bool) -> HubError:
    from huggingface_hub import constants, errors

    if isinstance(error, errors.LocalEntryNotFoundError):
        if offline:
            return _NoSuchFile(
                f"{ref} is not in the cache ({name}), and the Hub may not be asked",
                "go online once to fetch it (unset HF_HUB_OFFLINE), or give a local folder",
            )
        if isinstance(error.__cause__, Exception):
            error = error.__cause__
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{ref} is gated",
            f"accept its terms at {constants.ENDPOINT}/{ref.repo_id}, then: hf auth login",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"{ref.repo_id} is private, gated or missing on the Hub",
            " ".join(filter(None, [_near(ref.repo_id), _LOGIN])),
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"{ref.repo_id} has no revision {ref.revision!r}", "check the name of it")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, FileNotFoundError):
        return _NoSuchFile(f"{ref} has no {name}", "check the address; a ganzoo model has one")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        remedy = _LOGIN if status in (401, 403) else "try again later"
        return HubError(
            f"{constants.ENDPOINT} answered {status}{f' for {ref}' if ref.repo_id else ''}", remedy
        )
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return HubError(
            f"cannot write {error.filename}: {error.strerror}",
            "free some space, or set HF_HOME to a folder that you may write to",
        )
    if isinstance(error, errors.HFValidationError):
        return HubError(f"{ref.repo_id!r} is no name of a repository", "write owner/name")
    text = " ".join(str(error).split())[:160] or "no answer"
    what = ref if ref.repo_id else "the Hub"
    return HubError(
        f"{what} cannot be reached at {constants.ENDPOINT}: {type(error).__name__}: {text}",
        "check the connection (and HF_ENDPOINT if it is set), then try again",
    )


def _near(repo_id: str) -> str:
    """`did you mean …?`, of what the Hub lists under this owner or a like name; "" for nothing."""
    from huggingface_hub import HfApi

    owner, _, name = repo_id.rpartition("/")
    found: set[str] = set()
    with contextlib.suppress(Exception):  # it is only a hint
        found |= {model.id for model in HfApi().list_models(author=owner, limit=50)}
        found |= {model.id for model in HfApi().list_models(search=name, limit=50)}
    hint = nearest(repo_id, found - {repo_id})
    return hint if hint.startswith("did you mean") else ""
