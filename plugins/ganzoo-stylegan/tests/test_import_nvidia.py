"""Pickles like those of stylegan2-ada-pytorch and stylegan3, against their networks, restated.

The restatement runs on the modules that are pickled, by their names and attributes, as the program
would: weights modulated for each image in a grouped convolution, zeros between pixels and a filter.
"""

from __future__ import annotations

import math
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, one_hot, pad

from ganzoo import models, plugins
from ganzoo.errors import GanzooError, InputError
from ganzoo.importing.importer import Converted, Network
from ganzoo.importing.reading import read

ADA_SOURCE = "# Copyright (c) 2021, NVIDIA CORPORATION.  All rights reserved.\nraise SystemExit\n"
SG3_SOURCE = ADA_SOURCE + "fused_modconv_default = True\n"


class Obj:
    """A module of the program, that pickles itself as `torch_utils.persistence` does."""

    def __init__(self, kind: str, **attributes: Any) -> None:
        self.kind, self.source = kind, ADA_SOURCE
        self.state = {
            "training": False, "_parameters": OrderedDict(), "_buffers": OrderedDict(),
            "_modules": OrderedDict(), **attributes,
        }  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        state = self.__dict__["state"]
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in state[kind]:
                return state[kind][name]
        if name in state:
            return state[name]
        raise AttributeError(name)

    def parameter(self, name: str, *shape: int, mean: float = 0.0, scale: float = 1.0) -> None:
        self.state["_parameters"][name] = nn.Parameter(mean + scale * torch.randn(shape))

    def buffer(self, name: str, value: Tensor) -> None:
        self.state["_buffers"][name] = value

    def add(self, **modules: Obj) -> None:
        self.state["_modules"].update(modules)

    def freeze(self) -> None:
        for name, value in list(self.state["_parameters"].items()):
            self.buffer(name, value.detach())
            del self.state["_parameters"][name]

    def tensors(self) -> int:
        own = len(self.state["_parameters"]) + len(self.state["_buffers"])
        return own + sum(child.tensors() for child in self.state["_modules"].values())

    def __reduce__(self) -> Any:
        meta = {"type": "class", "version": 6, "module_src": self.source,
                "class_name": self.kind, "state": self.state}  # fmt: skip
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,), None


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that its files have, for as long as one is written."""
    persistence = ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("the file was run")

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    persistence._reconstruct_persistent_obj = _reconstruct_persistent_obj
    util = ModuleType("dnnlib.util")
    util.EasyDict = EasyDict
    monkeypatch.setitem(sys.modules, "torch_utils", ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", persistence)
    monkeypatch.setitem(sys.modules, "dnnlib", ModuleType("dnnlib"))
    monkeypatch.setitem(sys.modules, "dnnlib.util", util)


class EasyDict(dict):
    __module__ = "dnnlib.util"


# -- its modules -----------------------------------------------------------------------------------


FIR = torch.tensor([1.0, 3.0, 3.0, 1.0])
FIR = torch.outer(FIR, FIR) / 64


def fc(
    inputs: int, outputs: int, activation: str = "linear", lr: float = 1, start: float = 0
) -> Obj:
    layer = Obj("FullyConnectedLayer", activation=activation,
                weight_gain=lr / math.sqrt(inputs), bias_gain=lr)  # fmt: skip
    layer.parameter("weight", outputs, inputs, scale=1 / lr)
    layer.parameter("bias", outputs, mean=start, scale=0.3 / lr)
    return layer


def mapping(z: int, c: int, w: int, num_ws: int | None, layers: int, lr: float, hidden: int) -> Obj:
    kept = 0.995 if num_ws else None
    net = Obj("MappingNetwork", z_dim=z, c_dim=c, w_dim=w, num_ws=num_ws, num_layers=layers,
              w_avg_beta=kept)  # fmt: skip
    if c:
        net.add(embed=fc(c, w))
    widths = [z + (w if c else 0), *[hidden] * (layers - 1), w]
    for k in range(layers):
        net.add(**{f"fc{k}": fc(widths[k], widths[k + 1], "lrelu", lr)})
    if kept:
        net.buffer("w_avg", torch.randn(w))
    return net


def synthesis_layer(inputs: int, outputs: int, w: int, size: int, up: int, clamp: Any) -> Obj:
    layer = Obj("SynthesisLayer", resolution=size, up=up, use_noise=True, activation="lrelu",
                conv_clamp=clamp, padding=1, act_gain=math.sqrt(2))  # fmt: skip
    layer.add(affine=fc(w, inputs, start=1))
    layer.parameter("weight", outputs, inputs, 3, 3)
    layer.parameter("noise_strength", scale=0.5)
    layer.parameter("bias", outputs, scale=0.3)
    layer.buffer("resample_filter", FIR)
    layer.buffer("noise_const", torch.randn(size, size))
    return layer


def conv_layer(i: int, o: int, kernel: int, activation: str = "lrelu", up: int = 1, down: int = 1,
               clamp: Any = None, bias: bool = True) -> Obj:  # fmt: skip
    layer = Obj("Conv2dLayer", activation=activation, up=up, down=down, conv_clamp=clamp,
                padding=kernel // 2, weight_gain=1 / math.sqrt(i * kernel**2),
                act_gain=math.sqrt(2) if activation == "lrelu" else 1, bias=None)  # fmt: skip
    layer.buffer("resample_filter", FIR)
    layer.parameter("weight", o, i, kernel, kernel)
    if bias:
        del layer.state["bias"]
        layer.parameter("bias", o, scale=0.3)
    return layer


def generator(*, widths: list[int], z: int = 6, c: int = 0, w: int = 5, image: int = 3,
              architecture: str = "skip", clamp: Any = None, layers: int = 2, lr: float = 0.01,
              hidden: int | None = None, flat: bool = False) -> Obj:  # fmt: skip
    full = 2 << len(widths)
    synthesis = Obj("SynthesisNetwork", w_dim=w, img_resolution=full, img_channels=image)
    for k, width in enumerate(widths):
        size = 4 << k
        block = Obj("SynthesisBlock", architecture=architecture, resolution=size, use_fp16=size >= 8,
                    is_last=size == full, num_conv=2 if k else 1, num_torgb=1)  # fmt: skip
        block.buffer("resample_filter", FIR)
        if k:
            block.add(conv0=synthesis_layer(widths[k - 1], width, w, size, 2, clamp))
        else:
            block.parameter("const", width, 4, 4)
        block.add(conv1=synthesis_layer(width, width, w, size, 1, clamp))
        if size == full or architecture == "skip":
            torgb = Obj("ToRGBLayer", conv_clamp=clamp, weight_gain=1 / math.sqrt(width))
            torgb.add(affine=fc(w, width, start=1))
            torgb.parameter("weight", image, width, 1, 1)
            torgb.parameter("bias", image)
            block.add(torgb=torgb)
        if k and architecture == "resnet":
            block.add(skip=conv_layer(widths[k - 1], width, 1, "linear", up=2, bias=False))
        synthesis.add(**{f"b{size}": block})
    num_ws = 2 * len(widths)
    given = EasyDict(z_dim=z, c_dim=c, w_dim=w)
    synthesis_kwargs = EasyDict(channel_base=999, channel_max=7, num_fp16_res=4, conv_clamp=clamp)
    if flat:
        given.update(synthesis_kwargs, mapping_kwargs=EasyDict(num_layers=layers))
        del given["mapping_kwargs"]
    else:
        given.update(mapping_kwargs=EasyDict(num_layers=layers), synthesis_kwargs=synthesis_kwargs)
    G = Obj("Generator", z_dim=z, c_dim=c, w_dim=w, img_resolution=full, img_channels=image,
            num_ws=num_ws, _init_args=(), _init_kwargs=given)  # fmt: skip
    G.add(synthesis=synthesis, mapping=mapping(z, c, w, num_ws, layers, lr, hidden or w))
    G.source = SG3_SOURCE if flat else ADA_SOURCE
    return G


def discriminator(*, widths: list[int], c: int = 0, image: int = 3, architecture: str = "resnet",
                  clamp: Any = None, group: int | None = 4, statistics: int = 1, cmap: int = 0,
                  hidden: int | None = None) -> Obj:  # fmt: skip
    full = 2 << len(widths)
    D = Obj("Discriminator", c_dim=c, img_resolution=full, img_channels=image)
    for k in range(len(widths) - 1, 0, -1):
        size, width, below = 4 << k, widths[k], widths[k - 1]
        block = Obj("DiscriminatorBlock", architecture=architecture, resolution=size, use_fp16=True)
        block.buffer("resample_filter", FIR)
        if size == full or architecture == "skip":
            block.add(fromrgb=conv_layer(image, width, 1, clamp=clamp))
        block.add(conv0=conv_layer(width, width, 3, clamp=clamp),
                  conv1=conv_layer(width, below, 3, down=2, clamp=clamp))  # fmt: skip
        if architecture == "resnet":
            block.add(skip=conv_layer(width, below, 1, "linear", down=2, bias=False))
        D.add(**{f"b{size}": block})
    width = widths[0]
    last = Obj("DiscriminatorEpilogue", architecture=architecture, cmap_dim=cmap, resolution=4)
    if architecture == "skip":
        last.add(fromrgb=conv_layer(image, width, 1))
    if statistics:
        last.add(mbstd=Obj("MinibatchStdLayer", group_size=group, num_channels=statistics))
    else:
        last.state["mbstd"] = None
    last.add(conv=conv_layer(width + statistics, width, 3, clamp=clamp),
             fc=fc(width * 16, width, "lrelu"), out=fc(width, cmap or 1))  # fmt: skip
    D.add(b4=last)
    if c:
        D.add(mapping=mapping(0, c, cmap, None, 3, 0.01, hidden or cmap))
    return D


# -- what they compute -----------------------------------------------------------------------------


def activate(x: Tensor, activation: str, gain: float = 1.0, clamp: Any = None) -> Tensor:
    if activation == "lrelu":
        x = torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)
    x = x * gain
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def run_fc(layer: Obj, x: Tensor) -> Tensor:
    x = x @ (layer.weight.double() * layer.weight_gain).T + layer.bias.double() * layer.bias_gain
    return activate(x, layer.activation)


def unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def run_mapping(net: Obj, z: Tensor | None, labels: Tensor | None) -> Tensor:
    x = [] if z is None else [unit(z)]
    if net.c_dim:
        x.append(unit(run_fc(net.embed, one_hot(labels, net.c_dim).double())))
    y = torch.cat(x, 1)
    for k in range(net.num_layers):
        y = run_fc(net.state["_modules"][f"fc{k}"], y)
    return y


def truncated(net: Obj, w: Tensor, psi: float, cutoff: int | None) -> Tensor:
    ws = w[:, None].repeat(1, net.num_ws, 1)
    ws[:, :cutoff] = net.w_avg + psi * (ws[:, :cutoff] - net.w_avg)
    return ws


def upfirdn(
    x: Tensor, *, up: int = 1, down: int = 1, pads: tuple[int, int], gain: float = 1
) -> Tensor:
    n, c, h, w = x.shape
    spread = torch.zeros(n, c, h * up, w * up, dtype=x.dtype)
    spread[:, :, ::up, ::up] = x
    spread = pad(spread, (*pads, *pads)).reshape(n * c, 1, h * up + sum(pads), -1)
    x = conv2d(spread, (FIR.double() * gain).flip(0, 1)[None, None])
    return x.reshape(n, c, *x.shape[2:])[:, :, ::down, ::down]


def modulated(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool, up: int = 1
) -> Tensor:
    n, c, h, w = x.shape
    weights = weight.double()[None] * styles[:, None, :, None, None]  # (N, out, in, k, k)
    if demodulate:
        weights = weights * (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, n * c, h, w)
    if up == 2:
        kernels = weights.transpose(1, 2).reshape(n * c, *weights.shape[1:2], *weights.shape[3:])
        x = conv_transpose2d(x, kernels, stride=2, groups=n)
        x = upfirdn(x, pads=(1, 1), gain=4)
    else:
        x = conv2d(x, weights.flatten(0, 1), padding=weight.shape[-1] // 2, groups=n)
    return x.reshape(n, -1, *x.shape[2:])


def run_synthesis_layer(layer: Obj, x: Tensor, w: Tensor, noise: str, gain: float = 1.0) -> Tensor:
    x = modulated(x, layer.weight, run_fc(layer.affine, w), demodulate=True, up=layer.up)
    if noise == "const":
        x = x + layer.noise_const.double() * layer.noise_strength
    return activate(x + layer.bias.double()[:, None, None], "lrelu", gain, layer.conv_clamp)


def run_conv(layer: Obj, x: Tensor, gain: float = 1.0) -> Tensor:
    weight, size = layer.weight.double() * layer.weight_gain, layer.weight.shape[-1]
    if layer.up == 2:
        x = upfirdn(conv2d(x, weight), up=2, pads=(2, 1), gain=4)
    elif layer.down == 2 and size == 1:
        x = conv2d(upfirdn(x, down=2, pads=(1, 1)), weight)
    elif layer.down == 2:
        x = conv2d(upfirdn(x, pads=(2, 2)), weight, stride=2)
    else:
        x = conv2d(x, weight, padding=size // 2)
    if layer.bias is not None:
        x = x + layer.bias.double()[:, None, None]
    return activate(x, layer.activation, gain, layer.conv_clamp)


def run_synthesis(net: Obj, ws: Tensor, noise: str = "const") -> Tensor:
    x, image, at = torch.zeros(()), None, 0
    for block in net.state["_modules"].values():
        if block.resolution == 4:
            x = block.const.double()[None].repeat(len(ws), 1, 1, 1)
            x = run_synthesis_layer(block.conv1, x, ws[:, at], noise)
        elif block.architecture == "resnet":
            y = run_conv(block.skip, x, gain=0.5**0.5)
            x = run_synthesis_layer(block.conv0, x, ws[:, at], noise)
            x = y + run_synthesis_layer(block.conv1, x, ws[:, at + 1], noise, gain=0.5**0.5)
        else:
            x = run_synthesis_layer(block.conv0, x, ws[:, at], noise)
            x = run_synthesis_layer(block.conv1, x, ws[:, at + 1], noise)
        at += block.num_conv
        if image is not None:
            image = upfirdn(image, up=2, pads=(2, 1), gain=4)
        if "torgb" in block.state["_modules"]:
            rgb = block.torgb
            styles = run_fc(rgb.affine, ws[:, at]) * rgb.weight_gain
            y = modulated(x, rgb.weight, styles, demodulate=False)
            y = activate(y + rgb.bias.double()[:, None, None], "linear", 1, rgb.conv_clamp)
            image = y if image is None else image + y
    assert image is not None
    return image


def run_discriminator(D: Obj, image: Tensor, labels: Tensor | None) -> Tensor:
    x: Any = None
    for block in D.state["_modules"].values():
        if block.kind == "MappingNetwork":
            continue
        if "fromrgb" in block.state["_modules"]:
            y = run_conv(block.fromrgb, image)
            x = y if x is None else x + y
        if block.kind == "DiscriminatorEpilogue":
            break
        if block.architecture == "skip":
            image = upfirdn(image, down=2, pads=(1, 1))
        if block.architecture == "resnet":
            y = run_conv(block.skip, x, gain=0.5**0.5)
            x = y + run_conv(block.conv1, run_conv(block.conv0, x), gain=0.5**0.5)
        else:
            x = run_conv(block.conv1, run_conv(block.conv0, x))
    last, n = D.b4, len(x)
    if last.mbstd is not None:
        size, f = (
            n if last.mbstd.group_size is None else last.mbstd.group_size,
            last.mbstd.num_channels,
        )
        y = x.reshape(size, -1, f, x.shape[1] // f, 4, 4)
        y = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((2, 3, 4))
        x = torch.cat([x, y[:, :, None, None].repeat(size, 1, 4, 4)], 1)
    x = run_conv(last.conv, x)
    x = run_fc(last.out, run_fc(last.fc, x.flatten(1)))
    if D.c_dim:
        cmap = run_mapping(D.mapping, None, labels)
        x = (x * cmap).sum(1, keepdim=True) / math.sqrt(last.cmap_dim)
    return x[:, 0]


# -- importing -------------------------------------------------------------------------------------


def imported(folder: Path, content: Any, *, protocol: int = 4) -> Converted:
    path = folder / "network-snapshot.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    importer = plugins.load().parts.get("importer", "stylegan-nvidia").build()
    found = read(path)
    assert importer.recognises(found)
    return importer.convert(found)


def built(kind: str, network: Network | None) -> Any:
    assert network is not None
    part = plugins.load().parts.get(kind, network.part)
    module = models.build(part, part.make_config(network.config))
    module.load_state_dict(network.state)
    return module.eval().requires_grad_(False)


GENERATORS: dict[str, dict[str, Any]] = {
    "skip, clamped": {"widths": [7, 5, 3], "clamp": 0.8},
    "resnet, conditional": {"widths": [7, 5, 3], "architecture": "resnet", "c": 3, "clamp": 256},
    "resnet, clamped": {"widths": [7, 5, 3], "architecture": "resnet", "clamp": 0.5},
    "orig": {"widths": [4, 6, 5], "architecture": "orig", "image": 1, "lr": 0.5},
    "stylegan3's": {"widths": [9, 9, 4, 3], "flat": True, "clamp": 256, "layers": 3, "hidden": 8},
    "stylegan3's, conditional": {"widths": [6, 3], "flat": True, "c": 2, "w": 8},
}


@pytest.mark.parametrize("settings", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize("key", ["G_ema", "G"])
def test_images_are_those_of_the_program(
    tmp_path: Path, key: str, settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    theirs = generator(**settings)
    found = imported(tmp_path, {key: theirs})
    G = built("generator", found.generator)
    z, labels = torch.randn(3, theirs.z_dim), None
    if theirs.c_dim:
        labels = torch.tensor([1, 0, 1])
    w = run_mapping(theirs.mapping, z.double(), labels)
    torch.testing.assert_close(G.mapping(z, labels)[:, 0].double(), w, rtol=0, atol=1e-5)
    for psi, cutoff, noise in ((1, None, "const"), (0.6, 2, "const"), (0.3, None, "none")):
        ws = truncated(theirs.mapping, w, psi, cutoff)
        expected = run_synthesis(theirs.synthesis, ws, noise)
        images = G(z, labels, truncation=psi, truncation_cutoff=cutoff, noise=noise)
        torch.testing.assert_close(images.double(), expected, rtol=1e-4, atol=1e-4)
    flat = settings.get("flat", False)
    assert found.program == f"NVlabs/{'stylegan3' if flat else 'stylegan2-ada-pytorch'}"
    assert found.license.startswith("NVIDIA Source Code License for StyleGAN3" if flat else
                                    "NVIDIA Source Code License for StyleGAN2")  # fmt: skip
    assert found.license_url.startswith("https://")
    assert any("not averaged" in n or "no averaged" in n for n in found.notes) == (key == "G")


CRITICS: dict[str, dict[str, Any]] = {
    "resnet": {"widths": [7, 5, 3], "clamp": 256},
    "resnet, clamped": {"widths": [6, 5, 3], "clamp": 0.5, "group": None, "statistics": 2},
    "skip, clamped": {"widths": [7, 5, 3], "clamp": 0.4, "architecture": "skip"},
    "orig, conditional": {"widths": [7, 5], "architecture": "orig", "c": 3, "cmap": 6, "group": 2},
    "conditional": {"widths": [4, 5, 3], "c": 3, "cmap": 4, "hidden": 9},
    "without statistics": {"widths": [4, 3], "statistics": 0, "image": 1},
}


@pytest.mark.parametrize("settings", CRITICS.values(), ids=CRITICS)
@pytest.mark.parametrize("frozen", [False, True])
def test_scores_are_those_of_the_program(
    tmp_path: Path, frozen: bool, settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    theirs = discriminator(**settings)
    full = theirs.img_resolution
    if frozen:
        block = theirs.state["_modules"][f"b{full}"]
        block.fromrgb.freeze()
        block.conv0.freeze()
        theirs.b4.fc.freeze()
    G = generator(widths=settings["widths"], c=settings.get("c", 0), image=theirs.img_channels)
    found = imported(tmp_path, {"G": G, "D": theirs, "G_ema": G}, protocol=3)
    D = built("discriminator", found.discriminator)
    images = torch.randn(8, theirs.img_channels, full, full)
    labels = torch.tensor([0, 1, 2, 2, 1, 0, 0, 1]) if theirs.c_dim else None
    expected = run_discriminator(theirs, images.double(), labels)
    torch.testing.assert_close(D(images, labels).double(), expected, rtol=1e-3, atol=1e-5)


def snapshot(**more: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset"),
        "G": generator(widths=[4, 3]), "D": discriminator(widths=[4, 3]),
        "G_ema": generator(widths=[4, 3]), "augment_pipe": None, **more,
    }  # fmt: skip


def test_the_averaged_generator_is_taken_and_every_tensor_accounted_for(tmp_path: Path) -> None:
    content = snapshot()
    pipe = Obj("AugmentPipe")
    pipe.buffer("p", torch.zeros(()))
    content["augment_pipe"] = pipe
    found = imported(tmp_path, content)
    const = content["G_ema"].synthesis.b4.const.detach()
    assert torch.equal(found.generator.state["const"][0], const)
    count = {key: content[key].tensors() for key in ("G", "D", "G_ema", "augment_pipe")}
    for key, number in count.items():
        mine = [fate for fate in found.fates if fate.source.startswith(f"{key}.")]
        assert len({fate.source for fate in mine}) == len(mine) == number, key
    fates = {fate.source: fate for fate in found.fates}
    assert fates["G_ema.synthesis.b8.conv1.weight"].target == "generator: convs.2.weight"
    assert fates["D.b4.out.bias"].target == "discriminator: out.bias"
    assert fates["G.mapping.w_avg"].target == "" and fates["augment_pipe.p"].target == ""
    assert "float16" in " ".join(found.notes)


def test_without_noise_maps_images_are_the_same(tmp_path: Path) -> None:
    content = snapshot()
    for block in content["G_ema"].synthesis.state["_modules"].values():
        for layer in (block.state["_modules"][k] for k in ("conv0", "conv1") if hasattr(block, k)):
            layer.state["use_noise"] = False
            del layer.state["_parameters"]["noise_strength"], layer.state["_buffers"]["noise_const"]
    G = built("generator", imported(tmp_path, content).generator)
    z = torch.randn(2, 6)
    w = run_mapping(content["G_ema"].mapping, z.double(), None)[:, None].repeat(1, 4, 1)
    expected = run_synthesis(content["G_ema"].synthesis, w, "none")
    torch.testing.assert_close(G(z).double(), expected, rtol=1e-4, atol=1e-4)


def test_a_discriminator_of_another_kind_is_left_out(tmp_path: Path) -> None:
    other = Obj("ProjectedDiscriminator", c_dim=0)
    other.parameter("weight", 3, 3)
    found = imported(tmp_path, snapshot(D=other))
    assert found.discriminator is None
    assert "none of StyleGAN2's" in " ".join(found.notes)
    assert [fate.target for fate in found.fates if fate.source == "D.weight"] == [""]


# -- refusals --------------------------------------------------------------------------------------


def filtered(content: Any) -> None:
    content["G_ema"].synthesis.b8.conv0.buffer("resample_filter", torch.ones(4, 4) / 16)


def swish(content: Any) -> None:
    content["G_ema"].synthesis.b4.conv1.state["activation"] = "swish"


def rescaled(content: Any) -> None:
    content["D"].b8.conv1.state["weight_gain"] = 1.0


def two_clamps(content: Any) -> None:
    content["G_ema"].synthesis.b8.torgb.state["conv_clamp"] = 256


def a_tensor_more(content: Any) -> None:
    content["G_ema"].synthesis.b8.conv1.parameter("attention", 3)


def a_tensor_less(content: Any) -> None:
    del content["G_ema"].synthesis.b8.conv1.state["_parameters"]["bias"]


def silent(content: Any) -> None:
    del content["G_ema"].state["z_dim"]


def small(content: Any) -> None:
    content["G_ema"].state["img_resolution"] = 4


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (filtered, r"G_ema\.synthesis\.b8\.conv0\.resample_filter is another filter"),
        (swish, r"G_ema\.synthesis\.b4\.conv1 has the activation 'swish': only 'lrelu'"),
        (rescaled, r"D\.b8\.conv1 scales its weight by 1, the original by 0\.19"),
        (two_clamps, r"b8\.conv1 has conv_clamp None, .*b8\.torgb 256"),
        (a_tensor_more, r"'synthesis\.b8\.conv1\.attention' that the original"),
        (a_tensor_less, r"G_ema lacks the tensor 'synthesis\.b8\.conv1\.bias'"),
        (silent, r"G_ema has no attribute 'z_dim'"),
        (small, r"images of 4 pixels a side: only 8, 16"),
    ],
)
def test_what_ours_is_not_is_refused(tmp_path: Path, change: Any, problem: str) -> None:
    content = snapshot()
    change(content)
    with pytest.raises(InputError, match=problem) as error:
        imported(tmp_path, content)
    assert "\n" not in str(error.value)


def test_other_pickles_are_not_recognised(tmp_path: Path) -> None:
    importer = plugins.load().parts.get("importer", "stylegan-nvidia").build()
    path = tmp_path / "other.pkl"
    for content in ({}, [], {"G_ema": {"a": torch.zeros(1)}}, {"D": discriminator(widths=[4, 3])}):
        path.write_bytes(pickle.dumps(content))
        assert not importer.recognises(read(path))
    path.write_bytes(pickle.dumps({"D": discriminator(widths=[4, 3])}))
    with pytest.raises(GanzooError, match="no generator G_ema or G"):
        importer.convert(read(path))
