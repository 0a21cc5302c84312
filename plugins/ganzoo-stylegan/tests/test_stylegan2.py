"""StyleGAN2: its networks against the paper's equations in NumPy, image by image, and the kit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ganzoo_stylegan.config import (
    StyleGAN2DiscriminatorConfig,
    StyleGAN2GeneratorConfig,
)
from ganzoo_stylegan.stylegan2 import Discriminator, Generator
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad

from ganzoo.errors import ConfigError, InputError
from ganzoo.rng import Draws, SeedNoise
from ganzoo.testing import parametrize_with_checks


@parametrize_with_checks("ganzoo-stylegan")
def test_conformance(check) -> None:
    check()


# -- the equations, in float64 and with loops ------------------------------------------------------

Array = np.ndarray
FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def upfirdn(
    x: Array, *, up: int = 1, down: int = 1, pad: tuple[int, int], gain: float = 1
) -> Array:
    """Zeros between the pixels of x (C, H, W), zeros around, the filter, every down-th pixel."""
    channels, height, width = x.shape
    spread = np.zeros((channels, height * up, width * up))
    spread[:, ::up, ::up] = x
    spread = np.pad(spread, ((0, 0), pad, pad))
    return correlate_each(spread, FIR[::-1, ::-1] * gain)[:, ::down, ::down]


def correlate_each(x: Array, kernel: Array) -> Array:
    size = len(kernel)
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    return sum(
        kernel[i, j] * x[:, i : i + height, j : j + width] for i in range(size) for j in range(size)
    )


def correlate(x: Array, weight: Array, *, pad: int = 0, stride: int = 1) -> Array:
    """x (I, H, W), weight (O, I, k, k)."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    size = weight.shape[-1]
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    out = sum(
        np.einsum("oi,ihw->ohw", weight[:, :, i, j], x[:, i : i + height, j : j + width])
        for i in range(size)
        for j in range(size)
    )
    return out[:, ::stride, ::stride]


def transposed(x: Array, weight: Array) -> Array:
    """Each pixel of x (I, H, W) places the weight (O, I, 3, 3) at twice its coordinates."""
    _, height, width = x.shape
    out = np.zeros((len(weight), 2 * height + 1, 2 * width + 1))
    for row in range(height):
        for column in range(width):
            patch = np.einsum("oiab,i->oab", weight, x[:, row, column])
            out[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += patch
    return out


def lrelu(x: Array, gain: float = 1.0, clamp: float | None = None) -> Array:
    x = np.where(x > 0, x, 0.2 * x) * np.sqrt(2) * gain
    return x if clamp is None else x.clip(-clamp * gain, clamp * gain)


def unit(x: Array) -> Array:
    return x / np.sqrt((x**2).mean() + 1e-8)


class Naive:
    """A network as its arrays."""

    def __init__(self, network: nn.Module) -> None:
        self.config: Any = network.config
        self.arrays = {k: v.detach().double().numpy() for k, v in network.state_dict().items()}

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def dense(self, x: Array, name: str, lr: float = 1.0) -> Array:
        weight = self[f"{name}.weight"]
        return weight @ x * lr / np.sqrt(weight.shape[1]) + self[f"{name}.bias"] * lr

    def mapping(self, z: Array | None, label: int | None) -> Array:
        parts = [] if z is None else [unit(z)]
        if label is not None:
            embedding = self.dense(np.eye(self.config.num_classes)[label], "mapper.embed")
            parts.append(unit(embedding))
        x = np.concatenate(parts)
        for k in range(self.config.mapping_layers):
            x = lrelu(self.dense(x, f"mapper.layers.{k}", self.config.mapping_lr_multiplier))
        return x

    def image(self, ws: Array, maps: list[Array]) -> Array:
        clamp, architecture = self.config.conv_clamp, self.config.architecture
        x, image = self["const"][0], np.zeros(())
        for layer in range(len(ws) - 1):
            gain = 1.0
            if architecture == "resnet" and layer % 2:
                past = np.einsum("oi,ihw->ohw", self[f"skips.{layer // 2}.weight"][:, :, 0, 0], x)
                past = upfirdn(past, up=2, pad=(2, 1), gain=4) / np.sqrt(2 * len(x))
            elif architecture == "resnet" and layer:
                gain = 0.5**0.5
            name = f"convs.{layer}"
            style = self.dense(ws[layer], f"{name}.affine")
            weight = self[f"{name}.weight"] * style[None, :, None, None]
            weight /= np.sqrt((weight**2).sum((1, 2, 3), keepdims=True) + 1e-8)
            if layer % 2:
                x = upfirdn(transposed(x, weight), pad=(1, 1), gain=4)
            else:
                x = correlate(x, weight, pad=1)
            x = x + self[f"{name}.noise_strength"] * maps[layer]
            x = lrelu(x + self[f"{name}.bias"][:, None, None], gain, clamp)
            if architecture == "resnet" and layer and layer % 2 == 0:
                x = x + past
            last = layer == len(ws) - 2
            if layer % 2 == 0 and (last or architecture == "skip"):
                name = f"to_images.{layer // 2 if architecture == 'skip' else 0}"
                style = self.dense(ws[layer + 1], f"{name}.affine") / np.sqrt(len(x))
                rgb = np.einsum("oi,ihw->ohw", self[f"{name}.weight"] * style, x)
                rgb = rgb + self[f"{name}.bias"][:, None, None]
                if clamp is not None:
                    rgb = rgb.clip(-clamp, clamp)
                image = rgb + (upfirdn(image, up=2, pad=(2, 1), gain=4) if image.ndim else 0)
        return image

    def conv(self, x: Array, name: str, *, down: bool = False, clamped: bool = True,
             gain: float = 1.0, linear: bool = False) -> Array:  # fmt: skip
        weight = self[f"{name}.weight"] / np.sqrt(self[f"{name}.weight"][0].size)
        size = weight.shape[-1]
        if down and size == 1:
            x = upfirdn(x, down=2, pad=(1, 1))
        elif down:
            x = upfirdn(x, pad=(2, 2))
        stride = 2 if down and size == 3 else 1
        x = correlate(x, weight, pad=0 if down else size // 2, stride=stride)
        if linear:
            return x * gain
        clamp = self.config.conv_clamp if clamped else None
        return lrelu(x + self[f"{name}.bias"][:, None, None], gain, clamp)

    def scores(self, images: Array, labels: list[int] | None) -> Array:
        config = self.config
        n, blocks = len(images), len(config.widths) - 1
        residual, skips = config.architecture == "resnet", config.architecture == "skip"
        features = []
        for image in images:
            x = self.conv(image, "from_image")
            for k in range(blocks):
                y = self.conv(x, f"blocks.{k}.conv0")
                y = self.conv(y, f"blocks.{k}.conv1", down=True, gain=0.5**0.5 if residual else 1)
                if residual:
                    how = {"down": True, "gain": 0.5**0.5, "linear": True}
                    y = y + self.conv(x, f"blocks.{k}.skip", **how)
                if skips:
                    image = upfirdn(image, down=2, pad=(1, 1))
                    y = y + self.conv(image, f"from_images.{k}", clamped=k < blocks - 1)
                x = y
            features.append(x)
        group, out = config.mbstd_group, []
        for k, x in enumerate(features):
            if group:
                mates = np.stack(features[k % (n // group) :: n // group])
                parts = np.split(np.sqrt(mates.var(axis=0) + 1e-8), config.mbstd_channels)
                x = np.concatenate([x, *(np.full((1, 4, 4), part.mean()) for part in parts)])
            x = lrelu(self.dense(self.conv(x, "conv").ravel(), "dense"))
            x = self.dense(x, "out")
            if labels is not None:
                x = x @ self.mapping(None, labels[k]) / np.sqrt(len(x))
            out.append(x.item())
        return np.array(out)


SMALL: dict[str, Any] = {"z_dim": 5, "w_dim": 7, "mapping_layers": 3}


def random_network(kind: Any, config: Any) -> Any:
    torch.manual_seed(0)
    network = kind(config).eval()
    for parameter in network.parameters():  # biases and noise strengths are zero at first
        if parameter.ndim < 2:
            nn.init.normal_(parameter, float(parameter.detach().mean()), 0.3)
    return network


GENERATORS = {
    "plain": {"image_shape": (3, 16, 16), "channel_base": 64, "channel_max": 6},
    "conditional": {"image_shape": (1, 8, 8), "channels": (5, 3), "num_classes": 3},
    "clamped": {"image_shape": (3, 16, 16), "channels": (7, 5, 3), "conv_clamp": 0.8},
    "resnet": {"image_shape": (3, 16, 16), "channels": (7, 5, 3), "architecture": "resnet",
               "conv_clamp": 0.8, "mapping_width": 9},
    "orig": {"image_shape": (2, 16, 16), "channels": (4, 5, 3), "architecture": "orig"},
}  # fmt: skip


@pytest.mark.parametrize("settings", GENERATORS.values(), ids=GENERATORS)
def test_images_are_those_of_the_equations(settings: dict[str, Any]) -> None:
    G = random_network(Generator, StyleGAN2GeneratorConfig(**{**SMALL, **settings}))
    G.w_avg.normal_()
    naive = Naive(G)
    z = torch.randn(3, 5)
    labels = torch.tensor([2, 0, 1]) if G.num_classes else None
    images = G(z, labels, truncation=0.6, truncation_cutoff=2, mix=(z.flip(0), 3))
    noisy = G(z, labels, noise="random", rng=SeedNoise([4, 5, 6]))
    quiet = G(z, labels, noise="none")
    for k in range(3):
        w, other = (
            naive.mapping(z[i].double().numpy(), None if labels is None else int(labels[k]))
            for i in (k, 2 - k)
        )
        full = np.stack([w] * G.num_ws)
        mixed = np.stack([w] * 3 + [other] * (G.num_ws - 3))
        mixed[:2] = naive["w_avg"] + 0.6 * (mixed[:2] - naive["w_avg"])
        sizes = [len(conv.noise) for conv in G.convs]
        const = [naive[f"convs.{layer}.noise"] for layer in range(len(sizes))]
        drawn = [SeedNoise([4 + k]).normal(i, 1, s, s)[0, 0].numpy() for i, s in enumerate(sizes)]
        none = [np.zeros((s, s)) for s in sizes]
        found = (images[k], noisy[k], quiet[k])
        expected = (naive.image(mixed, const), naive.image(full, drawn), naive.image(full, none))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a.detach(), b, rtol=1e-4, atol=1e-5)


CRITICS = {
    "plain": {"image_shape": (3, 16, 16), "channel_base": 64, "channel_max": 6, "mbstd_group": 2},
    "conditional": {"image_shape": (1, 8, 8), "channels": (5, 3), "num_classes": 3},
    "skip, clamped": {"image_shape": (3, 16, 16), "channels": (7, 5, 3), "conv_clamp": 0.5,
                      "architecture": "skip"},
    "orig, without statistics": {"image_shape": (2, 16, 16), "channels": (4, 5, 6),
                                 "architecture": "orig", "mbstd_group": 0},
    "cmap": {"image_shape": (1, 8, 8), "channels": (4, 3), "num_classes": 2, "cmap_dim": 6,
             "conv_clamp": 0.4, "mapping_width": 5},
    "embedding": {"image_shape": (1, 8, 8), "channels": (6, 3), "num_classes": 2,
                  "mapping_layers": 0, "mbstd_group": 2, "mbstd_channels": 3},
}  # fmt: skip


@pytest.mark.parametrize("settings", CRITICS.values(), ids=CRITICS)
def test_scores_are_those_of_the_equations(settings: dict[str, Any]) -> None:
    D = random_network(Discriminator, StyleGAN2DiscriminatorConfig(**settings))
    images = torch.randn(4, *D.image_shape)
    labels = torch.tensor([0, 1, 1, 0]) if D.num_classes else None
    expected = Naive(D).scores(images.double().numpy(), None if labels is None else labels.tolist())
    np.testing.assert_allclose(D(images, labels).detach(), expected, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_weights_that_are_modulated_for_each_image() -> None:
    """What is scaled here around one convolution is scaled there in the weights of each image, by
    plain operations; in float32, in the layout of training."""
    settings = {**SMALL, **GENERATORS["plain"]}
    G = random_network(Generator, StyleGAN2GeneratorConfig(**settings))
    fir = torch.from_numpy(FIR).float()[None, None]

    def image_of(ws: Tensor) -> Tensor:
        x, image = G.const, torch.zeros(())
        for layer, conv in enumerate(G.convs):
            weight = conv.weight * conv.affine(ws[layer])[:, None, None]
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            if layer % 2:
                x = conv_transpose2d(x, weight.transpose(0, 1), stride=2)
                x = conv2d(x.transpose(0, 1), 4 * fir, padding=1).transpose(0, 1)
            else:
                x = conv2d(x, weight, padding=1)
            x = x + conv.noise_strength * conv.noise + conv.bias[:, None, None]
            x = torch.where(x > 0, x, 0.2 * x) * 2**0.5
            if layer % 2 == 0:
                rgb = G.to_images[layer // 2]
                style = rgb.affine(ws[layer + 1]) / x.shape[1] ** 0.5
                y = conv2d(x, (rgb.weight * style)[:, :, None, None]) + rgb.bias[:, None, None]
                if layer:
                    spread = torch.zeros(image.shape[0] * 3, 1, *y.shape[2:])
                    spread[:, :, ::2, ::2] = image.transpose(0, 1)
                    image = conv2d(pad(spread, (2, 1, 2, 1)), 4 * fir).transpose(0, 1)
                image = y + image
        return image

    z, upstream = torch.randn(3, 5), torch.randn(3, 3, 16, 16)
    plain = torch.cat([image_of(ws) for ws in G.mapping(z)])
    names, parameters = zip(*G.named_parameters(), strict=True)
    expected = torch.autograd.grad((plain * upstream).sum(), parameters)
    G = G.to(memory_format=torch.channels_last)
    found = torch.autograd.grad((G(z) * upstream).sum(), parameters)
    for name, ours, theirs in zip(names, found, expected, strict=True):
        assert (ours - theirs).norm() < 1e-4 * theirs.norm(), name


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_samples_of_many_images_are_of_the_same_network(architecture: Any) -> None:
    settings = {**SMALL, **GENERATORS["resnet"], "architecture": architecture}
    G = random_network(Generator, StyleGAN2GeneratorConfig(**settings)).requires_grad_(False)
    images = G(G.latents(range(40))).clamp(-1, 1)
    torch.testing.assert_close(G.sample(40).as_subclass(Tensor), images, rtol=1e-4, atol=1e-4)


# -- sizes -----------------------------------------------------------------------------------------


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_channels_and_parameters_are_those_of_configuration_f() -> None:
    """The paper's table 1 counts 30.37 million in G and 28.98 million in D at 1024x1024."""
    with torch.device("meta"):
        G = Generator(StyleGAN2GeneratorConfig((3, 1024, 1024)))
        D = Discriminator(StyleGAN2DiscriminatorConfig((3, 1024, 1024)))
    assert G.config.widths == [512, 512, 512, 512, 512, 256, 128, 64, 32]
    assert G.num_ws == 18
    assert parameters(G) == pytest.approx(30.37e6, rel=2e-3)
    assert parameters(D) == pytest.approx(28.98e6, rel=2e-3)


def test_channels_follow_the_rule_or_are_given() -> None:
    def widths(**settings: Any) -> list[int]:
        return StyleGAN2GeneratorConfig((3, 32, 32), **settings).widths

    assert widths(channel_base=2048, channel_max=100) == [100, 100, 100, 64]
    assert widths(channels=(48, 48, 32, 32)) == [48, 48, 32, 32]
    with pytest.raises(ConfigError, match=r"channels has 2 numbers for 4 .* 4, 8, 16, 32"):
        widths(channels=(48, 48))


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 64, 32), (3, 4, 4), (3, 2048, 2048)])
@pytest.mark.parametrize("config", [StyleGAN2GeneratorConfig, StyleGAN2DiscriminatorConfig])
def test_other_sizes_are_refused(config: Any, shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match=r"use 8, 16, 32, .* or 1024 .*data\.resolution"):
        config(shape)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"style_mixing": 1.5}, "style_mixing = 1.5 is out of range"),
        ({"w_avg_beta": -0.1}, "w_avg_beta"),
        ({"w_dim": 0}, "w_dim = 0"),
        ({"mapping_layers": -1}, "mapping_layers = -1"),
        ({"mapping_layers": 0, "w_dim": 8}, "mapping_layers = 0, but 512 values are to become 8"),
        ({"mapping_layers": 0, "num_classes": 2}, "mapping_layers = 0, but 1024 values"),
        ({"embedding_dim": 0}, "embedding_dim = 0"),
        ({"mapping_width": 0}, "mapping_width = 0"),
        ({"conv_clamp": 0.0}, "conv_clamp"),
        ({"channels": (8, 0)}, "channels = 0"),
        ({"channel_base": 0}, "channel_base"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        StyleGAN2GeneratorConfig(**{"image_shape": (3, 8, 8), **settings})


def test_statistics_divide_the_channels() -> None:
    with pytest.raises(ConfigError, match="mbstd_channels = 4 does not divide the 6 channels"):
        StyleGAN2DiscriminatorConfig((3, 8, 8), channels=(6, 3), mbstd_channels=4)


# -- options ---------------------------------------------------------------------------------------


@pytest.fixture
def G() -> Generator:
    return random_network(
        Generator, StyleGAN2GeneratorConfig((3, 16, 16), channels=(8, 8, 8), **SMALL)
    )


def test_truncation_and_mixing_layers_out_of_range_are_refused(G: Generator) -> None:
    z = torch.randn(2, 5)
    for cutoff in (-1, 7, True, 2.0):
        with pytest.raises(InputError, match=r"truncation_cutoff .* out of range: use 0 to 6"):
            G(z, truncation=0.5, truncation_cutoff=cutoff)
        with pytest.raises(InputError, match=r"layer of mix .* out of range: use 0 to 6"):
            G(z, mix=(z, cutoff))
    assert torch.equal(G(z, truncation=0.5, truncation_cutoff=0), G(z))
    assert torch.equal(G(z, truncation=0.5, truncation_cutoff=6), G(z, truncation=0.5))


def test_unknown_noise_and_noise_without_a_source_are_refused(G: Generator) -> None:
    with pytest.raises(InputError, match="use 'const', 'random' or 'none'"):
        G(torch.randn(2, 5), noise="loud")
    with pytest.raises(InputError, match="random noise needs rng="):
        G(torch.randn(2, 5), noise="random")


# -- training --------------------------------------------------------------------------------------


def test_the_average_of_w_follows_training_alone(G: Generator) -> None:
    z = torch.randn(64, 5)
    G(z)
    assert not G.w_avg.any()
    mean = G.mapping(z).mean((0, 1)).detach()
    G.train_forward(z, None, Draws(0, "test", 0))
    torch.testing.assert_close(G.w_avg, 0.005 * mean)
    G.train_forward(z, None, Draws(0, "test", 1))
    torch.testing.assert_close(G.w_avg, (0.005 + 0.995 * 0.005) * mean)


def mixed(G: Generator, share: float) -> tuple[Tensor, Tensor]:
    """What synthesis gets in training: which layers of each image have the w of the first z."""
    object.__setattr__(G.config, "style_mixing", share)
    got: list[Tensor] = []
    G.synthesis = lambda ws, **options: got.append(ws) or ws  # type: ignore[method-assign]
    z = torch.randn(4000, 5)
    G.train_forward(z, None, Draws(0, "test", 0))
    ws = G.mapping(z)
    return (got[0] == ws).all(2), (got[0][:, 1:] == got[0][:, :-1]).all(2)


def test_styles_are_mixed_at_one_random_layer_for_the_share_asked_for(G: Generator) -> None:
    own, same = mixed(G, 0.9)
    assert bool(own[:, 0].all())  # never from the first layer on
    first = own.sum(1)  # layers with the first w: 1 … num_ws
    shares = torch.bincount(first, minlength=G.num_ws + 1) / len(own)
    np.testing.assert_allclose(shares[1:], [0.9 / 5] * 5 + [0.1], atol=0.02)
    assert bool((same.sum(1) >= G.num_ws - 2).all())  # one crossover
    own, _ = mixed(G, 0.0)
    assert bool(own.all())


def test_training_noise_is_drawn_and_repeats_with_its_draws(G: Generator) -> None:
    z = torch.randn(2, 5)
    a, b, c = (G.train_forward(z, None, Draws(0, "test", step)) for step in (0, 0, 1))
    assert torch.equal(a, b) and not torch.allclose(a, c)


def test_mixed_precision_keeps_styles_demodulation_and_w_exact(G: Generator) -> None:
    z = torch.randn(8, 5)
    D = random_network(Discriminator, StyleGAN2DiscriminatorConfig((3, 16, 16), channels=(8, 8, 8)))
    exact, ws = G(z), G.mapping(z)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(G.mapping(z), ws)
        images, scores = G(z), D(exact)
    assert images.dtype == scores.dtype == torch.float32
    assert 0 < (images - exact).abs().max() < 0.05 * exact.abs().max()
    torch.testing.assert_close(scores, D(exact), rtol=0.1, atol=0.05)


def test_channels_last_stays_channels_last_forward_and_backward(G: Generator) -> None:
    """A copy from one layout to the other would cost as much as a convolution."""
    G = G.to(memory_format=torch.channels_last)
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

    for k, conv in enumerate(G.convs):
        conv.register_forward_hook(follow(f"convs.{k}"))
    with torch.autocast("cpu", torch.bfloat16):
        images = G.train_forward(torch.randn(4, 5), None, Draws(0, "test", 0))
    images.square().sum().backward()
    assert len(seen) == 10 and all(seen.values()), seen
