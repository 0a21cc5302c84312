"""Pickles of NVIDIA's PyTorch programs: stylegan2-ada-pytorch, and stylegan3 for both of its
generators.

A file says what its networks are by the attributes of their modules; defaults, which differ between
the two programs, are never needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ganzoo.errors import InputError
from ganzoo.importing import tree
from ganzoo.importing.importer import Converted, Importer, Network
from ganzoo.importing.modules import Account, Moves
from ganzoo.importing.nvidia import ALONE, Module, entries
from ganzoo.importing.tree import Checkpoint, Record, label, shown
from ganzoo_stylegan.importing import keywords, stylegan2, stylegan3

ADA, STYLEGAN3 = "NVlabs/stylegan2-ada-pytorch", "NVlabs/stylegan3"
LICENSES = {
    ADA: (
        "NVIDIA Source Code License for StyleGAN2 with Adaptive Discriminator Augmentation",
        "https://nvlabs.github.io/stylegan2-ada-pytorch/license.html",
    ),
    STYLEGAN3: (
        "NVIDIA Source Code License for StyleGAN3",
        "https://github.com/NVlabs/stylegan3/blob/main/LICENSE.txt",
    ),
}
"""The program -> the licence of its code and networks, which is for non-commercial use only."""


CHANGED = "a changed network cannot be imported"


class NvidiaImporter(Importer):
    """{"G_ema", "G", "D", …}, of which G_ema alone is enough, or a generator by itself."""

    def recognises(self, checkpoint: Checkpoint) -> bool:
        return _chosen(_networks(checkpoint.root)) is not None

    def convert(self, checkpoint: Checkpoint) -> Converted:
        found = _networks(checkpoint.root)
        name = _chosen(found)
        if name is None:
            raise InputError(
                "the file has no generator G_ema or G with a mapping and a synthesis",
                "only files of stylegan2-ada-pytorch and stylegan3 can be imported",
            )
        G, D = found[name], found.get("D")
        program = _program(G)
        notes = [] if name == "G_ema" else ["The file has no averaged generator: this is G."]
        if isinstance(checkpoint.root, Record):
            notes = [ALONE]
        account = _account(checkpoint.root, found)
        own = account.network("generator", f"{name}.")
        if _is_stylegan3(G):
            generator = _stylegan3(own, G, name)
        else:
            generator = _generator(own, G, name)
            if "mapping.w_avg" not in own:
                notes.append("The file has no average w: truncation draws towards zero.")
        discriminator = None
        if D is not None and _is_stylegan2_discriminator(D):
            discriminator = _discriminator(account.network("discriminator", "D."), D)
        elif D is not None:
            account.drop("D.", "no discriminator of StyleGAN2")
            notes.append("Its discriminator is none of StyleGAN2's, and was left out.")
        if any(module.state.get("use_fp16") is True for module in G.modules().values()):
            notes.append(
                "The program computes its higher resolutions in float16; here everything is in"
                " float32, and images differ by rounding."
            )
        taken = {name: G} if D is None or discriminator is None else {name: G, "D": D}
        notes += keywords.notes(taken)
        for key in _parts(checkpoint.root):
            if key not in (name, "D") or key not in found:
                why = "training only" if key in found else "of no network"
                account.drop(f"{label(key)}.", why)
        # the file contains the source code of its networks, and with it the notice of its owner
        license, url = LICENSES[program] if "NVIDIA" in G.source else ("", "")
        return Converted(
            program, generator, discriminator, account.fates(), license, url, tuple(notes)
        )


def _parts(root: Any) -> Mapping[Any, Any]:
    """What a file has, by name: a network that is alone in it is a generator."""
    alone = isinstance(root, Record) and root.name == "_reconstruct_persistent_obj"
    return {"G": root} if alone else entries(root)


def _networks(root: Any) -> dict[str, Module]:
    modules = {label(key): Module.of(node) for key, node in _parts(root).items()}
    return {key: module for key, module in modules.items() if module is not None}


def _account(root: Any, networks: Mapping[str, Module]) -> Account:
    """All tensors of a file, those of networks by the names of their modules."""
    found = {}
    for key, node in _parts(root).items():
        module = networks.get(label(key))
        names = tree.tensors(node) if module is None else module.tensors().items()
        found |= {f"{label(key)}.{name}": tensor for name, tensor in names}
    return Account(found)


def _chosen(networks: Mapping[str, Module]) -> str | None:
    """The name of the generator to take, the averaged one if it is there."""
    for name in ("G_ema", "G"):
        if name in networks and {"mapping", "synthesis"} <= set(networks[name].children):
            return name
    return None


def _program(G: Module) -> str:
    """Both programs have a StyleGAN2 of the same names; the later one is given the settings of its
    synthesis one by one."""
    given = entries(G.state.get("_init_kwargs"))
    flat = {"channel_base", "channel_max", "num_fp16_res", "conv_clamp"} & set(given)
    later = flat or "fused_modconv_default" in G.source or _is_stylegan3(G)
    return STYLEGAN3 if later else ADA


# -- StyleGAN3 -------------------------------------------------------------------------------------


def _is_stylegan3(G: Module) -> bool:
    """Its synthesis starts with Fourier features, not with a constant of 4x4."""
    return "input" in G.children["synthesis"].children


def _stylegan3(moves: Moves, G: Module, where: str) -> Network:
    found, modules = G.tensors(), G.modules()
    _check_layers(modules, where)
    network = stylegan3.convert(G.state, found)
    _lr_multiplier(modules, network.config["mapping_layers"], where)
    for name, target in stylegan3.targets(found).items():
        moves.account(name, target, "")
    return network


# -- StyleGAN2 -------------------------------------------------------------------------------------


def _generator(moves: Moves, G: Module, where: str) -> Network:
    number = {name: G.attribute(name, int, where) for name in (
        "z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")}  # fmt: skip
    tensors, mapping = G.tensors(), G.children["mapping"]
    sizes = stylegan2.sizes_to(number["img_resolution"], where)
    blocks = [f"synthesis.b{size}" for size in sizes]
    modules = G.modules()
    _drop_filters(moves, where)
    _check_layers(modules, where)
    layers = mapping.attribute("num_layers", int, f"{where}.mapping")
    settings = {
        "image_shape": [number["img_channels"], *[number["img_resolution"]] * 2],
        "num_classes": number["c_dim"],
        "z_dim": number["z_dim"],
        "w_dim": number["w_dim"],
        **stylegan2.mapping_settings(tensors, layers, number["w_dim"]),
        "mapping_lr_multiplier": _lr_multiplier(modules, layers, where),
        "channels": stylegan2.widths(tensors, [f"{block}.conv1" for block in blocks], where),
        "architecture": _the_one(modules, blocks, "architecture", where),
        "conv_clamp": _clamp(
            modules, [f"{b}.{part}" for b in blocks for part in ("conv0", "conv1", "torgb")], where
        ),
    }
    beta = mapping.state.get("w_avg_beta")
    if isinstance(beta, float):
        settings["w_avg_beta"] = beta
    layers_of_noise = [f"{block}.conv1" for block in blocks]
    noise = _the_one(modules, layers_of_noise, "use_noise", where)
    return stylegan2.generator(moves, settings, noise=bool(noise))


def _is_stylegan2_discriminator(D: Module) -> bool:
    last = D.children.get("b4")
    return last is not None and {"conv", "fc", "out"} <= set(last.children)


def _discriminator(moves: Moves, D: Module) -> Network:
    c_dim, resolution, channels = (
        D.attribute(name, int, "D") for name in ("c_dim", "img_resolution", "img_channels")
    )
    tensors, modules = D.tensors(), D.modules()
    sizes = stylegan2.sizes_to(resolution, "D")
    blocks = [f"b{size}" for size in sizes]
    _drop_filters(moves, "D")
    _check_layers(modules, "D")
    convs = [f"b{size}.conv0" for size in sizes[1:]]
    settings = {
        "image_shape": [channels, resolution, resolution],
        "num_classes": c_dim,
        "channels": stylegan2.widths(tensors, ["b4.conv", *convs], "D"),
        "architecture": _the_one(modules, blocks, "architecture", "D"),
        "conv_clamp": _clamp(
            modules,
            [
                "b4.conv",
                *(f"b{s}.{part}" for s in sizes[1:] for part in ("fromrgb", "conv0", "conv1")),
            ],
            "D",
        ),
        **_statistics(modules),
    }
    if c_dim:
        cmap_dim = modules["b4"].attribute("cmap_dim", int, "D.b4")
        if "mapping" not in D.children:
            raise InputError("D has classes, but no mapping", CHANGED)
        layers = D.children["mapping"].attribute("num_layers", int, "D.mapping")
        settings |= {"cmap_dim": cmap_dim, **stylegan2.mapping_settings(tensors, layers, cmap_dim)}
        settings["mapping_lr_multiplier"] = _lr_multiplier(modules, layers, "D")
    return stylegan2.discriminator(moves, settings)


def _statistics(modules: Mapping[str, Module]) -> dict[str, int]:
    """Of the minibatch standard deviation, which some have not."""
    module = modules.get("b4.mbstd")
    if module is None:
        return {"mbstd_group": 0}
    group = module.state.get("group_size")
    return {
        "mbstd_group": stylegan2.WHOLE_BATCH if group is None else group,
        "mbstd_channels": module.attribute("num_channels", int, "D.b4.mbstd"),
    }


# -- what layers say of themselves -----------------------------------------------------------------


def _drop_filters(moves: Moves, where: str) -> None:
    for name in moves.names:
        if name.rpartition(".")[2] == "resample_filter":
            if not stylegan2.is_fir(moves[name]):
                raise InputError(
                    f"{where}.{name} is another filter than [1, 3, 3, 1]",
                    "only networks with that filter can be imported",
                )
            moves.drop(name, "[1, 3, 3, 1], which ours has too")


LINEAR = {"embed", "affine", "skip", "out"}
"""Layers that no activation follows."""


def _check_layers(modules: Mapping[str, Module], where: str) -> None:
    """Refuse layers that are scaled or activated in another way than ours."""
    for name, module in modules.items():
        kind = "linear" if name.rpartition(".")[2] in LINEAR else "lrelu"
        activation = module.state.get("activation", kind)
        if activation != kind:
            raise InputError(
                f"{where}.{name} has the activation {shown(activation)}",
                f"only {kind!r} can be imported there",
            )
        multiplier = module.state.get("bias_gain", 1)
        if multiplier != 1 and not name.startswith("mapping.fc"):
            raise InputError(
                f"{where}.{name} has the lr_multiplier {shown(multiplier)}",
                "only 1 can be imported there",
            )
        gain, usual = module.state.get("act_gain"), 1 if kind == "linear" else math.sqrt(2)
        if isinstance(gain, float) and not math.isclose(gain, usual, rel_tol=1e-4):
            raise InputError(
                f"{where}.{name} scales its output by {gain:g}, the original by {usual:g}", CHANGED
            )
        gain, weight = module.state.get("weight_gain"), module.tensors().get("weight")
        if isinstance(gain, float) and weight is not None:
            expected = float(module.state.get("bias_gain", 1)) / math.sqrt(weight[0].numel())
            if not math.isclose(gain, expected, rel_tol=1e-4):
                raise InputError(
                    f"{where}.{name} scales its weight by {gain:g}, the original by {expected:g}",
                    CHANGED,
                )


def _lr_multiplier(modules: Mapping[str, Module], layers: int, where: str) -> float:
    if not layers:
        return 1.0
    if not 0 < layers <= len(modules):
        raise InputError(
            f"{where}.mapping has num_layers = {shown(layers)}, and another number of layers",
            CHANGED,
        )
    names = [f"mapping.fc{k}" for k in range(layers)]
    return float(_the_one(modules, names, "bias_gain", where))


def _the_one(
    modules: Mapping[str, Module], names: Iterable[str], attribute: str, where: str
) -> Any:
    """The value that an attribute has in all of these modules."""
    name, value = "", None
    for name_here in names:
        if name_here not in modules or attribute not in modules[name_here].state:
            raise InputError(
                f"{where}.{name_here} does not say its {attribute}",
                "only files of stylegan2-ada-pytorch and stylegan3 are understood",
            )
        here = modules[name_here].state[attribute]
        if not isinstance(here, (str, int, float, type(None))):
            raise InputError(
                f"{where}.{name_here} has {attribute} {shown(here)}", "it cannot be imported"
            )
        if name and here != value:
            raise InputError(
                f"{where}.{name} has {attribute} {value!r}, {where}.{name_here} {here!r}",
                "only networks where it is the same can be imported",
            )
        name, value = name_here, here
    return value


def _clamp(modules: Mapping[str, Module], names: Iterable[str], where: str) -> float | None:
    """The clamp of the layers of these names that there are."""
    value = _the_one(modules, [name for name in names if name in modules], "conv_clamp", where)
    return None if value is None else float(value)
