"""Another program's file -> an inert tree. What it is shows in its bytes, not in its name."""

from __future__ import annotations

import hashlib
import math
import os
import re
from pathlib import Path
from typing import Any, Literal

from ganzoo import weights
from ganzoo.errors import CheckpointError, GanzooError, InputError, NotFoundError
from ganzoo.importing import archives, torchfiles
from ganzoo.importing.limits import LARGEST_FILE, Budget, Unreadable
from ganzoo.importing.opcodes import Source, is_operation
from ganzoo.importing.pickles import Machine, check_tree
from ganzoo.importing.storages import DTYPES, Block, Storage, tensor
from ganzoo.importing.tree import Checkpoint

Container = Literal["pickle", "torch-legacy", "torch-zip", "safetensors"]

_OTHERS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes them",
    b"\x93NUMPY": "a NumPy array, no checkpoint",
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"BZh": "compressed by bzip2: unpack it first",
    b"\xfd7zXZ\x00": "compressed by xz: unpack it first",
    b"7z\xbc\xaf\x27\x1c": "an archive of 7-Zip: unpack it first",
    b"version https://git-lfs": "a pointer of Git LFS, not the file: fetch it with git lfs pull",
    b"\x89PNG": "an image",
    b"PK\x05\x06": "an empty zip archive",
}
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")
_ZIP = b"PK\x03\x04"
_START, _END = 512, 22


def read(path: str | Path) -> Checkpoint:
    """Read a pickle, a file of `torch.save` or a safetensors file, without running anything.

    Nothing that the file names is imported or called, whatever it says; time and memory are bounded
    by its size.

    Raises:
        NotFoundError: there is no such file.
        CheckpointError: one line: it is damaged, no checkpoint, or tries something.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder", "give the checkpoint file in it")
    if not path.is_file():
        if path.exists():
            raise InputError(f"{path} is a pipe or a device", "give a file on a disk")
        raise NotFoundError(f"there is no file {path}", "check the path")
    try:
        data = _content(path)
        digest = hashlib.sha256(data).hexdigest()
        container, root = _tree(data, path)
        check_tree(root)
    except MemoryError as error:
        raise CheckpointError(
            f"{path} cannot be imported: it takes more memory than there is",
            "import it on a larger machine",
        ) from error
    except Unreadable as error:
        remedy = error.remedy or "get the file afresh, or from its author as safetensors"
        raise CheckpointError(f"{path} cannot be imported: {error.problem}", remedy) from error
    return Checkpoint(path.name, len(data), digest, container, root)


def _content(path: Path) -> bytearray:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise Unreadable(
                f"it has {size:,} bytes, more than {LARGEST_FILE:,}", "is it the right file?"
            )
        start = file.read(_START)
        file.seek(max(0, size - _END))
        _check_ends(start, file.read(_END))  # before gigabytes of anything are read
        file.seek(0)
        data = bytearray(size)
        filled = file.readinto(data)
        if filled != size or file.read(1):
            raise Unreadable("it changed while it was read", "try again")
    return data


def _check_ends(start: bytes, end: bytes) -> None:
    """Refuse what shows in a file's first and last bytes."""
    if not start:
        raise Unreadable("it is empty")
    for first, what in _OTHERS.items():
        if start.startswith(first):
            raise Unreadable(f"it is {what}", "give a checkpoint of torch's, or a pickle")
    if start.lstrip().lower().startswith(_PAGES):
        raise Unreadable("it is a web page: the download failed", "get the file afresh")
    if start[257:262] == b"ustar":
        raise Unreadable("it is a tar archive", "unpack it, and give the checkpoint in it")
    if len(start) > 8 and not start.strip(b"\0"):
        raise Unreadable("it starts with zeros only: it was never filled", "get the file afresh")
    if start.startswith(_ZIP):
        archives.check_end(end)
    elif start[8:9] != b"{" and not is_operation(start[2:3] if start[:1] == b"\x80" else start[:1]):
        raise Unreadable("it is no pickle, or damaged")


def _tree(data: bytearray, path: Path) -> tuple[Container, Any]:
    budget = Budget(len(data))
    if data.startswith(_ZIP):
        return "torch-zip", torchfiles.read_zip(data, budget)
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return "safetensors", _safetensors(data, path, budget)
    source = Source(data)
    root = Machine(budget).run(source)
    if type(root) is int and root == torchfiles.MAGIC:
        return "torch-legacy", torchfiles.read_legacy_rest(source, budget)
    if source.left:
        raise Unreadable("something stands behind the end of its pickle")
    return "pickle", root


def _safetensors(data: bytearray, path: Path, budget: Budget) -> dict[str, Any]:
    try:
        header = weights.read_header(path, largest=weights.LARGEST_STATE_HEADER)
    except GanzooError as error:
        raise Unreadable(error.problem, "get the file afresh") from error
    block = Block(len(data), memoryview(data))
    out = {}
    for name in sorted(header, key=_natural):  # the format has them by type and name
        kind, shape, start = header[name]
        dtype = DTYPES[kind]
        storage = Storage(block, dtype, start, math.prod(shape) * dtype.itemsize)
        if storage.start + storage.size > len(data):  # the header was read from the disk again
            raise Unreadable("it changed while it was read", "try again")
        stride = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
        out[name] = tensor(storage, 0, shape, stride, budget)
    return out


def _natural(name: str) -> list[tuple[int, str]]:
    """For sorting: "main.10" is behind "main.2"."""
    return [
        (len(part.lstrip("0")), part) if part.isdecimal() else (0, part)
        for part in re.split(r"(\d+)", name)
    ]
