"""Tensors that are not where they say, storages that are not as they say, files within files."""

from __future__ import annotations

import pickle
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ganzoo.errors import CheckpointError
from ganzoo.importing.reading import read
from tests.importing.handwritten import (
    STOP,
    Trap,
    integer,
    legacy,
    named,
    storage_file,
    text,
    view,
)


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


def test_values_that_overlap_are_counted_as_often_as_they_are_copied(trap: Trap) -> None:
    one = view(0, (64, 64), (1, 1))  # of 127 values

    def many(push: bytes) -> bytes:
        return b"(" + b"".join(one(push) for _ in range(200)) + b"l"

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


def test_storages_with_long_names_are_refused_at_once(trap: Trap) -> None:
    """Equal texts that are not the same would be compared byte by byte, again and again."""
    name = text("k" * (1 << 22))
    keys = name + b"q\x000" + name + b"q\x010(" + b"h\x00h\x01" * 50_000 + b"l"
    start = time.process_time()
    with pytest.raises(CheckpointError, match="list of storages"):
        read(trap.set(legacy(b"N", keys)))
    assert time.process_time() - start < 5


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
