"""Small files that ask for much: refused in bounded time and memory, or as small as they are."""

from __future__ import annotations

import contextlib
import resource
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganzoo.errors import CheckpointError, InputError
from ganzoo.importing.modules import check_tensors
from ganzoo.importing.reading import read
from ganzoo.importing.tree import nodes, shown
from tests.importing.handwritten import (
    STOP,
    Trap,
    legacy,
    named,
    text,
)


def doubled(kind: bytes, levels: int) -> bytes:
    """A value of two of the value below, and so on: 2^levels leaves, in a few bytes each."""
    out, close = kind + b"q\x000", b"l" if kind == b"]" else b"t"
    for level in range(levels):
        below, this = bytes([level]), bytes([level + 1])
        out += b"(h" + below + b"h" + below + close + b"q" + this + b"0"
    return out + b"h" + bytes([levels])


def nested(levels: int) -> bytes:
    return b"]" * levels + b"a" * (levels - 1)


def set_of_a_list(times: int) -> bytes:
    """A list of a thousand numbers, of which a set is made again and again."""
    items = b"".join(b"M" + struct.pack("<H", n) for n in range(1000))
    make = b"]q\x01(" + items + b"eq\x01" + named("builtins", "set") + b"q\x02"
    return make + b"0h\x02h\x01\x85R" * times


@contextlib.contextmanager
def room(size: int) -> Iterator[None]:
    """So many bytes of address space more, and memory beyond that cannot be had."""
    if sys.platform != "linux":
        yield
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    former = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, former)


HUGE = (1 << 62) + 5
BOMBS: dict[str, bytes] = {
    "a number of 2 GB": b"\x8b" + struct.pack("<i", (1 << 31) - 1) + b"\x01",
    "a number of negative size": b"\x8b" + struct.pack("<i", -1),
    "a number of a million digits": b"L" + b"9" * 1_000_000 + b"L\n",
    "bytes of 4 EB": b"\x8e" + struct.pack("<Q", HUGE),
    "a text of 4 EB": b"\x8d" + struct.pack("<Q", HUGE),
    "a byte array of 4 EB": b"\x96" + struct.pack("<Q", HUGE),
    "a text of 4 GB": b"X" + struct.pack("<I", (1 << 32) - 1),
    "a text of negative size": b"T" + struct.pack("<i", -5),
    "a hundred thousand lists in each other": nested(100_000),
    "a hundred thousand tuples in each other": b")" + b"\x85" * 100_000,
    "a hundred thousand records in each other": (
        named("m", "f") + b"q\x000N" + b"".join([b"\x85q\x010h\x00h\x01R"] * 100_000)
    ),
    "three million values": b"(" + b"}" * 3_000_000 + b"l",
    "a million sets, of 200 bytes each": b"(" + b"\x8f" * 1_000_000 + b"l",
    "three million marks": b"(" * 3_000_000 + b"N",
    "copies of a list": set_of_a_list(100_000),
    "calls with a long tuple": (
        named("torch._utils", "_rebuild_parameter") + b"q\x000" + b"("
        + named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"K\x00\x85"
        + b"C\x01b\x87R(K\x01)" + named("numpy", "dtype") + text("f4") + b"\x85R\x89C\x00tb"
        + b"K\x01" * 100_000 + b"tq\x010" + b"h\x00h\x01R0" * 300_000 + b"N"
    ),
    "objects within calls": (
        b"(" + named("copyreg", "__newobj__") * 900 + named("m", "f") + b"tq\x000"
        + named("copyreg", "__newobj__") + b"q\x01" + b"0h\x01h\x00R" * 300_000
    ),
    "copies of a device's name": (
        named("torch", "device") + b"q\x000" + text("c" * 1_000_000) + b"K\x01\x86q\x010("
        + b"h\x00h\x01R" * 300_000 + b"l"
    ),
    "copies of a NumPy text": (
        named("numpy.core.multiarray", "scalar") + b"q\x000(" + named("numpy", "dtype")
        + text("S99999") + b"\x85RB" + struct.pack("<I", 99999) + b"x" * 99999 + b"tq\x010("
        + b"h\x00h\x01R" * 300_000 + b"l"
    ),
    "a long name, asked for again and again": (
        text("m" * 1_000_000) + b"q\x000" + text("f") + b"q\x010("
        + b"h\x00h\x01\x93" * 300_000 + b"l"
    ),
    "a file within, read again and again": (
        named("torch.storage", "_load_from_bytes") + b"q\x000"
        + (lambda data: b"B" + struct.pack("<I", len(data)) + data)(
            legacy(b"B" + struct.pack("<I", 1_000_000) + bytes(1_000_000)))
        + b"\x85q\x010(" + b"h\x00h\x01R" * 100_000 + b"l"
    ),
    "keys that collide": (  # the hash of a float is that of 2^61 times it
        b"}" + b"".join(b"G" + struct.pack(">d", 2.0 ** (61 * k)) + b"q" + bytes([k]) + b"0"
                        for k in range(16))
        + b"".join(b"(" + b"".join(b"h" + bytes([k >> 4 * i & 15]) for i in range(4)) + b"tNs"
                   for k in range(1 << 16))
    ),
    "indices of the memo that collide": (
        b"N" + b"".join(b"p%d\n" % (k * ((1 << 61) - 1)) for k in range(100_000))
    ),
    "an index of the memo far above the others": b"Nr\xff\xff\xff\xff" + b"0j\xff\xff\xff\xff",
    "numbers as keys, which can be chosen so that they collide": (
        b"}(" + b"".join(b"J" + struct.pack("<i", k) + b"N" for k in range(60_000)) + b"u"
    ),
    "long texts as keys, equal but not the same": (
        (text("k" * 1_000_000) + b"q\x000" + text("k" * 1_000_000) + b"q\x010}")
        + b"h\x00Nsh\x01Ns" * 300_000
    ),
    "axes that take 2^60 comparisons": (
        named("numpy.core.numeric", "_frombuffer") + b"(C\x01b" + named("numpy", "dtype")
        + text("u1") + b"\x85RK\x01\x85" + text("K") + doubled(b")", 60)
        + doubled(b")", 60) + b"\x86tR"
    ),
    "copies of a text": (
        text("x" * 100_000) + b"q\x00" + named("_codecs", "encode") + b"q\x01"
        + b"0h\x01h\x00\x85R" * 10_000
    ),
}  # fmt: skip


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_in_bounded_time_and_memory(content: bytes, trap: Trap) -> None:
    path = trap.set(b"\x80\x04" + content + STOP)
    start = time.process_time()
    with room(1 << 30), pytest.raises(CheckpointError, match="cannot be imported"):
        read(path)
    assert time.process_time() - start < 20


@pytest.mark.parametrize("kind", [b")", b"]"], ids=["tuples", "lists"])
def test_a_billion_laughs_are_as_small_as_their_file(kind: bytes, trap: Trap) -> None:
    start = time.process_time()
    root = read(trap.set(b"\x80\x02" + doubled(kind, 100) + STOP)).root
    assert len(list(nodes(root))) == 101
    assert time.process_time() - start < 2


def test_a_text_of_escapes_takes_no_more_memory_than_its_file(trap: Trap) -> None:
    content = b"S'" + b"\\n" * 3_000_000 + b"'\n"
    with room(1 << 27):
        assert read(trap.set(b"\x80\x02" + content + STOP)).root == "\n" * 3_000_000


def test_many_long_paths_are_not_walked(trap: Trap) -> None:
    """The same list again and again, each time by a name of three thousand letters."""
    key = text("k" * 190) + b"q\x00"
    content = b"](" + b"]q\x01" + b"h\x01" * 100_000 + b"e"
    for _ in range(16):
        content = b"}h\x00" + content + b"s"
    root = read(trap.set(b"\x80\x02" + key + b"0" + content + STOP)).root
    with pytest.raises(InputError, match="something in the file is called kkk"):
        check_tensors(root)


def test_a_record_as_a_key_is_not_printed(trap: Trap) -> None:
    """Its text would be one of 2^60 items."""
    content = named("m", "Net") + b")R" + doubled(b")", 60) + b"b" + b"q\xc80}h\xc8]s"
    root = read(trap.set(b"\x80\x02" + content + STOP)).root
    assert [path for path, _ in nodes(root)] == ["", "Record"]


def test_the_text_of_a_record_is_short(trap: Trap) -> None:
    """Importers tell of a value that is not the usual one; this one's whole text has 2^60 items."""
    root = read(trap.set(b"\x80\x02" + named("m", "Net") + doubled(b")", 60) + b"R" + STOP)).root
    assert shown(root) == repr(root) == "<Record m.Net>"


def test_rows_of_nodes_are_not_walked_without_end(trap: Trap) -> None:
    """The list at the top holds each mapping, and each mapping the one made before it: none lies
    deep, but on the way through all of them a path would grow to 3 MB."""
    key, put, get = b"j" + struct.pack("<I", 0), b"r%b0", b"j%b"
    content, before = text("k" * 100) + put % struct.pack("<I", 0), b"N"
    rows = []
    for number in range(1, 30_000):
        place = struct.pack("<I", number)
        content += b"}" + key + before + b"s" + put % place
        before = get % place
        rows.append(before)
    root = read(trap.set(b"\x80\x02" + content + b"(" + b"".join(reversed(rows)) + b"l.")).root
    start = time.process_time()
    with pytest.raises(InputError, match=r"something in the file is called 0\.kkk"):
        check_tensors(root)
    assert time.process_time() - start < 5
