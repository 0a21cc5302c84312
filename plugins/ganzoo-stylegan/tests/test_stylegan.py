"""StyleGAN: its networks against the paper's equations in NumPy, at every resolution of growth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from ganzoo_stylegan.config import StyleGANDiscriminatorConfig, StyleGANGeneratorConfig
from ganzoo_stylegan.stylegan import Discriminator, Generator
from torch import Tensor, nn

from ganzoo import plugins
from ganzoo.errors import ConfigError, InputError
from ganzoo.parts import resolve
from ganzoo.rng import Draws

Array = np.ndarray
LODS = [0.0, 0.25, 1.0, 1.5, 2.0]


# -- the equations, in float64 and with loops ------------------------------------------------------


def correlate(x: Array, weight: Array) -> Array:
    """x (I, H, W), weight (O, I, k, k), the size kept by zeros around."""
    pad = weight.shape[-1] // 2
    _, height, width = x.shape
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    return sum(
        np.einsum("oi,ihw->ohw", weight[:, :, i, j], x[:, i : i + height, j : j + width])
        for i in range(2 * pad + 1)
        for j in range(2 * pad + 1)
    )


def blur(x: Array) -> Array:
    line = np.array([1, 2, 1]) / 4
    rows = np.apply_along_axis(np.convolve, 2, x, line, mode="same")
    return np.apply_along_axis(np.convolve, 1, rows, line, mode="same")


def grow(x: Array, factor: int = 2) -> Array:
    return x.repeat(factor, axis=1).repeat(factor, axis=2)


def shrink(x: Array, factor: int = 2) -> Array:
    channels, height, width = x.shape
    return x.reshape(channels, height // factor, factor, width // factor, factor).mean((2, 4))


def lrelu(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x)


class Naive:
    """A network as its arrays."""

    def __init__(self, network: nn.Module) -> None:
        self.config: Any = network.config
        self.arrays = {k: v.detach().double().numpy() for k, v in network.state_dict().items()}

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def dense(self, x: Array, name: str, *, gain: float = 1.0, lr: float = 1.0) -> Array:
        weight = self[f"{name}.weight"]
        return weight @ x * (gain * lr / np.sqrt(weight.shape[1])) + self[f"{name}.bias"] * lr

    def conv(self, x: Array, name: str, *, gain: float = 2**0.5) -> Array:
        weight = self[f"{name}.weight"]
        x = correlate(x, weight * (gain / np.sqrt(weight[0].size)))
        bias = self.arrays.get(f"{name}.bias")
        return x if bias is None else x + bias[:, None, None]

    def mapping(self, z: Array, label: int | None) -> Array:
        x = z if label is None else np.concatenate([z, self["mapper.embed.weight"][label]])
        x = x / np.sqrt((x**2).mean() + 1e-8)
        for k in range(self.config.mapping_layers):
            lr = self.config.mapping_lr_multiplier
            x = lrelu(self.dense(x, f"mapper.layers.{k}", gain=2**0.5, lr=lr))
        return x

    def image(self, ws: Array, lod: float) -> Array:
        """Every resolution, and then the blend: the layers of the full one are all computed."""
        x, images = self["const"][0], []
        for number, w in enumerate(ws):
            name = f"layers.{number}"
            if number % 2:
                x = self.conv(x, f"{name}.first")
            elif number:
                x = blur(self.conv(grow(x), f"{name}.first.conv"))
            x = x + self[f"{name}.noise_strength"][:, None, None] * self[f"{name}.noise"]
            x = lrelu(x + self[f"{name}.bias"][:, None, None])
            x = x - x.mean((1, 2), keepdims=True)
            x = x / np.sqrt((x**2).mean((1, 2), keepdims=True) + 1e-8)
            scale, shift = self.dense(w, f"{name}.affine").reshape(2, -1)
            x = x * (scale[:, None, None] + 1) + shift[:, None, None]
            if number % 2:
                images.append(self.conv(x, f"to_images.{number // 2}", gain=1))
        full = images[-1].shape[1]
        sized = [grow(image, full // image.shape[1]) for image in images]
        whole = math.floor(lod)
        image = sized[-1 - whole]
        return image if lod == whole else image + (lod - whole) * (sized[-2 - whole] - image)

    def scores(self, images: Array, labels: list[int] | None, lod: float) -> Array:
        config = self.config
        whole, part = math.floor(lod), lod - math.floor(lod)
        top = len(config.widths) - 1 - whole
        features = []
        for image in images:
            image = shrink(image, 2**whole)
            x = lrelu(self.conv(image, f"from_images.{top}"))
            for level in range(top, 0, -1):
                name = f"blocks.{level - 1}"
                x = lrelu(self.conv(x, f"{name}.conv0"))
                x = shrink(self.conv(blur(x), f"{name}.conv1"))
                x = lrelu(x + self[f"{name}.bias"][:, None, None])
                if level == top and part:
                    other = lrelu(self.conv(shrink(image), f"from_images.{top - 1}"))
                    x = x + part * (other - x)
            features.append(x)
        n, group, out = len(images), config.mbstd_group, []
        for k, x in enumerate(features):
            if group:
                mates = np.stack(features[k % (n // group) :: n // group])
                deviation = np.sqrt(mates.var(axis=0) + 1e-8).mean()
                x = np.concatenate([x, np.full((1, 4, 4), deviation)])
            x = lrelu(self.dense(lrelu(self.conv(x, "conv")).ravel(), "dense", gain=2**0.5))
            logits = self.dense(x, "score")
            out.append(logits[0 if labels is None else labels[k]])
        return np.array(out)


def random_network(kind: Any, config: Any) -> Any:
    torch.manual_seed(0)
    network = kind(config).eval()
    for name, parameter in network.named_parameters():
        if parameter.ndim < 2 or name == "const":  # zero, or one everywhere, at first
            nn.init.normal_(parameter, float(parameter.detach().mean()), 0.3)
    return network


STYLES: dict[str, Any] = {"z_dim": 5, "w_dim": 7, "mapping_layers": 3}
SIZES: dict[str, dict[str, Any]] = {
    "plain": {"image_shape": (3, 16, 16), "channel_base": 64, "channel_max": 6},
    "conditional": {"image_shape": (1, 16, 16), "channels": (5, 3, 4), "num_classes": 3},
}


@pytest.mark.parametrize("lod", LODS)
@pytest.mark.parametrize("settings", SIZES.values(), ids=SIZES)
def test_images_are_those_of_the_equations(settings: dict[str, Any], lod: float) -> None:
    G = random_network(Generator, StyleGANGeneratorConfig(**STYLES, **settings))
    naive = Naive(G)
    z = torch.randn(2, 5)
    labels = torch.tensor([2, 0]) if G.num_classes else None
    images = G(z, labels, lod=lod)
    assert images.shape == (2, *G.image_shape)
    for k in range(2):
        w = naive.mapping(z[k].double().numpy(), None if labels is None else int(labels[k]))
        expected = naive.image(np.stack([w] * G.num_ws), lod)
        np.testing.assert_allclose(images[k].detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lod", LODS)
@pytest.mark.parametrize("settings", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("group", [0, 2])
def test_scores_are_those_of_the_equations(
    settings: dict[str, Any], group: int, lod: float
) -> None:
    D = random_network(Discriminator, StyleGANDiscriminatorConfig(**settings, mbstd_group=group))
    images = torch.randn(4, *D.image_shape)
    labels = torch.tensor([0, 2, 1, 0]) if D.num_classes else None
    expected = Naive(D).scores(
        images.double().numpy(), None if labels is None else labels.tolist(), lod
    )
    found = D(images, labels, lod=lod).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# -- sizes -----------------------------------------------------------------------------------------


def test_channels_and_parameters_are_those_of_the_paper() -> None:
    """Its table of configurations (appendix A of the StyleGAN2 paper: 26.2 million in G)."""
    with torch.device("meta"):
        G = Generator(StyleGANGeneratorConfig((3, 1024, 1024)))
        D = Discriminator(StyleGANDiscriminatorConfig((3, 1024, 1024)))
    assert G.config.widths == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert G.num_ws == 18
    assert sum(p.numel() for p in G.parameters()) == pytest.approx(26.2e6, rel=5e-3)
    assert sum(p.numel() for p in D.parameters()) == pytest.approx(23.1e6, rel=5e-3)


@pytest.mark.parametrize(
    ("settings", "conv", "dense"),
    [
        ({}, 512, 512),
        ({"channel_base": 2048, "channel_max": 4096}, 512, 1024),
        ({"channel_base": 512, "channel_max": 128}, 128, 128),
        ({"channel_base": 60, "channel_max": 20}, 15, 20),
        ({"channels": (5, 3)}, 5, 5),
        ({"channels": (5, 3), "dense_width": 9}, 5, 9),
    ],
)
def test_the_critic_ends_as_the_authors_code_does(
    settings: dict[str, Any], conv: int, dense: int
) -> None:
    """nf(s) = min(fmap_base / 2^s, fmap_max), fmap_base half of channel_base: the 4x4 convolution
    has nf(1) outputs, the dense layer after it nf(0)."""
    with torch.device("meta"):
        D = Discriminator(StyleGANDiscriminatorConfig((3, 8, 8), **settings))
    assert D.conv.weight.shape == (conv, conv + 1, 3, 3)
    assert D.dense.weight.shape == (dense, conv * 16)
    assert D.score.weight.shape == (1, dense)


@pytest.mark.parametrize(
    ("settings", "asked"),
    [({"channel_base": 64, "channel_max": 8}, None), ({"channel_base": 64}, 16)],
)
def test_settings_of_version_1_give_the_critic_that_they_gave(
    settings: dict[str, Any], asked: int | None
) -> None:
    """Its dense layer was as wide as the 4x4 convolution."""
    part = plugins.load().parts.get("discriminator", "stylegan")
    document = {"image_shape": [3, 8, 8], **settings}
    upgraded, state = resolve(part.upgrade)(1, document, {})
    D = part.build(part.make_config(upgraded))
    assert D.config.dense_width == asked and state == {}
    assert D.dense.weight.shape == (len(D.conv.weight), 16 * len(D.conv.weight))
    with pytest.raises(ConfigError, match="channel_base = 'wide' is of the wrong type"):
        resolve(part.upgrade)(1, {"channel_base": "wide"}, {})


# -- growth ----------------------------------------------------------------------------------------


@pytest.fixture
def G() -> Generator:
    return random_network(
        Generator, StyleGANGeneratorConfig((3, 16, 16), channels=(8, 8, 8), **STYLES)
    )


def test_only_the_layers_of_a_lod_are_computed(G: Generator) -> None:
    z = torch.randn(2, 5)
    for lod, top, entries in ((0.0, 2, [2]), (0.5, 2, [1, 2]), (1.0, 1, [1]), (2.0, 0, [0])):
        G.zero_grad(set_to_none=True)
        G(z, lod=lod).square().sum().backward()
        used = [k for k, layer in enumerate(G.layers) if layer.bias.grad is not None]
        assert used == list(range(2 * top + 2))
        assert [k for k, m in enumerate(G.to_images) if m.weight.grad is not None] == entries


def test_a_discriminator_ignores_what_a_lod_leaves_out() -> None:
    D = Discriminator(StyleGANDiscriminatorConfig((1, 16, 16), channels=(8, 8, 8)))
    D(torch.randn(4, 1, 16, 16), lod=1.0).sum().backward()
    assert D.from_images[2].weight.grad is None and D.blocks[1].bias.grad is None
    assert D.from_images[1].weight.grad is not None and D.blocks[0].bias.grad is not None


@pytest.mark.parametrize("lod", [-0.1, 2.1])
def test_a_lod_out_of_range_is_refused(G: Generator, lod: float) -> None:
    with pytest.raises(InputError, match=r"lod .* is out of range: use 0 \(full size\) to 2"):
        G(torch.randn(2, 5), lod=lod)
    D = Discriminator(StyleGANDiscriminatorConfig((3, 16, 16), channels=(8, 8, 8)))
    with pytest.raises(InputError, match="out of range"):
        D(torch.randn(2, 3, 16, 16), lod=lod)


@pytest.mark.parametrize(("lod", "used"), [(0.0, 6), (0.5, 6), (1.0, 4), (1.9, 4), (2.0, 2)])
def test_styles_are_mixed_among_the_layers_in_use(G: Generator, lod: float, used: int) -> None:
    got: list[Tensor] = []
    G.synthesis = lambda ws, **options: got.append(ws) or ws  # type: ignore[method-assign]
    z = torch.randn(2000, 5)
    G.train_forward(z, None, Draws(0, "test", 0), lod=lod)
    first = (got[0] == G.mapping(z)).all(2).sum(1)
    shares = torch.bincount(first, minlength=7) / len(first)
    expected = [0.0] + [0.9 / (used - 1)] * (used - 1) + [0.0] * (6 - used) + [0.1]
    np.testing.assert_allclose(shares, expected, atol=0.03)


# -- AdaIN -----------------------------------------------------------------------------------------


def test_every_channel_has_the_mean_and_deviation_that_its_style_says(G: Generator) -> None:
    layer = G.layers[3]
    x, w = torch.randn(4, 8, 8, 8) * 3 + 1, torch.randn(4, 7)
    scale, shift = layer.affine(w).chunk(2, dim=1)
    out = layer(x, w, None)
    torch.testing.assert_close(out.mean((2, 3)), shift, rtol=1e-4, atol=1e-4)
    deviation = out.std((2, 3), correction=0)
    torch.testing.assert_close(deviation, (scale + 1).abs(), rtol=1e-3, atol=1e-4)


def test_mixed_precision_stays_close(G: Generator) -> None:
    z = torch.randn(8, 5)
    exact = G(z)
    with torch.autocast("cpu", torch.bfloat16):
        images = G(z)
    assert images.dtype == torch.float32
    assert 0 < (images - exact).abs().mean() < 0.02 * exact.abs().max()
