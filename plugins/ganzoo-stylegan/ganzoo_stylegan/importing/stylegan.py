"""StyleGAN of NVIDIA's TensorFlow program, as ours."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from ganzoo.importing.importer import Network
from ganzoo.importing.modules import Account, Moves
from ganzoo.importing.nvidia import (
    FLIPPED,
    TRANSPOSED,
    TFNetwork,
    conv_weight,
    flipped_conv_weight,
    resolutions,
)
from ganzoo_stylegan.importing.stylegan2 import sizes_to

_READ = {
    "num_channels", "resolution", "label_size", "latent_size", "dlatent_size", "fmap_base",
    "fmap_decay", "fmap_max", "mapping_layers", "mapping_fmaps", "mapping_lrmul", "fused_scale",
    "mbstd_group_size", "use_noise",
}  # fmt: skip
_OF_USE = {
    "truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val",
    "dlatent_avg_beta", "style_mixing_prob", "dlatent_broadcast", "randomize_noise", "dtype",
    "is_template_graph", "force_clean_graph", "is_training", "is_validation",
}  # fmt: skip
"""How a network is trained or called."""
_FIXED: dict[str, Collection[Any]] = {
    "nonlinearity": ["lrelu"],
    "mapping_nonlinearity": ["lrelu"],
    "normalize_latents": [True],
    "use_wscale": [True],
    "use_styles": [True],
    "const_input_layer": [True],
    "use_pixel_norm": [False],
    "use_instance_norm": [True],
    "blur_filter": [[1, 2, 1]],
    "mbstd_num_features": [1],
    "fused_scale": ["auto", True, False],
    "structure": ["auto", "linear", "recursive"],  # of "fixed", the smaller images are missing
}
FUSED_FROM = 128
"""The resolution from which on "auto" is a transposed convolution."""


def generator(account: Account, Gs: TFNetwork) -> Network:
    """Our generator, its averaged one."""
    Gs.check({"G_style", "G_mapping", "G_synthesis"}, _FIXED, _READ | _OF_USE)
    moves = _moves(account, Gs, "generator")
    sizes = sizes_to(max(resolutions(Gs.variables), default=0), Gs.where)
    layers = sum(
        name.startswith("mapping/Dense") and name.endswith("/weight") for name in Gs.variables
    )
    inputs, width = moves["mapping/Dense0/weight"].shape
    w_dim = len(moves[f"mapping/Dense{layers - 1}/bias"])
    label = Gs.variables.get("mapping/LabelConcat/weight")
    settings: dict[str, Any] = {
        "image_shape": [len(moves["synthesis/ToRGB_lod0/bias"]), *sizes[-1:] * 2],
        "num_classes": 0 if label is None else len(label),
        "z_dim": inputs - (0 if label is None else label.shape[1]),
        "w_dim": w_dim,
        "mapping_layers": layers,
        "mapping_width": width if layers > 1 and width != w_dim else None,
        "mapping_lr_multiplier": float(Gs.settings.get("mapping_lrmul", 0.01)),
        "channels": [
            len(moves[f"synthesis/{size}x{size}/{name}/bias"])
            for size, name in zip(sizes, ["Conv", *["Conv1"] * (len(sizes) - 1)])
        ],
    }
    if "dlatent_avg" in moves:
        moves.move("dlatent_avg", "w_avg")
    else:
        moves.state["w_avg"] = torch.zeros(w_dim)
    if label is not None:
        moves.move("mapping/LabelConcat/weight", "mapper.embed.weight")
    for k in range(layers):
        _dense(moves, f"mapping/Dense{k}", f"mapper.layers.{k}")
    moves.move("synthesis/4x4/Const/const", "const")
    fused, noisy = Gs.settings.get("fused_scale", "auto"), bool(Gs.settings.get("use_noise", True))
    names = ["4x4/Const", "4x4/Conv"]
    for size in sizes[1:]:
        names += [f"{size}x{size}/Conv0_up", f"{size}x{size}/Conv1"]
    for number, name in enumerate(names):
        theirs, ours = f"synthesis/{name}", f"layers.{number}"
        if number % 2:
            moves.move(f"{theirs}/weight", f"{ours}.first.weight", conv_weight, TRANSPOSED)
        elif number:
            flip = sizes[number // 2] >= FUSED_FROM if fused == "auto" else fused
            change = (flipped_conv_weight, FLIPPED) if flip else (conv_weight, TRANSPOSED)
            moves.move(f"{theirs}/weight", f"{ours}.first.conv.weight", *change)
        noise, size = f"synthesis/noise{number}", sizes[number // 2]  # (1, 1, H, W) there
        if noisy:
            moves.move(noise, f"{ours}.noise", lambda noise: noise.flatten(0, 2), "reshaped")
            moves.move(f"{theirs}/Noise/weight", f"{ours}.noise_strength")
        else:  # ours gets a map that is added with weight zero
            moves.drop(noise, "not used: the network is without noise")
            moves.fill(f"{ours}.noise", torch.zeros(size, size))
            moves.fill(f"{ours}.noise_strength", torch.zeros(len(moves[f"{theirs}/bias"])))
        moves.move(f"{theirs}/bias", f"{ours}.bias")
        _dense(moves, f"{theirs}/StyleMod", f"{ours}.affine")
    for level in range(len(sizes)):
        theirs, ours = f"synthesis/ToRGB_lod{len(sizes) - 1 - level}", f"to_images.{level}"
        moves.move(f"{theirs}/weight", f"{ours}.weight", conv_weight, TRANSPOSED)
        moves.move(f"{theirs}/bias", f"{ours}.bias")
    return Network("stylegan", settings, moves.state)


def discriminator(account: Account, D: TFNetwork) -> Network:
    """Our discriminator. Its fused halving is the same function as the plain one."""
    D.check({"D_basic"}, _FIXED, _READ | _OF_USE)
    moves = _moves(account, D, "discriminator")
    sizes = sizes_to(max(resolutions(D.variables), default=0), D.where)
    conv = moves["4x4/Conv/weight"]
    scores = len(moves["4x4/Dense1/bias"])  # one a class, or one
    settings: dict[str, Any] = {
        "image_shape": [moves["FromRGB_lod0/weight"].shape[2], *sizes[-1:] * 2],
        "num_classes": scores if scores > 1 else int(D.settings.get("label_size", 0)),
        "channels": [
            conv.shape[3], *(len(moves[f"{size}x{size}/Conv0/bias"]) for size in sizes[1:])
        ],
        "dense_width": len(moves["4x4/Dense0/bias"]),
        "mbstd_group": int(D.settings.get("mbstd_group_size", 4)),
    }  # fmt: skip
    if conv.shape[2] == conv.shape[3]:
        settings["mbstd_group"] = 0
    for level, size in enumerate(sizes):
        theirs = f"FromRGB_lod{len(sizes) - 1 - level}"
        moves.move(f"{theirs}/weight", f"from_images.{level}.weight", conv_weight, TRANSPOSED)
        moves.move(f"{theirs}/bias", f"from_images.{level}.bias")
        if size == 4:
            continue
        theirs, ours = f"{size}x{size}", f"blocks.{level - 1}"
        for name in ("conv0", "conv1"):
            weight = f"{theirs}/{'Conv0' if name == 'conv0' else 'Conv1_down'}"
            moves.move(f"{weight}/weight", f"{ours}.{name}.weight", conv_weight, TRANSPOSED)
        moves.move(f"{theirs}/Conv0/bias", f"{ours}.conv0.bias")
        moves.move(f"{theirs}/Conv1_down/bias", f"{ours}.bias")
    moves.move("4x4/Conv/weight", "conv.weight", conv_weight, TRANSPOSED)
    moves.move("4x4/Conv/bias", "conv.bias")
    _dense(moves, "4x4/Dense0", "dense")
    _dense(moves, "4x4/Dense1", "score")
    return Network("stylegan", settings, moves.state)


def _moves(account: Account, network: TFNetwork, role: str) -> Moves:
    moves = account.network(role, f"{network.where}.")
    for name in ("lod", "synthesis/lod"):
        moves.drop(name, "an option here (lod)")
    return moves


def _dense(moves: Moves, theirs: str, ours: str) -> None:
    moves.move(f"{theirs}/weight", f"{ours}.weight", lambda weight: weight.T, TRANSPOSED)
    moves.move(f"{theirs}/bias", f"{ours}.bias")
