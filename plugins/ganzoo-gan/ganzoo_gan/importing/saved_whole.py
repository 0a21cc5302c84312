"""What a network that was saved whole says of its layers, so that nobody has to be asked."""

from __future__ import annotations

from typing import Any

from ganzoo.errors import InputError
from ganzoo.importing.layers import Found
from ganzoo.importing.tree import shown
from ganzoo.importing.whole import Said
from ganzoo_gan.sequential_config import Layer

ACTIVATIONS = ("relu", "leaky-relu", "tanh", "sigmoid")
NOTE = "The file has its modules whole: what it says of them was taken from it."
_REMEDY = "save its state_dict() and import that, if ours has such layers"
_NOTHING = ("Dropout", "Dropout1d", "Dropout2d", "Identity", "Flatten", "Unflatten")
"""Modules that do nothing once trained, or that follow from the shapes."""
_WEIGHTED = {
    "linear": ("Linear",),
    "conv": ("Conv2d", "ConvTranspose2d"),
    "batch-norm": ("BatchNorm1d", "BatchNorm2d", "SyncBatchNorm", "InstanceNorm2d", "GroupNorm"),
    "embedding": ("Embedding",),
}


def check(found: list[Found]) -> None:
    """
    Raises:
        InputError: a module is of another class than its tensors look like.
    """
    for module in found:
        if module.said is not None and module.said.kind not in _WEIGHTED[module.kind]:
            raise InputError(
                f"{module.name} is a {module.said.kind[:100]}, of which ours has none", _REMEDY
            )


def between(module: Found, following: Found | None) -> tuple[list[Layer], bool]:
    """Our layers for the modules without tensors between two, and whether nothing else is there."""
    if module.said is None:
        return [], False
    modules = list(module.said.behind)
    if following is not None and following.said is not None and not module.said.followed:
        modules += following.said.before
    layers = [layer for each in modules for layer in _layers(each, module)]
    return layers, module.said.followed or any(each.kind in ACTIVATIONS for each in layers)


def _layers(said: Said, behind: Found) -> list[Layer]:
    if said.kind in _NOTHING:
        return []
    if said.kind in ("ReLU", "Tanh", "Sigmoid"):
        return [Layer(said.kind.lower())]  # type: ignore[arg-type]
    if said.kind == "LeakyReLU":
        return [Layer("leaky-relu", slope=_number(said, "negative_slope", behind))]
    if said.kind == "InstanceNorm2d":
        return [Layer("instance-norm", eps=_number(said, "eps", behind))]
    if said.kind in ("Upsample", "UpsamplingNearest2d"):
        factor = said.settings.get("scale_factor")
        factors = factor if isinstance(factor, tuple) else (factor,)
        if said.settings.get("mode", "nearest") == "nearest" and set(factors) == {2.0}:
            return [Layer("upsample")]
    raise InputError(
        f"behind {behind.name} is a {said.kind[:100]}, of which ours has none", _REMEDY
    )


def norm(module: Found) -> str | None:
    """Which one a norm without running statistics is."""
    if module.said is None:
        return None
    groups = module.said.settings.get("num_groups")
    if module.said.kind == "InstanceNorm2d" or groups == module.weight[0]:
        return "instance"
    if module.said.kind == "GroupNorm" and groups == 1:
        return "layer"
    raise InputError(
        f"{module.name} is a {module.said.kind[:100]} without running statistics,"
        f"{'' if groups is None else f' of {shown(groups)} groups,'} of which ours has none",
        _REMEDY,
    )


def eps(module: Found) -> float | None:
    """Of a norm."""
    return None if module.said is None else _number(module.said, "eps", module)


def is_transposed(module: Found) -> bool | None:
    return None if module.said is None else module.said.kind == "ConvTranspose2d"


def geometry(module: Found) -> tuple[int, int, int] | None:
    """Stride, padding and output padding of a convolution."""
    if module.said is None:
        return None
    for name, usual in (("dilation", 1), ("groups", 1), ("padding_mode", "zeros")):
        value: Any = module.said.settings.get(name, usual)
        if value not in (usual, (usual, usual)):
            raise InputError(
                f"{module.name} has {name} = {shown(value)}", f"only {usual!r} can be imported"
            )
    sides = [module.said.settings.get(name) for name in ("stride", "padding", "output_padding")]
    numbers = [side[0] if isinstance(side, tuple) and len({*side}) == 1 else None for side in sides]
    if not all(type(number) is int for number in numbers):
        raise InputError(
            f"{module.name} has a stride of {shown(sides[0])} and a padding of {shown(sides[1])}",
            "only square ones, in numbers, can be imported",
        )
    stride, padding, output_padding = numbers
    return stride, padding, output_padding


def _number(said: Said, name: str, module: Found) -> float:
    value = said.settings.get(name)
    if type(value) not in (int, float):
        raise InputError(f"{module.name} has {name} = {shown(value)}", "give the file's state dict")
    return float(value)
