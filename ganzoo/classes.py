"""The classes of a conditional generator, by number or by the name that its data set has for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor

from ganzoo.errors import InputError, nearest
from ganzoo.numbers import as_int

if TYPE_CHECKING:
    from ganzoo.models import Generator

Label: TypeAlias = int | str
"""A class by its number, or by its name in any case."""
Labels: TypeAlias = Label | Sequence[Label] | Tensor
"""One class for all images, or one an image."""


def class_number(generator: Generator, label: Label) -> int:
    """The number of a class; one that the generator does not have is refused."""
    title, n = generator.title, generator.num_classes
    if not n:
        raise InputError(f"{title} has no classes", "leave the labels out")
    remedy = f"use 0 to {n - 1}"
    if isinstance(label, str):
        config = generator.record.get("config")
        names = {name.casefold(): k for k, name in enumerate(config.classes if config else ())}
        number = names.get(label.casefold())
        remedy = nearest(label.casefold(), names) or remedy
    else:
        number = as_int(label)
    if number is None or not 0 <= number < n:
        raise InputError(f"{title} has no class {label!r}", remedy)
    return number


def label_each(
    generator: Generator, labels: Labels | None, seeds: Sequence[int]
) -> list[int] | None:
    """The class of each seed: as `labels` say, else seed mod num_classes; None without classes."""
    if labels is None:
        n = generator.num_classes
        return [seed % n for seed in seeds] if n else None
    several = isinstance(labels, Iterable) and not isinstance(labels, str)
    if as_int(labels) is not None or not several:  # a tensor of no dimension is iterable, too
        chosen: list[Any] = [labels] * len(seeds)
    else:
        chosen = list(labels)  # type: ignore[arg-type]
    if len(chosen) != len(seeds):
        raise InputError(
            f"{len(chosen)} labels for {len(seeds)} images", "give one label, or one an image"
        )
    return [class_number(generator, label) for label in chosen]


def check_labels_given(title: str, num_classes: int, labels: Tensor | None) -> None:
    """Refuse labels for a network without classes, and their absence for one that has some."""
    if num_classes and labels is None:
        raise InputError(
            f"{title} is conditional and needs labels", f"pass labels in 0 to {num_classes - 1}"
        )
    if labels is None:
        return
    if not num_classes:
        raise InputError(f"{title} has no classes", "leave the labels out")
    if not isinstance(labels, Tensor) or labels.dim() != 1 or labels.is_floating_point():
        raise InputError(
            f"{title} takes labels as a tensor of integers (N,)", "such as torch.tensor([3, 7])"
        )
