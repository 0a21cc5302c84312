"""StyleGAN3: filters against SciPy's, schedules against the paper's numbers, images against a
restatement of the original by zero insertion and whole 2D filters, equivariance, and conversion."""

from __future__ import annotations

import math
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

from ganzoo import checkpoint
from ganzoo.cli import main
from ganzoo.configs import config_from_dict
from ganzoo.errors import ConfigError, InputError
from ganzoo.importing.tree import Record
from ganzoo.rng import Draws

SMALL: dict[str, Any] = {"z_dim": 5, "w_dim": 7, "channel_base": 128, "channel_max": 12}
R: dict[str, Any] = {"conv_kernel": 1, "radial_filters": True}


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


# -- the schedule ----------------------------------------------------------------------------------


def bands(resolution: int, **settings: Any) -> Any:
    return StyleGAN3GeneratorConfig((3, resolution, resolution), **settings).bands


def test_the_layers_of_ffhq_at_1024_are_the_papers() -> None:
    """Figure 4 and appendix C: N = 14, cutoffs from 2 to 512, stopbands from 2^2.1 to 512 2^0.3;
    sizes and channels as the published networks name their layers."""
    found = bands(1024)
    named = [(band.size, band.channels) for band in found]
    assert named == [
        (36, 512), (36, 512), (52, 512), (52, 512), (84, 512), (148, 512), (148, 512), (276, 323),
        (276, 203), (532, 128), (1044, 81), (1044, 51), (1044, 32), (1024, 32), (1024, 3),
    ]  # fmt: skip
    doubled = [band.channels for band in bands(1024, channel_base=65536, channel_max=1024)]
    assert doubled == [1024] * 7 + [645, 406, 256, 161, 102, 64, 64, 3]
    for k, band in enumerate(found):
        grown = min(k / 12, 1)
        assert band.cutoff == pytest.approx(2 * 256**grown)
        stopband = 2**2.1 * (512 * 2**0.3 / 2**2.1) ** grown
        nyquist = band.sampling_rate / 2
        assert band.half_width == pytest.approx(max(stopband, nyquist) - band.cutoff)
        # the rate is the lowest power of two that the stopband fits under, or the image's
        assert nyquist >= stopband > nyquist / 2 or (nyquist == 512 < stopband)
        assert band.critical == (band.cutoff == nyquist) == (k >= 12)


def test_the_sizes_at_256_follow_the_same_rule() -> None:
    rates = [band.sampling_rate for band in bands(256)]
    sizes = [band.size for band in bands(256)]
    # 2 f_t = 2^(3.1 + 0.433 k), up to the next power of two
    assert rates == [16, 16, 16, 32, 32, 64, 64, 128, 128, 128, 256, 256, 256, 256, 256]
    assert sizes == [36, 36, 36, 52, 52, 84, 84, 148, 148, 148, 276, 276, 276, 256, 256]
    assert [band.channels for band in bands(256)][-6:] == [362, 256, 181, 128, 128, 3]


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 512])
@pytest.mark.parametrize("layers", [3, 6, 14])
def test_any_power_of_two_with_any_number_of_layers(resolution: int, layers: int) -> None:
    found = bands(resolution, layers=layers)
    rates = [band.sampling_rate for band in found]
    assert len(found) == layers + 1 and rates == sorted(rates) and rates[-1] == resolution
    assert all(band.half_width > 0 for band in found)
    assert found[-1].size == found[-2].size == resolution


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"image_shape": (3, 28, 28)}, "no square of a power of two"),
        ({"image_shape": (3, 4, 4)}, "no square of a power of two"),
        ({"layers": 1}, "layers = 1"),
        ({"critical_layers": 14}, "critical_layers = 14"),
        ({"critical_layers": 0}, "critical_layers = 0"),
        ({"first_cutoff": 9.0}, "first_cutoff = 9.0"),
        ({"first_cutoff": 5.0}, "first_stopband = .* is not above first_cutoff"),
        ({"first_stopband": 40.0}, "first_stopband = 40.0"),
        ({"last_stopband": 1.0}, "last_stopband"),
        ({"margin": -1}, "margin"),
        ({"filter_size": 0}, "filter_size"),
        ({"conv_clamp": 0.0}, "conv_clamp"),
        ({"output_scale": 0.0}, "output_scale"),
        ({"magnitude_half_life_kimg": 0.0}, "magnitude_half_life_kimg"),
        ({"w_dim": 0}, "w_dim"),
        ({"mapping_layers": 0}, "mapping_layers"),
        ({"style_mixing": 2.0}, "style_mixing"),
        ({"w_avg_beta": 2.0}, "w_avg_beta"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        StyleGAN3GeneratorConfig(**{"image_shape": (3, 16, 16), **settings})


def test_parameters_are_the_papers() -> None:
    """The paper counts 22.3 million in configuration T at 1024x1024."""
    with torch.device("meta"):
        G = Generator(StyleGAN3GeneratorConfig((3, 1024, 1024)))
    assert sum(p.numel() for p in G.parameters()) == pytest.approx(22.3e6, rel=2e-3)
    assert G.num_ws == 16


# -- the original, restated ------------------------------------------------------------------------


class Original:
    """The published network, by its own names and layout, in float64: facts of the paper and of
    the files, one image at a time, with whole 2D filters and zeros between pixels."""

    def __init__(self, resolution: int, *, kernel: int = 3, radial: bool = False,
                 classes: int = 0, colours: int = 3, layers: int = 14, base: int = 128,
                 most: int = 6, z_dim: int = 5, w_dim: int = 7, clamp: float = 256) -> None:  # fmt: skip
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


def test_conversion_takes_the_filters_of_the_file() -> None:
    original = Original(resolution=16, layers=4)
    name = next(n for n in original.tensors if n.endswith("L1_36_6.down_filter"))
    original.tensors[name] = torch.arange(12.0) / 66
    G = converted(original)
    assert torch.equal(G.layers[1].down_filter, torch.arange(12.0) / 66)
    assert torch.equal(G.magnitudes[2], next(
        t for n, t in original.tensors.items() if "L2_" in n and n.endswith("magnitude_ema")))  # fmt: skip


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
        (lambda o: o.state["_init_kwargs"].update(first_stopband="wide"), "first_stopband = 'wide'"),
        (lambda o: o.state["_init_kwargs"].update(first_stopband=1.0), "first_stopband = 1.0"),
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


# -- equivariance ----------------------------------------------------------------------------------


def random_network(**settings: Any) -> Generator:
    torch.manual_seed(0)
    G = Generator(StyleGAN3GeneratorConfig(**{**SMALL, "image_shape": (3, 16, 16), **settings}))
    return G.eval().requires_grad_(False)


def transformed(G: Generator, z: Tensor, transform: list[list[float]]) -> Tensor:
    before = G.input.transform.clone()
    G.input.transform.copy_(torch.tensor(transform))
    images = G(z)
    G.input.transform.copy_(before)
    return images


def psnr(a: Tensor, b: Tensor, reference: Tensor) -> float:
    """In decibels, of the largest difference of two values of the reference."""
    peak = reference.max() - reference.min()
    return float(20 * peak.log10() - 10 * (a - b).square().mean().log10())


@pytest.mark.parametrize("config", [{}, R], ids=["T", "R"])
def test_a_shift_of_the_waves_by_pixels_shifts_the_image(config: dict[str, Any]) -> None:
    """By 4 of 32 pixels right and 2 up: whole pixels of every layer but the coarsest, of 16."""
    G = random_network(image_shape=(3, 32, 32), layers=8, **config)
    z = torch.randn(2, 5)
    still = G(z)
    # what was at x is at x + 1/8: the waves at p are those that were at p - (1/8, -1/16)
    moved = transformed(G, z, [[1, 0, -4 / 32], [0, 1, 2 / 32], [0, 0, 1]])
    a, b = moved[:, :, 2:28, 6:30], still[:, :, 4:30, 2:26]
    assert psnr(a, b, still) > 60
    assert psnr(moved, still, still) < 40  # it does move


@pytest.mark.parametrize(("config", "equivariant"), [(R, True), ({}, False)], ids=["R", "T"])
def test_a_quarter_turn_of_the_waves_turns_the_image_of_r(
    config: dict[str, Any], equivariant: bool
) -> None:
    G = random_network(image_shape=(3, 32, 32), layers=8, **config)
    z = torch.randn(2, 5)
    still, turned = G(z), transformed(G, z, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    quality = max(psnr(turned, still.rot90(k, (2, 3)), still) for k in (1, 3))
    assert (quality > 60) == equivariant, quality


def test_w_turns_and_moves_the_waves_as_the_transform_does() -> None:
    G = random_network()
    z = torch.randn(2, 5)
    expected = transformed(G, z, [[0.6, -0.8, 0.1], [0.8, 0.6, -0.2], [0, 0, 1]])
    # w turns what the transform gives: with t shifted first, by the negative
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    shift = -(turn.T @ torch.tensor([0.1, -0.2]))
    G.input.affine.bias.copy_(torch.tensor([0.6, 0.8, *shift]) * 3)  # of any length
    torch.testing.assert_close(G(z), expected, rtol=0, atol=1e-5)


def test_waves_fill_the_disc_of_the_first_band() -> None:
    G = random_network(channel_base=2**16, channel_max=1024, layers=3)
    radius = G.input.freqs.norm(dim=1) / 2
    assert float(radius.max()) < 1
    share = (radius[:, None] < torch.tensor([0.25, 0.5, 0.75])).float().mean(0)
    torch.testing.assert_close(share, torch.tensor([0.0625, 0.25, 0.5625]), rtol=0, atol=0.03)
    assert bool((G.input.phases.abs() <= 0.5).all())


# -- options and training --------------------------------------------------------------------------


def test_an_image_does_not_depend_on_its_mates() -> None:
    G = random_network(layers=5, num_classes=2)
    z, labels = torch.randn(4, 5) * torch.tensor([1, 2, 3, 4])[:, None], torch.tensor([0, 1, 0, 1])
    for parameter in G.layers.parameters():
        parameter.mul_(torch.rand_like(parameter) + 0.5)
    together = G(z, labels)
    for k in range(4):
        alone = G(z[k : k + 1], labels[k : k + 1])
        torch.testing.assert_close(together[k : k + 1], alone, rtol=0, atol=1e-6)


def test_it_has_no_noise_and_its_layers_are_bounded() -> None:
    G = random_network(layers=4)
    z = torch.randn(2, 5)
    with pytest.raises(TypeError):
        G(z, noise="random")
    with pytest.raises(InputError, match="truncation_cutoff 7 is out of range: use 0 to 6"):
        G(z, truncation=0.5, truncation_cutoff=7)
    assert torch.equal(G(z, mix=(z.flip(0), 6)), G(z))
    G.w_avg.normal_()
    flat = G(z, truncation=0.0)
    torch.testing.assert_close(flat[0], flat[1])


def test_magnitudes_follow_training_alone_at_their_half_life() -> None:
    G = random_network(layers=4, magnitude_half_life_kimg=0.016)
    z = torch.randn(8, 5)
    G(z)
    assert torch.equal(G.magnitudes, torch.ones(5))
    seen: list[Tensor] = []
    for layer in [*G.layers, G.to_image]:
        layer.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].square().mean()) or None
        )
    G.train_forward(z, None, Draws(0, "test", 0))  # 8 of 16 images: a factor of sqrt(0.5)
    decay = 0.5**0.5
    torch.testing.assert_close(G.magnitudes, decay + (1 - decay) * torch.stack(seen))
    before = G.magnitudes.clone()
    seen.clear()
    G.train_forward(z, None, Draws(0, "test", 1, world=2))
    torch.testing.assert_close(G.magnitudes, 0.5 * (before + torch.stack(seen)))
    assert set(G.shared_buffers) == {"w_avg", "magnitudes"}


def test_mixed_precision_keeps_w_and_styles_exact() -> None:
    G = random_network(layers=6)
    z = torch.randn(4, 5)
    exact, ws = G(z), G.mapping(z)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(G.mapping(z), ws)
        images = G(z)
    assert images.dtype == torch.float32
    assert 0 < (images - exact).abs().max() < 0.05 * exact.abs().max()


def test_channels_last_stays_channels_last_forward_and_backward() -> None:
    G = random_network(layers=5).requires_grad_(True).to(memory_format=torch.channels_last)
    seen: dict[str, bool] = {}

    def follow(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            seen[name] = output.is_contiguous(memory_format=torch.channels_last)
            output.register_hook(
                lambda g: seen.update(
                    {f"{name}, back": g.is_contiguous(memory_format=torch.channels_last)}
                )
            )

        return hook

    for k, layer in enumerate([G.input, *G.layers]):
        layer.register_forward_hook(follow(str(k)))
    with torch.autocast("cpu", torch.bfloat16):
        images = G.train_forward(torch.randn(4, 5), None, Draws(0, "test", 0))
    images.square().sum().backward()
    assert len(seen) == 12 and all(seen.values()), seen
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in G.parameters())


def test_the_recipe_trains_and_its_average_has_the_magnitudes(tmp_path: Path) -> None:
    """Two steps with narrow layers, of configuration R; then images with styles of another seed."""
    narrow = ["generator.z_dim=8", "generator.w_dim=8", "generator.layers=4", "batch=4",
              "generator.channel_max=4", "discriminator.channel_max=4", "generator.conv_kernel=1",
              "generator.radial_filters=true", "data.resolution=16"]  # fmt: skip
    run = tmp_path / "run"
    command = ["train", "stylegan3.nouns", "--data", "shapes?n=16&size=16", "--out", run,
               "--steps", 2, *(word for name in narrow for word in ("--set", name))]  # fmt: skip
    result = CliRunner().invoke(main, [str(word) for word in command])
    assert result.exit_code == 0, result.output
    G = checkpoint.load_generator(run / "model")
    assert G.config.conv_kernel == 1 and G.layers[0].down_filter.shape == (12, 12)
    assert bool((G.magnitudes != 1).all()) and bool(G.w_avg.any())
    path = tmp_path / "grid.png"
    command = ["generate", run, "-n", 2, "--truncation", 0.7, "--mix", "9:3", "-o", path]
    result = CliRunner().invoke(main, [str(word) for word in command])
    assert result.exit_code == 0 and path.exists(), result.output
