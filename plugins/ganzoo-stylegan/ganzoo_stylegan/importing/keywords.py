"""The keywords that networks of NVIDIA's PyTorch programs were made with. What came of most of them
is read off the modules; the others are named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ganzoo.importing.nvidia import Module, entries
from ganzoo.importing.tree import label, shown

_GROUPS = {"mapping_kwargs", "synthesis_kwargs", "block_kwargs", "epilogue_kwargs"}
_READ = {
    "z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "channel_base", "channel_max",
    "num_layers", "embed_features", "layer_features", "activation", "lr_multiplier", "w_avg_beta",
    "architecture", "kernel_size", "resample_filter", "use_noise", "conv_clamp", "cmap_dim",
    "mbstd_group_size", "mbstd_num_channels",
    # of StyleGAN3
    "num_critical", "first_cutoff", "first_stopband", "last_stopband_rel", "margin_size",
    "output_scale", "conv_kernel", "filter_size", "lrelu_upsampling", "use_radial_filters",
}  # fmt: skip
_OTHERWISE = {
    "num_fp16_res", "fp16_channels_last", "fused_modconv_default",  # how it is computed
    "magnitude_ema_beta", "freeze_layers",  # training
}  # fmt: skip
_MOST_SHOWN = 12


def notes(networks: Mapping[str, Module]) -> list[str]:
    """What the keywords of these networks say beyond what is read."""
    without, unknown = [], []
    for where, network in networks.items():
        for name, value in _given(entries(network.state.get("_init_kwargs"))):
            if name not in _READ:
                into = without if name in _OTHERWISE else unknown
                into.append(f"{where} {name[:60]} = {shown(value)}")
    found = []
    if without:
        found.append(f"Without effect on images: {_listed(without)}.")
    if unknown:
        found.append(
            f"Settings that are not known here, and were not used: {_listed(unknown)}."
            " Compare some images with the program's."
        )
    return found


def _given(kwargs: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in kwargs.items():
        if label(key) in _GROUPS:
            yield from ((label(inner), deep) for inner, deep in entries(value).items())
        else:
            yield label(key), value


def _listed(texts: list[str]) -> str:
    more = f" and {len(texts) - _MOST_SHOWN} more" if len(texts) > _MOST_SHOWN else ""
    return ", ".join(texts[:_MOST_SHOWN]) + more
