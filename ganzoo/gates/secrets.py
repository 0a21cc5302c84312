"""What nobody means to publish: tokens, private keys, addresses of persons, paths of a home folder.

Read are all texts of the folder, the headers of its weight files and the texts in its picture; JSON
also with its escapes resolved, and pictures that a text embeds as those in files.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from ganzoo import layout
from ganzoo.gates.candidate import Candidate

_PATTERNS = {
    "what looks like a token or private key": re.compile(
        r"(?<![\w+/-])(?:hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}"
        r"|glpat-[\w-]{20,}|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9_-]{30,}|xox[abprs]-[\w-]{20,}"
        r"|AIza[\w-]{35}|npm_[A-Za-z0-9]{36}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
        r"|://[^/\s:@\"']{1,64}:[^/\s:@\"']{1,64}@[\w.-]+"
    ),
    "the path of a person's folder": re.compile(
        r"(?<![\w.])(?:/\w+/\w)?/(?:home|root|Users)/[^/\s\"'<>`)]+"  # also on a mounted drive
        r"|[A-Za-z]:[\\/]+(?i:Users|Documents and Settings)[\\/]+\w"
    ),
}
_ADDRESS = re.compile(
    r"(?<![\w.+/%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,5}[A-Za-z]{2,24}\b", re.ASCII
)
_NOBODY = re.compile(r"(no-?reply|git)@|@(users\.noreply\.|[\w.-]*\bexample\.)", re.IGNORECASE)
_EMBEDDED = re.compile(rb";base64,([A-Za-z0-9+/]{16,})={0,2}")
_PNG = b"\x89PNG\r\n\x1a\n"
_MOST = 1 << 20  # bytes of a compressed text that are looked at


def secrets(candidate: Candidate) -> Iterator[str]:
    """No text of it holds a token, a key, someone's address or a path of their machine.

    Whoever is credited for the data set may be named with an address.
    """
    credited = set(_ADDRESS.findall(candidate.config.dataset.credit))
    for path in sorted(candidate.folder.iterdir()):
        said = set()
        for text in _texts(path):
            for what, pattern in _PATTERNS.items():
                if pattern.search(text):
                    said.add(f"{path.name} holds {what}")
            for address in set(_ADDRESS.findall(text)) - credited:
                if not _NOBODY.search(address):
                    said.add(f"{path.name} holds the e-mail address {address}")
        yield from sorted(said)


def _texts(path: Path) -> Iterator[str]:
    """All that can be read in a file of a model folder."""
    if path.suffix == ".safetensors":
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            yield from _of_json(file.read(min(length, layout.LARGEST_TEXT)))
    elif path.suffix == ".png":
        yield from _of_png(path.read_bytes())
    else:
        text = path.read_bytes()
        yield from _of_json(_EMBEDDED.sub(b"", text))
        for embedded in _EMBEDDED.finditer(text):
            with contextlib.suppress(ValueError):  # no base64; or a picture that is no PNG
                data = base64.b64decode(embedded[1] + b"==")  # surplus padding is ignored
                yield from _of_png(data) if data.startswith(_PNG) else [data.decode()]


def _of_json(data: bytes) -> Iterator[str]:
    """A text, and where it is JSON also what it means."""
    text = data.decode("utf-8", "replace")
    yield text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    yield from _strings(value)


def _strings(value: object) -> Iterator[str]:
    """The strings in a JSON value, however deep."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            rest += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            rest += item


def _of_png(data: bytes) -> Iterator[str]:
    """Every chunk but the pixels, the compressed texts unpacked, and what follows the end."""
    at, kind = 8, b""
    while at + 8 <= len(data) and kind != b"IEND":
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind != b"IDAT":
            yield body.decode("utf-8", "replace")
        if kind in (b"zTXt", b"iTXt"):
            for start in (match.end() for match in re.finditer(b"\0", body[:1000])):
                try:  # where the packed text begins depends on the fields before it
                    yield (
                        zlib.decompressobj()
                        .decompress(body[start:], _MOST)
                        .decode("utf-8", "replace")
                    )
                except zlib.error:
                    continue
        at += 12 + length
    yield data[at:].decode("utf-8", "replace")
