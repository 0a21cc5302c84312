"""The partner that a part needs to be tried: a small generator and critic, and steps of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot

from ganzoo.configs import DiscriminatorConfig, GeneratorConfig
from ganzoo.errors import InputError
from ganzoo.models import Discriminator, Generator, build
from ganzoo.parts import Part, PartRegistry, variants
from ganzoo.rng import Draws
from ganzoo.testing.results import CheckFailed
from ganzoo.testing.subject import CLASSES
from ganzoo.training.step import Step

BATCH = 4
IMAGE_SHAPE = (1, 8, 8)


class ReferenceGenerator(Generator):
    """One hidden layer."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.hidden = nn.Linear(config.z_dim + config.num_classes, 16)
        self.image = nn.Linear(16, math.prod(config.image_shape))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        x = _with_labels(z, labels, self.num_classes)
        images: Tensor = self.image(leaky_relu(self.hidden(x), 0.2)).tanh()
        return images.view(-1, *self.image_shape)


class ReferenceDiscriminator(Discriminator):
    """One hidden layer, without batch norm."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__(config)
        self.hidden = nn.Linear(math.prod(config.image_shape) + config.num_classes, 16)
        self.score = nn.Linear(16, 1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.num_classes and labels is None:
            raise InputError("the critic is conditional and needs labels", "pass labels")
        x = _with_labels(x.flatten(1), labels, self.num_classes)
        scores: Tensor = self.score(leaky_relu(self.hidden(x), 0.2)).squeeze(1)
        return scores


def _with_labels(x: Tensor, labels: Tensor | None, num_classes: int) -> Tensor:
    return x if labels is None else torch.cat([x, one_hot(labels, num_classes).to(x.dtype)], dim=1)


GENERATOR = Part(
    name="reference",
    kind="generator",
    factory=f"{__name__}:ReferenceGenerator",
    config="ganzoo.configs:GeneratorConfig",
    provides=frozenset({"conditional"}),
)
DISCRIMINATOR = Part(
    name="reference",
    kind="discriminator",
    factory=f"{__name__}:ReferenceDiscriminator",
    config="ganzoo.configs:DiscriminatorConfig",
    provides=frozenset({"conditional", "per-sample", "gradient-penalty"}),
)


def generator(image_shape: Sequence[int] = IMAGE_SHAPE, num_classes: int = 0) -> Any:
    """A reference generator of the shape that a discriminator judges."""
    config = GeneratorConfig(_shape(image_shape), num_classes, z_dim=8)
    return build(GENERATOR, config, seed=1)


def discriminator(image_shape: Sequence[int] = IMAGE_SHAPE, num_classes: int = 0) -> Any:
    """A reference discriminator for the images of a generator."""
    return build(DISCRIMINATOR, DiscriminatorConfig(_shape(image_shape), num_classes), seed=2)


def _shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    channels, height, width = image_shape
    return channels, height, width


class NoPartner(CheckFailed):
    """No installed part provides what a loss requires."""


def pair_for(part: Part, registry: PartRegistry, *, conditional: bool = False) -> tuple[Any, Any]:
    """A generator and a discriminator that have what a loss requires, of one image shape.

    The reference networks where they will do, else the first installed part that provides it;
    with classes if that is asked for or required.
    """
    required = frozenset().union(*part.requires.values())
    classes = CLASSES if conditional or required & {"conditional", "classes"} else 0
    partners: dict[str, Any] = {}
    shape: Sequence[int] = IMAGE_SHAPE
    for kind, reference in (("generator", GENERATOR), ("discriminator", DISCRIMINATOR)):
        needed = part.requires.get(kind, frozenset())
        if classes and "classes" not in needed:  # a critic that names classes need not see labels
            needed |= {"conditional"}
        if needed <= reference.provides:
            continue
        settings: dict[str, Any] = {"num_classes": classes}
        if partners:
            settings["image_shape"] = list(shape)
        # of one that grows, a term does not reach the layers of other resolutions: it comes last
        candidates = [owned.part for owned in registry.all(kind)]
        for candidate in sorted(candidates, key=lambda part: "progressive" in part.provides):
            fitting = (
                config
                for _, config in variants(candidate, {**candidate.tiny, **settings})
                if needed <= candidate.provided(config)
            )
            config = next(fitting, None)
            if config is not None:
                partners[kind] = build(candidate, config, seed=1)
                shape = config.image_shape
                break
        else:
            raise NoPartner(
                f"no installed {kind} provides {', '.join(sorted(needed))}, so it cannot be tried",
                f"bring such a {kind}, or depend on the distribution that does",
            )
    G = partners.get("generator") or generator(shape, classes)
    D = partners.get("discriminator") or discriminator(shape, classes)
    return G, D


# -- a step of a run ------------------------------------------------------------------------------


def real_images(image_shape: Sequence[int], n: int = BATCH, *, seed: int = 0) -> Tensor:
    """Images (n, C, H, W) in [-1, 1], of noise and of different contrast."""
    draws = Draws(seed, "check/real", 0)
    contrast = 0.2 + 0.8 * draws.uniform(n, 1, 1, 1)
    return (draws.uniform(n, *image_shape) * 2 - 1) * contrast


def labels_of(num_classes: int, n: int = BATCH) -> Tensor | None:
    """0, 1, 2, …, or None for an unconditional network."""
    return torch.arange(n) % num_classes if num_classes else None


def latents(z_dim: int, n: int = BATCH, *, seed: int = 0) -> Tensor:
    return Draws(seed, "check/z", 0).normal(n, z_dim)


def make_step(
    G: Any, D: Any, *, role: str, index: int = 0, options: dict[str, Any] | None = None
) -> Step:
    """The step that the trainer would hand to a loss for an update of D or of G.

    Args:
        role: whose update. In that of D the fakes carry no gradient; in that of G, D is frozen.
        options: for `forward` of the network of that role (`lod`).
    """
    options = options or {}
    z, labels = latents(G.z_dim, seed=index), labels_of(G.num_classes)
    of_G, of_D = (options, {}) if role == "generator" else ({}, options)
    draws = Draws(0, f"check/G/{role}", index)

    def call_G(z: Tensor, labels: Tensor | None = None) -> Tensor:
        with torch.set_grad_enabled(role == "generator"):
            images: Tensor = G(z, labels, **of_G) if of_G else G.train_forward(z, labels, draws)
            return images

    def call_D(x: Tensor, labels: Tensor | None = None) -> Tensor:
        scores: Tensor = D(x, labels, **of_D)
        return scores

    def outputs_D(x: Tensor, labels: Tensor | None = None) -> Any:
        judged = D.outputs(x, labels, **of_D)
        return judged._replace(seen=x) if "seen" in judged._fields else judged

    D.requires_grad_(role == "discriminator")
    return Step(
        index=index,
        real=real_images(G.image_shape, seed=index).contiguous(memory_format=torch.channels_last),
        labels=labels,
        z=z,
        fake_labels=labels,
        G=call_G,
        D=call_D,
        D_plain=call_D,
        D_outputs=outputs_D,
        generator=G,
        options=of_G,
        rng=Draws(0, f"check/loss/{role}", index),
        log=lambda name, value: None,
    )
