"""Classes left out or made badly, and how many different images there are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ganzoo.errors import InputError
from ganzoo.evaluation import support
from ganzoo.evaluation.bias import (
    ClassShares,
    class_shares,
    confusion_matrix,
    label_accuracy,
    simplex,
)
from ganzoo.evaluation.copying import CopyingAudit
from ganzoo.evaluation.fairness import class_gap
from ganzoo.evaluation.verdict import verdict_of

UNIFORM = np.full(10, 6000)


def biased_classifier() -> np.ndarray:
    """Reads a fifth of the 3s as 5s, and one in a hundred of the others as the next class."""
    reading = 0.99 * np.eye(10) + 0.01 * np.roll(np.eye(10), 1, axis=1)
    reading[3] = 0
    reading[3, 3], reading[3, 5] = 0.8, 0.2
    assert np.trace(reading) / 10 == pytest.approx(0.971)
    return reading


def read_by(classifier: np.ndarray, true: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random((len(true), 1)) > classifier[true].cumsum(1)).sum(1).clip(max=9)


def seen(shares: np.ndarray, rng: np.random.Generator, n: int = 10_000) -> ClassShares:
    """A generator of these class shares, seen through the biased classifier, whose confusion is
    estimated on 1,000 labelled images a class."""
    classifier, labelled = biased_classifier(), np.repeat(np.arange(10), 1000)
    confusion = confusion_matrix(labelled, read_by(classifier, labelled, rng), 10)
    true = rng.choice(10, size=n, p=shares)
    return class_shares(
        read_by(classifier, true, rng), UNIFORM, confusion=confusion, simulations=300
    )


def test_a_uniform_generator_is_not_accused_of_its_classifiers_bias() -> None:
    runs = [seen(np.full(10, 0.1), np.random.default_rng([run, 1])) for run in range(100)]
    assert sum(run.biased for run in runs) <= 5
    assert sum(run.chi_square_p < 0.05 for run in runs) <= 12  # 5 expected
    assert all(run.missing == () for run in runs)
    assert np.mean([run.tvd_read for run in runs]) > 0.022  # what the classifier shows
    assert np.mean([run.tvd for run in runs]) < 0.015


def test_without_the_confusion_the_same_generator_looks_biased() -> None:
    rng = np.random.default_rng(2)
    read = read_by(biased_classifier(), rng.choice(10, size=10_000), rng)
    result = class_shares(read, UNIFORM)
    assert result.biased and not result.corrected


def test_a_dropped_class_is_always_found() -> None:
    for run in range(30):
        rng = np.random.default_rng([run, 3])
        shares = np.full(10, 1 / 9)
        shares[run % 10] = 0
        result = seen(shares, rng)
        assert result.biased and result.chi_square_p < 1e-6
        assert result.missing == (run % 10,)
        assert result.tvd == pytest.approx(0.1, abs=0.02)


def test_a_rare_class_that_is_dropped_is_found_too() -> None:
    """2 % of the data: half the TVD's null."""
    classifier, labelled = biased_classifier(), np.repeat(np.arange(10), 200)
    train = np.arange(1, 11) / 55
    shares = train * (np.arange(10) > 0)
    for run in range(20):
        rng = np.random.default_rng([run, 12])
        confusion = confusion_matrix(labelled, read_by(classifier, labelled, rng), 10)
        made = rng.choice(10, size=5000, p=shares / shares.sum())
        result = class_shares(
            read_by(classifier, made, rng), train, confusion=confusion, simulations=300
        )
        assert result.biased
        _, (note,) = verdict_of(
            CopyingAudit("pass", (), {}), result, None, None, None, "abcdefghij"
        )
        assert ("hardly any: a" in note) == (result.missing == (0,))
        assert ("chi-square" in note) == (result.tvd <= result.null)


def test_the_covariance_of_the_generalised_chi_square_is_right() -> None:
    """With few labelled images p is small no more often; leaving their error out, it would be."""
    p = []
    for run in range(200):
        rng = np.random.default_rng([run, 4])
        labelled = np.repeat(np.arange(10), 100)
        confusion = confusion_matrix(labelled, read_by(biased_classifier(), labelled, rng), 10)
        read = read_by(biased_classifier(), rng.choice(10, size=10_000), rng)
        p.append(class_shares(read, UNIFORM, confusion=confusion, simulations=2).chi_square_p)
    assert np.mean(np.array(p) < 0.05) < 0.1


@pytest.mark.parametrize("labelled", [20, 200])
def test_misreadings_that_no_labelled_image_showed_do_not_accuse(labelled: int) -> None:
    """Rare classes, seen mostly in misread images of the frequent one: few of those are labelled,
    and some of its misreadings are not among them."""
    shares = 1 / np.arange(1, 11) ** 2
    shares /= shares.sum()
    reading = 0.95 * np.eye(10) + 0.005
    accused = 0
    for run in range(50):
        rng = np.random.default_rng([run, 13])
        true = np.repeat(np.arange(10), labelled)
        confusion = confusion_matrix(true, read_by(reading, true, rng), 10)
        read = read_by(reading, rng.choice(10, size=5000, p=shares), rng)
        found = class_shares(read, shares, confusion=confusion, simulations=100)
        accused += found.chi_square_p < 0.005
    assert accused <= 3


def test_with_a_perfect_classifier_it_is_pearsons() -> None:
    rng = np.random.default_rng(5)
    read = rng.choice(10, size=2000)
    counts = np.bincount(read, minlength=10)
    assert class_shares(read, UNIFORM).chi_square_p == pytest.approx(
        stats.chisquare(counts).pvalue, rel=1e-9
    )


def test_the_null_of_ten_classes_is_the_closed_form() -> None:
    """TVD of 10,000 from a uniform distribution of 10: 0.0119 on average, 0.0196 at 99 %."""
    rng = np.random.default_rng(6)
    result = class_shares(rng.choice(10, size=10_000), UNIFORM, simulations=20_000)
    assert result.null == pytest.approx(0.0196, abs=0.0006)
    runs = [class_shares(rng.choice(10, size=10_000), UNIFORM, simulations=1) for _ in range(50)]
    assert np.mean([run.tvd for run in runs]) == pytest.approx(
        math.sqrt(9 / (2 * math.pi * 10_000)), rel=0.1
    )


def test_a_thousand_modes() -> None:
    """(K - 1) / 2 N = 0.0194 for 26,000 samples: no generator can do better."""
    rng = np.random.default_rng(7)
    modes = np.full(1000, 1.0)
    runs = [class_shares(rng.choice(1000, size=26_000), modes, simulations=200) for _ in range(5)]
    assert np.mean([run.kl for run in runs]) == pytest.approx(0.0194, abs=0.001)
    assert all(run.kl == pytest.approx(0.0194, abs=0.002) for run in runs)
    assert all((run.modes, run.missing) == (1000, ()) for run in runs)
    dropped = class_shares(rng.choice(980, size=26_000), modes, simulations=200)
    assert dropped.modes == 980
    assert dropped.missing == tuple(range(980, 1000))


def test_imbalanced_training_shares_are_the_norm() -> None:
    rng = np.random.default_rng(8)
    train = np.array([9000, 900, 100])
    honest = rng.choice(3, size=5000, p=train / train.sum())
    assert not class_shares(honest, train).biased
    assert class_shares(rng.choice(3, size=5000), train).biased
    majority = class_shares(np.zeros(5000, dtype=int), train)
    assert majority.missing == (1, 2)


def test_a_class_that_was_not_trained_on_is_impossible() -> None:
    result = class_shares(np.array([0, 1, 2] * 50), np.array([1, 1, 0]))
    assert result.chi_square_p == 0 and result.biased and result.kl == math.inf


def test_simplex_is_the_nearest_point() -> None:
    np.testing.assert_allclose(
        simplex(np.array([[0.2, 0.3, 0.5], [0.6, 0.6, -0.4], [3.0, 0.0, 0.0]])),
        [[0.2, 0.3, 0.5], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]],
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("read", "train", "options", "message"),
    [
        ([0, 1], [1, 1], {"confusion": np.zeros((3, 3))}, r"shape \(3, 3\) for 2 classes"),
        ([0, 1], [1, 1], {"confusion": np.array([[5, 0], [0, 0]])}, r"classes \[1\]"),
        ([0, 1], [1, 1], {"confusion": np.array([[5, 5], [5, 5]])}, "does not tell"),
        ([0, 2], [1, 1], {}, "labels 0 to 2 of 2"),
        ([0.0, 1.0], [1, 1], {}, "one class index"),
        ([0, 1], [0, 0], {}, "no histogram"),
    ],
)
def test_bad_input_is_one_line(read: list, train: list, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        class_shares(np.array(read), np.array(train), **options)


def test_label_accuracy_is_compared_with_the_classifiers_own() -> None:
    rng = np.random.default_rng(9)
    classifier, labelled = biased_classifier(), np.repeat(np.arange(10), 1000)
    confusion = confusion_matrix(labelled, read_by(classifier, labelled, rng), 10)
    asked = np.repeat(np.arange(10), 500)
    honest = label_accuracy(asked, read_by(classifier, asked, rng), confusion=confusion)
    assert honest.worse == ()
    assert honest.lower < 0.971 < honest.upper
    assert honest.classifier == pytest.approx(0.971, abs=0.005)
    assert honest.classes[3][0] == pytest.approx(0.8, abs=0.06)
    made = np.where((asked == 7) & (rng.random(5000) < 0.2), 1, asked)
    wrong = label_accuracy(asked, read_by(classifier, made, rng), confusion=confusion)
    assert wrong.worse == (7,)
    some = label_accuracy(asked[:500], asked[:500], confusion=confusion)
    assert some.accuracy == 1 and math.isnan(some.classes[1][0])


# -- the gap between classes -----------------------------------------------------------------------


def frechet(generated: np.ndarray, real: np.ndarray) -> float:
    """Between two Gaussians of independent dimensions."""
    mean = generated.mean(0) - real.mean(0)
    std = generated.std(0) - real.std(0)
    return float(mean @ mean + std @ std)


def classes(rng: np.random.Generator, blurred: int | None = None) -> list[np.ndarray]:
    """Features of ten classes of different spread; a blur takes a fifth of one's detail away."""
    made = [(1 + c / 10) * rng.standard_normal((300, 16)) + c for c in range(10)]
    if blurred is not None:
        made[blurred] = blurred + 0.8 * (made[blurred] - blurred)
    return made


def test_a_blurred_class_is_ranked_worst_and_a_control_is_not_flagged() -> None:
    worst = found = flagged = 0
    for run in range(20):
        rng = np.random.default_rng([run, 10])
        real, blurred = classes(rng), run % 10
        result = class_gap(classes(rng, blurred), real, statistic=frechet, replicates=60)
        worst += result.worst == blurred
        found += result.unequal  # a blur of the classes with little spread is hard to tell
        assert result.lower <= result.gap <= result.upper
        control = class_gap(classes(rng), real, statistic=frechet, replicates=60)
        flagged += control.unequal
    assert worst >= 19
    assert found >= 14
    assert flagged <= 1


def test_the_gap_of_means_is_relative_to_each_classs_real_images() -> None:
    rng = np.random.default_rng(11)
    hard = [rng.normal(c, 1, 400) for c in range(10)]  # classes differ, the generator does not
    assert not class_gap([rng.normal(c, 1, 400) for c in range(10)], hard).unequal
    worse = class_gap([rng.normal(c + (c == 4), 1, 400) for c in range(10)], hard)
    assert worse.worst == 4 and worse.unequal
    assert worse.lower < 1 < worse.upper


def test_a_gap_needs_two_classes_of_two_images() -> None:
    with pytest.raises(InputError, match="two or more"):
        class_gap([np.ones(3)], [np.ones(3)])
    with pytest.raises(InputError, match="class 1 has fewer"):
        class_gap([np.ones(3), np.ones(1)], [np.ones(3), np.ones(3)])


# -- the birthday paradox --------------------------------------------------------------------------


def test_collisions_tell_the_support() -> None:
    rng = np.random.default_rng(12)
    points = rng.standard_normal((10_000, 8))
    held = 0
    estimates = []
    for _ in range(20):
        found = support.support(points[rng.integers(10_000, size=2000)], radius=1e-6)
        estimates.append(found.estimate)
        held += found.lower <= 10_000 <= found.upper
    assert held >= 17
    assert np.mean(estimates) == pytest.approx(10_000, rel=0.05)


def test_no_collision_bounds_the_support_from_below() -> None:
    found = support.from_collisions(0, 2000)
    assert found.estimate == found.upper == math.inf
    assert found.lower == pytest.approx(2000 * 1999 / 2 / -math.log(0.025), rel=1e-6)


def test_the_radius_comes_from_held_out_images() -> None:
    rng = np.random.default_rng(13)
    real, honest = rng.standard_normal((2, 1500, 16))
    real[7] = real[3]  # two files of one image are no measure
    found = support.support(honest, held_out=real)
    assert found.radius is not None and found.radius > 0.1
    assert found.collisions <= 5
    collapsed = honest[rng.integers(300, size=1500)] + 0.01 * rng.standard_normal((1500, 16))
    assert support.support(collapsed, held_out=real).upper < 400
    with pytest.raises(InputError, match="radius"):
        support.support(honest)
