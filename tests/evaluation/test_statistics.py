"""The tests and intervals that the audits use, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ganzoo.errors import InputError
from ganzoo.evaluation import statistics


@pytest.mark.parametrize("levels", [0, 7])  # continuous, and with many ties
@pytest.mark.parametrize("sizes", [(200, 200), (40, 900)])
def test_mann_whitney_is_scipys(levels: int, sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.2, 1, sizes[0]), rng.normal(0, 1, sizes[1])
    if levels:
        a, b = np.round(a * levels / 4), np.round(b * levels / 4)
    z, auc = statistics.mann_whitney(a, b)
    oracle = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
    assert auc == pytest.approx(oracle.statistic / (len(a) * len(b)), rel=1e-12)
    assert 2 * stats.norm.sf(abs(z)) == pytest.approx(oracle.pvalue, rel=1e-9)
    assert z > 0


def test_mann_whitney_of_equal_values_says_nothing() -> None:
    assert statistics.mann_whitney(np.ones(5), np.ones(9)) == (0.0, 0.5)
    with pytest.raises(InputError, match="empty"):
        statistics.mann_whitney(np.ones(0), np.ones(9))


def test_precedence_is_a_hypergeometric_tail() -> None:
    for ahead, sample, rank, reference in (
        (3, 10, 2, 8),
        (60, 5000, 10, 5000),
        (90, 4000, 50, 6000),
    ):
        p = statistics.precedence_p(ahead, sample, rank, reference)
        oracle = stats.hypergeom(sample + reference, sample, ahead + rank - 1).sf(ahead - 1)
        assert p == pytest.approx(oracle, rel=1e-6)
    assert statistics.precedence_p(0, 10, 1, 10) == 1.0
    assert statistics.precedence_p(10, 10, 1, 1) == pytest.approx(1 / 11)  # P(the other is last)


def test_precedence_counts_the_error_of_the_threshold() -> None:
    """Simulated: how often 18 or more of 1,000 lie below the fifth smallest of 1,000 others."""
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(4000):
        threshold = np.partition(rng.random(1000), 4)[4]
        seen += (rng.random(1000) < threshold).sum() >= 13
    p = statistics.precedence_p(13, 1000, 5, 1000)
    assert abs(seen / 4000 - p) < 4 * (p / 4000) ** 0.5
    assert p > 5 * stats.binom(1000, 0.005).sf(12)  # as if the threshold were known


@pytest.mark.parametrize(("k", "n"), [(0, 50), (1, 50), (62, 5000), (4999, 5000), (50, 50)])
def test_clopper_pearson_is_scipys(k: int, n: int) -> None:
    oracle = stats.binomtest(k, n).proportion_ci(0.95, "exact")
    assert statistics.clopper_pearson(k, n) == pytest.approx((oracle.low, oracle.high), abs=1e-9)
    with pytest.raises(InputError, match="count no more"):
        statistics.clopper_pearson(n + 1, n)


def test_other_tails_are_scipys() -> None:
    assert statistics.binomial_tail(30, 200, 0.1) == pytest.approx(
        stats.binom(200, 0.1).sf(29), rel=1e-9
    )
    assert statistics.chi_square_tail(30.5, 9) == pytest.approx(stats.chi2(9).sf(30.5), rel=1e-9)
    for count in (0, 1, 20, 3000):
        low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
        high = stats.chi2.ppf(0.975, 2 * count + 2) / 2
        assert statistics.poisson_interval(count) == pytest.approx((low, high), rel=1e-6)
