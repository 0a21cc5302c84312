"""The average w of a generator whose file has none."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganzoo import rng

COUNT, _PART = 10_000, 500
NOTE = (
    f"The file has no average w: truncation uses that of {COUNT:,} latents, as its program does,"
    " which estimates one when it generates."
)


@torch.no_grad()
def average_w(mapper: nn.Module, state: Mapping[str, Tensor], z_dim: int) -> Tensor:
    """The mean w (w_dim,) of the same 10,000 latents each time, by `mapper` with its weights in the
    generator's `state`."""
    start = "mapper."
    mapper.load_state_dict(
        {name.removeprefix(start): w for name, w in state.items() if name.startswith(start)}
    )
    total = 0
    for start_of_part in range(0, COUNT, _PART):
        z = torch.from_numpy(rng.latents(range(start_of_part, start_of_part + _PART), z_dim))
        total = total + mapper(z, None).double().sum(0)
    average: Tensor = (total / COUNT).float()
    return average
