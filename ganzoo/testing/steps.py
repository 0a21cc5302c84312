"""Steps of given images, for tests of a loss: what it makes of them can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ganzoo.models import Outputs
from ganzoo.rng import Draws
from ganzoo.training.step import Step


@dataclass(eq=False)
class StepOnImages(Step):
    """A step that keeps what its loss logs."""

    logged: dict[str, float] = field(default_factory=dict)


def step_on(D: Callable[..., Tensor], real: Tensor, fake: Tensor, **changes: Any) -> StepOnImages:
    """A step of these images, real and fake, and of a critic that is a function of images and
    labels to scores (N,).

    `changes` are other fields of the step (`labels`, `generator`, `images`, …).
    """
    index = changes.get("index", 0)
    fields: dict[str, Any] = {
        "index": index, "labels": None, "z": fake, "fake_labels": None, "G": None, "D": D,
        "D_plain": D, "D_outputs": lambda x, labels: Outputs(D(x, labels)), "generator": None,
        "rng": Draws(0, "test", index), "log": None, "given_fake": fake,
    }  # fmt: skip
    made = StepOnImages(real=real, **{**fields, **changes})
    made.log = lambda name, value: made.logged.__setitem__(name, value.item())
    return made
