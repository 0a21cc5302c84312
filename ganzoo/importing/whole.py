"""What a network that was saved whole says besides its tensors: the settings of torch's modules,
and the modules without tensors among them.

The order in which an `nn.Sequential` runs its modules is known. What `forward` of a class of the
file's program does between its modules is not in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ganzoo.importing.tree import Record, label

_TORCH, _SEQUENTIAL = "torch.nn.modules.", "torch.nn.modules.container.Sequential"


@dataclass(frozen=True, eq=False)
class Said:
    """A module as its file has it.

    Attributes:
        kind: its class, "Conv2d"; with its module where that is none of torch's.
        settings: its attributes.
        silent: whether it has no tensors, and holds no modules.
        before, behind: the modules without tensors between it and the next one in the same
            `nn.Sequential`, or that one's start and end.
        followed: whether a module with tensors follows in the same `nn.Sequential`, so that
            `behind` is all that happens between the two.
    """

    kind: str
    settings: Mapping[str, Any]
    silent: bool = False
    before: tuple[Said, ...] = ()
    behind: tuple[Said, ...] = ()
    followed: bool = False


def said(root: Any, prefix: str = "", *, without: tuple[str, ...] = ()) -> dict[str, Said]:
    """Every module below `prefix` by its name in a state dict, but those without tensors that are
    told `before` or `behind` another one; of what has two names, the second is here too. Levels
    that are called as in `without` are left out. Empty for a file of state dicts."""
    found: dict[str, Said] = {}
    for run in _runs(root):
        each = [Said(_kind(record), _state(record), _is_silent(record)) for _, record in run]
        weighted = [k for k, module in enumerate(each) if not module.silent]
        for n, k in enumerate(weighted):
            end = weighted[n + 1] if n + 1 < len(weighted) else len(run)
            found[run[k][0]] = replace(
                each[k],
                before=tuple(each[:k]) if n == 0 else (),
                behind=tuple(each[k + 1 : end]),
                followed=n + 1 < len(weighted),
            )
        if not weighted:
            found |= {name: module for (name, _), module in zip(run, each, strict=True)}
    return {
        ".".join(part for part in name.removeprefix(prefix).split(".") if part not in without): each
        for name, each in found.items()
        if name.startswith(prefix)
    }


def _runs(root: Any) -> Iterator[list[tuple[str, Record]]]:
    """(name, module) of those that run one after another; one that is in no Sequential, alone, as
    is one that was met before."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        name, node = waiting.pop()
        if not isinstance(node, (Record, dict)):
            continue
        if id(node) in seen:
            if isinstance(node, Record) and _is_module(node):
                yield [(name, node)]
            continue
        seen.add(id(node))
        if isinstance(node, Record) and _is_module(node):
            if _kind_with_module(node) == _SEQUENTIAL:
                run: list[tuple[str, Record]] = []
                for each in _leaves(name, node, seen):
                    if _children(each[1]):  # a block of the program's own, or one that was met
                        yield run
                        run = []
                        waiting.append(each)
                    else:
                        run.append(each)
                yield run
                continue
            if not _children(node):
                yield [(name, node)]
            children: Mapping[Any, Any] = _children(node)
        else:
            children = node.state if isinstance(node, Record) else node
            children = children if isinstance(children, dict) else {}
        waiting += reversed([(_below(name, key), child) for key, child in children.items()])


def _leaves(name: str, sequential: Record, seen: set[int]) -> Iterator[tuple[str, Record]]:
    """The modules of a Sequential, and of those in it, in order."""

    def inside(name: str, record: Record) -> list[tuple[str, Any]]:
        return [(_below(name, key), child) for key, child in reversed([*_children(record).items()])]

    waiting = inside(name, sequential)
    while waiting:
        name, node = waiting.pop()
        if not isinstance(node, Record):
            continue
        if _kind_with_module(node) != _SEQUENTIAL or id(node) in seen:
            yield name, node
        else:
            seen.add(id(node))
            waiting += inside(name, node)


def _below(name: str, key: Any) -> str:
    return f"{name}.{label(key)}" if name else label(key)


def _is_module(record: Record) -> bool:
    return isinstance(record.get("_modules"), dict)


def _children(record: Record) -> Mapping[Any, Any]:
    found = record.get("_modules")
    return found if isinstance(found, dict) else {}


def _is_silent(record: Record) -> bool:
    kept = (record.get("_parameters"), record.get("_buffers"), _children(record))
    return all(value is None for own in kept if isinstance(own, dict) for value in own.values())


def _state(record: Record) -> Mapping[str, Any]:
    return record.state if isinstance(record.state, dict) else {}


def _kind(record: Record) -> str:
    return record.name if record.module.startswith(_TORCH) else _kind_with_module(record)


def _kind_with_module(record: Record) -> str:
    return f"{record.module}.{record.name}"
