"""How close images are to the training images: by distance, and by that over local spacing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ganzoo.errors import InputError
from ganzoo.evaluation.neighbours import Neighbours, nearest
from ganzoo.evaluation.statistics import mann_whitney

CELL_LEAST = 20  # images of each kind for a cell to count


@dataclass(frozen=True, eq=False)
class Closeness:
    """Of each image: the nearest training image, whether its mirrored one, distance and rho."""

    index: np.ndarray
    flipped: np.ndarray
    distance: np.ndarray
    ratio: np.ndarray


def closeness(pool: np.ndarray, n: int, radius: float, *samples: Neighbours) -> list[Closeness]:
    """Of each sample, given its nearest in the pool: n training images, perhaps with the same n
    mirrored. Images within `radius` of each other count as one."""
    where = np.concatenate([sample.indices[:, 0] for sample in samples])
    visited, back = np.unique(where, return_inverse=True)
    spacing = np.split(
        _spacing(pool, n, visited, radius)[back],
        np.cumsum([len(sample.indices) for sample in samples])[:-1],
    )
    return [
        Closeness(index % n, index >= n, distance, distance / own)
        for sample, own in zip(samples, spacing)
        for index, distance in [(sample.indices[:, 0], sample.distances[:, 0])]
    ]


def _spacing(pool: np.ndarray, n: int, visited: np.ndarray, radius: float) -> np.ndarray:
    """The distance of each visited image to the nearest other one: not itself, nor its mirrored
    one, nor a near duplicate of it, which would make every copy of a duplicated image look far."""
    spacing = np.zeros(len(visited))
    rest, k = np.arange(len(visited)), 4
    while len(rest):
        k = min(k, len(pool))
        near = nearest(pool[visited[rest]], pool, k=k)
        other = (near.indices % n != visited[rest, None] % n) & (near.distances > radius)
        found, first = other.any(1), other.argmax(1)
        spacing[rest[found]] = near.distances[found, first[found]]
        rest = rest[~found]
        if len(rest) and k == len(pool):
            raise InputError(
                "all images of a set are the same", "give the whole training and held-out sets"
            )
        k *= 4
    return spacing


def distinct(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows without exact duplicates, and which rows they are."""
    rows = np.ascontiguousarray(features)
    first = {hashlib.sha256(rows[i]).digest(): i for i in reversed(range(len(rows)))}
    kept = np.sort(np.fromiter(first.values(), dtype=np.int64))
    return (features if len(kept) == len(features) else features[kept]), kept


def c_t_test(
    held_out: np.ndarray, cell_p: np.ndarray, generated: np.ndarray, cell_q: np.ndarray
) -> tuple[float, float, float, int, float]:
    """z*, C_T, AUC, cells used and the share of P in them. Sizes may differ; ties are corrected."""
    cells = [
        (p, q)
        for c in np.unique(cell_p)
        if (p := held_out[cell_p == c]).size >= CELL_LEAST
        and (q := generated[cell_q == c]).size >= CELL_LEAST
    ] or [(held_out, generated)]
    weight = np.array([len(p) for p, _ in cells], dtype=np.float64)
    covered = float(weight.sum() / len(held_out))
    weight /= weight.sum()
    z, auc = np.array([mann_whitney(q, p) for p, q in cells]).T
    c_t = float(weight @ z)
    return c_t / float(np.sqrt(weight @ weight)), c_t, float(weight @ auc), len(cells), covered
