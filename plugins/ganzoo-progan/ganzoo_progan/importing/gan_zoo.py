"""facebookresearch/pytorch_GAN_zoo: PGAN.

It differs from the authors' networks: a gain of sqrt(2 / fan_in) on every layer, of which the bias
has its share (folded into weights and biases); a bias for each pixel of the dense layer; an output
that depends on the criterion of training; D's statistics are of images beside each other, unbiased.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

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
        notes: list[str] = []
        settings = gan_zoo.settings(root) or {}
        G, D = gan_zoo.generator(root, account), gan_zoo.discriminator(root, account)
        classes = gan_zoo.classes(settings, D, self.config.classes)
        output = gan_zoo.output(settings, self.config.output)
        generator = _generator(G, settings, classes, output)
        shape, discriminator = list(generator.config["image_shape"]), None
        if D is not None:
            discriminator = gan_zoo.progressive_discriminator(
                D, settings, shape, classes=classes, part="progan"
            )
            if discriminator is None:
                account.drop("netD.", gan_zoo.OTHER_CRITIC)
                notes.append(gan_zoo.OTHER_CRITIC_NOTE)
        notes += gan_zoo.check_faded(settings) + gan_zoo.drop_rest(root, account)
        return Converted(
            gan_zoo.PROGRAM, generator, discriminator, account.fates(), notes=tuple(notes)
        )


def _generator(G: Moves, settings: Mapping[str, Any], classes: int, output: str) -> Network:
    if not settings.get("perChannelNormalization", True):
        raise InputError(
            "the generator was made without pixel norm (perChannelNormalization)",
            "our network always has it",
        )
    scales, layers = G.count("toRGBLayers.{}.weight"), gan_zoo.Equalised(G, settings)
    inputs, width = G.shape("formatLayer.weight")[1], G.shape("groupScale0.0.weight")[0]
    size = 4 << (scales - 1)
    config = {
        "image_shape": [G.shape("toRGBLayers.0.weight")[0], size, size],
        "num_classes": classes,
        "z_dim": gan_zoo.without_classes(inputs, classes),
        "fmaps": [G.shape(f"toRGBLayers.{k}.weight")[1] for k in range(scales)],
        "start_bias": "pixel",
        "output": output,
    }
    layers.move("formatLayer", "blocks.0.dense", gain=math.sqrt(2) / 4, bias="blocks.0.bias")
    G.state["blocks.0.bias"] = G.state["blocks.0.bias"].reshape(width, 4, 4)
    layers.move("groupScale0.0", "blocks.0.conv")
    for k in range(scales - 1):
        for i in range(2):
            layers.move(f"scaleLayers.{k}.{i}", f"blocks.{k + 1}.conv{i}")
    for k in range(scales):
        layers.move(f"toRGBLayers.{k}", f"to_rgb.{k}", gain=1.0)
    return Network("progan", config, G.state)
