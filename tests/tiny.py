"""The smallest sensible run of each family, for tests."""

from __future__ import annotations

from typing import Any

import torch

from ganzoo import plugins
from ganzoo.models import Generator, build
from ganzoo.training import Recipe

GENERATORS = [owned.part.name for owned in plugins.load().parts.all("generator")]


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


def generator(name: str, **settings: Any) -> Generator:
    """One that has seen something: no parameter or statistic is where it starts."""
    part = plugins.load().parts.get("generator", name)
    G: Generator = build(part, part.make_config({**part.tiny, **settings}), seed=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for key, value in G.state_dict().items():
            if value.is_floating_point():
                change = torch.randn_like(value).mul_(0.1)
                value.add_(change.abs_() if key.endswith("running_var") else change)
    return G.eval()


def sampling_options(G: Generator) -> list[dict[str, Any]]:
    """What `G.sample` takes, one or two at a time."""
    found: list[dict[str, Any]] = [{}]
    if "w-space" in G.provides:
        found += [{"truncation": 0.6}, {"truncation": 0.0}]
        found.append({"truncation": -0.5, "truncation_cutoff": 1})
    if "layer-noise" in G.provides:
        found += [{"noise": "none"}, {"noise": "random"}]
    if "style-mixing" in G.provides:
        found.append({"mix": (7, 2)})
    if "progressive" in G.provides:
        found += [{"lod": 0.4}, {"lod": 1.0}]
    return found
