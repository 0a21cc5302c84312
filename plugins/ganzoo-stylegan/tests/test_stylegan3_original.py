"""StyleGAN3: filters against SciPy's, images and gradients of converted networks against the
original, restated by zeros between pixels and whole 2D filters."""

from __future__ import annotations

import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from ganzoo_stylegan.importing.stylegan3 import convert, targets
from ganzoo_stylegan.resampling import downsample, lowpass, upsample
from ganzoo_stylegan.stylegan3 import Generator
from ganzoo_stylegan.stylegan3_config import StyleGAN3GeneratorConfig
from torch import Tensor, nn
from torch.nn.functional import affine_grid, conv2d, leaky_relu, pad

import ganzoo
from ganzoo import provenance
from ganzoo.cli import main
from ganzoo.configs import config_from_dict
from ganzoo.errors import InputError
from ganzoo.importing.tree import Record
from tests.nvidia_pytorch import EasyDict, Obj, discriminator, name_modules, run_discriminator

# -- filters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taps", "cutoff", "half_width", "rate"),
    [(12, 2.0, 6.0, 32), (12, 8.1, 7.9, 64), (24, 3.0, 5.0, 128), (12, 32.0, 7.4, 128)],
)
def test_separable_filters_are_scipys(
    taps: int, cutoff: float, half_width: float, rate: int
) -> None:
    signal = pytest.importorskip("scipy.signal")
    expected = signal.firwin(taps, cutoff, width=2 * half_width, fs=rate)
    found = lowpass(taps, cutoff=cutoff, half_width=half_width, sampling_rate=rate)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_radial_filters_are_a_jinc_under_a_window() -> None:
    special, signal = pytest.importorskip("scipy.special"), pytest.importorskip("scipy.signal")
    taps, cutoff, half_width, rate = 12, 5.0, 4.0, 32
    x = (np.arange(taps) - 5.5) / rate
    r = np.sqrt(x[:, None] ** 2 + x**2)
    beta = signal.kaiser_beta(signal.kaiser_atten(taps, 2 * half_width / (rate / 2)))
    window = signal.windows.kaiser(taps, beta)
    expected = special.j1(2 * cutoff * np.pi * r) / (np.pi * r) * window[:, None] * window
    found = lowpass(taps, cutoff=cutoff, half_width=half_width, sampling_rate=rate, radial=True)
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=0, atol=1e-12)


def test_a_radial_filter_with_a_centre_is_finite() -> None:
    found = lowpass(7, cutoff=5, half_width=4, sampling_rate=32, radial=True)
    assert np.isfinite(found).all() and found.argmax() == 24


def resampled(
    x: Tensor, filter: Tensor, *, up: int = 1, down: int = 1, lo: int, hi: int, gain: float = 1
) -> Tensor:
    """Zeros between the pixels, zeros around, the whole 2D filter as a convolution, every down-th
    pixel."""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h * up, w * up)
    spread[:, :, ::up, ::up] = x
    spread = pad(spread, (lo, hi, lo, hi))
    whole = torch.outer(filter, filter) if filter.ndim == 1 else filter
    kernel = whole.flip(0, 1).to(x.dtype) * gain
    y = conv2d(spread.flatten(0, 1)[:, None], kernel[None, None])[:, 0]
    return y.unflatten(0, (n, c))[:, :, ::down, ::down]


@pytest.mark.parametrize("shape", [(12,), (12, 12), (5,), (24,), (7, 7)])
@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("lo", [-5, -1, 0, 3, 8, 9])
def test_resampling_is_zero_insertion_and_convolution(
    shape: tuple[int, ...], factor: int, lo: int
) -> None:
    """Values, gradients and gradients of gradients, for filters of no symmetry."""
    torch.manual_seed(0)
    filter = torch.randn(shape, dtype=torch.float64)
    x = torch.randn(2, 2, 25, 25, dtype=torch.float64, requires_grad=True)
    taps, hi = shape[0], 6
    size = 25 * factor + lo + hi - taps + 1
    down_size = -(-(25 + max(lo, 0) + hi - taps + 1) // factor)
    for ours, plain in (
        (upsample(x, filter, factor, padding=lo, size=size),
         resampled(x, filter, up=factor, lo=lo, hi=hi, gain=factor**2)),
        (downsample(x, filter, factor, padding=max(lo, 0), size=down_size),
         resampled(x, filter, down=factor, lo=max(lo, 0), hi=hi)),
    ):  # fmt: skip
        torch.testing.assert_close(ours, plain)
        upstream = torch.randn_like(ours)
        grads = [torch.autograd.grad((y**3 * upstream).sum(), x, create_graph=True)[0]
                 for y in (ours, plain)]  # fmt: skip
        torch.testing.assert_close(*grads)
        second = [torch.autograd.grad(grad.square().sum(), x)[0] for grad in grads]
        torch.testing.assert_close(*second)
    with torch.no_grad():
        torch.testing.assert_close(
            upsample(x, filter, factor, padding=lo, size=size),
            resampled(x, filter, up=factor, lo=lo, hi=hi, gain=factor**2),
        )


def test_upsampling_and_downsampling_keep_a_constant() -> None:
    filter = torch.tensor(lowpass(12, cutoff=8, half_width=8, sampling_rate=64)).float()
    x = torch.full((1, 2, 20, 20), 3.0)
    up = upsample(x, filter, 2, padding=11, size=40)[:, :, 12:-12, 12:-12]
    torch.testing.assert_close(up, torch.full_like(up, 3), rtol=0, atol=0.05)  # ripple
    down = downsample(x, filter, 2, size=4)
    torch.testing.assert_close(down, torch.full_like(down, 3))


# -- the original, restated ------------------------------------------------------------------------


class Original:
    """The published network, by its own names and layout, in float64: facts of the paper and of
    the files, one image at a time, with whole 2D filters and zeros between pixels."""

    def __init__(
        self,
        resolution: int,
        *,
        kernel: int = 3,
        radial: bool = False,
        classes: int = 0,
        colours: int = 3,
        layers: int = 14,
        clamp: float = 256,
    ) -> None:
        base, most, z_dim, w_dim = 128, 6, 5, 7
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        self.clamp, self.classes = clamp, classes
        last = layers - 2
        k = np.minimum(np.arange(layers + 1) / last, 1)
        cutoffs = 2 * (resolution / 2 / 2) ** k
        stops = 2**2.1 * (resolution / 2 * 2**0.3 / 2**2.1) ** k
        rates = np.exp2(np.ceil(np.log2(np.minimum(stops * 2, resolution)))).astype(int)
        widths = np.maximum(stops, rates / 2) - cutoffs
        sizes = rates + 20
        sizes[-2:] = resolution
        channels = np.rint(np.minimum(base / 2 / cutoffs, most)).astype(int)
        channels[-1] = colours
        t: dict[str, Tensor] = {"mapping.w_avg": normal(w_dim)}
        width = z_dim
        if classes:
            t |= {"mapping.embed.weight": normal(w_dim, classes),
                  "mapping.embed.bias": normal(w_dim)}  # fmt: skip
            width += w_dim
        for layer in range(2):
            t[f"mapping.fc{layer}.weight"] = normal(w_dim, width) / 0.01
            t[f"mapping.fc{layer}.bias"] = normal(w_dim) * 10
            width = w_dim
        c = int(channels[0])
        t |= {
            "synthesis.input.freqs": normal(c, 2) * 1.5,  # some beyond the band
            "synthesis.input.phases": normal(c),
            "synthesis.input.transform": torch.eye(3) + 0.1 * torch.tensor(
                [[0.3, 1, 2], [-1, 0.5, 1], [0, 0, 0]]),
            "synthesis.input.weight": normal(c, c),
            "synthesis.input.affine.weight": normal(4, w_dim),
            "synthesis.input.affine.bias": torch.tensor([1.0, 0, 0, 0]),
        }  # fmt: skip
        self.layers: list[tuple[str, dict[str, Any]]] = []
        for n in range(layers + 1):
            before, image = max(n - 1, 0), n == layers
            name = f"L{n}_{sizes[n]}_{channels[n]}"
            rate = max(rates[before], rates[n]) * (1 if image else 2)
            up, down = rate // rates[before], rate // rates[n]
            size = 1 if image else kernel
            key = f"synthesis.{name}"
            t[f"{key}.weight"] = normal(channels[n], channels[before], size, size)
            t[f"{key}.bias"] = normal(channels[n]) * 0.2
            t[f"{key}.magnitude_ema"] = normal().square() + 0.3
            t[f"{key}.affine.weight"] = normal(channels[before], w_dim)
            t[f"{key}.affine.bias"] = normal(channels[before]) * 0.1 + 1
            taps = [6 * up, 6 * down]
            if not image:
                t[f"{key}.up_filter"] = torch.tensor(lowpass(
                    taps[0], cutoff=cutoffs[before], half_width=widths[before],
                    sampling_rate=rate)).float()  # fmt: skip
                t[f"{key}.down_filter"] = torch.tensor(lowpass(
                    taps[1], cutoff=cutoffs[n], half_width=widths[n], sampling_rate=rate,
                    radial=radial and n < last)).float()  # fmt: skip
            else:
                taps = [1, 1]
            total = (sizes[n] - 1) * down + 1 - (sizes[before] + size - 1) * up + sum(taps) - 2
            lo = (total + up) // 2
            how = {"up": int(up), "down": int(down), "lo": int(lo), "hi": int(total - lo),
                   "image": image, "size": size}  # fmt: skip
            self.layers.append((name, how))
        self.tensors = t
        self.cutoff, self.rate, self.size = float(cutoffs[0]), int(rates[0]), int(sizes[0])
        self.state = {
            "z_dim": z_dim, "c_dim": classes, "w_dim": w_dim,
            "_init_kwargs": {"channel_base": float(base), "channel_max": most, "num_layers": layers,
                             "conv_kernel": kernel, "use_radial_filters": radial},
            "_modules": {
                "synthesis": module({"margin_size": 10, "output_scale": 0.25, "num_critical": 2,
                                     "_modules": {"input": module({"bandwidth": 2}),
                                                  self.layers[0][0]: module({"conv_clamp": clamp})},
                                     }),
                "mapping": Record("m", "Mapping", state={"w_avg_beta": 0.99, "_modules": {}}),
            },
        }  # fmt: skip

    def double(self, name: str) -> Tensor:
        return self.tensors[name].double()

    def dense(self, x: Tensor, name: str, multiplier: float = 1) -> Tensor:
        weight = self.double(f"{name}.weight")
        y = x @ weight.T * multiplier / math.sqrt(weight.shape[1])
        return y + self.double(f"{name}.bias") * multiplier

    def mapping(self, z: Tensor, label: int | None) -> Tensor:
        def unit(x: Tensor) -> Tensor:
            return x * (x.square().mean() + 1e-8).rsqrt()

        x = unit(z.double())
        if label is not None:
            one_hot = torch.eye(self.classes, dtype=torch.float64)[label]
            x = torch.cat([x, unit(self.dense(one_hot, "mapping.embed"))])
        for layer in range(2):
            x = leaky_relu(self.dense(x, f"mapping.fc{layer}", 0.01), 0.2) * math.sqrt(2)
        return x

    def input(self, w: Tensor) -> Tensor:
        t = self.dense(w, "synthesis.input.affine")
        t = t / t[:2].norm()
        turn, move = torch.eye(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
        turn[:2, :2] = torch.stack([torch.stack([t[0], -t[1]]), torch.stack([t[1], t[0]])])
        move[:2, 2] = -t[2:]
        whole = turn @ move @ self.double("synthesis.input.transform")
        freqs, weight = self.double("synthesis.input.freqs"), self.double("synthesis.input.weight")
        phases = self.double("synthesis.input.phases") + freqs @ whole[:2, 2]
        freqs = freqs @ whole[:2, :2]
        amplitude = 1 - (freqs.norm(dim=1) - self.cutoff) / (self.rate / 2 - self.cutoff)
        half = self.size / self.rate / 2
        theta = torch.tensor([[[half, 0, 0], [0, half, 0]]], dtype=torch.float64)
        grid = affine_grid(theta, [1, 1, self.size, self.size], align_corners=False)[0]
        x = torch.sin((grid @ freqs.T + phases) * 2 * math.pi) * amplitude.clamp(0, 1)
        return (x @ (weight / math.sqrt(len(weight))).T).permute(2, 0, 1)[None]

    def image(self, ws: Tensor) -> Tensor:
        x = self.input(ws[0])
        for (name, how), w in zip(self.layers, ws[1:], strict=True):
            key = f"synthesis.{name}"
            weight, bias = self.double(f"{key}.weight"), self.double(f"{key}.bias")
            style = self.dense(w, f"{key}.affine")
            if how["image"]:
                weight = weight * style[:, None, None] / math.sqrt(weight.shape[1])
            else:
                weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
                weight = weight * (style * style.square().mean().rsqrt())[:, None, None]
                norm = weight.square().sum((1, 2, 3), keepdim=True)
                weight = weight * (norm + 1e-8).rsqrt()
            weight = weight * self.double(f"{key}.magnitude_ema").rsqrt()
            x = conv2d(x, weight, padding=how["size"] - 1) + bias[:, None, None]
            if how["image"]:
                return x[0].clamp(-self.clamp, self.clamp) * 0.25
            up, lo, hi = how["up"], how["lo"], how["hi"]
            x = resampled(x, self.double(f"{key}.up_filter"), up=up, lo=lo, hi=hi, gain=up**2)
            x = (leaky_relu(x, 0.2) * math.sqrt(2)).clamp(-self.clamp, self.clamp)
            x = resampled(x, self.double(f"{key}.down_filter"), down=how["down"], lo=0, hi=0)
        raise AssertionError("no layer to the image")


def module(state: dict[str, Any]) -> Record:
    """A module of a file."""
    meta = {"class_name": "Module", "module_src": "", "state": state}
    return Record("torch_utils.persistence", "_reconstruct_persistent_obj", (meta,))


def converted(original: Original) -> Generator:
    network = convert(original.state, original.tensors)
    assert network.part == "stylegan3"
    G = Generator(config_from_dict(StyleGAN3GeneratorConfig, network.config, where="config"))
    G.load_state_dict(dict(network.state))
    return G.eval()


ORIGINALS = {
    "T": {"resolution": 16},
    "R": {"resolution": 16, "kernel": 1, "radial": True, "layers": 9},
    "conditional, gray": {"resolution": 16, "classes": 3, "colours": 1, "layers": 6},
    "few layers, clamped": {"resolution": 64, "layers": 4, "clamp": 1.5},
    "R in few layers": {"resolution": 64, "layers": 4, "kernel": 1, "radial": True},
}


@pytest.mark.parametrize("settings", ORIGINALS.values(), ids=ORIGINALS)
def test_images_of_a_converted_network_are_the_originals(settings: dict[str, Any]) -> None:
    original = Original(**settings)
    G = converted(original)
    assert G.num_ws == len(original.layers) + 1 and G.config.w_avg_beta == 0.99
    torch.manual_seed(1)
    z = torch.randn(3, 5)
    labels = torch.tensor([2, 0, 1]) if G.num_classes else None
    ws = [original.mapping(z[k], None if labels is None else int(labels[k])) for k in range(3)]
    w_avg = original.double("mapping.w_avg")
    with torch.no_grad():
        images = G(z, labels)
        styled = G(z, labels, truncation=0.6, truncation_cutoff=2, mix=(z.flip(0), 4))
        # a label belongs to its image, not to z
        other = G.mapping(z.flip(0), labels).double()
        laid_out = G.to(memory_format=torch.channels_last)(z, labels)
    assert float(images.std()) > 0.01
    for k in range(3):
        full = ws[k].repeat(G.num_ws, 1)
        torch.testing.assert_close(G.mapping(z, labels)[k].double(), full, rtol=0, atol=1e-5)
        mixed = torch.cat([full[:4], other[k, 4:]])
        mixed[:2] = w_avg + 0.6 * (mixed[:2] - w_avg)
        expected = original.image(full).float()
        torch.testing.assert_close(images[k], expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(laid_out[k], expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(styled[k], original.image(mixed).float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("settings", [{"clamp": 1.0}, {"kernel": 1, "radial": True}])
def test_gradients_are_those_of_the_plain_restatement(settings: dict[str, Any]) -> None:
    original = Original(resolution=16, layers=4, **settings)
    G = converted(original).double().to(memory_format=torch.channels_last)
    names = targets(original.tensors)
    learnt = {n for n, _ in G.named_parameters()}
    learnt = {theirs for theirs, ours in names.items() if ours in learnt}
    for name in learnt:
        original.tensors[name].requires_grad_()
    torch.manual_seed(0)
    z, upstream = torch.randn(2, 5).double(), torch.randn(2, 3, 16, 16).double()
    plain = torch.stack([original.image(original.mapping(x, None).repeat(6, 1)) for x in z])
    (plain * upstream).sum().backward()
    (G(z) * upstream).sum().backward()
    parameters = dict(G.named_parameters())
    for name in learnt:
        theirs, ours = original.tensors[name].grad, parameters[names[name]].grad
        assert theirs is not None and ours is not None
        off = (ours.flatten() - theirs.flatten()).norm()
        assert off < 1e-5 * theirs.norm() + 1e-8, name


def test_gradients_of_gradients_are_those_of_the_plain_restatement() -> None:
    """As path length regularisation takes them."""
    original = Original(resolution=16, layers=3, kernel=1, radial=True, clamp=1.0)
    G = converted(original).double()
    name = next(name for name in original.tensors if name.endswith("L1_36_6.weight"))
    theirs, ours = original.tensors[name].requires_grad_(), G.layers[1].weight
    torch.manual_seed(0)
    y, found = torch.randn(1, 3, 16, 16).double(), []
    for synthesis, weight in ((lambda ws: original.image(ws[0]), theirs), (G.synthesis, ours)):
        ws = torch.randn(1, 5, 7, generator=torch.Generator().manual_seed(0)).double()
        ws.requires_grad_()
        (slope,) = torch.autograd.grad((synthesis(ws) * y).sum(), ws, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), weight)[0].double())
    assert bool(found[0].any())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-7)


def test_conversion_takes_the_filters_of_the_file() -> None:
    original = Original(resolution=16, layers=4)
    name = next(n for n in original.tensors if n.endswith("L1_36_6.down_filter"))
    original.tensors[name] = torch.arange(12.0) / 66
    G = converted(original)
    assert torch.equal(G.layers[1].down_filter, torch.arange(12.0) / 66)
    (magnitude,) = (t for n, t in original.tensors.items() if re.search(r"L2_.*magnitude", n))
    assert torch.equal(G.magnitudes[2], magnitude)


def test_every_tensor_of_the_file_has_a_place() -> None:
    original = Original(resolution=16, layers=4, classes=2)
    names = targets(original.tensors)
    assert set(names.values()) == set(converted(original).state_dict())
    assert names["mapping.embed.bias"] == "mapper.embed.bias"
    assert targets(["mapping.other", "synthesis.b4.const"]) == {
        "mapping.other": "", "synthesis.b4.const": ""}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o.tensors.pop("synthesis.input.freqs"), "no tensor for 'input.freqs'"),
        (lambda o: o.tensors.pop("mapping.fc0.weight"), "no tensor 'mapping.fc0.weight'"),
        (lambda o: o.tensors.update({"synthesis.b4.const": torch.ones(2)}), "'synthesis.b4.const'"),
        (lambda o: o.tensors.update({"synthesis.input.phases": torch.ones(2)}),
         r"\[2\] for 'input.phases'"),
        (lambda o: o.state["_init_kwargs"].update(channel_max=5),
         "its layer L0_36_6 would be L0_36_5 by its settings"),
        (lambda o: o.state["_init_kwargs"].update(lrelu_upsampling=4), "lrelu_upsampling 4"),
        (lambda o: o.state["_init_kwargs"].update(first_stopband="wide"), "= 'wide' is no"),
        (lambda o: o.state["_init_kwargs"].update(first_stopband=1.0), "first_stopband = 1.0"),
        (lambda o: o.state["_init_kwargs"].update(channel_base=math.inf), "channel_base = inf"),
        (lambda o: o.tensors["synthesis.input.transform"][2].fill_(1), "transform of the input"),
        (lambda o: o.tensors.clear(), "its layers are missing"),
        (lambda o: [o.tensors.pop(n) for n in list(o.tensors) if "L1_" in n], "its layers are L0_"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(change: Any, message: str) -> None:
    original = Original(resolution=16, layers=4)
    change(original)
    with pytest.raises(InputError, match=message) as caught:
        convert(original.state, original.tensors)
    assert "\n" not in str(caught.value) and caught.value.remedy


def test_defaults_are_the_programs_where_a_file_is_silent() -> None:
    original = Original(resolution=16, layers=4)
    network = convert({"_init_kwargs": original.state["_init_kwargs"]}, original.tensors)
    config = config_from_dict(StyleGAN3GeneratorConfig, network.config, where="config")
    assert (config.conv_clamp, config.output_scale, config.w_avg_beta) == (256, 0.25, 0.998)
    assert (config.margin, config.critical_layers, config.first_cutoff) == (10, 2, 2)


# -- a file, as the program writes it --------------------------------------------------------------


BUFFERS = (
    "freqs", "phases", "transform", "w_avg", "magnitude_ema", "up_filter", "down_filter",
)  # fmt: skip


def pickled(original: Original) -> Obj:
    """Its modules, with what torch and the program keep in each besides tensors."""

    def make(kind: str, **attributes: Any) -> Obj:
        own = {name: value for name, value in nn.Module().__dict__.items() if name[0] == "_"}
        return Obj(kind, **{**own, **attributes, "_init_args": (), "_init_kwargs": EasyDict()})

    numbers = {name: original.state[name] for name in ("z_dim", "c_dim", "w_dim")}
    G = make("Generator", **numbers, img_resolution=16, img_channels=3, num_ws=16)
    G.state["_init_kwargs"] = EasyDict(original.state["_init_kwargs"])
    synthesis = make("SynthesisNetwork", margin_size=10, output_scale=0.25, num_critical=2,
                     layer_names=[name for name, _ in original.layers])  # fmt: skip

    def pair(size: int) -> np.ndarray:
        return np.broadcast_to(np.asarray(size), [2])

    size = pair(original.size)
    features = make("SynthesisInput", bandwidth=np.float64(2), size=size, sampling_rate=16)
    mapping = make("MappingNetwork", w_avg_beta=0.99, num_layers=2)
    for number in range(2):
        inputs = original.tensors[f"mapping.fc{number}.weight"].shape[1]
        dense = make("FullyConnectedLayer", activation="lrelu", bias_gain=0.01,
                     weight_gain=np.float64(0.01 / math.sqrt(inputs)))  # fmt: skip
        mapping.add(**{f"fc{number}": dense})
    synthesis.add(input=features)
    for name, how in original.layers:
        before, size = size, pair(int(name.split("_")[1]))
        padding = [how["lo"], how["hi"], how["lo"], how["hi"]]
        layer = make("SynthesisLayer", conv_clamp=256, in_size=before, out_size=size,
                     up_factor=how["up"], down_factor=how["down"], padding=padding,
                     is_torgb=how["image"], use_fp16=True)  # fmt: skip
        synthesis.add(**{name: layer})
        if how["image"]:
            layer.state["_buffers"] |= {"up_filter": None, "down_filter": None}
    for child in synthesis.state["_modules"].values():
        child.add(affine=make("FullyConnectedLayer", activation="linear", bias_gain=1))
    G.add(synthesis=synthesis, mapping=mapping)
    for name, tensor in original.tensors.items():
        *path, leaf = name.split(".")
        owner = G
        for step in path:
            owner = owner.state["_modules"][step]
        kind = "_buffers" if leaf in BUFFERS else "_parameters"
        owner.state[kind][leaf] = tensor if leaf in BUFFERS else nn.Parameter(tensor)
    return G


@pytest.mark.parametrize(
    ("layer", "says", "message"),
    [
        ("L2_36_6", {"padding": [9, 8, 8, 9]}, r"L2_36_6 has padding \[9, 8, 8, 9\], where"),
        ("L2_36_6", {"up_factor": 4}, "its L2_36_6 has up_factor 4, where ours has 2"),
        ("L1_36_6", {"in_size": np.asarray([36, 38])}, r"its L1_36_6 has in_size .*ours has 36"),
        ("L3_16_6", {"conv_clamp": None}, "its L3_16_6 has conv_clamp None, where ours has 256"),
        ("L4_16_3", {"conv_clamp": [[1]]}, r"its L4_16_3 has conv_clamp \[\[1\]\], where"),
        ("input", {"sampling_rate": 32.0}, "its input has sampling_rate 32.0, where ours has 16"),
    ],
)  # fmt: skip
def test_layers_that_say_otherwise_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layer: str,
    says: dict[str, Any],
    message: str,
) -> None:
    name_modules(monkeypatch)
    G = pickled(Original(resolution=16, layers=4))
    G.synthesis.state["_modules"][layer].state |= says
    path = tmp_path / "network-snapshot.pkl"
    path.write_bytes(pickle.dumps({"G_ema": G}))
    with pytest.raises(InputError, match=message):
        ganzoo.import_checkpoint(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_layers_of_another_scale_or_activation_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_modules(monkeypatch)
    path = tmp_path / "network-snapshot.pkl"
    for says, message in (
        ({"activation": "relu"}, "G_ema.mapping.fc1 has the activation 'relu'"),
        ({"weight_gain": 1.0}, "G_ema.mapping.fc1 scales its weight by 1"),
        ({"bias_gain": 0.02, "weight_gain": 0.02 / math.sqrt(7)}, "fc0 has bias_gain 0.01, .*fc1"),
    ):
        G = pickled(Original(resolution=16, layers=4))
        G.mapping.fc1.state |= says
        path.write_bytes(pickle.dumps({"G_ema": G}))
        with pytest.raises(InputError, match=message):
            ganzoo.import_checkpoint(path, tmp_path / "out")


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_file_of_the_program_becomes_a_model_folder(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_modules(monkeypatch)
    original = Original(resolution=16)
    G, D = pickled(original), discriminator(widths=[4, 5, 3], clamp=256)
    content = {"G": G, "D": D, "G_ema": G, "augment_pipe": None,
               "training_set_kwargs": EasyDict(resolution=16)}  # fmt: skip
    path, out = tmp_path / "network-snapshot-025000.pkl", tmp_path / "model"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    result = CliRunner().invoke(main, ["import", str(path), "-o", str(out), "--json"])
    assert result.exit_code == 0, result.output
    (facts,) = json.loads(result.stdout)
    assert (facts["family"], facts["program"]) == ("stylegan-nvidia", "NVlabs/stylegan3")
    assert facts["license"] == "NVIDIA Source Code License for StyleGAN3"
    record = provenance.read_record(out / "samples.png")
    assert record is not None and record["seeds"] == "0-3"  # it is slow
    ours, z = ganzoo.load(out), torch.randn(2, 5)
    for k, image in enumerate(ours(z)):
        w = original.mapping(z[k], None).repeat(16, 1)
        torch.testing.assert_close(image, original.image(w).float(), rtol=0, atol=1e-4)
    x = torch.randn(4, 3, 16, 16)
    expected = run_discriminator(D, x.double(), None)
    scores = ganzoo.load_discriminator(out)(x)
    torch.testing.assert_close(scores.double(), expected, rtol=1e-3, atol=1e-5)
