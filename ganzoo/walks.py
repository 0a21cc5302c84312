"""Walks through latent space: frames from point to point, straight in w, on the sphere in z."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ganzoo import latents
from ganzoo.classes import Label
from ganzoo.errors import InputError
from ganzoo.images import to_uint8
from ganzoo.latents import Latents
from ganzoo.models import Generator
from ganzoo.nn import without_autocast
from ganzoo.numbers import as_int, check_batch_size
from ganzoo.precision import true_float32

Blend = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def walk(
    generator: Generator,
    seeds: Sequence[int],
    *,
    label: Label | None = None,
    steps: int = 24,
    loop: bool = True,
    batch_size: int = 64,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Frames from the image of one seed to that of the next, for `provenance.save_animation`.

    Args:
        generator: straight lines in w for one that has w, else great circles in z.
        seeds: where the walk leads, two or more.
        label: the one class of a conditional generator; that of the first seed by default.
        steps: frames from one point to the next.
        loop: go back to the first, where it ends; else it ends at the last.
        batch_size: how many images are computed at once; no more than that are held.
        **options: those of `Generator.sample`, save random noise.

    Yields:
        uint8 (H, W, C).

    Raises:
        InputError: one seed, a class or option that the generator does not have, random noise.
    """
    if not isinstance(generator, Generator):
        raise InputError(f"{generator!r} is no generator", "hand over what ganzoo.load gives")
    seeds = generator.choose_seeds(seeds=seeds)
    batch_size = check_batch_size(batch_size)
    if len(seeds) < 2:
        raise InputError("one seed leads nowhere", "give two or more")
    if generator.num_classes and label is None:
        label = seeds[0] % generator.num_classes
    options = generator.check_options(options)
    where = {k: options.pop(k) for k in latents.OF_W if k in options}
    starts = range(0, len(seeds), batch_size)
    parts = (seeds[start : start + batch_size] for start in starts)
    points = (latents.of_seeds(generator, part, labels=label, **where) for part in parts)
    return frames(generator, points, steps=steps, loop=loop, batch_size=batch_size, **options)


def frames(
    generator: Generator,
    points: Iterable[Latents],
    *,
    steps: int = 24,
    loop: bool = True,
    batch_size: int = 64,
    **options: Any,
) -> Iterator[np.ndarray]:
    """`walk` along points of one latent space, each of `points` being one or several of them.

    In z they have to be of one class: there is nothing between two.
    """
    if (as_int(steps) or 0) < 1:
        raise InputError(f"{steps} steps are too few", "use 1 or more, an integer")
    if options.get("noise") == "random":
        raise InputError("random noise flickers in a film", "use noise 'const' or 'none'")
    points = iter(points)
    start = next(points, None)
    if start is None:
        raise InputError("no point to start from", "give two or more")
    return _rendered(generator, start, points, steps, loop, batch_size, options)


def _rendered(
    generator: Generator,
    start: Latents,
    others: Iterator[Latents],
    steps: int,
    loop: bool,
    batch_size: int,
    options: dict[str, Any],
) -> Iterator[np.ndarray]:
    label = None if start.labels is None else start.labels[:1]
    path = _path(_single(start, others), steps, loop, lerp if start.kind == "w" else slerp)
    while batch := list(itertools.islice(path, batch_size)):
        values = torch.from_numpy(np.stack(batch)).to(generator.device)
        labels = None if label is None else label.expand(len(values))
        with torch.inference_mode(), true_float32(values.device), without_autocast(values):
            images = Latents(start.kind, values, labels).render(generator, **options)
        yield from to_uint8(images)


def _single(start: Latents, others: Iterator[Latents]) -> Iterator[np.ndarray]:
    """Each point alone; all of them of one space and one class."""
    for some in itertools.chain([start], others):
        if some.kind != start.kind:
            raise InputError("points of w and of z are mixed", "walk among those of one model")
        if some.labels is not None and start.labels is not None:
            if bool((some.labels != start.labels[0]).any()):
                raise InputError("a walk in z keeps to one class", "choose points of one class")
        yield from some.values.cpu().numpy()


def _path(
    points: Iterator[np.ndarray], steps: int, loop: bool, blend: Blend
) -> Iterator[np.ndarray]:
    first = last = next(points)
    for point in itertools.chain(points, [first] if loop else []):
        yield from (blend(last, point, step / steps) for step in range(steps))
        last = point
    if not loop:
        yield last


def lerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """The point at t in [0, 1] of the straight line from a to b."""
    point: np.ndarray = a + np.float32(t) * (b - a)
    return point


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """The point at t in [0, 1] of the great circle from a to b (Shoemake 1985)."""
    cosine = np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
    angle = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(angle) < 1e-6:  # the same direction, or opposite ones
        return (1 - t) * a + t * b
    point: np.ndarray = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    return point.astype(a.dtype)
