"""The inference form of a network: the same function, faster, beside the network itself.

What is constant is worked out. A layer says how by a method `folded()`, which is called on a copy
and returns a module of the same function for inference alone (the scaled weights of
`EqualizedConv2d`, the parts of a modulated convolution that no style changes). In an
`nn.Sequential`, batch norms are folded into the convolutions before them, and everywhere large 3x3
convolutions are done by tiles. The network keeps its weights as they are:
it may be trained on, saved, moved and changed, and its form is made anew when weights or layers are
no longer those that the form was made of.
"""

from __future__ import annotations

import copy
import itertools
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._pytree import tree_map_only

from ganzoo import onednn
from ganzoo.errors import InputError
from ganzoo.graphs import Graphs
from ganzoo.nn import ConvTranspose2d, with_parameters
from ganzoo.precision import true_float32
from ganzoo.winograd import Conv3x3

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class How:
    """How a generator in eval mode computes images in `sample`.

    Attributes:
        dtype: torch.bfloat16 for less precision, in less time where the processor has it.
        compile: by `torch.compile`; on a GPU by CUDA graphs of what it makes.
    """

    dtype: torch.dtype | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in (None, torch.float32, torch.bfloat16):
            raise InputError(
                f"dtype {self.dtype} is not one to sample in",
                "use torch.bfloat16, or leave it out for float32",
            )
        if not isinstance(self.compile, bool):
            raise InputError(f"compile is {self.compile!r}", "use compile=True, or leave it out")
        if self.compile and not any(map(shutil.which, [os.environ.get("CXX", "g++"), "clang++"])):
            raise InputError(
                "compile needs a C++ compiler, and there is none here",
                "install g++ or clang++, name one in CXX, or leave compile out",
            )


CACHE = 8 << 20
"""Bytes that the largest map of the images that a CPU computes at once may have: with more, every
layer waits for memory."""
OF_GPU = 16
"""Such maps have to fit into a GPU's memory: beside one there are weights, others, and what
convolutions need."""
COMPILED = 256
"""Shapes and options that torch compiles one class of networks for. By default it stops at 8, of
all networks of a process together, and computes the others as if it had not been asked."""


class Form:
    """What computes the images of a network."""

    def __init__(self, network: nn.Module, how: How) -> None:
        self.device = next(network.parameters()).device
        self.low = how.dtype == torch.bfloat16
        self.tensor_options: frozenset[str] = getattr(network, "tensor_options", frozenset())
        form = folded(network)
        if self.low:
            for module in form.modules():  # what autocast would do at each use
                if isinstance(module, (Conv3x3, nn.Conv2d, nn.ConvTranspose2d)):
                    module.weight.data = module.weight.to(torch.bfloat16)
        if self.low or self.device.type == "cpu":
            form = form.to(memory_format=torch.channels_last)
        self.network: nn.Module = form
        self.compiled: Callable[..., Tensor] | None = None
        self._batches: set[int] = set()
        self._at_once: int | None = None
        self._prepared = False
        if how.compile:
            for module in form.modules():
                if isinstance(module, Conv3x3):
                    module.sort = False
            compiled = _compiled(form)
            self.compiled = Graphs(compiled) if self.device.type == "cuda" else compiled

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        # random noise is drawn by NumPy, image by image, which is nothing for a compiler
        if self.compiled is None or "rng" in options:
            return self._uncompiled(*args, **options)
        with self._precision():
            return self._by_compiled(self.compiled, args, options)

    def _uncompiled(self, *args: Any, **options: Any) -> Tensor:
        with self._precision():
            images: Tensor = self.network(*args, **options)
        return images

    def _by_compiled(
        self, compiled: Callable[..., Tensor], args: tuple[Any, ...], options: dict[str, Any]
    ) -> Tensor:
        """What is left at the end of many images is computed as more of them, where they have been
        compiled for: that takes longer than any batch."""
        if not self._prepared:
            self.network(*args, **options)  # convolutions prepare their weights
            self._prepared = True
        for name in self.tensor_options & options.keys():
            options[name] = torch.full((), options[name], dtype=torch.float32, device=self.device)
        n = len(args[0])
        known = tuple(self._batches)  # which other threads add to
        of = min((size for size in known if n <= size < 2 * n), default=n)
        if of > n:
            args, options = tree_map_only(Tensor, lambda x: _filled_up(x, n, of), (args, options))
        images = compiled(*args, **options)
        self._batches.add(of)
        return images[:n]

    @contextmanager
    def _precision(self) -> Iterator[None]:
        if self.low:
            with torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False):
                yield
        else:
            with true_float32(self.device):
                yield

    def at_once(self, one: Callable[[Callable[..., Tensor]], object]) -> int:
        """How many images are best computed at once; `one` computes one by what it is given."""
        if self._at_once is None:
            largest = _largest(self.network, lambda: one(self._uncompiled))
            if self.device.type == "cuda":
                memory = torch.cuda.get_device_properties(self.device).total_memory
                fitting = memory // OF_GPU // largest
                self._at_once = 1 << max(0, fitting.bit_length() - 1)  # equal parts of most batches
            else:
                self._at_once = max(1, CACHE // largest)
        return self._at_once


def _compiled(network: nn.Module) -> Callable[..., Tensor]:
    compiled: Callable[..., Tensor] = torch.compile(network, dynamic=False)

    def run(*args: Any, **options: Any) -> Tensor:
        from torch._dynamo import config, exc

        limit = next(n for n in ("recompile_limit", "cache_size_limit") if hasattr(config, n))
        # numbers are constants, also where torch has seen others: `tensor_options` are none
        settings = {limit: COMPILED, "specialize_float": True}
        with config.patch(settings), warnings.catch_warnings():
            # it is left out on purpose (`true_float32`)
            warnings.filterwarnings("ignore", "TensorFloat32 tensor cores", UserWarning)
            try:
                return compiled(*args, **options)
            except exc.TorchDynamoException as error:
                why = str(error).partition("\n\n")[0][:200]
                raise InputError(
                    f"torch cannot compile the network ({why})", "load it without compile"
                ) from error

    return run


def _filled_up(x: Tensor, n: int, of: int) -> Tensor:
    """One of n images as one of more."""
    if x.ndim == 0 or len(x) != n:
        return x
    return torch.cat([x, x[-1:].expand(of - n, *x.shape[1:])])


def _largest(network: nn.Module, use: Callable[[], object]) -> int:
    """Bytes of the largest tensor that a layer returns in use."""
    sizes = [1]

    def see(layer: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() * output.element_size())

    handles = [layer.register_forward_hook(see) for layer in network.modules()]
    try:
        use()
    finally:
        for handle in handles:
            handle.remove()
    return max(sizes)


class Forms:
    """The forms of a network, as long as it is the one of which they were made."""

    def __init__(self, network: nn.Module, state: Any) -> None:
        self.state = state
        self.made: dict[How, Form] = {}
        tensors = [*network.parameters(), *network.buffers()]
        self._probes = [_few(tensor.detach()) for tensor in tensors if tensor.numel()]
        self._values = self._probed()

    def hold(self, state: Any) -> bool:
        """Whether they are of the network as it is."""
        return bool(self.state == state) and all(
            torch.equal(now, then) for now, then in zip(self._probed(), self._values, strict=True)
        )

    @torch.no_grad()
    def _probed(self) -> list[Tensor]:
        """A few values of each tensor: what is written through `.data` changes nothing else that
        tells of it."""
        kinds: dict[Any, list[Tensor]] = {}
        for values in self._probes:
            kinds.setdefault((values.device, values.dtype), []).append(values)
        return [torch.cat(values).nan_to_num() for values in kinds.values()]


def _few(x: Tensor) -> Tensor:
    """A view of some of its values, spread over its memory."""
    layouts = (torch.contiguous_format, *([torch.channels_last] if x.ndim == 4 else []))
    dense = any(x.is_contiguous(memory_format=layout) for layout in layouts)
    flat = x.as_strided((x.numel(),), (1,)) if dense else x[(0,) * (x.ndim - 1)]
    return flat[:: max(1, flat.numel() // PROBED)]


PROBED = 8
"""Of each tensor, at least so many values, if it has them."""

_FORMS: WeakKeyDictionary[nn.Module, Forms] = WeakKeyDictionary()
"""Of each network, so that it can be copied, pickled and saved as if it had none."""


def fast(network: nn.Module, how: How | None = None) -> Form:
    """The inference form of a network in eval mode, on the device where it is; made on the first
    call, and again when it has changed."""
    how = how or How()
    state = _state(network)
    if state is None:
        return Form(network, how)
    forms = _FORMS.get(network)
    if forms is None or not forms.hold(state):
        forms = _FORMS[network] = Forms(network, state)
    if how not in forms.made:
        forms.made[how] = Form(network, how)
    return forms.made[how]


def _state(network: nn.Module) -> Any:
    """What changes with the network, or None where that cannot be told."""
    tensors = [*network.parameters(), *network.buffers()]
    if any(tensor.is_inference() for tensor in tensors):
        return None
    layers = tuple(map(_layer, network.modules()))
    return layers, tuple((t.device, t.dtype, t.data_ptr(), t._version) for t in tensors)


def _layer(module: nn.Module) -> Any:
    """What of a layer is no tensor: which one it is, its mode, its numbers (`eps`), its hooks."""
    told = (value for value in vars(module).values() if isinstance(value, (int, float, str)))
    return ref(module), *told, *module._forward_hooks, *module._forward_pre_hooks


def folded(network: M) -> M:
    """A copy for inference in which what is constant is worked out; it shares all other tensors."""
    shared: dict[int, Any] = {id(p): nn.Parameter(p.detach(), False) for p in network.parameters()}
    shared |= {id(buffer): buffer.detach() for buffer in network.buffers()}
    for module in network.modules():  # weights that hooks compute (`nn.utils.spectral_norm`)
        shared |= {id(x): x.detach() for x in vars(module).values() if isinstance(x, Tensor)}
    with torch.no_grad():
        return _folded(copy.deepcopy(network, shared), {})  # type: ignore[return-value]


def _folded(layer: nn.Module, done: dict[int, tuple[nn.Module, nn.Module]]) -> nn.Module:
    """A layer from the top down. `done` are those that were met, which may be used twice, and what
    became of them."""
    if id(layer) in done:
        return done[id(layer)][1]
    form = layer
    if type(layer) is nn.Sequential:
        for first, second in itertools.pairwise(layer._modules):
            fold_pair(layer, first, second)
    elif any(map(_has_hooks, layer.modules())):
        pass  # they are to see what `forward` has
    elif any(map(is_parametrized, layer.modules())):
        pass  # its weight is computed, and no parameter of its own
    elif type(layer) is nn.Conv2d:
        form = _by_tiles(layer)
    elif type(layer) is nn.Linear:
        form = onednn.Linear(layer.weight, layer.bias)
    elif _says_how(type(layer)):
        form = layer.folded()  # type: ignore[operator]
    done[id(layer)] = layer, form
    for name, child in form._modules.items():
        if child is not None:
            form._modules[name] = _folded(child, done)
    return form


def _says_how(kind: type[nn.Module]) -> bool:
    """Whether it has `folded` for its own `forward`, and not for that of a class above it."""
    owner = next(vars(k) for k in kind.__mro__ if vars(k).keys() & {"forward", "folded"})
    return "folded" in owner


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _by_tiles(layer: nn.Conv2d) -> nn.Module:
    plain = (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == (
        (3, 3), (1, 1), (1, 1), (1, 1)
    )  # fmt: skip
    if not plain or layer.groups != 1 or layer.padding_mode != "zeros":
        return layer
    return Conv3x3(layer.weight, layer.bias)


def fold_pair(layers: nn.Module, convolution: str, norm: str) -> None:
    """Fold a batch norm into the convolution before it, both named children of `layers`, where that
    is the same function; for use in `folded()`."""
    before, after = layers._modules[convolution], layers._modules[norm]
    if _folds(before, after):
        layers._modules[convolution], shift = _fold(before, after)
        layers._modules[norm] = Shift(shift)


def _folds(convolution: Any, norm: Any) -> bool:
    """Whether they are a convolution and a batch norm that uses its statistics, as torch has them:
    a subclass, a parametrised layer or one with hooks may do something else."""
    convolutions = (nn.Conv2d, nn.ConvTranspose2d, ConvTranspose2d)
    plain = type(convolution) in convolutions and type(norm) is nn.BatchNorm2d
    if plain and isinstance(convolution, nn.ConvTranspose2d) and convolution.groups > 1:
        return False  # torch's folding takes it for one of a single group
    hooked = any(map(_has_hooks, (convolution, norm)))
    return plain and not hooked and not norm.training and norm.running_mean is not None


def _fold(convolution: Any, norm: Any) -> tuple[nn.Module, Tensor]:
    """A convolution scaled as the batch norm behind it does, and what is left to be added."""
    weight, shift = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=isinstance(convolution, nn.ConvTranspose2d),
    )
    return with_parameters(convolution, weight=weight, bias=None), shift.detach()


class Shift(nn.Module):
    """What a batch norm adds, in place: a transposed convolution takes longer with a bias, and a
    tensor of its own for the result costs as much as the sum."""

    shift: Tensor

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        return x.add_(self.shift[:, None, None].to(x.dtype))  # (N, C, H, W)
