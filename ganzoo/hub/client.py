"""What the client of huggingface_hub raises: tried again where that helps, else told in one line.

It leaves resets, truncated bodies and busy answers to its callers, and lets errors of httpx, hf_xet
and its own through.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from ganzoo.errors import GanzooError, HubError, nearest
from ganzoo.hub.address import HubRef

R = TypeVar("R")
_LOGIN = "check the spelling; if it is private, log in with: hf auth login"
WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try, where the Hub names no other."""
_LONGEST_WAIT, _LONG = 30.0, 15.0


def retrying(request: Callable[[], R]) -> R:
    """Make a request that may be repeated, again while the Hub is busy or the line breaks: resets,
    truncated bodies, 429 and 5xx, which the client of huggingface_hub leaves to its callers. What
    it has tried itself for long is not tried again."""
    started = time.monotonic()
    for wait in WAITS:
        try:
            return request()
        except Exception as error:
            if not is_transient(error) or time.monotonic() - started > _LONG:
                raise
            time.sleep(min(_LONGEST_WAIT, max(wait, _retry_after(error))))
    return request()


def is_transient(error: Exception) -> bool:
    """Whether the same request may well succeed a moment later."""
    from huggingface_hub import errors

    http = sys.modules[errors.HfHubHTTPError.__bases__[0].__module__.partition(".")[0]]
    transport_error = http.TransportError  # of httpx or httpx2, as the client has it
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
    return float(text) if text.isdecimal() else 0.0


class NoSuchFile(HubError):
    """The repository, or the cache when no request may be made, has no file of that name."""


@contextlib.contextmanager
def one_line(ref: HubRef, name: str = "", *, offline: bool = False) -> Iterator[None]:
    """Turn what the client raises (its own errors, those of httpx, of hf_xet) into a `HubError`.

    Args:
        ref: the repository that it is about.
        name: the file in it.
        offline: no request may be made.
    """
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)  # of its tries and detours it warns, and they may well succeed
    try:
        yield
    except GanzooError:
        raise
    except Exception as error:
        raise _explained(error, ref, name, offline=offline) from None
    finally:
        log.setLevel(level)


def _explained(error: Exception, ref: HubRef, name: str, *, offline: bool) -> HubError:
    from huggingface_hub import constants, errors

    if type(error) is RuntimeError and isinstance(error.__cause__, errors.HfHubHTTPError):
        error = error.__cause__  # how an upload of a blob fails
    if type(error) is ValueError and "metadata" in str(error).lower():
        text = " ".join(str(error).split())[:200]
        return HubError(f"{constants.ENDPOINT} does not accept the card: {text}", "mend README.md")
    if isinstance(error, errors.LocalEntryNotFoundError):
        if offline:
            return NoSuchFile(
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
        return NoSuchFile(f"{ref} has no {name}", "check the address; a ganzoo model has one")
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
