"""The one writer of images, and what an image says about where it came from.

Every picture that ganzoo writes is marked as made by a generator, as far as its format allows:

- an XMP packet with IPTC's `DigitalSourceType` trainedAlgorithmicMedia, the AI system that was
  used, and ganzoo as the creator tool;
- one record, a JSON object: the model, the hash of its weights, the plugin, the seeds.

A PNG carries the record in a text chunk named `ganzoo`; elsewhere it is a property of the packet.
A packet stands in one piece in the file, uncompressed, so that any program finds it by scanning for
it, as the XMP standard foresees. The mark never touches a pixel and stays below 1.5 KB.
"""

from __future__ import annotations

import io
import itertools
import json
import mmap
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, PngImagePlugin

from ganzoo import __version__
from ganzoo.contact_sheet import contact_sheet, default_scale, enlarge, fitting, picture
from ganzoo.errors import InputError
from ganzoo.files import replacing

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
ANIMATIONS = (".gif", ".webp", ".mp4")

_MAX_SIDE = {".png": 2**31 - 1, ".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383, ".gif": 65_535}

_RECORD_BYTES = 384  # of the record's JSON, and
_VALUE_BYTES = 128  # of one value in it, so that the whole mark stays below 1.5 KB
_TOOL = f"ganzoo {__version__}"
_NAMESPACE = "urn:ganzoo#"
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/">'
    "<Iptc4xmpExt:DigitalSourceType>"
    "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    "</Iptc4xmpExt:DigitalSourceType>"
    "<Iptc4xmpExt:AISystemUsed>{system}</Iptc4xmpExt:AISystemUsed>"
    "<xmp:CreatorTool>{tool}</xmp:CreatorTool>{more}"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


# -- writing -------------------------------------------------------------------------------------


def save_image(
    image: np.ndarray, path: str | Path, *, record: Mapping[str, Any], mark: bool = True
) -> None:
    """Write one image, uint8 (H, W, C) with 1 to 4 channels, as PNG, JPEG, WebP or GIF.

    Args:
        image: the pixels, written as they are.
        path: where; the suffix is the format. The file is whole or absent.
        record: what made the image: model, weights_sha256, plugin, seed, label, truncation …
        mark: False leaves the mark and the record out.
    """
    path = Path(path)
    suffix = _suffix(path, PICTURES)
    data = _encode(picture(image), suffix, record if mark else None)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def save_grid(
    images: np.ndarray,
    path: str | Path,
    *,
    record: Mapping[str, Any],
    columns: int | None = None,
    captions: Sequence[str] | None = None,
    scale: int | None = None,
    mark: bool = True,
) -> None:
    """Write images, uint8 (N, H, W, C), as one contact sheet; see `contact_sheet`."""
    _suffix(Path(path), PICTURES)
    sheet = contact_sheet(images, columns=columns, captions=captions, scale=scale)
    save_image(sheet, path, record=record, mark=mark)


def encode_grid(
    images: np.ndarray,
    *,
    record: Mapping[str, Any],
    columns: int | None = None,
    captions: Sequence[str] | None = None,
    scale: int | None = None,
    mark: bool = True,
) -> bytes:
    """A contact sheet of images, uint8 (N, H, W, C), as the bytes of a PNG."""
    sheet = contact_sheet(images, columns=columns, captions=captions, scale=scale)
    return _encode(picture(sheet), ".png", record if mark else None)


def save_animation(
    frames: Iterable[np.ndarray],
    path: str | Path,
    *,
    record: Mapping[str, Any],
    fps: float = 24,
    scale: int | None = None,
    mark: bool = True,
) -> None:
    """Write frames, each uint8 (H, W, C), as a looping GIF or WebP, or as MP4.

    Args:
        frames: an array (N, H, W, C) or anything that yields frames; they are taken one at a time.
        path: where; the suffix is the format. MP4 needs the package imageio-ffmpeg.
        record: what made the frames.
        fps: frames a second (a GIF counts in 1/100 s and rounds).
        scale: enlarge by this whole factor; by default small frames are enlarged as in a grid.
        mark: False leaves the mark and the record out.
    """
    path = Path(path)
    suffix = _suffix(path, ANIMATIONS)
    if not 1 <= fps <= 100:
        raise InputError(f"fps {fps} is out of range", "use 1 to 100")
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise InputError("no frames to animate", "give 1 or more")
    factor = scale or default_scale(max(first.shape[:2]))
    pictures = (picture(enlarge(f, factor)) for f in itertools.chain([first], frames))
    with replacing(path) as temporary:
        if suffix == ".mp4":
            _write_mp4(pictures, temporary, fps)
            if mark:
                with open(temporary, "ab") as file:
                    file.write(_mp4_box(_packet(record, with_record=True)))
        else:
            looping = {"save_all": True, "append_images": pictures, "loop": 0}
            looping["duration"] = round(1000 / fps)
            data = _encode(next(pictures), suffix, record if mark else None, **looping)
            temporary.write_bytes(data)


def save_npz(
    path: str | Path,
    batches: Iterable[np.ndarray],
    *,
    seeds: Sequence[int],
    labels: Sequence[int] | None = None,
    record: Mapping[str, Any],
    mark: bool = True,
) -> None:
    """Write an .npz with `images` uint8 (N, H, W, C), `seeds` int64 and `labels` int64 if given.

    The images are written as they come and never held together, so that memory does not grow with
    their number. The mark is the archive's comment, which numpy does not look at.

    Args:
        path: where, with the suffix .npz.
        batches: uint8 (n, H, W, C) each, as many images in all as there are seeds.
        seeds: the seed of each image.
        labels: the label of each image, for a conditional generator.
        record: what made the images.
        mark: False leaves the mark and the record out.
    """
    path = Path(path)
    _suffix(path, (".npz",))
    batches = iter(batches)
    first = next(batches, None)
    if first is None or len(seeds) == 0:
        raise InputError("no images to write", "ask for 1 or more")
    columns = {"seeds": seeds} if labels is None else {"seeds": seeds, "labels": labels}
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        with archive.open(zipfile.ZipInfo("images.npy"), "w", force_zip64=True) as member:
            shape = (len(seeds), *first.shape[1:])
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, header)
            written = 0
            for batch in itertools.chain([first], batches):
                if batch.dtype != np.uint8 or batch.shape[1:] != first.shape[1:]:
                    raise ValueError(f"a batch is {batch.dtype} {batch.shape}, not uint8 {shape}")
                member.write(np.ascontiguousarray(batch).data)
                written += len(batch)
        if written != len(seeds):
            raise ValueError(f"{written} images came for {len(seeds)} seeds")
        for name, values in columns.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
                np.lib.format.write_array(member, np.asarray(values, dtype=np.int64))
        if mark:
            archive.comment = _packet(record, with_record=True)


# -- formats -------------------------------------------------------------------------------------


def _suffix(path: Path, known: Sequence[str]) -> str:
    """The path's suffix, if it is one of `known` and the path is no folder."""
    suffix = path.suffix.lower()
    if suffix not in known:
        kind = f"images as {suffix}" if suffix else "images without a suffix"
        raise InputError(f"cannot write {kind}: {path}", f"use {', '.join(known)}")
    if path.is_dir():
        raise InputError(f"{path} is a folder", "give the name of a file")
    return suffix


def _encode(
    image: Image.Image, suffix: str, record: Mapping[str, Any] | None, **looping: Any
) -> bytes:
    """A picture, or the first of an animation, in the format of the suffix; no record, no mark."""
    if max(image.size) > _MAX_SIDE[suffix]:
        size = f"{image.width:,} x {image.height:,} pixels"
        raise InputError(f"{size} are too many for {suffix}", "use .png")
    packet = b"" if record is None else _packet(record, with_record=suffix != ".png")
    buffer = io.BytesIO()
    if suffix == ".png":
        text = PngImagePlugin.PngInfo()
        if record is not None:
            text.add_text("Software", _TOOL)
            text.add_itxt("XML:com.adobe.xmp", packet.decode())
            text.add_itxt("ganzoo", _record_json(record))
        image.save(buffer, "PNG", pnginfo=text)
    elif suffix in (".jpg", ".jpeg"):
        if image.mode in ("LA", "RGBA"):
            raise InputError("JPEG has no transparency", "use .png or .webp")
        image.save(buffer, "JPEG", quality=95, subsampling=0, xmp=packet)
    elif suffix == ".webp":
        image.save(buffer, "WEBP", lossless=not looping, quality=90, xmp=packet, **looping)
    else:
        image.save(buffer, "GIF", **looping)
        return _with_gif_packet(buffer.getvalue(), packet)
    return buffer.getvalue()


def _with_gif_packet(data: bytes, packet: bytes) -> bytes:
    """A GIF with an XMP application extension before its end.

    The packet is not cut into sub-blocks; the "magic trailer" after it leads every reader that
    takes its bytes for lengths of sub-blocks to the final zero (XMP specification, part 3).
    """
    if not packet:
        return data
    trailer = bytes([1, *range(255, -1, -1), 0])
    return data[:-1] + b"\x21\xff\x0bXMP DataXMP" + packet + trailer + data[-1:]


def _mp4_box(packet: bytes) -> bytes:
    """The packet as a top-level `uuid` box, where the XMP specification wants it."""
    kind = b"uuid" + bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    return struct.pack(">I", 4 + len(kind) + len(packet)) + kind + packet


def _write_mp4(pictures: Iterator[Image.Image], path: Path, fps: float) -> None:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise InputError(
            "writing .mp4 needs imageio-ffmpeg",
            "pip install imageio-ffmpeg, or write .gif or .webp",
        ) from error
    first = next(pictures)
    even = (first.width + first.width % 2, first.height + first.height % 2)  # H.264 wants it
    writer = imageio_ffmpeg.write_frames(
        str(path), even, fps=fps, quality=8, macro_block_size=2, ffmpeg_log_level="error"
    )
    writer.send(None)
    try:
        for image in itertools.chain([first], pictures):
            frame = Image.new("RGB", even, "white")
            frame.paste(image, mask=image.getchannel("A") if "A" in image.mode else None)
            writer.send(frame.tobytes())
    finally:
        writer.close()


# -- the mark ------------------------------------------------------------------------------------


def read_record(path: str | Path) -> dict[str, Any] | None:
    """The record of a file that ganzoo wrote; None where there is none, which proves nothing."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            if file.read(8) == b"\x89PNG\r\n\x1a\n":
                text = _png_text(file)
            else:
                text = _packet_text(file.fileno())
        record = None if text is None else json.loads(text)
    except (OSError, ElementTree.ParseError, RecursionError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"cannot read {path}: {error.strerror}", "check the path") from error
        return None
    return record if isinstance(record, dict) else None


def _png_text(file: io.BufferedReader) -> str | None:
    """The text of the PNG chunk `ganzoo`, found by walking the chunks before the pixels."""
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"iTXt" and length <= 65_536:
            data = file.read(length)
            if data.startswith(b"ganzoo\0\0\0\0\0"):  # not compressed, no language
                return data[11:].decode()
            file.seek(4, io.SEEK_CUR)
        else:
            file.seek(length + 4, io.SEEK_CUR)
    return None


def _packet_text(descriptor: int) -> str | None:
    """The property `ganzoo:Record` of the last XMP packet in a file, found by scanning for it."""
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        end = data.rfind(b"</x:xmpmeta>")
        start = data.rfind(b"<x:xmpmeta", max(0, end - 65_536), end)
        packet = data[start : end + 12].decode() if start >= 0 else ""
    if not packet or "<!" in packet:  # no packet, or one with a DTD, which may define entities
        return None
    return ElementTree.fromstring(packet).findtext(f".//{{{_NAMESPACE}}}Record")


def _packet(record: Mapping[str, Any], *, with_record: bool) -> bytes:
    """The XMP packet, UTF-8."""
    model = fitting(
        _plain(record.get("model", ""))[:96], lambda text: len(escape(text).encode()) < 96
    )
    more = ""
    if with_record:
        more = f'<ganzoo:Record xmlns:ganzoo="{_NAMESPACE}">{_record_json(record)}</ganzoo:Record>'
    system = f"{_TOOL} / {escape(model)}" if model else _TOOL
    return _PACKET.format(system=system, tool=_TOOL, more=more).encode()


def _plain(value: Any) -> str:
    """Text that may stand in XML: without control characters and lone surrogates."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def _record_json(record: Mapping[str, Any]) -> str:
    """The record as JSON that needs no escaping in XML, at most 384 bytes long.

    Integers in a list (seeds, labels) become ranges, as in `--seeds 0-63,100`. Long values are cut
    and end with …; values that are no text or number are left out, and so are the last entries if
    there is no space for them.
    """
    kept: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, (list, tuple, range, np.ndarray)):
            value = _ranges(value)
        elif isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str) and len(_json(value)) > _VALUE_BYTES:
            cuts = (value[:end] + "…" for end in range(_VALUE_BYTES, -1, -1))
            value = next(cut for cut in cuts if len(_json(cut)) <= _VALUE_BYTES)
        if isinstance(value, (str, int, float)):
            longer = {**kept, str(key): value}
            kept = longer if len(_json(longer)) <= _RECORD_BYTES else kept
    return _json(kept)


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
