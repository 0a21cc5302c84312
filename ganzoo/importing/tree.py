"""The inert tree that the restricted reader makes of another program's file.

Its leaves are None, bool, int, float, complex, str, bytes and `torch.Tensor` (on the CPU, memory of
its own, the file's dtype; NumPy arrays and parameters become tensors, NumPy scalars numbers). Its
nodes are list, tuple, dict (whatever mapping the file had), set, frozenset and `Record`. Nothing
in it can be called, and nothing that the file names was imported or run. A node may hold itself, by
way of others: walk a tree of anyone's with `tensors` or `records`, which meet each node once.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from ganzoo.errors import InputError


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Record:
    """An object of the file: what would have been called, with what, and its state.

    Attributes:
        module, name: of the class or function, as the file spells them. Neither was imported.
        args: what it would have been called with.
        kwargs: the same by name.
        state: what would have become its `__dict__` (or gone to `__setstate__`); None for none.
    """

    module: str
    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    state: Any = None

    def get(self, key: str, default: Any = None) -> Any:
        """A value of a state that is a mapping."""
        return self.state.get(key, default) if isinstance(self.state, dict) else default

    def __repr__(self) -> str:
        # not of what it holds: a few bytes of a file can make that 2^100 values long
        return f"<{type(self).__name__} {self.module}.{self.name}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reference(Record):
    """A class or function that the file names and does not call."""


@dataclass(frozen=True)
class Checkpoint:
    """A file as it was read.

    Attributes:
        name: the file's name, without its folder.
        size, sha256: of the whole file.
        container: how it was written.
        root: the inert tree.
    """

    name: str
    size: int
    sha256: str
    container: Literal["pickle", "torch-legacy", "torch-zip", "safetensors"]
    root: Any


LONGEST_PATH = 4000
LONGEST_PATHS = 1 << 26
_NODES = (Record, dict, list, tuple, set, frozenset)
_WALKED = (*_NODES, Tensor)
_MODULE = ("_parameters", "_buffers", "_modules")
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2


def label(key: Any) -> str:
    """A key of a mapping as text, cut where it is long. A tuple or record may hold anything: of it,
    the type is told."""
    if isinstance(key, (str, int, float, type(None))):
        return str(key)[:200]
    return type(key).__name__


def shown(value: Any) -> str:
    """A value of anyone's file in a message: short, however large or nested it is."""
    return _SHORT.repr(value)


def children(node: Any) -> Iterator[tuple[str, Any]]:
    """What a node holds, with names: keys, places, and those of a record's parts."""
    if isinstance(node, Record):
        yield from ((f"args.{i}", value) for i, value in enumerate(node.args))
        yield from ((label(name), value) for name, value in node.kwargs.items())
        if isinstance(node.state, dict):
            yield from ((label(name), value) for name, value in node.state.items())
        elif node.state is not None:
            yield "state", node.state
    elif isinstance(node, dict):
        yield from ((label(name), value) for name, value in node.items())
    elif isinstance(node, (list, tuple)):
        yield from ((str(i), value) for i, value in enumerate(node))
    elif isinstance(node, (set, frozenset)):
        yield from (("", value) for value in node)


def nodes(root: Any) -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every node and tensor in a tree, in the file's order; each node once,
    a tensor as often as nodes hold it.

    A module that was saved whole has the names of its state dict: parameters, buffers and modules
    in it are not levels of their own.

    Raises:
        InputError: a path, or all of them, are longer than any GAN's.
    """
    seen: set[int] = set()
    left = LONGEST_PATHS
    waiting = [("", "", root)]  # paths are long: made when needed
    while waiting:
        above, own, value = waiting.pop()
        path = f"{above}.{own}" if above and own else above or own
        left -= len(path)
        # nodes that hold one another in a row could make any length
        if len(path) > LONGEST_PATH or left < 0:
            raise InputError(f"something in the file is called {path[:80]}…", "is it of a GAN?")
        if isinstance(value, _NODES):
            if id(value) in seen:
                continue
            seen.add(id(value))
        yield path, value
        hidden = _MODULE if isinstance(value, Record) else ()
        waiting += reversed(
            [
                (path, "" if name in hidden else name, child)
                for name, child in children(value)
                if isinstance(child, _WALKED)
            ]
        )


def tensors(root: Any) -> Iterator[tuple[str, Tensor]]:
    """(dotted path, tensor) of every tensor in a tree: one that has two names is given twice."""
    return ((path, value) for path, value in nodes(root) if isinstance(value, Tensor))


def records(root: Any) -> Iterator[tuple[str, Record]]:
    """(dotted path, record) of every record in a tree, each once."""
    return ((path, value) for path, value in nodes(root) if isinstance(value, Record))
