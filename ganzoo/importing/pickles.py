"""Pickles read by an interpreter of our own, which can do nothing but build an inert tree.

Python's unpickler looks names up, imports and calls: this one has no such operation. A name becomes
a `Reference`; a call of it becomes the inert value that `objects.TABLE` makes of the arguments, or
a `Record` of what would have been called. Operations are a closed list; every one is counted, no
value is made larger than the file allows, and nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ganzoo.importing import arrays, objects
from ganzoo.importing.limits import DEEPEST, STEPS_OF_A_NODE, Budget, Unreadable
from ganzoo.importing.opcodes import Source, operations
from ganzoo.importing.storages import Storage
from ganzoo.importing.tree import Record, Reference, children

_DAMAGED = "it is damaged, or no pickle"
_NOTHING = object()
"""In the memo, where nothing was put."""


class Machine:
    """Runs one pickle. `persistent` makes the value of an identifier that the container defines."""

    def __init__(self, budget: Budget, persistent: Callable[[Any], Any] | None = None) -> None:
        self.budget = budget
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []  # the stacks below each mark
        self._memo: list[Any] = []  # a mapping's keys could be chosen so that they collide
        self._awaiting: dict[int, Tensor] = {}

    def run(self, source: Source) -> Any:
        """The tree of the pickle that `source` begins with; it is left behind its end.

        Raises:
            Unreadable: one line that says what is wrong, and where.
        """
        try:
            for name, argument in operations(source):
                self.budget.spend()
                if name == "STOP":
                    break
                if type(argument) in (str, bytes):
                    self.budget.allocate(len(argument))
                if name not in _OPERATIONS:
                    raise Unreadable(f"it uses the operation {name}, which no checkpoint needs")
                _OPERATIONS[name](self, argument)
            root = self._pop()
            if self._stack or self._marked or self._awaiting:
                raise Unreadable(_DAMAGED)
        except Unreadable as error:
            if "(byte " in error.problem:  # within the pickle that this one holds
                raise
            raise Unreadable(f"{error.problem} (byte {source.at:,})", error.remedy) from error
        except (
            ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
        ) as error:  # a value of another type than the operation needs  # fmt: skip
            raise Unreadable(f"{_DAMAGED} (byte {source.at:,})") from error
        return root

    # -- what objects.TABLE uses --

    def made(self, cls: Reference, args: tuple[Any, ...], kwargs: Any = None) -> Any:
        """What a call of a class or function gives: an inert value."""
        make = objects.TABLE.get((cls.module, cls.name))
        if make is None:
            if cls.module == "torch._utils":
                raise Unreadable(f"it holds a tensor of a kind that is not read ({cls.name})")
            return Record(cls.module, cls.name, args, kwargs or {})
        if kwargs:
            raise Unreadable(f"it calls {cls.module}.{cls.name} in an odd way")
        self.budget.spend(len(args))  # a tuple of the memo may be passed again and again
        return make(self, *args)

    def awaits_values(self, array: Tensor) -> Tensor:
        """An array that a BUILD must fill before the end."""
        self._awaiting[id(array)] = array
        return array

    # -- the stack and the memo --

    def _pop(self) -> Any:
        if not self._stack:
            raise Unreadable(_DAMAGED)
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack:
            raise Unreadable(_DAMAGED)
        return self._stack[-1]

    def _push(self, value: Any) -> None:
        if type(value) in _NODES:
            self.budget.spend(STEPS_OF_A_NODE)
        self._stack.append(value)

    def _to_mark(self, _: Any = None) -> list[Any]:
        """What lies above the mark, which goes."""
        if not self._marked:
            raise Unreadable(_DAMAGED)
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _mark(self, _: Any) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _drop_to_mark(self, _: Any) -> None:
        self._to_mark()

    def _discard(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._to_mark()

    def _put(self, index: int) -> None:
        if index < 0:
            raise Unreadable(_DAMAGED)
        gap = max(0, index - len(self._memo))  # none, in what picklers write
        self.budget.spend(gap)
        self._memo += [_NOTHING] * gap
        self._memo[index : index + 1] = [self._top()]

    def _memoize(self, _: Any) -> None:
        self._memo.append(self._top())

    def _get(self, index: int) -> None:
        if index < 0 or self._memo[index] is _NOTHING:
            raise Unreadable(_DAMAGED)
        self._stack.append(self._memo[index])

    # -- values --

    def _tuple(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(items)))

    def _append(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is list:
            target.extend(items)
        elif type(target) is Record:  # of a class that is a list
            target.kwargs.setdefault("listitems", []).extend(items)
        else:
            raise Unreadable(_DAMAGED)

    def _add(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is set:
            target.update(objects.key(item, self.budget) for item in items)
        else:
            self._append(items)

    def _set_items(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise Unreadable(_DAMAGED)
        target = self._top()
        if type(target) is Record:  # of a class that is a mapping
            if target.state is None:
                object.__setattr__(target, "state", {})
            target = target.state
        if type(target) is not dict:
            raise Unreadable(_DAMAGED)
        for name, value in zip(items[::2], items[1::2]):
            target[objects.key(name, self.budget)] = value

    def _pair(self, _: Any) -> None:
        value, name = self._pop(), self._pop()
        self._set_items([name, value])

    def _dict(self, _: Any) -> None:
        items = self._to_mark()
        self._push({})
        self._set_items(items)

    # -- objects --

    def _reference(self, pair: tuple[Any, Any]) -> None:
        module, name = pair
        if type(module) is not str or type(name) is not str:
            raise Unreadable(_DAMAGED)
        objects.check_name(module, name)
        self._push(Reference(module, name))

    def _stack_reference(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        self._reference((module, name))

    def _call(self, cls: Any, args: Any, kwargs: Any = None) -> None:
        if type(cls) is not Reference:
            raise Unreadable("it calls what is no class and no function")
        if type(args) is not tuple or type(kwargs) not in (dict, type(None)):
            raise Unreadable(_DAMAGED)
        self.budget.spend(len(kwargs or ()))
        if any(type(name) is not str for name in kwargs or ()):
            raise Unreadable(_DAMAGED)
        self._push(self.made(cls, args, kwargs))

    def _reduce(self, _: Any) -> None:
        args, cls = self._pop(), self._pop()
        self._call(cls, args)

    def _new_with_names(self, _: Any) -> None:
        kwargs, args, cls = self._pop(), self._pop(), self._pop()
        self._call(cls, args, kwargs)

    def _object(self, _: Any) -> None:
        cls, *args = self._to_mark()
        self._call(cls, tuple(args))

    def _instance(self, pair: tuple[str, str]) -> None:
        args = self._to_mark()
        self._reference(pair)
        self._call(self._pop(), tuple(args))

    def _build(self, _: Any) -> None:
        state, target = self._pop(), self._top()
        if type(target) is Record:
            former = target.state
            if type(former) is dict and type(state) is dict:  # the items of a mapping came first
                self.budget.spend(len(former) + len(state))
                state = {**former, **state}
            object.__setattr__(target, "state", state)
        elif isinstance(target, Tensor) and self._awaiting.pop(id(target), None) is not None:
            arrays.fill(target, state, self.budget)
        # a dict's attributes (a state dict's `_metadata`) and a parameter's are left out
        elif type(target) is not dict and not isinstance(target, Tensor):
            raise Unreadable("it changes what it may not change")

    def _persist(self, identifier: Any) -> None:
        if self._persistent is None:
            raise Unreadable("it points to values outside of it")
        self._push(self._persistent(identifier))


_Method = Callable[[Machine, Any], None]


def _push_argument(machine: Machine, argument: Any) -> None:
    machine._push(argument)


def _constant(value: Any) -> _Method:
    return lambda machine, _: machine._push(value)


_OPERATIONS: dict[str, _Method] = {
    **dict.fromkeys(
        (
            "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
            "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
            "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
        ),
        _push_argument,
    ),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine._put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._get),
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "MEMOIZE": Machine._memoize,
    "MARK": Machine._mark,
    "POP": Machine._discard,
    "POP_MARK": Machine._drop_to_mark,
    "DUP": lambda machine, _: machine._push(machine._top()),
    "EMPTY_LIST": lambda machine, _: machine._push([]),
    "EMPTY_DICT": lambda machine, _: machine._push({}),
    "EMPTY_SET": lambda machine, _: machine._push(set()),
    "EMPTY_TUPLE": _constant(()),
    "TUPLE": lambda machine, _: machine._push(tuple(machine._to_mark())),
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "LIST": lambda machine, _: machine._push(machine._to_mark()),
    "DICT": Machine._dict,
    "FROZENSET": lambda m, _: m._push(
        frozenset(objects.key(item, m.budget) for item in m._to_mark())
    ),
    "APPEND": lambda machine, _: machine._append([machine._pop()]),
    "APPENDS": lambda machine, _: machine._append(machine._to_mark()),
    "ADDITEMS": lambda machine, _: machine._add(machine._to_mark()),
    "SETITEM": Machine._pair,
    "SETITEMS": lambda machine, _: machine._set_items(machine._to_mark()),
    "GLOBAL": Machine._reference,
    "STACK_GLOBAL": Machine._stack_reference,
    "REDUCE": Machine._reduce,
    "NEWOBJ": Machine._reduce,
    "NEWOBJ_EX": Machine._new_with_names,
    "OBJ": Machine._object,
    "INST": Machine._instance,
    "BUILD": Machine._build,
    "PERSID": Machine._persist,
    "BINPERSID": lambda machine, _: machine._persist(machine._pop()),
}  # fmt: skip
"""Operation -> what it does. Extension codes and buffers from outside are not among them."""

_LEAVES = (type(None), bool, int, float, complex, str, bytes, Tensor)
_NODES = (list, tuple, dict, set, frozenset, Record, Reference)


def check_tree(root: Any) -> None:
    """Refuse a tree that holds anything but what `tree` says, or is nested too deep for readers."""
    seen: set[int] = set()
    waiting = [(0, root)]
    while waiting:
        depth, value = waiting.pop()
        if type(value) in _LEAVES:
            continue
        if type(value) is Storage:
            raise Unreadable("it holds a storage that is of no tensor")
        if type(value) not in _NODES:
            raise Unreadable(_DAMAGED)
        if depth > DEEPEST:
            raise Unreadable(f"it is nested deeper than {DEEPEST} levels")
        if id(value) not in seen:
            seen.add(id(value))
            below = (child for _, child in children(value))
            waiting += [(depth + 1, child) for child in below if type(child) not in _LEAVES]
