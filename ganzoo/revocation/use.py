"""The lists in use, the shipped one and the copy of the configured one, and asking them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ganzoo import files
from ganzoo.errors import InputError, IntegrityError, RevokedError, printable
from ganzoo.revocation.lists import RevocationList, parse

PLACE, KEY = "GANZOO_REVOCATIONS", "GANZOO_REVOCATIONS_KEY"
SHIPPED = Path(__file__).with_name("shipped.json")
_AFRESH = "fetch it afresh: ganzoo revocations show --refresh"


def refuse_revoked(weights_sha256: str, what: str) -> None:
    """Refuse weights that a list in use revokes; makes no request.

    Args:
        weights_sha256: the hash of the file.
        what: how to call it in the message.

    Raises:
        RevokedError: it is revoked, and why.
        IntegrityError, RevocationsError: a list in use is not sound, so that nobody can tell.
    """
    for known in in_use():
        for entry in known.entries:
            if entry.weights_sha256 == weights_sha256:
                more = f" (see {entry.advisory})" if entry.advisory else ""
                raise RevokedError(
                    f"{what} was revoked: {entry.reason.strip().rstrip('.')}{more}",
                    f"use another model or a newer version of it (revocation list {known.serial},"
                    f" {known.age})",
                )


def in_use() -> Iterator[RevocationList]:
    """The shipped list, and the copy of the configured one."""
    yield parse(SHIPPED.read_bytes(), str(SHIPPED))
    if (configured := Configured.read()) is not None:
        if (copy := configured.copy()) is not None:
            yield copy.list


def describe() -> str:
    """The configured list and its age, in one line for people."""
    configured = Configured.read()
    if configured is None:
        return f"none configured (set {PLACE} and {KEY})"
    if (copy := configured.copy()) is None:
        return f"{configured.place}, never fetched (ganzoo revocations show --refresh)"
    n = len(copy.list.entries)
    return (
        f"list {copy.list.serial}, {copy.list.age}, {n} entr{'y' if n == 1 else 'ies'},"
        f" fetched {copy.fetched} from {configured.place}"
    )


# -- the configured list, and its copy in the cache ------------------------------------------------


@dataclass(frozen=True)
class Copy:
    """A list as it was fetched, its signature found right."""

    list: RevocationList
    data: bytes
    fetched: str


@dataclass(frozen=True)
class Configured:
    """Where a list is to be had, and the public key (PEM) of whoever issues it."""

    place: str
    key: Path

    @classmethod
    def read(cls) -> Configured | None:
        """As the environment says it; None if it names no list.

        Raises:
            InputError: one of the two variables is missing.
        """
        place, key = os.environ.get(PLACE, ""), os.environ.get(KEY, "")
        if not place and not key:
            return None
        if not place or not key:
            raise InputError(
                f"{PLACE if place else KEY} is set without {KEY if place else PLACE}",
                f"set {PLACE} to a list and {KEY} to the public key (PEM) of who issues it",
            )
        return cls(place, Path(key))

    @property
    def path(self) -> Path:
        """Of the copy: a file for each place, whose list may have any name there."""
        place = self.place
        if "://" not in place:
            place = str(Path(place).absolute())
        return files.cache_folder("revocations") / f"{hashlib.sha256(place.encode()).hexdigest()}"

    def copy(self) -> Copy | None:
        """The copy in the cache, its signature checked again; None if nothing was fetched yet.

        Raises:
            IntegrityError: it was changed since, or the key is another than it was.
        """
        try:
            kept = json.loads(self.path.read_bytes())
            data, signature = kept["list"].encode(), base64.b64decode(kept["signature"])
            fetched = str(kept["fetched"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise IntegrityError(
                f"the copy of the revocation list, {self.path}, is damaged", _AFRESH
            ) from error
        where = f"the copy of {self.place}"
        return Copy(self.checked(data, signature, where), data, printable(fetched, longest=10))

    def checked(self, data: bytes, signature: bytes, where: str) -> RevocationList:
        """The list, whose signature must be by the key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        from ganzoo import signing

        try:
            key = signing.public_key(self.key)
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise IntegrityError(
                f"the revocation list was tampered with: {where} is not signed with the private key"
                f" of {self.key}",
                f"do not use it: ask who issues it, and check {KEY}",
            ) from None
        return parse(data, where)

    def keep(self, data: bytes, signature: bytes) -> None:
        kept = {
            "list": data.decode(),
            "signature": base64.b64encode(signature).decode(),
            "fetched": datetime.now(UTC).date().isoformat(),
        }
        files.write_text(self.path, json.dumps(kept))
