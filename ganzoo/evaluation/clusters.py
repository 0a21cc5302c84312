"""A small k-means (Lloyd 1982, seeded as in Arthur and Vassilvitskii 2007), the same every time."""

from __future__ import annotations

import numpy as np

from ganzoo.evaluation.neighbours import as_features, nearest

ITERATIONS = 20
LARGEST = 10_000  # points that the centres are fitted to


def centres(points: np.ndarray, k: int, *, seed: int = 0) -> np.ndarray:
    """Up to `k` cluster centres of the points, float32 (k, d); fewer if the points are fewer.

    Which cell a point is in is `nearest(point, centres).indices`.
    """
    points = as_features(points)
    rng = np.random.default_rng(seed)
    if len(points) > LARGEST:
        points = points[np.sort(rng.choice(len(points), LARGEST, replace=False))]
    points = points.astype(np.float32)
    chosen = [int(rng.integers(len(points)))]
    squared = nearest(points, points[chosen]).distances[:, 0] ** 2
    while len(chosen) < k and squared.sum() > 0:
        chosen.append(int(rng.choice(len(points), p=squared / squared.sum())))
        last = nearest(points, points[chosen[-1:]]).distances[:, 0] ** 2
        squared = np.minimum(squared, last)
    found = points[chosen]
    for _ in range(ITERATIONS):
        cell = nearest(points, found).indices[:, 0]
        inside = cell == np.arange(len(found))[:, None]
        size = inside.sum(1)[:, None]
        total = inside.astype(np.float32) @ points
        moved = np.where(size > 0, total / np.maximum(size, 1), found)
        if np.allclose(moved, found, rtol=0, atol=1e-6 * np.abs(found).max()):
            break
        found = moved.astype(np.float32)
    return found
