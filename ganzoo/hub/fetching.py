"""A model folder of the Hub to a verified local one.

The client checks the size of what it gets but not the content, so every file is hashed here before
it is used, also when it was cached. A revision is resolved to its commit once; files of a commit
that are cached need no network.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ganzoo import files, layout
from ganzoo.errors import CheckpointError, HubError, IntegrityError
from ganzoo.hub.address import HubRef, parse_uri
from ganzoo.hub.client import NoSuchFile, one_line, retrying


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
    before_download: Callable[[Collection[str]], None] | None = None,
) -> Fetched:
    """Bring a model folder of the Hub into the client's cache and verify every file of it.

    Args:
        ref: the folder; an `hf://` address or its parts.
        files_sha256: hashes that a registry pins; they take precedence over SHA256SUMS.
        discriminator: fetch the discriminator as well, where there is one.
        signature: fetch the signature as well, where there is one; it is not checked here.
        local_files_only: use what is cached and make no request, as `HF_HUB_OFFLINE=1` does.
        cache_dir: another cache than the client's own.
        before_download: is called with the promised hashes of the weights before any that is not
            in the cache is asked for; what it raises stops that.

    Raises:
        HubError: it cannot be reached, is not cached, refuses, or holds no model folder.
        IntegrityError: a file is not what its hash promises, also after fetching it again.
    """
    from huggingface_hub import constants

    ref = parse_uri(ref) if isinstance(ref, str) else ref
    offline = local_files_only or constants.HF_HUB_OFFLINE
    here = ref  # and at one commit, from the first file on

    def download(name: str, *, again: bool = False) -> Path:
        with one_line(ref, name, offline=offline), _no_half_files(ref.repo_id, cache_dir):
            if not offline:
                _check_size(here, name, cache_dir)
            return _from_hub(here, name, again=again, offline=offline, cache_dir=cache_dir)

    sums_file = download(layout.SUMS)
    folder, here = sums_file.parent, _at_commit(ref, sums_file)

    if not offline and _is_other_than_its_name(folder / layout.SUMS):
        download(layout.SUMS, again=True)
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

    if before_download is not None and not offline:
        large = sorted((needed | wanted) & set(weights.values()))
        if not all(_is_cached(here, name, cache_dir) for name in large):
            before_download([_expected(folder, name, files_sha256) or "" for name in large])

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
        with contextlib.suppress(NoSuchFile):
            download(layout.SIGNATURE)
    return Fetched(folder, here, hashes)


def fetch_file(uri: str, name: str, *, fresh: bool = False) -> tuple[Path, HubRef]:
    """One file of a repository, not verified, and the address at its commit; where it is to be
    `fresh`, the Hub has to answer, and what is cached does not do."""
    from huggingface_hub import constants

    ref = parse_uri(uri)
    offline = constants.HF_HUB_OFFLINE
    with one_line(ref, name, offline=offline):
        path = _from_hub(ref, name, again=fresh, offline=offline and not fresh)
    return path, _at_commit(ref, path)


def _from_hub(
    ref: HubRef, name: str, *, again: bool, offline: bool, cache_dir: Path | None = None
) -> Path:
    """A file in the client's cache, brought there if it has to be."""
    from huggingface_hub import hf_hub_download

    return Path(
        retrying(
            lambda: hf_hub_download(
                ref.repo_id,
                name,
                subfolder=ref.folder or None,
                revision=ref.revision,
                force_download=again,
                local_files_only=offline,
                cache_dir=cache_dir,
                library_name="ganzoo",
            )
        )
    )


def _at_commit(ref: HubRef, path: Path) -> HubRef:
    """The address at the commit of a file of it: the cache has snapshots/<commit>/<folder>/."""
    return replace(ref, revision=path.parents[len(PurePosixPath(ref.folder).parts)].name)


def _is_other_than_its_name(path: Path) -> bool:
    """Whether a small file in the cache lacks the Git hash that the Hub told, which is its name
    there. Nothing else vouches for SHA256SUMS, where a flipped bit may hide a file."""
    name = path.resolve().name
    if not re.fullmatch("[0-9a-f]{40}", name):  # of LFS, and of any size
        return False
    data = path.read_bytes()
    return name != hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _expected(folder: Path, name: str, pinned: Mapping[str, str] | None) -> str | None:
    return (pinned or {}).get(name) or layout.read_sums(folder).get(name)


def _check_size(ref: HubRef, name: str, cache_dir: Path | None) -> None:
    """Refuse what only weights may be: large. A file that is cached is not asked for."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    if name in layout.WEIGHTS.values() or name == layout.SUMS or _is_cached(ref, name, cache_dir):
        return
    url = hf_hub_url(ref.repo_id, _in_repository(ref, name), revision=ref.revision)
    size = retrying(lambda: get_hf_file_metadata(url, library_name="ganzoo")).size or 0
    if size > layout.LARGEST_RECORD:
        raise HubError(
            f"{ref}: {name} has {size:,} bytes, a model folder's has at most"
            f" {layout.LARGEST_RECORD:,}",
            "do not use it; tell its author",
        )


def _is_cached(ref: HubRef, name: str, cache_dir: Path | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    path = _in_repository(ref, name)
    found = try_to_load_from_cache(ref.repo_id, path, revision=ref.revision, cache_dir=cache_dir)
    return isinstance(found, str)


def _in_repository(ref: HubRef, name: str) -> str:
    return f"{ref.folder}/{name}" if ref.folder else name


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
