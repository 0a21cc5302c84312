"""Files that try something: nothing in them runs, and each is refused in one line, or is inert.

Pickles are written here byte for byte. The payload of those that call something makes a file, so
that it would show; a control proves that the same bytes do make it in Python's own unpickler.
"""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
from collections.abc import Callable

import pytest

from ganzoo.errors import CheckpointError
from ganzoo.importing.reading import read
from ganzoo.importing.tree import Record, nodes, records, tensors
from tests.importing.handwritten import (
    STOP,
    Trap,
    integer,
    named,
    stacked,
    text,
)

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
    subprocess.run(
        [sys.executable, "-c", code, path], check=False, capture_output=True, timeout=300
    )
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
