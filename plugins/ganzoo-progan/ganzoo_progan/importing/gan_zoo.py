"""facebookresearch/pytorch_GAN_zoo: PGAN.

It differs from the authors' networks: a gain of sqrt(2 / fan_in) on every layer, of which the bias
has its share (folded into weights and biases); a bias for each pixel of the dense layer; an output
that depends on the criterion of training; D's statistics are of images beside each other, unbiased.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ganzoo.errors import InputError
from ganzoo.importing import gan_zoo
from ganzoo.importing.importer import Converted, Importer, Network
from ganzoo.importing.modules import Account, Moves
from ganzoo.importing.tree import Checkpoint
from ganzoo_progan.importing.lookalikes_config import GanZooConfig


class GanZoo(Importer):
    def __init__(self, config: GanZooConfig | None = None) -> None:
        super().__init__(config or GanZooConfig())

    def recognises(self, checkpoint: Checkpoint) -> bool:
        root = checkpoint.root
        if gan_zoo.settings(root) is None:
            return False
        G = gan_zoo.generator(root, Account(root))
        names = ("formatLayer.weight", "toRGBLayers.0.weight", "groupScale0.0.weight")
        return all(name in G for name in names)

    def convert(self, checkpoint: Checkpoint) -> Converted:
        root, account = checkpoint.root, Account(checkpoint.root)
        settings = gan_zoo.settings(root) or {}
        G, D = gan_zoo.generator(root, account), gan_zoo.discriminator(root, account)
        label = gan_zoo.label_of(settings, D, self.config.classes)
        notes = list(label.notes)
        output = gan_zoo.output(settings, self.config.output)
        generator = _generator(G, settings, label, output)
        shape, discriminator = list(generator.config["image_shape"]), None
        if D is not None:
            discriminator = gan_zoo.progressive_discriminator(
                D, settings, shape, label=label, part="progan"
            )
            if discriminator is None:
                account.drop("netD.", gan_zoo.OTHER_CRITIC)
                notes.append(gan_zoo.OTHER_CRITIC_NOTE)
        notes += gan_zoo.check_faded(settings, shape[1]) + gan_zoo.drop_rest(root, account)
        return Converted(
            gan_zoo.PROGRAM, generator, discriminator, account.fates(), notes=tuple(notes)
        )


def _generator(G: Moves, settings: Mapping[str, Any], label: gan_zoo.Label, output: str) -> Network:
    if not settings.get("perChannelNormalization", True):
        raise InputError(
            "the generator was made without pixel norm (perChannelNormalization)",
            "our network always has it",
        )
    scales, layers = G.count("toRGBLayers.{}.weight"), gan_zoo.Equalised(G, settings)
    inputs, width = G.shape("formatLayer.weight")[1], G.shape("groupScale0.0.weight")[0]
    size, z_dim = 4 << (scales - 1), gan_zoo.without_label(inputs, label.numbers)
    config = {
        "image_shape": [G.shape("toRGBLayers.0.weight")[0], size, size],
        "num_classes": label.classes,
        "z_dim": z_dim,
        "fmaps": [G.shape(f"toRGBLayers.{k}.weight")[1] for k in range(scales)],
        "start_bias": "pixel",
        "output": output,
        "label_length": math.sqrt(label.attributes),
    }
    layers.move("formatLayer", "blocks.0.dense", gain=math.sqrt(2) / 4, bias="blocks.0.bias")
    # Of several attributes the label is longer than a one-hot one, with which the pixel norm
    # reckons. That it also has another count of numbers cancels out with the runtime gain.
    dense = G.state["blocks.0.dense.weight"]
    of_label = label.of_classes(dense[:, z_dim:].T).T / math.sqrt(label.attributes)
    G.state["blocks.0.dense.weight"] = torch.cat([dense[:, :z_dim], of_label], dim=1)
    if label.change:
        note = f"gains differ; {label.change}"
        G.account("formatLayer.weight", "blocks.0.dense.weight", note)
    G.state["blocks.0.bias"] = G.state["blocks.0.bias"].reshape(width, 4, 4)
    layers.move("groupScale0.0", "blocks.0.conv")
    for k in range(scales - 1):
        for i in range(2):
            layers.move(f"scaleLayers.{k}.{i}", f"blocks.{k + 1}.conv{i}")
    for k in range(scales):
        layers.move(f"toRGBLayers.{k}", f"to_rgb.{k}", gain=1.0)
    return Network("progan", config, G.state)
