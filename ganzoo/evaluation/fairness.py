"""Are all classes made equally well? The gap between the worst and the best, with its chance.

The worst of ten equal classes always looks worse than the best. So the interval is simultaneous:
the bootstrap says how far the range of ten equal classes would spread, and a gap counts only
beyond that. Classes differ in difficulty, which is why each is compared with real images of its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ganzoo.errors import InputError

Statistic = Callable[[np.ndarray, np.ndarray], float]
REPLICATES = 500


@dataclass(frozen=True)
class ClassGap:
    """The quality of each class, and the gap between the worst and the best.

    Attributes:
        values: of each class, higher is worse; relative to its real images.
        worst, best: classes.
        gap: the worst's value minus the best's.
        lower, upper: its simultaneous 95 % interval; `lower` is 0 if equal classes may show it.
    """

    values: tuple[float, ...]
    worst: int
    best: int
    gap: float
    lower: float
    upper: float

    @property
    def unequal(self) -> bool:
        return self.lower > 0


def mean_difference(generated: np.ndarray, real: np.ndarray) -> float:
    """How much larger the generated images' values are on average."""
    return float(np.mean(generated) - np.mean(real))


def class_gap(
    generated: Sequence[np.ndarray],
    real: Sequence[np.ndarray],
    *,
    statistic: Statistic = mean_difference,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> ClassGap:
    """Compare the quality of a conditional model's classes.

    Args:
        generated: of each class, what the statistic takes of its samples: a number an image (such
            as the distance to the nearest real image), or rows of features.
        real: of each class, the same of held-out real images.
        statistic: of one class's generated and real arrays, higher is worse; by default the
            difference of means. A Fréchet distance of features is another.
        replicates: of the bootstrap over images, within each class.
        seed: of the bootstrap; the result is a function of the arguments.

    Raises:
        InputError: fewer than two classes, or one without two images.
    """
    if len(generated) != len(real) or len(generated) < 2:
        raise InputError(
            f"{len(generated)} classes generated, {len(real)} real", "give the same two or more"
        )
    for c, arrays in enumerate(zip(generated, real)):
        if min(map(len, arrays)) < 2:
            raise InputError(f"class {c} has fewer than two images", "generate some of each class")
    rng = np.random.default_rng(seed)
    values = np.array([statistic(q, p) for q, p in zip(generated, real)])
    again = np.array(
        [
            [statistic(_resampled(q, rng), _resampled(p, rng)) for q, p in zip(generated, real)]
            for _ in range(replicates)
        ]
    )
    # less each class's own mean: a Fréchet distance grows when images are resampled
    spread = float(np.quantile(np.ptp(again - again.mean(0), axis=1), 0.95))
    gap = float(np.ptp(values))
    return ClassGap(
        values=tuple(map(float, values)),
        worst=int(values.argmax()),
        best=int(values.argmin()),
        gap=gap,
        lower=max(0.0, gap - spread),
        upper=gap + spread,
    )


def _resampled(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows[rng.integers(len(rows), size=len(rows))]
