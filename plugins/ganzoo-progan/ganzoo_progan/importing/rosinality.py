"""rosinality/progressive-gan-pytorch: a generator that was saved as a whole module.

It differs from the authors': the pixel norm comes before the LeakyReLU, z is normalised alone and
a learned vector of the label joins it, a 4x4 convolution of a padded pixel is the dense layer, and
the convolutions to and from RGB and the last layer have no gain. In D, the first convolution of a
resolution widens, and the standard deviation is that of the images. The program saves no D, but
copies of it do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from ganzoo.errors import InputError
from ganzoo.importing.importer import Converted, Importer, Network
from ganzoo.importing.modules import Account, Moves, is_state, number_in, scaled, trained_levels
from ganzoo.importing.tree import Checkpoint, Record
from ganzoo_progan.importing.lookalikes_config import RosinalityConfig

PROGRAM = "rosinality/progressive-gan-pytorch"
NAMES = ("progression.0.conv.0.conv.weight_orig", "to_rgb.0.weight")
CRITIC = ("progression.0.conv.0.conv.weight_orig", "from_rgb.0.weight", "linear.weight")
_LARGEST_DENSE = 1 << 26
PLAIN = "made for a runtime gain"


class Rosinality(Importer):
    def __init__(self, config: RosinalityConfig | None = None) -> None:
        super().__init__(config or RosinalityConfig())

    def recognises(self, checkpoint: Checkpoint) -> bool:
        return _prefix(checkpoint) is not None

    def convert(self, checkpoint: Checkpoint) -> Converted:
        account, notes = Account(checkpoint.root), []
        prefix = _prefix(checkpoint) or ""
        G = account.network("generator", prefix, without=("module",))
        generator = _generator(G, self.config.resolution, notes)
        if prefix == "generator.":
            notes.append("The file has no averaged generator (g_running): this is the trained one.")
        discriminator = None
        if prefix and "discriminator" in checkpoint.root:
            D = account.network("discriminator", "discriminator.", without=("module",))
            discriminator = _discriminator(D, generator)
            if discriminator is None:
                notes.append("The discriminator was left out: it is of another form than ours.")
                account.drop("discriminator.", "a discriminator of another form than ours")
        if prefix == "g_running.":
            account.drop("generator.", "the generator before averaging")
        if prefix:
            notes += account.drop_outside(prefix, "discriminator.")
        return Converted(PROGRAM, generator, discriminator, account.fates(), notes=tuple(notes))


def _prefix(checkpoint: Checkpoint) -> str | None:
    root = checkpoint.root
    if isinstance(root, Record):
        return "" if is_state(root, *NAMES) else None
    if not isinstance(root, Mapping):
        return None
    for key in ("g_running", "generator"):
        if is_state(root.get(key), *NAMES):
            return f"{key}."
    return "" if is_state(root, *NAMES) else None


def _generator(G: Moves, resolution: int | None, notes: list[str]) -> Network:
    count = G.count("to_rgb.{}.weight")
    zeros = [[f"progression.{k}.conv.{i}.conv.bias" for i in (0, 3)] for k in range(count)]
    levels = trained_levels(G, zeros, resolution)
    if levels < count:
        notes.append(f"Of its {4 << (count - 1)} pixels only {4 << (levels - 1)} were trained.")
    first = "progression.0.conv.0.conv"
    inputs, classes, vector = G.shape(f"{first}.weight_orig")[1], 0, torch.zeros(0, 0)
    if "label_embed.weight" in G:
        vector = G["label_embed.weight"].float()  # (classes, numbers)
        classes = len(vector)
    z_dim = inputs - vector.shape[1]
    if z_dim < 1 or G.shape(f"{first}.weight_orig")[2:] != (4, 4):
        raise InputError("the first convolution is not 4x4 of z and label", "of a changed program")
    numbers = G[f"{first}.weight_orig"].numel() // inputs * (z_dim + classes)
    if numbers > _LARGEST_DENSE:
        raise InputError(
            f"its dense layer would have {numbers:,} weights for {classes:,} classes",
            f"at most {_LARGEST_DENSE:,} can be imported",
        )
    size = 4 << (levels - 1)
    fmaps = [G.shape(f"to_rgb.{k}.weight")[1] for k in range(levels)]
    config = {
        "image_shape": [G.shape("to_rgb.0.weight")[0], size, size],
        "num_classes": classes,
        "z_dim": z_dim,
        "fmaps": fmaps,
        "normalise_label": False,
        "norm_first": True,
    }

    def dense(weight: torch.Tensor) -> torch.Tensor:
        """(C, in, 4, 4) -> (C * 16, z_dim + classes), the label's vector multiplied in."""
        flipped = weight.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2)  # padded by 3: a full one
        of_z, of_label = flipped.split([z_dim, inputs - z_dim], dim=1)
        # the runtime gain is by the number of inputs, which becomes another
        gain = math.sqrt((z_dim + classes) / inputs)
        return torch.cat([of_z, of_label @ vector.T], dim=1) * gain

    G.move(f"{first}.weight_orig", "blocks.0.dense.weight", dense, "flipped, as a dense layer")
    G.move(f"{first}.bias", "blocks.0.bias")
    if classes:
        G.account("label_embed.weight", "blocks.0.dense.weight", "multiplied into the dense layer")
    for k in range(levels):
        for i, place in enumerate((0, 3)):
            if k or i:
                ours = f"blocks.{k}.conv{i if k else ''}"
                G.move(f"progression.{k}.conv.{place}.conv.weight_orig", f"{ours}.weight")
                G.move(f"progression.{k}.conv.{place}.conv.bias", f"{ours}.bias")
        G.move(f"to_rgb.{k}.weight", f"to_rgb.{k}.weight", scaled(math.sqrt(fmaps[k])), PLAIN)
        G.move(f"to_rgb.{k}.bias", f"to_rgb.{k}.bias")
    for name in G.names:
        level = number_in(name, 1) if name.startswith(("progression.", "to_rgb.")) else None
        _drop(G, name, reached=level is None or level < levels)
    return Network("progan", config, G.state)


def _drop(network: Moves, name: str, *, reached: bool) -> None:
    if not reached:
        network.drop(name, "of a resolution that was not reached")
    elif f"{name}_orig" in network:
        network.drop(name, "computed from weight_orig")


def _discriminator(D: Moves, generator: Network) -> Network | None:
    """Of the generator's resolutions and classes, or None. Its blocks go from the largest
    resolution down; ours up from 4x4."""
    levels, classes = len(generator.config["fmaps"]), generator.config["num_classes"]
    count = D.count("from_rgb.{}.weight")
    if not all(name in D for name in CRITIC) or count < levels:
        return None
    if D.shape("linear.weight")[0] != 1 + classes:
        return None
    blocks = [f"progression.{count - 1 - k}.conv" for k in range(levels)]
    entry = [f"from_rgb.{count - 1 - k}" for k in range(levels)]
    fmaps = [D.shape(f"{name}.weight")[0] for name in entry]
    channels = D.shape(f"{entry[0]}.weight")[1]
    dense = D.shape("linear.weight")[1]
    config = {
        "image_shape": generator.config["image_shape"],
        "num_classes": classes,
        "conditioning": "auxiliary" if classes else "scores",
        "fmaps": fmaps,
        "group_size": 4 if D.shape(f"{blocks[0]}.0.conv.weight_orig")[1] > fmaps[0] else 0,
        "statistics": "images",
        "fused_scale": False,
        "wider": "first",
        "entry_activation": False,
        "dense_width": dense,
    }
    for k in range(levels):
        gain = scaled(math.sqrt(channels / 2))
        D.move(f"{entry[k]}.weight", f"from_rgb.{k}.conv.weight", gain, PLAIN)
        D.move(f"{entry[k]}.bias", f"from_rgb.{k}.conv.bias")
        for i, place in enumerate((0, 2)):
            ours = f"blocks.{k}.conv{i}" if k else f"blocks.0.{('conv', 'dense')[i]}"
            change = None if k or i == 0 else lambda weight: weight.flatten(1)
            D.move(f"{blocks[k]}.{place}.conv.weight_orig", f"{ours}.weight", change)
            D.move(f"{blocks[k]}.{place}.conv.bias", f"{ours}.bias")
    D.move("linear.weight", "blocks.0.score.weight", scaled(math.sqrt(dense)), PLAIN)
    D.move("linear.bias", "blocks.0.score.bias")
    for name in D.names:
        place = number_in(name, 1)
        _drop(D, name, reached=place is None or place >= count - levels)
    return Network("progan", config, D.state)
