"""The smallest sensible run of each family, for tests."""

from __future__ import annotations

from typing import Any

from ganzoo import plugins
from ganzoo.training import Recipe


def families() -> list[str]:
    """Every generator of an installed plugin that has a discriminator of the same name."""
    registry = plugins.load().parts
    critics = {o.part.name for o in registry.all("discriminator")}
    return [o.part.name for o in registry.all("generator") if o.part.name in critics]


def recipe(family: str = "gan", **changes: Any) -> Recipe:
    """A recipe of `family` on the shapes data set, of 20 steps."""
    registry = plugins.load().parts
    generator = dict(registry.get("generator", family).tiny)
    discriminator = dict(registry.get("discriminator", family).tiny)
    channels, size, _ = generator["image_shape"]
    # a family that is always conditional has classes in its tiny settings; here the data decide
    classes = [settings.pop("num_classes", 0) for settings in (generator, discriminator)]
    document: dict[str, Any] = {
        "name": f"{family}.shapes",
        "data": {"source": f"shapes?n=96&size={size}&channels={channels}"},
        "generator": {"part": family, **generator},
        "discriminator": {"part": family, **discriminator},
        "conditional": any(classes),
        "batch": 8,
        "kimg": 0.16,
        "seed": 3,
        "ema": {"half_life_kimg": 0.05},
        "every": {"log": 2, "checkpoint": 5, "grid": 0},
    }
    return Recipe.from_dict({**document, **changes})
