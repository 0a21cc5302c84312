"""facebookresearch/pytorch_GAN_zoo: StyleGAN.

It differs from the authors' networks: gains of sqrt(2 / fan_in) on every layer, of the bias too;
styles multiply without a 1; one weight of noise a layer; no blur, no image at 4x4. Its D is that of
its PGAN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo.importing import gan_zoo
from ganzoo.importing.importer import Converted, Importer, Network
from ganzoo.importing.modules import Account, Moves, fixed_noise
from ganzoo.importing.tree import Checkpoint
from ganzoo_stylegan.importing.rosinality import less_one
from ganzoo_stylegan.importing.rosinality_config import GanZooConfig

SLOW = 0.01
"""The mapping's share of the learning rate, which the program has as a constant."""
NOISE_NOTE = "The file has no noise maps: those of noise='const' were drawn at the import."


class GanZoo(Importer):
    def __init__(self, config: GanZooConfig | None = None) -> None:
        super().__init__(config or GanZooConfig())

    def recognises(self, checkpoint: Checkpoint) -> bool:
        root = checkpoint.root
        if gan_zoo.settings(root) is None:
            return False
        G = gan_zoo.generator(root, Account(root))
        names = ("mean_w", "mapping.FC.0.weight", "adain00.styleModulator.weight", "conv0.weight")
        return all(name in G for name in names)

    def convert(self, checkpoint: Checkpoint) -> Converted:
        root, account = checkpoint.root, Account(checkpoint.root)
        settings, notes = gan_zoo.settings(root) or {}, [NOISE_NOTE]
        G, D = gan_zoo.generator(root, account), gan_zoo.discriminator(root, account)
        label = gan_zoo.label_of(settings, D, self.config.classes)
        notes += label.notes
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
        phi = settings.get("phiTruncation")
        phi = phi if isinstance(phi, (int, float)) else "that it was made with"
        notes.append(
            f"The program always truncates, by the phi {phi}: here that is asked for (truncation)."
        )
        notes += gan_zoo.check_faded(settings, shape[1]) + gan_zoo.drop_rest(root, account)
        return Converted(
            gan_zoo.PROGRAM, generator, discriminator, account.fates(), notes=tuple(notes)
        )


def _generator(G: Moves, settings: Mapping[str, Any], label: gan_zoo.Label, output: str) -> Network:
    layers = gan_zoo.Equalised(G, settings)
    scales, depth = G.count("toRGBLayers.{}.weight"), G.count("mapping.FC.{}.weight")
    width = G.shape("conv0.weight")[0]
    widths = [width, *(G.shape(f"toRGBLayers.{k}.weight")[1] for k in range(scales))]
    size, channels = 4 << scales, G.shape("toRGBLayers.0.weight")[0]
    config = {
        "image_shape": [channels, size, size],
        "num_classes": label.classes,
        "embedding_dim": label.numbers or None,
        "z_dim": gan_zoo.without_label(G.shape("mapping.FC.0.weight")[1], label.numbers),
        "w_dim": G.shape(f"mapping.FC.{depth - 1}.weight")[0],
        "mapping_layers": depth,
        "mapping_lr_multiplier": SLOW,
        "channels": widths,
        "upsampling": "plain",
        "output": output,
    }
    if label.classes:  # the label joins z as it is
        codes = torch.eye(label.classes) if label.codes is None else label.codes
        G.fill("mapper.embed.weight", codes)
    for k in range(depth):
        layers.move(f"mapping.FC.{k}", f"mapper.layers.{k}", lr_multiplier=SLOW)
    G.move("mean_w", "w_avg", lambda w: w.flatten())
    for name, shape in ((name, G.shape(name)) for name in G.names):
        if "." not in name and shape == (1, width, 4, 4):
            G.move(name, "const")
    G.fill("layers.0.bias", torch.zeros(width))
    layers.move("conv0", "layers.1.first", bias="layers.1.bias")
    for number in range(2):
        _style(layers, f"adain0{number}", f"layers.{number}")
        _noise(G, f"noiseMod0{number}", number, 4, width)
    for k in range(scales):
        for i in range(2):
            number = 2 * k + 2 + i
            first = f"layers.{number}.first{'' if i else '.conv'}"
            layers.move(f"scaleLayers.{k}.{2 * i}", first, bias=f"layers.{number}.bias")
            _style(layers, f"scaleLayers.{k}.{2 * i + 1}", f"layers.{number}")
            _noise(G, f"noiseModulators.{k}.{i}", number, 8 << k, widths[k + 1])
        layers.move(f"toRGBLayers.{k}", f"to_images.{k + 1}", gain=1.0)
    G.fill("to_images.0.weight", torch.zeros(channels, width, 1, 1))
    G.fill("to_images.0.bias", torch.zeros(channels))
    return Network("stylegan", config, G.state)


def _style(layers: gan_zoo.Equalised, name: str, target: str) -> None:
    layers.move(f"{name}.styleModulator", f"{target}.affine", gain=1.0)
    bias = f"{target}.affine.bias"
    layers.network.state[bias] = less_one(layers.network.state[bias])
    note = "times the layer's gain, less the 1 that ours adds"
    layers.network.account(f"{name}.styleModulator.bias", bias, note)


def _noise(G: Moves, name: str, number: int, size: int, width: int) -> None:
    def spread(weight: Tensor) -> Tensor:
        return weight.flatten().expand(width).clone()

    target = f"layers.{number}"
    G.move(f"{name}.weight", f"{target}.noise_strength", spread, "the same for all channels")
    G.fill(f"{target}.noise", fixed_noise(number, size, size))
