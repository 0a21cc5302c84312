"""Issuing a list: entries into it, and a signature beside it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from ganzoo import files, layout
from ganzoo.revocation.fetching import beside, fetch
from ganzoo.revocation.lists import FORMAT, Entry, RevocationList, parse


def add(path: str | Path, entry: Entry) -> RevocationList:
    """Add an entry to a list (or replace that of the same weights), which is made if it is not
    there; its serial grows by one. Its signature, now out of date, is removed.

    Raises:
        RevocationsError: the file holds no list.
    """
    path = Path(path)
    former = parse(path.read_bytes(), str(path)) if path.exists() else None
    others = former.entries if former else ()
    others = tuple(e for e in others if e.weights_sha256 != entry.weights_sha256)
    new = RevocationList(
        format=FORMAT,
        serial=former.serial + 1 if former else 1,
        issued=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        entries=(*others, entry),
    )
    with files.replacing(path) as temporary:
        temporary.write_bytes(new.to_json())
    Path(beside(str(path))).unlink(missing_ok=True)
    return new


def weights_of(source: str) -> str:
    """The SHA-256 of the weights of a model, as its SHA256SUMS has it; of a hash, itself."""
    if re.fullmatch(r"[0-9a-f]{64}", source):
        return source
    from ganzoo import loading

    folder = loading.resolve_folder(source)
    layout.read_config(folder)
    return layout.check_file(folder, layout.WEIGHTS["generator"])


def sign(path: str | Path, *, key: str | Path, passphrase: str | None = None) -> Path:
    """Sign a list: its signature beside it, with `.sig` at the end. Publish the two together.

    Args:
        path: the list, JSON.
        key: a private key (PEM) on P-256, P-384 or P-521, as `ganzoo sign --new-key` makes one.
        passphrase: of the key, where it has one.

    Raises:
        RevocationsError: the file holds no list.
        InputError: the key cannot be read.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    from ganzoo import signing

    data = fetch(str(path))
    parse(data, str(path))
    private = signing.private_key(Path(key), passphrase)
    target = Path(beside(str(path)))
    with files.replacing(target) as temporary:
        temporary.write_bytes(private.sign(data, ec.ECDSA(hashes.SHA256())))
    return target
