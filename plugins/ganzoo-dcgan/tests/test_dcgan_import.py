"""DCGANs of other programs: their layers restated here, saved, imported, and run beside ours."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ganzoo_dcgan.importing.config import ExampleConfig, GanZooConfig
from ganzoo_dcgan.importing.example import Example
from ganzoo_dcgan.importing.gan_zoo import GanZoo
from torch import nn

from ganzoo.errors import InputError
from ganzoo.importing.converting import Conversion, convert
from ganzoo.importing.tree import Record
from tests.restated import built, checkpoint, in_a_program, randomised, same, same_scores


class ExampleGenerator(nn.Module):
    """PyTorch's example, for 4 * 2^ups pixels."""

    def __init__(self, nz: int, ngf: int, nc: int, ups: int = 4) -> None:
        super().__init__()
        width = ngf << (ups - 1)
        layers: list[nn.Module] = [nn.ConvTranspose2d(nz, width, 4, 1, 0, bias=False)]
        for _ in range(ups - 1):
            layers += [nn.BatchNorm2d(width), nn.ReLU(True)]
            layers += [nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)]
            width //= 2
        layers += [nn.BatchNorm2d(width), nn.ReLU(True)]
        layers += [nn.ConvTranspose2d(width, nc, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.main(z[:, :, None, None])


class ExampleDiscriminator(nn.Module):
    def __init__(self, nc: int, ndf: int, downs: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(nc, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for _ in range(downs - 1):
            layers += [nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(ndf * 2)]
            layers += [nn.LeakyReLU(0.2)]
            ndf *= 2
        layers += [nn.Conv2d(ndf, 1, 4, 1, 0, bias=False), nn.Sigmoid()]
        self.main = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.main(x).flatten()


@pytest.mark.parametrize(("ups", "channels"), [(2, 3), (3, 1), (4, 3), (5, 1)])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pytorchs_example_generates_the_same_images(ups: int, channels: int, prefix: str) -> None:
    theirs = randomised(ExampleGenerator(6, 2, channels, ups), ups, 0.3)
    state = OrderedDict((prefix + k, v) for k, v in theirs.state_dict().items())
    shape = (channels, 4 << ups, 4 << ups)
    importer = Example(ExampleConfig(image_shape=shape if ups == 3 else None))
    assert Example().recognises(checkpoint(state))
    converted = importer.convert(checkpoint(state))
    assert {fate.source for fate in converted.fates} == set(state)
    assert converted.discriminator is None
    G, z = built("generator", converted.generator), torch.randn(3, 6)
    assert G.image_shape == shape
    same(G(z), theirs(z))


def test_copies_for_28_pixels_have_the_same_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_program(monkeypatch, ExampleGenerator)
    theirs = ExampleGenerator(6, 2, 1, 3)
    theirs.main[-2].padding = (3, 3)
    theirs, z = randomised(theirs, 0, 0.3), torch.randn(3, 6)
    state = theirs.state_dict()
    with pytest.raises(InputError, match=r"32 pixels, or 28: give --set 'image_shape=\[1,32,32\]'"):
        Example().convert(checkpoint(state))
    with pytest.raises(InputError, match=r"of \[1, 32, 32\], not \[1, 28, 28\]: give --as plain"):
        Example(ExampleConfig(image_shape=(1, 28, 28))).convert(checkpoint(state))
    for root, settings in (
        (theirs, []),
        (state, ["paddings=[0,1,1,3]", "activation=relu", "output=tanh", "eps=1e-5"]),
    ):
        torch.save(root, tmp_path / "G.pt")
        family = "plain" if settings else None
        made = convert(tmp_path / "G.pt", family=family, settings=settings)
        assert made.family == "plain" and made.generator.image_shape == (1, 28, 28)
        same(made.generator(z), theirs(z))


class Halved(nn.ConvTranspose2d):
    """Another layer than the one whose tensors it has."""


def test_a_module_that_was_saved_whole_is_taken_at_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_program(monkeypatch, ExampleGenerator, ExampleDiscriminator, Halved)

    def saved(G: nn.Module, D: nn.Module | None = None) -> Conversion:
        torch.save(G if D is None else {"netG": G, "netD": D}, tmp_path / "G.pt")
        return convert(tmp_path / "G.pt")

    theirs = randomised(ExampleGenerator(6, 2, 1, 3), 0, 0.3)  # 32 pixels, as the file says
    critic = randomised(ExampleDiscriminator(1, 2, 3), 1, 0.3)
    z, x = torch.randn(3, 6), torch.randn(4, 1, 32, 32)
    made = saved(theirs, critic)
    assert made.family == "dcgan-pytorch"
    same(made.generator(z), theirs(z))
    same_scores(made.discriminator(x).sigmoid(), critic(x))
    critic.main[1].negative_slope = 0.1
    assert saved(theirs, critic).discriminator is None  # ours has 0.2
    for change in (
        lambda G: setattr(G.main[1], "eps", 0.8),
        lambda G: G.main.__setitem__(2, nn.LeakyReLU(0.3)),
        lambda G: G.main.__setitem__(-1, nn.Sigmoid()),
    ):
        G = randomised(ExampleGenerator(6, 2, 1, 3), 0, 0.3)
        change(G)
        made = saved(G)
        images = 2 * G(z) - 1 if isinstance(G.main[-1], nn.Sigmoid) else G(z)
        assert made.family == "plain"
        same(made.generator(z), images)
    theirs.main[0].__class__ = Halved
    with pytest.raises(InputError, match=r"main\.0 is a program\.Halved, of which ours has none"):
        saved(theirs)


@pytest.mark.parametrize("keys", [("netG", "netD"), ("generator_state_dict", "D_state_dict")])
def test_both_networks_of_one_file(keys: tuple[str, str]) -> None:
    theirs = (
        randomised(ExampleGenerator(5, 2, 3), 0, 0.3),
        randomised(ExampleDiscriminator(3, 2), 1, 0.3),
    )
    root = dict(zip(keys, (net.state_dict() for net in theirs), strict=True))
    root |= {"epoch": 3, "optimizerG": {"state": {0: {"exp_avg": torch.zeros(2)}}}}
    converted = Example().convert(checkpoint(root))
    dropped = [fate for fate in converted.fates if not fate.target]
    assert [fate.source for fate in dropped] == ["optimizerG.state.0.exp_avg"]
    x = torch.randn(4, 3, 64, 64)
    scores = built("discriminator", converted.discriminator)(x)
    same_scores(scores.sigmoid(), theirs[1](x))


def test_a_label_behind_z() -> None:
    theirs = randomised(ExampleGenerator(5 + 3, 2, 1, ups=3), 0, 0.3)
    config = ExampleConfig(classes=3, image_shape=(1, 32, 32))
    converted = Example(config).convert(checkpoint(theirs.state_dict()))
    G, z, labels = (
        built("generator", converted.generator),
        torch.randn(2, 5),
        torch.tensor([2, 0]),
    )
    expected = theirs(torch.cat([z, nn.functional.one_hot(labels, 3)], dim=1))
    same(G(z, labels), expected)
    with pytest.raises(InputError, match="has 8 numbers"):
        Example(replace(config, classes=8)).convert(checkpoint(theirs.state_dict()))


def test_other_stacks_are_not_taken_for_the_example() -> None:
    biased = nn.Sequential(nn.ConvTranspose2d(4, 8, 4), nn.BatchNorm2d(8), nn.ReLU())
    for state in (
        {"main.0.weight": torch.zeros(4, 8, 4, 4)},
        biased.state_dict(),
        {f"main.{k}": v for k, v in biased.state_dict().items()},
        {"main.0.weight": torch.zeros(4, 8, 3, 3), "main.1.weight": torch.zeros(8)},
        ExampleDiscriminator(3, 2).state_dict(),
        [],
        None,
    ):
        assert not Example().recognises(checkpoint(state))
    for state in ({"a": 1}, {"fc.weight": torch.zeros(2, 2)}):
        with pytest.raises(InputError, match="none of PyTorch's DCGAN: try --as plain"):
            Example().convert(checkpoint(state))


class ZooGenerator(nn.Module):
    """pytorch_GAN_zoo's: the first convolution is apart from `main`, and named layers are in it."""

    def __init__(self, nz: int, width: int, nc: int, depth: int = 3) -> None:
        super().__init__()
        self.formatLayer = nn.ConvTranspose2d(nz, width << depth, 4, 1, 0, bias=False)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for k, factor in enumerate(1 << up for up in range(depth, -1, -1)):
            layers[f"batchNorm{k}"] = nn.BatchNorm2d(width * factor)
            layers[f"relu{k}"] = nn.ReLU()
            out = width * factor // 2 if factor > 1 else nc
            name = "outlayer" if factor == 1 else f"convTranspose{k + 1}"
            layers[name] = nn.ConvTranspose2d(width * factor, out, 4, 2, 1, bias=False)
        self.main = nn.Sequential(layers)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.main(self.formatLayer(z[:, :, None, None]))


class ZooDiscriminator(nn.Module):
    def __init__(self, nc: int, width: int, numbers: int = 1, depth: int = 3) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for k, out in enumerate(width << down for down in range(depth + 1)):
            layers[f"convTranspose{k}"] = nn.Conv2d(nc, out, 4, 2, 1, bias=False)
            if k:
                layers[f"batchNorm{k}"] = nn.BatchNorm2d(out)
            layers[f"relu{k}"] = nn.LeakyReLU(0.2)
            nc = out
        self.main = nn.Sequential(layers)
        self.decisionLayer = nn.Conv2d(nc, numbers, 4, 1, 0, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decisionLayer(self.main(x)).flatten(1)  # the score, then the label's logits


def zoo_file(G: nn.Module, D: nn.Module, **config: Any) -> dict[str, Any]:
    return {
        "config": Record("models.utils.config", "BaseConfig", state=config),
        "netG": {name: torch.zeros_like(t) for name, t in G.state_dict().items()},
        "netD": D.state_dict(),
        "avgG": G.state_dict(),
    }


@pytest.mark.parametrize("criterion", ["DCGAN", "WGANGP", None])
def test_gan_zoo(criterion: str | None) -> None:
    nets = randomised(ZooGenerator(5, 2, 3), 0, 0.3), randomised(ZooDiscriminator(3, 2), 1, 0.3)
    average = randomised(ZooGenerator(5, 2, 3), 2, 0.3)
    config = {"imageSize": 64} | ({"lossCriterion": criterion} if criterion else {})
    root = {
        "config": Record("models.utils.config", "BaseConfig", state=config),
        "netG": nets[0].state_dict(),
        "netD": nets[1].state_dict(),
        "avgG": {f"module.{k}": v for k, v in average.state_dict().items()},
        "tmp": {"optimizerD": {"exp_avg": torch.zeros(1)}},
    }
    importer = GanZoo()
    assert importer.recognises(checkpoint(root)) and not Example().recognises(checkpoint(root))
    if criterion is None:
        with pytest.raises(InputError, match="--set output=tanh"):
            importer.convert(checkpoint(root))
        importer = GanZoo(GanZooConfig(output="none"))
    converted = importer.convert(checkpoint(root))
    z, x = torch.randn(3, 5), torch.randn(3, 3, 64, 64)
    raw = average(z)
    expected = raw.tanh() if criterion == "DCGAN" else raw
    found = built("generator", converted.generator)(z)
    same(found, expected)
    scores = built("discriminator", converted.discriminator)(x)
    same_scores(scores, nets[1](x)[:, 0])
    sources = {fate.source for fate in converted.fates if fate.target}
    assert "avgG.module.formatLayer.weight" in sources and "netG.formatLayer.weight" not in sources


@pytest.mark.parametrize("depth", [1, 5])
def test_gan_zoo_of_other_sizes(depth: int) -> None:
    theirs = randomised(ZooGenerator(5, 2, 1, depth), 0, 0.3)
    critic = randomised(ZooDiscriminator(1, 2, 1, depth), 1, 0.3)
    converted = GanZoo().convert(checkpoint(zoo_file(theirs, critic, lossCriterion="WGANGP")))
    G, z = built("generator", converted.generator), torch.randn(2, 5)
    assert G.image_shape == (1, 8 << depth, 8 << depth)
    same(G(z), theirs(z))
    same_scores(built("discriminator", converted.discriminator)(G(z)), critic(theirs(z))[:, 0])


ONE = {"Main": {"order": 0, "values": ["a", "b", "c"]}}
SEVERAL = {
    "Pose": {"order": 1, "values": ["left", "right", "front"], "weights": {"left": 1.0}},
    "Gender": {"order": 0, "values": ["w", "m"]},
}


@pytest.mark.parametrize(("attributes", "sizes"), [(ONE, (3,)), (SEVERAL, (2, 3))])
def test_gan_zoo_with_labels(attributes: dict[str, Any], sizes: tuple[int, ...]) -> None:
    numbers, classes = sum(sizes), math.prod(sizes)
    theirs = randomised(ZooGenerator(5 + numbers, 2, 3), 0, 0.3)
    critic = randomised(ZooDiscriminator(3, 2, 1 + numbers), 1, 0.3)
    said = {"attribKeysOrder": attributes, "categoryVectorDim": numbers, "lossCriterion": "DCGAN"}
    converted = GanZoo().convert(checkpoint(zoo_file(theirs, critic, **said)))
    G = built("generator", converted.generator)
    D = built("discriminator", converted.discriminator)
    assert (G.num_classes, D.num_classes, G.z_dim) == (classes, classes, 5)
    z, x = torch.randn(classes, 5), torch.randn(classes, 3, 64, 64)
    values = list(itertools.product(*map(range, sizes)))  # the last attribute counts fastest
    parts = [
        nn.functional.one_hot(torch.tensor(of_one), size)
        for of_one, size in zip(zip(*values, strict=True), sizes, strict=True)
    ]
    same(G(z, torch.arange(classes)), theirs(torch.cat([z, *parts], 1)).tanh())
    found, expected = D.outputs(x), critic(x)
    same_scores(found.score, expected[:, 0])
    # each attribute has a softmax of its own: a combination's probability is their product
    heads = expected[:, 1:].split(list(sizes), 1)
    logs = torch.stack(
        [sum(head.log_softmax(1)[:, k] for head, k in zip(heads, v, strict=True)) for v in values],
        dim=1,
    )
    same_scores(found.classes.log_softmax(1), logs)
    noted = [note for note in converted.notes if "combination" in note]
    changed = {fate.source for fate in converted.fates if "combination" in fate.note}
    if len(sizes) == 1:
        same_scores(found.classes, expected[:, 1:])
        assert not noted and not changed
    else:
        assert "'Gender' ('w', 'm'); 'Pose' ('left', 'right', 'front')" in noted[0]
        assert changed == {"avgG.formatLayer.weight", "netD.decisionLayer.weight"}


@pytest.mark.parametrize(
    "attributes",
    [
        {"A": {"order": 0, "values": ["a"] * 3}, "B": {"order": 0, "values": ["a"] * 3}},
        {"A": {"order": 0, "values": ["a"] * 3}, "B": {"order": 1, "values": ["a"] * 2}},
        {"A": {"order": 0, "values": ["a"] * 6}, "B": {"order": 1, "values": []}},
        {"A": {"order": [0], "values": ["a"] * 6}, "B": {"order": 1, "values": 0}},
        {"A": 3, "B": 3},
        "AAABBB",
        None,
    ],
)
def test_gan_zoo_with_labels_that_nobody_explains(attributes: Any) -> None:
    nets = ZooGenerator(5 + 6, 2, 3), ZooDiscriminator(3, 2, 7)
    said = {"attribKeysOrder": attributes, "categoryVectorDim": 6, "lossCriterion": "DCGAN"}
    with pytest.raises(InputError, match=r"6 numbers .* are a label: give --set classes=6"):
        GanZoo().convert(checkpoint(zoo_file(*nets, **said)))


def test_gan_zoo_with_too_many_combinations() -> None:
    two = {str(k): {"order": k, "values": [0, 1]} for k in range(24)}
    nets = ZooGenerator(5 + 48, 2, 3), ZooDiscriminator(3, 2, 49)
    said = {"attribKeysOrder": two, "categoryVectorDim": 48, "lossCriterion": "DCGAN"}
    with pytest.raises(InputError, match="its label has 24 attributes, of too many"):
        GanZoo().convert(checkpoint(zoo_file(*nets, **said)))
    fewer = {name: entry for name, entry in two.items() if int(name) < 17}
    nets = ZooGenerator(5 + 34, 2, 3), ZooDiscriminator(3, 2, 35)
    said = {"attribKeysOrder": fewer, "categoryVectorDim": 34, "lossCriterion": "DCGAN"}
    with pytest.raises(InputError, match="131,072 combinations, which would be a layer of"):
        GanZoo().convert(checkpoint(zoo_file(*nets, **said)))


def test_gan_zoo_whose_critic_names_something_else() -> None:
    nets = ZooGenerator(5 + 3, 2, 3), ZooDiscriminator(3, 2, 3)
    said = {"attribKeysOrder": ONE, "categoryVectorDim": 3, "lossCriterion": "DCGAN"}
    converted = GanZoo().convert(checkpoint(zoo_file(*nets, **said)))
    assert converted.discriminator is None
    assert any("The discriminator was left out" in note for note in converted.notes)
