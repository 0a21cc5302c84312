"""What a file says about where it came from, layer by layer, and how much of that holds.

There are three answers: marked, marked but broken, no mark found. None of them is "real": a mark
can be taken away, and a mark that stands in clear text can be written by anyone. Only a signed
manifest shows that the file is still as its signer left it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo import manifests, marks
from ganzoo.errors import GanzooError, InputError, printable

if TYPE_CHECKING:
    from PIL import Image

MARKED, BROKEN, ABSENT = "marked", "marked-but-broken", "no mark found"
UNCHECKED = "not checked"
"""Of a layer alone: it was not asked for, or cannot be looked at here."""

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
}
_LARGEST = 256 << 20  # bytes of a file whose manifest is checked


@dataclass(frozen=True)
class Layer:
    """One way in which a file can be marked: `status` is one of the constants of this module."""

    name: str
    status: str
    detail: str


@dataclass(frozen=True)
class Inspection:
    """What `ganzoo.inspect` found.

    Attributes:
        path: the file.
        status: "marked", "marked-but-broken" or "no mark found".
        layers: the same for each layer, with what it says in words.
        record: what ganzoo's record claims about the image; empty where there is none.
    """

    path: Path
    status: str
    layers: tuple[Layer, ...]
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def meaning(self) -> str:
        """The answer in a sentence."""
        if self.status == MARKED:
            return "the file says that a generator made it"
        if self.status == BROKEN:
            return "there is a mark, and it does not hold: it was changed or damaged since"
        return "that says nothing about where it came from: marks can be removed"


def inspect(
    path: str | Path,
    *,
    invisible: bool = True,
    key: str | None = None,
    trust: str | Path | None = None,
) -> Inspection:
    """Look for every mark in a file of anyone's.

    Args:
        path: an image, an animation or an .npz; any other file has no mark.
        invisible: look for the invisible mark too, for which the image is decoded.
        key: of the invisible mark; ganzoo's own is looked for in any case.
        trust: certificates (PEM) of signers of C2PA manifests that are known; by default one's own.

    Raises:
        InputError: the file cannot be read.
    """
    path = Path(path)
    found = marks.find(path)
    unasked = Layer("invisible", UNCHECKED, "not asked for")
    layers = (
        _xmp_layer(found),
        _record_layer(found),
        _manifest_layer(path, trust),
        _invisible_layer(path, key) if invisible else unasked,
    )
    statuses = {layer.status for layer in layers}
    status = next((status for status in (BROKEN, MARKED) if status in statuses), ABSENT)
    return Inspection(path, status, layers, _plain(found.parsed_record or {}))


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The texts and numbers of a record, which is anyone's, as they may be printed."""
    plain: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, str):
            plain[printable(key, longest=100)] = printable(value, longest=300)
        elif isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            plain[printable(key, longest=100)] = value
    return plain


# -- the layers ----------------------------------------------------------------------------------


def _xmp_layer(found: marks.Found) -> Layer:
    if found.packet is None:
        if found.record is not None:
            return Layer("xmp", BROKEN, "ganzoo's record is here, and its XMP packet is gone")
        return Layer("xmp", ABSENT, "no XMP packet")
    if found.xml is None:
        if marks.names_generator(found.packet) or found.record is not None:
            return Layer("xmp", BROKEN, "the XMP packet is damaged, and a generator is named")
        return Layer("xmp", ABSENT, "an XMP packet that cannot be read")
    facts = found.properties
    kind = facts.get("DigitalSourceType", "").rpartition("/")[2]
    by = facts.get("AISystemUsed") or facts.get("CreatorTool") or ""
    if kind in marks.GENERATED:
        return Layer("xmp", MARKED, f"{kind}{f', by {by}' if by else ''}")
    if facts.get("CreatorTool", "").startswith("ganzoo ") or found.record is not None:
        return Layer("xmp", BROKEN, "the XMP packet is ganzoo's, without the source type")
    return Layer("xmp", ABSENT, "an XMP packet that names no generator")


def _record_layer(found: marks.Found) -> Layer:
    record = found.parsed_record
    if record is None:
        if found.record is not None:
            return Layer("record", BROKEN, "ganzoo's record is damaged")
        if found.properties.get("CreatorTool", "").startswith("ganzoo "):
            return Layer("record", BROKEN, "the XMP packet is ganzoo's, and its record is gone")
        return Layer("record", ABSENT, "no record of ganzoo")
    shown = ("model", "plugin", "seed", "seeds", "label", "labels", "truncation", "source")
    facts = [f"{key} {record[key]}" for key in shown if key in record]
    return Layer("record", MARKED, printable(", ".join(facts) or "it is empty", longest=300))


def _manifest_layer(path: Path, trust: str | Path | None) -> Layer:
    suffix = _suffix(path)
    if suffix not in manifests.MIME:
        return Layer("c2pa", UNCHECKED, "not a format that ganzoo signs")
    if path.stat().st_size > _LARGEST:
        return Layer("c2pa", UNCHECKED, f"the file has more than {_LARGEST:,} bytes")
    data = path.read_bytes()
    if not manifests.is_available():
        if manifests.has_manifest(data):
            return Layer("c2pa", UNCHECKED, "there is a manifest: pip install 'ganzoo[c2pa]'")
        return Layer("c2pa", ABSENT, "no manifest")
    checked = manifests.check(data, suffix, anchors=_anchors(trust))
    if checked.state == manifests.NONE:
        return Layer("c2pa", ABSENT, "no manifest")
    if checked.state == manifests.INVALID:
        names = "" if checked.generated else ", and names no generator"
        return Layer("c2pa", BROKEN, f"invalid ({', '.join(checked.problems)}){names}")
    known = "who is known here" if checked.state == manifests.TRUSTED else "who is not known here"
    signed = f"signed as {checked.signer or 'nobody'}, {known}, and unchanged since"
    if checked.generated:
        return Layer("c2pa", MARKED, f"trainedAlgorithmicMedia, {signed}")
    return Layer("c2pa", ABSENT, f"the manifest names no generator; {signed}")


def _anchors(trust: str | Path | None) -> bytes:
    """The certificates to trust: those that were named, which must be there, or one's own."""
    from cryptography.x509 import load_pem_x509_certificates

    path = manifests.Keys(manifests.keys_folder()).root if trust is None else Path(trust)
    try:
        anchors = path.read_bytes()
        load_pem_x509_certificates(anchors)  # of a damaged one c2pa says that the image is
        return anchors
    except OSError as error:
        if trust is None:
            return b""
        raise InputError(
            f"cannot read {path}: {error.strerror}", "name a certificate in PEM"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path} holds no certificate in PEM, or a damaged one", "name another with --trust"
        ) from error


def _invisible_layer(path: Path, key: str | None) -> Layer:
    from ganzoo import tile_mark

    if _suffix(path) not in (".png", ".jpg", ".webp", ".gif"):
        return Layer("invisible", UNCHECKED, "not a picture")
    try:
        pixels = read_pixels(path)
    except GanzooError as error:
        return Layer("invisible", UNCHECKED, error.problem)
    keys = dict.fromkeys((key or tile_mark.own_key(), tile_mark.KEY))
    best = max((tile_mark.detect(pixels, key=k) for k in keys), key=lambda found: found.score)
    if best.found:
        return Layer("invisible", MARKED, f"score {best.score:.1f}; it can be forged")
    return Layer("invisible", ABSENT, f"score {best.score:.1f}, below {tile_mark.THRESHOLD:g}")


# -- files ---------------------------------------------------------------------------------------


def _suffix(path: Path) -> str:
    """The suffix of a file's format, by what it begins with; "" for one that is not known."""
    with open(path, "rb") as file:
        head = file.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[4:8] == b"ftyp":
        return ".mp4"
    return next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), "")


FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
"""Of pictures that are decoded: Pillow hands some others to another program."""


def read_pixels(path: Path, *, formats: tuple[str, ...] = FORMATS) -> np.ndarray:
    """The pixels of a picture of anyone's, uint8 (H, W, C), with the channels that it has; of an
    animation the first. Errors as in `decoded`."""

    def pixels(picture: Image.Image) -> np.ndarray:
        modes = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA"}
        fallback = "RGBA" if "transparency" in picture.info else "RGB"
        found = np.asarray(picture.convert(modes.get(picture.mode, fallback)))
        return found.reshape(*found.shape[:2], -1)

    return decoded(path, pixels, formats=formats)


def decoded(
    path: Path, make: Callable[[Image.Image], np.ndarray], *, formats: tuple[str, ...] = FORMATS
) -> np.ndarray:
    """What `make` makes of a picture of anyone's; of an animation it gets the first.

    Raises:
        InputError: it cannot be decoded, or has too many pixels.
    """
    import warnings

    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats) as opened:
                return make(opened)
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is no picture", f"name a {' or '.join(formats)} file") from error
    except Exception as error:  # the decoder raises many kinds of them
        if isinstance(error, (MemoryError, GanzooError)):
            raise
        what = printable(str(error), longest=200)
        raise InputError(f"{path} cannot be decoded ({what})", "get the file afresh") from error
