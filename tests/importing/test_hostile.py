"""Files that try something: nothing in them runs, and each is refused in one line, or is inert.

Pickles are written here byte for byte. The payload of those that call something makes a file, so
that it would show; a control proves that the same bytes do make it in Python's own unpickler.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import resource
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ganzoo.errors import CheckpointError
from ganzoo.importing.reading import read
from ganzoo.importing.tree import Record, nodes, records, tensors

STOP = b"."


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def integer(value: int) -> bytes:
    raw = value.to_bytes(max(1, value.bit_length() // 8 + 1), "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def stacked(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


class Trap:
    """A payload that makes a file, and whether it did."""

    def __init__(self, folder: Path) -> None:
        self.marker = folder / "it-ran"
        self.command = f"{sys.executable} -c \"open('{self.marker}', 'w')\""
        self.source = f"open({str(self.marker)!r}, 'w')"
        self.file = folder / "trap.pkl"

    def set(self, content: bytes) -> Path:
        self.file.write_bytes(content)
        return self.file

    @property
    def sprung(self) -> bool:
        return self.marker.exists()


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)


CALLS: dict[str, Callable[[Trap], bytes]] = {
    "REDUCE of a GLOBAL": lambda t: named("os", "system") + text(t.command) + b"\x85R",
    "REDUCE of posix": lambda t: named("posix", "system") + text(t.command) + b"\x85R",
    "REDUCE of eval": lambda t: named("builtins", "eval") + text(t.source) + b"\x85R",
    "REDUCE of exec": lambda t: named("builtins", "exec") + text(t.source) + b"\x85R",
    "Python 2's spelling": lambda t: named("__builtin__", "eval") + text(t.source) + b"\x85R",
    "STACK_GLOBAL": lambda t: stacked("os", "system") + text(t.command) + b"\x85R",
    "a dotted name": lambda t: stacked("torch", "os.system") + text(t.command) + b"\x85R",
    "a dotted name in an allowed module": lambda t: (
        stacked("collections", "_sys.modules.__class__") + b")R"
    ),
    "INST": lambda t: b"(" + text(t.command) + b"ios\nsystem\n",
    "OBJ": lambda t: b"(" + named("os", "system") + text(t.command) + b"o",
    "NEWOBJ": lambda t: named("subprocess", "Popen") + text(t.command) + b"\x85\x81",
    "NEWOBJ_EX": lambda t: (
        named("subprocess", "Popen") + text(t.command) + b"\x85}" + text("shell") + b"\x88s\x92"
    ),
    "in a state": lambda t: (
        named("models", "Net")
        + b")\x81}"
        + text("x")
        + named("os", "system")
        + text(t.command)
        + b"\x85Rsb"
    ),
    "discarded by POP": lambda t: named("os", "system") + text(t.command) + b"\x85R0N",
    "by way of getattr": lambda t: (
        named("builtins", "getattr") + named("os", "path") + text("os") + b"\x86R"
    ),
    "a name that is only named": lambda t: named("os", "system"),
    "runpy": lambda t: named("runpy", "run_path") + text("x.py") + b"\x85R",
    "importlib": lambda t: named("importlib", "import_module") + text("antigravity") + b"\x85R",
    "pickle in pickle": lambda t: named("pickle", "loads") + b"C\x02N." + b"\x85R",
    "ctypes": lambda t: named("ctypes", "CDLL") + text("libc.so.6") + b"\x85R",
    "a web browser": lambda t: named("webbrowser", "open") + text("http://[::1]/") + b"\x85R",
    "operator": lambda t: named("operator", "attrgetter") + text("system") + b"\x85R",
    "types.FunctionType": lambda t: named("types", "FunctionType") + b")R",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_calls_are_refused_and_named(call: Callable[[Trap], bytes], trap: Trap) -> None:
    for head in (b"", b"\x80\x02", b"\x80\x05"):
        path = trap.set(head + call(trap) + STOP)
        with pytest.raises(CheckpointError, match=r"tries to call|no plain name") as caught:
            read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not trap.sprung


@pytest.mark.parametrize(
    "name",
    ["REDUCE of a GLOBAL", "REDUCE of eval", "STACK_GLOBAL", "INST", "OBJ", "discarded by POP"],
)
def test_the_same_bytes_run_in_pythons_unpickler(name: str, trap: Trap) -> None:
    """The control: without it, a trap that never springs would prove nothing."""
    path = trap.set(b"\x80\x04" + CALLS[name](trap) + STOP)
    code = "import pickle, sys; p = pickle.load(open(sys.argv[1], 'rb')); getattr(p, 'wait', int)()"
    subprocess.run([sys.executable, "-c", code, path], check=False, capture_output=True, timeout=60)
    assert trap.sprung


def test_the_command_line_refuses_in_one_line(trap: Trap) -> None:
    from click.testing import CliRunner

    from ganzoo.cli import main

    path = trap.set(CALLS["REDUCE of a GLOBAL"](trap) + STOP)
    result = CliRunner().invoke(main, ["import", str(path), "-o", str(path.parent / "m")])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "tries to call os.system" in line and "nothing was run" in line
    assert list(path.parent.iterdir()) == [path]


# -- what is inert -------------------------------------------------------------------------------


def test_code_in_a_state_stays_text(trap: Trap) -> None:
    meta = {
        "type": "class", "version": 6, "class_name": "Generator", "module_src": trap.source,
        "state": {"_init_args": (), "_init_kwargs": {"z_dim": 4}},
    }  # fmt: skip
    body = pickle.dumps(meta, 2)[2:-1]
    call = named("torch_utils.persistence", "_reconstruct_persistent_obj") + body + b"\x85R"
    root = read(trap.set(b"\x80\x02" + call + STOP)).root
    assert isinstance(root, Record)
    assert (root.module, root.name) == (
        "torch_utils.persistence", "_reconstruct_persistent_obj",
    )  # fmt: skip
    assert root.args == (meta,) and not trap.sprung
    assert not callable(root)


def test_a_class_of_any_program_is_a_record(trap: Trap) -> None:
    call = (
        named("argparse", "Namespace") + b")\x81}" + text("lr") + b"G" + struct.pack(">d", 0.5)
        + b"sb"
    )  # fmt: skip
    root = read(trap.set(b"\x80\x02" + call + STOP)).root
    assert root.get("lr") == 0.5 and root.get("none", 3) == 3
    assert "models" not in sys.modules
    assert read(trap.set(named("models.nowhere", "Net") + b")R" + STOP)).root.name == "Net"
    assert "models.nowhere" not in sys.modules


def test_a_state_may_hold_itself(trap: Trap) -> None:
    content = b"\x80\x02" + named("m", "Net") + b")\x81q\x00}q\x01" + text("me") + b"h\x00s"
    root = read(trap.set(content + text("all") + b"h\x01sb" + STOP)).root
    assert root.state["me"] is root and root.state["all"] is root.state
    assert [path for path, _ in records(root)] == [""]
    assert len(list(nodes(root))) == 2
    loop = read(trap.set(b"\x80\x02]q\x00h\x00a" + STOP)).root
    assert loop[0] is loop and list(tensors(loop)) == []


ODD: dict[str, bytes] = {
    "BUILD on an allowed function": (
        named("torch._utils", "_rebuild_tensor_v2") + b"}" + text("__defaults__") + b"Nsb"
    ),
    "BUILD on a list": b"]}b",
    "BUILD on a text": text("x") + b"}b",
    "a call of a record": named("m", "f") + b")R)R",
    "a call of a text": text("os.system") + b")R",
    "a call of an integer": b"K\x01)R",
    "arguments that are a list": named("m", "f") + b"]R",
    "names that are a list": named("m", "f") + b")]\x92",
    "names that are numbers": named("m", "f") + b")}K\x01K\x01s\x92",
    "extension code 1": b"\x82\x01",
    "extension code 2": b"\x83\x01\x00",
    "extension code 4": b"\x84\x01\x00\x00\x00",
    "a buffer from outside": b"\x97",
    "a read-only buffer": b"\x97\x98",
    "an identifier of a file": b"P/etc/passwd\n",
    "an identifier on the stack": text("storage") + b"Q",
    "no such operation": b"\xff",
    "nothing on the stack": b"R",
    "a memo that is empty": b"h\x00",
    "a mark that is missing": b"t",
    "a mark that stays": b"(N",
    "two values": b"NN",
    "no value": b"",
    "an odd number of items": b"}(Nu",
    "items for a number": b"K\x01(NNu",
    "an unhashable key": b"}]Ns",
    "a key that nests tuples": b"}" + b")" + b"\x85" * 3 + b"Ns",
    "a key of a huge number": b"}" + integer(1 << 80) + b"Ns",
    "a name that is no text": b"NN\x93",
    "a name with a space": b"cos path\nx\n",
    "a name with a line": text("os\nsystem") + text("x") + b"\x93",
    "a mapping of a number": named("collections", "OrderedDict") + b"K\x01\x85R",
    "a storage of no tensor": named("torch.storage", "_load_from_bytes") + b"C\x01N\x85R",
    "an array of nothing": (
        named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"K\x00\x85"
        + b"C\x01b\x87R"
    ),
    "an array of a class": (
        named("numpy.core.multiarray", "_reconstruct") + named("os2", "system") + b"K\x00\x85"
        + b"C\x01b\x87R"
    ),
    "a text without quotes": b"Sabc\n",
    "a number that is none": b"Iabc\n",
    "a float that is none": b"Fabc\n",
    "a text that is no UTF-8": b"X\x01\x00\x00\x00\xff",
}  # fmt: skip


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_odd_pickles_are_refused(content: bytes, trap: Trap) -> None:
    with pytest.raises(CheckpointError, match="cannot be imported") as caught:
        read(trap.set(b"\x80\x04" + content + STOP))
    assert "\n" not in str(caught.value)


# -- bombs ---------------------------------------------------------------------------------------


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
    "three million marks": b"(" * 3_000_000 + b"N",
    "copies of a list": set_of_a_list(100_000),
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


def test_a_memo_of_a_large_index_takes_no_memory(trap: Trap) -> None:
    content = b"\x80\x02Nr\xff\xff\xff\xff" + b"0j\xff\xff\xff\xff" + STOP
    tracemalloc.start()
    assert read(trap.set(content)).root is None
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


# -- tensors that are not where they say ---------------------------------------------------------


def storage_file(call: Callable[[bytes], bytes], numel: int = 4, said: int | None = None) -> bytes:
    """A zip of torch's: `call` makes the pickle, of the bytes that push a storage of floats."""
    said = numel if said is None else said
    push = (
        b"(" + text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu")
        + integer(said) + b"tQ"
    )  # fmt: skip
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + call(push) + STOP)
        archive.writestr("a/data/0", struct.pack(f"<{numel}f", *range(numel)))
        archive.writestr("a/version", "3\n")
    return file.getvalue()


def view(offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Callable[[bytes], bytes]:
    def shape(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(integer, values)) + b"t"

    return lambda push: (
        named("torch._utils", "_rebuild_tensor_v2") + b"(" + push + integer(offset) + shape(size)
        + shape(stride) + b"\x89Nt" + b"R"
    )  # fmt: skip


def test_a_sound_tensor_of_the_same_making_is_read(trap: Trap) -> None:
    root = read(trap.set(storage_file(view(1, (3,), (1,))))).root
    assert torch.equal(root, torch.tensor([1.0, 2.0, 3.0]))
    root = read(trap.set(storage_file(view(0, (2, 2), (1, 2))))).root
    assert torch.equal(root, torch.tensor([[0.0, 2.0], [1.0, 3.0]]))
    assert read(trap.set(storage_file(view(4, (0, 7), (7, 1))))).root.shape == (0, 7)


GEOMETRY = {
    "an offset beyond": (4, (1,), (1,)),
    "an offset far beyond": (1 << 40, (1,), (1,)),
    "an offset that overflows": ((1 << 62) - 1, (4,), (1,)),
    "a negative offset": (-1, (1,), (1,)),
    "a size beyond": (0, (5,), (1,)),
    "a size that overflows": (0, (1 << 33, 1 << 33), (1, 1)),
    "a negative size": (0, (-1,), (1,)),
    "a stride beyond": (0, (2,), (4,)),
    "a negative stride": (3, (2,), (-1,)),
    "a stride of 0": (0, (1 << 40,), (0,)),
    "values that overlap": (0, (3, 3), (1, 1)),
    "fewer strides": (0, (2, 2), (1,)),
    "a thousand dimensions": (0, (1,) * 1000, (1,) * 1000),
    "an empty one of a huge size": (0, (0, 1 << 62), (1, 1)),
}


@pytest.mark.parametrize("place", GEOMETRY.values(), ids=GEOMETRY)
def test_tensors_outside_of_their_storage_are_refused(place: Any, trap: Trap) -> None:
    with pytest.raises(CheckpointError, match=r"a tensor in it (reaches|repeats|has an odd)"):
        read(trap.set(storage_file(view(*place))))


def test_many_views_of_one_storage_are_bounded(trap: Trap) -> None:
    """Each has memory of its own: together they may not have many times the file's."""
    one = view(0, (4096,), (1,))

    def many(push: bytes) -> bytes:
        return b"(" + b"".join(one(push) for _ in range(2000)) + b"l"

    with pytest.raises(CheckpointError, match="several times the memory"):
        read(trap.set(storage_file(many, numel=4096)))


@pytest.mark.parametrize("said", [3, 5, 1 << 40, -1, 0])
def test_a_storage_that_lies_about_its_size_is_refused(said: int, trap: Trap) -> None:
    with pytest.raises(CheckpointError, match=r"another size|odd size"):
        read(trap.set(storage_file(view(0, (1,), (1,)), said=said)))


def identifier(*values: bytes) -> Callable[[bytes], bytes]:
    return lambda push: b"(" + b"".join(values) + b"tQ"


FLOATS = named("torch", "FloatStorage")
IDENTIFIERS = {
    "a path": identifier(text("storage"), FLOATS, text("../version"), text("cpu"), integer(4)),
    "no such key": identifier(text("storage"), FLOATS, text("7"), text("cpu"), integer(4)),
    "no storage": identifier(text("file"), FLOATS, text("0"), text("cpu"), integer(4)),
    "a key that is a number": identifier(text("storage"), FLOATS, b"K\x00", text("cpu"), b"K\x04"),
    "a class that is a text": identifier(text("storage"), text("x"), text("0"), b"N", b"K\x04"),
    "another class": identifier(text("storage"), named("m", "f"), text("0"), b"N", b"K\x04"),
    "a quantised one": identifier(
        text("storage"), named("torch", "QInt8Storage"), text("0"), b"N", b"K\x04"
    ),
    "too short": identifier(text("storage"), FLOATS),
    "no tuple": lambda push: text("storage") + b"Q",
    "a boolean size": identifier(text("storage"), FLOATS, text("0"), text("cpu"), b"\x88"),
    "a storage alone": lambda push: push,
}


@pytest.mark.parametrize("pickled", IDENTIFIERS.values(), ids=IDENTIFIERS)
def test_odd_identifiers_are_refused(pickled: Callable[[bytes], bytes], trap: Trap) -> None:
    with pytest.raises(CheckpointError, match="cannot be imported"):
        read(trap.set(storage_file(pickled)))


# -- files within files --------------------------------------------------------------------------


def within(data: bytes) -> bytes:
    body = b"B" + struct.pack("<I", len(data)) + data
    return named("torch.storage", "_load_from_bytes") + body + b"\x85R"


def legacy(root: bytes, keys: bytes = b"]", values: bytes = b"", magic: bytes = b"") -> bytes:
    """A file of torch's older format, by hand."""
    from ganzoo.importing.torchfiles import MAGIC

    head = magic or pickle.dumps(MAGIC, 2)
    system = pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)
    return (
        head + pickle.dumps(1001, 2) + system + b"\x80\x02" + root + STOP + b"\x80\x02" + keys
        + STOP + values
    )  # fmt: skip


def test_a_payload_within_bytes_is_refused(trap: Trap) -> None:
    payload = named("os", "system") + text(trap.command) + b"\x85R"
    for inner in (
        b"\x80\x02" + payload + STOP,
        legacy(payload),
        legacy(b"N", magic=b"\x80\x02" + payload + STOP),
        legacy(within(legacy(payload))),
    ):
        with pytest.raises(CheckpointError, match=r"tries to call os\.system"):
            read(trap.set(b"\x80\x02" + within(inner) + STOP))
        with pytest.raises(CheckpointError, match=r"tries to call os\.system"):
            read(trap.set(legacy(within(inner))))
    assert not trap.sprung


def test_nesting_of_files_is_bounded(trap: Trap) -> None:
    inner = legacy(b"N")
    for _ in range(6):
        inner = legacy(within(inner))
    with pytest.raises(CheckpointError, match="files within files"):
        read(trap.set(inner))


def test_older_files_that_lie_are_refused(trap: Trap) -> None:
    push = (
        b"(" + text("storage") + FLOATS + text("a") + text("cuda:0") + integer(2) + b"NtQ"
    )  # fmt: skip
    root = view(0, (2,), (1,))(push)
    keys = b"]" + text("a") + b"a"
    values = struct.pack("<q2f", 2, 1.0, 2.0)
    assert torch.equal(read(trap.set(legacy(root, keys, values))).root, torch.tensor([1.0, 2.0]))
    big_endian = pickle.dumps({"protocol_version": 1001, "little_endian": False}, 2)
    for content, said in (
        (legacy(root, keys, struct.pack("<q2f", 3, 1.0, 2.0)), "another size"),
        (legacy(root, keys, struct.pack("<q2f", -1, 1.0, 2.0)), "another size"),
        (legacy(root, keys, values[:-1]), "ends too early"),
        (legacy(root, keys, values + b"x"), "behind its end"),
        (legacy(root, b"]", b""), "list of storages"),
        (legacy(root, keys[:-1] + b"a" + text("b") + b"a", values), "list of storages"),
        (legacy(root, b"]" + (text("a") + b"a") * 2, values * 2), "list of storages"),
        (legacy(root, b"N", values), "list of storages"),
        (legacy(view(0, (2,), (1,))(push.replace(integer(2), integer(1 << 40))), keys), "larger"),
        (legacy(b"N").replace(pickle.dumps(1001, 2), pickle.dumps(1002, 2)), "not known"),
        (
            pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + big_endian + b"N.].",
            "big-endian",
        ),
    ):
        with pytest.raises(CheckpointError, match=said):
            read(trap.set(content))
