"""The average w of a generator whose file has none."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganzoo import rng
from ganzoo_stylegan.styles import StyleGenerator

COUNT = 10_000
NOTE = (
    f"The file has no average w: truncation uses that of {COUNT:,} latents, as its program does,"
    " which estimates one when it generates."
)


@torch.no_grad()
def average_w(G: StyleGenerator, state: Mapping[str, Tensor], z_dim: int) -> Tensor:
    """The mean w (w_dim,) of the same 10,000 latents each time, through the mapping in `state`."""
    start = "mapper."
    mapping = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
    G.mapper.load_state_dict(mapping)
    z = torch.from_numpy(rng.latents(range(COUNT), z_dim))
    average: Tensor = G.mapper(z, None).mean(0)
    return average
