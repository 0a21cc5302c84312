"""Whether a data set is small for a model, which may then copy its images: said before training.

The share of copies among a GAN's images falls exponentially with the number of training images, and
with how various they are (Feng, Guo, Benitez-Quiroz and Martinez, "When do GANs replicate? On the
choice of dataset size", ICCV 2021, on BigGAN and StyleGAN2). Their curve takes trained models to be
fitted, which a warning before training cannot have; so this is a rule of thumb, of two parts:

- fewer than 5,000 images. It is also the number of held-out images that `ganzoo audit` asks for
  before it speaks of few copies: below it a set is small, and what comes of it is hard to audit;
- a generator with more parameters than all the images together have values: it has the room to
  store every one of them.

It is a warning and no verdict: `ganzoo audit` looks at what a trained model makes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganzoo.training.trainer import Trainer

FEW = 5_000
_ADVICE = "use more data or a smaller network, and run `ganzoo audit` before you publish the model"


def warning(images: int, values_of_one: int, parameters: int) -> str:
    """A line for people; "" where neither part of the rule holds.

    Args:
        images: how many there are to train on.
        values_of_one: channels x height x width.
        parameters: of the generator.
    """
    values = images * values_of_one
    if parameters > values:
        return (
            f"it may memorise: the generator has {parameters:,} parameters, all {images:,} training"
            f" images together {values:,} values, so that it could store them; {_ADVICE}"
        )
    if images < FEW:
        return (
            f"it may memorise: {images:,} training images are few (fewer than {FEW:,}), and the"
            f" fewer there are the more of them a GAN copies; {_ADVICE}"
        )
    return ""


def warning_of(trainer: Trainer) -> str:
    """The warning for a run."""
    parameters = sum(p.numel() for p in trainer.G.parameters())
    return warning(len(trainer.data), math.prod(trainer.data.image_shape), parameters)
