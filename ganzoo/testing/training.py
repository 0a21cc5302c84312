"""Checks of losses and augmentations, against what the trainer relies on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from ganzoo.models import build
from ganzoo.rng import Draws
from ganzoo.testing import reference
from ganzoo.testing.networks import difference, require, watched
from ganzoo.testing.results import CheckFailed
from ganzoo.testing.subject import BuiltTarget

Role = Literal["generator", "discriminator"]
ROLES: tuple[Role, ...] = ("discriminator", "generator")


class Play:
    """A loss with a pair of networks that has what it requires."""

    def __init__(self, target: BuiltTarget, *, conditional: bool = False) -> None:
        self.loss = target.build().train()
        self.G, self.D = reference.pair_for(target.part, target.registry, conditional=conditional)
        self.networks = {"generator": self.G.train(), "discriminator": self.D.train()}

    def terms(self, role: Role, *, index: int = 0) -> dict[str, Any]:
        """All terms of one update, the lazy ones too."""
        step = reference.make_step(self.G, self.D, role=role, index=index)
        terms = reference.terms_of(self.loss, step, role)
        if not isinstance(terms, Mapping):
            raise CheckFailed(f"{role}_terms returns a {type(terms).__name__}", "return a dict")
        found = dict(terms)
        for name in self.loss.intervals.get(role, {}):
            step = reference.make_step(self.G, self.D, role=role, index=index)
            found[f"{name} (lazy)"] = self.loss.lazy_term(step, role, name)
        return found

    def values(self, *, index: int = 0) -> dict[str, float]:
        """The values of all terms of an update of D and of one of G; the loss is told of both."""
        found = {}
        for role in ROLES:
            for name, value in self.terms(role, index=index).items():
                found[f"{role} {name}"] = float(value.detach())
            step = reference.make_step(self.G, self.D, role=role, index=index)
            if role == "discriminator":
                self.loss.after_discriminator_step(step, self.D)
        self.loss.after_generator_step(step)
        return found


# -- losses ---------------------------------------------------------------------------------------


def loss_terms(target: BuiltTarget) -> None:
    """discriminator_terms and generator_terms give named, finite scalar tensors."""
    for conditional in (False, True):
        try:
            play = Play(target, conditional=conditional)
        except reference.NoPartner:
            if conditional:  # what it requires is installed without classes only
                continue
            raise
        for role in ROLES:
            terms = play.terms(role)
            if not terms:
                raise CheckFailed(f"{role}_terms is empty", "return at least one term")
            for name, value in terms.items():
                require(value, (), f"term {name!r} of {role}_terms")


def loss_only_computes(target: BuiltTarget) -> None:
    """It calls no backward and steps no optimiser: the trainer owns every change."""
    play = Play(target)
    for role in ROLES:
        before = {
            (who, name): parameter.detach().clone()
            for who, network in play.networks.items()
            for name, parameter in network.named_parameters()
        }
        reference.terms_of(play.loss, reference.make_step(play.G, play.D, role=role), role)
        for who, network in play.networks.items():
            for name, parameter in network.named_parameters():
                if parameter.grad is not None:
                    raise CheckFailed(
                        f"{role}_terms leaves a gradient on the {who}",
                        "return the term; for a penalty use torch.autograd.grad",
                    )
                if not torch.equal(parameter, before[who, name]):
                    raise CheckFailed(
                        f"{role}_terms changes the {who}'s {name!r}",
                        "step nothing; clip weights in after_discriminator_step",
                    )


def loss_draws_from_step(target: BuiltTarget) -> None:
    """It draws from step.rng alone: equal steps give equal terms, global random state is kept."""
    values: list[dict[str, float]] = []
    changed = watched(lambda: values.append(Play(target).values()))
    if changed:
        raise CheckFailed(f"it changes {changed} global random state", "draw from step.rng")
    again = Play(target).values()
    for name, value in values[0].items():
        if value != again[name]:
            raise CheckFailed(f"{name!r} differs between equal steps", "draw from step.rng")


def loss_gradients(target: BuiltTarget) -> None:
    """What D minimises reaches D and not G; what G minimises reaches every parameter of G."""
    for role in ROLES:
        play = Play(target)
        terms = list(play.terms(role).values())
        total = torch.stack(terms).sum()
        if not total.requires_grad:
            raise CheckFailed(f"{role}_terms carries no gradient", "do not detach the scores")
        torch.autograd.backward(total)
        own = play.networks[role]
        other = play.G if role == "discriminator" else play.D
        grads = {name: p.grad for name, p in own.named_parameters()}
        found = [grad for grad in grads.values() if grad is not None]
        if not any(bool(grad.any()) for grad in found):
            raise CheckFailed(f"{role}_terms does not reach the {role}", "do not detach the images")
        if not all(bool(grad.isfinite().all()) for grad in found):
            raise CheckFailed(f"{role}_terms has a gradient that is not finite", "sqrt(x + eps)")
        missing = [name for name, grad in grads.items() if grad is None]
        if role == "generator" and missing:
            raise CheckFailed(f"generator_terms does not reach {missing[0]!r}", "score step.fake")
        if any(p.grad is not None for p in other.parameters()):
            raise CheckFailed(
                f"{role}_terms reaches the other network", "use step.fake as it comes"
            )


def loss_state_in_buffers(target: BuiltTarget) -> None:
    """What it remembers is in its state_dict: restored, it goes on with the same values."""
    play, restored = Play(target), Play(target)
    for index in range(2):
        play.values(index=index)
    # the networks may have changed too (weight clipping): their state is the trainer's to keep
    for pair in ((play.loss, restored.loss), (play.G, restored.G), (play.D, restored.D)):
        pair[1].load_state_dict(pair[0].state_dict())
    expected, found = play.values(index=2), restored.values(index=2)
    for name, value in expected.items():
        if value != found[name]:
            raise CheckFailed(
                f"{name!r} is {found[name]:.6g}, not {value:.6g}", "register_buffer it"
            )


# -- augmentations --------------------------------------------------------------------------------


def _augmented(augment: Any, *, index: int = 0) -> Tensor:
    x = reference.real_images(reference.IMAGE_SHAPE, seed=index)
    output: Tensor = augment(x, Draws(0, "check/augment", index))
    return output


def augmentation_keeps_shape(target: BuiltTarget) -> None:
    """It maps images to finite images of the same shape and type, and lets gradients through."""
    augment = target.build().train()
    for shape in ((1, 8, 8), (3, 16, 16)):
        x = reference.real_images(shape).requires_grad_()
        output = augment(x, Draws(0, "check/augment", 0))
        require(output, tuple(x.shape), "its output")
        if not output.requires_grad:
            raise CheckFailed("its output carries no gradient", "use differentiable operations")


def augmentation_draws_from_rng(target: BuiltTarget) -> None:
    """It draws from rng alone: equal draws give equal images, global random state is kept."""
    outputs: list[Tensor] = []
    changed = watched(lambda: outputs.append(_augmented(target.build().train())))
    if changed:
        raise CheckFailed(f"it changes {changed} global random state", "draw from rng")
    if difference(outputs[0], _augmented(target.build().train())):
        raise CheckFailed("equal draws give different images", "draw from rng")


def augmentation_off_at_zero(target: BuiltTarget) -> None:
    """With p = 0 in its config (where it has p), it leaves images as they are."""
    if not hasattr(target.config, "p"):
        return
    config = target.part.make_config({**target.settings, "p": 0.0})
    augment = build(target.part, config, seed=0).train()
    off = difference(_augmented(augment), reference.real_images(reference.IMAGE_SHAPE))
    if off > 1e-5:
        raise CheckFailed(f"images change by {off:.2g}", "apply each operation with probability p")


def augmentation_state_in_buffers(target: BuiltTarget) -> None:
    """What it remembers is in its state_dict: restored, it goes on with the same images."""
    augment, restored = target.build().train(), target.build().train()
    for index in range(3):
        _augmented(augment, index=index)
        augment.after_discriminator_step(
            torch.full((reference.BATCH,), 5.0), lambda name, value: None
        )
    restored.load_state_dict(augment.state_dict())
    if difference(_augmented(augment, index=3), _augmented(restored, index=3)):
        raise CheckFailed("restored, it gives other images", "register_buffer what it remembers")
