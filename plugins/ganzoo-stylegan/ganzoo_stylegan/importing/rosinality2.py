"""rosinality/stylegan2-pytorch: the same networks as NVIDIA's StyleGAN2 under other names.

A file has `g_ema` and, where it was written in training, `g`, `d`, optimisers and the arguments of
the run; a converted one has `latent_avg`. Older files have no noise maps.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganzoo.configs import NoConfig
from ganzoo.errors import InputError
from ganzoo.importing.importer import Converted, Importer, Network
from ganzoo.importing.modules import Account, Moves, fixed_noise, is_state
from ganzoo.importing.tree import Checkpoint
from ganzoo.nn import fir_kernel
from ganzoo_stylegan.importing.w_avg import NOTE, average_w
from ganzoo_stylegan.stylegan2 import Mapping as MappingNetwork

GENERATOR = ("input.input", "conv1.conv.modulation.weight", "to_rgb1.conv.weight")
DISCRIMINATOR = ("convs.0.0.weight", "final_conv.0.weight", "final_linear.1.weight")


class Rosinality2(Importer):
    def __init__(self, config: NoConfig | None = None) -> None:
        super().__init__(config or NoConfig())

    def recognises(self, checkpoint: Checkpoint) -> bool:
        return _generator_prefix(checkpoint) is not None

    def convert(self, checkpoint: Checkpoint) -> Converted:
        account, root, notes = Account(checkpoint.root), checkpoint.root, []
        prefix = _generator_prefix(checkpoint)
        assert prefix is not None
        if prefix == "g.":
            notes.append("The file has no averaged generator (g_ema): this is the trained one.")
        G = account.network("generator", prefix, without=("module",))
        if "latent_avg" in account.tensors:
            average = account.network("generator")
            average.move("latent_avg", "w_avg", lambda w: w.flatten())
            G.state.update(average.state)
        generator = _generator(G, notes)
        discriminator = None
        if prefix and is_state(root.get("d"), *DISCRIMINATOR):
            D = account.network("discriminator", "d.", without=("module",))
            discriminator = _discriminator(D)
        if prefix == "g_ema.":
            account.drop("g.", "the generator before averaging")
        if prefix:
            notes += account.drop_outside(prefix, "d.")
        return Converted(
            "rosinality/stylegan2-pytorch",
            generator,
            discriminator,
            account.fates(),
            notes=tuple(notes),
        )


def _generator_prefix(checkpoint: Checkpoint) -> str | None:
    """Where the file has the generator: the averaged one, the other, or nothing else."""
    root = checkpoint.root
    if not isinstance(root, Mapping):
        return None
    for key in ("g_ema", "g"):
        if is_state(root.get(key), *GENERATOR):
            return f"{key}."
    return "" if is_state(root, *GENERATOR) else None


def _generator(G: Moves, notes: list[str]) -> Network:
    ups = G.count("to_rgbs.{}.bias")
    size = 4 * 2**ups
    depth = G.count("style.{}.weight", start=1)  # style.0 is the normalisation of z
    convs = ["conv1", *(f"convs.{k}" for k in range(2 * ups))]
    images = ["to_rgb1", *(f"to_rgbs.{k}" for k in range(ups))]
    config = {
        "image_shape": [G["to_rgb1.bias"].numel(), size, size],
        "z_dim": G.shape("style.1.weight")[1],
        "w_dim": G.shape("style.1.weight")[0],
        "mapping_layers": depth,
        "channels": [G.shape(f"{name}.conv.weight")[2] for name in images],
    }
    G.move("input.input", "const")
    for k in range(depth):
        for what in ("weight", "bias"):
            G.move(f"style.{k + 1}.{what}", f"mapper.layers.{k}.{what}")
    for k, name in enumerate(convs):
        G.move(f"{name}.conv.weight", f"convs.{k}.weight", lambda w: w[0])
        G.move(f"{name}.activate.bias", f"convs.{k}.bias")
        G.move(f"{name}.noise.weight", f"convs.{k}.noise_strength", lambda w: w.reshape(()))
        for what in ("weight", "bias"):
            G.move(f"{name}.conv.modulation.{what}", f"convs.{k}.affine.{what}")
        _drop_filter(G, f"{name}.conv.blur.kernel", gain=4)
        side = 4 * 2 ** ((k + 1) // 2)
        if f"noises.noise_{k}" in G:
            G.move(f"noises.noise_{k}", f"convs.{k}.noise", lambda n: n[0, 0])
        else:
            G.fill(f"convs.{k}.noise", fixed_noise(k, side, side))
    for k, name in enumerate(images):
        G.move(f"{name}.conv.weight", f"to_images.{k}.weight", lambda w: w[0, :, :, 0, 0])
        G.move(f"{name}.bias", f"to_images.{k}.bias", lambda b: b.flatten())
        for what in ("weight", "bias"):
            G.move(f"{name}.conv.modulation.{what}", f"to_images.{k}.affine.{what}")
        _drop_filter(G, f"{name}.upsample.kernel", gain=4)
    if "noises.noise_0" not in G:
        notes.append("The file has no noise maps: those of noise='const' were drawn at the import.")
    if "w_avg" not in G.state:
        z_dim, w_dim = config["z_dim"], config["w_dim"]
        mapper = MappingNetwork(z_dim, 0, w_dim, layers=depth, lr_multiplier=0.01)
        G.fill("w_avg", average_w(mapper, G.state, z_dim))
        notes.append(NOTE)
    return Network("stylegan2", config, G.state)


def _discriminator(D: Moves) -> Network:
    downs = D.count("convs.{}.conv1.0.weight", start=1)  # convs.0 is the entry of the image
    size = 4 * 2**downs
    names = {"from_image": ("convs.0.0", "convs.0.1"), "conv": ("final_conv.0", "final_conv.1")}
    for k in range(downs):
        block = f"convs.{k + 1}"
        names[f"blocks.{k}.conv0"] = (f"{block}.conv1.0", f"{block}.conv1.1")
        names[f"blocks.{k}.conv1"] = (f"{block}.conv2.1", f"{block}.conv2.2")
        D.move(f"{block}.skip.1.weight", f"blocks.{k}.skip.weight")
        _drop_filter(D, f"{block}.conv2.0.kernel")
        _drop_filter(D, f"{block}.skip.0.kernel")
    names["dense"] = ("final_linear.0", "final_linear.0")
    names["out"] = ("final_linear.1", "final_linear.1")
    widths = [D.shape(f"convs.{k}.conv1.0.weight")[0] for k in range(1, downs + 1)]
    config = {
        "image_shape": [D.shape("convs.0.0.weight")[1], size, size],
        "channels": [D.shape("final_conv.0.weight")[0], *reversed(widths)],
    }
    for ours, (weight, bias) in names.items():
        D.move(f"{weight}.weight", f"{ours}.weight")
        D.move(f"{bias}.bias", f"{ours}.bias")
    return Network("stylegan2", config, D.state)


def _drop_filter(network: Moves, name: str, gain: float = 1.0) -> None:
    """Our networks have this filter, [1, 3, 3, 1], as a constant."""
    if name not in network:
        return
    kernel: Tensor = network[name].float()
    if kernel.shape != (4, 4) or not torch.allclose(kernel, fir_kernel(gain=gain), atol=1e-6):
        raise InputError(
            f"{name} is another filter than [1, 3, 3, 1]",
            "this network is of a changed program, and ours cannot express it",
        )
    network.drop(name, "the filter [1, 3, 3, 1], which our network has as a constant")
