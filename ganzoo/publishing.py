"""Publishing a model folder on the Hub: checked in full, sent in one commit, loaded back.

What is sent is the folder as others are to find it: without the discriminator, with a card that
says how to load it from there, without paths of this machine. A commit is made on the parent that
was looked at, so that nobody's work is overwritten; after a lost answer the Hub is asked what it
has, so that a repeat makes no second commit.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ganzoo import checkpoint, files, gates, hub, layout, loading, registry, revocation
from ganzoo.errors import GanzooError, HubError, InputError, IntegrityError


@dataclass(frozen=True)
class Shipped:
    """A file that is, or would be, sent."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Published:
    """What became of a folder.

    Attributes:
        repo: owner/name.
        commit: where it is; "" for a dry run.
        url: of that commit, or of the pull request.
        tag: the tag that names the commit, or "".
        new: whether a commit was made; not, where the Hub had the same files already.
        files: what was sent.
        notes: what its owner should know: the warnings of the gates among them.
        overrides: gate -> the reason why it was published all the same.
    """

    repo: str
    commit: str = ""
    url: str = ""
    tag: str = ""
    new: bool = False
    files: tuple[Shipped, ...] = ()
    notes: tuple[str, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)


def publish(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    create_pr: bool = False,
    tag: str | None = None,
    force: bool = False,
    with_discriminator: bool = False,
    dry_run: bool = False,
    name: str | None = None,
    overrides: Mapping[str, str] | None = None,
    data: str | None = None,
) -> Published:
    """Publish a model or run folder as a repository of the Hub.

    Args:
        folder: what `ganzoo train` or `ganzoo.save` wrote.
        repo_id: "owner/name"; it is made if there is none.
        private: whether a repository that is made is private; by default as the owner has set.
        create_pr: send it as a pull request to a repository of someone else's.
        tag: a name for the commit, such as "v1".
        force: overwrite what others, or another machine, put there since.
        with_discriminator: send the discriminator too. It tells more about single training images
            than the generator does.
        dry_run: check everything and say what would be sent, but make no request.
        name: what the card tells readers to load; by default the address on the Hub.
        overrides: gate -> the reason why it is published although that gate (see `ganzoo.gates`)
            stops it. Readers see it in the card and in config.json.
        data: where the real images are by which its metrics are computed again, if they are not
            where they were.

    Raises:
        CheckpointError: the folder is not fit to be published; the line names the gate and its
            first reason. `ganzoo.lint` has all of them.
        HubError: the Hub cannot be reached or refuses, or has a newer state.
        RevocationsError: the list of revoked weights cannot be brought up to date.
        IntegrityError: what the Hub gives back is not what was sent.
    """
    ref = hub.parse_uri(f"hf://{repo_id}")
    if ref.revision or ref.folder:
        raise InputError(f"{repo_id!r} is no repository", "write owner/name")
    source = loading.resolve_folder(Path(folder))
    if not dry_run:
        revocation.refresh()
    load = name or f"hf://{repo_id}"
    with gates.examined(
        source, load=load, with_discriminator=with_discriminator, overrides=overrides, data=data
    ) as (ready, report):
        report.refuse()
        shipped = tuple(
            Shipped(path.name, path.stat().st_size, files.sha256(path))
            for path in sorted(ready.iterdir())
        )
        notes = tuple(_notes(source, report, with_discriminator))
        said: dict[str, Any] = {"files": shipped, "notes": notes, "overrides": report.overrides}
        if dry_run:
            return Published(repo_id, tag=tag or "", **said)
        with hub.one_line(ref):
            sent = _send(ref, ready, private=private, create_pr=create_pr, force=force)
            _load_back(replace(ref, revision=sent.commit), shipped)
            if tag:
                _tag(ref, tag, sent.commit)
        return replace(sent, tag=tag or "", **said)


def _notes(folder: Path, report: gates.Report, with_discriminator: bool) -> Iterator[str]:
    if layout.has_discriminator(folder) and not with_discriminator:
        yield "the discriminator stays here: it would tell more about single training images"
    yield from (finding.message for finding in report.of("warn"))
    yield from gates.said_of(report.overrides)


# -- sending ---------------------------------------------------------------------------------------


def _send(
    ref: hub.HubRef, ready: Path, *, private: bool | None, create_pr: bool, force: bool
) -> Published:
    """One commit of the folder's files on the head that was looked at; none if they are there."""
    from huggingface_hub import HfApi, constants

    api = HfApi(library_name="ganzoo")
    _check_token(api)
    if not create_pr:
        hub.retrying(lambda: api.create_repo(ref.repo_id, private=private, exist_ok=True))
    remote = _remote(api, ref.repo_id)
    same = _same(ready, remote)
    if create_pr and not same:
        if (found := _pull_request(api, ref.repo_id, ready)) is not None:
            return found
    elif same:
        _remember(ref.repo_id, remote.sha)
        url = f"{constants.ENDPOINT}/{ref.repo_id}/commit/{remote.sha}"
        return Published(ref.repo_id, remote.sha, url)
    elif not force:
        _refuse_newer(ref, ready, remote)
    sent = _commit(api, ref, ready, remote, create_pr=create_pr)
    if not create_pr:
        _remember(ref.repo_id, sent.commit)
    return sent


def _check_token(api: Any) -> None:
    from huggingface_hub.errors import LocalTokenNotFoundError

    try:
        who = hub.retrying(api.whoami)
    except LocalTokenNotFoundError:
        raise HubError("publishing needs a token", "log in with: hf auth login") from None
    except Exception as error:
        if getattr(getattr(error, "response", None), "status_code", 0) != 401:
            raise
        raise HubError("the Hub does not accept the token", "log in: hf auth login") from None
    token = who.get("auth", {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise HubError(
            f"the token {token.get('displayName', '')!r} may read only",
            "make one that may write, then: hf auth login",
        )


def _remote(api: Any, repo_id: str, revision: str | None = None) -> Any:
    """What the Hub has, with the size and hash of each file."""
    return hub.retrying(lambda: api.model_info(repo_id, revision=revision, files_metadata=True))


def _same(ready: Path, remote: Any) -> bool:
    """Whether the Hub has just these files of a model."""
    theirs = {file.rfilename: file for file in remote.siblings or []}
    ours = {path.name: path for path in ready.iterdir()}
    return set(theirs) & set(layout.FILES) == set(ours) and all(
        _has_content(theirs[name], path) for name, path in ours.items()
    )


def _has_content(file: Any, path: Path) -> bool:
    """Whether a file of the Hub has the content of one here, by the hash that the Hub tells."""
    if file.lfs is not None:
        return bool(file.lfs.sha256 == files.sha256(path))
    data = path.read_bytes() if path.stat().st_size == (file.size or 0) else b"?"
    return bool(file.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())


def _refuse_newer(ref: hub.HubRef, ready: Path, remote: Any) -> None:
    """Refuse to overwrite files that this machine has not put there."""
    if remote.sha == _remembered(ref.repo_id):
        return
    theirs = {file.rfilename: file for file in remote.siblings or []}
    for name in sorted(set(theirs) & set(layout.FILES)):
        path = ready / name
        if not path.is_file() or not _has_content(theirs[name], path):
            raise HubError(
                f"{ref.repo_id} has another {name}, in commit {remote.sha[:12]},"
                " which was not published from here",
                "look at it first; overwrite it with --force, or send a --create-pr",
            )


def _commit(api: Any, ref: hub.HubRef, ready: Path, remote: Any, *, create_pr: bool) -> Published:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    theirs = {file.rfilename for file in remote.siblings or []}
    obsolete = theirs & set(layout.FILES) - {path.name for path in ready.iterdir()}
    through_git = False
    for wait in (*hub.WAITS, None):
        try:
            with contextlib.ExitStack() as opened:
                operations: list[Any] = [CommitOperationDelete(name) for name in sorted(obsolete)]
                for path in sorted(ready.iterdir()):
                    # an open file goes by Git LFS, a path by Xet where the client has that
                    content: Any = str(path)
                    if through_git:
                        content = opened.enter_context(open(path, "rb"))
                    operations.append(CommitOperationAdd(path.name, content))
                done = api.create_commit(
                    ref.repo_id,
                    operations,
                    commit_message=f"Publish {layout.read_config(ready).name or ref.repo_id}",
                    parent_commit=remote.sha,
                    create_pr=create_pr,
                )
            return Published(ref.repo_id, done.oid, done.pr_url or done.commit_url, new=True)
        except Exception as error:
            if not through_git and _lacks_xet(error):
                through_git = True
                continue
            if (landed := _landed(api, ref.repo_id, ready, create_pr)) is not None:
                return landed
            if getattr(getattr(error, "response", None), "status_code", 0) == 412:
                raise HubError(
                    f"{ref.repo_id} was changed by someone else just now",
                    "look at it, then publish again",
                ) from None
            if wait is None or not hub.is_transient(error):
                raise
            time.sleep(wait)
    raise AssertionError("unreachable")


def _lacks_xet(error: Exception) -> bool:
    """Whether an upload failed for the Hub's want of Xet, which the client does not find out."""
    request = getattr(getattr(error, "response", None), "request", None)
    if "xet" in str(getattr(request, "url", "")):
        return True
    return type(error) in (ConnectionError, RuntimeError)  # as hf_xet's come


def _landed(api: Any, repo_id: str, ready: Path, create_pr: bool) -> Published | None:
    """The commit, where it was made and only the answer was lost."""
    from huggingface_hub import constants

    with contextlib.suppress(Exception):
        if create_pr:
            return _pull_request(api, repo_id, ready)
        remote = _remote(api, repo_id)
        if _same(ready, remote):
            url = f"{constants.ENDPOINT}/{repo_id}/commit/{remote.sha}"
            return Published(repo_id, remote.sha, url, new=True)
    return None


def _pull_request(api: Any, repo_id: str, ready: Path) -> Published | None:
    """The pull request that has these files already."""
    from huggingface_hub import constants

    refs = hub.retrying(lambda: api.list_repo_refs(repo_id, include_pull_requests=True))
    for request in refs.pull_requests or []:
        remote = _remote(api, repo_id, request.ref)
        if _same(ready, remote):
            number = request.ref.rpartition("/")[2]
            url = f"{constants.ENDPOINT}/{repo_id}/discussions/{number}"
            return Published(repo_id, remote.sha, url)
    return None


def _tag(ref: hub.HubRef, tag: str, commit: str) -> None:
    from huggingface_hub import HfApi

    api = HfApi(library_name="ganzoo")
    try:
        hub.retrying(lambda: api.create_tag(ref.repo_id, tag=tag, revision=commit))
    except Exception as error:
        if getattr(getattr(error, "response", None), "status_code", 0) != 409:
            raise
        named = hub.retrying(lambda: api.model_info(ref.repo_id, revision=tag)).sha
        if named != commit:
            raise HubError(
                f"{ref.repo_id} has a tag {tag!r} already, of commit {str(named)[:12]}",
                f"choose another tag; the files are published, at {commit[:12]}",
            ) from None


def _load_back(ref: hub.HubRef, shipped: Iterable[Shipped]) -> None:
    """Fetch what was published, past every cache, and compare it with what was sent."""
    hashes = {file.file: file.sha256 for file in shipped}
    with tempfile.TemporaryDirectory(prefix="ganzoo-published-") as temporary:
        fetched = hub.fetch(
            ref,
            files_sha256=hashes,
            discriminator=layout.WEIGHTS["discriminator"] in hashes,
            signature=layout.SIGNATURE in hashes,
            cache_dir=Path(temporary),
        )
        for name, digest in hashes.items():
            if files.sha256(fetched.folder / name) != digest:
                raise IntegrityError(
                    f"the Hub gives back another {name} than was sent", "publish it again"
                )
        checkpoint.load_generator(fetched.folder, hashes=fetched.hashes)


# -- what this machine published last --------------------------------------------------------------


def _memory(repo_id: str) -> Path:
    from huggingface_hub import constants

    where = hashlib.sha256(f"{constants.ENDPOINT}/{repo_id}".encode()).hexdigest()[:32]
    return files.cache_folder("published") / where


def _remember(repo_id: str, commit: str) -> None:
    with contextlib.suppress(GanzooError):  # without it, the next time asks for --force
        files.write_text(_memory(repo_id), f"{commit}\n")


def _remembered(repo_id: str) -> str:
    try:
        return _memory(repo_id).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


# -- the curated models ----------------------------------------------------------------------------


def publish_all(
    owner: str, *, dry_run: bool = False, path: Path | None = None, **options: Any
) -> list[Published]:
    """Publish every bundled model of the reviewed plugins as `owner`/its name, and write the
    commits and hashes into registry.toml, one after another, so that a repeat goes on.

    Args:
        owner: a user or an organisation.
        path: the registry file; by default ganzoo's own.
        **options: of `publish`.
    """
    curated = registry.curated_distributions()
    if options.get("create_pr"):
        raise InputError("pull requests of every model", "publish them one by one")
    done = []
    for entry in registry.list_models():
        if entry.path is None or not entry.bundled or entry.plugin not in curated:
            continue
        sent = publish(
            entry.path, f"{owner}/{entry.name}", dry_run=dry_run, name=entry.name, **options
        )
        done.append(sent)
        if not dry_run:
            hashes = {f.file: {"sha256": f.sha256, "size": f.size} for f in sent.files}
            hashes.pop(layout.SUMS)
            here = replace(entry, repo=sent.repo, revision=sent.commit, files=hashes)
            registry.put(here, path)
    return done
