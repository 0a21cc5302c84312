"""Weight files: safetensors, written byte-stable and read strictly.

The safetensors library is memory-safe but lets pass what a model folder has no business with: a
huge header, duplicate or odd names, values that are not finite. And a config must not decide how
much memory is taken before it is known to fit the file: the module is first made without memory.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ganzoo.errors import CheckpointError, GanzooError, printable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ganzoo.parts import Part


class Entry(NamedTuple):
    """A tensor of a file: its dtype and shape, and at which byte its values begin."""

    dtype: str
    shape: tuple[int, ...]
    start: int = 0


Header = Mapping[str, Entry]
"""Tensor name -> what the file says of it."""

LARGEST_HEADER = 1 << 20
"""Bytes: they describe some 10,000 tensors."""
LARGEST_STATE_HEADER = 1 << 24
"""Bytes, of a checkpoint of a run: several networks, and for each parameter two moments."""
_MOST_DIMENSIONS, _MOST_METADATA = 8, 64


def write(path: Path, network: nn.Module, storage_dtype: str) -> None:
    """Write a state dict; with "float16", the parameters (not the buffers) as float16."""
    import torch

    parameters = {name for name, _ in network.named_parameters()}
    half = torch.float16 if storage_dtype == "float16" else None
    tensors = {}
    for name, tensor in network.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        if half and name in parameters and tensor.dtype == torch.float32:
            tensor = tensor.to(half)
            if not bool(tensor.isfinite().all()):
                raise CheckpointError(f"{name} does not fit float16", "store it as float32")
        tensors[name] = tensor
    write_tensors(path, tensors)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file; what the system refuses is an `OSError`, as for any other file."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        # one metadata key: with more, the bytes differ from run to run
        save_file(dict(tensors), path, metadata={"format": "pt"})
        path.chmod(0o644)  # safetensors makes it private; the other files of a folder are not
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


_DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16",
           "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8",
           "BOOL": "bool"}  # fmt: skip
_SIZES = {"F16": 2, "F32": 4, "F64": 8, "BF16": 2,
          "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}  # fmt: skip


def read_header(path: Path, *, largest: int = LARGEST_HEADER) -> Header:
    """Tensor name -> its entry, strictly: what the safetensors library lets pass but a model
    folder has no business with (duplicate names, a huge header, odd names) is refused.

    Whatever is not bundled comes by here before any other reader sees it. Time and memory are
    bounded by the size of a header, whatever it says.

    Raises:
        CheckpointError: one line that says what is wrong.
    """

    def fail(what: str) -> CheckpointError:
        return CheckpointError(
            f"{path} is no sound safetensors file: {what}", "get the folder afresh"
        )

    size = path.stat().st_size
    with open(path, "rb") as file:
        prefix = file.read(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or length > min(largest, max(0, size - 8)):
            raise fail("its header does not fit")
        raw = file.read(length)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(pairs)
        if len(names) != len(pairs):
            raise fail("a name stands in it twice")
        return names

    def whole(digits: str) -> int:
        # not -0 either; and a number larger than a file can mean would take long to multiply
        if not digits.isdigit() or len(digits) > 18:
            raise fail(f"{digits[:20]} stands in it")
        return int(digits)

    try:
        header = json.loads(
            raw.decode(),  # of bytes it would take UTF-16 too, and half a surrogate pair
            object_pairs_hook=unique,
            parse_int=whole,
            parse_float=whole,
            parse_constant=whole,
        )
        if not raw.startswith(b"{") or not isinstance(header, dict):
            raise fail("its header is no JSON object")
        metadata = header.pop("__metadata__", {})
        if len(metadata) > _MOST_METADATA or not all(type(v) is str for v in metadata.values()):
            raise fail("its metadata")
        "".join([*metadata, *metadata.values()]).encode()  # half a pair may be escaped as well
        out = {}
        spans = []
        for name, entry in header.items():
            if not re.fullmatch(r"[\w.\-]{1,512}", name, re.ASCII):
                raise fail(f"the tensor name {name[:40]!r}")
            (start, end), shape = entry["data_offsets"], entry["shape"]
            if set(entry) != {"dtype", "shape", "data_offsets"} or type(shape) is not list:
                raise fail(f"the entry of {name!r}")
            if any(type(n) is not int for n in (*shape, start, end)):
                raise fail(f"the entry of {name!r}")
            if len(shape) > _MOST_DIMENSIONS:
                raise fail(f"{name!r} of {len(shape)} dimensions")
            if entry["dtype"] not in _DTYPES:
                raise fail(f"{name!r} is of type {str(entry['dtype'])[:40]!r}")
            out[name] = Entry(_DTYPES[entry["dtype"]], tuple(shape), 8 + length + start)
            spans.append((start, end))
            if end - start != math.prod(shape) * _SIZES[entry["dtype"]]:
                raise fail(f"{name!r} of shape {shape} in {end - start} bytes")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise fail(f"its header cannot be read ({type(error).__name__})") from error
    data = 0
    for start, end in sorted(spans):
        if start != data:
            raise fail("its tensors overlap, or leave gaps")
        data = end
    if 8 + length + data != size:
        raise fail(f"it has {size} bytes, its header promises {8 + length + data}")
    return out


def build_if_fitting(part: Part, config: Any, header: Header, path: Path) -> Any:
    """Build the module once its tensors, made without memory, match the file's."""
    import torch

    from ganzoo.models import build
    from ganzoo.no_init import NoInit

    try:
        with torch.device("meta"), NoInit(blueprint=True), _at_most(len(header), path):
            blueprint = build(part, config)
    except GanzooError:
        raise
    except Exception as error:  # settings that each are in range need not go together
        raise CheckpointError(
            f"{path} does not fit its config: no network can be built of that"
            f" ({type(error).__name__}: {printable(str(error), longest=200)})",
            "get the folder afresh",
        ) from error
    parameters = {name for name, _ in blueprint.named_parameters()}
    expected: dict[str, Tensor] = dict(blueprint.state_dict())
    missing, extra = sorted(set(expected) - set(header)), sorted(set(header) - set(expected))
    if missing or extra:
        what = f"lacks {missing[0]!r}" if missing else f"has {extra[0]!r}, which the model has not"
        more = len(missing) + len(extra) - 1
        raise CheckpointError(
            f"{path} does not fit its config: it {what}" + (f" (and {more} more)" if more else ""),
            "config.json and weights are of different models; get the folder afresh",
        )
    for name, tensor in expected.items():
        dtype, shape, _ = header[name]
        wanted = _dtype_name(tensor)
        halved = name in parameters and wanted == "float32" and dtype == "float16"
        if shape != tuple(tensor.shape) or (dtype != wanted and not halved):
            raise CheckpointError(
                f"{path} does not fit its config: {name!r} is {dtype} {list(shape)},"
                f" the model has {wanted} {list(tensor.shape)}",
                "config.json and weights are of different models; get the folder afresh",
            )
    with NoInit():
        return build(part, config)


@contextlib.contextmanager
def _at_most(tensors: int, path: Path) -> Iterator[None]:
    """Stop a module that grows far beyond the tensors of its file while it is being made: each part
    of it takes time and memory, also without its values."""
    from torch.nn.modules import module

    ours = threading.get_ident()  # the hooks are called for what other threads make, too

    def counter(most: int) -> Callable[..., None]:
        counted = itertools.count(1)

        def count(*_: Any) -> None:
            if threading.get_ident() == ours and next(counted) > most:
                raise CheckpointError(
                    f"{path} does not fit its config: it has {tensors} tensors, the model more",
                    "config.json and weights are of different models; get the folder afresh",
                )

        return count

    hooks = [  # a tensor may be replaced, as one is that is normalised; a module may have none
        module.register_module_parameter_registration_hook(counter(2 * tensors + 100)),
        module.register_module_module_registration_hook(counter(8 * tensors + 1000)),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def fill(module: nn.Module, path: Path, header: Header) -> None:
    """Read the tensors of a file, which fit, into the module; all must be finite.

    They are read in place, one after another: a memory map, or a dict of all of them, would take
    their size a second time.
    """
    import torch

    state: dict[str, Tensor] = dict(module.state_dict())
    with open(path, "rb") as file, torch.no_grad():
        for name, entry in header.items():
            target = state[name]
            same = _dtype_name(target) == entry.dtype and target.is_contiguous()
            tensor = target if same else torch.empty(entry.shape, dtype=getattr(torch, entry.dtype))
            file.seek(entry.start)
            if tensor.numel() and file.readinto(_bytes(tensor)) != tensor.nbytes:
                raise CheckpointError(f"{path} is too short", "get the folder afresh")
            _check_finite(name, tensor, path)
            if tensor is not target:
                target.copy_(tensor)  # float16 becomes the module's float32
    module.load_state_dict(state, strict=True)  # copies nothing new, but runs a module's own hooks


def fill_from(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors, which fit, into the module; all must be finite."""
    for name, tensor in tensors.items():
        _check_finite(name, tensor, path)
    module.load_state_dict(tensors, strict=True)


def _bytes(tensor: Tensor) -> memoryview:
    import torch

    values: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return memoryview(values)


def _check_finite(name: str, tensor: Tensor, path: Path) -> None:
    if tensor.is_floating_point() and tensor.numel():
        low, high = tensor.aminmax()  # shows what is not finite, and takes no memory
        if not math.isfinite(low.item()) or not math.isfinite(high.item()):
            raise CheckpointError(f"{path}: {name!r} is not finite", "get the folder afresh")


def header_of(tensors: Mapping[str, Tensor]) -> Header:
    """What the header of a file with these tensors would say."""
    return {
        name: Entry(_dtype_name(tensor), tuple(tensor.shape)) for name, tensor in tensors.items()
    }


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
