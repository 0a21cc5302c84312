"""Nearest neighbours: those of the definition, also where rounding and ties are in the way."""

from __future__ import annotations

import numpy as np
import pytest

from ganzoo.errors import InputError
from ganzoo.evaluation import neighbours
from ganzoo.evaluation.clusters import centres
from ganzoo.evaluation.neighbours import nearest, pairs_within, repeats


def by_definition(
    queries: np.ndarray, references: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    q, r = (x.reshape(len(x), -1).astype(np.float64) for x in (queries, references))
    distances = np.sqrt(((q[:, None] - r) ** 2).sum(-1))
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, 1), order


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_are_those_of_the_definition(
    k: int, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "QUERIES", 16)  # several blocks, the last ones partial
    monkeypatch.setattr(neighbours, "REFERENCES", 7)
    rng = np.random.default_rng(0)
    queries, references = (
        rng.normal(size=(50, 6)).astype(dtype),
        rng.normal(size=(90, 6)).astype(dtype),
    )
    distances, indices = by_definition(queries, references, k)
    found = nearest(queries, references, k=k)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12)
    np.testing.assert_array_equal(found.indices, indices)


def test_images_of_bytes_are_features() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4), dtype=np.uint8)
    found = nearest(images[:9], images)
    assert found.distances.tolist() == [[0.0]] * 9
    assert found.indices[:, 0].tolist() == list(range(9))


def test_skip_leaves_out_one_reference_each() -> None:
    x = np.array([[0.0], [1.0], [3.0], [3.0]])
    found = nearest(x, x, skip=np.arange(4))
    assert found.indices[:, 0].tolist() == [1, 0, 3, 2]
    assert found.distances[:, 0].tolist() == [1.0, 1.0, 0.0, 0.0]


def test_small_distances_far_from_the_origin_are_exact() -> None:
    """|q|^2 + |r|^2 - 2 q.r in float32 would give distances of about 30 here."""
    rng = np.random.default_rng(0)
    far = np.where(np.arange(64) % 2, 1e5, -1e5)
    references = np.concatenate(
        [rng.normal(size=(300, 64)) - far, rng.normal(size=(300, 64)) + far]
    )
    queries = references[::3] + 1e-3 * rng.normal(size=(200, 64))
    distances, indices = by_definition(queries, references, 3)
    found = nearest(queries, references, k=3)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-9)


def test_more_duplicates_than_candidates_keep_the_lowest_distance() -> None:
    references = np.repeat(np.eye(5, dtype=np.float32), 30, axis=0)
    found = nearest(references[::30] * 1.25, references, k=2)
    np.testing.assert_allclose(found.distances, 0.25)
    assert (found.indices // 30 == np.arange(5)[:, None]).all()


@pytest.mark.parametrize(
    ("queries", "references", "options", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 3)), {}, "2 and 3 dimensions"),
        (np.zeros((3, 2)), np.zeros((3, 2)), {"k": 4}, "4 neighbours of 3"),
        (np.zeros((3, 2)), np.zeros((3, 2)), {"k": 3, "skip": np.arange(3)}, "3 neighbours of 3"),
        (np.zeros((3, 2)), np.zeros((3, 2)), {"skip": np.arange(2)}, "one index a query"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), {}, "NaN"),
        (np.zeros(3), np.zeros((3, 2)), {}, "shape"),
        (np.zeros((0, 2)), np.zeros((3, 2)), {}, "shape"),
    ],
)
def test_bad_input_is_one_line(
    queries: np.ndarray, references: np.ndarray, options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        nearest(queries, references, **options)


def test_pairs_within_a_radius(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "QUERIES", 13)
    x = np.random.default_rng(0).normal(size=(60, 3))
    x[7] = x[31] = x[59]
    distances = np.sqrt(((x[:, None] - x) ** 2).sum(-1))[np.triu_indices(60, 1)]
    assert pairs_within(x, 0.0) == 3
    assert np.flatnonzero(repeats(x, 0.0)).tolist() == [31, 59]
    assert pairs_within(x, 0.9) == (distances <= 0.9).sum() > 3


def test_centres_find_clusters_and_are_the_same_every_time() -> None:
    rng = np.random.default_rng(0)
    means = np.array([[0, 0], [9, 0], [0, 9]])
    points = (means[:, None] + rng.normal(size=(3, 200, 2))).reshape(-1, 2)
    found = centres(points, 3, seed=5)
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(means, axis=0), atol=0.3)
    np.testing.assert_array_equal(found, centres(points, 3, seed=5))
    assert len(centres(np.ones((20, 2)), 3)) == 1  # no three different points
