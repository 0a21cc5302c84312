"""StyleGAN2's networks by the names of stylegan2-ada-pytorch, as ours. Both kinds of files end
here: those of PyTorch have these names, those of TensorFlow are brought to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo.configs import config_from_dict
from ganzoo.errors import InputError
from ganzoo.importing.importer import Network
from ganzoo.importing.modules import Moves
from ganzoo_stylegan.config import (
    StyleGAN2DiscriminatorConfig,
    StyleGAN2GeneratorConfig,
    levels,
)

WHOLE_BATCH = 4096
"""Stands for "the whole batch" as a group of the minibatch standard deviation: its largest."""
FIR = torch.tensor([1.0, 3.0, 3.0, 1.0])


def generator(moves: Moves, settings: Mapping[str, Any], *, noise: bool) -> Network:
    """Our generator. `settings` are of `StyleGAN2GeneratorConfig`; `noise` says whether theirs has
    any."""
    config = config_from_dict(StyleGAN2GeneratorConfig, settings, where="the generator")
    move, sizes = moves.move, levels(config.image_shape)
    if "mapping.w_avg" in moves:
        move("mapping.w_avg", "w_avg")
    else:
        moves.state["w_avg"] = torch.zeros(config.w_dim)
    _mapping(moves, config.mapping_layers)
    if config.num_classes:
        _embedding(moves, bias=config.conditioning == "separate")
    move("synthesis.b4.const", "const", lambda const: const[None], "reshaped")
    layers = [f"synthesis.b{size}.conv{k}" for size in sizes for k in (0, 1) if (size, k) != (4, 0)]
    for layer, theirs in enumerate(layers):
        ours = f"convs.{layer}"
        for name in ("weight", "bias", "affine.weight", "affine.bias"):
            move(f"{theirs}.{name}", f"{ours}.{name}")
        if noise:
            move(f"{theirs}.noise_const", f"{ours}.noise")
            move(f"{theirs}.noise_strength", f"{ours}.noise_strength")
        else:  # ours gets a map that is added with weight zero
            size = sizes[(layer + 1) // 2]
            moves.state |= {
                f"{ours}.noise": torch.zeros(size, size),
                f"{ours}.noise_strength": torch.zeros(()),
            }
            # TensorFlow makes them all the same
            moves.drop(f"{theirs}.noise_const", "not used: the network is without noise")
    for k, size in enumerate(sizes if config.architecture == "skip" else sizes[-1:]):
        theirs, ours = f"synthesis.b{size}.torgb", f"to_images.{k}"
        # (image, in, 1, 1) there
        move(f"{theirs}.weight", f"{ours}.weight", lambda weight: weight.flatten(1), "reshaped")
        for name in ("bias", "affine.weight", "affine.bias"):
            move(f"{theirs}.{name}", f"{ours}.{name}")
    if config.architecture == "resnet":
        for k, size in enumerate(sizes[1:]):
            move(f"synthesis.b{size}.skip.weight", f"skips.{k}.weight")
    return Network("stylegan2", settings, moves.state)


def discriminator(moves: Moves, settings: Mapping[str, Any]) -> Network:
    """Our discriminator. `settings` are of `StyleGAN2DiscriminatorConfig`."""
    config = config_from_dict(StyleGAN2DiscriminatorConfig, settings, where="the discriminator")
    sizes = levels(config.image_shape)[::-1]
    names = {f"b{sizes[0]}.fromrgb": "from_image"}
    for k, size in enumerate(sizes[:-1]):
        names[f"b{size}.conv0"] = f"blocks.{k}.conv0"
        names[f"b{size}.conv1"] = f"blocks.{k}.conv1"
        if config.architecture == "skip":  # the image enters the next resolution too
            names[f"b{sizes[k + 1]}.fromrgb"] = f"from_images.{k}"
        if config.architecture == "resnet":
            moves.move(f"b{size}.skip.weight", f"blocks.{k}.skip.weight")
    names |= {"b4.conv": "conv", "b4.fc": "dense", "b4.out": "out"}
    for theirs, ours in names.items():
        moves.move(f"{theirs}.weight", f"{ours}.weight")
        moves.move(f"{theirs}.bias", f"{ours}.bias")
    if config.num_classes and config.conditioning == "projection":
        _mapping(moves, config.mapping_layers)
        _embedding(moves)
    return Network("stylegan2", settings, moves.state)


def _mapping(moves: Moves, layers: int) -> None:
    for k in range(layers):
        for leaf in ("weight", "bias"):
            moves.move(f"mapping.fc{k}.{leaf}", f"mapper.layers.{k}.{leaf}")


def _embedding(moves: Moves, *, bias: bool = True) -> None:
    for leaf in ("weight", "bias") if bias else ("weight",):
        moves.move(f"mapping.embed.{leaf}", f"mapper.embed.{leaf}")


def mapping_settings(tensors: Mapping[str, Tensor], layers: int, w_dim: int) -> dict[str, Any]:
    """The widths of a mapping of so many layers to w_dim values."""
    settings: dict[str, Any] = {"mapping_layers": layers}
    width = len(tensors["mapping.fc0.bias"]) if "mapping.fc0.bias" in tensors else w_dim
    if layers > 1 and width != w_dim:
        settings["mapping_width"] = width
    embed = tensors.get("mapping.embed.bias")
    if embed is not None and embed.numel() != w_dim:
        settings["embedding_dim"] = embed.numel()
    return settings


def widths(tensors: Mapping[str, Tensor], names: list[str], where: str) -> list[int]:
    """The output channels of the convolutions of these names."""
    found = []
    for name in names:
        if f"{name}.weight" not in tensors or tensors[f"{name}.weight"].ndim != 4:
            raise InputError(
                f"{where} lacks the convolution {name!r}", "it is cut short or of another program"
            )
        found.append(len(tensors[f"{name}.weight"]))
    return found


def sizes_to(resolution: int, where: str) -> list[int]:
    """The resolutions 4, 8, … up to this one.

    Raises:
        InputError: our networks have no such resolution.
    """
    if resolution & (resolution - 1) or not 8 <= resolution <= 1024:
        raise InputError(
            f"{where} makes images of {resolution} pixels a side",
            "only 8, 16, 32, 64, 128, 256, 512 and 1024 can be imported",
        )
    return levels((3, resolution, resolution))


def is_fir(kernel: Tensor) -> bool:
    """Whether it is the filter [1, 3, 3, 1], in one or two dimensions, of sum 1."""
    row = FIR / FIR.sum()
    expected = row if kernel.ndim == 1 else torch.outer(row, row)
    kernel = kernel.float()
    return kernel.shape == expected.shape and torch.allclose(kernel, expected, atol=1e-6)
