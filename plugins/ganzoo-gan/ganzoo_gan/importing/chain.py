"""What a stack becomes, whether the modules of a file are one, and what has to be asked of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from ganzoo.errors import InputError
from ganzoo.importing.layers import Found
from ganzoo_gan.sequential_config import Layer


class Questions:
    """What has to be said of a file, all of it asked for at once."""

    def __init__(self) -> None:
        self._lacking: dict[str, str] = {}

    def add(self, what: str, remedy: str) -> None:
        self._lacking[what] = remedy

    def __bool__(self) -> bool:
        return bool(self._lacking)

    def ask(self, otherwise: str = "") -> None:
        """
        Raises:
            InputError: something is lacking.
        """
        if self._lacking:
            remedies = " ".join(self._lacking.values())
            raise InputError(
                f"the file does not say {', '.join(self._lacking)}",
                f"give {remedies}{otherwise}",
            )


@dataclass
class Stack:
    """A network of ours: its config, and the place in it of each module of theirs. `halved`: the
    module whose sigmoid became a tanh; `filled`: the places of norms without gain and bias, with
    their channels."""

    settings: dict[str, Any] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    places: dict[Found, int] = field(default_factory=dict)
    embedding: Found | None = None
    halved: Found | None = None
    filled: dict[int, int] = field(default_factory=dict)

    def add(self, layer: Layer, module: Found | None = None) -> None:
        if module is not None:
            self.places[module] = len(self.layers)
        self.layers.append(layer)

    def described(self) -> str:
        """Its layers in a line: some of what they are was inferred, and people are to see it."""
        return ", ".join(_DESCRIBED.get(e.kind, "{0.kind}").format(e) for e in self.layers)


_CONVOLUTION = "{0.kind} {0.kernel}x{0.kernel} to {0.width} (stride {0.stride}, padding {0.padding}"
_DESCRIBED = {
    "linear": "linear to {0.width}",
    "reshape": "maps",
    "conv": f"{_CONVOLUTION})",
    "conv-transpose": f"{_CONVOLUTION}, {{0.output_padding}})",
    "leaky-relu": "leaky-relu {0.slope:g}",
    "batch-norm": "batch-norm {0.eps:g}",
}


def is_chain(found: list[Found]) -> bool:
    """Whether each module can take what the one before it makes: a network without branches."""
    body = body_of(found)
    weighted = [module for module in body if module.kind != "batch-norm"]
    if len(weighted) < 2 or len(found) - len(body) > 1 or body[0].kind == "batch-norm":
        return False
    widths = {*body[0].weight[:2]}  # what may be made before a module
    is_map = body[0].kind == "conv"
    for module in body:
        before = widths
        widths = {made for taken, made in ways(module) if takes(module, taken, before, is_map)}
        is_map = makes_maps(module, before, is_map)
        if not widths:
            return False
    return True


def ways(module: Found) -> tuple[tuple[int, int], ...]:
    """What a module takes and makes: a convolution that is transposed, or one that is not."""
    if module.kind == "batch-norm":
        return ((module.weight[0], module.weight[0]),)
    first, second = module.weight[:2]
    return ((first, second), (second, first)) if module.kind == "conv" else ((second, first),)


def takes(module: Found, taken: int, widths: set[int], is_map: bool) -> bool:
    """Whether so many channels or units can be what was made before a module, of one of these
    widths: a linear layer takes all of an image's numbers, and others make maps of them."""
    if taken in widths:
        return True
    if module.kind == "linear":
        return is_map and any(is_maps(taken, width) for width in widths)
    return not is_map and any(is_maps(width, taken) for width in widths)


def can_follow(module: Found, channels: int) -> bool:
    """Whether a module can take maps of so many channels."""
    return any(takes(module, taken, {channels}, True) for taken, _ in ways(module))


def makes_maps(module: Found, widths: set[int], is_map: bool) -> bool:
    """Whether what a module makes are maps; a batch norm leaves a vector of as many units one."""
    of_maps = module.kind == "batch-norm" and (is_map or module.weight[0] not in widths)
    return module.kind == "conv" or of_maps


def in_order(found: list[Found]) -> list[list[Found]]:
    """Every order that makes a chain of modules whose file has them by their names, as safetensors
    has: those that differ by a number only stay in the order of the numbers, or all are in it, each
    norm behind the other of its number."""
    groups: dict[str, list[Found]] = {}
    for module in found:
        groups.setdefault(re.split(r"\d", module.name)[0], []).append(module)
    if len(groups) > _MOST_GROUPS:
        return []
    orders = [
        [module for group in order for module in group] for order in permutations(groups.values())
    ]
    numbers = {module: re.findall(r"\d+", module.name)[:1] for module in found}
    if len(groups) > 1 and all(numbers.values()):
        orders.append(
            sorted(found, key=lambda m: (int(numbers[m][0][-9:]), m.kind == "batch-norm"))
        )
    return [order for order in orders if is_chain(order)]


_MOST_GROUPS = 6


def is_critic(found: list[Found]) -> bool:
    """Whether a chain goes from an image to a score: it ends with one unit, or starts with an
    ordinary convolution of few channels."""
    weighted = [module for module in body_of(found) if module.kind != "batch-norm"]
    first, second, last = weighted[0], weighted[1], weighted[-1]
    if first.kind == "conv":
        wide, few = first.weight[:2]
        return few <= 4 and few < wide and wide in second.weight[:2]
    return last.kind == "linear" and last.weight[0] == 1


def body_of(found: list[Found]) -> list[Found]:
    return [module for module in found if module.kind != "embedding"]


def is_maps(numbers: int, channels: int) -> bool:
    """Whether so many numbers are square maps of so many channels."""
    return channels > 0 and is_square(numbers / channels)


def is_square(number: float) -> bool:
    return number >= 1 and number == int(number) and math.isqrt(int(number)) ** 2 == number
