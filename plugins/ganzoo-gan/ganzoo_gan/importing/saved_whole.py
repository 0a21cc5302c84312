"""What a network that was saved whole says of its layers, so that nobody has to be asked."""

from __future__ import annotations

from collections.abc import Mapping

from ganzoo.errors import InputError
from ganzoo.importing.layers import USUAL, Found
from ganzoo.importing.tree import shown
from ganzoo.importing.whole import Said
from ganzoo_gan.importing.chain import body_of
from ganzoo_gan.sequential_config import Layer

ACTIVATIONS = ("relu", "leaky-relu", "tanh", "sigmoid")
NOTE = (
    "The file has its modules whole: what it says of them was taken from it. What its program's own"
    " classes do besides running them one after another is not in it."
)
_REMEDY = (
    "if it is one of torch's by another name, import its state_dict(); of a discriminator, give"
    " --set discriminator=false"
)
_NOTHING = ("Dropout", "Dropout1d", "Dropout2d", "Identity", "Flatten")
"""Modules that do nothing once trained, or that follow from the shapes."""
_WEIGHTED = {
    "linear": ("Linear",),
    "conv": ("Conv2d", "ConvTranspose2d"),
    "batch-norm": ("BatchNorm1d", "BatchNorm2d", "SyncBatchNorm", "InstanceNorm2d", "GroupNorm"),
    "embedding": ("Embedding",),
}


def check(found: list[Found], modules: Mapping[str, Said]) -> None:
    """Refuse what a file says of its `modules` that a chain of the `found` ones does not have.

    Raises:
        InputError: names the module.
    """
    first = next(iter(body_of(found)), None)
    for module in found:
        if module.said is None:
            continue
        if module.said.kind not in _WEIGHTED[module.kind]:
            raise _unknown(module.said, f"{module.name} is")
        for name, usual in USUAL.items():
            value = module.said.settings.get(name, usual)
            if value != usual:
                raise InputError(
                    f"{module.name} has {name} = {shown(value)}", f"only {usual!r} can be imported"
                )
        aside = module.said.before if module is first else ()
        if module.kind == "embedding":
            aside = module.said.before + module.said.behind
        for each in aside:
            if _layers(each, f"beside {module.name}"):
                raise _unknown(each, f"beside {module.name} is")
    names = {module.name for module in found}
    for name, each in modules.items():
        if name not in names and not each.silent:
            raise InputError(
                f"{name} is a module that is used elsewhere, too",
                "save its state_dict(), import that",
            )
        if name not in names and any(e.kind == "instance-norm" for e in _layers(each, name)):
            raise _unknown(each, f"{name} is")


def are_alike(one: Found, other: Found) -> bool:
    """Whether two branches have the same there, besides their tensors."""
    if one.said is None or other.said is None:
        return one.said is other.said
    return (
        one.said.kind == other.said.kind
        and between(one, None) == between(other, None)
        and not any(_layers(each, one.name) for each in (*one.said.before, *other.said.before))
        and (one.kind != "conv" or geometry(one) == geometry(other))
        and (one.kind != "batch-norm" or eps(one) == eps(other))
    )


def between(module: Found, following: Found | None) -> tuple[list[Layer], bool]:
    """Our layers for the modules without tensors between two, and whether nothing else is there."""
    if module.said is None:
        return [], False
    modules = list(module.said.behind)
    if following is not None and following.said is not None and not module.said.followed:
        modules += following.said.before
    layers = [layer for each in modules for layer in _layers(each, f"behind {module.name}")]
    return layers, module.said.followed or any(each.kind in ACTIVATIONS for each in layers)


def _layers(said: Said, where: str) -> list[Layer]:
    if said.kind in _NOTHING or (said.kind == "Unflatten" and _is_square(said)):
        return []
    if said.kind in ("ReLU", "Tanh", "Sigmoid"):
        return [Layer(said.kind.lower())]  # type: ignore[arg-type]
    if said.kind == "LeakyReLU":
        return [Layer("leaky-relu", slope=_number(said, "negative_slope", where))]
    if said.kind == "InstanceNorm2d":
        return [Layer("instance-norm", eps=_number(said, "eps", where))]
    if said.kind in ("Upsample", "UpsamplingNearest2d"):
        factor = said.settings.get("scale_factor")
        factors = factor if isinstance(factor, tuple) else (factor,)
        if said.settings.get("mode", "nearest") == "nearest" and set(factors) == {2.0}:
            return [Layer("upsample")]
    raise _unknown(said, f"{where} is")


def _is_square(said: Said) -> bool:
    """Of what an Unflatten makes."""
    sizes = said.settings.get("unflattened_size")
    if type(sizes) is not tuple or [type(size) for size in sizes] != [int, int, int]:
        return False
    return bool(sizes[1] == sizes[2])


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
    return None if module.said is None else _number(module.said, "eps", module.name)


def is_transposed(module: Found) -> bool | None:
    return None if module.said is None else module.said.kind == "ConvTranspose2d"


def geometry(module: Found) -> tuple[int, int, int] | None:
    """Stride, padding and output padding of a convolution."""
    if module.said is None:
        return None
    sides = [module.said.settings.get(name) for name in ("stride", "padding", "output_padding")]
    numbers = [side[0] if isinstance(side, tuple) and len({*side}) == 1 else None for side in sides]
    if not all(type(number) is int for number in numbers):
        raise InputError(
            f"{module.name} has a stride of {shown(sides[0])} and a padding of {shown(sides[1])}",
            "only square ones, in numbers, can be imported",
        )
    stride, padding, output_padding = numbers
    return stride, padding, output_padding


def _number(said: Said, name: str, where: str) -> float:
    value = said.settings.get(name)
    if type(value) not in (int, float):
        raise InputError(f"{where} has {name} = {shown(value)}", "give the file's state dict")
    return float(value)


def _unknown(said: Said, where: str) -> InputError:
    return InputError(f"{where} a {said.kind[:100]}, of which ours has none", _REMEDY)
