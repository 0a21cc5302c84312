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
from ganzoo.errors import InputError

TOOL = f"ganzoo {__version__}"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
NAMESPACE = "urn:ganzoo#"
COMPOSITE = "comparison"
"""The key of a record that says what else, which was not generated, is in the picture."""
_RECORD_BYTES = 384  # of the record's JSON, and
_VALUE_BYTES = 128  # of one value in it, so that the whole mark stays below 1.5 KB
_LARGEST_PACKET = 1 << 20  # that is looked at: other programs write long ones
_MOST_CHUNKS = 10_000  # of a PNG
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
        packet: the last XMP packet, be it whole or not; None where there is none.
        record: the text that is to be ganzoo's record; None where there is none.
    """

    packet: str | None = None
    record: str | None = None

    @property
    def xml(self) -> ElementTree.Element | None:
        """The packet, parsed; None where there is none, it is damaged or may define entities."""
        if self.packet is None or "<!DOCTYPE" in self.packet or "<!ENTITY" in self.packet:
            return None
        try:
            return ElementTree.fromstring(self.packet)
        except (ElementTree.ParseError, ValueError):  # half a surrogate pair is a ValueError
            return None

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
                return _in_png(file)
            if file.seek(0, io.SEEK_END) == 0:
                return Found()
            text = _scanned(file.fileno())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {path}: {why}", "check the path") from error
    found = Found(text)
    xml = found.xml
    return found if xml is None else Found(text, xml.findtext(f".//{{{NAMESPACE}}}Record"))


def read_record(path: str | Path) -> dict[str, Any] | None:
    """The record of a file that ganzoo wrote; None where there is none, which proves nothing."""
    return find(path).parsed_record


def _in_png(file: io.BufferedReader) -> Found:
    """The text chunks of a PNG that matter, found by walking its chunks."""
    texts: dict[bytes, str] = {}
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        length = int.from_bytes(head[:4], "big")
        if len(head) < 8 or head[4:] == b"IEND":
            break
        if head[4:] == b"iTXt" and length <= _LARGEST_PACKET:
            keyword, _, rest = file.read(length).partition(b"\0")
            if keyword in (b"ganzoo", b"XML:com.adobe.xmp"):
                texts[keyword] = _international(rest)
            length = 0
        file.seek(length + 4, io.SEEK_CUR)
    return Found(texts.get(b"XML:com.adobe.xmp"), texts.get(b"ganzoo"))


def _international(chunk: bytes) -> str:
    """The text of an iTXt chunk after its keyword; "" where it is damaged."""
    compressed, data = chunk[:1] == b"\1", chunk[2:].split(b"\0", 2)[-1]
    if compressed:
        try:
            data = zlib.decompressobj().decompress(data, _LARGEST_PACKET)
        except zlib.error:
            data = b""
    return data.decode(errors="replace")


def _scanned(descriptor: int) -> str | None:
    """The last XMP packet in a file, or what is left of it, found by scanning for it."""
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        end = data.rfind(b"</x:xmpmeta>")
        whole = data.rfind(b"<x:xmpmeta", max(0, end - _LARGEST_PACKET), max(0, end))
        if whole >= 0:
            return data[whole : end + 12].decode(errors="replace")
        start = data.rfind(b"<x:xmpmeta")
        return None if start < 0 else data[start : start + (1 << 16)].decode(errors="replace")
