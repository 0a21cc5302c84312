"""The exponential moving average of G's weights, and the batch statistics that go with it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn, update_bn

from ganzoo import rng
from ganzoo.models import Generator

_STATISTICS_BATCHES, _STATISTICS_BATCH = 32, 128


@torch.no_grad()
def average(ema: nn.Module, network: nn.Module, decay: float) -> None:
    """ema <- decay * ema + (1 - decay) * network; buffers are copied as they are."""
    blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    blend(list(ema.parameters()), list(network.parameters()), 0)
    for target, source in zip(ema.buffers(), network.buffers(), strict=True):
        target.copy_(source)


def with_fresh_statistics(
    generator: Generator, options: Mapping[str, Any] | None = None
) -> Generator:
    """A copy whose batch-norm statistics are its own: measured on its images of fixed latents.

    Copied statistics belong to the weights of the last step, not to their average. `options` are
    those of `forward` under which it is measured (`lod`).
    """
    copied = copy.deepcopy(generator).eval()
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in copied.modules()):
        starts = range(0, _STATISTICS_BATCHES * _STATISTICS_BATCH, _STATISTICS_BATCH)
        with torch.no_grad():
            update_bn(
                (range(s, s + _STATISTICS_BATCH) for s in starts), _OfSeeds(copied, options or {})
            )
    return copied.eval()


class _OfSeeds(nn.Module):
    """G as a function of seeds, as `sample` would call it, for torch's `update_bn`."""

    def __init__(self, generator: Generator, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.generator, self.options = generator, options

    def forward(self, seeds: range) -> Tensor:
        G = self.generator
        z = torch.from_numpy(rng.latents(seeds, G.z_dim)).to(G.device)
        labels = torch.tensor(seeds, device=G.device) % G.num_classes if G.num_classes else None
        images: Tensor = G(z, labels, **self.options)
        return images
