"""What a loss is handed: one step's images and latents, and G and D as they are to be called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ganzoo.models import Generator, Outputs
from ganzoo.rng import Draws

Network = Callable[[Tensor, Tensor | None], Tensor]
Judge = Callable[[Tensor, Tensor | None], Outputs]


@dataclass(eq=False)
class Step:
    """One update of D or of G.

    Attributes:
        index: the iteration (updates of G before this one).
        real: real images (N, C, H, W) in [-1, 1], not augmented.
        labels: their classes, int64 (N,), or None where the model is unconditional.
        z: latents (N, z_dim); `fake_labels`: the classes asked of G, or None.
        G: (z, labels) -> float32 images, under the run's precision and blending.
        D: (images, labels) -> float32 scores (N,), with augmentation and the run's precision.
        D_plain: D in float32 on the images as they are, for gradient penalties.
        D_outputs: as D, but all that `outputs` gives, with the images that D saw (`seen`).
        generator: G's module, for terms in w space (`train_mapping`, `synthesis`), in float32.
        rng: where the loss draws from.
        log: log(name, value): a scalar for the log that no one minimises.
        options: what `synthesis` is to be told at this step (`lod`, while G grows).
        images: real images shown to D in the iterations before this one: what a schedule follows.
    """

    index: int
    real: Tensor
    labels: Tensor | None
    z: Tensor
    fake_labels: Tensor | None
    G: Network
    D: Network
    D_plain: Network
    D_outputs: Judge
    generator: Generator
    rng: Draws
    log: Callable[[str, Tensor], None]
    options: Mapping[str, Any] = field(default_factory=dict)
    images: int = 0
    given_fake: Tensor | None = field(default=None, repr=False)

    @functools.cached_property
    def fake(self) -> Tensor:
        """G(z): detached in D's step, with a graph to G in G's step."""
        return self.G(self.z, self.fake_labels) if self.given_fake is None else self.given_fake
