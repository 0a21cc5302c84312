"""The one writer of images: every picture is marked as made by a generator, as far as its format
allows.

What the mark says is in `ganzoo.marks`. It never touches a pixel and stays below 1.5 KB. Two more
marks are for who asks: an invisible one in the pixels (`ganzoo.tile_mark`), which comes first, and
a signed manifest over all of the file (`ganzoo.manifests`), which comes last.
"""

from __future__ import annotations

import importlib
import io
import itertools
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from ganzoo import marks
from ganzoo.contact_sheet import contact_sheet, default_columns, default_scale, enlarge, picture
from ganzoo.errors import InputError, printable
from ganzoo.files import replacing
from ganzoo.marks import read_record as read_record

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
ANIMATIONS = (".gif", ".webp", ".mp4")

_MAX_SIDE = {".png": 2**31 - 1, ".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383, ".gif": 65_535}

Signer = Callable[[bytes, str, Mapping[str, Any]], bytes]
"""Given a file's content, its suffix and what made it, the content with a signed manifest in it."""


# -- writing -------------------------------------------------------------------------------------


def save_image(
    image: np.ndarray,
    path: str | Path,
    *,
    record: Mapping[str, Any],
    mark: bool = True,
    invisible: str | None = None,
    sign: Signer | None = None,
) -> None:
    """Write one image, uint8 (H, W, C) with 1 to 4 channels, as PNG, JPEG, WebP or GIF.

    Args:
        image: the pixels, written as they are.
        path: where; the suffix is the format. The file is whole or absent.
        record: what made the image: model, weights_sha256, plugin, seed, label, truncation …
        mark: False leaves the mark and the record out.
        invisible: the key of an invisible mark in the pixels, such as `tile_mark.KEY`.
        sign: what signs the file at last, such as `manifests.Signing().sign`.
    """
    path = Path(path)
    suffix = _suffix(path, PICTURES)
    if invisible is not None:
        from ganzoo import tile_mark

        image = tile_mark.embed(image, key=invisible)
        record = {**record, "invisible_mark": "ganzoo" if invisible == tile_mark.KEY else "own key"}
    data = _encode(picture(image), suffix, record if mark else None)
    if sign is not None:
        data = sign(data, suffix, record)
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
    **how: Any,
) -> None:
    """Write images, uint8 (N, H, W, C), as one contact sheet; see `contact_sheet`, and `save_image`
    for `mark`, `invisible` and `sign`."""
    _suffix(Path(path), PICTURES)
    sheet = contact_sheet(images, columns=columns, captions=captions, scale=scale)
    if columns is not None and columns != default_columns(len(images)):
        record = {**record, "columns": int(columns)}
    save_image(sheet, path, record=record, **how)


def encode_grid(
    images: np.ndarray,
    *,
    record: Mapping[str, Any],
    columns: int | None = None,
) -> bytes:
    """A contact sheet of images, uint8 (N, H, W, C), as the bytes of a marked PNG."""
    return _encode(picture(contact_sheet(images, columns=columns)), ".png", record)


def save_animation(
    frames: Iterable[np.ndarray],
    path: str | Path,
    *,
    record: Mapping[str, Any],
    fps: float = 24,
    scale: int | None = None,
    mark: bool = True,
    sign: Signer | None = None,
) -> None:
    """Write frames, each uint8 (H, W, C), as a looping GIF or WebP, or as MP4.

    Args:
        frames: an array (N, H, W, C) or anything that yields frames; they are taken one at a time.
        path: where; the suffix is the format. MP4 needs the package imageio-ffmpeg.
        record: what made the frames.
        fps: frames a second (a GIF counts in 1/100 s and rounds).
        scale: enlarge by this whole factor; by default small frames are enlarged as in a grid.
        mark: False leaves the mark and the record out.
        sign: what signs the file at last.
    """
    path = Path(path)
    check_animation(path)
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
                    file.write(_mp4_box(marks.packet(record, with_record=True)))
        else:
            looping = {"save_all": True, "append_images": pictures, "loop": 0}
            looping["duration"] = round(1000 / fps)
            data = _encode(next(pictures), suffix, record if mark else None, **looping)
            temporary.write_bytes(data)
        if sign is not None:
            temporary.write_bytes(sign(temporary.read_bytes(), suffix, record))


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
            archive.comment = marks.packet(record, with_record=True)


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
    packet = b"" if record is None else marks.packet(record, with_record=suffix != ".png")
    buffer = io.BytesIO()
    if suffix == ".png":
        text = PngImagePlugin.PngInfo()
        if record is not None:
            text.add_text("Software", marks.TOOL)
            text.add_itxt("XML:com.adobe.xmp", packet.decode())
            text.add_itxt("ganzoo", marks.record_json(record))
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


def check_animation(path: Path) -> None:
    """Refuse a file that no animation can be written to, before its frames are computed."""
    if _suffix(path, ANIMATIONS) == ".mp4":
        try:
            importlib.import_module("imageio_ffmpeg")
        except ImportError as error:
            raise InputError(
                "writing .mp4 needs imageio-ffmpeg",
                "pip install imageio-ffmpeg, or write .gif or .webp",
            ) from error


def _write_mp4(pictures: Iterator[Image.Image], path: Path, fps: float) -> None:
    import imageio_ffmpeg

    first = next(pictures)
    even = (first.width + first.width % 2, first.height + first.height % 2)  # H.264 wants it
    path.touch()  # where that is refused, the system says why
    writer = imageio_ffmpeg.write_frames(
        str(path), even, fps=fps, quality=8, macro_block_size=2, ffmpeg_log_level="error"
    )
    writer.send(None)
    try:
        for image in itertools.chain([first], pictures):
            frame = Image.new("RGB", even, "white")
            frame.paste(image, mask=image.getchannel("A") if "A" in image.mode else None)
            writer.send(frame.tobytes())
    except OSError as error:  # in the words of ffmpeg, of which the last say why
        why = printable(str(error).strip().splitlines()[-1], longest=200)
        raise InputError(
            f"ffmpeg did not write the film ({why})", "check the space left, or write .gif or .webp"
        ) from error
    finally:
        writer.close()
    if not _is_whole_mp4(path):  # ffmpeg ends as if nothing were wrong
        raise InputError("ffmpeg did not write the film to its end", "check the space left")


def _is_whole_mp4(path: Path) -> bool:
    """Whether its boxes fill the file, and one of them is the index, which is written last."""
    size, start, kinds = path.stat().st_size, 0, set()
    with open(path, "rb") as file:
        while start < size and len(head := file.read(16)) >= 8:
            length, kind = struct.unpack(">I4s", head[:8])
            if length == 1 and len(head) == 16:  # of more than 4 GiB
                (length,) = struct.unpack(">Q", head[8:])
            if length < 8:
                return False
            kinds.add(kind)
            start += length
            file.seek(start)
    return start == size and b"moov" in kinds
