"""The arithmetic of metrics, against closed forms and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from ganzoo.errors import InputError
from ganzoo.evaluation import metrics


def gaussian(n: int, d: int, *, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


def exactly(mean: np.ndarray, factor: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """n points whose sample mean and covariance are exactly `mean` and factor·factorᵀ."""
    x = gaussian(n, len(mean), seed=seed)
    x -= x.mean(axis=0)
    whitened = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return whitened @ factor.T + mean


def fid(a: np.ndarray, b: np.ndarray) -> float:
    return metrics.frechet_distance(metrics.Moments.of(a), metrics.Moments.of(b))


# -- FID -------------------------------------------------------------------------------------------


def test_the_distance_of_two_gaussians_is_the_closed_form() -> None:
    """Of N(m, A²) and N(0, B²) with commuting A, B: |m|² + tr (A - B)²."""
    mean = np.arange(6.0)
    a, b = np.diag([1.0, 2, 3, 4, 5, 6]), np.diag([6.0, 5, 4, 3, 2, 1])
    found = fid(exactly(mean, a, 500, seed=1), exactly(np.zeros(6), b, 400, seed=2))
    assert found == pytest.approx((mean**2).sum() + ((a - b) ** 2).trace(), rel=1e-9)


def test_the_distance_agrees_with_scipy_where_covariances_do_not_commute() -> None:
    x = gaussian(300, 16, seed=1) @ gaussian(16, 16, seed=2)
    y = gaussian(300, 16, seed=3) @ gaussian(16, 16, seed=4) + 0.5
    a, b = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(a @ b).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + (a + b - 2 * root).trace()
    assert fid(x, y) == pytest.approx(expected, rel=1e-8)


def test_the_distance_agrees_with_torchmetrics() -> None:
    from torchmetrics.image.fid import _compute_fid

    x, y = gaussian(500, 32, seed=1), gaussian(500, 32, seed=2) * 1.5 + 0.2
    a, b = (torch.from_numpy(np.cov(v.T)) for v in (x, y))
    expected = _compute_fid(torch.tensor(x.mean(0)), a, torch.tensor(y.mean(0)), b)
    assert fid(x, y) == pytest.approx(float(expected), rel=1e-6)


def test_identical_sets_have_no_distance_even_where_covariances_are_singular() -> None:
    x = gaussian(20, 64)  # rank 19 of 64
    assert fid(x, x.copy()) == pytest.approx(0, abs=1e-7)


def test_singular_covariances_give_the_closed_form() -> None:
    """Points on two axes: nothing is shared, so both variances count whole."""
    x, y = np.zeros((101, 3)), np.zeros((101, 3))
    x[:, 0] = y[:, 1] = np.linspace(-1, 1, 101)
    assert fid(x, y) == pytest.approx(2 * np.linspace(-1, 1, 101).var(ddof=1), rel=1e-9)


def test_the_distance_grows_with_the_shift() -> None:
    x = gaussian(400, 8)
    found = [fid(x, gaussian(400, 8, seed=1, shift=shift)) for shift in (0, 0.2, 0.4, 0.8, 1.6)]
    assert found == sorted(found)
    assert found[-1] - found[0] == pytest.approx(8 * 1.6**2, rel=0.1)


def test_moments_of_batches_are_those_of_the_whole_however_far_from_zero() -> None:
    x = gaussian(1000, 5) + 1e6
    moments = metrics.Moments()
    for batch in np.array_split(x, 7):
        moments.add(batch)
    np.testing.assert_allclose(moments.covariance.numpy(), np.cov(x.T), rtol=1e-7, atol=1e-9)
    other = metrics.Moments.of(x[:300])
    other.merge(metrics.Moments.from_state(metrics.Moments.of(x[300:]).state()))
    np.testing.assert_allclose(other.covariance.numpy(), np.cov(x.T), rtol=1e-7, atol=1e-9)
    assert other.n == 1000
    part = metrics.Moments.of(x[:300])
    before = part.covariance.clone()
    whole = metrics.Moments()
    whole.merge(part)
    whole.merge(metrics.Moments.of(x[300:]))
    assert torch.equal(part.covariance, before)


def test_one_image_has_no_covariance() -> None:
    for x, y in ((gaussian(1, 4), gaussian(9, 4)), (gaussian(9, 4), gaussian(1, 4))):
        with pytest.raises(InputError, match="the features of 1 image have no covariance"):
            fid(x, y)


def test_features_of_two_extractors_have_no_distance() -> None:
    with pytest.raises(InputError, match="of one extractor"):
        fid(gaussian(9, 3), gaussian(9, 4))


# -- KID -------------------------------------------------------------------------------------------


def plain_kid(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimator, term by term."""

    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    xx, yy = k(x, x), k(y, y)
    n, m = len(x), len(y)
    return (
        (xx.sum() - xx.trace()) / (n * (n - 1))
        + (yy.sum() - yy.trace()) / (m * (m - 1))
        - 2 * k(x, y).mean()
    )


def test_kid_is_the_unbiased_mean_over_all_pairs() -> None:
    x, y = gaussian(70, 12, seed=1), gaussian(50, 12, seed=2, shift=0.3)
    assert metrics.kernel_distance(x, y).value == pytest.approx(plain_kid(x, y), rel=1e-10)


def test_kid_agrees_with_torchmetrics_on_one_whole_subset() -> None:
    from torchmetrics.image.kid import poly_mmd

    x, y = gaussian(64, 16, seed=1), gaussian(64, 16, seed=2, shift=0.2)
    expected = float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y)))
    assert metrics.kernel_distance(x, y).value == pytest.approx(expected, rel=1e-8)


def test_kid_of_one_distribution_is_zero_on_average() -> None:
    pairs = [(gaussian(150, 8, seed=s), gaussian(150, 8, seed=s + 100)) for s in range(40)]
    found = [metrics.kernel_distance(x, y, seed=1) for x, y in pairs]
    mean = np.mean([f.value for f in found])
    assert abs(mean) < 3 * np.std([f.value for f in found]) / math.sqrt(40)


def test_the_interval_of_kid_covers_the_true_value() -> None:
    """95 % nominal; the truth is KID of a hundred times as many points."""
    truth = metrics.kernel_distance(
        gaussian(8000, 4, seed=98), gaussian(8000, 4, seed=99, shift=0.5), resamples=2
    ).value
    found = [
        metrics.kernel_distance(gaussian(100, 4, seed=s), gaussian(100, 4, seed=s + 50, shift=0.5))
        for s in range(50)
    ]
    covered = sum(f.low <= truth <= f.high for f in found)
    assert covered >= 42  # P < 0.001 under 95 %
    assert all(f.low < f.value < f.high for f in found)


def test_of_a_few_images_kid_has_an_interval_too() -> None:
    """Every second resample of two is one of them twice, without a pair."""
    for n in range(2, 7):
        found = metrics.kernel_distance(gaussian(n, 4, seed=1), gaussian(n, 4, seed=2))
        assert found.low <= found.value <= found.high


# -- precision, recall, density, coverage ----------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "shift"), [(200, 200, 0.0), (150, 300, 0.5), (300, 100, 2.0)])
def test_manifold_metrics_agree_with_prdc(n: int, m: int, shift: float) -> None:
    from prdc import compute_prdc

    real, fake = gaussian(m, 6, seed=1), gaussian(n, 6, seed=2, shift=shift)
    found = metrics.manifold(fake, real, k_recall=4, k_coverage=5)
    for k, names in ((4, ("precision", "recall")), (5, ("density", "coverage"))):
        expected = compute_prdc(real_features=real, fake_features=fake, nearest_k=k)
        for name in names:
            assert getattr(found, name) == pytest.approx(expected[name], abs=1e-12), name


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_what_lies_on_the_edge_of_a_ball_is_inside(offset: float) -> None:
    """Each ball of identical sets holds its centre and k others, in whatever order they come."""
    real = gaussian(90, 5, seed=1) + offset
    found = metrics.manifold(real[::-1].copy(), real)
    assert found == metrics.Manifold(precision=1, recall=1, density=6 / 5, coverage=1)


def test_one_image_again_and_again_is_in_its_own_balls_only() -> None:
    one, other = np.full((20, 3), 0.1), np.full((30, 3), 0.3)
    assert metrics.manifold(one, np.full((30, 3), 0.1)) == metrics.Manifold(1, 1, 30 / 5, 1)
    assert metrics.manifold(one, other) == metrics.Manifold(0, 0, 0, 0)


def test_a_lost_mode_costs_recall_and_coverage_not_precision() -> None:
    real = np.concatenate([gaussian(200, 4, seed=1), gaussian(200, 4, seed=2, shift=20.0)])
    found = metrics.manifold(gaussian(400, 4, seed=3), real)
    whole = metrics.manifold(
        np.concatenate([gaussian(200, 4, seed=3), gaussian(200, 4, seed=4, shift=20.0)]), real
    )
    assert found.precision > 0.8 and whole.precision > 0.8
    assert found.recall < 0.55 * whole.recall / 0.95
    assert found.coverage < 0.51


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = gaussian(90, 5, seed=1), gaussian(80, 5, seed=2, shift=0.4)
    whole = metrics.manifold(fake, real), metrics.kernel_distance(fake, real)
    monkeypatch.setattr(metrics, "_BLOCK", 7 * 80)
    assert metrics.manifold(fake, real) == whole[0]
    assert metrics.kernel_distance(fake, real) == pytest.approx(whole[1], rel=1e-12)


# -- Inception Score -------------------------------------------------------------------------------


def test_the_inception_score_of_sure_and_even_classes_is_their_number() -> None:
    logits = np.eye(5).repeat(20, axis=0)[np.random.default_rng(0).permutation(100)] * 1000
    score, deviation = metrics.inception_score(logits, splits=1)
    assert score == pytest.approx(5)
    assert deviation == 0


def test_the_inception_score_of_one_class_or_of_no_idea_is_one() -> None:
    assert metrics.inception_score(np.zeros((40, 7)), splits=4)[0] == pytest.approx(1)
    one = np.zeros((40, 7))
    one[:, 3] = 1000
    assert metrics.inception_score(one, splits=4)[0] == pytest.approx(1)


def test_the_inception_score_is_that_of_its_definition() -> None:
    logits = gaussian(60, 6, seed=3) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = [
        math.exp((q * (np.log(q) - np.log(q.mean(axis=0)))).sum(axis=1).mean())
        for q in np.array_split(p, 3)
    ]
    score, deviation = metrics.inception_score(logits, splits=3)
    assert score == pytest.approx(np.mean(expected), rel=1e-12)
    assert deviation == pytest.approx(np.std(expected), rel=1e-9)
