"""The zip archives that torch writes, read strictly: what torch never writes is refused."""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

from ganzoo.importing.limits import Unreadable

_MOST_MEMBERS = 100_000
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"
_NAME = re.compile(r"[^/\\\0]+(/[^/\\\0:]+)*")  # the folder has the name of the file, at will
_DRIVE = re.compile(r"[A-Za-z]:(/.*)?")


class Member(NamedTuple):
    """A file in the archive: its values are the bytes `start` to `end`."""

    name: str
    start: int
    end: int
    crc: int


def members(data: bytearray) -> dict[str, Member]:
    """Name -> member, without the folder that all of them are in.

    Raises:
        Unreadable: compressed, encrypted, duplicate or overlapping members, names that lead
            elsewhere, sizes that do not fit the file, or another checksum than was written.
    """
    try:
        found = _members(data)
    except (struct.error, IndexError) as error:
        raise Unreadable("its archive is damaged") from error
    folders = {name.partition("/")[0] for name in found}
    if len(folders) != 1 or any("/" not in name for name in found):
        raise Unreadable("it is a zip archive, but none of torch's: not all is in one folder")
    return {name.partition("/")[2]: member for name, member in found.items()}


def content(data: bytearray, member: Member) -> memoryview:
    """The bytes of a member, whose checksum is compared. torch writes 0 where it made none."""
    view = memoryview(data)[member.start : member.end]
    if member.crc and zlib.crc32(view) != member.crc:
        raise Unreadable(f"{member.name!r} in it is damaged: its checksum differs")
    return view


def check_end(end: bytes) -> None:
    """The last 22 bytes of an archive are its end, without a comment."""
    if len(end) != 22 or not end.startswith(_END):
        raise Unreadable("its archive ends too early, or has something behind its end")


def _members(data: bytearray) -> dict[str, Member]:
    check_end(bytes(data[-22:]))
    end = len(data) - 22
    disk, first_disk, here, count, size, start = struct.unpack_from("<4H2I", data, end + 4)
    if disk or first_disk or here != count:
        raise Unreadable("its archive is one of several parts")
    behind = end
    if data[max(0, end - 20) : end].startswith(_LOCATOR64):  # torch writes it also where not needed
        narrow = (count, size, start)
        count, size, start, behind = _zip64(data, end)
        for wide, short, most in zip((count, size, start), narrow, (0xFFFF, *2 * (0xFFFFFFFF,))):
            if short not in (wide, most):
                raise Unreadable("its archive is damaged: its index is elsewhere")
    if start + size != behind:
        raise Unreadable("its archive is damaged: its index is elsewhere")
    if count > _MOST_MEMBERS:
        raise Unreadable(f"its archive has {count:,} members")
    out: dict[str, Member] = {}
    spans = []
    at = start
    for _ in range(count):
        if data[at : at + 4] != _CENTRAL or at + 46 > behind:
            raise Unreadable("its archive is damaged: its index")
        flags, method, _, _, crc, packed, length, n_name, n_extra, n_comment = struct.unpack_from(
            "<4H3I3H", data, at + 8
        )
        (header,) = struct.unpack_from("<I", data, at + 42)
        raw = bytes(data[at + 46 : at + 46 + n_name])
        extra = bytes(data[at + 46 + n_name : at + 46 + n_name + n_extra])
        at += 46 + n_name + n_extra + n_comment
        length, packed, header = _wide(extra, length, packed, header)
        name = _checked_name(raw)
        if flags & 0x2041:
            raise Unreadable(f"{name!r} in it is encrypted")
        if "/code/" in name:
            raise Unreadable("it is a program of TorchScript", "get the weights as a state dict")
        if method or length != packed:
            raise Unreadable(f"{name!r} in it is compressed, which torch never does")
        if name in out:
            raise Unreadable(f"{name!r} is in it twice")
        if data[header : header + 4] != _LOCAL or header + 30 > start:
            raise Unreadable(f"{name!r} in it is not where its index says")
        local_flags, local_method = struct.unpack_from("<2H", data, header + 6)
        local_name, local_extra = struct.unpack_from("<2H", data, header + 26)
        first = header + 30 + local_name + local_extra
        if (
            data[header + 30 : header + 30 + local_name] != raw
            or local_method
            or local_flags & 0x2041
        ):
            raise Unreadable(f"{name!r} in it is another member than its index says")
        out[name] = Member(name, first, first + length, crc)
        spans.append((header, first + length))
    if at != behind:
        raise Unreadable("its archive is damaged: its index")
    spans.sort()
    if any(end > next_start for (_, end), (next_start, _) in zip(spans, [*spans[1:], (start, 0)])):
        raise Unreadable("members of its archive overlap")
    return out


def _zip64(data: bytearray, end: int) -> tuple[int, int, int, int]:
    """(members, size of the index, its start, its end) of a large archive."""
    locator = end - 20
    (at,) = struct.unpack_from("<Q", data, locator + 8)
    if data[at : at + 4] != _END64 or at + 56 > locator:
        raise Unreadable("its archive is damaged: its end")
    here, count, size, start = struct.unpack_from("<4Q", data, at + 24)
    if here != count:
        raise Unreadable("its archive is one of several parts")
    return count, size, start, at


def _wide(extra: bytes, *narrow: int) -> tuple[int, int, int]:
    """Length, packed length and place, from the extra field where they do not fit 32 bits."""
    at, wide = 0, b""
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + size]
        at += 4 + size
    values, at = [], 0
    for value in narrow:
        if value == 0xFFFFFFFF:
            (value,) = struct.unpack_from("<Q", wide, at)
            at += 8
        values.append(value)
    length, packed, header = values
    return length, packed, header


def _checked_name(raw: bytes) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = ""
    if (
        not _NAME.fullmatch(name)
        or _DRIVE.fullmatch(name)
        or {".", ".."} & set(name.split("/"))
        or not name.isprintable()
    ):
        raise Unreadable(f"a member of its archive has an odd name: {raw[:80]!r}")
    return name
