"""Does a generator copy its training images? Two calibrated tests and a control, on features.

T are the training images, P held-out real images that neither trained nor selected the model, Q
generated ones. Everything is asked of Q and of P alike, so that P says what is normal:

*Copy rate.* rho(x) = d(x, t) / d(t, T without t), with t the training image nearest to x: small
where x lies closer to t than t's own neighbours do. The threshold is the k-th smallest rho of P
(k = alpha * |P|); the flagged share of Q is tested by its exact law under "Q and P come from one
distribution", which accounts for the threshold's error (`statistics.precedence_p`). Two levels:
0.2 % sees few close copies (1 % of 5,000), 1 % sees looser ones. It finds copies.

*C_T* (Meehan, Chaudhuri and Dasgupta 2020). In each cell of a k-means of T, Mann-Whitney's z of
d(x, T), Q against P; C_T is their mean weighted with P's share of the cell. That has no unit
variance; z* = C_T / sqrt(sum of squared weights) has. It finds diffuse overfitting: no image is a
copy, all are drawn towards the training images.

*Control.* Both tests also answer to a generator that is only smoother or less diverse than the
data, and so nearer to every real image (of 0.95 the spread, in 64 normal features: 1.8 % flagged at
1 %, z* = -28). So a half of P is put in the place of T and the other half compared with Q, both
ways: a copier is near to T, a smooth generator to both. An alarm fails only if the flagged share's
lower bound is over twice alpha and twice the control's share, or the nearness 0.05 beyond the
control's; otherwise it warns. The margins are there because halves are smaller than T, and held-out
images differ a little from training images (MNIST's are of other writers).

Thresholds: an honest model has z* < -3.7 with a chance of 1.1e-4, and p < 1e-6 next to never. 1e-4
would do if P were of T's distribution, but MNIST's honest samples, of other writers than P's, fail
it in 2 of 200 audits. Of 1 % copies at 5,000, p is about 1e-9. See `scripts/audit_power.py`.

Samples that repeat each other (nearly: within 5 % of the usual distance between P and T) are one
observation, so that a collapsed generator is not accused for where its one image happens to be;
but where over 1 % of all samples are training images themselves by that measure, that is copying
without a test. Held-out images that are training images are left out.

What it cannot see: copies up to a change that both feature spaces find large (a crop, a colour).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ganzoo.errors import InputError
from ganzoo.evaluation.closeness import Closeness, c_t_test, closeness, distinct
from ganzoo.evaluation.clusters import centres
from ganzoo.evaluation.neighbours import as_features, nearest, repeats
from ganzoo.evaluation.statistics import clopper_pearson, precedence_p

LEVELS = (0.002, 0.01)  # alpha: shares of the held-out images that are flagged
RATE_P = 1e-6
Z = -3.7
CONTROL_TIMES = 2  # how often the control's share a flagged share must exceed
MARGIN = 0.05  # and how far the nearness (an AUC) must be beyond the control's
ENOUGH = 5000  # images held out, and generated, without which nothing is passed
LEAST = 100  # and without which nothing is said
CELLS = 8
DUPLICATE = 0.05  # of the median distance between P and T: within it, two are one image
SOME = 0.01  # a share of images that is worth a word


@dataclass(frozen=True, eq=False)
class Space:
    """The features of one extractor: arrays (n, d), or images, which are flattened.

    Attributes:
        train: of the images that the model was trained on.
        held_out: of real images that it never saw; None if there are none.
        generated: of samples, at truncation 1.
        train_flipped: of the training images mirrored, in the same order, to find mirrored copies.
    """

    train: np.ndarray
    held_out: np.ndarray | None
    generated: np.ndarray
    train_flipped: np.ndarray | None = None


@dataclass(frozen=True)
class Suspect:
    """A generated image and the training image nearest to it, by their rows."""

    generated: int
    train: int
    flipped: bool
    ratio: float


@dataclass(frozen=True)
class CopyRate:
    """The share of samples that are closer to a training image than 1 - alpha of the held-out are.

    Attributes:
        alpha: the share of held-out images that is flagged: what an honest model shows too.
        threshold: ratio below which an image is flagged.
        flagged, total: generated images.
        sources: different training images behind the flagged ones.
        p: chance of as many from the held-out images' distribution.
        lower, upper: 95 % Clopper-Pearson interval of the share.
        control: the flagged share with held-out images in the place of the training images.
    """

    alpha: float
    threshold: float
    flagged: int
    total: int
    sources: int
    p: float
    lower: float
    upper: float
    control: float

    @property
    def share(self) -> float:
        return self.flagged / self.total

    @property
    def alarm(self) -> bool:
        return self.p < RATE_P and self.lower > self.alpha

    @property
    def copying(self) -> bool:
        return self.alarm and self.lower > CONTROL_TIMES * max(self.alpha, self.control)


@dataclass(frozen=True)
class Nearness:
    """Calibrated C_T: whether samples lie nearer to the training images than held-out images do.

    Attributes:
        z: z*, standard normal of an honest model, negative if nearer.
        c_t: C_T itself, which has no such scale.
        auc: chance that a sample is farther than a held-out image of its cell; 0.5 if honest.
        cells: cells that had enough images of each kind.
        covered: the share of held-out images in those cells.
        control: `auc` with held-out images in the place of the training images.
    """

    z: float
    c_t: float
    auc: float
    cells: int
    covered: float
    control: float

    @property
    def alarm(self) -> bool:
        return self.z < Z

    @property
    def copying(self) -> bool:
        return self.alarm and self.auc < self.control - MARGIN


@dataclass(frozen=True)
class SpaceResult:
    """What one feature space says.

    Attributes:
        train, held_out, generated: images that were compared: without those that follow.
        duplicates: training images left out because the same features were there already.
        leaked: held-out images left out because they are in the training set.
        repeated: samples left out because they are nearly an earlier one.
        copies: samples, repeated ones too, that are nearly a training image.
        suspects: the most copy-like samples first, one a training image.
    """

    train: int
    held_out: int
    generated: int
    duplicates: int
    leaked: int
    repeated: int
    copies: int
    rates: tuple[CopyRate, ...]
    nearness: Nearness
    suspects: tuple[Suspect, ...]

    @property
    def copying(self) -> bool:
        alarms = (self.nearness.copying, *(rate.copying for rate in self.rates))
        return self.reproducing or any(alarms)

    @property
    def reproducing(self) -> bool:
        """Whether samples are training images more often than chance and held-out images are."""
        leaked = self.leaked / (self.held_out + self.leaked)
        return self.copies > max(SOME, 2 * leaked) * (self.generated + self.repeated)


@dataclass(frozen=True)
class CopyingAudit:
    """The verdict, why in words, and each space's result (none if unaudited)."""

    verdict: Literal["pass", "warn", "fail", "unaudited"]
    reasons: tuple[str, ...]
    spaces: Mapping[str, SpaceResult]


def audit_copying(
    spaces: Mapping[str, Space], *, seed: int = 0, suspects: int = 16
) -> CopyingAudit:
    """Compare samples with training images, by what held-out images show, in each feature space.

    Fails if either test fails in any space; passes only with two spaces, and 5,000 images held out
    and generated.

    Args:
        spaces: features by the extractor's name; two, such as pixels and a fixed network.
        seed: of the cells and of the control's halves; the result is a function of the arguments.
        suspects: how many of the most copy-like samples to name.

    Raises:
        InputError: no space, arrays that do not fit each other, or a training set without two
            different images.
    """
    if not spaces:
        raise InputError("no features to audit", "give those of two extractors")
    for name, space in spaces.items():
        if space.held_out is None:
            reason = "no held-out images: copying cannot be told from learning"
            return CopyingAudit("unaudited", (reason,), {})
        for kind, array in (("held-out", space.held_out), ("generated", space.generated)):
            if len(array) < LEAST:
                reason = f"{len(array)} {kind} images in {name}: at least {LEAST}"
                return CopyingAudit("unaudited", (reason,), {})
    results = {name: _audit_space(space, seed, suspects) for name, space in spaces.items()}
    reasons = [why for name, result in results.items() for why in _failures(name, result)]
    if reasons:
        return CopyingAudit("fail", tuple(reasons), results)
    reasons = [why for name, result in results.items() for why in _warnings(name, result)]
    if len(results) < 2:
        reasons.append("one feature space only: audit in two")
    if reasons:
        return CopyingAudit("warn", tuple(reasons), results)
    rate = max((result.rates[0] for result in results.values()), key=lambda rate: rate.upper)
    reason = (
        f"no sign of copying: at most {rate.upper:.2%} of samples are as close to a training image "
        f"as the closest {rate.alpha:.1%} of held-out images"
    )
    return CopyingAudit("pass", (reason,), results)


def _failures(name: str, result: SpaceResult) -> Iterator[str]:
    if result.reproducing:
        yield f"{name}: {result.copies} samples are training images"
    if rate := next((rate for rate in result.rates if rate.copying), None):
        different = "different " if result.repeated else ""
        p = f"= {rate.p:.0e}" if rate.p > 1e-99 else "< 1e-99"
        yield (
            f"{name}: {rate.share:.2%} of {different}samples ({rate.lower:.2%} to {rate.upper:.2%})"
            f" are closer to a training image than {1 - rate.alpha:.1%} of held-out images are"
            f" (p {p}), near {rate.sources} different training images; {rate.control:.2%} by the"
            " control"
        )
    if (near := result.nearness).copying:
        yield (
            f"{name}: samples lie nearer to training images than held-out images do"
            f" (z* = {near.z:.1f}, AUC {near.auc:.2f}; {near.control:.2f} by the control): overfit"
        )


def _warnings(name: str, result: SpaceResult) -> Iterator[str]:
    if result.nearness.alarm or any(rate.alarm for rate in result.rates):
        rate = min(result.rates, key=lambda rate: rate.p)
        yield (
            f"{name}: samples lie near to training images (z* = {result.nearness.z:.1f},"
            f" {rate.share:.2%} flagged of {rate.alpha:.1%}), and about as near to held-out images:"
            " less diverse or smoother than the data, no sign of copying"
        )
    samples = result.generated + result.repeated
    for kind, number in (("held-out", result.held_out), ("generated", samples)):
        if number < ENOUGH:
            yield f"{name}: {number} {kind} images, fewer than {ENOUGH}: a few copies stay unseen"
    if result.repeated > SOME * samples:
        yield f"{name}: {result.repeated} of {samples} samples repeat others: collapsed"
    if result.leaked > SOME * result.held_out:
        yield f"{name}: {result.leaked} held-out images are in the training set; left out"
    if (covered := result.nearness.covered) < 0.5:
        yield f"{name}: samples reach cells with {covered:.0%} of the data only"


def _audit_space(space: Space, seed: int, suspects: int) -> SpaceResult:
    assert space.held_out is not None
    train, kept = distinct(as_features(space.train))
    held_out, generated = as_features(space.held_out), as_features(space.generated)
    pool = train
    if space.train_flipped is not None:
        flipped = as_features(space.train_flipped)
        if flipped.shape != (len(space.train), train.shape[1]):
            raise InputError("the mirrored features are not those of the training images")
        pool = np.concatenate([train, flipped[kept]])

    near = nearest(held_out, pool)
    radius = DUPLICATE * float(np.median(near.distances))
    fresh = near.distances[:, 0] > radius
    leaked = len(fresh) - int(fresh.sum())
    held_out, near = held_out[fresh], near.of(fresh)
    if len(held_out) < LEAST:
        raise InputError(
            f"{leaked} of the held-out images are in the training set", "hold out other images"
        )

    repeated = repeats(generated, radius)
    near_q = nearest(generated, pool)
    copies = int((near_q.distances <= radius).sum())
    sampled = np.flatnonzero(~repeated)
    generated, near_q = generated[sampled], near_q.of(sampled)

    normal, tested = closeness(pool, len(train), radius, near, near_q)
    cells = centres(train, max(1, min(CELLS, len(train) // 10)), seed=seed)
    cell_p, cell_q = (nearest(x, cells).indices[:, 0] for x in (held_out, generated))
    flagged, control = _control(held_out, cell_p, generated, cell_q, radius, len(train), seed)
    nearness = c_t_test(normal.distance, cell_p, tested.distance, cell_q)
    return SpaceResult(
        train=len(train),
        held_out=len(held_out),
        generated=len(generated),
        duplicates=len(space.train) - len(train),
        leaked=leaked,
        repeated=int(repeated.sum()),
        copies=copies,
        rates=tuple(_rate(alpha, normal, tested, flagged[alpha]) for alpha in LEVELS),
        nearness=Nearness(*nearness, control),
        suspects=_suspects(tested, sampled, kept, suspects),
    )


def _control(
    p: np.ndarray,
    cell_p: np.ndarray,
    q: np.ndarray,
    cell_q: np.ndarray,
    radius: float,
    n: int,
    seed: int,
) -> tuple[dict[float, float], float]:
    """The samples flagged at each level, and the AUC, with a half of P (n images at most) in the
    place of T: the means over both halves."""
    flagged, auc = dict.fromkeys(LEVELS, 0.0), 0.0
    order = np.random.default_rng(seed).permutation(len(p))
    half = min(len(p) // 2, n)
    for reference, other in ((order[:half], order[half:]), (order[-half:], order[:-half])):
        pool = p[reference]
        near, near_q = nearest(p[other], pool), nearest(q, pool)
        normal, tested = closeness(pool, half, radius, near, near_q)
        for alpha in LEVELS:
            hit = tested.ratio < _threshold(normal.ratio, alpha)[1]
            flagged[alpha] += float(hit.sum()) / 2
        auc += c_t_test(normal.distance, cell_p[other], tested.distance, cell_q)[2] / 2
    return flagged, auc


def _threshold(ratios: np.ndarray, alpha: float) -> tuple[int, float]:
    """k, and the k-th smallest."""
    k = max(1, round(alpha * len(ratios)))
    return k, float(np.partition(ratios, k - 1)[k - 1])


def _rate(alpha: float, normal: Closeness, tested: Closeness, control: float) -> CopyRate:
    k, threshold = _threshold(normal.ratio, alpha)
    hit = tested.ratio < threshold  # strictly, so that ties do not accuse
    flagged, total = int(hit.sum()), len(hit)
    lower, upper = clopper_pearson(flagged, total)
    return CopyRate(
        alpha=k / len(normal.ratio),
        threshold=threshold,
        flagged=flagged,
        total=total,
        sources=len(np.unique(tested.index[hit])),
        p=precedence_p(flagged, total, k, len(normal.ratio)),
        lower=lower,
        upper=upper,
        control=control / total,
    )


def _suspects(
    tested: Closeness, sampled: np.ndarray, kept: np.ndarray, number: int
) -> tuple[Suspect, ...]:
    order = np.argsort(tested.ratio, kind="stable")
    _, first = np.unique(tested.index[order], return_index=True)
    return tuple(
        Suspect(
            generated=int(sampled[i]),
            train=int(kept[tested.index[i]]),
            flipped=bool(tested.flipped[i]),
            ratio=float(tested.ratio[i]),
        )
        for i in order[np.sort(first)][:number]
    )
