"""StyleGANs of other programs, restated here as plain modules and saved as those save them:
imported, they give the same w, images and scores."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import (
    avg_pool2d,
    conv2d,
    conv_transpose2d,
    interpolate,
    leaky_relu,
    linear,
    one_hot,
    pad,
)

from ganzoo.errors import InputError
from tests.restated import imported, normed, randomised, same, same_scores, same_styles

# -- rosinality/style-based-gan-pytorch ------------------------------------------------------------


class Equal(nn.Module):
    """A layer whose weight is `weight_orig` times He's constant; `named` as theirs is."""

    def __init__(self, named: str, *shape: int, padding: int = 0) -> None:
        super().__init__()
        inner = nn.Module()
        inner.bias = nn.Parameter(torch.zeros(shape[0]))
        inner.weight_orig = nn.Parameter(torch.randn(shape))
        setattr(self, named, inner)
        self.inner, self.padding = (inner,), padding

    def forward(self, x: Tensor) -> Tensor:
        inner = self.inner[0]
        weight = inner.weight_orig * math.sqrt(2 / inner.weight_orig[0].numel())
        if weight.ndim == 2:
            return linear(x, weight, inner.bias)
        return conv2d(x, weight, inner.bias, padding=self.padding)


def equal_conv(a: int, b: int, kernel: int, padding: int) -> Equal:
    return Equal("conv", b, a, kernel, kernel, padding=padding)


class Blur(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])) / 16
        self.register_buffer("weight", kernel.repeat(channels, 1, 1, 1))
        self.register_buffer("weight_flip", self.weight.flip(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, padding=1, groups=x.shape[1])


class Fused(nn.Module):
    def __init__(self, a: int, b: int, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.weight = nn.Parameter(torch.randn((a, b, 3, 3) if up else (b, a, 3, 3)))
        self.bias = nn.Parameter(torch.zeros(b))
        self.scale = math.sqrt(2 / (a * 9))

    def forward(self, x: Tensor) -> Tensor:
        w = pad(self.weight * self.scale, [1, 1, 1, 1])
        w = (w[:, :, 1:, 1:] + w[:, :, :-1, 1:] + w[:, :, 1:, :-1] + w[:, :, :-1, :-1]) / 4
        convolve = conv_transpose2d if self.up else conv2d
        return convolve(x, w, self.bias, stride=2, padding=1)


class Bare(nn.Module):
    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__()
        self.register_parameter(name, nn.Parameter(value))


class StyledBlock(nn.Module):
    def __init__(self, a: int, b: int, w_dim: int, kind: str) -> None:
        super().__init__()
        if kind == "initial":
            self.conv1: nn.Module = Bare("input", torch.randn(1, b, 4, 4))
        elif kind == "fused":
            self.conv1 = nn.Sequential(Fused(a, b, up=True), Blur(b))
        else:
            self.conv1 = nn.Sequential(
                nn.Upsample(scale_factor=2, mode="nearest"), equal_conv(a, b, 3, 1), Blur(b)
            )
        self.conv2 = equal_conv(b, b, 3, 1)
        for number in (1, 2):
            noise = Bare("weight_orig", torch.zeros(1, b, 1, 1))
            self.add_module(f"noise{number}", noise)
            adain = nn.Module()
            adain.style = Equal("linear", 2 * b, w_dim)
            self.add_module(f"adain{number}", adain)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        for number in (1, 2):
            if number == 2:
                x = self.conv2(x)
            elif isinstance(self.conv1, Bare):
                x = self.conv1.input.expand(len(w), -1, -1, -1)
            else:
                x = self.conv1(x)
            weight = getattr(self, f"noise{number}").weight_orig
            x = leaky_relu(x + weight * math.sqrt(2 / weight.shape[1]) * noise, 0.2)
            x = nn.functional.instance_norm(x)  # eps 1e-5
            gamma, beta = getattr(self, f"adain{number}").style(w)[:, :, None, None].chunk(2, 1)
            x = gamma * x + beta
        return x


class StyledGenerator(nn.Module):
    def __init__(self, widths: list[int], z_dim: int, depth: int, fused_from: int) -> None:
        super().__init__()
        kinds = ["initial", *("fused" if k >= fused_from else "up" for k in range(1, len(widths)))]
        self.generator = nn.Module()
        pairs = zip([widths[0], *widths], widths, kinds, strict=False)
        self.generator.progression = nn.ModuleList(StyledBlock(a, b, z_dim, k) for a, b, k in pairs)
        self.generator.to_rgb = nn.ModuleList(equal_conv(c, 3, 1, 0) for c in widths)
        layers: list[nn.Module] = [nn.Identity()]  # normalises z
        for _ in range(depth):
            layers += [Equal("linear", z_dim, z_dim), nn.LeakyReLU(0.2)]
        self.style = nn.Sequential(*layers)

    def forward(self, w: Tensor, noise: list[Tensor], step: int, alpha: float = -1) -> Tensor:
        x = torch.zeros(0)
        for k in range(step + 1):
            below, x = x, self.generator.progression[k](x, w, noise[k])
        image = self.generator.to_rgb[step](x)
        if 0 <= alpha < 1:
            old = interpolate(self.generator.to_rgb[step - 1](below), scale_factor=2)
            image = (1 - alpha) * old + alpha * image
        return image


class StyleDiscriminator(nn.Module):
    def __init__(self, widths: list[int], fused_from: int, activated: bool) -> None:
        super().__init__()
        blocks, entries = [], []
        for level in range(len(widths) - 1, 0, -1):
            a, b = widths[level], widths[level - 1]
            down: list[nn.Module] = [Blur(b)]
            if level >= fused_from:
                down += [Fused(b, b, up=False)]
            else:
                down += [equal_conv(b, b, 3, 1), nn.AvgPool2d(2)]
            blocks.append((equal_conv(a, b, 3, 1), [*down, nn.LeakyReLU(0.2)]))
        first = widths[0]
        last = [equal_conv(first, first, 4, 0), nn.LeakyReLU(0.2)]
        blocks.append((equal_conv(first + 1, first, 3, 1), last))
        self.progression = nn.ModuleList()
        for conv1, conv2 in blocks:
            block = nn.Module()
            block.conv1 = nn.Sequential(conv1, nn.LeakyReLU(0.2))
            block.conv2 = nn.Sequential(*conv2)
            self.progression.append(block)
        for width in reversed(widths):
            entry = equal_conv(3, width, 1, 0)
            entries.append(nn.Sequential(entry, nn.LeakyReLU(0.2)) if activated else entry)
        self.from_rgb = nn.ModuleList(entries)
        self.linear = Equal("linear", 1, first)

    def forward(self, x: Tensor, step: int) -> Tensor:
        count = len(self.progression)
        x = self.from_rgb[count - step - 1](x)
        for k in range(step, -1, -1):
            if k == 0:
                spread = (x.var(0, unbiased=False) + 1e-8).sqrt().mean()
                x = torch.cat([x, spread.expand(len(x), 1, 4, 4)], 1)
            block = self.progression[count - k - 1]
            x = block.conv2(block.conv1(x))
        return self.linear(x.flatten(1)).squeeze(1)


@pytest.mark.parametrize("form", ["training", "bare", "parallel"])
@pytest.mark.parametrize(("fused_from", "activated"), [(9, False), (2, True)])
def test_rosinality(tmp_path: Path, form: str, fused_from: int, activated: bool) -> None:
    widths = [8, 6, 4, 4]
    theirs = randomised(StyledGenerator(widths, 8, 3, fused_from))
    critic = randomised(StyleDiscriminator(widths, fused_from, activated), 1)
    root: Any = theirs.state_dict()
    if form == "training":
        other = StyledGenerator(widths, 8, 3, fused_from).state_dict()
        root = {
            "generator": {f"module.{k}": v for k, v in other.items()},
            "discriminator": {f"module.{k}": v for k, v in critic.state_dict().items()},
            "g_optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}},
            "d_optimizer": {},
            "g_running": root,
        }
    elif form == "parallel":
        root = {f"module.{k}": v for k, v in root.items()}
    made = imported(tmp_path, root)
    G, z = made.generator, torch.randn(5, 8)
    assert made.family == "stylegan-rosinality" and G.image_shape == (3, 32, 32)
    w = theirs.style(normed(z))
    same(G.mapping(z)[:, 0], w, 1e-5)
    noise = [G.layers[2 * k].noise[None, None] for k in range(4)]
    same(G(z), theirs(w, noise, 3))
    same(G(z, noise="none"), theirs(w, [0 * n for n in noise], 3))
    same(G(z, lod=0.25), theirs(w, noise, 3, alpha=0.75))
    mean = made.generator.w_avg
    assert (G.mapping(torch.randn(4000, 8))[:, 0].mean(0) - mean).abs().max() < 0.2
    same(G(z, truncation=0.7), theirs(mean + 0.7 * (w - mean), noise, 3))
    if form == "training":
        x = torch.randn(6, 3, 32, 32)
        for count in (6, 3, 1):
            found = made.discriminator(x[:count])
            same_scores(found, critic(x[:count], 3))
        dropped = {fate.source.split(".")[0] for fate in made.converted.fates if not fate.target}
        assert dropped >= {"generator", "g_optimizer"}


def test_rosinality_up_to_the_resolution_that_was_trained(tmp_path: Path) -> None:
    theirs = randomised(StyledGenerator([6, 5, 4, 3], 8, 2, 9))
    critic = randomised(StyleDiscriminator([6, 5, 4, 3], 9, False), 1)
    block = theirs.generator.progression[3]
    for tensor in (block.noise1.weight_orig, block.noise2.weight_orig, block.conv2.conv.bias):
        tensor.data.zero_()
    root = {"g_running": theirs.state_dict(), "discriminator": critic.state_dict()}
    made = imported(tmp_path, root)
    assert made.generator.image_shape == (3, 16, 16)
    assert "Of its 32 pixels only 16 were trained." in made.converted.notes
    z, x = torch.randn(2, 8), torch.randn(2, 3, 16, 16)
    noise = [made.generator.layers[2 * k].noise[None, None] for k in range(3)]
    same(made.generator(z), theirs(theirs.style(normed(z)), noise, 2))
    same_scores(made.discriminator(x), critic(x, 2))
    assert imported(tmp_path, root, "resolution=8").generator.image_shape == (3, 8, 8)
    with pytest.raises(InputError, match="use 4, 8, 16, 32"):
        imported(tmp_path, root, "resolution=64")


@pytest.mark.parametrize("odd", ["x", "generator.x", "generator.to_rgb.x", "progression"])
@pytest.mark.parametrize("key", ["g_running", "discriminator"])
def test_rosinality_with_a_tensor_too_many(tmp_path: Path, key: str, odd: str) -> None:
    root = {
        "g_running": randomised(StyledGenerator([6, 5], 8, 2, 9)).state_dict(),
        "discriminator": StyleDiscriminator([6, 5], 9, False).state_dict(),
    }
    root[key][odd] = torch.zeros(2)
    with pytest.raises(InputError, match=f"does not have: {key}.{odd}"):
        imported(tmp_path, root)


# -- pytorch_GAN_zoo -------------------------------------------------------------------------------


class Scaled(nn.Module):
    """A layer whose whole output, of the bias too, is multiplied by He's constant."""

    def __init__(self, module: nn.Module, rate: float = 1.0) -> None:
        super().__init__()
        self.module, self.rate = module, rate

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x) * math.sqrt(2 / self.module.weight[0].numel()) * self.rate


def conv(a: int, b: int, kernel: int = 3) -> Scaled:
    return Scaled(nn.Conv2d(a, b, kernel, padding=kernel // 2))


class AdaIN(nn.Module):
    def __init__(self, w_dim: int, width: int) -> None:
        super().__init__()
        self.styleModulator = Scaled(nn.Linear(w_dim, 2 * width))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = x - x.mean((2, 3), keepdim=True)
        x = x * (x.square().mean((2, 3), keepdim=True) + 1e-8).rsqrt()
        factor, shift = self.styleModulator(w)[:, :, None, None].chunk(2, 1)
        return factor * x + shift


class NoiseMultiplier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Conv2d(1, 1, 1, bias=False)


class ZooGenerator(nn.Module):
    def __init__(self, z_dim: int, widths: list[int], channels: int) -> None:
        super().__init__()
        first = widths[0]
        self.mapping = nn.Module()
        dims = itertools.pairwise([z_dim, first, first])
        self.mapping.FC = nn.ModuleList(Scaled(nn.Linear(a, b), 0.01) for a, b in dims)
        self.baseScale0 = nn.Parameter(torch.ones(1, first, 4, 4))
        self.scaleLayers, self.toRGBLayers = nn.ModuleList(), nn.ModuleList()
        self.noiseModulators = nn.ModuleList()
        self.adain00, self.noiseMod00 = AdaIN(first, first), NoiseMultiplier()
        self.adain01, self.noiseMod01 = AdaIN(first, first), NoiseMultiplier()
        self.conv0 = conv(first, first)
        self.register_buffer("mean_w", torch.randn(1, first))
        for a, b in itertools.pairwise(widths):
            layers = [conv(a, b), AdaIN(first, b), conv(b, b), AdaIN(first, b)]
            self.scaleLayers.append(nn.ModuleList(layers))
            self.toRGBLayers.append(conv(b, channels, 1))
            self.noiseModulators.append(nn.ModuleList([NoiseMultiplier(), NoiseMultiplier()]))

    def w(self, z: Tensor) -> Tensor:
        x = normed(z)
        for layer in self.mapping.FC:
            x = leaky_relu(layer(x), 0.2)
        return x

    def forward(self, w: Tensor, noise: list[Tensor]) -> Tensor:
        def styled(x: Tensor, adain: Any, weight: Any, k: int) -> Tensor:
            return adain(leaky_relu(x + weight.module.weight[0, 0, 0, 0] * noise[k], 0.2), w)

        x = self.baseScale0.expand(len(w), -1, 4, 4)
        x = styled(x, self.adain00, self.noiseMod00, 0)
        x = styled(self.conv0(x), self.adain01, self.noiseMod01, 1)
        for k, (group, weights) in enumerate(zip(self.scaleLayers, self.noiseModulators)):
            x = interpolate(x, scale_factor=2)
            x = styled(group[0](x), group[1], weights[0], 2 * k + 2)
            x = styled(group[2](x), group[3], weights[1], 2 * k + 3)
        return self.toRGBLayers[-1](x)


class ZooDiscriminator(nn.Module):
    def __init__(self, widths: list[int], channels: int, scores: int = 1) -> None:
        super().__init__()
        first = widths[0]
        self.scaleLayers = nn.ModuleList(
            nn.ModuleList([conv(b, b), conv(b, a)]) for a, b in itertools.pairwise(widths)
        )
        self.fromRGBLayers = nn.ModuleList(conv(channels, width, 1) for width in widths)
        head = [conv(first, first), Scaled(nn.Linear(16 * first, first))]
        self.groupScaleZero = nn.ModuleList(head)
        self.decisionLayer = Scaled(nn.Linear(first, scores))

    def forward(self, x: Tensor) -> Tensor:
        x = leaky_relu(self.fromRGBLayers[-1](x), 0.2)
        for first, second in reversed(self.scaleLayers):
            x = avg_pool2d(leaky_relu(second(leaky_relu(first(x), 0.2)), 0.2), 2)
        x = leaky_relu(self.groupScaleZero[0](x), 0.2)
        x = leaky_relu(self.groupScaleZero[1](x.flatten(1)), 0.2)
        return self.decisionLayer(x)


class BaseConfig:
    """As the program's, of its name: attributes, and nothing else."""

    __module__ = "models.utils.config"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("models", "models.utils"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    monkeypatch.setitem(sys.modules, "models.utils.config", SimpleNamespace(BaseConfig=BaseConfig))


def zoo_file(G: nn.Module, D: nn.Module, prefix: str = "", **settings: Any) -> dict[str, Any]:
    config = BaseConfig()
    vars(config).update(settings)
    state = {prefix + k: v for k, v in G.state_dict().items()}
    return {
        "config": config,
        "netG": {k: torch.zeros_like(v) for k, v in state.items()},
        "netD": {prefix + k: v for k, v in D.state_dict().items()},
        "avgG": state,
    }


def zoo_generator(z_dim: int, widths: list[int], channels: int) -> Any:
    theirs = randomised(ZooGenerator(z_dim, widths, channels))
    for layer in theirs.mapping.FC:
        layer.module.weight.data *= 100  # stored for a hundredth of the rate
    return theirs


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(("criterion", "channels"), [("Logistic", 3), ("MSE", 1)])
def test_gan_zoo(tmp_path: Path, prefix: str, criterion: str, channels: int) -> None:
    theirs = zoo_generator(7, [8, 6, 4], channels)
    critic = randomised(ZooDiscriminator([8, 6, 4], channels), 1)
    root = zoo_file(theirs, critic, prefix, lossCriterion=criterion, phiTruncation=0.5)
    made = imported(tmp_path, root)
    G, z = made.generator, torch.randn(3, 7)
    assert made.family == "stylegan-gan-zoo" and G.image_shape == (channels, 16, 16)
    bend = torch.tanh if criterion == "MSE" else torch.nn.Identity()
    noise = [layer.noise[None, None] for layer in G.layers]
    same_styles(
        G, z, None, theirs.w(z), theirs.mean_w, lambda ws, _: bend(theirs(ws[:, 0], noise)),
        [(1, None, "const"), (0.5, None, "const")],
    )  # fmt: skip
    x = torch.randn(3, channels, 16, 16)
    same_scores(made.discriminator(x), critic(x)[:, 0])
    assert any("phi 0.5" in note for note in made.converted.notes)


@pytest.mark.usefixtures("program")
def test_gan_zoo_with_labels(tmp_path: Path) -> None:
    theirs = zoo_generator(5 + 3, [6, 4], 3)
    critic = randomised(ZooDiscriminator([6, 4], 3, scores=4), 1)
    root = zoo_file(theirs, critic, lossCriterion="WGANGP", categoryVectorDim=3)
    with pytest.raises(InputError, match="--set classes=3"):
        imported(tmp_path, root)
    made = imported(tmp_path, root, "classes=3")
    G, z, labels = made.generator, torch.randn(3, 5), torch.tensor([2, 0, 1])
    w = theirs.w(torch.cat([z, one_hot(labels, 3)], 1))
    noise = [layer.noise[None, None] for layer in G.layers]
    cases = [(1, None, "const"), (0.5, None, "const")]
    run = lambda ws, _: theirs(ws[:, 0], noise)  # noqa: E731
    same_styles(G, z, labels, w, theirs.mean_w, run, cases)
    x = torch.randn(4, 3, 8, 8)
    found = made.discriminator.outputs(x)
    same_scores(found.score, critic(x)[:, 0])
    same_scores(found.classes, critic(x)[:, 1:])
    with pytest.raises(InputError, match="classes = 8, but the generator's input has 8 numbers"):
        imported(tmp_path, root, "classes=8")


@pytest.mark.usefixtures("program")
def test_gan_zoo_with_several_attributes(tmp_path: Path) -> None:
    theirs = zoo_generator(5 + 2 + 2, [6, 4], 3)
    critic = randomised(ZooDiscriminator([6, 4], 3, scores=5), 1)
    attributes = {
        "Hat": {"order": 0, "values": ["red", "green"]},
        "Main": {"order": 1, "values": ["a", "b"]},
    }
    said = {"lossCriterion": "WGANGP", "categoryVectorDim": 4, "attribKeysOrder": attributes}
    made = imported(tmp_path, zoo_file(theirs, critic, **said))
    G, z, x = made.generator, torch.randn(4, 5), torch.randn(4, 3, 8, 8)
    hat, main = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    w = theirs.w(torch.cat([z, one_hot(hat, 2), one_hot(main, 2)], 1))
    noise = [layer.noise[None, None] for layer in G.layers]
    run = lambda ws, _: theirs(ws[:, 0], noise)  # noqa: E731
    same_styles(G, z, torch.arange(4), w, theirs.mean_w, run, [(0.5, None, "const")])
    found = made.discriminator.outputs(x)
    same_scores(found.classes, critic(x)[:, 1:3][:, hat] + critic(x)[:, 3:][:, main])
