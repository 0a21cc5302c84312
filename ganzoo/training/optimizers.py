"""Optimisers of a recipe, and the learning rate as a closed form of the progress."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ganzoo.training.recipe import OptimizerConfig


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


def learning_rate(config: OptimizerConfig, progress: float, lazy: Mapping[str, int]) -> float:
    """The rate when `progress` in [0, 1] of the run is done."""
    rate = config.lr * lazy_correction(lazy)
    if config.schedule == "linear":
        return rate * max(0.0, 1 - progress)
    if config.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return rate


def lazy_correction(lazy: Mapping[str, int]) -> float:
    """Karras et al. 2020, appendix B: with a term every k steps there are k + 1 updates for k, so
    the rate becomes c * lr and the betas beta^c, with c = k / (k + 1)."""
    return 1 / (1 + sum(1 / interval for interval in lazy.values()))
