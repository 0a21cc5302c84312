"""The inert tree that the restricted reader makes of another program's file.

Its leaves are None, bool, int, float, complex, str, bytes and `torch.Tensor` (on the CPU, memory of
its own, the file's dtype; NumPy arrays and parameters become tensors, NumPy scalars numbers). Its
nodes are list, tuple, dict (whatever mapping the file had), frozenset and `Record`. Nothing in it
can be called, and nothing that the file names was imported or run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, eq=False)
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
