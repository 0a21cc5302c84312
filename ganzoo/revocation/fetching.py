"""Bringing the copy of the configured list up to date: the only requests that are made for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from ganzoo import layout
from ganzoo.errors import GanzooError, IntegrityError, RevocationsError, printable
from ganzoo.revocation.use import PLACE, Configured, refuse_revoked

LONGEST_WAIT = 30.0
"""Seconds after which a list that has not arrived is given up."""


def refresh() -> None:
    """Fetch the configured list, check it and keep a copy. Does nothing without one, nor under
    `HF_HUB_OFFLINE=1`, where nothing can be downloaded either.

    Raises:
        RevocationsError: it cannot be had, or is no list.
        IntegrityError: it is not signed by the key, or is older than what was seen before.
    """
    if (configured := Configured.read()) is None:
        return
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return
    place = configured.place
    data, signature = fetch(place), fetch(beside(place))
    try:
        new = configured.checked(data, signature, place)
    except IntegrityError:  # a new list may have come between the two
        data, signature = fetch(place), fetch(beside(place))
        new = configured.checked(data, signature, place)
    try:
        former = configured.copy()
    except (IntegrityError, RevocationsError):
        former = None  # it was of another key, or tampered with: what is signed takes its place
    if former is not None and new.serial < former.list.serial:
        raise IntegrityError(
            f"the revocation list at {place} is an older one: its serial is {new.serial}, that of"
            f" the last one was {former.list.serial}",
            "do not trust the place; ask who issues the list",
        )
    if former is not None and new.serial == former.list.serial and data != former.data:
        raise IntegrityError(
            f"the revocation list at {place} is not the one of before, but has its serial,"
            f" {new.serial}",
            "do not trust the place; ask who issues the list",
        )
    configured.keep(data, signature)


def before_download(weights: Collection[str]) -> None:
    """Before weights of these hashes are downloaded: bring the list up to date, and look."""
    refresh()
    for digest in weights:
        refuse_revoked(digest, f"the model with the weights {digest[:12]}…")


def fetch(place: str) -> bytes:
    """The bytes of a file, from a path, an http(s):// address or hf://owner/name/file.

    Raises:
        RevocationsError: they cannot be had.
    """
    try:
        if place.startswith("hf://"):
            from ganzoo import hub

            folder, _, name = place.rpartition("/")
            return _read(hub.fetch_file(folder, name, fresh=True)[0])
        if place.startswith(("http://", "https://")):
            return _get(place)
        return _read(Path(place))
    except GanzooError as error:
        raise _unavailable(place, error.problem) from error
    except (OSError, ValueError) as error:  # urllib's and http.client's are either, or below
        raise _unavailable(place, printable(str(error), longest=200)) from error


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(layout.LARGEST_TEXT + 1)  # one more, so that parsing refuses it


def _get(url: str) -> bytes:
    """The body of an answer, in limited time: the timeout of a socket is for each of its packets,
    and a server may send one byte after another."""
    answers: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_body(url))
        except Exception as error:  # which is to be raised where it was asked
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=LONGEST_WAIT)
    except queue.Empty:
        raise OSError(f"it takes longer than {LONGEST_WAIT:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _body(url: str) -> bytes:
    """The body of an answer, of limited size."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from ganzoo import __version__

    request = Request(url, headers={"User-Agent": f"ganzoo/{__version__}"})
    try:
        with urlopen(request, timeout=LONGEST_WAIT / 3) as answer:
            data: bytes = answer.read(layout.LARGEST_TEXT + 1)
            if answer.length:  # what is still to come of what was promised
                raise OSError("the answer was cut off, or is too large")
    except HTTPError as error:
        error.close()  # it is an answer too
        raise OSError(f"{error.code} {error.reason}") from None
    except HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    return data


def beside(place: str) -> str:
    """The place of the signature."""
    if place.startswith(("http://", "https://")):
        parts = urlsplit(place)
        return urlunsplit(parts._replace(path=f"{parts.path}.sig"))
    return f"{place}.sig"


def _unavailable(place: str, why: str) -> RevocationsError:
    return RevocationsError(
        f"the revocation list cannot be had from {place}: {why}",
        f"nothing new is downloaded without it; check {PLACE} and the connection, then try again",
    )
