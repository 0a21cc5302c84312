"""Whom does a generator leave out? Class shares seen through a classifier that errs.

A uniform generator read by a classifier that takes a fifth of the 3s for 5s looks biased; inverting
the classifier's confusion, known from labelled held-out images, takes that away (Teo et al. 2023).
The test's null then has three sources of chance: which classes were drawn, how each was read, and
how the confusion was estimated. Without a confusion matrix a deviation may be the classifier's, and
`ClassShares.corrected` says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganzoo.errors import InputError
from ganzoo.evaluation.statistics import chi_square_tail, clopper_pearson

SIGNIFICANCE = 0.01
SIMULATIONS = 1000
MISSING = 0.1  # of its share in the training set
FEW = 5  # images due of a class: fewer are not normally distributed (Cochran 1954)
CONDITION = 100.0  # of the confusion matrix: beyond it, some classes are not told apart


@dataclass(frozen=True)
class ClassShares:
    """The classes of generated images against those of the training set.

    Attributes:
        counts: how many images were read as each class.
        shares: their true shares, as far as the confusion matrix lets us know.
        expected: the training set's shares.
        corrected: whether there was a confusion matrix.
        tvd: total variation distance, half the sum of |shares - expected|: 0 to 1.
        tvd_read: the same of the shares as read.
        null: the 99 % quantile of `tvd` for a generator with the training set's shares.
        p: chance of such a `tvd` for such a generator, by simulation.
        chi_square_p: the same question to a generalised chi-square, which has a closed form.
        kl: Kullback-Leibler divergence of `shares` from `expected`, in nats.
        modes: classes that were read at least once.
        missing: classes whose share is below a tenth of the expected one, and by no chance.
    """

    counts: tuple[int, ...]
    shares: tuple[float, ...]
    expected: tuple[float, ...]
    corrected: bool
    tvd: float
    tvd_read: float
    null: float
    p: float
    chi_square_p: float
    kl: float
    modes: int
    missing: tuple[int, ...]

    @property
    def biased(self) -> bool:
        """Whether the shares differ by more than chance and the classifier explain: by the TVD,
        or by the chi-square, which sees a rare class go."""
        return min(self.p, self.chi_square_p) < SIGNIFICANCE / 2


@dataclass(frozen=True)
class LabelAccuracy:
    """How often a conditional model's images are read as the class that was asked for.

    Attributes:
        accuracy, lower, upper: overall, with its 95 % Clopper-Pearson interval.
        classifier: the classifier's own accuracy on real images of the same mix of classes.
        classes: (accuracy, lower, upper, the classifier's own) of each class; NaN where none.
        worse: classes that are read wrongly more often than real images are, at 5 % over all.
    """

    accuracy: float
    lower: float
    upper: float
    classifier: float
    classes: tuple[tuple[float, float, float, float], ...]
    worse: tuple[int, ...]


def confusion_matrix(true: np.ndarray, read: np.ndarray, classes: int) -> np.ndarray:
    """How often images of each true class (row) were read as each class (column), int64.

    Raises:
        InputError: labels of other lengths or out of range.
    """
    true, read = check_labels(true, classes), check_labels(read, classes)
    if len(true) != len(read):
        raise InputError(f"{len(true)} true and {len(read)} read labels", "give one each an image")
    return np.bincount(true * classes + read, minlength=classes**2).reshape(classes, classes)


def class_shares(
    read: np.ndarray,
    train: np.ndarray,
    *,
    confusion: np.ndarray | None = None,
    simulations: int = SIMULATIONS,
    seed: int = 0,
) -> ClassShares:
    """Compare the classes of generated images, as read by a classifier, with the training set's.

    Args:
        read: int (n,) class that the classifier reads in each generated image.
        train: (classes,) images of each class in the training set, or their shares.
        confusion: counts by `confusion_matrix`, from labelled images that the classifier was not
            trained on; every class of `train` needs some.
        simulations: of the null. With a confusion matrix each solves a system of `classes`.
        seed: of the simulations; the result is a function of the arguments.

    Raises:
        InputError: labels out of range, a class without labelled images, or a classifier that
            does not tell its classes apart.
    """
    expected = np.asarray(train, dtype=np.float64)
    if expected.ndim != 1 or len(expected) < 2 or not (expected >= 0).all() or not expected.sum():
        raise InputError("training shares that are no histogram", "give one number a class")
    expected = expected / expected.sum()
    k = len(expected)
    counts = np.bincount(check_labels(read, k), minlength=k)
    n, rng = int(counts.sum()), np.random.default_rng(seed)

    reading = _reading(confusion, k)
    shares = _corrected(counts[None] / n, reading[None])[0] if confusion is not None else counts / n
    drawn = rng.multinomial(n, expected @ reading, size=simulations) / n
    if confusion is None:
        null_shares = drawn
    else:
        null_shares = np.empty_like(drawn)
        labelled = np.asarray(confusion).sum(1)
        for i in range(simulations):  # one at a time: k^2 numbers of memory, not k^2 simulations
            estimate = rng.multinomial(labelled, reading) / labelled[:, None]
            null_shares[i] = _corrected(drawn[i : i + 1], estimate[None])[0]
    null = _tvd(null_shares, expected)
    tvd = float(_tvd(shares, expected))
    positive = shares > 0
    with np.errstate(divide="ignore"):
        kl = float((shares[positive] * np.log(shares[positive] / expected[positive])).sum())
    return ClassShares(
        counts=tuple(map(int, counts)),
        shares=tuple(map(float, shares)),
        expected=tuple(map(float, expected)),
        corrected=confusion is not None,
        tvd=tvd,
        tvd_read=float(_tvd(counts / n, expected)),
        null=float(np.quantile(null, 1 - SIGNIFICANCE)),
        p=float((1 + (null >= tvd - 1e-12).sum()) / (1 + simulations)),
        chi_square_p=_chi_square_p(counts, expected, reading, confusion),
        kl=kl,
        modes=int((counts > 0).sum()),
        missing=tuple(
            int(c)
            for c in np.flatnonzero(
                (shares < MISSING * expected) & (shares < null_shares.min(axis=0))
            )
        ),
    )


def label_accuracy(asked: np.ndarray, read: np.ndarray, *, confusion: np.ndarray) -> LabelAccuracy:
    """Compare the labels that a conditional model was asked for with those that are read.

    Args:
        asked: int (n,) labels given to the generator.
        read: int (n,) labels that the classifier reads in the images.
        confusion: the classifier's own, on real images: `confusion_matrix`.

    Raises:
        InputError: labels that do not fit each other or the matrix.
    """
    k = len(np.asarray(confusion))
    own = np.diag(_reading(confusion, k))
    labelled = np.asarray(confusion).sum(1)
    table = confusion_matrix(asked, read, k)
    n, right = table.sum(1), np.diag(table)
    level = 1 - 0.05 / k  # each class's, so that all hold together
    classes: list[tuple[float, float, float, float]] = []
    worse = []
    for c in range(k):
        if not n[c]:
            classes.append((np.nan, np.nan, np.nan, float(own[c])))
            continue
        low, high = clopper_pearson(int(right[c]), int(n[c]), level)
        classes.append((float(right[c] / n[c]), low, high, float(own[c])))
        if high < clopper_pearson(round(own[c] * labelled[c]), int(labelled[c]), level)[0]:
            worse.append(c)
    lower, upper = clopper_pearson(int(right.sum()), int(n.sum()))
    return LabelAccuracy(
        accuracy=float(right.sum() / n.sum()),
        lower=lower,
        upper=upper,
        classifier=float(own @ n / n.sum()),
        classes=tuple(classes),
        worse=tuple(worse),
    )


def check_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels as int64 (n,), n >= 1, in [0, classes), else `InputError`."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels of shape {labels.shape} and type {labels.dtype}",
            "give one class index an image",
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels {labels.min()} to {labels.max()} of {classes} classes")
    return labels.astype(np.int64)


def _reading(confusion: np.ndarray | None, classes: int) -> np.ndarray:
    """P(read as the column | of the row's class)."""
    if confusion is None:
        return np.eye(classes)
    confusion = np.asarray(confusion, dtype=np.float64)
    if confusion.shape != (classes, classes) or not (confusion >= 0).all():
        raise InputError(
            f"a confusion matrix of shape {confusion.shape} for {classes} classes",
            "count true classes in rows and read ones in columns",
        )
    if empty := np.flatnonzero(confusion.sum(1) == 0).tolist():
        raise InputError(f"no labelled images of classes {empty}", "label some of each class")
    reading: np.ndarray = confusion / confusion.sum(1, keepdims=True)
    if np.linalg.cond(reading) > CONDITION:
        raise InputError(
            "the classifier does not tell its classes apart", "use a better one, or merge classes"
        )
    return reading


def _corrected(read: np.ndarray, reading: np.ndarray) -> np.ndarray:
    """Shares before the reading: its inverse, then the nearest point of the simplex. (b, k)."""
    try:
        solved = np.linalg.solve(reading.transpose(0, 2, 1), read[..., None])[..., 0]
    except np.linalg.LinAlgError:  # an estimate from few labelled images
        solved = read
    return simplex(solved)


def simplex(points: np.ndarray) -> np.ndarray:
    """The nearest shares (none negative, of sum one) to each row (Duchi et al. 2008)."""
    k = points.shape[-1]
    falling = -np.sort(-points, axis=-1)
    excess = (np.cumsum(falling, axis=-1) - 1) / np.arange(1, k + 1)
    last = (falling > excess).sum(-1, keepdims=True) - 1
    return np.maximum(points - np.take_along_axis(excess, last, -1), 0)


def _tvd(shares: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(shares - expected).sum(-1) / 2)


def _chi_square_p(
    counts: np.ndarray, expected: np.ndarray, reading: np.ndarray, confusion: np.ndarray | None
) -> float:
    """Of the counts as read, with the covariance of drawing, reading and the estimated reading;
    Pearson's chi-square where the reading is perfect. Classes of which few are due count as one."""
    n, share = counts.sum(), expected @ reading
    if confusion is None and counts[share == 0].any():
        return 0.0
    covariance = n * (np.diag(share) - np.outer(share, share))
    if confusion is not None:
        seen = np.asarray(confusion) + 0.5  # what was never misread so may be, with more images
        weight = n**2 * expected**2 / seen.sum(1)
        seen /= seen.sum(1, keepdims=True)
        covariance += np.diag(weight @ seen) - seen.T @ (weight[:, None] * seen)
    falling = np.argsort(-share, kind="stable")
    where = falling[n * share[falling] >= FEW][:-1]  # the last and rarer ones: what these leave
    if not len(where):
        return 1.0
    off = (counts - n * share)[where]
    statistic = float(off @ np.linalg.solve(covariance[np.ix_(where, where)], off))
    return chi_square_tail(statistic, len(where))
