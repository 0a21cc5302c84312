"""Pickles and files of torch's, written byte for byte, and a trap that shows whether one runs."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from ganzoo.importing.torchfiles import MAGIC

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


def legacy(root: bytes, keys: bytes = b"]", values: bytes = b"", magic: bytes = b"") -> bytes:
    """A file of torch's older format, by hand."""
    head = magic or pickle.dumps(MAGIC, 2)
    system = pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)
    return (
        head + pickle.dumps(1001, 2) + system + b"\x80\x02" + root + STOP + b"\x80\x02" + keys
        + STOP + values
    )  # fmt: skip


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
