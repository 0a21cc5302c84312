"""`ganzoo train --init MODEL`: starting from the networks of a model folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganzoo import checkpoint, layout
from ganzoo.configs import config_to_dict
from ganzoo.errors import InputError
from ganzoo.loading import Located

if TYPE_CHECKING:
    from ganzoo.training.trainer import Trainer


def start_from(trainer: Trainer, model: Located) -> dict[str, str]:
    """Give a trainer's networks the weights of a model, whose generator must be of the recipe's
    part and config. D starts anew where the model has no such one.

    Returns:
        What training.json says of the model.
    """
    folder = model.folder
    source = checkpoint.load_generator(folder, hashes=model.hashes)
    if source.part is not trainer.resolved.part("generator") or source.config != trainer.G.config:
        theirs, ours = config_to_dict(source.config), config_to_dict(trainer.G.config)
        differ = [
            f"{name} is {theirs[name]!r} there, {ours[name]!r} here"
            for name in theirs
            if name in ours and theirs[name] != ours[name]
        ]
        raise InputError(
            f"--init {folder} holds another generator than the recipe"
            f"{': ' if differ else ''}{', '.join(differ[:2])}",
            f"use a recipe with generator {source.part.name if source.part else '?'!r}"
            f" and its config ({folder}/config.json)",
        )
    trainer.G.load_state_dict(source.state_dict())
    critic = checkpoint.load_discriminator(folder) if layout.has_discriminator(folder) else None
    if critic is not None and critic.part is trainer.D.part and critic.config == trainer.D.config:
        trainer.D.load_state_dict(critic.state_dict())
    else:
        trainer.observers.say(f"{folder} has no such discriminator: D starts anew")
    facts = {
        "model": source.name,
        "weights_sha256": source.record["weights_sha256"],
        "license": source.record["config"].license,  # which binds what is made of it
    }
    if model.address:
        facts["source"] = model.address  # on the Hub, which the card names
    return facts
