"""What a network that was saved whole says besides its tensors: the settings of torch's modules,
and the modules without tensors among them.

The order in which an `nn.Sequential` runs its modules is known. What `forward` of a class of the
file's program does between its modules is not in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ganzoo.importing.tree import Record, label

_TORCH, _SEQUENTIAL = "torch.nn.modules.", "torch.nn.modules.container.Sequential"


@dataclass(frozen=True, eq=False)
class Said:
    """A module as its file has it.

    Attributes:
        kind: its class, "Conv2d"; with its module where that is none of torch's.
        settings: its attributes.
        before, behind: the modules without tensors between it and the next one in the same
            `nn.Sequential`, or that one's start and end.
        followed: whether a module with tensors follows in the same `nn.Sequential`, so that
            `behind` is all that happens between the two.
    """

    kind: str
    settings: Mapping[str, Any]
    before: tuple[Said, ...] = ()
    behind: tuple[Said, ...] = ()
    followed: bool = False


def said(root: Any, prefix: str = "", *, without: tuple[str, ...] = ()) -> dict[str, Said]:
    """Every module with tensors of its own that is below `prefix`, by its name in a state dict;
    levels that are called as in `without` are left out of it. Empty for a file of state dicts."""
    found: dict[str, Said] = {}
    for run in _runs(root):
        weighted = [k for k, (_, record) in enumerate(run) if _has_tensors(record)]
        silent = [_said(record) for _, record in run]
        for n, k in enumerate(weighted):
            name, record = run[k]
            end = weighted[n + 1] if n + 1 < len(weighted) else len(run)
            found[name] = Said(
                _kind(record),
                _state(record),
                tuple(silent[:k]) if n == 0 else (),
                tuple(silent[k + 1 : end]),
                n + 1 < len(weighted),
            )
    return {
        ".".join(part for part in name.removeprefix(prefix).split(".") if part not in without): each
        for name, each in found.items()
        if name.startswith(prefix)
    }


def _runs(root: Any) -> Iterator[list[tuple[str, Record]]]:
    """(name, module) of those that run one after another; one that is in no Sequential, alone."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        name, node = waiting.pop()
        if not isinstance(node, (Record, dict)) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Record) and _is_module(node):
            if _kind_with_module(node) == _SEQUENTIAL:
                run: list[tuple[str, Record]] = []
                for each in _leaves(name, node, seen):
                    if _children(each[1]):  # a block of the program's own: a run ends there
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
        waiting += [(_below(name, key), child) for key, child in children.items()]


def _leaves(name: str, sequential: Record, seen: set[int]) -> Iterator[tuple[str, Record]]:
    """The modules of a Sequential, and of those in it, in order."""

    def inside(name: str, record: Record) -> list[tuple[str, Any]]:
        return [(_below(name, key), child) for key, child in reversed([*_children(record).items()])]

    waiting = inside(name, sequential)
    while waiting:
        name, node = waiting.pop()
        if not isinstance(node, Record):
            continue
        if _kind_with_module(node) != _SEQUENTIAL:
            yield name, node
        elif id(node) not in seen:
            seen.add(id(node))
            waiting += inside(name, node)


def _below(name: str, key: Any) -> str:
    return f"{name}.{label(key)}" if name else label(key)


def _is_module(record: Record) -> bool:
    return isinstance(record.get("_modules"), dict)


def _children(record: Record) -> Mapping[Any, Any]:
    found = record.get("_modules")
    return found if isinstance(found, dict) else {}


def _has_tensors(record: Record) -> bool:
    parameters, buffers = record.get("_parameters"), record.get("_buffers")
    return any(
        value is not None
        for kept in (parameters, buffers)
        if isinstance(kept, dict)
        for value in kept.values()
    )


def _said(record: Record) -> Said:
    return Said(_kind(record), _state(record))


def _state(record: Record) -> Mapping[str, Any]:
    return record.state if isinstance(record.state, dict) else {}


def _kind(record: Record) -> str:
    return record.name if record.module.startswith(_TORCH) else _kind_with_module(record)


def _kind_with_module(record: Record) -> str:
    return f"{record.module}.{record.name}"
