"""The generator of NVlabs/stylegan3, of its configurations T and R and what lies between them.

The filters, waves and averages of the file are taken as they are; its settings say the rest. The
names and shapes of the file's layers say whether both agree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo.configs import config_from_dict, config_to_dict
from ganzoo.errors import ConfigError, InputError
from ganzoo.importing.importer import Network
from ganzoo.importing.tree import Record, shown
from ganzoo_stylegan.stylegan3 import Generator
from ganzoo_stylegan.stylegan3_config import GAIN, StyleGAN3GeneratorConfig

PART = "stylegan3"

_LAYER = re.compile(r"synthesis\.L([0-9]{1,5})_([0-9]{1,5})_([0-9]{1,5})\.([\w.]+)")


def targets(names: Iterable[str]) -> dict[str, str]:
    """Each name of the file -> that of our state dict, "" where there is none. The magnitudes of
    all layers become one tensor, `magnitudes`."""
    names = list(names)
    last = max((int(match[1]) for match in map(_LAYER.fullmatch, names) if match), default=-1)
    found = {}
    for name in names:
        match = _LAYER.fullmatch(name)
        if match:
            number, what = int(match[1]), match[4]
            layer = "to_image" if number == last else f"layers.{number}"
            found[name] = "magnitudes" if what == "magnitude_ema" else f"{layer}.{what}"
        elif name == "mapping.w_avg":
            found[name] = "w_avg"
        elif name.startswith("synthesis.input."):
            found[name] = name.removeprefix("synthesis.")
        else:
            ours = re.sub(r"^mapping\.(fc(?=\d)|(?=embed\.))", "mapper.layers.", name)
            ours = ours.replace("mapper.layers.embed", "mapper.embed")
            found[name] = ours if ours != name else ""
    return found


def convert(state_of_root: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Network:
    """The generator, in our layout.

    Args:
        state_of_root: the attributes of the root module, of which `_init_kwargs` and those of some
            modules in `_modules` are read.
        tensors: all of its parameters and buffers, by their names from the root on.

    Raises:
        InputError: a tensor is missing, unknown, or does not go with the settings.
    """
    matches = [match for match in map(_LAYER.fullmatch, tensors) if match]
    layers = sorted({(int(m[1]), int(m[2]), int(m[3])) for m in matches})
    if len(layers) < 3 or [number for number, _, _ in layers] != list(range(len(layers))):
        raise _unfit(f"its layers are {', '.join(map(_title, layers)) or 'missing'}")
    config = _config(state_of_root, tensors, layers)
    for layer, band in zip(layers, config.bands, strict=True):
        ours = _title((layer[0], band.size, band.channels))
        if _title(layer) != ours:
            raise _unfit(f"its layer {_title(layer)} would be {ours} by its settings")
    magnitudes = [
        _tensor(tensors, f"synthesis.{_title(layer)}.magnitude_ema", 0).float() for layer in layers
    ]
    state = {"magnitudes": torch.stack(magnitudes)}
    for name, target in targets(tensors).items():
        if target and target != "magnitudes":
            tensor = tensors[name].detach().float()
            state[target] = tensor[:, :, 0, 0] if target == "to_image.weight" else tensor
        elif not target:
            raise _unfit(f"it has a tensor {name!r}, which StyleGAN3 has not")
    with torch.device("meta"):
        G = Generator(config)
    expected = {name: tensor.shape for name, tensor in G.state_dict().items()}
    for name in sorted(state.keys() ^ expected.keys()):
        raise _unfit(f"it has {'no' if name in expected else 'a'} tensor for {name!r}")
    for name, tensor in state.items():
        if tensor.shape != expected[name]:
            raise _unfit(
                f"it has {list(tensor.shape)} for {name!r}, which is {list(expected[name])}"
            )
    if state["input.transform"][2].tolist() != [0, 0, 1]:
        raise _unfit("its transform of the input does more than turn, stretch and move")
    _check_layers(_child(state_of_root, "synthesis"), layers, G)
    return Network(PART, config_to_dict(config), {name: state[name] for name in expected})


def _config(
    root: Mapping[str, Any], tensors: Mapping[str, Tensor], layers: list[tuple[int, int, int]]
) -> StyleGAN3GeneratorConfig:
    """What tensors say is read off them; else a module's attributes, then the keywords that the
    program was given, then its defaults, which ours are."""
    given = _mapping(root.get("_init_kwargs"))
    synthesis, mapper = _child(root, "synthesis"), _child(root, "mapping")
    input, first = _child(synthesis, "input"), _child(synthesis, _title(layers[0]))
    mapping_given = _mapping(given.get("mapping_kwargs"))
    settings: dict[str, Any] = {}
    for ours, theirs, places in (
        ("mapping_lr_multiplier", "bias_gain", (_child(mapper, "fc0"),)),
        ("mapping_lr_multiplier", "lr_multiplier", (mapping_given,)),
        ("w_avg_beta", "w_avg_beta", (mapper, mapping_given)),
        ("channel_base", "channel_base", (given,)),
        ("channel_max", "channel_max", (given,)),
        ("critical_layers", "num_critical", (synthesis, given)),
        ("first_cutoff", "bandwidth", (input,)),
        ("first_cutoff", "first_cutoff", (given,)),
        ("first_stopband", "first_stopband", (given,)),
        ("last_stopband", "last_stopband_rel", (given,)),
        ("margin", "margin_size", (synthesis, given)),
        ("conv_clamp", "conv_clamp", (first, given)),
        ("output_scale", "output_scale", (synthesis, given)),
    ):
        for place in places:
            if theirs in place and ours not in settings:
                settings[ours] = _number(theirs, place[theirs])
    if given.get("lrelu_upsampling", GAIN) != GAIN:
        raise _unfit(f"it has lrelu_upsampling {shown(given['lrelu_upsampling'])}, not {GAIN}")
    name = f"synthesis.{_title(layers[0])}"
    dense = [n for n in tensors if re.fullmatch(r"mapping\.fc\d+\.weight", n)]
    width = _tensor(tensors, "mapping.fc0.weight", 2).shape[1]
    w_dim = _tensor(tensors, "mapping.w_avg", 1).shape[0]
    embed = tensors.get("mapping.embed.weight")
    settings |= {
        "image_shape": [layers[-1][2], layers[-1][1], layers[-1][1]],
        "num_classes": 0 if embed is None or embed.ndim != 2 else embed.shape[1],
        "z_dim": width - (0 if embed is None else w_dim),
        "w_dim": w_dim,
        "mapping_layers": len(dense),
        "layers": len(layers) - 1,
        "conv_kernel": _tensor(tensors, f"{name}.weight", 4).shape[2],
        # the first layer is not critically sampled; those that are have no radial filter
        "radial_filters": _tensor(tensors, f"{name}.down_filter").ndim == 2,
        "filter_size": len(_tensor(tensors, f"{name}.up_filter", 1)) // GAIN,
    }
    for whole in ("channel_base", "channel_max", "critical_layers", "margin"):
        value = settings.get(whole)
        if isinstance(value, float) and value.is_integer():
            settings[whole] = int(value)  # the program computes them: 32768.0
    try:
        return config_from_dict(StyleGAN3GeneratorConfig, settings, where="its config")
    except ConfigError as error:
        raise _unfit(str(error)) from error


def _check_layers(
    synthesis: Mapping[str, Any], layers: list[tuple[int, int, int]], G: Generator
) -> None:
    """Refuse layers that say of themselves what is not so of ours."""
    bands = G.config.bands
    first = bands[0]
    expected: dict[str, dict[str, float | None]] = {
        "input": {
            "size": first.size,
            "sampling_rate": first.sampling_rate,
            "bandwidth": first.cutoff,
        }
    }
    for k, band in enumerate(bands):
        before = bands[max(k - 1, 0)]
        expected[_title(layers[k])] = {
            "in_sampling_rate": before.sampling_rate,
            "out_sampling_rate": band.sampling_rate,
            "in_cutoff": before.cutoff,
            "out_cutoff": band.cutoff,
            "in_size": before.size,
            "out_size": band.size,
            "conv_clamp": G.config.conv_clamp,
        }
        if k < len(G.layers):
            ours = G.layers[k]
            expected[_title(layers[k])] |= {
                "up_factor": ours.up,
                "down_factor": ours.down,
                "padding": ours.padding,
            }
    for name, values in expected.items():
        module = _child(synthesis, name)
        for key, ours in values.items():
            theirs = module.get(key, ours)
            if not all(_same(number, ours) for number in _along_both_axes(key, theirs)):
                raise _unfit(f"its {name} has {key} {shown(theirs)}, where ours has {ours}")


def _along_both_axes(key: str, value: Any) -> list[Any]:
    """Sizes have a number for each axis; paddings two, of which the second follows from sizes."""
    if isinstance(value, Tensor):
        value = value[:4].tolist() if value.ndim == 1 else [None]
    if not isinstance(value, (list, tuple)):
        return [value]
    return list(value[:4:2] if key == "padding" else value[:2])


def _same(theirs: Any, ours: float | None) -> bool:
    if theirs is None or ours is None:
        return theirs is ours
    if isinstance(theirs, bool) or not isinstance(theirs, (int, float)):
        return False
    return math.isclose(theirs, ours, rel_tol=1e-4)


def _child(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The attributes of a module within another, as the program pickles it: a call with one
    argument, which has its `state`."""
    node = _mapping(state.get("_modules")).get(name)
    if isinstance(node, Record):
        described = _mapping(node.args[0]) if len(node.args) == 1 else {}
        node = described.get("state", node.state)
    return _mapping(node)


def _mapping(node: Any) -> Mapping[str, Any]:
    return node if isinstance(node, Mapping) else {}


def _number(name: str, value: Any) -> Any:
    if value is None and name == "conv_clamp":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _unfit(f"its setting {name} = {shown(value)} is no number")
    return value


def _tensor(tensors: Mapping[str, Tensor], name: str, ndim: int | None = None) -> Tensor:
    tensor = tensors.get(name)
    if tensor is None:
        raise _unfit(f"it has no tensor {name!r}")
    if ndim not in (None, tensor.ndim):
        raise _unfit(f"its tensor {name!r} has the shape {list(tensor.shape)}")
    return tensor


def _title(layer: tuple[int, int, int]) -> str:
    number, size, channels = layer
    return f"L{number}_{size}_{channels}"


def _unfit(what: str) -> InputError:
    return InputError(
        f"the file is no StyleGAN3 generator that can be converted: {what}",
        "only those of NVlabs/stylegan3's configurations T and R, as they were saved, are known",
    )
