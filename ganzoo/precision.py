"""How GPUs compute convolutions and products: float32 as it is said, or what is fastest."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

IEEE = "ieee"


def true_float32(device: torch.device) -> AbstractContextManager[None]:
    """On a GPU, convolutions and products of matrices within are in float32 as it is said, not in
    the 10 bits of TF32 that torch allows convolutions by default, and a program all of them: images
    and features are the same on every device."""
    return nullcontext() if device.type != "cuda" else _shared()


@contextlib.contextmanager
def fastest_convolutions() -> Iterator[None]:
    """On a GPU, cuDNN tries its ways for each shape that is new, and keeps to the fastest: for many
    steps of few shapes."""
    former = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = former


_lock = threading.Lock()
_inside = 0
_leave = contextlib.ExitStack()


@contextlib.contextmanager
def _shared() -> Iterator[None]:
    """The settings are those of the process: the first thread in makes them, the last one out
    restores them."""
    global _inside, _leave
    with _lock:
        if not _inside:
            with contextlib.ExitStack() as stack:
                for settings in _SETTINGS:
                    stack.enter_context(settings())
                _leave = stack.pop_all()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _leave.close()


@contextlib.contextmanager
def _convolutions() -> Iterator[None]:
    conv: Any = getattr(torch.backends.cudnn, "conv", None)  # since torch 2.9
    former = getattr(conv, "fp32_precision", None)
    allowed = _where_told(lambda: torch.backends.cudnn.allow_tf32)
    try:
        if allowed is not None:
            torch.backends.cudnn.allow_tf32 = False
        if former is not None:
            conv.fp32_precision = IEEE
        yield
    finally:
        if allowed is not None:
            torch.backends.cudnn.allow_tf32 = allowed
        if former is not None:
            conv.fp32_precision = former


@contextlib.contextmanager
def _products() -> Iterator[None]:
    matmul: Any = torch.backends.cuda.matmul
    former = _where_told(lambda: matmul.fp32_precision)  # since torch 2.9
    allowed = _where_told(torch.get_float32_matmul_precision)
    try:
        if allowed is not None:
            torch.set_float32_matmul_precision("highest")
        if former is not None:
            matmul.fp32_precision = IEEE
        yield
    finally:
        if allowed is not None:
            torch.set_float32_matmul_precision(allowed)
        if former is not None:
            matmul.fp32_precision = former


_SETTINGS = (_convolutions, _products)


def _where_told(read: Any) -> Any:
    """A setting, or None where this torch has it not, or where the program has made it by torch's
    other interface, which then does not let it be read by this one."""
    try:
        return read()
    except (AttributeError, RuntimeError):
        return None
