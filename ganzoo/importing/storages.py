"""Storages of a torch file, and the tensors that lie in them: checked, then copied out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganzoo.importing.limits import Budget, Unreadable

_STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}  # fmt: skip
STORAGES: dict[tuple[str, str], torch.dtype] = {
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    **{("torch.cuda", name): dtype for name, dtype in _STORAGES.items()},
    ("torch.storage", "UntypedStorage"): torch.uint8,
    ("torch", "UntypedStorage"): torch.uint8,
}  # fmt: skip
"""Class of a storage, as a file spells it -> the type of its values."""

DTYPES: dict[str, torch.dtype] = {
    name: dtype
    for name in (
        "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
        "bool", "complex64", "complex128", "uint16", "uint32", "uint64", "float8_e4m3fn",
        "float8_e5m2",
    )
    if (dtype := getattr(torch, name, None)) is not None
}  # fmt: skip
_MOST_DIMENSIONS, _LARGEST = 32, 1 << 48


@dataclass(eq=False)
class Block:
    """Bytes that storages share. In torch's older files they come after what points into them:
    `waiting` are the tensors to fill then."""

    size: int
    data: memoryview | None = None
    waiting: list[Callable[[memoryview], None]] = field(default_factory=list)

    def when_read(self, fill: Callable[[memoryview], None]) -> None:
        if self.data is None:
            self.waiting.append(fill)
        else:
            fill(self.data)

    def arrives(self, data: memoryview) -> None:
        self.data = data
        for fill in self.waiting:
            fill(data)
        self.waiting.clear()


@dataclass(frozen=True, eq=False)
class Storage:
    """`size` bytes of a block, from byte `start`, as values of a type."""

    block: Block
    dtype: torch.dtype
    start: int
    size: int


def tensor(
    storage: Any, offset: Any, size: Any, stride: Any, budget: Budget, dtype: Any = None
) -> Tensor:
    """The tensor that lies in a storage as told, with memory of its own.

    Nothing is taken on trust: it must lie within the storage, and have no more values than that.
    """
    if type(storage) is not Storage or type(size) is not tuple or type(stride) is not tuple:
        raise Unreadable("a tensor in it is none")
    dtype = storage.dtype if dtype is None else dtype
    if len(size) != len(stride) or len(size) > _MOST_DIMENSIONS:
        raise Unreadable("a tensor in it has an odd shape")
    if any(type(n) is not int or not 0 <= n < _LARGEST for n in (offset, *size, *stride)):
        raise Unreadable("a tensor in it has an odd shape")
    numel = math.prod(size)
    if math.prod(n or 1 for n in size) >= 1 << 60:  # of an empty one, torch multiplies these too
        raise Unreadable("a tensor in it has an odd shape")
    if numel > 0 and any(n > 1 and step == 0 for n, step in zip(size, stride)):
        raise Unreadable("a tensor in it repeats its values")
    span = sum((n - 1) * step for n, step in zip(size, stride)) + 1 if numel else 0
    if max(offset + span, numel) * dtype.itemsize > storage.size:
        raise Unreadable("a tensor in it reaches beyond its storage")
    budget.allocate(max(span, numel) * dtype.itemsize)  # values that overlap are copied apart
    first = storage.start + offset * dtype.itemsize
    out = torch.empty(0, dtype=dtype)

    def fill(data: memoryview) -> None:
        if not numel:
            out.data = torch.empty(size, dtype=dtype)
            return
        raw = bytearray(data[first : first + span * dtype.itemsize])
        if dtype == torch.bool:  # a byte may be neither 0 nor 1
            values = torch.frombuffer(raw, dtype=torch.uint8) != 0
        else:
            values = torch.frombuffer(raw, dtype=dtype)
        out.data = values.as_strided(size, stride).contiguous()

    storage.block.when_read(fill)
    return out
