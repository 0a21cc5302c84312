"""A GPU for tests on machines without one: its tensors lie on the CPU, and are told apart.

Within `pretended_gpu()`, torch has a "cuda" device. What is made there or moved there is marked, in
the storage, and so are the results of operations on it; `Tensor.device` says what the mark says.
As on a real GPU, an operation on tensors of both devices raises, and NumPy sees none of its memory.
Values flow as ever, so that whole commands run.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("cuda:0")
aten = torch.ops.aten

COPIES = {aten.copy_, aten._to_copy, aten._foreach_copy_}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
"""Operations whose indices may lie on the CPU."""
TAKES_SCALARS = {*INDEXED, aten._foreach_add_, aten._foreach_mul_, aten._foreach_div_, aten.fill_}
"""Operations, beside those element by element, that take single numbers from the CPU."""
HEAVY = {
    *(aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.matmul, aten.linear),
    *(aten.convolution, aten.conv2d, aten.conv_transpose2d),
}
"""What networks are made of, in and out of inference mode; it is counted."""


class Mixed(RuntimeError):
    """What torch says of tensors on two devices."""


def is_marked(tensor: Tensor) -> bool | None:
    with torch._C.DisableTorchFunction():
        if tensor.is_mkldnn:  # sorted by oneDNN, for the CPU alone, and without a storage to mark
            return False
        return tensor.untyped_storage().__dict__.get("gpu", False)


def mark(found: Any, gpu: bool | None = True) -> Any:
    """Put tensors on the GPU; with None, on the device of those that they are used with first."""
    for tensor in _tensors(found):
        with torch._C.DisableTorchFunction():
            tensor.untyped_storage().gpu = gpu
    return found


class Placing(TorchFunctionMode):
    """What is to be made on the GPU is made on the CPU, and marked."""

    def __init__(self, checking: Checking) -> None:
        super().__init__()
        self.checking = checking

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device, generator = kwargs.get("device"), kwargs.get("generator")
        tensors = _tensors(args, kwargs)
        gpu = device is not None and torch.device(device).type == "cuda"
        there = gpu if device is not None else any(map(is_marked, tensors))
        if generator is not None and isinstance(generator, Generator) != there:
            raise Mixed(f"Expected the device of {func} for generator, not {generator.device}")
        asked = device is not None or not tensors
        former, self.checking.asked = self.checking.asked, asked
        try:
            if not gpu:
                return func(*args, **kwargs)
            return mark(func(*args, **{**kwargs, "device": "cpu"}))
        finally:
            self.checking.asked = former


class Checking(TorchDispatchMode):
    """Every operation: results are where its arguments are, which must all be on one device."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self.heavy: Counter[str] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to tell a compiler to look away, torch would import it, for seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        tensors = _tensors(args, kwargs)
        marks = [is_marked(tensor) for tensor in tensors]
        gpu = True in marks
        if gpu and packet not in COPIES:
            self.check(func, args, tensors, marks)
            for tensor, its in zip(tensors, marks, strict=True):
                if its is None:
                    mark(tensor)
        if packet in HEAVY:
            self.heavy["cuda" if gpu else "cpu"] += 1
        found = func(*args, **kwargs)
        if packet is aten.copy_ or packet is aten._foreach_copy_:
            return found
        if not tensors and not self.asked:
            return mark(found, None)  # made by torch itself, of which only it knows the device
        to = kwargs.get("device")
        return mark(found) if gpu and (to is None or not self.asked) else found

    def check(self, func: Any, args: Any, tensors: list[Tensor], marks: list[bool | None]) -> None:
        packet, changed = func.overloadpacket, _changed(func, args)
        if packet in INDEXED:
            args = (args[0], *args[2:])
            tensors = _tensors(args)
            marks = [is_marked(tensor) for tensor in tensors]
        scalars = packet in TAKES_SCALARS or torch.Tag.pointwise in func.tags
        for tensor, its in zip(tensors, marks, strict=True):
            if its is False and not (scalars and tensor.ndim == 0 and tensor is not changed):
                raise Mixed(
                    f"Expected all tensors to be on the same device, but {func} got a tensor of"
                    f" shape {tuple(tensor.shape)} on the CPU and others on cuda:0"
                )
        if func.namespace == "mkldnn":
            raise Mixed(f"{func} is none of the GPU's")


def _changed(func: Any, args: Any) -> Any:
    """The tensor that an operation writes to."""
    first = func._schema.arguments[0] if func._schema.arguments else None
    return args[0] if first is not None and first.is_write else None


def _tensors(*tree: Any) -> list[Tensor]:
    found = []
    for branch in tree:
        if isinstance(branch, Tensor):
            found.append(branch)
        elif isinstance(branch, (tuple, list)):
            found += _tensors(*branch)
        elif isinstance(branch, dict):
            found += _tensors(*branch.values())
    return found


class Generator(torch.Generator):
    """What `torch.Generator` makes: with "cuda", one of the GPU."""

    def __new__(cls, device: Any = "cpu") -> Any:
        gpu = torch.device(device).type == "cuda"
        return super().__new__(cls) if gpu else super().__new__(cls.__base__)

    device = GPU


def _device(original: Any) -> property:
    return property(lambda self: GPU if is_marked(self) else original.__get__(self))


def _to(original: Any) -> Any:
    def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        other = args[0] if args else kwargs.get("other")
        if isinstance(other, Tensor):
            return self.to(other.device, other.dtype, *args[1:])
        copy = kwargs.pop("copy", False)
        with torch._C.DisableTorchFunction():
            device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **kwargs)
        how: dict[str, Any] = {"copy": copy, "non_blocking": non_blocking}
        how |= {"memory_format": layout} if layout is not None else {}
        dtype = self.dtype if dtype is None else dtype
        if device is not None and device.type not in ("cpu", "cuda"):
            return original(self, device, dtype, **how)
        if device is None or (device.type == "cuda") == is_marked(self):
            return original(self, dtype, **how)
        return mark(original(self, dtype, **{**how, "copy": True}), device.type == "cuda")

    return to


def _refusing(original: Any) -> Any:
    def refuse(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        if is_marked(self):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
        return original(self, *args, **kwargs)

    return refuse


def _like(original: Any) -> Any:
    """A method that makes a tensor where another is, of which `Checking` is not told."""

    def make(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        found = original(self, *args, **kwargs)
        return mark(found) if is_marked(self) else found

    return make


def _cloned(original: Any) -> Any:
    """Of a storage, which `copy.deepcopy` copies."""

    def clone(self: Any) -> Any:
        found = original(self)
        found.gpu = self.__dict__.get("gpu", False)
        return found

    return clone


AUTOCAST = {"cuda": "cpu", "cpu": "xpu"}
"""Whose state is in force: on tensors that torch itself takes for those of the CPU."""


def _of_autocast(original: Any) -> Any:
    return lambda device="cuda", *args: original(AUTOCAST.get(device, device), *args)


@contextlib.contextmanager
def pretended_gpu() -> Iterator[Counter[str]]:
    """Pretend; what is yielded counts the heavy operations on "cuda" and on "cpu"."""
    checking = Checking()
    with pytest.MonkeyPatch.context() as patch, checking, Placing(checking):
        patch.setattr(Tensor, "device", _device(Tensor.device))
        patch.setattr(Tensor, "is_cuda", property(is_marked))
        patch.setattr(Tensor, "to", _to(Tensor.to))
        patch.setattr(Tensor, "cpu", lambda self: self.to("cpu"))
        patch.setattr(Tensor, "cuda", lambda self, device=None: self.to("cuda"))
        patch.setattr(Tensor, "pin_memory", lambda self: self)
        patch.setattr(Tensor, "numpy", _refusing(Tensor.numpy))
        patch.setattr(Tensor, "__array__", _refusing(Tensor.__array__))
        patch.setattr(Tensor, "new_tensor", _like(Tensor.new_tensor))
        patch.setattr(torch.UntypedStorage, "clone", _cloned(torch.UntypedStorage.clone))
        for name in ("autocast_enabled", "autocast_dtype"):
            verb = "is" if name.endswith("enabled") else "get"
            for function in (f"{verb}_{name}", f"set_{name}"):
                patch.setattr(torch, function, _of_autocast(getattr(torch, function)))
        patch.setattr(torch, "Generator", Generator)
        said: dict[str, Any] = {
            "is_available": True, "device_count": 1, "current_device": 0, "set_device": None,
            "is_bf16_supported": True, "get_device_name": "pretended", "synchronize": None,
            "reset_peak_memory_stats": None, "max_memory_allocated": 1 << 20,
            "get_rng_state": None, "set_rng_state": None, "is_current_stream_capturing": False,
            "get_device_properties": SimpleNamespace(name="pretended", total_memory=1 << 30),
        }  # fmt: skip
        for name, value in said.items():
            patch.setattr(torch.cuda, name, lambda *args, value=value, **kwargs: value)
        if hasattr(torch, "accelerator"):  # whose streams torch's optimisers ask after
            patch.setattr(torch.accelerator, "is_available", lambda: False)
        _forget_devices()
        try:
            yield checking.heavy
        finally:
            _forget_devices()


def _forget_devices() -> None:
    """Accelerate remembers the device of this process."""
    AcceleratorState._reset_state(reset_partial_state=True)
