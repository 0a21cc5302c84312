"""Progressively grown networks of other programs, restated here as plain modules: imported, they
generate the same images and give the same scores."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from ganzoo_progan.importing.gan_zoo import GanZoo
from ganzoo_progan.importing.lookalikes_config import GanZooConfig, RosinalityConfig
from ganzoo_progan.importing.rosinality import Rosinality
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, one_hot

from ganzoo.errors import InputError
from ganzoo.importing.tree import Record
from tests.restated import built, checkpoint, normed, randomised, same, same_scores


def record(module: nn.Module) -> Record:
    """What the reader makes of a module that was saved whole."""
    return Record(
        type(module).__module__,
        type(module).__name__,
        state={
            "training": False,
            "_parameters": {k: v.data for k, v in module._parameters.items() if v is not None},
            "_buffers": {},
            "_modules": {k: record(v) for k, v in module.named_children()},
            "_forward_pre_hooks": {0: Record("model", "EqualLR", state={"name": "weight"})},
        },
    )


# -- pytorch_GAN_zoo -------------------------------------------------------------------------------


class Scaled(nn.Module):
    """A layer whose whole output, of the bias too, is multiplied by He's constant."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x) * math.sqrt(2 / self.module.weight[0].numel())


def conv(a: int, b: int, kernel: int = 3) -> Scaled:
    return Scaled(nn.Conv2d(a, b, kernel, padding=kernel // 2))


class ZooGenerator(nn.Module):
    def __init__(self, z_dim: int, depths: list[int], channels: int) -> None:
        super().__init__()
        first = depths[0]
        self.scaleLayers, self.toRGBLayers = nn.ModuleList(), nn.ModuleList()
        self.formatLayer = Scaled(nn.Linear(z_dim, 16 * first))
        self.groupScale0 = nn.ModuleList([conv(first, first)])
        self.toRGBLayers.append(conv(first, channels, 1))
        for a, b in itertools.pairwise(depths):
            self.scaleLayers.append(nn.ModuleList([conv(a, b), conv(b, b)]))
            self.toRGBLayers.append(conv(b, channels, 1))

    def forward(self, z: Tensor, alpha: float = 0.0) -> Tensor:
        x = leaky_relu(self.formatLayer(normed(z)), 0.2)
        x = normed(x.view(len(z), -1, 4, 4))
        x = normed(leaky_relu(self.groupScale0[0](x), 0.2))
        below = x
        for pair in self.scaleLayers:
            below, x = x, interpolate(x, scale_factor=2)
            for layer in pair:
                x = normed(leaky_relu(layer(x), 0.2))
        image = self.toRGBLayers[-1](x)
        if alpha:
            old = interpolate(self.toRGBLayers[-2](below), scale_factor=2)
            image = alpha * old + (1 - alpha) * image
        return image


class ZooDiscriminator(nn.Module):
    def __init__(self, depths: list[int], channels: int, statistics: bool, scores: int = 1) -> None:
        super().__init__()
        first, self.statistics = depths[0], statistics
        self.scaleLayers, self.fromRGBLayers = nn.ModuleList(), nn.ModuleList()
        self.groupScaleZero = nn.ModuleList(
            [conv(first + statistics, first), Scaled(nn.Linear(16 * first, first))]
        )
        self.fromRGBLayers.append(conv(channels, first, 1))
        for a, b in itertools.pairwise(depths):
            self.scaleLayers.append(nn.ModuleList([conv(b, b), conv(b, a)]))
            self.fromRGBLayers.append(conv(channels, b, 1))
        self.decisionLayer = Scaled(nn.Linear(first, scores))

    def forward(self, x: Tensor) -> Tensor:
        x = leaky_relu(self.fromRGBLayers[-1](x), 0.2)
        for pair in reversed(self.scaleLayers):
            for layer in pair:
                x = leaky_relu(layer(x), 0.2)
            x = avg_pool2d(x, 2)
        if self.statistics:
            n, _, height, width = x.shape
            size = min(4, n) if n % min(4, n) == 0 else n
            spread = torch.zeros(n)
            if size > 1:
                for start in range(0, n, size):
                    of_group = (x[start : start + size].var(0, unbiased=True) + 1e-8).sqrt()
                    spread[start : start + size] = of_group.mean()
            x = torch.cat([x, spread[:, None, None, None].expand(n, 1, height, width)], 1)
        x = leaky_relu(self.groupScaleZero[0](x), 0.2)
        x = leaky_relu(self.groupScaleZero[1](x.flatten(1)), 0.2)
        return self.decisionLayer(x).squeeze(1)


def zoo_file(G: nn.Module, D: nn.Module, levels: str, **config: Any) -> dict[str, Any]:
    """`levels`: what becomes of the names' `module` levels."""
    names = {
        "with": lambda name: name,
        "without": lambda name: name.replace(".module.", "."),
        "parallel": lambda name: f"module.{name}",
    }[levels]
    state = {names(k): v for k, v in G.state_dict().items()}
    return {
        "config": Record("models.utils.config", "BaseConfig", state=config),
        "netG": {k: torch.zeros_like(v) for k, v in state.items()},
        "netD": {names(k): v for k, v in D.state_dict().items()},
        "avgG": state,
    }


@pytest.mark.parametrize("levels", ["with", "without", "parallel"])
@pytest.mark.parametrize(
    ("depths", "channels", "criterion", "statistics"),
    [([6, 6, 4], 3, "WGANGP", False), ([5, 4], 1, "DCGAN", True), ([4], 3, "MSE", True)],
)
def test_gan_zoo(
    levels: str, depths: list[int], channels: int, criterion: str, statistics: bool
) -> None:
    theirs = randomised(ZooGenerator(7, depths, channels), 0)
    critic = randomised(ZooDiscriminator(depths, channels, statistics), 1)
    root = zoo_file(theirs, critic, levels, lossCriterion=criterion, leakyReluLeak=0.2)
    assert GanZoo().recognises(checkpoint(root)) and not Rosinality().recognises(checkpoint(root))
    converted = GanZoo().convert(checkpoint(root))
    assert all(fate.source.startswith("netG.") != bool(fate.target) for fate in converted.fates)
    G, D = (
        built("generator", converted.generator),
        built("discriminator", converted.discriminator),
    )
    z = torch.randn(8, 7)
    expected = theirs(z)
    if criterion != "WGANGP":
        expected = expected.tanh()
    same(G(z), expected)
    for count in (8, 6, 4, 3, 1):
        scores = critic(expected[:count])
        same_scores(D(expected[:count]), scores)
    if len(depths) > 1 and criterion == "WGANGP":
        blended = theirs(z, alpha=0.25)
        same(G(z, lod=0.25), blended)


def test_gan_zoo_without_gains_and_with_labels() -> None:
    class Plain(Scaled):
        def forward(self, x: Tensor) -> Tensor:
            return self.module(x)

    theirs = randomised(ZooGenerator(5 + 3, [4, 3], 3), 0)
    for module in theirs.modules():
        if isinstance(module, Scaled):
            module.__class__ = Plain
    critic = randomised(ZooDiscriminator([4, 3], 3, True, scores=4), 1)
    for module in critic.modules():
        if isinstance(module, Scaled):
            module.__class__ = Plain
    root = zoo_file(theirs, critic, "with", equalizedlR=False)
    with pytest.raises(InputError, match="--set classes=3"):
        GanZoo().convert(checkpoint(root))
    with pytest.raises(InputError, match="--set output=none"):
        GanZoo(GanZooConfig(classes=3)).convert(checkpoint(root))
    converted = GanZoo(GanZooConfig(output="none", classes=3)).convert(checkpoint(root))
    D, x = built("discriminator", converted.discriminator), torch.randn(6, 3, 8, 8)
    same_scores(D.outputs(x).score, critic(x)[:, 0])
    same_scores(D.outputs(x).classes, critic(x)[:, 1:])
    z, labels = torch.randn(3, 5), torch.tensor([0, 2, 1])
    expected = theirs(torch.cat([z, one_hot(labels, 3)], 1))
    found = built("generator", converted.generator)(z, labels)
    same(found, expected)


def test_gan_zoo_with_labels_of_its_own() -> None:
    theirs = randomised(ZooGenerator(5 + 3, [4, 3], 3))
    critic = randomised(ZooDiscriminator([4, 3], 3, False, scores=4), 1)
    of_one = {"Main": {"order": 0, "values": ["a", "b", "c"]}}
    said = {"lossCriterion": "WGANGP", "categoryVectorDim": 3}
    root = zoo_file(theirs, critic, "with", attribKeysOrder=of_one, **said)
    converted = GanZoo().convert(checkpoint(root))
    z, labels = torch.randn(3, 5), torch.tensor([0, 2, 1])
    expected = theirs(torch.cat([z, one_hot(labels, 3)], 1))
    same(built("generator", converted.generator)(z, labels), expected)
    one_score = randomised(ZooDiscriminator([4, 3], 3, False), 1)
    root = zoo_file(theirs, one_score, "with", attribKeysOrder=of_one, **said)
    converted = GanZoo().convert(checkpoint(root))
    assert converted.discriminator is None and "left out" in converted.notes[0]


def test_gan_zoo_with_several_attributes() -> None:
    theirs = randomised(ZooGenerator(5 + 2 + 3, [4, 3], 3))
    critic = randomised(ZooDiscriminator([4, 3], 3, False, scores=6), 1)
    attributes = {
        "Hat": {"order": 1, "values": ["red", "green", "none"]},
        "Main": {"order": 0, "values": ["a", "b"]},
    }
    said = {"lossCriterion": "WGANGP", "categoryVectorDim": 5, "attribKeysOrder": attributes}
    root = checkpoint(zoo_file(theirs, critic, "with", **said))
    converted = GanZoo().convert(root)
    assert any("'Main' ('a', 'b'); 'Hat' ('red'" in note for note in converted.notes)
    z, x = torch.randn(6, 5), torch.randn(6, 3, 8, 8)
    main, hat = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 1, 2, 0, 1, 2])
    expected = theirs(torch.cat([z, one_hot(main, 2), one_hot(hat, 3)], 1))
    same(built("generator", converted.generator)(z, torch.arange(6)), expected)
    found = built("discriminator", converted.discriminator).outputs(x)
    same_scores(found.score, critic(x)[:, 0])
    same_scores(found.classes, critic(x)[:, 1:3][:, main] + critic(x)[:, 3:][:, hat])


def test_gan_zoo_that_blends_its_first_resolution() -> None:
    """The program's generator does, its critic does not."""
    theirs = randomised(ZooGenerator(5, [4, 3], 3), 0)
    critic = randomised(ZooDiscriminator([4, 3], 3, False), 1)
    root = zoo_file(theirs, critic, "with", lossCriterion="WGANGP", alpha=0.5)
    converted = GanZoo().convert(checkpoint(root))
    assert any("does not blend 8x8: lod=0" in note for note in converted.notes)
    z = torch.randn(2, 5)
    same(built("generator", converted.generator)(z, lod=0.5), theirs(z, alpha=0.5))
    x = torch.randn(2, 3, 8, 8)
    same_scores(built("discriminator", converted.discriminator)(x), critic(x))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"leakyReluLeak": 0.1}, "slope 0.1"),
        ({"perChannelNormalization": False}, "without pixel norm"),
        ({"categoryVectorDim": 3}, "--set classes=3"),
    ],
)
def test_gan_zoo_that_ours_cannot_express(config: dict[str, Any], message: str) -> None:
    nets = ZooGenerator(5, [4, 3], 3), ZooDiscriminator([4, 3], 3, True)
    root = zoo_file(*nets, "with", lossCriterion="WGANGP", **config)
    with pytest.raises(InputError, match=message):
        GanZoo().convert(checkpoint(root))


def test_gan_zoo_with_a_tensor_too_few_or_too_many() -> None:
    nets = ZooGenerator(5, [4, 3], 3), ZooDiscriminator([4, 3], 3, True)
    root = zoo_file(*nets, "with", lossCriterion="WGANGP")
    bias = root["avgG"].pop("formatLayer.module.bias")
    with pytest.raises(InputError, match=r"has no \w+\.formatLayer\.bias"):
        GanZoo().convert(checkpoint(root))
    root["avgG"] |= {"formatLayer.module.bias": bias, "another.weight": bias}
    with pytest.raises(InputError, match=r"does not have: avgG.another.weight"):
        GanZoo().convert(checkpoint(root))


# -- rosinality ------------------------------------------------------------------------------------


class Equal(nn.Module):
    """A convolution whose weight, `weight_orig`, is scaled as it is used."""

    def __init__(self, a: int, b: int, kernel: int, padding: int) -> None:
        super().__init__()
        self.padding = padding
        self.conv = nn.Module()
        self.conv.bias = nn.Parameter(torch.zeros(b))
        self.conv.weight_orig = nn.Parameter(torch.randn(b, a, kernel, kernel))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.conv.weight_orig
        weight = weight * math.sqrt(2 / weight[0].numel())
        return nn.functional.conv2d(x, weight, self.conv.bias, padding=self.padding)


class Norm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return normed(x)


class Block(nn.Module):
    def __init__(self, a: int, b: int, kernel: int = 3, padding: int = 1) -> None:
        super().__init__()
        first = Equal(a, b, kernel, padding), Norm(), nn.LeakyReLU(0.2)
        self.conv = nn.Sequential(*first, Equal(b, b, 3, 1), Norm(), nn.LeakyReLU(0.2))


class RosinalityGenerator(nn.Module):
    def __init__(self, code: int, classes: int, widths: list[int]) -> None:
        super().__init__()
        self.label_embed = nn.Embedding(classes, classes)
        self.code_norm = Norm()
        blocks = [Block(code + classes, widths[0], 4, 3)]
        blocks += [Block(a, b) for a, b in itertools.pairwise(widths)]
        self.progression = nn.ModuleList(blocks)
        self.to_rgb = nn.ModuleList([nn.Conv2d(width, 3, 1) for width in widths])

    def forward(self, z: Tensor, labels: Tensor, step: int, alpha: float = 1.0) -> Tensor:
        x = torch.cat([normed(z), self.label_embed(labels)], 1)[:, :, None, None]
        for k in range(step + 1):
            below = x
            x = self.progression[k].conv(interpolate(x, scale_factor=2) if k else x)
        image = self.to_rgb[step](x)
        if alpha < 1:
            old = self.to_rgb[step - 1](interpolate(below, scale_factor=2))
            image = (1 - alpha) * old + alpha * image
        return image


class Critic(nn.Module):
    """Two convolutions, the first of which has the channels of what is below."""

    def __init__(self, a: int, b: int, kernel: int = 3, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            Equal(a, b, 3, 1), nn.LeakyReLU(0.2), Equal(b, b, kernel, padding), nn.LeakyReLU(0.2)
        )


class RosinalityDiscriminator(nn.Module):
    """From the largest resolution down: `widths` are from 4x4 up."""

    def __init__(self, classes: int, widths: list[int]) -> None:
        super().__init__()
        blocks = [Critic(widths[0] + 1, widths[0], 4, 0)]
        blocks += [Critic(b, a) for a, b in itertools.pairwise(widths)]
        self.progression = nn.ModuleList(blocks[::-1])
        self.from_rgb = nn.ModuleList([nn.Conv2d(3, width, 1) for width in widths[::-1]])
        self.linear = nn.Linear(widths[0], 1 + classes)

    def forward(self, images: Tensor, step: int, alpha: float = 1.0) -> Tensor:
        last = len(self.progression) - 1
        x = self.from_rgb[last - step](images)
        for k in range(step, -1, -1):
            if k == 0:
                deviation = images.std(0).mean()  # unbiased, of the images as they came
                x = torch.cat([x, deviation.expand(len(x), 1, 4, 4)], 1)
            x = self.progression[last - k].conv(x)
            if k:
                x = avg_pool2d(x, 2)
            if k == step and alpha < 1:
                below = self.from_rgb[last - step + 1](avg_pool2d(images, 2))
                x = (1 - alpha) * below + alpha * x
        return self.linear(x.flatten(1))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("levels", [3, 1])
def test_rosinality_with_its_critic(whole: bool, levels: int) -> None:
    theirs = randomised(RosinalityGenerator(5, 3, [6, 5, 4]), 0)
    critic = randomised(RosinalityDiscriminator(3, [6, 5, 4]), 1)
    for block in theirs.progression[levels:]:
        for layer in (0, 3):
            block.conv[layer].conv.bias.data.zero_()
    nets = {"g_running": theirs, "generator": theirs, "discriminator": critic}
    root: dict[str, Any] = {
        name: record(net) if whole else net.state_dict() for name, net in nets.items()
    }
    if whole:  # the hook that scales a weight leaves what it computed on the module
        first = root["discriminator"].state["_modules"]["progression"].state["_modules"]["0"]
        for name in ("conv", "0", "conv"):
            first = first.state["_modules"][name]
        first.state["weight"] = torch.zeros(5, 4, 3, 3)
    converted = Rosinality().convert(checkpoint(root))
    left = {fate.note for fate in converted.fates if not fate.target}
    assert left == {"the generator before averaging"} | (
        ({"of a resolution that was not reached"} if levels < 3 else set())
        | ({"computed from weight_orig"} if whole and levels == 3 else set())
    )
    size = 4 << (levels - 1)
    D, x = built("discriminator", converted.discriminator), torch.randn(5, 3, size, size)
    assert D.image_shape == (3, size, size)
    for count in (5, 2):  # of the whole batch
        found, expected = D.outputs(x[:count]), critic(x[:count], levels - 1)
        same_scores(found.score, expected[:, 0])
        same_scores(found.classes, expected[:, 1:])
    assert D(x[:1]).isfinite().all()
    if levels > 1:
        same_scores(D(x, lod=0.3), critic(x, levels - 1, alpha=0.7)[:, 0])
        same_scores(D(x, lod=1), critic(avg_pool2d(x, 2), levels - 2)[:, 0])


def test_rosinality_with_another_critic() -> None:
    theirs = randomised(RosinalityGenerator(5, 3, [6, 5, 4]), 0).state_dict()
    for other in (
        RosinalityDiscriminator(2, [6, 5, 4]).state_dict(),  # of another number of classes
        RosinalityDiscriminator(3, [6, 5]).state_dict(),
        {"progression.0.weight": torch.zeros(1, 2)},
    ):
        root = {"g_running": theirs, "discriminator": other}
        converted = Rosinality().convert(checkpoint(root))
        assert converted.discriminator is None and "left out" in converted.notes[0]
        assert {f.source for f in converted.fates if f.source.startswith("discriminator.")} == {
            f"discriminator.{name}" for name in other
        }


@pytest.mark.parametrize("form", ["module", "parallel", "state", "training"])
def test_rosinality(form: str) -> None:
    theirs = randomised(RosinalityGenerator(5, 3, [6, 5, 4]), 0)
    whole: Any = record(theirs)
    # the hook that scales a weight leaves what it computed on the module
    whole.state["_modules"]["progression"].state["_modules"]["0"].state["_modules"]["conv"].state[
        "_modules"
    ]["0"].state["_modules"]["conv"].state["weight"] = torch.zeros(6, 8, 4, 4)
    if form == "parallel":
        whole = record(nn.DataParallel(theirs))
    elif form == "state":
        whole = theirs.state_dict()
    elif form == "training":
        other = RosinalityGenerator(5, 3, [6, 5, 4]).state_dict()
        whole = {"generator": other, "discriminator": {"linear.weight": torch.zeros(1, 2)}}
        whole |= {"g_running": theirs.state_dict(), "g_optimizer": {"x": torch.zeros(1)}}
    assert Rosinality().recognises(checkpoint(whole))
    converted = Rosinality().convert(checkpoint(whole))
    G, z, labels = built("generator", converted.generator), torch.randn(3, 5), torch.arange(3)
    same(G(z, labels), theirs(z, labels, 2))
    half = nn.functional.avg_pool2d(G(z, labels, lod=1), 2)
    same(half, theirs(z, labels, 1))
    blended = theirs(z, labels, 2, alpha=0.7)
    same(G(z, labels, lod=0.3), blended)


def test_rosinality_that_was_not_trained_to_its_end() -> None:
    theirs = randomised(RosinalityGenerator(5, 3, [6, 5, 4]), 0)
    for block in theirs.progression[1:]:
        for layer in (0, 3):
            block.conv[layer].conv.bias.data.zero_()
    root = checkpoint(theirs.state_dict())
    converted = Rosinality().convert(root)
    assert converted.generator.config["image_shape"] == [3, 4, 4]
    assert converted.notes == ("Of its 16 pixels only 4 were trained.",)
    converted = Rosinality(RosinalityConfig(resolution=8)).convert(root)
    assert converted.generator.config["image_shape"] == [3, 8, 8]
    with pytest.raises(InputError, match="resolution = 32 is not in the file"):
        Rosinality(RosinalityConfig(resolution=32)).convert(root)
    for layer in (0, 3):
        theirs.progression[0].conv[layer].conv.bias.data.zero_()
    with pytest.raises(InputError, match="--set resolution=16"):
        Rosinality().convert(checkpoint(theirs.state_dict()))


@pytest.mark.parametrize("odd", ["x", "progression.x", "to_rgb.x.weight"])
@pytest.mark.parametrize("key", ["g_running", "discriminator"])
def test_rosinality_with_a_tensor_too_many(key: str, odd: str) -> None:
    root = {
        "g_running": randomised(RosinalityGenerator(5, 3, [6, 5])).state_dict(),
        "discriminator": RosinalityDiscriminator(3, [6, 5]).state_dict(),
    }
    root[key][odd] = torch.zeros(2)
    with pytest.raises(InputError, match=f"does not have: {key}.{odd}"):
        Rosinality().convert(checkpoint(root))
