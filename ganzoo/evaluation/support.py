"""How many different images can a generator make? The birthday paradox (Arora and Zhang 2017).

Of s samples from S equally likely images, s(s - 1) / (2 S) pairs are equal on average. Images that
are not equally likely collide more often, so this estimates an effective support, 1 / sum of p^2,
which is a lower bound of the true one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ganzoo.errors import InputError
from ganzoo.evaluation.neighbours import as_features, nearest, pairs_within
from ganzoo.evaluation.statistics import poisson_interval

DUPLICATE = 0.05  # of the median distance: held-out images that are two files of one


@dataclass(frozen=True)
class Support:
    """An estimate of how many different images there are.

    Attributes:
        samples: images of a batch.
        collisions: pairs of near duplicates.
        estimate: the support; infinite if there were none.
        lower, upper: its 95 % interval.
        radius: distance within which two images count as one; None if they were counted elsewhere.
    """

    samples: int
    collisions: int
    estimate: float
    lower: float
    upper: float
    radius: float | None = None


def support(
    generated: np.ndarray, *, held_out: np.ndarray | None = None, radius: float | None = None
) -> Support:
    """The support by counting near duplicates in one batch of samples.

    Args:
        generated: features (s, d) of samples with independent z.
        held_out: features of real images, all different; the distance between the two closest
            ones is the radius, so that real data would show about one collision, if as many.
        radius: the distance instead.

    Raises:
        InputError: neither of the two, or fewer than two images.
    """
    generated = as_features(generated)
    if radius is None:
        if held_out is None:
            raise InputError("no radius of duplicates", "give held_out images, or the radius")
        held_out = as_features(held_out)
        if len(held_out) < 2:
            raise InputError("one held-out image", "give some hundred")
        near = nearest(held_out, held_out, skip=np.arange(len(held_out))).distances[:, 0]
        apart = near[near > DUPLICATE * np.median(near)]
        radius = float(apart.min()) if len(apart) else 0.0
    return from_collisions(pairs_within(generated, radius), len(generated), radius=radius)


def from_collisions(collisions: int, samples: int, *, radius: float | None = None) -> Support:
    """The support from the pairs of equal images among one batch of samples.

    Raises:
        InputError: fewer than two samples.
    """
    if samples < 2:
        raise InputError(f"{samples} samples", "give two at least, better thousands")
    pairs = samples * (samples - 1) / 2
    low, high = poisson_interval(collisions)
    return Support(
        samples=samples,
        collisions=collisions,
        estimate=pairs / collisions if collisions else math.inf,
        lower=pairs / high,
        upper=pairs / low if low else math.inf,
        radius=radius,
    )
