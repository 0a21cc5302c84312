"""Pickles of the authors' program, tkarras/progressive_growing_of_gans: (G, D, Gs).

The files of its TensorFlow version are read; those of the Theano version before it are refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ganzoo.errors import InputError
from ganzoo.importing.importer import Converted, Importer, Network
from ganzoo.importing.modules import Account, Moves
from ganzoo.importing.nvidia import (
    ALONE,
    FLIPPED,
    TRANSPOSED,
    TFNetwork,
    conv_weight,
    entries,
    growth_notes,
    resolutions,
    tf_account,
    tf_networks,
)
from ganzoo.importing.tree import Checkpoint, Record
from ganzoo_progan.config import RESOLUTIONS

PROGRAM, LICENSE = "tkarras/progressive_growing_of_gans", "cc-by-nc-4.0"

_READ = {
    "num_channels", "resolution", "label_size", "latent_size", "fmap_base", "fmap_decay",
    "fmap_max", "normalize_latents", "fused_scale", "mbstd_group_size",
}  # fmt: skip
_OF_USE = {"dtype", "is_template_graph"}
_FIXED: dict[str, Collection[Any]] = {
    "use_wscale": [True],
    "use_pixelnorm": [True],
    "pixelnorm_epsilon": [1e-8],
    "use_leakyrelu": [True],
    "structure": [None, "linear", "recursive"],  # of "fixed", the smaller images are missing
}


class TensorFlowImporter(Importer):
    """(G, D, Gs), of which Gs and D are taken, or Gs alone."""

    def recognises(self, checkpoint: Checkpoint) -> bool:
        found = tf_networks(checkpoint.root)
        if found is None:
            return _is_theano(checkpoint.root)
        return "4x4/Dense/weight" in found[2].variables

    def convert(self, checkpoint: Checkpoint) -> Converted:
        if _is_theano(checkpoint.root):
            raise InputError(
                "the file is of ProGAN's Theano version, which cannot be imported",
                "use the same network of its TensorFlow version",
            )
        found = tf_networks(checkpoint.root)
        if found is None:
            raise InputError("the file has no networks of TensorFlow", "it cannot be imported")
        _, D, Gs = found
        account = tf_account(found)
        generator = _generator(account, Gs)
        discriminator = None if D is None else _discriminator(account, D)
        account.drop("G.", "not averaged")
        notes = (*([ALONE] if D is None else []), *growth_notes(Gs))
        return Converted(PROGRAM, generator, discriminator, account.fates(), LICENSE, notes=notes)


def _is_theano(root: Any) -> bool:
    """Its networks have their parameters in one list, without names."""
    items = root if isinstance(root, (tuple, list)) else (root,)
    return any(isinstance(item, Record) and "param_values" in entries(item.state) for item in items)


def _generator(account: Account, Gs: TFNetwork) -> Network:
    Gs.check({"G_paper"}, _FIXED, _READ | _OF_USE)
    moves, sizes = _moves(account, Gs, "generator"), _sizes(Gs)
    inputs, _ = moves["4x4/Dense/weight"].shape
    classes = int(Gs.settings.get("label_size", 0))
    last = [f"{size}x{size}/Conv{'1' if size > 4 else ''}" for size in sizes]
    settings: dict[str, Any] = {
        "image_shape": [len(moves["ToRGB_lod0/bias"]), *sizes[-1:] * 2],
        "num_classes": classes,
        "z_dim": inputs - classes,
        "fmaps": [len(moves[f"{name}/bias"]) for name in last],
        "normalise_latent": bool(Gs.settings.get("normalize_latents", True)),
    }
    moves.move("4x4/Dense/weight", "blocks.0.dense.weight", lambda t: t.T, TRANSPOSED)
    moves.move("4x4/Dense/bias", "blocks.0.bias")
    _conv(moves, "4x4/Conv", "blocks.0.conv")
    for level, size in enumerate(sizes):
        if level:
            fused, ours = f"{size}x{size}/Conv0_up", f"blocks.{level}.conv0"
            if f"{fused}/weight" in moves:  # a transposed convolution, stored (kh, kw, out, in)
                moves.move(
                    f"{fused}/weight",
                    f"{ours}.weight",
                    lambda weight: weight.permute(2, 3, 0, 1).flip(2, 3),
                    FLIPPED,
                )
                moves.move(f"{fused}/bias", f"{ours}.bias")
            else:
                _conv(moves, f"{size}x{size}/Conv0", ours)
            _conv(moves, f"{size}x{size}/Conv1", f"blocks.{level}.conv1")
        _conv(moves, f"ToRGB_lod{len(sizes) - 1 - level}", f"to_rgb.{level}")
    return Network("progan", settings, moves.state)


def _discriminator(account: Account, D: TFNetwork) -> Network:
    D.check({"D_paper"}, _FIXED, _READ | _OF_USE)
    moves, sizes = _moves(account, D, "discriminator"), _sizes(D)
    conv = moves["4x4/Conv/weight"]  # (3, 3, in, out)
    classes = len(moves["4x4/Dense1/bias"]) - 1
    fused = any(name.endswith("/Conv1_down/weight") for name in D.variables)
    settings: dict[str, Any] = {
        "image_shape": [moves["FromRGB_lod0/weight"].shape[2], *sizes[-1:] * 2],
        "num_classes": classes,
        "fmaps": [
            conv.shape[3], *(len(moves[f"{size}x{size}/Conv0/bias"]) for size in sizes[1:])
        ],
        "group_size": int(D.settings.get("mbstd_group_size", 4)),
        "fused_scale": fused,
        "dense_width": len(moves["4x4/Dense0/bias"]),
        "conditioning": "auxiliary" if classes else "scores",
    }  # fmt: skip
    if conv.shape[2] == conv.shape[3]:
        settings["group_size"] = 0
    for level, size in enumerate(sizes):
        if level:
            _conv(moves, f"{size}x{size}/Conv0", f"blocks.{level}.conv0")
            down = "Conv1_down" if fused else "Conv1"
            _conv(moves, f"{size}x{size}/{down}", f"blocks.{level}.conv1")
        _conv(moves, f"FromRGB_lod{len(sizes) - 1 - level}", f"from_rgb.{level}.conv")
    _conv(moves, "4x4/Conv", "blocks.0.conv")
    for theirs, ours in (("4x4/Dense0", "blocks.0.dense"), ("4x4/Dense1", "blocks.0.score")):
        moves.move(f"{theirs}/weight", f"{ours}.weight", lambda t: t.T, TRANSPOSED)
        moves.move(f"{theirs}/bias", f"{ours}.bias")
    return Network("progan", settings, moves.state)


def _conv(moves: Moves, theirs: str, ours: str) -> None:
    moves.move(f"{theirs}/weight", f"{ours}.weight", conv_weight, TRANSPOSED)
    moves.move(f"{theirs}/bias", f"{ours}.bias")


def _sizes(network: TFNetwork) -> list[int]:
    found = resolutions(network.variables)
    if not found or found != [size for size in RESOLUTIONS if size <= found[-1]]:
        raise InputError(
            f"{network.where} has layers of {', '.join(map(str, found)) or 'no'} pixels",
            "only networks from 4 to at most 1024 pixels can be imported",
        )
    return found


def _moves(account: Account, network: TFNetwork, role: str) -> Moves:
    moves = account.network(role, f"{network.where}.")
    moves.drop("lod", "an option here (lod)")
    return moves
