"""Settings that change during a run, as closed forms of the images seen."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


def anneal(schedule: Schedule, start: float, final: float, images: float, kimg: float) -> float:
    """A setting after `images` images that goes from `start` to `final` within the first `kimg`
    thousand of them and then stays: in a straight line, along half a cosine, or not at all."""
    progress = min(1.0, images / (1000 * kimg))
    if schedule == "linear":
        return start + (final - start) * progress
    if schedule == "cosine":
        return final + (start - final) * 0.5 * (1 + math.cos(math.pi * progress))
    return start
