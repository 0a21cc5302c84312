"""The one room that talks to the Hub: `hf://owner/name@revision` to a verified local folder.

The client of huggingface_hub downloads, caches and authenticates. It checks the size of what it
gets but not the content, so every file is hashed here before it is used, also when it was cached.
A revision is resolved to its commit once; files of a commit that are cached need no network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ganzoo import files, layout
from ganzoo.errors import CheckpointError, GanzooError, HubError, InputError, IntegrityError

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


def fetch(
    ref: HubRef | str,
    *,
    files_sha256: Mapping[str, str] | None = None,
    discriminator: bool = False,
    signature: bool = False,
    local_files_only: bool = False,
) -> Path:
    """Bring a model folder of the Hub into the client's cache and verify every file of it.

    Args:
        ref: the folder; an `hf://` address or its parts.
        files_sha256: hashes that a registry pins; they take precedence over SHA256SUMS.
        discriminator: fetch the discriminator as well, where there is one.
        signature: fetch the signature as well, where there is one; it is not checked here.
        local_files_only: use what is cached and make no request, as `HF_HUB_OFFLINE=1` does.

    Returns:
        The folder in the cache. Only files that ganzoo knows are in it, and no pickle is.

    Raises:
        HubError: it cannot be reached, is not cached, refuses, or holds no model folder.
        IntegrityError: a file is not what its hash promises, also after fetching it again.
    """
    from huggingface_hub import constants, hf_hub_download

    ref = parse_uri(ref) if isinstance(ref, str) else ref
    offline = local_files_only or constants.HF_HUB_OFFLINE
    revision = ref.revision

    def download(name: str, *, again: bool = False) -> Path:
        with _one_line(ref, name, offline=offline):
            return Path(
                hf_hub_download(
                    ref.repo_id,
                    name,
                    subfolder=ref.folder or None,
                    revision=revision,
                    force_download=again,
                    local_files_only=offline,
                    library_name="ganzoo",
                )
            )

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

    for name in sorted(needed | wanted):
        download(name)
        if _is_sound(folder, name, files_sha256):
            continue
        if not offline:  # a byte may have flipped on its way, or in the cache
            download(layout.SUMS, again=True)
            download(name, again=True)
        if offline or not _is_sound(folder, name, files_sha256):
            where = "in the cache" if offline else "fetched twice"
            remedy = "go online to fetch it afresh" if offline else "do not use it; tell its author"
            raise IntegrityError(f"{ref}: {name}, {where}, does not have its SHA-256", remedy)
    if signature:  # SHA256SUMS does not name it: a folder without one is found out by asking
        with contextlib.suppress(_NoSuchFile):
            download(layout.SIGNATURE)
    return folder


def _is_sound(folder: Path, name: str, pinned: Mapping[str, str] | None) -> bool:
    expected = (pinned or {}).get(name) or layout.read_sums(folder).get(name)
    return files.sha256(folder / name) == expected


class _NoSuchFile(HubError):
    """The repository, or the cache when no request may be made, has no file of that name."""


@contextlib.contextmanager
def _one_line(ref: HubRef, name: str, *, offline: bool) -> Iterator[None]:
    """Turn what the client raises (its own errors, those of httpx, of hf_xet) into a `HubError`."""
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
        return HubError(f"{ref.repo_id} is private, gated or missing on the Hub", _LOGIN)
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"{ref.repo_id} has no revision {ref.revision!r}", "check the name of it")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, FileNotFoundError):
        return _NoSuchFile(f"{ref} has no {name}", "check the address; a ganzoo model has one")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        remedy = _LOGIN if status in (401, 403) else "try again later"
        return HubError(f"{constants.ENDPOINT} answered {status} for {ref}", remedy)
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return HubError(
            f"cannot write {error.filename}: {error.strerror}",
            "free some space, or set HF_HOME to a folder that you may write to",
        )
    text = " ".join(str(error).split())[:160] or "no answer"
    return HubError(
        f"{ref} cannot be fetched from {constants.ENDPOINT}: {type(error).__name__}: {text}",
        "check the connection (and HF_ENDPOINT if it is set), then try again",
    )
