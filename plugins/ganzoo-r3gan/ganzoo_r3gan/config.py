"""Settings of R3GAN's networks and loss."""

from __future__ import annotations

from dataclasses import dataclass

import ganzoo
from ganzoo.configs import check_range, check_square
from ganzoo.errors import ConfigError

SIZES = (8, 16, 28, 32, 64, 128, 256)


@dataclass(frozen=True)
class GeneratorConfig(ganzoo.GeneratorConfig):
    """Attributes:
    width: channels at the full resolution; each level below has twice as many, up to `max_width`.
    blocks: residual blocks of each resolution.
    expansion: how much wider a block is within.
    group_size: channels in a group of the 3x3 convolutions.
    embed_dim: of the class embedding that joins z.
    """

    z_dim: int = 64
    width: int = 64
    max_width: int = 512
    blocks: int = 2
    expansion: int = 2
    group_size: int = 16
    embed_dim: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self)

    @property
    def levels(self) -> list[tuple[int, int]]:
        """(size, channels) of every resolution, from the smallest."""
        return _levels(self)


@dataclass(frozen=True)
class DiscriminatorConfig(ganzoo.DiscriminatorConfig):
    """As the generator's; `embed_dim` is of the class embedding that the last features are
    projected on."""

    width: int = 64
    max_width: int = 512
    blocks: int = 2
    expansion: int = 2
    group_size: int = 16
    embed_dim: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self)

    @property
    def levels(self) -> list[tuple[int, int]]:
        """(size, channels) of every resolution, from the smallest."""
        return _levels(self)


@dataclass(frozen=True)
class LossConfig:
    """`gamma` weighs both penalties. With `final_gamma` it goes there along half a cosine within
    the first `burn_in_kimg` thousand images, as in the paper."""

    gamma: float = 1.0
    final_gamma: float | None = None
    burn_in_kimg: float | None = None

    def __post_init__(self) -> None:
        check_range("gamma", self.gamma, 0.0, 1e6)
        if (self.final_gamma is None) != (self.burn_in_kimg is None):
            raise ConfigError(
                "final_gamma and burn_in_kimg belong together", "set both, or leave both out"
            )
        if self.final_gamma is not None and self.burn_in_kimg is not None:
            check_range("final_gamma", self.final_gamma, 0.0, 1e6)
            check_range("burn_in_kimg", self.burn_in_kimg, 1e-3, 1e9)


# -- what the networks have in common --------------------------------------------------------------

_Config = GeneratorConfig | DiscriminatorConfig


def _check(config: _Config) -> None:
    check_square(config.image_shape, SIZES)
    check_range("width", config.width, 1, 4096)
    check_range("max_width", config.max_width, 1, 8192)
    check_range("blocks", config.blocks, 1, 64)
    check_range("expansion", config.expansion, 1, 64)
    check_range("group_size", config.group_size, 1, 8192)
    check_range("embed_dim", config.embed_dim, 1, 65_536)
    for _, width in config.levels:
        if width * config.expansion % config.group_size:
            raise ConfigError(
                f"group_size = {config.group_size} does not divide the {width * config.expansion}"
                " channels within a block",
                "choose a divisor of expansion times width, at every resolution",
            )


def _levels(config: _Config) -> list[tuple[int, int]]:
    full = config.image_shape[1]
    sizes = [full]
    while sizes[0] % 2 == 0 and sizes[0] > 4:  # to 4x4, or 7x7 for 28x28
        sizes.insert(0, sizes[0] // 2)
    return [(size, min(config.width * full // size, config.max_width)) for size in sizes]
