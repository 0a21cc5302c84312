"""Settings of ProGAN's networks and of the trainer that grows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import ganzoo
from ganzoo.configs import check_range, config_from_dict
from ganzoo.errors import ConfigError
from ganzoo.training.config import AlternatingConfig

RESOLUTIONS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class GeneratorConfig(ganzoo.GeneratorConfig):
    """Channels at a resolution are those of `channels`, or `fmaps`: of 4x4, 8x8, … up to the full
    resolution, where they follow no such rule. The defaults are the paper's (table 2).

    `normalise_latent` puts z, with the label, on a sphere; without it, where `normalise_label` is
    false. What other programs do in other ways: `norm_first` (the pixel norm comes before the
    LeakyReLU), `start_bias` (of the dense layer: one number a channel, or one a pixel of each),
    `output` (what follows the convolution to RGB), `label_length` (of the vector that the label
    joins z as, 1 as a one-hot label has).
    """

    image_shape: tuple[int, int, int] = (3, 32, 32)
    z_dim: int = 512
    fmap_base: int = 8192
    fmap_max: int = 512
    fmaps: tuple[int, ...] = ()
    normalise_latent: bool = True
    normalise_label: bool = True
    norm_first: bool = False
    start_bias: Literal["channel", "pixel"] = "channel"
    output: Literal["none", "tanh"] = "none"
    label_length: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_channels(self)
        check_range("label_length", self.label_length, 0, 1000)

    @property
    def widths(self) -> list[int]:
        """Channels at 4x4, 8x8, … up to the full resolution."""
        return _widths(self)


@dataclass(frozen=True)
class DiscriminatorConfig(ganzoo.DiscriminatorConfig):
    """`group_size` is that of the minibatch standard deviation: 0 leaves it out, 1 makes it a
    constant; with both, each score is that of its own image. With classes, there is a score for
    each ("scores"), or the critic does not see the label and names it ("auxiliary", as in the
    authors' code; for the loss `ac`). `consecutive_groups`: images beside each other are a group of
    the minibatch standard deviation, which is unbiased (as in pytorch_GAN_zoo).

    `fused_scale` halves the resolution before the LeakyReLU of the
    layer, as the authors' code does by default, and not after it, as the paper's table 2 has it.
    `dense_width` is that of the dense layer before the score, by default what `channels` gives for
    2x2, as in the authors' code (that of 4x4, where `fmaps` are given).

    What other programs do in other ways: `wider` (which convolution of a resolution has the
    channels of the one below it, "second" or "first"), `entry_activation` (a LeakyReLU follows the
    convolution from RGB), `statistics` (of what the minibatch standard deviation is: of "features"
    at 4x4, or of the "images", of the whole batch whatever `group_size` is, and unbiased)."""

    image_shape: tuple[int, int, int] = (3, 32, 32)
    fmap_base: int = 8192
    fmap_max: int = 512
    fmaps: tuple[int, ...] = ()
    group_size: int = 4
    consecutive_groups: bool = False
    fused_scale: bool = True
    dense_width: int | None = None
    conditioning: Literal["scores", "auxiliary"] = "scores"
    wider: Literal["second", "first"] = "second"
    entry_activation: bool = True
    statistics: Literal["features", "images"] = "features"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_channels(self)
        check_range("group_size", self.group_size, 0, 4096)
        if self.dense_width is not None:
            check_range("dense_width", self.dense_width, 1, 65_536)

    @property
    def widths(self) -> list[int]:
        """Channels at 4x4, 8x8, … up to the full resolution."""
        return _widths(self)

    @property
    def dense(self) -> int:
        """Units of the dense layer before the score."""
        if self.dense_width is not None or self.fmaps:
            return self.dense_width or self.fmaps[0]
        return channels(2, self.fmap_base, self.fmap_max)

    @property
    def names_classes(self) -> bool:
        """Whether there are classes, and the critic names them."""
        return self.num_classes > 0 and self.conditioning == "auxiliary"

    @property
    def provides(self) -> frozenset[str]:
        labels = "classes" if self.conditioning == "auxiliary" else "conditional"
        alone = self.group_size == 0 or (self.group_size == 1 and self.statistics == "features")
        return frozenset({labels, "per-sample"} if alone else {labels})


def upgrade_discriminator(
    version: int, config: Mapping[str, Any], state: dict[str, Any] | None
) -> tuple[Mapping[str, Any], dict[str, Any] | None]:
    """To version 2: the dense layer of version 1 was as wide as the 4x4 convolution."""
    former = config_from_dict(DiscriminatorConfig, config, where="discriminator.config")
    width = channels(4, former.fmap_base, former.fmap_max)
    return (config if width == former.dense else {**config, "dense_width": width}), state


def channels(resolution: int, fmap_base: int, fmap_max: int) -> int:
    """Feature maps at a resolution: they halve as it doubles, from `fmap_max` on."""
    return min(fmap_base // (resolution // 2), fmap_max)


def check_size(image_shape: tuple[int, int, int]) -> None:
    _, height, width = image_shape
    if height != width or height not in RESOLUTIONS:
        raise ConfigError(
            f"image_shape {list(image_shape)} cannot be grown from 4x4 by doubling",
            f"use a square of {', '.join(map(str, RESOLUTIONS))} (--set data.resolution=…)",
        )


def levels(image_shape: tuple[int, int, int]) -> list[int]:
    """The resolutions 4, 8, … up to the full one."""
    return [resolution for resolution in RESOLUTIONS if resolution <= image_shape[1]]


def check_channels(config: GeneratorConfig | DiscriminatorConfig) -> None:
    check_size(config.image_shape)
    sizes = levels(config.image_shape)
    check_range("fmap_base", config.fmap_base, sizes[-1] // 2, 2**20)  # one channel at least
    check_range("fmap_max", config.fmap_max, 1, 8192)
    if config.fmaps and len(config.fmaps) != len(sizes):
        raise ConfigError(
            f"fmaps has {len(config.fmaps)} numbers for {len(sizes)} resolutions",
            f"give one for each of {', '.join(map(str, sizes))}, or leave it out",
        )
    for width in config.fmaps:
        check_range("fmaps", width, 1, 8192)


def _widths(config: GeneratorConfig | DiscriminatorConfig) -> list[int]:
    if config.fmaps:
        return list(config.fmaps)
    return [channels(r, config.fmap_base, config.fmap_max) for r in levels(config.image_shape)]


@dataclass(frozen=True)
class ProgressiveConfig(AlternatingConfig):
    """How the resolution grows; the defaults are those of the authors' code (the paper's
    appendix A.1 has 800 and 800).

    Training starts at `start_resolution`. Each next one is blended in while `fade_kimg` thousand
    real images are shown, and every one is then trained for `stable_kimg`, the last until the run
    ends. `batch` and `lr` map resolutions to batch sizes and learning rates of both networks; at a
    resolution that they do not name, the recipe's hold. They name none that the run does not have.
    """

    start_resolution: int = 4
    fade_kimg: float = 600.0
    stable_kimg: float = 600.0
    batch: Mapping[str, int] = field(default_factory=dict)
    lr: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        start = self.start_resolution
        if start < 4 or start & (start - 1):
            raise ConfigError(
                f"start_resolution = {start} is no power of two from 4 on", "use 4, 8, 16, …"
            )
        check_range("fade_kimg", self.fade_kimg, 0.0, 1e9)
        check_range("stable_kimg", self.stable_kimg, 0.0, 1e9)
        for name, table, low, high in (
            ("batch", self.batch, 1, 2**20),
            ("lr", self.lr, 0.0, 10.0),
        ):
            for resolution, value in table.items():
                if not resolution.isdecimal() or str(int(resolution)) != resolution:
                    raise ConfigError(
                        f"{name} names the resolution {resolution!r}", f"write {name}.32, and so on"
                    )
                check_range(f"{name}.{resolution}", value, low, high)
