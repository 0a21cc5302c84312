"""Pickles of NVIDIA's TensorFlow programs: StyleGAN, StyleGAN2 and StyleGAN2 with ADA.

What a variable is follows from its name and shape. Settings that are not in a file have the
defaults of its program; a setting that changes the network otherwise is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from ganzoo.errors import InputError
from ganzoo.importing.importer import Converted, Importer, Network
from ganzoo.importing.modules import Account, Change, Moves
from ganzoo.importing.nvidia import (
    ALONE,
    FLIPPED,
    TRANSPOSED,
    TFNetwork,
    conv_weight,
    flipped_conv_weight,
    growth_notes,
    lod_of,
    resolutions,
    tf_account,
    tf_networks,
)
from ganzoo.importing.tree import Checkpoint
from ganzoo_stylegan.importing import stylegan, stylegan2
from ganzoo_stylegan.importing.config import TensorFlowConfig

STYLEGAN, STYLEGAN2, ADA = "NVlabs/stylegan", "NVlabs/stylegan2", "NVlabs/stylegan2-ada"
LICENSES = {
    STYLEGAN: ("cc-by-nc-4.0", ""),
    STYLEGAN2: ("Nvidia Source Code License-NC", "https://nvlabs.github.io/stylegan2/license.html"),
    ADA: ("Nvidia Source Code License-NC", "https://nvlabs.github.io/stylegan2-ada/license.html"),
}
"""The program -> the licence of its code and networks, which is for non-commercial use only."""


class TensorFlowImporter(Importer):
    """(G, D, Gs), of which Gs and D are taken, or Gs alone."""

    config: TensorFlowConfig

    def recognises(self, checkpoint: Checkpoint) -> bool:
        found = tf_networks(checkpoint.root)
        return found is not None and any(
            name.startswith("synthesis/") for name in found[2].variables
        )

    def convert(self, checkpoint: Checkpoint) -> Converted:
        found = tf_networks(checkpoint.root)
        if found is None:
            raise InputError("the file has no networks of TensorFlow", "it cannot be imported")
        _, D, Gs = found
        account, discriminator = tf_account(found), None
        if "G_style" in Gs.functions:
            program = STYLEGAN
            generator = stylegan.generator(account, Gs)
            if D is not None:
                discriminator = stylegan.discriminator(account, D)
        else:
            is_ada = "G_synthesis" in Gs.functions if D is None else "D_main" in D.functions
            program = ADA if is_ada else STYLEGAN2
            generator = _generator(account, Gs)
            if D is not None:
                discriminator = _discriminator(account, D, self.config)
        account.drop("G.", "not averaged")
        notes = [] if D is not None else [ALONE]
        notes += ["The program truncates w by default; here it is asked for (truncation)."]
        if "dlatent_avg" not in Gs.variables:
            notes[-1] = "The file has no average w: truncation draws towards zero."
        notes += growth_notes(Gs)
        license, url = LICENSES[program]
        return Converted(
            program, generator, discriminator, account.fates(), license, url, tuple(notes)
        )


# -- StyleGAN2, with the names of PyTorch ----------------------------------------------------------


class _Rule(NamedTuple):
    """A name of PyTorch's made of one of TensorFlow's, and how the tensor changes."""

    pattern: str
    name: str | Callable[[re.Match[str]], str]
    change: Change | None = None
    note: str = ""


def _layer(name: str, theirs: str, *, flip: bool = False) -> list[_Rule]:
    """The rules of a convolution `theirs` (a pattern), to `name`."""
    weight = (flipped_conv_weight, FLIPPED) if flip else (conv_weight, TRANSPOSED)
    return [
        _Rule(f"{theirs}/weight", f"{name}.weight", *weight),
        _Rule(f"{theirs}/bias", f"{name}.bias"),
        _Rule(f"{theirs}/noise_strength", f"{name}.noise_strength"),
        _Rule(f"{theirs}/mod_weight", f"{name}.affine.weight", lambda t: t.T, TRANSPOSED),
        _Rule(f"{theirs}/mod_bias", f"{name}.affine.bias", lambda t: t + 1, "1 added"),
    ]


def _dense(name: str, theirs: str) -> list[_Rule]:
    return [
        _Rule(f"{theirs}/weight", f"{name}.weight", lambda t: t.T, TRANSPOSED),
        _Rule(f"{theirs}/bias", f"{name}.bias"),
    ]


def _noise_name(match: re.Match[str]) -> str:
    """Noise maps are numbered through: 0 at 4x4, then two a resolution."""
    number = int(match[1])
    block = 4 << (number + 1) // 2
    return f"synthesis.b{block}.conv{1 if number % 2 == 0 else 0}.noise_const"


_SQUARE = r"(\d+)x\1"
_GENERATOR = [
    _Rule("dlatent_avg", "mapping.w_avg"),
    _Rule("mapping/LabelConcat/weight", "mapping.embed.weight"),
    *_dense("mapping.embed", "mapping/LabelEmbed"),
    *_dense(r"mapping.fc\1", r"mapping/Dense(\d+)"),
    _Rule("synthesis/4x4/Const/const", "synthesis.b4.const", lambda t: t.squeeze(0)),
    _Rule(r"synthesis/noise(\d+)", _noise_name, lambda t: t.flatten(0, 2), "reshaped"),
    *_layer("synthesis.b4.conv1", "synthesis/4x4/Conv"),
    *_layer(r"synthesis.b\1.conv0", rf"synthesis/{_SQUARE}/Conv0_up", flip=True),
    *_layer(r"synthesis.b\1.conv1", rf"synthesis/{_SQUARE}/Conv1"),
    *_layer(r"synthesis.b\1.torgb", rf"synthesis/{_SQUARE}/ToRGB"),
    *_layer(r"synthesis.b\1.skip", rf"synthesis/{_SQUARE}/Skip", flip=True),
]
_DISCRIMINATOR = [
    *_layer(r"b\1.fromrgb", rf"{_SQUARE}/FromRGB"),
    *_layer("b4.conv", "4x4/Conv"),
    *_layer(r"b\1.conv0", rf"{_SQUARE}/Conv0"),
    *_layer(r"b\1.conv1", rf"{_SQUARE}/Conv1_down"),
    *_layer(r"b\1.skip", rf"{_SQUARE}/Skip"),
    *_dense("b4.fc", "4x4/Dense0"),
    *_dense("b4.out", "Output"),
    *_dense("mapping.embed", "LabelEmbed"),
    *_dense(r"mapping.fc\1", r"Mapping(\d+)"),
]

_READ = {
    "num_channels", "resolution", "label_size", "latent_size", "dlatent_size", "fmap_base",
    "fmap_decay", "fmap_min", "fmap_max", "mapping_layers", "mapping_fmaps", "mapping_lrmul",
    "label_fmaps", "mapping_label_fmaps", "architecture", "use_noise", "num_fp16_res", "conv_clamp",
    "mbstd_group_size", "mbstd_num_features",
}  # fmt: skip
_OF_USE = {
    "truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val",
    "dlatent_avg_beta", "w_avg_beta", "style_mixing_prob", "dlatent_broadcast", "randomize_noise",
    "fused_modconv", "freeze_layers", "structure", "conditioning", "dtype", "is_template_graph",
    "force_clean_graph", "is_training", "is_validation",
}  # fmt: skip
"""How a network is trained or called, or computed with the same result."""
_FIXED: dict[str, Collection[Any]] = {
    "nonlinearity": ["lrelu"],
    "mapping_nonlinearity": ["lrelu"],
    "normalize_latents": [True],
    "resample_kernel": [[1, 3, 3, 1]],
    "mapping_func": ["G_mapping"],
    "synthesis_func": ["G_synthesis", "G_synthesis_stylegan2", "G_synthesis_stylegan_revised"],
}
_GREW = "of smaller images, which the network made before it was full size"


def _generator(account: Account, Gs: TFNetwork) -> Network:
    functions = {"G_main", "G_mapping", *_FIXED["synthesis_func"]}
    Gs.check(functions, _FIXED, _READ | _OF_USE)
    sizes = stylegan2.sizes_to(max(resolutions(Gs.variables), default=0), Gs.where)
    rules = [*_GENERATOR, *_layer(f"synthesis.b{sizes[-1]}.torgb", "synthesis/ToRGB_lod0")]
    moves = _moves(account, Gs, "generator", rules)
    tensors = moves.tensors()
    layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in tensors)
    w_dim = len(moves[f"mapping.fc{layers - 1}.bias"]) if layers else 0
    embed = tensors.get("mapping.embed.weight")
    image_channels = len(moves[f"synthesis.b{sizes[-1]}.torgb.bias"])
    joint = "mapping/LabelConcat/weight" in Gs.variables  # (classes, numbers); ADA's is turned
    classes, code = (0, 0) if embed is None else embed.shape if joint else embed.shape[::-1]
    z_dim = moves["mapping.fc0.weight"].shape[1] - code
    settings = {
        "image_shape": [image_channels, sizes[-1], sizes[-1]],
        "num_classes": classes,
        "z_dim": z_dim,
        "w_dim": w_dim,
        "conditioning": "joint" if joint else "separate",
        "embedding_dim": code if joint and code != z_dim else None,
        **stylegan2.mapping_settings(tensors, layers, w_dim),
        "mapping_lr_multiplier": float(Gs.settings.get("mapping_lrmul", 0.01)),
        "channels": stylegan2.widths(tensors, [f"synthesis.b{s}.conv1" for s in sizes], Gs.where),
        "architecture": _architecture(tensors, "torgb"),
        "conv_clamp": _number(Gs.settings.get("conv_clamp")),
    }
    noise = bool(Gs.settings.get("use_noise", True))
    return stylegan2.generator(moves, settings, noise=noise)


def _discriminator(account: Account, D: TFNetwork, config: TensorFlowConfig) -> Network:
    D.check({"D_main", "D_stylegan2", "D_stylegan"}, _FIXED, _READ | _OF_USE)
    sizes = stylegan2.sizes_to(max(resolutions(D.variables), default=0), D.where)
    rules = [*_DISCRIMINATOR, *_layer(f"b{sizes[-1]}.fromrgb", "FromRGB_lod0")]
    moves = _moves(account, D, "discriminator", rules)
    tensors = moves.tensors()
    settings = {
        "image_shape": [moves[f"b{sizes[-1]}.fromrgb.weight"].shape[1], *sizes[-1:] * 2],
        "channels": stylegan2.widths(
            tensors, ["b4.conv", *(f"b{size}.conv0" for size in sizes[1:])], D.where
        ),
        "architecture": _architecture(tensors, "fromrgb"),
        "conv_clamp": _number(D.settings.get("conv_clamp")),
        **_statistics(D, tensors, config),
    }
    width, dense = len(moves["b4.conv.bias"]), len(moves["b4.fc.bias"])
    if dense != width:
        settings["dense_width"] = dense
    if "mapping.embed.weight" in tensors:
        cmap_dim, classes = tensors["mapping.embed.weight"].shape
        layers = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in tensors)
        if layers:
            cmap_dim = len(moves[f"mapping.fc{layers - 1}.bias"])
        settings |= {
            "num_classes": classes,
            "cmap_dim": cmap_dim,
            **stylegan2.mapping_settings(tensors, layers, cmap_dim),
            "mapping_lr_multiplier": float(D.settings.get("mapping_lrmul", 0.1)),
        }
    elif D.settings.get("label_size"):  # a score for each class
        settings |= {"num_classes": len(moves["b4.out.bias"]), "conditioning": "scores"}
    return stylegan2.discriminator(moves, settings)


def _architecture(tensors: Collection[str], image: str) -> str:
    """What figure 7 calls a network with these layers; `image` is the layer to or from images."""
    if any(name.endswith(".skip.weight") for name in tensors):
        return "resnet"
    entries = sum(name.endswith(f".{image}.weight") for name in tensors)
    return "skip" if entries > 1 else "orig"


def _statistics(
    D: TFNetwork, tensors: Mapping[str, Tensor], config: TensorFlowConfig
) -> dict[str, int]:
    """Of the minibatch standard deviation: its channels are what the last convolution has more."""
    conv = tensors["b4.conv.weight"]
    channels = conv.shape[1] - len(conv)
    if not channels:
        return {"mbstd_group": 0}
    # the default of StyleGAN2, and that of its version with ADA
    usual = stylegan2.WHOLE_BATCH if "D_main" in D.functions else 4
    group = D.settings.get("mbstd_group_size") or config.mbstd_group or usual
    return {"mbstd_group": int(group), "mbstd_channels": channels}


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _moves(account: Account, network: TFNetwork, role: str, rules: list[_Rule]) -> Moves:
    """The variables under PyTorch's names.

    The code of before ADA also has networks that grow (configurations B to D). Full size, they are
    of the architecture "orig".
    """
    if lod_of(network):
        raise InputError(
            f"{network.where} was still growing when the file was written",
            "of StyleGAN2's configurations B to D, only networks of full size can be imported",
        )
    moves = account.network(role, f"{network.where}.")
    names, changes = {}, {}
    for name in network.variables:
        if re.fullmatch(r"(synthesis/)?(lod|(To|From)RGB_lod[1-9]\d*/\w+)", name):
            moves.drop(name, _GREW)
            continue
        for rule in rules:
            match = re.fullmatch(rule.pattern, name)
            if match is None:
                continue
            target = match.expand(rule.name) if isinstance(rule.name, str) else rule.name(match)
            names[target] = name
            if rule.change is not None:
                changes[target] = rule.change, rule.note
            break
        else:
            raise InputError(
                f"{network.where} has a variable {name!r}, which StyleGAN2's networks do not have",
                "only StyleGAN2 and its version with ADA can be imported",
            )
    return moves.renamed(names, changes)
