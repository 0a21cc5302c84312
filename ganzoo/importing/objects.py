"""What the names in a pickle stand for: a closed table of inert values; all else is a `Record`.

Nothing that a file names is looked up in Python, imported or called. A pair of module and name is
compared as a whole with the pairs below, and what it stands for is made here of its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from ganzoo.importing import arrays, storages
from ganzoo.importing.limits import LONGEST_KEY, LONGEST_NAME, MOST_NESTED, Budget, Unreadable
from ganzoo.importing.tree import Record, Reference

if TYPE_CHECKING:
    from ganzoo.importing.pickles import Machine

# -- names ---------------------------------------------------------------------------------------

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PLAIN = {
    "object", "type", "list", "dict", "tuple", "set", "frozenset", "str", "unicode", "bytes",
    "bytearray", "int", "long", "float", "bool", "complex", "slice", "range", "xrange",
}  # fmt: skip
"""Types of Python's own that a file may name."""
_DANGEROUS = {
    "builtins", "__builtin__", "__builtins__", "os", "posix", "nt", "ntpath", "posixpath",
    "subprocess", "sys", "shutil", "socket", "importlib", "imp", "runpy", "ctypes", "_ctypes",
    "pty", "webbrowser", "code", "codeop", "commands", "popen2", "pickle", "_pickle", "cPickle",
    "dill", "cloudpickle", "joblib", "marshal", "shelve", "multiprocessing", "threading", "_thread",
    "signal", "pdb", "bdb", "cProfile", "profile", "timeit", "trace", "asyncio", "concurrent",
    "pip", "ensurepip", "venv", "setuptools", "distutils", "pydoc", "idlelib", "io", "_io",
    "tempfile", "fileinput", "linecache", "http", "httplib", "urllib", "urllib2", "requests",
    "aiohttp", "ftplib", "smtplib", "telnetlib", "ssl", "xmlrpc", "inspect", "gc", "operator",
    "_operator", "functools", "pkgutil", "zipimport", "zipfile", "tarfile", "platform", "resource",
    "mmap", "fcntl", "pexpect", "paramiko", "fabric", "invoke", "types",
}  # fmt: skip
"""Modules, and all in them, that no checkpoint needs: a file that names one is refused."""
_HARMLESS = {("types", "SimpleNamespace"), ("functools", "partial")}


def check_name(module: str, name: str) -> None:
    """Refuse what no honest checkpoint names.

    Raises:
        Unreadable: names the function.
    """
    if len(module) > LONGEST_NAME or len(name) > LONGEST_NAME:
        raise Unreadable("it asks for something with a very long name")
    if not _MODULE.fullmatch(module) or not _NAME.fullmatch(name):
        raise Unreadable(
            f"it asks for {module[:80]}.{name[:80]}, which is no plain name",
            "do not open it with another program",
        )
    top = module.partition(".")[0]
    plain = module in ("builtins", "__builtin__") and name in _PLAIN
    if top in _DANGEROUS and not plain and (module, name) not in _HARMLESS:
        raise Unreadable(
            f"it tries to call {module}.{name}, which no model needs",
            "nothing was run; do not open it with another program",
        )


# -- the table -----------------------------------------------------------------------------------


def _odd(what: str) -> NoReturn:
    raise Unreadable(f"{what} in it is made in an odd way")


def key(value: Any, budget: Budget) -> Any:
    """`value` as a key: nothing whose hash or comparison takes long, and few that collide with
    others at will."""
    budget.spend_key(value)
    simple = (str, bytes, int, float, bool, type(None))
    for part in value if type(value) is tuple and len(value) <= 8 else (value,):
        if type(part) not in simple and not isinstance(part, (Record, Tensor)):
            raise Unreadable(f"it has a {type(part).__name__} as a key")
        if type(part) in (str, bytes) and len(part) > LONGEST_KEY:
            raise Unreadable("it has a very long text as a key")
        if type(part) is int and abs(part) >= 1 << 60:
            raise Unreadable("it has a very large number as a key")
    return value


def mapping(machine: Machine, *args: Any) -> dict[Any, Any]:
    """OrderedDict, EasyDict and their kind: of nothing, of pairs, of a mapping."""
    if not args or args == (None,):
        return {}
    (content,) = args
    machine.budget.spend(len(content))
    if type(content) is dict:
        return dict(content)
    if type(content) not in (list, tuple):
        _odd("a mapping")
    return {key(name, machine.budget): value for name, value in content}


def _default_mapping(machine: Machine, factory: Any = None, *args: Any) -> dict[Any, Any]:
    return mapping(machine, *args)


def _set(machine: Machine, items: Any = ()) -> set[Any]:
    if type(items) not in (list, tuple, set, frozenset):
        _odd("a set")
    machine.budget.spend(len(items))
    return {key(item, machine.budget) for item in items}


def _frozenset(machine: Machine, items: Any = ()) -> frozenset[Any]:
    return frozenset(_set(machine, items))


def _complex(machine: Machine, real: Any, imaginary: Any = 0.0) -> complex:
    if not {type(real), type(imaginary)} <= {int, float}:
        _odd("a complex number")
    return complex(real, imaginary)


def _bytes(machine: Machine, value: Any = b"", encoding: Any = None) -> bytes:
    if type(value) is list:
        machine.budget.allocate(len(value))
        return bytes(value)
    return _encode(machine, value, encoding) if type(value) is str else _same_bytes(value)


def _same_bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        _odd("a row of bytes")
    return value


def _encode(machine: Machine, text: Any, encoding: Any = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        _odd("a row of bytes")
    machine.budget.allocate(len(text))
    return bytes(text.encode("latin-1"))


def _reconstructor(machine: Machine, cls: Any, base: Any, state: Any) -> Any:
    """How the protocols 0 and 1 make an object: an empty one of a class, or of its base's value."""
    if not isinstance(cls, Reference) or not isinstance(base, Reference):
        _odd("an object")
    plain = base.name == "object" or state is None
    return _new(machine, cls, *(() if plain else (state,)))


def _new(machine: Machine, cls: Any, *args: Any) -> Any:
    if not isinstance(cls, Reference) or cls.module in ("copyreg", "copy_reg"):
        _odd("an object")  # one such call within another would nest without end
    return machine.made(cls, args)


# -- torch ---------------------------------------------------------------------------------------


def _tensor(machine: Machine, storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    return storages.tensor(storage, offset, size, stride, machine.budget)


def _tensor_v2(
    machine: Machine,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    grad: Any = None,
    hooks: Any = None,
    metadata: Any = None,
) -> Tensor:
    if metadata:
        raise Unreadable("a tensor in it is negated or conjugated by a mark", "save it resolved")
    return storages.tensor(storage, offset, size, stride, machine.budget)


def _tensor_v3(
    machine: Machine,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Tensor:
    if metadata:
        raise Unreadable("a tensor in it is negated or conjugated by a mark", "save it resolved")
    known = _dtype(dtype)
    return storages.tensor(storage, offset, size, stride, machine.budget, dtype=known)


def _dtype(value: Any) -> torch.dtype:
    if not isinstance(value, Reference) or value.module != "torch":
        _odd("a tensor")
    if value.name not in storages.DTYPES:
        raise Unreadable(f"a tensor in it is of the type {value.name!r}, which is not read")
    return storages.DTYPES[value.name]


def _parameter(machine: Machine, data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        _odd("a parameter")
    return data


def _from_type(machine: Machine, function: Any, cls: Any, args: Any, state: Any) -> Any:
    """A tensor with attributes of its own, which are left out."""
    if not isinstance(function, Reference) or function.module != "torch._utils":
        _odd("a tensor")
    if type(args) is not tuple:
        _odd("a tensor")
    tensor = machine.made(function, args)
    return _parameter(machine, tensor)


def _load_from_bytes(machine: Machine, data: Any) -> Any:
    """A storage that is a file of torch's own within the file."""
    from ganzoo.importing import torchfiles
    from ganzoo.importing.opcodes import Source

    budget = machine.budget
    if budget.nested == MOST_NESTED:
        raise Unreadable("it holds files within files within files")
    budget.nested += 1
    value = torchfiles.read_legacy(Source(_same_bytes(data)), budget)
    budget.nested -= 1
    return value


def _size(machine: Machine, size: Any = ()) -> tuple[Any, ...]:
    if type(size) not in (tuple, list):
        _odd("a shape")
    machine.budget.spend(len(size))
    return tuple(size)


def _device(machine: Machine, kind: Any, index: Any = None) -> str:
    if type(kind) is not str or len(kind) > 20 or type(index) not in (int, type(None)):
        _odd("a device")
    return kind if index is None else f"{kind}:{index}"


# -- NumPy ---------------------------------------------------------------------------------------


def _array(machine: Machine, cls: Any, shape: Any = (0,), kind: Any = b"b") -> Tensor:
    """An array whose values come next."""
    if not isinstance(cls, Reference) or (cls.module, cls.name) != ("numpy", "ndarray"):
        _odd("an array")
    return machine.awaits_values(torch.empty(0))


def _from_buffer(
    machine: Machine, data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None
) -> Tensor:
    if type(data) is Record or order not in ("C", "F", "K"):
        _odd("an array")
    if order != "K" or axes is None:
        order = "C" if order == "K" else order
        return arrays.values(data, dtype, shape, order, machine.budget)
    rows = arrays.values(data, dtype, shape, "C", machine.budget)
    # tuples in it, compared with each other, could take any time
    if type(axes) is not tuple or any(type(axis) is not int for axis in axes):
        _odd("an array")
    if sorted(axes) != list(range(rows.ndim)):
        _odd("an array")
    return rows.permute(axes).contiguous()


def _scalar(machine: Machine, dtype: Any, data: Any) -> Any:
    return arrays.scalar(dtype, data, machine.budget)


TABLE: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): mapping,
    ("collections", "defaultdict"): _default_mapping,
    ("dnnlib.util", "EasyDict"): mapping,
    ("dnnlib", "EasyDict"): mapping,
    ("easydict", "EasyDict"): mapping,
    ("_codecs", "encode"): _encode,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("copy_reg", "_reconstructor"): _reconstructor,
    ("copyreg", "__newobj__"): _new,
    ("copy_reg", "__newobj__"): _new,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch.nn.parameter", "Parameter"): _parameter,
    ("torch.autograd.variable", "Variable"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _from_type,
    ("torch.storage", "_load_from_bytes"): _load_from_bytes,
    ("torch", "Size"): _size,
    ("torch", "device"): _device,
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
}
for _module in ("builtins", "__builtin__"):
    TABLE |= {
        (_module, "set"): _set,
        (_module, "frozenset"): _frozenset,
        (_module, "complex"): _complex,
        (_module, "bytes"): _bytes,
        (_module, "bytearray"): _bytes,
        (_module, "dict"): mapping,
    }
"""(module, name) -> what makes the value, of the machine and the arguments in the file."""
