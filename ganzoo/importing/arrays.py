"""NumPy arrays and scalars of a pickle, from their bytes; only numbers are read."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganzoo.importing.limits import Budget, Unreadable
from ganzoo.importing.tree import Record

_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]|c8|c16")


def fill(array: Tensor, state: Any, budget: Budget) -> None:
    """Give the empty `array` the values of the state that NumPy pickles of an array."""
    if type(state) is not tuple or len(state) != 5:
        raise Unreadable("an array in it has no values")
    _, shape, dtype, fortran, data = state
    array.data = values(data, dtype, shape, "F" if fortran else "C", budget)


def values(data: Any, dtype: Any, shape: Any, order: Any, budget: Budget) -> Tensor:
    """The array of the bytes `data`, in rows ("C") or columns ("F")."""
    if type(data) is str:  # of Python 2, whose text was bytes
        data = data.encode("latin-1")
    kind = _dtype(dtype)
    if (
        type(data) is not bytes
        or type(shape) is not tuple
        or len(shape) > 32
        or any(type(n) is not int or not 0 <= n < 1 << 48 for n in shape)
        or math.prod(shape) * kind.itemsize != len(data)
    ):
        raise Unreadable("an array in it has other values than its shape says")
    budget.allocate(len(data))
    if kind.kind == "b":
        flat = np.frombuffer(data, dtype=np.uint8) != 0
    else:
        flat = np.frombuffer(data, dtype=kind).astype(kind.newbyteorder("="))  # a copy
    return torch.from_numpy(np.ascontiguousarray(flat.reshape(shape, order=order)).reshape(shape))


def scalar(dtype: Any, data: Any, budget: Budget) -> Any:
    """A NumPy scalar as a number of Python's, or a text."""
    if type(data) is str:
        data = data.encode("latin-1")
    if type(data) is not bytes:
        raise Unreadable("a number in it has no value")
    budget.allocate(len(data))
    text = _dtype_code(dtype)
    if re.fullmatch(r"[SU]\d{1,6}", text):
        return data.rstrip(b"\0") if text[0] == "S" else data.decode("utf-32-le").rstrip("\0")
    kind = _dtype(dtype)
    if len(data) != kind.itemsize:
        raise Unreadable("a number in it has another size than its type")
    return np.frombuffer(data, dtype=kind)[0].item() if kind.kind != "b" else data != b"\0"


def _dtype_code(dtype: Any) -> str:
    if (
        type(dtype) is not Record
        or (dtype.module, dtype.name) != ("numpy", "dtype")
        or not dtype.args
        or type(dtype.args[0]) is not str
    ):
        raise Unreadable("an array in it has no type of NumPy's")
    code: str = dtype.args[0]
    if re.fullmatch(r"O\d*", code):
        raise Unreadable("an array in it holds objects, not numbers", "save it as numbers")
    return code


def _dtype(dtype: Any) -> np.dtype[Any]:
    code = _dtype_code(dtype)
    order: Any = dtype.state[1] if type(dtype.state) is tuple and len(dtype.state) > 1 else "="
    if not _NUMBERS.fullmatch(code) or order not in ("<", ">", "|", "="):
        raise Unreadable(f"an array in it is of the type {code[:20]!r}, which torch has not")
    return np.dtype(code).newbyteorder(order)
