"""The few tests and intervals that the audits need, exact where it matters; SciPy is the oracle.

Tails are sums of terms whose logarithms come from `lgamma`, so that a p of 1e-30 is still one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from ganzoo.errors import InputError


def mann_whitney(sample: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """How much larger `sample` is than `reference`, by ranks alone.

    Returns:
        z, standard normal where both come from one distribution, with the tie correction; and the
        chance that a value of `sample` exceeds one of `reference`, ties counting half. Where all
        values are equal z is 0.
    """
    n, m = len(sample), len(reference)
    if not n or not m:
        raise InputError("an empty sample", "give at least one value of each")
    _, group, size = np.unique(
        np.concatenate([sample, reference]), return_inverse=True, return_counts=True
    )
    rank = np.cumsum(size) - (size - 1) / 2  # the mean rank of the equal values
    u = rank[group[:n]].sum() - n * (n + 1) / 2
    total = n + m
    ties = (size.astype(np.float64) ** 3 - size).sum() / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - ties)
    z = (u - n * m / 2) / math.sqrt(variance) if variance > 0 else 0.0
    return float(z), float(u / (n * m))


def precedence_p(ahead: int, sample: int, rank: int, reference: int) -> float:
    """P(at least `ahead` of `sample` values lie below the `rank`-th smallest of `reference` ones),
    where both come from one continuous distribution, whichever it is.

    That happens exactly if `ahead` or more of the smallest `ahead + rank - 1` are of the sample,
    which is a hypergeometric tail. So a threshold may be read off the reference without splitting
    it: the p accounts for its error.
    """
    if ahead <= 0:
        return 1.0
    drawn = ahead + rank - 1
    i = np.arange(ahead, min(drawn, sample) + 1)
    log_p = (
        log_choose(sample, i)
        + log_choose(reference, drawn - i)
        - log_choose(sample + reference, np.array([drawn]))
    )
    return min(1.0, float(np.exp(log_p).sum()))


def binomial_tail(successes: int, trials: int, chance: float) -> float:
    """P(X >= successes) of a binomial."""
    if successes <= 0:
        return 1.0
    if chance <= 0 or successes > trials:
        return 0.0
    if chance >= 1:
        return 1.0
    i = np.arange(successes, trials + 1)
    log_p = log_choose(trials, i) + i * math.log(chance) + (trials - i) * math.log1p(-chance)
    return min(1.0, float(np.exp(log_p).sum()))


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a share."""
    if not 0 <= successes <= trials or trials == 0:
        raise InputError(f"{successes} successes of {trials}", "count no more than there are")
    tail = (1 - level) / 2
    lower = upper = 0.0
    if successes:
        lower = _solve(lambda p: binomial_tail(successes, trials, p) - tail)
    if successes < trials:
        upper = _solve(lambda p: binomial_tail(successes + 1, trials, p) - (1 - tail))
    return lower, upper if successes < trials else 1.0


def poisson_interval(count: int) -> tuple[float, float]:
    """The exact two-sided 95 % interval of a mean, of which `count` was seen."""
    tail, most = 0.025, count + 10 * math.sqrt(count + 10)
    lower = upper = most
    if count:
        lower *= _solve(lambda x: _poisson_tail(count, x * most) - tail)
    upper *= _solve(lambda x: _poisson_tail(count + 1, x * most) - (1 - tail))
    return lower if count else 0.0, upper


def _poisson_tail(count: int, mean: float) -> float:
    """P(X >= count), count >= 1."""
    values = torch.tensor([count, mean], dtype=torch.float64)
    return float(torch.special.gammainc(values[0], values[1]))


def chi_square_tail(statistic: float, degrees: int) -> float:
    """P(X >= statistic) of a chi-square."""
    half = torch.tensor([degrees / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def log_choose(n: int, k: np.ndarray) -> np.ndarray:
    """log of n over k, -inf where k is out of range."""
    inside = (k >= 0) & (k <= n)
    k = np.where(inside, k, 0)
    terms = torch.lgamma(torch.from_numpy(np.stack([k, n - k]).astype(np.float64) + 1)).numpy()
    return np.where(inside, math.lgamma(n + 1) - terms[0] - terms[1], -np.inf)


def _solve(rising: Callable[[float], float]) -> float:
    """The root in [0, 1] of a rising function, to the last bits."""
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in (low, high) and high - low > 1e-15:
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
