"""Networks of stylegan2-ada-pytorch and stylegan3, to be pickled as they are there, and restated.

The restatement runs on the modules that are pickled, by their names and attributes, as the program
would: weights modulated for each image in a grouped convolution, zeros between pixels and a filter.
"""

from __future__ import annotations

import math
import sys
from collections import OrderedDict
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, one_hot, pad

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


class EasyDict(dict):
    __module__ = "dnnlib.util"


def name_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the modules that files name, for as long as a test writes some."""
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


def mapping(z: int, c: int, w: int, num_ws: int | None, layers: int, lr: float, hidden: int,
            label: int | None = None) -> Obj:  # fmt: skip
    kept = 0.995 if num_ws else None
    net = Obj("MappingNetwork", z_dim=z, c_dim=c, w_dim=w, num_ws=num_ws, num_layers=layers,
              w_avg_beta=kept)  # fmt: skip
    if c:
        net.add(embed=fc(c, label or w))
    widths = [z + ((label or w) if c else 0), *[hidden] * (layers - 1), w]
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
              hidden: int | None = None, label: int | None = None,
              flat: bool = False) -> Obj:  # fmt: skip
    full = 2 << len(widths)
    synthesis = Obj("SynthesisNetwork", w_dim=w, img_resolution=full, img_channels=image)
    for k, width in enumerate(widths):
        size = 4 << k
        block = Obj("SynthesisBlock", architecture=architecture, resolution=size, use_fp16=k > 0,
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
    given["mapping_kwargs"] = EasyDict(num_layers=layers)
    given.update(synthesis_kwargs if flat else {"synthesis_kwargs": synthesis_kwargs})
    G = Obj("Generator", z_dim=z, c_dim=c, w_dim=w, img_resolution=full, img_channels=image,
            num_ws=num_ws, _init_args=(), _init_kwargs=given)  # fmt: skip
    G.add(synthesis=synthesis, mapping=mapping(z, c, w, num_ws, layers, lr, hidden or w, label))
    G.source = SG3_SOURCE if flat else ADA_SOURCE
    return G


def discriminator(*, widths: list[int], c: int = 0, image: int = 3, architecture: str = "resnet",
                  clamp: Any = None, group: int | None = 4, statistics: int = 1, cmap: int = 0,
                  hidden: int | None = None, label: int | None = None) -> Obj:  # fmt: skip
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
        D.add(mapping=mapping(0, c, cmap, None, 3, 0.01, hidden or cmap, label))
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
