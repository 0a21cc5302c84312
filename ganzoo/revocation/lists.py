"""What a list of revoked weights holds, and reading one strictly."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from ganzoo import layout
from ganzoo.configs import check_range, config_from_dict, config_to_dict
from ganzoo.errors import ConfigError, RevocationsError, printable

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """Weights that are revoked, by the SHA-256 of their file, and why; where to read more."""

    weights_sha256: str
    reason: str
    advisory: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.weights_sha256):
            raise ConfigError(f"weights_sha256 = {self.weights_sha256!r} is no SHA-256", "64 hex")
        if not 0 < len(self.reason.strip()) <= 500:
            raise ConfigError("reason is empty or too long", "say why in 1 to 500 characters")
        if self.advisory and not re.fullmatch(r"https?://[!-~]{1,500}", self.advisory):
            raise ConfigError(f"advisory = {self.advisory!r} is no address", "write https://…")


@dataclass(frozen=True)
class RevocationList:
    """A list: `serial` grows with each one that is issued; `issued` is its time, ISO 8601."""

    format: int
    serial: int
    issued: str
    entries: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        check_range("serial", self.serial, 0, 2**53)
        try:
            aware = datetime.fromisoformat(self.issued).tzinfo is not None
        except ValueError:
            aware = False
        if not aware:
            raise ConfigError(f"issued = {self.issued!r} is no time", "write 2026-11-25T10:00:00Z")

    @property
    def age(self) -> str:
        """`today's`, `1 day old`, `12 days old`; or that a clock is wrong, its issuer's or ours."""
        days = (datetime.now(UTC) - datetime.fromisoformat(self.issued)).days
        if days < -1:
            return "dated in the future"
        return "today's" if days < 1 else f"{days} day{'s' if days > 1 else ''} old"

    def to_json(self) -> bytes:
        return f"{json.dumps(config_to_dict(self), indent=1, ensure_ascii=False)}\n".encode()


def parse(data: bytes, where: str) -> RevocationList:
    """A list in its JSON form, strictly.

    Raises:
        RevocationsError: it is none; `where` says which.
    """
    try:
        if len(data) > layout.LARGEST_TEXT:
            raise ValueError(f"it has more than {layout.LARGEST_TEXT:,} bytes")
        document = json.loads(data.decode())  # of bytes it would take UTF-16 too
        if not isinstance(document, dict):
            raise ValueError("it holds no JSON object")
        json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair is no text
        if document.get("format") != FORMAT:
            raise ValueError(
                f"its format is {document.get('format')!r}, this ganzoo reads {FORMAT}"
            )
        return config_from_dict(RevocationList, document, where="the list")
    except (ValueError, RecursionError, ConfigError) as error:
        raise RevocationsError(
            f"{where} is no revocation list: {printable(str(error), longest=300)}",
            "ask for a sound one where you got it",
        ) from error
