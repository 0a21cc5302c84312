"""Exact nearest neighbours by Euclidean distance, in blocks of bounded memory.

A float32 matrix product finds candidates; their distances are then taken in float64 from the
differences, because |q|^2 + |r|^2 - 2 q.r loses the small distances, which are those of copies. A
bound on the product's rounding certifies each row; one that it cannot certify is searched again
in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ganzoo.errors import InputError

SPARE = 4  # candidates beyond k: what rounding may have put in a wrong order
QUERIES, REFERENCES = 1024, 4096  # a block of distances: 16 MiB
NUMBERS = 2**23  # of a block of features
ROUNDING = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest references of each query, nearest first; of a few at equal distance, the lower
    index first.

    Attributes:
        distances: float64 (n, k).
        indices: int64 (n, k), rows of the references.
    """

    distances: np.ndarray
    indices: np.ndarray

    def of(self, queries: np.ndarray) -> Neighbours:
        """Those of some of the queries, by index or mask."""
        return Neighbours(self.distances[queries], self.indices[queries])


def nearest(
    queries: np.ndarray, references: np.ndarray, *, k: int = 1, skip: np.ndarray | None = None
) -> Neighbours:
    """The k nearest rows of `references` to each row of `queries`.

    Args:
        queries: (n, d), any real type.
        references: (m, d).
        k: how many, at most m (m - 1 with `skip`).
        skip: int (n,): one reference that each query may not be given, such as itself.

    Raises:
        InputError: arrays of other shapes, values that are no finite numbers, or k out of range.
    """
    queries, references = as_features(queries), as_features(references)
    n, m = len(queries), len(references)
    if queries.shape[1] != references.shape[1]:
        raise InputError(
            f"features of {queries.shape[1]} and {references.shape[1]} dimensions",
            "compare what one extractor gave",
        )
    if not 1 <= k <= m - (skip is not None):
        raise InputError(f"{k} neighbours of {m} references", "ask for fewer, or give more")
    if skip is not None and np.shape(skip) != (n,):
        raise InputError("skip is not one index a query", "give an int array of their length")
    centre = references.mean(axis=0, dtype=np.float64)  # smaller norms round less
    distances, indices = np.empty((n, k)), np.empty((n, k), dtype=np.int64)
    size = _rows(queries, QUERIES)
    for start in range(0, n, size):
        rows = slice(start, start + size)
        own = None if skip is None else np.asarray(skip)[rows]
        d, i, certain = _block(queries[rows], references, k, own, centre, torch.float32)
        if not certain.all():
            again = np.flatnonzero(~certain)
            own = None if own is None else own[again]
            d[again], i[again], _ = _block(
                queries[rows][again], references, k, own, centre, torch.float64
            )
        distances[rows], indices[rows] = d, i
    return Neighbours(distances, indices)


def pairs_within(points: np.ndarray, radius: float) -> int:
    """How many pairs of rows are at most `radius` apart."""
    return sum(int(later.sum()) for _, later in _later_within(points, radius))


def repeats(points: np.ndarray, radius: float) -> np.ndarray:
    """Which rows are at most `radius` from an earlier one, bool (n,)."""
    found = np.zeros(len(points), dtype=bool)
    for start, later in _later_within(points, radius):
        found[start:] |= later.any(0).numpy()
    return found


def _later_within(points: np.ndarray, radius: float) -> Iterator[tuple[int, torch.Tensor]]:
    """For each block of rows, its start and which later row (column, from the start on) is at most
    `radius` from it, in float64."""
    points = as_features(points)
    x = torch.from_numpy(points - points.mean(axis=0, dtype=np.float64))
    norm = x.square().sum(1)
    for start in range(0, len(x), QUERIES):
        rows = slice(start, start + QUERIES)
        size = norm[rows, None] + norm[start:]
        squared = size - 2 * x[rows] @ x[start:].T
        # the square of two equal rows is this far from 0
        yield start, (squared <= radius**2 + 1e-12 * size).triu(1)


def as_features(array: np.ndarray) -> np.ndarray:
    """The array as rows of features, (n, d) with n, d >= 1 and finite; images are flattened.

    Raises:
        InputError: it is none.
    """
    array = np.asarray(array)
    if array.ndim < 2 or not array.size or array.dtype.kind not in "biuf":
        raise InputError(
            f"features of shape {array.shape} and type {array.dtype}",
            "give numbers, one row an image",
        )
    array = array.reshape(len(array), -1)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError("features with NaN or infinity", "look for a diverged model or extractor")
    return array


def _rows(features: np.ndarray, most: int) -> int:
    return max(1, min(most, NUMBERS // int(features.shape[1])))


def _block(
    queries: np.ndarray,
    references: np.ndarray,
    k: int,
    skip: np.ndarray | None,
    centre: np.ndarray,
    dtype: torch.dtype,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances and indices (n, k), and whether each row is certain despite the rounding."""
    if dtype is torch.float32:
        centre = centre.astype(np.float32)  # images of bytes become that and no float64
    q = torch.from_numpy(queries - centre).to(dtype)
    q_norm = q.square().sum(1)
    keep = min(k + SPARE, len(references) - (skip is not None))
    best = torch.empty((len(q), 0), dtype=dtype)
    where = torch.empty((len(q), 0), dtype=torch.int64)
    largest = q_norm.new_zeros(())
    size = _rows(references, REFERENCES)
    for start in range(0, len(references), size):
        block = references[start : start + size]
        r = torch.from_numpy(block - centre).to(dtype)
        r_norm = r.square().sum(1)
        largest = torch.maximum(largest, r_norm.max())
        squared = torch.addmm(r_norm, q, r.T, alpha=-2)  # less |q|^2, which orders nothing
        if skip is not None:
            own = torch.from_numpy(np.asarray(skip) - start)
            (rows,) = torch.nonzero((own >= 0) & (own < len(block)), as_tuple=True)
            squared[rows, own[rows]] = torch.inf
        d, i = squared.topk(min(keep, len(block)), dim=1, largest=False)
        best, where = torch.cat([best, d], 1), torch.cat([where, i + start], 1)
        best, order = best.topk(min(keep, best.shape[1]), dim=1, largest=False)
        where = where.gather(1, order)

    found = where.numpy()
    exact = np.empty(found.shape)
    for column in range(found.shape[1]):
        difference = queries.astype(np.float64) - references[found[:, column]]
        exact[:, column] = np.sqrt(np.einsum("nd,nd->n", difference, difference))
    order_ = np.lexsort((found, exact), axis=1)[:, :k]
    distances = np.take_along_axis(exact, order_, 1)
    indices = np.take_along_axis(found, order_, 1)

    # Whatever was not kept has a computed square of at least the last kept one, and a true square
    # of no less than that minus the rounding: d products and their sum, in any order.
    slack = (q.shape[1] + 8) * ROUNDING[dtype] * (q_norm.sqrt() + largest.sqrt()).square()
    floor = (best[:, -1] + q_norm - slack).numpy()
    complete = keep == len(references) - (skip is not None)
    certain = (distances[:, -1] ** 2 <= floor) | complete
    return distances, indices, certain
