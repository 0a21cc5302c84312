"""CUDA graphs of a network: all that it launches on a GPU, recorded once and then started at once.

A small batch through a large network is over before Python has started the next of its kernels. A
graph is recorded for each shape of the inputs and each value of the options that are no tensors,
and reads its inputs from where it was recorded: these are written there first.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

from ganzoo.errors import InputError

MOST = 32
"""Graphs of a network that are kept, those used last."""
WARM = 3
"""Calls before one is recorded: compilers and libraries choose their kernels in them."""

_FAILED: list[Any] = []
"""Graphs whose recording failed: torch's memory asks them for ever whether they still record."""
_LOCK = threading.RLock()
"""Of a process, only one thread may record, and a graph's inputs are those of one caller."""


class Graphs:
    """Calls `run` with tensors of one GPU and plain values, by graphs of it.

    `run` has to depend on nothing else, and to wait for the GPU nowhere.
    """

    def __init__(self, run: Callable[..., Tensor]) -> None:
        self._run = run
        self._recorded: OrderedDict[Hashable, Recorded] = OrderedDict()
        self._shared: tuple[Any, Any, Any] | None = None

    @torch.inference_mode(False)  # what is recorded is kept, whoever asks for it first
    @torch.no_grad()
    def __call__(self, *args: Any, **options: Any) -> Tensor:
        leaves, shape = _pytree.tree_flatten((args, options))
        inputs = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        key = (str(shape), *map(_fixed, leaves))
        with _LOCK, torch.cuda.device(inputs[0].device):
            recorded = self._recorded.pop(key, None)
            if recorded is None:
                recorded = self._record(leaves, shape)
            self._recorded[key] = recorded  # the newest is last
            while len(self._recorded) > MOST:
                self._recorded.popitem(last=False)
            return recorded(inputs)

    def _record(self, leaves: Sequence[Any], shape: Any) -> Recorded:
        # all have one memory, and so come one after another; after one that fails it is not used
        shared, self._shared = self._shared or _memory(), None
        stream, pool, done = shared
        stream.wait_stream(torch.cuda.current_stream())
        stream.wait_event(done)
        with torch.cuda.stream(stream):  # a recording that fails would not leave it
            kept = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
            args, options = _pytree.tree_unflatten(kept, shape)
            for _ in range(WARM):
                self._run(*args, **options)
            graph = torch.cuda.CUDAGraph()
            recording = torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local")
            try:
                with _without_collection(), recording:
                    output = self._run(*args, **options)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                _FAILED.append(graph)
                why = str(error).splitlines()[0][:200]
                raise InputError(
                    f"the network waits for the GPU in its midst ({why})", "load it without compile"
                ) from error
        torch.cuda.current_stream().wait_stream(stream)
        self._shared = shared
        return Recorded(graph, [x for x in kept if isinstance(x, Tensor)], output, done)


def _memory() -> tuple[Any, Any, Any]:
    """A stream to record on, the memory of what is recorded, and what says that it is free."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    return stream, torch.cuda.graph_pool_handle(), done


class Recorded:
    """One graph, with the places of its inputs and of its output, and what says that the one
    before it is through."""

    def __init__(self, graph: Any, inputs: Sequence[Tensor], output: Tensor, done: Any) -> None:
        self.graph, self.inputs, self.output, self.done = graph, inputs, output, done

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        torch.cuda.current_stream().wait_event(self.done)  # which may be of another stream
        for place, given in zip(self.inputs, inputs, strict=True):
            place.copy_(given)
        self.graph.replay()
        output = self.output.clone()  # the next call writes there, also that of another graph
        self.done.record()
        return output


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """A graph that Python happens to collect within, of a network long gone, would end what is
    being recorded."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _fixed(leaf: Any) -> Hashable:
    """What of an input a graph cannot have otherwise."""
    return (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else leaf
