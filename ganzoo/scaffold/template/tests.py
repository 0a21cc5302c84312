"""The conformance kit, and what the kit cannot know: that the loss is the paper's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import pytest
import torch
from ganzoo.testing import parametrize_with_checks
from ganzoo.training.step import Step
from torch import Tensor

from ganzoo_newgan.config import (
    SIZES,
    DiscriminatorConfig,
    GeneratorConfig,
    LossConfig,
)
from ganzoo_newgan.loss import RelativisticPairing
from ganzoo_newgan.networks import Discriminator, Generator


@parametrize_with_checks("ganzoo-newgan")
def test_conformance(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_works_in_both_directions(size: int, channels: int) -> None:
    shape = (channels, size, size)
    G = Generator(GeneratorConfig(image_shape=shape, width=4))
    D = Discriminator(DiscriminatorConfig(image_shape=shape, width=4))
    images = G(torch.randn(2, 64))
    assert images.shape == (2, *shape)
    assert images.abs().max() <= 1
    assert D(images).shape == (2,)


class LinearStep:
    """A step whose D is 3 times the sum of an image of 2x2 pixels: its squared slope is 9 * 4."""

    labels = fake_labels = None
    real, fake = torch.full((5, 1, 2, 2), 0.5), torch.full((5, 1, 2, 2), 0.25)

    def D(self, x: Tensor, labels: Tensor | None) -> Tensor:
        return 3 * x.sum(dim=(1, 2, 3))

    D_plain = D

    def log(self, name: str, value: Tensor) -> None:
        pass


def test_loss_is_the_papers_where_it_can_be_worked_out() -> None:
    loss = RelativisticPairing(LossConfig(gamma=0.5))  # real scores 6, fake ones 3
    step = cast(Step, LinearStep())
    terms = loss.discriminator_terms(step)
    assert terms["pairs"].item() == pytest.approx(math.log1p(math.exp(-3)), rel=1e-5)
    assert terms["r1"].item() == pytest.approx(0.25 * 36)
    assert terms["r2"].item() == pytest.approx(0.25 * 36)
    terms = loss.generator_terms(step)
    assert terms["pairs"].item() == pytest.approx(math.log1p(math.exp(3)), rel=1e-5)
