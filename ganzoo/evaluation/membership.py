"""Does a discriminator tell who was in the training set? LOGAN (Hayes et al. 2019).

A critic that was trained on images scores them higher than others: whoever has it can ask of an
image whether it was among them. That leaks far more than samples do, which is why discriminators
are not published by default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ganzoo.errors import InputError
from ganzoo.evaluation.features import BATCH
from ganzoo.evaluation.statistics import clopper_pearson

if TYPE_CHECKING:
    from ganzoo.data import ImageData
    from ganzoo.models import Discriminator

AUC = 0.55  # a lower bound above it is worth a warning
NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Membership:
    """How well scores separate members of the training set from held-out images.

    Attributes:
        members, held_out: how many were scored.
        auc: chance that a member scores higher than a held-out image; 0.5 leaks nothing.
        lower, upper: its 95 % interval (DeLong et al. 1988).
        fpr: the share of held-out images above the threshold, at most what was asked for.
        tpr: the share of members above it: those that an attacker would be sure of.
        tpr_lower, tpr_upper: its 95 % Clopper-Pearson interval.
    """

    members: int
    held_out: int
    auc: float
    lower: float
    upper: float
    fpr: float
    tpr: float
    tpr_lower: float
    tpr_upper: float

    @property
    def warning(self) -> str:
        """A line for people, "" if the interval reaches down to what chance can do."""
        if self.lower <= AUC:
            return ""
        return (
            f"the discriminator knows its training images: AUC {self.auc:.2f} "
            f"({self.lower:.2f} to {self.upper:.2f}), {self.tpr:.1%} of them found at "
            f"{self.fpr:.1%} false positives"
        )


@torch.inference_mode()
def scores_of(critic: Discriminator, data: ImageData, rows: np.ndarray) -> np.ndarray:
    """The raw scores of the images of a data set at these indices, float32 (n,)."""
    device = next(critic.parameters()).device
    found = []
    for start in range(0, len(rows), BATCH):
        images, labels = data.batch(rows[start : start + BATCH])
        x = images.to(device).float() / 127.5 - 1
        y = labels.to(device) if labels is not None and critic.num_classes else None
        found.append(critic(x, y).float().cpu())
    return torch.cat(found).numpy()


def audit_membership(members: np.ndarray, held_out: np.ndarray, *, fpr: float = 0.01) -> Membership:
    """Compare D's raw scores of training images with those of real images that it never saw.

    Args:
        members: (n,) scores of training images.
        held_out: (m,) scores of held-out ones, from the same distribution.
        fpr: the false positive rate at which members are counted.

    Raises:
        InputError: fewer than two scores of either, scores that are no finite numbers, or a rate
            out of range.
    """
    members, held_out = _scores(members, "member"), _scores(held_out, "held-out")
    if not 0 < fpr < 1:
        raise InputError(f"false positive rate {fpr}", "use one between 0 and 1")
    auc, lower, upper = _auc(members, held_out)
    allowed = math.floor(fpr * len(held_out))
    threshold = np.sort(held_out)[len(held_out) - 1 - allowed]
    found = int((members > threshold).sum())
    tpr_lower, tpr_upper = clopper_pearson(found, len(members))
    return Membership(
        members=len(members),
        held_out=len(held_out),
        auc=auc,
        lower=lower,
        upper=upper,
        fpr=float((held_out > threshold).mean()),
        tpr=found / len(members),
        tpr_lower=tpr_lower,
        tpr_upper=tpr_upper,
    )


def _auc(members: np.ndarray, held_out: np.ndarray) -> tuple[float, float, float]:
    """AUC with DeLong's interval: the variance of each image's own share of won comparisons."""
    won = _share_below(members, held_out)  # of each member, over the held-out
    lost = 1 - _share_below(held_out, members)
    auc = float(won.mean())
    spread = math.sqrt(won.var(ddof=1) / len(won) + lost.var(ddof=1) / len(lost))
    if spread == 0:  # perfect separation: what as many successes in as many trials bound
        n = min(len(won), len(lost))
        low, high = clopper_pearson(round(auc * n), n)
        return auc, low, high
    half = NORMAL_95 * spread
    return auc, max(0.0, auc - half), min(1.0, auc + half)


def _share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each value, the share of the others below it, ties counting half."""
    others = np.sort(others)
    left, right = (np.searchsorted(others, values, side=side) for side in ("left", "right"))
    share: np.ndarray = (left + right) / (2 * len(others))
    return share


def _scores(values: np.ndarray, kind: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError(
            f"{kind} scores of shape {values.shape}, or with NaN or infinity",
            "give one finite number an image, two at least",
        )
    return values
