"""The two containers of `torch.save`: a zip archive, and (before torch 1.6) a row of pickles."""

from __future__ import annotations

import re
from typing import Any

from ganzoo.importing import archives
from ganzoo.importing.limits import Budget, Unreadable
from ganzoo.importing.opcodes import Source
from ganzoo.importing.pickles import Machine
from ganzoo.importing.storages import STORAGES, Block, Storage
from ganzoo.importing.tree import Reference

MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of a file of the older format."""
_PROTOCOL = 1001
_KEY = re.compile(r"\w{1,64}", re.ASCII)
_LARGEST = 1 << 48


def read_zip(data: bytearray, budget: Budget) -> Any:
    """The tree of an archive: `data.pkl`, and a member of values for each storage."""
    found = archives.members(data)
    if "constants.pkl" in found or any(name.startswith("code/") for name in found):
        raise Unreadable("it is a TorchScript program", "give the checkpoint it was made from")
    if "data.pkl" not in found or "version" not in found:
        raise Unreadable("it is a zip archive, but none of torch's")
    if "byteorder" in found and bytes(archives.content(data, found["byteorder"])) != b"little":
        raise Unreadable("it was written on a big-endian machine", "save it on another one")
    blocks: dict[str, Block] = {}

    def persistent(identifier: Any) -> Storage:
        dtype, key, numel, _ = _storage(identifier)
        member = found.get(f"data/{key}")
        if member is None:
            raise Unreadable(f"it lacks the storage {key!r}")
        if key not in blocks:
            values = archives.content(data, member)
            blocks[key] = Block(len(values), values)
        if numel * dtype.itemsize != blocks[key].size:
            raise Unreadable(f"the storage {key!r} has another size than the file says")
        return Storage(blocks[key], dtype, 0, blocks[key].size)

    archives.content(data, found["data.pkl"])  # its checksum
    source = Source(data, found["data.pkl"].start, found["data.pkl"].end)
    root = Machine(budget, persistent).run(source)
    if source.left:
        raise Unreadable("something stands behind the end of its pickle")
    return root


def read_legacy(source: Source, budget: Budget) -> Any:
    """The tree of a file of the older format, whose values follow its pickles."""
    magic = Machine(budget).run(source)
    if type(magic) is not int or magic != MAGIC:
        raise Unreadable("it is no file of torch's")
    return read_legacy_rest(source, budget)


def read_legacy_rest(source: Source, budget: Budget) -> Any:
    """The same, behind its first pickle."""
    version = Machine(budget).run(source)
    if type(version) is not int or version != _PROTOCOL:
        raise Unreadable("it is of a version of torch's format that is not known")
    system = Machine(budget).run(source)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise Unreadable("it was written on a big-endian machine", "save it on another one")
    blocks: dict[str, tuple[Block, int]] = {}  # and the bytes of one value
    declared = 0

    def persistent(identifier: Any) -> Any:
        nonlocal declared
        if type(identifier) is tuple and identifier[:1] == ("module",) and len(identifier) > 1:
            if type(identifier[1]) is not Reference:  # the source text of the class follows
                raise Unreadable("it points to values in an odd way")
            return identifier[1]
        dtype, key, numel, view = _storage(identifier)
        size = numel * dtype.itemsize
        if key not in blocks:
            declared += size
            if declared > source.end:
                raise Unreadable(f"the storage {key!r} is larger than the file")
            blocks[key] = Block(size), dtype.itemsize
        block, itemsize = blocks[key]
        if (size, dtype.itemsize) != (block.size, itemsize):
            raise Unreadable(f"the storage {key!r} has two sizes")
        if view is None:
            return Storage(block, dtype, 0, size)
        _, offset, length = view
        if (offset + length) * itemsize > size:
            raise Unreadable("a storage in it reaches beyond another one")
        return Storage(block, dtype, offset * itemsize, length * itemsize)

    root = Machine(budget, persistent).run(source)
    keys = Machine(budget).run(source)
    if (
        type(keys) is not list
        or len(keys) != len(blocks)
        # before they are compared with each other: texts can be as long as the file
        or any(type(key) is not str or key not in blocks for key in keys)
        or len(set(keys)) != len(keys)
    ):
        raise Unreadable("its list of storages is not that of its tensors")
    for key in keys:
        block, itemsize = blocks[key]
        if source.number("<q") * itemsize != block.size:
            raise Unreadable(f"the storage {key!r} has another size than the file says")
        if block.size > source.left:
            raise Unreadable("it ends too early")
        block.arrives(memoryview(source.buffer)[source.at : source.at + block.size])
        source.at += block.size
    if source.left:
        raise Unreadable("something stands behind its end")
    return root


def _storage(identifier: Any) -> tuple[Any, str, int, tuple[Any, int, int] | None]:
    """(type, key, number of values, view) of a storage's identifier. Where it was (a GPU) is left
    out: it is read to the CPU."""
    if type(identifier) is not tuple or len(identifier) not in (5, 6):
        raise Unreadable("it points to values in an odd way")
    kind, cls, key, _, numel, *views = identifier
    if kind != "storage" or type(cls) is not Reference:
        raise Unreadable("it points to values in an odd way")
    if type(key) is not str or not _KEY.fullmatch(key):
        raise Unreadable("it points to values in an odd way")
    dtype = STORAGES.get((cls.module, cls.name))
    if dtype is None:
        raise Unreadable(f"its values are of the type {cls.module}.{cls.name}, which is not read")
    if type(numel) is not int or not 0 <= numel < _LARGEST:
        raise Unreadable(f"the storage {key!r} has an odd size")
    view = views[0] if views else None
    if view is not None and (
        type(view) is not tuple
        or len(view) != 3
        or any(type(n) is not int or not 0 <= n < _LARGEST for n in view[1:])
    ):
        raise Unreadable("it points to values in an odd way")
    return dtype, key, numel, view
