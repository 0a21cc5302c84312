"""Optimisers of a recipe, and their schedules as closed forms of the images seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ganzoo.training.config import OptimizerConfig
from ganzoo.training.schedule import anneal


def make_optimizer(
    parameters: Sequence[nn.Parameter], config: OptimizerConfig, *, lazy: Mapping[str, int]
) -> torch.optim.Optimizer:
    """The optimiser over `parameters`, in torch's fused implementation where there is one.

    `lazy` holds the intervals of lazy terms, for which Adam's betas are corrected.
    """
    c = lazy_correction(lazy)
    betas = (config.betas[0] ** c, config.betas[1] ** c)
    common: dict[str, Any] = {"lr": config.lr * c, "weight_decay": config.weight_decay}
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    if config.name == "adam":
        return torch.optim.Adam(parameters, betas=betas, eps=config.eps, fused=fused, **common)
    if config.name == "adamw":
        return torch.optim.AdamW(parameters, betas=betas, eps=config.eps, fused=fused, **common)
    if config.name == "rmsprop":
        return torch.optim.RMSprop(
            parameters,
            alpha=config.alpha**c,
            eps=config.eps,
            momentum=config.momentum,
            foreach=True,
            **common,
        )
    return torch.optim.SGD(parameters, momentum=config.momentum, fused=fused, **common)


def settings_at(
    config: OptimizerConfig, images: int, kimg: float, lazy: Mapping[str, int]
) -> dict[str, Any]:
    """The optimiser's settings that follow its schedule, after `images` images of a run of `kimg`
    thousand: "lr", and Adam's "betas" where they have a goal."""
    length, c = config.schedule_kimg or kimg, lazy_correction(lazy)
    lr = anneal(config.schedule, config.lr, config.final_lr, images, length)
    settings: dict[str, Any] = {"lr": lr * c}
    if config.final_betas is not None:
        settings["betas"] = tuple(
            anneal(config.schedule, beta, final, images, length) ** c
            for beta, final in zip(config.betas, config.final_betas, strict=True)
        )
    return settings


def lazy_correction(lazy: Mapping[str, int]) -> float:
    """Karras et al. 2020, appendix B: with a term every k steps there are k + 1 updates for k, so
    the rate becomes c * lr and the betas beta^c, with c = k / (k + 1)."""
    return 1 / (1 + sum(1 / interval for interval in lazy.values()))
