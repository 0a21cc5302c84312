"""What the style-based generators share: z -> w -> one w a layer, truncation, mixing and noise.

Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks",
sections 2 and 3 and appendix B.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.errors import InputError
from ganzoo.nn import without_autocast
from ganzoo.rng import Draws, Noise


class StyleGenerator(ganzoo.Generator):
    """A subclass sets `num_ws`, `mapper` (z, labels -> w) and `synthesis`."""

    shared_buffers: ClassVar = ("w_avg",)
    tensor_options: ClassVar = frozenset({"truncation"})
    mapper: nn.Module

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def mapping(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        truncation: float | Tensor = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """The w of each layer, (N, num_ws, w_dim). The first `truncation_cutoff` of them (all, if
        it is left out) are drawn towards the average w: w_avg + truncation * (w - w_avg)."""
        self.check_labels(labels)
        cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
        self.check_layer("truncation_cutoff", cutoff)
        with without_autocast(z):
            w = self.mapper(z, labels)  # (N, w_dim)
        ws = w[:, None].repeat(1, self.num_ws, 1)
        if not isinstance(truncation, Tensor) and truncation == 1:
            return ws
        return torch.cat([self.w_avg.lerp(ws[:, :cutoff], truncation), ws[:, cutoff:]], dim=1)

    def used_ws(self, **options: Any) -> int:
        """How many of the w `synthesis` uses under `options`."""
        return self.num_ws

    def synthesis(self, ws: Tensor, *, noise: str = "const", rng: Noise | None = None) -> Tensor:
        """Images (N, C, H, W) of ws (N, num_ws, w_dim)."""
        raise NotImplementedError

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        truncation: float | Tensor = 1.0,
        truncation_cutoff: int | None = None,
        mix: tuple[Tensor, int] | None = None,
        **options: Any,
    ) -> Tensor:
        """Images of z. `mix` is a second z and the layer from which on its w are used; the other
        options are those of `synthesis`."""
        how = {"truncation": truncation, "truncation_cutoff": truncation_cutoff}
        ws = self.mapping(z, labels, **how)
        if mix is not None:
            other, layer = mix
            self.check_layer("layer of mix", layer)
            ws = torch.cat([ws[:, :layer], self.mapping(other, labels, **how)[:, layer:]], dim=1)
        return self.synthesis(ws, **options)

    def train_forward(self, z: Tensor, labels: Tensor | None, rng: Draws, **options: Any) -> Tensor:
        """`train_mapping`, and random noise."""
        ws = self.train_mapping(z, labels, rng, **options)
        return self.synthesis(ws, noise="random", rng=rng.noise(len(ws)), **options)

    def train_mapping(self, z: Tensor, labels: Tensor | None, rng: Draws, **options: Any) -> Tensor:
        """Mixing regularisation: from a random layer on, a share of the images has the w of a
        second z (section 3.1). The average of w follows the first."""
        ws = self.mapping(z, labels)
        with torch.no_grad():
            self.w_avg.lerp_(ws[:, 0].mean(0), 1 - self.config.w_avg_beta)
        n, used = len(ws), self.used_ws(**options)
        if self.config.style_mixing > 0:
            others = self.mapping(rng.normal(n, self.z_dim), labels)
            crossover = 1 + rng.integers(n, used - 1)  # 1 … used - 1
            mixed = rng.uniform(n) < self.config.style_mixing
            crossover = torch.where(mixed, crossover, self.num_ws)
            first = torch.arange(self.num_ws, device=ws.device) < crossover[:, None]  # (N, num_ws)
            ws = torch.where(first[:, :, None], ws, others)
        return ws


def noise_map(const: Tensor, layer: int, noise: str, rng: Noise | None) -> Tensor | None:
    """The noise of a layer, (1 or N, 1, H, W): its constant map (H, W), a random one, or none."""
    if noise == "const":
        return const[None, None]
    if noise == "none":
        return None
    if noise != "random":
        raise InputError(f"noise {noise!r} is none", "use 'const', 'random' or 'none'")
    if rng is None:
        raise InputError("random noise needs rng=", "pass ganzoo.rng.SeedNoise(seeds)")
    return rng.normal(layer, 1, *const.shape)
