"""rosinality/style-based-gan-pytorch: StyleGAN.

It differs from the authors' networks: weights of noise and styles have He's gain too, styles
multiply without a 1, the mapping learns at the full rate, biases come before the blur, a fused
upsampling is a fourth of the sum, and one noise map serves both layers of a resolution. In D the
first convolution of a resolution widens, and the standard deviation is that of the whole batch.
All resolutions exist from the start; the file does not say which of them were trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ganzoo.errors import InputError
from ganzoo.importing.importer import Converted, Importer, Network
from ganzoo.importing.modules import (
    Account,
    Moves,
    fixed_noise,
    is_state,
    number_in,
    scaled,
    trained_levels,
)
from ganzoo.importing.tree import Checkpoint
from ganzoo_stylegan.config import StyleGANGeneratorConfig
from ganzoo_stylegan.importing.rosinality_config import RosinalityConfig
from ganzoo_stylegan.importing.w_avg import NOTE, average_w
from ganzoo_stylegan.stylegan import Mapping as MappingNetwork

PROGRAM = "rosinality/style-based-gan-pytorch"
GENERATOR = ("generator.progression.0.conv1.input", "generator.to_rgb.0.conv.weight_orig")
HE = scaled(math.sqrt(2))
HE_NOTE = "times He's gain"
BLUR = torch.tensor([1.0, 2.0, 1.0])
NOISE_NOTE = (
    "The file has no noise maps: those of noise='const' were drawn at the import, one a resolution,"
    " as the program does; noise='random' draws one a layer."
)


class Rosinality(Importer):
    def __init__(self, config: RosinalityConfig | None = None) -> None:
        super().__init__(config or RosinalityConfig())

    def recognises(self, checkpoint: Checkpoint) -> bool:
        return _prefix(checkpoint) is not None

    def convert(self, checkpoint: Checkpoint) -> Converted:
        account, notes = Account(checkpoint.root), [NOISE_NOTE, NOTE]
        prefix = _prefix(checkpoint) or ""
        G = account.network("generator", prefix, without=("module",))
        generator = _generator(G, self.config.resolution, notes)
        discriminator = None
        if prefix and is_state(checkpoint.root.get("discriminator"), "linear.linear.weight_orig"):
            D = account.network("discriminator", "discriminator.", without=("module",))
            discriminator = _discriminator(D, len(generator.config["channels"]))
        if prefix == "generator.":
            notes.append("The file has no averaged generator (g_running): this is the trained one.")
        elif prefix:
            account.drop("generator.", "the generator before averaging")
        if prefix:
            notes += account.drop_outside(prefix, "discriminator.")
        return Converted(PROGRAM, generator, discriminator, account.fates(), notes=tuple(notes))


def _prefix(checkpoint: Checkpoint) -> str | None:
    root = checkpoint.root
    if not isinstance(root, Mapping):
        return "" if is_state(root, *GENERATOR) else None
    for key in ("g_running", "generator"):
        if is_state(root.get(key), *GENERATOR):
            return f"{key}."
    return "" if is_state(root, *GENERATOR) else None


# -- the generator ---------------------------------------------------------------------------------


def _generator(G: Moves, resolution: int | None, notes: list[str]) -> Network:
    count = G.count("generator.to_rgb.{}.conv.weight_orig")
    blocks = [f"generator.progression.{k}" for k in range(count)]
    # noise and biases start as zeros
    zeros = [[f"{b}.noise1.weight_orig", f"{b}.noise2.weight_orig", f"{b}.conv2.conv.bias"]
             for b in blocks]  # fmt: skip
    levels = trained_levels(G, zeros, resolution)
    if levels < count:
        notes.append(f"Of its {4 << (count - 1)} pixels only {4 << (levels - 1)} were trained.")
    widths = [G.shape(f"generator.to_rgb.{k}.conv.weight_orig")[1] for k in range(levels)]
    size = 4 << (levels - 1)
    places = [k for k in range(64) if f"style.{k}.linear.weight_orig" in G]
    if not places:
        raise InputError("the generator has no style.1.linear", "the file is not complete")
    w_dim, z_dim = G.shape(f"style.{places[0]}.linear.weight_orig")
    config = {
        "image_shape": [G.shape("generator.to_rgb.0.conv.weight_orig")[0], size, size],
        "z_dim": z_dim,
        "w_dim": w_dim,
        "mapping_layers": len(places),
        "mapping_lr_multiplier": 1.0,
        "channels": widths,
        "upsampling": "bias-blur",
        "norm_eps": 1e-5,
    }
    for k, place in enumerate(places):
        G.move(f"style.{place}.linear.weight_orig", f"mapper.layers.{k}.weight")
        G.move(f"style.{place}.linear.bias", f"mapper.layers.{k}.bias")
    G.move("generator.progression.0.conv1.input", "const")
    for k, block in enumerate(blocks[:levels]):
        _block(G, block, k, widths[k])
        ours = f"to_images.{k}"
        G.move(f"generator.to_rgb.{k}.conv.weight_orig", f"{ours}.weight", HE, HE_NOTE)
        G.move(f"generator.to_rgb.{k}.conv.bias", f"{ours}.bias")
    for name in G.names:
        level = number_in(name, 2) if name.startswith("generator.") else None
        if level is not None and level >= levels:
            G.drop(name, "of a resolution that was not reached")
        elif name.endswith("_orig") and name.removesuffix("_orig") in G:
            G.drop(name.removesuffix("_orig"), "computed from weight_orig")
    shape = (config["image_shape"][0], size, size)
    ours = StyleGANGeneratorConfig(**{**config, "image_shape": shape, "channels": tuple(widths)})
    G.fill("w_avg", average_w(MappingNetwork(ours), G.state, z_dim))
    return Network("stylegan", config, G.state)


def _block(G: Moves, block: str, level: int, width: int) -> None:
    first, second = f"layers.{2 * level}", f"layers.{2 * level + 1}"
    if level:
        _upsampling(G, f"{block}.conv1", f"{first}.first.conv")
    G.fill(f"{first}.bias", torch.zeros(width))
    G.move(f"{block}.conv2.conv.weight_orig", f"{second}.first.weight")
    G.move(f"{block}.conv2.conv.bias", f"{second}.bias")
    noise = fixed_noise(level, 4 << level, 4 << level)
    gain = scaled(math.sqrt(2 / width))
    for number, layer in ((1, first), (2, second)):
        G.fill(f"{layer}.noise", noise)
        G.move(
            f"{block}.noise{number}.weight_orig",
            f"{layer}.noise_strength",
            lambda weight: gain(weight.flatten()),
            HE_NOTE,
        )
        style = f"{block}.adain{number}.style.linear"
        G.move(f"{style}.weight_orig", f"{layer}.affine.weight", HE, HE_NOTE)
        G.move(f"{style}.bias", f"{layer}.affine.bias", less_one, "less the 1 that ours adds")


def less_one(bias: Tensor) -> Tensor:
    """(2 C): factors without the 1 that ours adds, and shifts."""
    factors, shifts = bias.chunk(2)
    return torch.cat([factors - 1, shifts])


def _upsampling(G: Moves, name: str, target: str) -> None:
    """A convolution of what was upsampled, or both in one: transposed, of a fourth of the sum of
    the kernel at four places, which is the flipped kernel's convolution of squares."""
    if f"{name}.1.conv.weight_orig" in G:
        G.move(f"{name}.1.conv.weight_orig", f"{target}.weight")
        G.move(f"{name}.1.conv.bias", f"{target}.bias")
        _drop_blur(G, f"{name}.2")
        return
    note = "flipped and a fourth: of a fused upsampling"
    G.move(f"{name}.0.weight", f"{target}.weight", _unfused, note)
    G.move(f"{name}.0.bias", f"{target}.bias")
    _drop_blur(G, f"{name}.1")


def _unfused(weight: Tensor) -> Tensor:
    return weight.transpose(0, 1).flip(2, 3) / 4


def _drop_blur(network: Moves, name: str) -> None:
    """Our networks have this filter as a constant."""
    if f"{name}.weight" in network:
        kernel = network[f"{name}.weight"].float()[0, 0]
        if kernel.shape != (3, 3) or not torch.allclose(kernel, BLUR.outer(BLUR) / 16, atol=1e-6):
            raise InputError(f"{name} is another filter than [1, 2, 1]", "of a changed program")
    for leaf in ("weight", "weight_flip"):
        network.drop(f"{name}.{leaf}", "the filter [1, 2, 1], which our network has as a constant")


# -- the discriminator -----------------------------------------------------------------------------


def _discriminator(D: Moves, levels: int) -> Network:
    """Its blocks go from the largest resolution down; ours up from 4x4."""
    count = D.count("progression.{}.conv1.0.conv.weight_orig")
    activated = "from_rgb.0.0.conv.weight_orig" in D
    inner = ".0" if activated else ""
    entry = [f"from_rgb.{count - 1 - k}{inner}.conv" for k in range(levels)]
    widths = [D.shape(f"{name}.weight_orig")[0] for name in entry]
    size = 4 << (levels - 1)
    last = f"progression.{count - 1}"
    statistics = D.shape(f"{last}.conv1.0.conv.weight_orig")[1] > widths[0]
    dense = D.shape(f"{last}.conv2.0.conv.weight_orig")[0]
    config = {
        "image_shape": [D.shape(f"{entry[0]}.weight_orig")[1], size, size],
        "channels": widths,
        "mbstd_group": 4096 if statistics else 0,
        "dense_width": dense,
        "wider": "first",
        "entry_activation": activated,
    }
    for k, name in enumerate(entry):
        D.move(f"{name}.weight_orig", f"from_images.{k}.weight")
        D.move(f"{name}.bias", f"from_images.{k}.bias")
    for k in range(1, levels):
        block, ours = f"progression.{count - 1 - k}", f"blocks.{k - 1}"
        D.move(f"{block}.conv1.0.conv.weight_orig", f"{ours}.conv0.weight")
        D.move(f"{block}.conv1.0.conv.bias", f"{ours}.conv0.bias")
        _drop_blur(D, f"{block}.conv2.0")
        fused = f"{block}.conv2.1.weight"
        D.move(fused if fused in D else f"{block}.conv2.1.conv.weight_orig", f"{ours}.conv1.weight")
        D.move(
            f"{block}.conv2.1.bias" if fused in D else f"{block}.conv2.1.conv.bias", f"{ours}.bias"
        )
    D.move(f"{last}.conv1.0.conv.weight_orig", "conv.weight")
    D.move(f"{last}.conv1.0.conv.bias", "conv.bias")
    D.move(f"{last}.conv2.0.conv.weight_orig", "dense.weight", lambda w: w.flatten(1))
    D.move(f"{last}.conv2.0.conv.bias", "dense.bias")
    D.move("linear.linear.weight_orig", "score.weight", HE, HE_NOTE)
    D.move("linear.linear.bias", "score.bias")
    for name in D.names:
        place = number_in(name, 1)
        if place is not None and place < count - levels:
            D.drop(name, "of a resolution that was not reached")
        elif name.endswith("_orig"):
            D.drop(name.removesuffix("_orig"), "computed from weight_orig")
    return Network("stylegan", config, D.state)
