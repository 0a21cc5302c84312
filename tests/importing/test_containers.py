"""Archives that lie, files that end early, and any change of a sound file: one line each."""

from __future__ import annotations

import contextlib
import io
import pickle
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganzoo.errors import GanzooError
from ganzoo.importing.reading import read
from ganzoo.importing.tree import nodes, tensors

ROOM = 512 << 20  # bytes of address space that reading a file of kilobytes may take
SECONDS = 5.0


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Less than ROOM more memory than now, and less than SECONDS."""
    former = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, former[1]))
    start = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, former)
    assert time.process_time() - start < SECONDS


WATCHED = {
    "import", "exec", "compile", "pickle.find_class", "marshal.loads", "os.system", "os.exec",
    "os.posix_spawn", "os.fork", "os.remove", "os.rename", "subprocess.Popen", "socket.__new__",
    "ctypes.dlopen", "code.__new__", "function.__new__", "object.__setattr__",
}  # fmt: skip
"""Events of Python's audit that no reading of a file has."""
_heard: list[str] | None = None


def _listen(event: str, args: tuple[object, ...]) -> None:
    if _heard is not None and event in WATCHED:
        _heard.append(f"{event} {args[:1]}")


@pytest.fixture(scope="module", autouse=True)
def _audit(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Listen to what happens in this process (it cannot be undone), once all is imported."""
    for content in FILES.values():
        refusal(content, tmp_path_factory.getbasetemp())
    sys.addaudithook(_listen)


@contextlib.contextmanager
def nothing_else_happens() -> Iterator[None]:
    """No import, no code, no process, no unpickling: Python itself says so."""
    global _heard
    _heard = []
    try:
        yield
        assert _heard == []
    finally:
        _heard = None


def test_the_audit_hears(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"pickle\.find_class"), nothing_else_happens():
        pickle.loads(b"ccollections\nOrderedDict\n)R.")


def refusal(content: bytes, folder: Path) -> str:
    """The line with which a file is refused; "" if it is read, and then it is a sound tree."""
    path = folder / "file"
    path.write_bytes(content)
    with bounded(), nothing_else_happens():
        try:
            root = read(path).root
        except GanzooError as error:
            line = str(error)
            assert line.isprintable() and len(line) < 3000
            return line
        assert len(list(nodes(root))) < 10_000
        assert sum(tensor.nbytes for _, tensor in tensors(root)) <= 4 * len(content) + (1 << 20)
    return ""


# -- archives ------------------------------------------------------------------------------------


class Archive:
    """A zip written by hand, of which each field can be a lie."""

    def __init__(self) -> None:
        self.body = b""
        self.index: list[bytes] = []

    def add(
        self,
        name: str | bytes,
        data: bytes,
        *,
        method: int = 0,
        flags: int = 0,
        length: int | None = None,
        packed: int | None = None,
        crc: int | None = None,
        at: int | None = None,
        local_name: bytes | None = None,
        local_flags: int | None = None,
        local_method: int | None = None,
        extra: bytes = b"",
    ) -> Archive:
        raw = name.encode() if isinstance(name, str) else name
        at = len(self.body) if at is None else at
        length = len(data) if length is None else length
        packed = len(data) if packed is None else packed
        crc = zlib.crc32(data) if crc is None else crc
        common = struct.pack("<2H3I", 0, 0, crc, packed, length)
        head = struct.pack(
            "<3H",
            20,
            flags if local_flags is None else local_flags,
            method if local_method is None else local_method,
        )
        theirs = raw if local_name is None else local_name
        self.body += b"PK\x03\x04" + head + common + struct.pack("<2H", len(theirs), 0)
        self.body += theirs + data
        self.index.append(
            b"PK\x01\x02" + struct.pack("<4H", 20, 20, flags, method) + common
            + struct.pack("<5H2I", len(raw), len(extra), 0, 0, 0, 0, at) + raw + extra
        )  # fmt: skip
        return self

    def close(
        self, *, count: int | None = None, size: int | None = None, start: int | None = None,
        tail: bytes = b"",
    ) -> bytes:  # fmt: skip
        index = b"".join(self.index)
        count = len(self.index) if count is None else count
        end = struct.pack(
            "<4H2IH", 0, 0, count, count, len(index) if size is None else size,
            len(self.body) if start is None else start, 0,
        )  # fmt: skip
        return self.body + index + b"PK\x05\x06" + end + tail


def sound() -> Archive:
    return Archive().add("a/version", b"3\n").add("a/data.pkl", b"\x80\x02K\x07.")


def test_the_archive_by_hand_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(sound().close())
    assert read(path).root == 7 and zipfile.ZipFile(path).testzip() is None
    assert refusal(sound().add("a/byteorder", b"little").close(), tmp_path) == ""
    assert refusal(sound().add("a/x", b"abc", crc=0).close(), tmp_path) == ""


PICKLE = b"\x80\x02K\x07."
BODY = len(sound().body)
LIES: dict[str, tuple[bytes, str]] = {
    "compressed": (
        Archive().add("a/version", b"3").add("a/data.pkl", zlib.compress(PICKLE)[2:-4], method=8,
                                             length=5).close(),
        "is compressed",
    ),
    "a bomb": (
        sound().add("a/data/0", zlib.compress(bytes(10_000_000))[2:-4], method=8,
                    length=10_000_000).close(),
        "is compressed",
    ),
    "compressed, says its own header": (
        sound().add("a/x", b"x", local_method=8).close(), "another member"
    ),
    "a packed size that differs": (sound().add("a/x", b"x", packed=2).close(), "compressed"),
    "encrypted": (sound().add("a/x", b"x", flags=1).close(), "encrypted"),
    "encrypted, says its own header": (
        sound().add("a/x", b"x", local_flags=1).close(), "another member"
    ),
    "twice": (sound().add("a/data.pkl", PICKLE).close(), "twice"),
    "on one another": (sound().add("a/x", b"x", at=0, local_name=b"a/x").close(), "another member"),
    "within another": (
        Archive().add("a/version", sound().body).add(
            "a/data.pkl", PICKLE, at=39, local_name=b"a/data.pkl").close(),
        "another member|overlap",
    ),
    "larger than the file": (sound().add("a/x", b"x", length=1 << 30, packed=1 << 30).close(),
                             "overlap"),
    "a little too large": (sound().add("a/x", b"x", length=2, packed=2).close(), "overlap"),
    "of 16 EB": (
        sound().add("a/x", b"x", length=0xFFFFFFFF, packed=0xFFFFFFFF,
                    extra=struct.pack("<2H2Q", 1, 16, 1 << 63, 1 << 63)).close(),
        "overlap",
    ),
    "of a large size that is not there": (
        sound().add("a/x", b"x", length=0xFFFFFFFF, packed=0xFFFFFFFF).close(), "damaged"
    ),
    "behind the end": (sound().add("a/x", b"x", at=1 << 31).close(), "not where its index"),
    "at the index": (sound().add("a/x", b"x", at=BODY + 34).close(), "not where its index"),
    "another name": (sound().add("a/x", b"x", local_name=b"a/y").close(), "another member"),
    "a path upwards": (sound().add("a/../../x", b"x").close(), "odd name"),
    "a path from the root": (sound().add("/etc/passwd", b"x").close(), "odd name"),
    "a path of Windows": (sound().add("a\\x", b"x").close(), "odd name"),
    "a drive": (sound().add("C:/x", b"x").close(), "odd name"),
    "a name with a zero": (sound().add("a/x\0y", b"x").close(), "odd name"),
    "a name with a line": (sound().add("a/x\ny", b"x").close(), "odd name"),
    "a name of no text": (sound().add(b"a/\xff", b"x").close(), "odd name"),
    "an empty name": (sound().add("", b"x").close(), "odd name"),
    "two folders": (sound().add("b/data.pkl", PICKLE).close(), "not all is in one folder"),
    "no folder": (Archive().add("data.pkl", PICKLE).close(), "not all is in one folder"),
    "no pickle": (Archive().add("a/version", b"3").close(), "none of torch's"),
    "a checksum that differs": (
        Archive().add("a/version", b"3").add("a/data.pkl", PICKLE, crc=1).close(), "checksum"
    ),
    "big-endian": (sound().add("a/byteorder", b"big").close(), "big-endian"),
    "more behind its pickle": (
        Archive().add("a/version", b"3").add("a/data.pkl", PICKLE + b"N.").close(), "behind the end"
    ),
    "more members than said": (sound().close(count=1), "damaged"),
    "fewer members than said": (sound().close(count=3), "damaged"),
    "many members": (sound().close(count=0xFFFE), "damaged"),
    "an index elsewhere": (sound().close(start=0), "index is elsewhere"),
    "an index too long": (sound().close(size=1 << 31), "index is elsewhere"),
    "something behind it": (sound().close(tail=b"x"), "behind its end"),
    "two ends": (sound().close(tail=sound().close()), "index is elsewhere"),
    "something before it": (b"PK\x03\x04" + sound().close(), "index is elsewhere"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), LIES.values(), ids=LIES)
def test_archives_that_lie_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    line = refusal(content, tmp_path)
    assert any(part in line for part in said.split("|")), line


def test_a_large_archive(tmp_path: Path) -> None:
    """Sizes and places of 64 bits, as an archive of more than 4 GB has them."""
    archive = Archive().add("a/version", b"3")
    place = struct.pack("<2H3Q", 1, 24, 5, 5, len(archive.body))
    body = len(archive.body)
    archive.add("a/data.pkl", PICKLE, length=0xFFFFFFFF, packed=0xFFFFFFFF, at=0xFFFFFFFF,
                extra=place)  # fmt: skip
    index = b"".join(archive.index)
    at = len(archive.body) + len(index)

    def close(count: int = 2, start: int | None = None, where: int = at) -> bytes:
        first = len(archive.body) if start is None else start
        return (
            archive.body + index + b"PK\x06\x06"
            + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, count, count, len(index), first)
            + b"PK\x06\x07" + struct.pack("<IQI", 0, where, 1)
            + b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        )  # fmt: skip

    path = tmp_path / "f"
    path.write_bytes(close())
    assert read(path).root == 7 and body > 0
    for content in (
        close(count=1), close(count=1 << 40), close(start=0), close(start=1 << 60),
        close(where=0), close(where=1 << 60),
    ):  # fmt: skip
        assert "archive" in refusal(content, tmp_path)


# -- sound files, changed ------------------------------------------------------------------------


def torch_file(**options: bool) -> bytes:
    file = io.BytesIO()
    content = {
        "state": torch.nn.BatchNorm1d(3).state_dict(),
        "view": torch.arange(12.0).reshape(3, 4)[1:, ::2],
        "epoch": 3,
        "names": ("a", {"b"}, None, 2.5),
    }
    torch.save(content, file, **options)
    return file.getvalue()


FILES: dict[str, bytes] = {
    "zip": torch_file(),
    "older": torch_file(_use_new_zipfile_serialization=False),
    **{
        f"plain-{protocol}": pickle.dumps(
            {"w": np.arange(3.0), "s": np.float32(1), "l": [1, (2, "x")], "t": torch.ones(2)},
            protocol,
        )
        for protocol in (2, 4, 5)
    },
    "plain-0": pickle.dumps({"w": np.arange(3.0), "l": [1, (2, "x")], "n": None}, 0),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_ends_early_is_refused_wherever_it_ends(kind: str, tmp_path: Path) -> None:
    content = FILES[kind]
    assert refusal(content, tmp_path) == ""
    for length in range(len(content)):
        assert refusal(content[:length], tmp_path), length


def fuzz(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def changed(draw: st.DrawFn, content: bytes) -> bytes:
    """A sound file of which bytes were flipped, cut out, repeated or put in."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "repeat", "put"]))
        length = draw(st.integers(1, 12))
        if kind == "flip":
            data[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "cut":
            del data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length]
        else:
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


@pytest.mark.parametrize("kind", FILES)
def test_any_change_of_a_sound_file_is_refused_or_inert(kind: str, tmp_path: Path) -> None:
    @fuzz(200)
    @given(changed(FILES[kind]))
    def survives(content: bytes) -> None:
        refusal(content, tmp_path)

    survives()


OPERATIONS = st.one_of(
    st.sampled_from(
        [b"(", b"0", b"1", b"2", b"N", b"]", b"}", b")", b"t", b"l", b"d", b"a", b"e", b"s", b"u",
         b"R", b"b", b"o", b"\x81", b"\x85", b"\x86", b"\x87", b"\x88", b"\x8f", b"\x90", b"\x91",
         b"\x92", b"\x93", b"\x94", b"Q", b"K\x02", b"h\x00", b"h\x01", b"q\x00", b"q\x01",
         b"C\x01b", b"X\x01\x00\x00\x00a", b"ctorch\nSize\n", b"ctorch\nFloatStorage\n",
         b"ctorch\nfloat32\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"cnumpy\nndarray\n",
         b"ctorch._utils\n_rebuild_parameter\n", b"ccollections\nOrderedDict\n",
         b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n",
         b"cnumpy\ndtype\n", b"X\x02\x00\x00\x00f4", b"c__builtin__\nset\n",
         b"c__builtin__\nobject\n", b"ccopy_reg\n_reconstructor\n", b"cmodels\nNet\n",
         b"c_codecs\nencode\n", b"ctorch.storage\n_load_from_bytes\n", b"ctorch\ndevice\n",
         b"cnumpy.core.numeric\n_frombuffer\n", b"J\xff\xff\xff\xff", b"G" + bytes(8),
         b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NK\x02tQ",
         b"itypes\nSimpleNamespace\n"]
    ),
    st.binary(min_size=1, max_size=3),
)  # fmt: skip


@fuzz(500)
@given(st.lists(OPERATIONS, max_size=25))
def test_any_row_of_operations_is_refused_or_inert(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bytes]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for head, tail in ((b"\x80\x04", b"."), (b"\x80\x04(", b"t."), (b"\x80\x04}(", b"u.")):
        refusal(head + b"".join(rows) + tail, folder)
    inner = Archive().add("a/version", b"3").add("a/data/0", struct.pack("<2f", 1, 2))
    refusal(inner.add("a/data.pkl", b"\x80\x04(" + b"".join(rows) + b"t.").close(), folder)
