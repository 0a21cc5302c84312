"""LOGAN: how well a discriminator's scores tell training images from others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ganzoo.errors import InputError
from ganzoo.evaluation.membership import audit_membership


def test_the_auc_of_two_normals() -> None:
    """Phi(delta / sqrt 2), and the share above the 99 % quantile is Phi(delta - 2.326)."""
    rng = np.random.default_rng(0)
    result = audit_membership(rng.normal(1, 1, 4000), rng.normal(0, 1, 6000))
    assert result.auc == pytest.approx(stats.norm.cdf(1 / 2**0.5), abs=0.01)
    assert result.lower < stats.norm.cdf(1 / 2**0.5) < result.upper
    assert result.fpr == 0.01
    assert result.tpr_lower < stats.norm.sf(stats.norm.ppf(0.99) - 1) < result.tpr_upper
    assert result.warning.startswith("the discriminator knows its training images: AUC 0.75")


def test_the_auc_is_mann_whitneys_with_ties() -> None:
    rng = np.random.default_rng(1)
    members, others = rng.integers(0, 6, 300), rng.integers(0, 5, 200)
    u = stats.mannwhitneyu(members, others).statistic
    assert audit_membership(members, others).auc == pytest.approx(u / 60_000, rel=1e-12)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    truth = stats.norm.cdf(0.5 / 2**0.5)
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        result = audit_membership(rng.normal(0.5, 1, 150), rng.normal(0, 1, 250))
        held += result.lower <= truth <= result.upper
    assert 0.92 <= held / 400 <= 0.98


def test_a_critic_that_knows_nothing_is_not_accused() -> None:
    rng = np.random.default_rng(3)
    warned = [
        bool(audit_membership(rng.normal(size=500), rng.normal(size=500)).warning)
        for _ in range(100)
    ]
    assert not any(warned)


def test_perfect_separation_has_an_interval() -> None:
    result = audit_membership(np.arange(100) + 100.0, np.arange(100.0))
    assert result.auc == result.upper == result.tpr == 1
    assert result.lower == pytest.approx(0.025 ** (1 / 100))
    assert audit_membership(np.ones(50), np.ones(50)).tpr == 0  # no score above the threshold


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        (np.array([1.0]), {}, "two at least"),
        (np.array([[1.0, 2.0]]), {}, "one finite number"),
        (np.array([1.0, np.inf]), {}, "one finite number"),
        (np.array([1.0, 2.0]), {"fpr": 0.0}, "between 0 and 1"),
    ],
)
def test_bad_input_is_one_line(members: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        audit_membership(members, np.array([0.0, 1.0]), **options)
