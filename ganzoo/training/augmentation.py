"""The base class of augmentations: what is done to every image, real or fake, that D sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ganzoo.rng import Draws


class Augmentation(nn.Module):
    """A differentiable, random map of images to images of the same shape.

    Its state (such as ADA's probability) is buffers; it draws from `rng` alone.
    """

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config = config

    def forward(self, x: Tensor, rng: Draws) -> Tensor:
        """Augment images (N, C, H, W) in [-1, 1]."""
        raise NotImplementedError

    def after_discriminator_step(
        self, real_scores: Tensor, log: Callable[[str, Tensor], None]
    ) -> None:
        """Adapt to the scores (N,) that D gave the augmented real images of its last update.

        They are those of the global batch, on every process, so that N counts the images shown to
        D. `log(name, value)` is for scalars of the log.
        """
