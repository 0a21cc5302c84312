"""The arithmetic of metrics, on features, in float64: FID, KID, precision, recall, density,
coverage, Inception Score.

Nothing here knows images or models. Every function takes arrays or tensors (N, F), computes on the
device of the tensors, and is exact: no subsets, no square roots of matrices that may turn complex.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganzoo.errors import InputError

_BLOCK = 1 << 23
"""Numbers of a distance or kernel matrix that are in memory at once: 64 MiB."""

Array = Tensor | np.ndarray


# -- Fréchet distance ------------------------------------------------------------------------------


class Moments:
    """Mean and covariance of features, accumulated batch after batch.

    Chan, Golub and LeVeque 1983: means and centred squares of two batches combine exactly, so that
    nothing cancels however far the features lie from zero.
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self._squares = torch.zeros(0, 0, dtype=torch.float64)

    @classmethod
    def of(cls, features: Array) -> Moments:
        moments = cls()
        x = torch.as_tensor(features)
        for start in range(0, len(x), 4096):
            moments.add(x[start : start + 4096])
        return moments

    def add(self, features: Array) -> None:
        """Take in a batch (n, F)."""
        x = _float64(features)
        mean = x.mean(dim=0)
        centred = x - mean
        self._combine(len(x), mean, centred.T @ centred)

    def merge(self, other: Moments) -> None:
        """Take in what another accumulated."""
        self._combine(other.n, other.mean, other._squares)

    def cpu(self) -> Moments:
        """The same, on the CPU."""
        return Moments.from_state({name: value.cpu() for name, value in self.state().items()})

    def state(self) -> dict[str, Tensor]:
        """As tensors, for a file or another process."""
        return {"n": torch.tensor(self.n), "mean": self.mean, "squares": self._squares}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Moments:
        moments = cls()
        moments.n = int(state["n"])
        moments.mean, moments._squares = state["mean"], state["squares"]
        return moments

    def _combine(self, n: int, mean: Tensor, squares: Tensor) -> None:
        if self.n == 0:
            self.n, self.mean, self._squares = n, mean, squares
            return
        total, delta = self.n + n, mean - self.mean
        self._squares = self._squares + squares + torch.outer(delta, delta) * (self.n * n / total)
        self.mean = self.mean + delta * (n / total)
        self.n = total

    @property
    def covariance(self) -> Tensor:
        """(F, F), with N - 1 in the denominator."""
        return self._squares / (self.n - 1)

    def factor(self) -> Tensor:
        """A (F, F) with A Aᵀ = the covariance.

        Raises:
            InputError: fewer than two features, which have none.
        """
        if self.n < 2:
            raise InputError(
                f"the features of {self.n} image have no covariance", "use two or more"
            )
        values, vectors = torch.linalg.eigh(self.covariance)
        factor: Tensor = vectors * values.clamp_min(0).sqrt()
        return factor


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared Fréchet (2-Wasserstein) distance of two Gaussians: FID of the moments of features
    (Heusel et al. 2017, arXiv:1706.08500, equation 6).

    The trace of (ΣaΣb)^½ is the sum of the singular values of AᵀB, where AAᵀ = Σa and BBᵀ = Σb: it
    stays real and exact for singular covariances, where a matrix square root does not.

    Raises:
        InputError: fewer than two rows on one side, or of another width.
    """
    return distance_of_factors(a, a.factor(), b)


def distance_of_factors(a: Moments, factor_a: Tensor, b: Moments) -> float:
    """`frechet_distance` with the factor of one side at hand."""
    if a.mean.shape != b.mean.shape:
        raise InputError(
            f"no Fréchet distance between features of {len(a.mean)} and {len(b.mean)} numbers",
            "give those of one extractor",
        )
    cross = torch.linalg.svdvals(factor_a.T @ b.factor()).sum()
    traces = a.covariance.trace() + b.covariance.trace()
    return max(0.0, float((a.mean - b.mean).square().sum() + traces - 2 * cross))


# -- kernel distance -------------------------------------------------------------------------------


class Estimate(NamedTuple):
    """A value with the bounds of its bootstrap interval of 95 %."""

    value: float
    low: float
    high: float


def kernel_distance(fake: Array, real: Array, *, resamples: int = 200, seed: int = 0) -> Estimate:
    """KID: the unbiased squared MMD of all features under the kernel (x·y / F + 1)³
    (Bińkowski et al. 2018, arXiv:1801.01401), with a bootstrap interval over the samples.

    Unlike the usual mean over subsets, every pair counts once, so the value does not depend on a
    subset size or on luck. A resample weights the samples by how often they were drawn and leaves
    out the pairs of a sample with itself, as the estimate does.
    """
    x, y = _float64(fake), _float64(real)
    if min(len(x), len(y)) < 2:
        raise InputError("no kernel distance of fewer than two features", "give more")
    draw = np.random.default_rng(seed)
    wx, wy = (_resampling(len(v), resamples, draw).to(v) for v in (x, y))
    values = _paired(x, wx) + _paired(y, wy) - 2 * _crossed(x, wx, y, wy)
    # a resample of one row again and again has no pairs, and no value
    low, high = torch.nanquantile(values[1:], values.new_tensor([0.025, 0.975])).tolist()
    return Estimate(float(values[0]), low, high)


def _resampling(n: int, resamples: int, draw: np.random.Generator) -> Tensor:
    """Weights (n, 1 + resamples): the sample itself, then how often each row is drawn."""
    counts = draw.multinomial(n, np.full(n, 1 / n), size=resamples)
    return torch.from_numpy(np.vstack([np.ones((1, n)), counts]).T.copy())


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _paired(x: Tensor, w: Tensor) -> Tensor:
    """The weighted mean of the kernel over all pairs of different rows, per column of weights."""
    total = sum((w[rows] * (_kernel(x[rows], x) @ w)).sum(dim=0) for rows in _slices(x, x))
    itself = (w**2 * ((x**2).sum(dim=1, keepdim=True) / x.shape[1] + 1) ** 3).sum(dim=0)
    pairs: Tensor = w.sum(dim=0) ** 2 - (w**2).sum(dim=0)
    return (total - itself) / pairs


def _crossed(x: Tensor, wx: Tensor, y: Tensor, wy: Tensor) -> Tensor:
    total = sum((wx[rows] * (_kernel(x[rows], y) @ wy)).sum(dim=0) for rows in _slices(x, y))
    return torch.as_tensor(total) / (wx.sum(dim=0) * wy.sum(dim=0))


# -- manifolds -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Manifold:
    """Fidelity and variety of fakes, each from 0 to 1 but density, which may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(fake: Array, real: Array, *, k_recall: int = 3, k_coverage: int = 5) -> Manifold:
    """Improved precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991, k = 3) and density
    and coverage (Naeem et al. 2020, arXiv:2002.09797, k = 5).

    Each real (fake) image is the centre of a ball that reaches to its k-th nearest neighbour among
    the real (fake) ones. Precision: the share of fakes in some real ball; recall: of reals in some
    fake ball. Density: in how many real balls a fake lies, over k; coverage: the share of real
    balls with a fake in them. What lies on a ball's edge, as copies of neighbours do, is inside.
    """
    x, y = _float64(fake), _float64(real)
    if min(len(x), len(y)) <= max(k_recall, k_coverage):
        raise InputError(
            f"{min(len(x), len(y))} images have no {k_coverage} neighbours", "use more images"
        )
    centre = y.mean(dim=0)  # smaller norms round less
    x, y = x - centre, y - centre
    real_balls, coverage_balls = _radii(y, (k_recall, k_coverage))
    (fake_balls,) = _radii(x, (k_recall,))
    precise = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    recalled = torch.zeros(len(y), dtype=torch.bool, device=x.device)
    covered, within = recalled.clone(), 0
    for rows in _slices(x, y):
        distances = _squared_distances(x[rows], y, lower_bound=True)  # (rows, reals)
        precise[rows] = (distances <= real_balls).any(dim=1)
        recalled |= (distances <= fake_balls[rows, None]).any(dim=0)
        inside = distances <= coverage_balls
        within += int(inside.sum())
        covered |= inside.any(dim=0)
    return Manifold(
        precision=float(precise.double().mean()),
        recall=float(recalled.double().mean()),
        density=within / (k_coverage * len(x)),
        coverage=float(covered.double().mean()),
    )


def _radii(x: Tensor, ks: tuple[int, ...]) -> list[Tensor]:
    """For each k, the squared distance of every row to its k-th nearest other row."""
    found = []
    for rows in _slices(x, x):
        distances = _squared_distances(x[rows], x)
        index = torch.arange(rows.start, rows.start + len(distances), device=x.device)
        distances[torch.arange(len(distances), device=x.device), index] = math.inf
        found.append(distances.topk(max(ks), largest=False, sorted=True).values)
    nearest = torch.cat(found)
    return [nearest[:, k - 1] for k in ks]


def _squared_distances(a: Tensor, b: Tensor, *, lower_bound: bool = False) -> Tensor:
    """The lower bound is less by the rounding of two, so that what lies on an edge is inside."""
    squares = (a**2).sum(dim=1)[:, None] + (b**2).sum(dim=1)
    if lower_bound:
        squares *= 1 - 2 * (a.shape[1] + 8) * torch.finfo(a.dtype).eps
    return torch.addmm(squares, a, b.T, alpha=-2)


# -- classes ---------------------------------------------------------------------------------------


def inception_score(logits: Array, *, splits: int = 10) -> tuple[float, float]:
    """Mean and deviation over splits of exp(E KL(p(y|x) || p(y))) (Salimans et al. 2016,
    arXiv:1606.03498). It says something only of images of the classifier's own classes.

    Args:
        logits: (N, K), in the order of their seeds.
        splits: how many equal parts are scored by themselves.
    """
    log_p = torch.log_softmax(_float64(logits), dim=1)
    if len(log_p) < splits:
        raise InputError(f"{len(log_p)} images are fewer than {splits} splits", "use more images")
    scores = []
    for part in log_p.tensor_split(splits):
        marginal = torch.logsumexp(part, dim=0) - math.log(len(part))
        scores.append((part.exp() * (part - marginal)).sum(dim=1).mean().exp())
    values = torch.stack(scores)
    return float(values.mean()), float(values.std(correction=0))


# -- shared ----------------------------------------------------------------------------------------


def _float64(values: Array) -> Tensor:
    """On the device where they are, unless that has no such numbers."""
    x = torch.as_tensor(values)
    return (x.cpu() if x.device.type == "mps" else x).to(torch.float64)


def _slices(x: Tensor, against: Tensor) -> Iterator[slice]:
    """The rows of x, so many at a time that a matrix of them against others is one block."""
    step = max(1, _BLOCK // max(1, len(against)))
    return (slice(start, min(len(x), start + step)) for start in range(0, len(x), step))
