"""What image files say against being used for training, and what is done about it.

Two marks are read. `plus:DataMining` is an XMP property of the PLUS Coalition, which IPTC photo
metadata take over: its values that begin with DMI-PROHIBITED forbid it. The other is the assertion
`training-mining` of C2PA and CAWG, signed into a manifest: an entry for training, generative
training or data mining may be `notAllowed` or `constrained`. Signatures are not checked here: who
writes such a mark into a file asks to be heard, whoever it is.

Only metadata are looked at, in the containers of JPEG, PNG and WebP, and no pixel: a file without
metadata costs microseconds. Not found are marks beside the image (a `.xmp` file, a manifest
elsewhere, a site's robots.txt) and those that were stripped: that none is found is no consent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ganzoo import marks
from ganzoo.data.images import Consent, some
from ganzoo.data.spec import DataRequest
from ganzoo.errors import DataError, InputError, nearest

REFUSE, SKIP, IGNORE = "refuse", "skip", "ignore"
"""The values of `consent=`: name the marked images and stop; leave them out; use them."""
_MOST_XMP = 16 << 20  # bytes, unpacked


@dataclass
class Scan:
    """Looks at the files of a source, and keeps what those say that are marked.

    Attributes:
        policy: what becomes of them.
        marked: index -> mark, of the images that were looked at so far.
    """

    policy: str
    marked: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, request: DataRequest) -> Scan:
        """As `consent=` of a request says, by default `refuse`."""
        policy = request.options.get("consent", REFUSE)
        if policy not in (REFUSE, SKIP, IGNORE):
            raise InputError(f"consent={policy} is none", nearest(policy, (REFUSE, SKIP, IGNORE)))
        return cls(policy)

    def look_at(self, index: int, data: bytes) -> None:
        """Look at a file before it is decoded; raises a `ValueError` if it is to be left out."""
        if said := against_training(data):
            self.marked[index] = said
            if self.policy != IGNORE:
                raise ValueError(said)

    def found(self, names: Sequence[str], request: DataRequest) -> Consent:
        """What was found, once all images were read.

        Raises:
            DataError: there are marked images, and the request does not say what to do with them.
        """
        marked = tuple((names[index], self.marked[index]) for index in sorted(self.marked))
        if marked and self.policy == REFUSE:
            spec = f"{request.spec}{'&' if '?' in request.spec else '?'}consent="
            verb = "says that it is" if len(marked) == 1 else "say that they are"
            raise DataError(
                f"{len(marked)} of {len(names)} images of {request.spec} {verb} not to be used for"
                f" training: {some(marked)}",
                f"leave them out with {spec}{SKIP}, or, where you have their authors' consent, use"
                f" them with {spec}{IGNORE}, which is recorded",
            )
        return Consent(self.policy, marked)


def against_training(data: bytes) -> str:
    """What a file says against being used for training, in a few words; "" for nothing."""
    for kind, content in _metadata(data):
        said = _in_xmp(content) if kind == "xmp" else _in_c2pa(content)
        if said:
            return said
    return ""


# -- the marks -------------------------------------------------------------------------------------

# as an attribute, as the text of an element, or as rdf:resource of one; under any prefix
_DATA_MINING = re.compile(rb"\bDataMining\b[^<]{0,500}?\b(DMI-[A-Z-]+)")
_TRAINING_MINING = re.compile(rb"(c2pa|cawg)\.training-mining(?:__\d+)?\0")
_USE = re.compile(  # in CBOR, where a byte stands between key and value, and in JSON
    rb"(ai_generative_training|ai_training|data_mining)"
    rb"(?:(?!ai_|data_mining).)*?use.{1,5}?(notAllowed|constrained|allowed)",
    re.DOTALL,
)


def _in_xmp(packet: bytes) -> str:
    if b"\0" in packet:  # UTF-16
        packet = packet.replace(b"\0", b"")
    for match in _DATA_MINING.finditer(packet):
        if match[1].startswith(b"DMI-PROHIBITED"):
            return f"plus:DataMining {match[1].decode()}"
    return ""


def _in_c2pa(manifests: bytes) -> str:
    at = 0
    while label := _TRAINING_MINING.search(manifests, at):
        at = label.end()
        # behind its label a JUMBF box has its content, in a box of its own: length, type, content
        kind = re.compile(rb"cbor|json").search(manifests, at, at + 128)
        if kind is None or kind.start() < at + 4:
            continue
        size = int.from_bytes(manifests[kind.start() - 4 : kind.start()], "big")
        end = kind.start() - 4 + size
        for use in _USE.finditer(manifests, kind.end(), end):
            if use[2] != b"allowed":
                return f"{label[1].decode()}.training-mining {use[1].decode()} {use[2].decode()}"
        at = max(at, end)  # a label within was looked at as well, and is not once more
    return ""


# -- where they are --------------------------------------------------------------------------------


def _metadata(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The XMP packets ("xmp") and manifest stores ("c2pa") of a file, be it sound or not."""
    if data.startswith(b"\xff\xd8"):
        yield from _in_jpeg(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        yield from _in_png(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        at = 12
        while at + 8 <= len(data):
            name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
            if name in (b"XMP ", b"C2PA"):
                yield "xmp" if name == b"XMP " else "c2pa", data[at + 8 : at + 8 + size]
            at += 8 + size + size % 2


_XMP, _MORE_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"


def _in_jpeg(data: bytes) -> Iterator[tuple[str, bytes]]:
    extended: list[tuple[bytes, bytes]] = []
    boxes: dict[bytes, list[tuple[bytes, bytes]]] = {}
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:  # start of the scan
        if data[at + 1] == 0xFF:  # filling
            at += 1
            continue
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (0xE1, 0xEB):
            segment = data[at + 4 : at + 2 + size]
            if segment.startswith(_XMP):
                yield "xmp", segment[len(_XMP) :]
            elif segment.startswith(_MORE_XMP):  # an id (32 bytes), a length and its offset (4, 4)
                rest = segment[len(_MORE_XMP) :]
                extended.append((rest[36:40], rest[40:]))
            elif marker == 0xEB and segment.startswith(b"JP"):  # a number (2), that of a piece (4)
                boxes.setdefault(segment[2:4], []).append((segment[4:8], segment[8:]))
        at += 2 + size
    if extended:
        yield "xmp", b"".join(text for _, text in sorted(extended))
    for pieces in boxes.values():  # each piece repeats the length and type of the box (4, 4)
        yield "c2pa", b"".join(piece[8:] for _, piece in sorted(pieces))


def _in_png(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 8
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name == b"caBX":
            yield "c2pa", data[at + 8 : at + 8 + size]
        elif name in marks.PNG_TEXTS:
            keyword, text = marks.png_text(name, data[at + 8 : at + 8 + size], most=_MOST_XMP)
            if keyword == marks.PNG_XMP:
                yield "xmp", text
        at += 12 + size
