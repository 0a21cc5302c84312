"""Numbers as callers hand them over: of Python, NumPy or torch, and whatever else."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ganzoo.errors import InputError


def as_int(value: Any) -> int | None:
    """An integer of Python, NumPy or torch (of no dimension) as int; None for anything else, and
    for a bool. Arithmetic on NumPy's own would overflow."""
    try:
        return None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        return None


def check_count(count: Any, problem: str) -> int:
    """`count` as int if it is an integer from 1 on, else `InputError`."""
    number = as_int(count)
    if number is None or number < 1:
        raise InputError(problem, "ask for 1 or more, an integer")
    return number


def check_batch_size(size: Any) -> int:
    """How many images are computed at once, as int if it is an integer from 1 on."""
    return check_count(size, f"batch_size {size!r} is too small")


def as_float(value: Any) -> float:
    """A number of Python, NumPy or torch as float; NaN for anything else."""
    try:
        return math.nan if isinstance(value, (bool, str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last: of a tensor
        return math.nan


def check_truncation(psi: Any) -> float:
    """`psi` as float if it is a number in [-1, 2], else `InputError`."""
    number = as_float(psi)
    if not -1 <= number <= 2:
        raise InputError(f"truncation {psi!r} is out of range", "use -1 to 2 (1 for none)")
    return number
