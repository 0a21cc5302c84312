"""What a file says about where it came from: the XMP packet and the record, made and found again.

- The packet has IPTC's `DigitalSourceType` trainedAlgorithmicMedia (where a picture that was not
  generated is part of it, compositeWithTrainedAlgorithmicMedia), the AI system that was used, and
  ganzoo as the creator tool.
- The record is a JSON object: the model, the hash of its weights, its address, the plugin and its
  version, the seeds, the class, the truncation.

A PNG carries the record in a text chunk named `ganzoo`; elsewhere it is a property of the packet.
A packet stands in one piece in the file, uncompressed, so that any program finds it by scanning for
it, as the XMP standard foresees. Both are claims: whoever can write a file can write them.
"""

from __future__ import annotations

import functools
import io
import json
import mmap
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np

from ganzoo import __version__
from ganzoo.contact_sheet import fitting
from ganzoo.errors import InputError, printable

TOOL = f"ganzoo {__version__}"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
NAMESPACE = "urn:ganzoo#"
COMPOSITE = "comparison"
"""The key of a record that says what else, which was not generated, is in the picture."""
_RECORD_BYTES = 384  # of the record's JSON, and
_VALUE_BYTES = 128  # of one value in it, so that the whole mark stays below 1.5 KB
_LARGEST_PACKET = 1 << 20  # that is looked at: other programs write long ones
_MOST_CHUNKS = 10_000  # of a PNG
_MOST_PACKETS = 64  # of another file: a photograph may hold pictures with packets of their own
GENERATED = (
    "trainedAlgorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "algorithmicMedia",
)
"""Of IPTC's source types those of what a generator made, or a part of it."""
_FIRST = ("model", "weights_sha256", "plugin", "seed", "seeds", "label", "truncation", "source")
"""What a record keeps first where there is no space for all of it."""
_CUT = {"cut": True}
"""In a record from which something was left out for lack of space."""
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/">'
    f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPES}{{kind}}</Iptc4xmpExt:DigitalSourceType>"
    "<Iptc4xmpExt:AISystemUsed>{system}</Iptc4xmpExt:AISystemUsed>"
    "<xmp:CreatorTool>{tool}</xmp:CreatorTool>{more}"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


# -- making --------------------------------------------------------------------------------------


def packet(record: Mapping[str, Any], *, with_record: bool) -> bytes:
    """The XMP packet, UTF-8."""
    model = fitting(
        _plain(record.get("model", ""))[:96], lambda text: len(escape(text).encode()) < 96
    )
    more = ""
    if with_record:
        more = f'<ganzoo:Record xmlns:ganzoo="{NAMESPACE}">{record_json(record)}</ganzoo:Record>'
    system = f"{TOOL} / {escape(model)}" if model else TOOL
    kind = "compositeWithTrainedAlgorithmicMedia"
    if COMPOSITE not in record:
        kind = "trainedAlgorithmicMedia"
    return _PACKET.format(kind=kind, system=system, tool=TOOL, more=more).encode()


def _plain(value: Any) -> str:
    """Text that may stand in XML: without control characters and lone surrogates."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def record_json(record: Mapping[str, Any]) -> str:
    """The record as JSON that needs no escaping in XML, at most 384 bytes long.

    Integers in a list (seeds, labels) become ranges, as in `--seeds 0-63,100`. Long values are cut
    and end with …; values that are no text or number are left out. So is what there is no space
    for, and the record says then that it was cut.
    """
    room = _RECORD_BYTES - len(_json(_CUT))
    kept: dict[str, Any] = {}
    cut: dict[str, Any] = {}
    for key in dict.fromkeys((*_FIRST, *record)):
        value = record.get(key)
        if isinstance(value, (list, tuple, range, np.ndarray)):
            value = _ranges(value)
        elif isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str) and len(_json(value)) > _VALUE_BYTES:
            cuts = (value[:end] + "…" for end in range(_VALUE_BYTES, -1, -1))
            value = next(cut for cut in cuts if len(_json(cut)) <= _VALUE_BYTES)
        if isinstance(value, (str, int, float)):
            longer = {**kept, str(key): value}
            fits = len(_json(longer)) <= room
            kept, cut = (longer, cut) if fits else (kept, _CUT)
    return _json({**kept, **cut})


def _json(value: Any) -> str:
    """As JSON in ASCII, without the characters that XML escapes."""
    return re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value))


def _ranges(values: Iterable[Any]) -> str:
    """`0-63,100` of [0, 1, …, 63, 100], ending with `,…` where it would be too long."""
    runs: list[list[Any]] = []
    for value in values:
        if runs and isinstance(value, (int, np.integer)) and runs[-1][-1] == value - 1:
            runs[-1] = [runs[-1][0], value]
        else:
            runs.append([value])
        if len(runs) > _VALUE_BYTES:
            break
    text = ",".join("-".join(map(str, run)) for run in runs)
    room = _VALUE_BYTES - 10
    return text if len(text) <= room else text[:room].rpartition(",")[0] + ",…"


def numbers(text: Any, *, most: int) -> list[int] | None:
    """[0, 1, …, 63, 100] of a record's `0-63,100`; None where that is no such list, was cut, or has
    more than `most` numbers."""
    found: list[int] = []
    for part in str(text).split(","):
        match = re.fullmatch(r"([0-9]{1,19})(?:-([0-9]{1,19}))?", part)
        if match is None:
            return None
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + most - len(found):
            return None
        found += range(first, last + 1)
    return found


# -- finding -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What stands in a file, as it stands there: nothing of it is checked.

    Attributes:
        packet: the XMP packet, be it whole or not; of several the last that names a generator, or
            the last. None where there is none.
        record: the text that is to be ganzoo's record; None where there is none.
    """

    packet: str | None = None
    record: str | None = None

    @functools.cached_property
    def xml(self) -> ElementTree.Element | None:
        """The packet, parsed; None where there is none, it is damaged or may define entities."""
        if self.packet is None or "<!DOCTYPE" in self.packet or "<!ENTITY" in self.packet:
            return None
        try:
            return ElementTree.fromstring(self.packet)
        except (ElementTree.ParseError, ValueError):  # half a surrogate pair is a ValueError
            return None

    @functools.cached_property
    def properties(self) -> dict[str, str]:
        """Of those in the packet the ones that say what made the file, be they elements or
        attributes, with or without a list: name -> text that may be printed."""
        wanted = ("DigitalSourceType", "AISystemUsed", "CreatorTool")
        found: dict[str, str] = {}
        for element in () if self.xml is None else self.xml.iter():
            name = str(element.tag).rpartition("}")[2]
            if name in wanted:
                values = ["".join(element.itertext()), *element.attrib.values()]
                found[name] = next((text for value in values if (text := value.strip())), "")
            for key, value in element.attrib.items():
                if (name := key.rpartition("}")[2]) in wanted:
                    found[name] = value.strip()
        return {name: printable(value, longest=200) for name, value in found.items()}

    @property
    def parsed_record(self) -> dict[str, Any] | None:
        """The record, parsed; None where there is none, or it is no JSON object."""
        try:
            record = None if self.record is None else json.loads(self.record)
        except (ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) else None


def find(path: str | Path) -> Found:
    """The packet and the record of any file.

    Raises:
        InputError: it cannot be read.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # a pipe would never end
            raise InputError(f"{path} is no file", "name an image")
        with open(path, "rb") as file:
            if file.read(8) == b"\x89PNG\r\n\x1a\n":
                found = _in_png(file)
            elif file.seek(0, io.SEEK_END) == 0:
                found = Found()
            else:
                found = Found(_scanned(file.fileno()))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {path}: {why}", "check the path") from error
    if found.record is not None or (xml := found.xml) is None:
        return found
    return Found(found.packet, _record_in(xml))


def names_generator(packet: str) -> bool:
    """Whether a packet, be it whole or not, has a word in it that marks what a generator made."""
    return any(word in packet for word in ("ganzoo", *GENERATED))


def read_record(path: str | Path) -> dict[str, Any] | None:
    """The record of a file that ganzoo wrote; None where there is none, which proves nothing."""
    return find(path).parsed_record


def _record_in(xml: ElementTree.Element) -> str | None:
    """The record in a packet: an element, or an attribute, which other programs make of it."""
    name = f"{{{NAMESPACE}}}Record"
    for element in xml.iter():
        if element.tag == name:
            return element.text or ""
        if name in element.attrib:
            return element.attrib[name]
    return None


def _in_png(file: io.BufferedReader) -> Found:
    """What the text chunks of a PNG say, found by walking its chunks."""
    texts: dict[bytes, str] = {}
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or kind == b"IEND":
            break
        end = file.tell() + length + 4
        if kind in PNG_TEXTS:
            chunk = file.read(min(length, _LARGEST_PACKET))
            keyword, text = png_text(kind, chunk, most=_LARGEST_PACKET)
            if keyword in (b"ganzoo", PNG_XMP):
                texts[keyword] = text.decode(errors="replace")
        file.seek(end)
    return Found(texts.get(PNG_XMP), texts.get(b"ganzoo"))


PNG_TEXTS, PNG_XMP = (b"iTXt", b"zTXt", b"tEXt"), b"XML:com.adobe.xmp"


def png_text(kind: bytes, chunk: bytes, *, most: int) -> tuple[bytes, bytes]:
    """The keyword and the text of a chunk of one of the `PNG_TEXTS`, the text unpacked up to `most`
    bytes, and b"" where it is damaged. What ImageMagick makes of a packet, hexadecimal under
    another keyword, comes as the packet."""
    keyword, _, text = chunk.partition(b"\0")
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]
    elif packed:
        text = text[1:]
    if packed:
        try:
            text = zlib.decompressobj().decompress(text, most)
        except zlib.error:
            text = b""
    if keyword != b"Raw profile type xmp":
        return keyword, text
    digits = re.sub(rb"[^0-9a-fA-F]", b"", text.split(b"\n", 3)[-1])
    return PNG_XMP, bytes.fromhex(digits[: len(digits) // 2 * 2].decode())


def _scanned(descriptor: int) -> str | None:
    """The last XMP packet in a file that names a generator, else the last, or what is left of it;
    found by scanning."""
    last = None
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        end = len(data)
        for _ in range(_MOST_PACKETS):
            end = data.rfind(b"</x:xmpmeta>", 0, end)
            if end < 0:
                break
            start = data.rfind(b"<x:xmpmeta", max(0, end - _LARGEST_PACKET), end)
            if start >= 0:
                packet = data[start : end + 12].decode(errors="replace")
                if names_generator(packet):
                    return packet
                last = last or packet
        if last is not None:
            return last
        start = data.rfind(b"<x:xmpmeta")
        return None if start < 0 else data[start : start + (1 << 16)].decode(errors="replace")
