"""Settings of the style-based networks and their losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import ganzoo
from ganzoo.configs import check_range, config_from_dict
from ganzoo.errors import ConfigError


@dataclass(frozen=True)
class StyleConfig(ganzoo.GeneratorConfig):
    """What both generators have. Resolution R has min(channel_base // R, channel_max) channels.

    Attributes:
        mapping_width: of the mapping's layers before the last; w_dim if left out.
        embedding_dim: of the label's embedding; if left out, as many numbers as the family has.
        channels: of 4x4, 8x8, … up to the full resolution, where they follow no such rule.
        style_mixing: share of training images whose later layers have the w of a second z.
        w_avg_beta: weight of the old average of w in each step of training.
    """

    fewest_layers: ClassVar[int] = 1
    image_shape: tuple[int, int, int] = (3, 256, 256)
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_width: int | None = None
    mapping_lr_multiplier: float = 0.01
    embedding_dim: int | None = None
    channel_base: int = 16384
    channel_max: int = 512
    channels: tuple[int, ...] = ()
    style_mixing: float = 0.9
    w_avg_beta: float = 0.995

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("w_dim", self.w_dim, 1, 65_536)
        if self.embedding_dim is not None:
            check_range("embedding_dim", self.embedding_dim, 1, 65_536)
        _check_mapping(
            self.mapping_layers,
            self.mapping_width,
            self.mapping_lr_multiplier,
            fewest=self.fewest_layers,
        )
        _check_channels(self)
        check_range("style_mixing", self.style_mixing, 0, 1)
        check_range("w_avg_beta", self.w_avg_beta, 0, 1)

    @property
    def widths(self) -> list[int]:
        """Channels at 4x4, 8x8, … up to the full resolution."""
        return _widths(self)


@dataclass(frozen=True)
class CriticConfig(ganzoo.DiscriminatorConfig):
    """What both discriminators have: channels as in the generator, and `mbstd_group`, the images in
    a group of the minibatch standard deviation; 0 leaves it out."""

    image_shape: tuple[int, int, int] = (3, 256, 256)
    channel_base: int = 16384
    channel_max: int = 512
    channels: tuple[int, ...] = ()
    mbstd_group: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_channels(self)
        check_range("mbstd_group", self.mbstd_group, 0, 4096)

    @property
    def widths(self) -> list[int]:
        """Channels at 4x4, 8x8, … up to the full resolution."""
        return _widths(self)

    @property
    def provides(self) -> frozenset[str]:
        return frozenset() if self.mbstd_group else frozenset({"per-sample"})


@dataclass(frozen=True)
class StyleGANGeneratorConfig(StyleConfig):
    """The defaults are the paper's. What other programs do in other ways: `upsampling` (its
    convolution is followed by a blur, by a bias that is blurred too, or by nothing: "blur",
    "bias-blur", "plain"), `norm_eps` (of the instance norm), `output` (what follows the convolution
    to the image)."""

    upsampling: Literal["blur", "bias-blur", "plain"] = "blur"
    norm_eps: float = 1e-8
    output: Literal["none", "tanh"] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("norm_eps", self.norm_eps, 0, 1)


@dataclass(frozen=True)
class StyleGANDiscriminatorConfig(CriticConfig):
    """The defaults are the paper's. `dense_width` is that of the dense layer before the score, by
    default that of 2x2 by the rule for channels, as in the authors' code (of 4x4, where `channels`
    are given). What other programs do in other ways: `wider` (which convolution of a resolution
    has the channels of the one below it, "second" or "first"), `entry_activation` (a LeakyReLU
    follows the convolution from the image)."""

    dense_width: int | None = None
    wider: Literal["second", "first"] = "second"
    entry_activation: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dense_width is not None:
            check_range("dense_width", self.dense_width, 1, 65_536)

    @property
    def dense(self) -> int:
        """Units of the dense layer before the score."""
        if self.dense_width is not None or self.channels:
            return self.dense_width or self.channels[0]
        return max(1, min(self.channel_base // 2, self.channel_max))


def upgrade_stylegan_discriminator(
    version: int, config: Mapping[str, Any], state: dict[str, Any] | None
) -> tuple[Mapping[str, Any], dict[str, Any] | None]:
    """To version 2: the dense layer of version 1 was as wide as the 4x4 convolution."""
    former = config_from_dict(StyleGANDiscriminatorConfig, config, where="discriminator.config")
    width = former.widths[0]
    return (config if width == former.dense else {**config, "dense_width": width}), state


@dataclass(frozen=True)
class StyleGAN2GeneratorConfig(StyleConfig):
    """The defaults are the paper's configuration F; channel_base 16384 is its E. `architecture` is
    of figure 7: "skip" (each resolution adds its image), "resnet", "orig". `conditioning`: z and
    the label's embedding are brought to unit length each ("separate"), or together ("joint", as in
    the code of before ADA). `conv_clamp` is the largest absolute value after each convolution, for
    networks made for float16. Without layers, w is what would enter them: z, and the embedded
    label."""

    fewest_layers: ClassVar[int] = 0
    channel_base: int = 32768
    architecture: Literal["skip", "resnet", "orig"] = "skip"
    conditioning: Literal["separate", "joint"] = "separate"
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_entry(self, self.z_dim, self.w_dim, "w_dim")
        _check_clamp(self.conv_clamp)


@dataclass(frozen=True)
class StyleGAN2DiscriminatorConfig(CriticConfig):
    """Attributes:
    architecture: of figure 7: "resnet", "skip" (the image enters every resolution), "orig".
    conditioning: with classes, "projection" on a mapping of the label, or a score for each class
        ("scores", as in the code of before ADA).
    dense_width: of the dense layer before the score; that of 4x4 if left out.
    mbstd_channels: how many parts the channels are in whose deviations the minibatch standard
        deviation averages; each becomes a channel.
    mapping_layers, mapping_width, mapping_lr_multiplier, cmap_dim: of the labels' mapping, to
        cmap_dim values, as many as 4x4 has channels if left out. Without layers it is the
        embedding.
    embedding_dim: of the label's embedding, cmap_dim if left out.
    conv_clamp: largest absolute value after each convolution.
    """

    channel_base: int = 32768
    architecture: Literal["resnet", "skip", "orig"] = "resnet"
    conditioning: Literal["projection", "scores"] = "projection"
    dense_width: int | None = None
    mbstd_channels: int = 1
    mapping_layers: int = 8
    mapping_width: int | None = None
    mapping_lr_multiplier: float = 0.01
    cmap_dim: int | None = None
    embedding_dim: int | None = None
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("mbstd_channels", self.mbstd_channels, 1, self.widths[0])
        if self.widths[0] % self.mbstd_channels:
            raise ConfigError(
                f"mbstd_channels = {self.mbstd_channels} does not divide the {self.widths[0]}"
                " channels of 4x4",
                "use 1",
            )
        _check_mapping(
            self.mapping_layers, self.mapping_width, self.mapping_lr_multiplier, fewest=0
        )
        for name in ("cmap_dim", "embedding_dim", "dense_width"):
            width = getattr(self, name)
            if width is not None:
                check_range(name, width, 1, 65_536)
        _check_entry(self, 0, self.cmap_dim or self.widths[0], "cmap_dim")
        _check_clamp(self.conv_clamp)


@dataclass(frozen=True)
class R1Config:
    """`gamma` weighs the penalty; it is computed every `interval` steps (1: as a plain term)."""

    gamma: float = 10.0
    interval: int = 16

    def __post_init__(self) -> None:
        check_range("gamma", self.gamma, 0, 1e6)
        check_range("interval", self.interval, 1, 10_000)


@dataclass(frozen=True)
class StyleGAN2LossConfig(R1Config):
    """Path length regularisation: its weight, how often, the rate at which the mean length follows,
    and the share of the batch that it is computed on (1 / batch_shrink)."""

    path_length_weight: float = 2.0
    path_length_interval: int = 4
    path_length_decay: float = 0.01
    path_length_batch_shrink: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("path_length_weight", self.path_length_weight, 0, 1e6)
        check_range("path_length_interval", self.path_length_interval, 1, 10_000)
        check_range("path_length_decay", self.path_length_decay, 0, 1)
        check_range("path_length_batch_shrink", self.path_length_batch_shrink, 1, 1024)


# -- what the networks have in common --------------------------------------------------------------

_Config = StyleConfig | CriticConfig


def _check_channels(config: _Config) -> None:
    check_resolution(config.image_shape)
    check_range("channel_base", config.channel_base, 1, 2**24)
    check_range("channel_max", config.channel_max, 1, 16_384)
    sizes = levels(config.image_shape)
    if config.channels and len(config.channels) != len(sizes):
        raise ConfigError(
            f"channels has {len(config.channels)} numbers for {len(sizes)} resolutions",
            f"give one for each of {', '.join(map(str, sizes))}, or leave it out",
        )
    for width in config.channels:
        check_range("channels", width, 1, 16_384)


def check_resolution(image_shape: tuple[int, int, int]) -> None:
    """These networks double the size from 4x4 on."""
    _, height, width = image_shape
    if height != width or height & (height - 1) or not 8 <= height <= 1024:
        raise ConfigError(
            f"image_shape {list(image_shape)} is no square of a power of two",
            "use 8, 16, 32, 64, 128, 256, 512 or 1024 pixels (--set data.resolution=…)",
        )


def levels(image_shape: tuple[int, int, int]) -> list[int]:
    """The resolutions 4, 8, … up to the full one."""
    return [2**k for k in range(2, image_shape[1].bit_length())]


def _widths(config: _Config) -> list[int]:
    if config.channels:
        return list(config.channels)
    base, most = config.channel_base, config.channel_max
    return [max(1, min(base // size, most)) for size in levels(config.image_shape)]


def _check_mapping(
    layers: int, width: int | None, lr_multiplier: float, *, fewest: int = 1
) -> None:
    check_range("mapping_layers", layers, fewest, 64)
    if width is not None:
        check_range("mapping_width", width, 1, 65_536)
    check_range("mapping_lr_multiplier", lr_multiplier, 1e-6, 1e3)


def _check_entry(
    config: StyleGAN2GeneratorConfig | StyleGAN2DiscriminatorConfig, z_dim: int, out: int, name: str
) -> None:
    """What enters the mapping: without layers, it is what comes out."""
    embedding_dim = config.embedding_dim or (z_dim if config.conditioning == "joint" else out)
    enters = z_dim + (embedding_dim if config.num_classes else 0)
    if not config.mapping_layers and enters not in (0, out):
        raise ConfigError(
            f"mapping_layers = 0, but {enters} values are to become {out}",
            f"use {name} = {enters}, or 1 layer or more",
        )


def _check_clamp(clamp: float | None) -> None:
    if clamp is not None:
        check_range("conv_clamp", clamp, 1e-3, 1e6)
