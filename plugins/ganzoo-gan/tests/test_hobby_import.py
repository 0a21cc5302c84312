"""Layouts of well-known tutorials and collections, saved, imported, and run beside ours."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from ganzoo.errors import InputError
from ganzoo.importing.converting import convert
from tests.restated import imported, in_a_program, randomised, same, same_scores

SAID = ("activation=relu", "output=tanh", "eps=1e-5")
ORDINARY = ("transposed=[false,false,false]",)
LEAKY = ("activation=leaky-relu", "slope=0.2", "output=tanh")


class Upsampling(nn.Module):
    """PyTorch-GAN's DCGAN; with `classes`, its ACGAN (whose label is multiplied with z) or its SGAN
    (which has the same embedding, and does not use it)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(classes, 6)
        self.l1 = nn.Sequential(nn.Linear(6, 128 * 2 * 2))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(128), nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 128, 3, padding=1), nn.BatchNorm2d(128, 0.8), nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, 3, padding=1), nn.BatchNorm2d(64, 0.8), nn.LeakyReLU(0.2),
            nn.Conv2d(64, 1, 3, padding=1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return self.conv_blocks(self.l1(z).view(len(z), 128, 2, 2))


class TwoHeads(nn.Module):
    """The discriminator of its ACGAN."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_blocks = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.LeakyReLU(0.2))
        self.adv_layer = nn.Sequential(nn.Linear(4 * 16, 1), nn.Sigmoid())
        self.aux_layer = nn.Sequential(nn.Linear(4 * 16, 3), nn.Softmax())


def test_pytorch_gans_acgan_and_sgan_are_told_apart_by_who_imports_them(tmp_path: Path) -> None:
    G, z, labels = randomised(Upsampling(3), 0, 0.2), torch.randn(4, 6), torch.arange(4) % 3
    with pytest.raises(InputError, match="--set labels=product"):
        imported(tmp_path, G.state_dict())
    acgan = imported(tmp_path, G.state_dict(), "labels=product")
    same(acgan.generator(z, labels), G(z * G.label_emb(labels)))
    sgan = imported(tmp_path, G.state_dict(), "labels=none")
    assert sgan.generator.num_classes == 0
    same(sgan.generator(z), G(z))
    assert [f.source for f in sgan.converted.fates if not f.target] == ["label_emb.weight"]


def test_a_discriminator_of_two_heads_is_no_chain(tmp_path: Path) -> None:
    G, D = randomised(Upsampling(3)), randomised(TwoHeads())
    root = {"generator": G.state_dict(), "discriminator": D.state_dict()}
    with pytest.raises(InputError, match="not one layer after another: give --set discriminator=f"):
        imported(tmp_path, root, "labels=product")


def deconvolution(a: int, b: int, norm: bool = True) -> nn.Sequential:
    layer = nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(b)) if norm else nn.Sequential(layer)


def convolution(a: int, b: int, norm: bool = True) -> nn.Sequential:
    layer = nn.Conv2d(a, b, 4, 2, 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(b)) if norm else nn.Sequential(layer)


class UdacityGenerator(nn.Module):
    """Nothing between the linear layer and the maps, unless `opened`."""

    def __init__(self, opened: bool) -> None:
        super().__init__()
        self.opened = opened
        self.fc = nn.Linear(7, 8 * 16)
        self.t_conv1, self.t_conv2 = deconvolution(8, 4), deconvolution(4, 3, norm=False)

    def forward(self, z: Tensor) -> Tensor:
        x = self.fc(z).view(-1, 8, 4, 4)
        x = relu(self.t_conv1(relu(x) if self.opened else x))
        return self.t_conv2(x).tanh()


class UdacityDiscriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = convolution(3, 4, norm=False), convolution(4, 8)
        self.fc = nn.Linear(8 * 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = leaky_relu(self.conv2(leaky_relu(self.conv1(x), 0.2)), 0.2)
        return self.fc(x.flatten(1)).flatten()


@pytest.mark.parametrize("opened", [False, True])
def test_udacitys_dcgan_is_asked_whether_its_linear_layer_is_activated(
    tmp_path: Path, opened: bool
) -> None:
    G, D = randomised(UdacityGenerator(opened)), randomised(UdacityDiscriminator(), 1, 0.3)
    root = {"G": G.state_dict(), "D": D.state_dict()}
    said = (*SAID, "discriminator_slope=0.2")
    with pytest.raises(InputError, match="--set linear_activation=true"):
        imported(tmp_path, root, *said)
    made = imported(tmp_path, root, *said, f"linear_activation={str(opened).lower()}")
    z, x = torch.randn(3, 7), torch.randn(3, 3, 16, 16)
    same(made.generator(z), G(z))
    same_scores(made.discriminator(x), D(x))


@pytest.mark.parametrize("between", [[nn.Unflatten(1, (8, 4, 4))],
                                     [nn.ReLU(), nn.Unflatten(1, (8, 4, 4))],
                                     [nn.Unflatten(1, (8, 4, 4)), nn.BatchNorm2d(8), nn.ReLU()]],
                         ids=["nothing", "an activation", "a norm of maps"])  # fmt: skip
def test_what_makes_maps_of_a_vector_is_not_taken_for_an_activation(
    tmp_path: Path, between: list[nn.Module]
) -> None:
    layers = [nn.Linear(7, 8 * 16), *between, nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh()]
    G, z = randomised(nn.Sequential(*layers)), torch.randn(3, 7)
    made = imported(tmp_path, G.state_dict(), *SAID)
    same(made.generator(z), G(z))


@pytest.mark.parametrize("is_transposed", [False, True])
def test_a_convolution_of_equal_sides_may_be_transposed(
    tmp_path: Path, is_transposed: bool
) -> None:
    kind: Any = nn.ConvTranspose2d if is_transposed else nn.Conv2d
    G = randomised(nn.Sequential(
        nn.ConvTranspose2d(6, 8, 4), nn.ReLU(), kind(8, 8, 3, 1, 1), nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
    ))  # fmt: skip
    geometry = ("strides=[1,1,2]", "paddings=[0,1,1]")
    with pytest.raises(InputError, match="whether 2, which fits both ways, is transposed"):
        imported(tmp_path, G.state_dict(), *SAID, *geometry)
    said = f"transposed=[true,{str(is_transposed).lower()},true]"
    z = torch.randn(3, 6)
    made = imported(tmp_path, G.state_dict(), *SAID, *geometry, said)
    same(made.generator(z), G(z[:, :, None, None]))


@pytest.mark.parametrize(("first", "last"), [(nn.Conv2d(16, 4, 3, 1, 1), nn.Conv2d(4, 1, 3, 1, 1)),
                                             (nn.Conv2d(16, 1, 3, 1, 1), None)])  # fmt: skip
def test_maps_of_a_vector_may_be_of_either_side(
    tmp_path: Path, first: nn.Module, last: nn.Module | None
) -> None:
    """256 numbers are 16 maps of 4x4, but also 4 of 8x8, or 1 of 16x16."""
    behind = [] if last is None else [nn.ReLU(), last]
    layers = [nn.Linear(7, 256), nn.ReLU(), nn.Unflatten(1, (16, 4, 4)), first, *behind, nn.Tanh()]
    G, z = randomised(nn.Sequential(*layers)), torch.randn(3, 7)
    said = [*SAID, f"upsample={[1] * (1 + len(behind) // 2)}", "strides=[1]", "paddings=[1]"]
    if last is None:
        with pytest.raises(InputError, match="whether 3, which fits both ways, is transposed"):
            imported(tmp_path, G.state_dict(), *said)
        said.append("transposed=[false]")
    made = imported(tmp_path, G.state_dict(), *(said[:-2] if last is not None else said))
    same(made.generator(z), G(z))


@pytest.mark.parametrize("active", [False, True])
def test_what_an_invisible_layer_enlarges_is_asked_for(tmp_path: Path, active: bool) -> None:
    G = randomised(nn.Sequential(
        nn.Linear(7, 8 * 16), *([nn.ReLU()] if active else []), nn.Unflatten(1, (8, 4, 4)),
        nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2),
        nn.Conv2d(4, 1, 3, padding=1), nn.Tanh(),
    ))  # fmt: skip
    with pytest.raises(InputError, match=r"--set 'upsample=\[2,2,2\]'"):
        imported(tmp_path, G.state_dict(), *SAID)
    with pytest.raises(
        InputError, match=r"\d, which fits both ways, is transposed.*transposed=\[false,f"
    ):
        imported(tmp_path, G.state_dict(), *SAID)
    with pytest.raises(InputError, match="upsample has 2 numbers for 3 convolutions"):
        imported(tmp_path, G.state_dict(), *SAID, "upsample=[2,1]")
    with pytest.raises(InputError, match="other numbers than 1 and 2"):
        imported(tmp_path, G.state_dict(), *SAID, "upsample=[2,4,1]")
    made = imported(tmp_path, G.state_dict(), *SAID, *ORDINARY, "upsample=[2,1,2]")
    z = torch.randn(2, 7)
    same(made.generator(z), G(z))


def test_pytorch_gans_ebgan_has_no_norm_before_its_convolutions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_program(monkeypatch, Upsampling)
    G = Upsampling(3)
    del G.label_emb, G.conv_blocks[0]
    G, z = randomised(G), torch.randn(2, 6)
    state = {f"generator.{k}": v for k, v in G.state_dict().items()}
    with pytest.raises(InputError, match="whether something without tensors enlarges its maps"):
        imported(tmp_path, state, *LEAKY, "eps=0.8")
    said = (*LEAKY, *ORDINARY, "eps=0.8", "upsample=[2,2,1]", "linear_activation=false")
    for root in (state, G):
        made = imported(tmp_path, root, *said)
        same(made.generator(z), G.conv_blocks(G.l1(z).view(len(z), 128, 2, 2)))


class Chain(nn.Module):
    """fc1, fc2, …, as in lyeoni's and Udacity's GANs."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        for k, (a, b) in enumerate(itertools.pairwise(widths), start=1):
            self.add_module(f"fc{k}", nn.Linear(a, b))

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.children()
        x = first(x.flatten(1))
        for layer in others:
            x = layer(leaky_relu(x, 0.2))
        return x


def test_numbered_linear_layers(tmp_path: Path) -> None:
    G, D = randomised(Chain(6, 8, 12, 16), 0, 0.3), randomised(Chain(16, 12, 8, 1), 1, 0.3)
    root = {"generator_state_dict": G.state_dict(), "discriminator_state_dict": D.state_dict()}
    made = imported(tmp_path, root, *LEAKY, "discriminator_slope=0.2")
    z, x = torch.randn(3, 6), torch.randn(3, 1, 4, 4)
    same(made.generator(z).flatten(1), G(z).tanh())
    same_scores(made.discriminator(x), D(x).flatten())


class Blocks(nn.Module):
    """aladdinpersson's generator: blocks in a Sequential; with `classes`, an embedding behind z."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        if classes:
            self.embed = nn.Embedding(classes, 3)

        def block(a: int, b: int, *geometry: int) -> nn.Sequential:
            layer = nn.ConvTranspose2d(a, b, 4, *geometry, bias=False)
            return nn.Sequential(layer, nn.BatchNorm2d(b), nn.ReLU())

        self.net = nn.Sequential(
            block(9 if classes else 6, 8, 1, 0), block(8, 4, 2, 1),
            nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z[:, :, None, None])


@pytest.mark.parametrize("classes", [0, 4])
def test_blocks_within_blocks(tmp_path: Path, classes: int) -> None:
    G, z = randomised(Blocks(classes)), torch.randn(4, 6)
    root = {"state_dict": G.state_dict(), "optimizer": {"state": {}}}
    labels: Any = torch.arange(4) if classes else None
    made = imported(tmp_path, root, *SAID, *(["labels=last"] if classes else []))
    inputs = torch.cat([z, G.embed(labels)], 1) if classes else z
    same(made.generator(z, labels), G(inputs))


def test_activations_may_differ_from_place_to_place(tmp_path: Path) -> None:
    """EmilienDupont's critic has a sigmoid among its LeakyReLUs, Zeleni9's GAN one behind its last
    layer and before the tanh."""
    G = randomised(nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 16), nn.LeakyReLU(0.2),
        nn.Tanh(),
    ))  # fmt: skip
    D = randomised(nn.Sequential(
        nn.Linear(16, 8), nn.LeakyReLU(0.2), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 1),
    ), 1)  # fmt: skip
    root = {"G": G.state_dict(), "D": D.state_dict()}
    said = ("slope=0.2", 'output=["leaky-relu", "tanh"]', "discriminator_slope=0.2")
    both = ('activation=["relu", "tanh"]', 'discriminator_activation=["leaky-relu", "sigmoid"]')
    made = imported(tmp_path, root, *said, *both)
    z, x = torch.randn(3, 6), torch.randn(3, 1, 4, 4)
    same(made.generator(z).flatten(1), G(z))
    same_scores(made.discriminator(x), D(x.flatten(1)).flatten())
    with pytest.raises(InputError, match="activation has 1 names for 2 places"):
        imported(tmp_path, root, *said, 'activation=["relu"]', both[1])
    with pytest.raises(InputError, match="discriminator_activation has 3 names for 2 places"):
        imported(tmp_path, root, *said, both[0], 'discriminator_activation=["relu","relu","relu"]')
    with pytest.raises(InputError, match="a sigmoid follows its last layer, and not directly"):
        imported(tmp_path, root, *both, "slope=0.2", 'output=["relu", "sigmoid"]')


def critic(norm: Any, *more: nn.Module) -> nn.Sequential:
    """As those of WGAN-GP."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 8, 4, 2, 1, bias=False), norm,
        nn.LeakyReLU(0.2), *more, nn.Conv2d(8, 1, 4),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("norm", "said"),
    [
        (nn.InstanceNorm2d(8, affine=True), "instance"),
        (nn.GroupNorm(1, 8), "layer"),
        (nn.InstanceNorm2d(8), "instance"),
        (nn.Dropout2d(), "none"),
    ],
)
def test_norms_without_statistics_are_asked_for(tmp_path: Path, norm: Any, said: str) -> None:
    nets = randomised(Blocks()), randomised(critic(norm), 1, 0.5)
    root = {"gen": nets[0].state_dict(), "critic": nets[1].state_dict()}
    settings = (*SAID, "discriminator_slope=0.2")
    with pytest.raises(InputError, match=r"give --set discriminator_norm=.*discriminator=false"):
        imported(tmp_path, root, *settings)
    assert imported(tmp_path, root, *SAID, "discriminator=false").discriminator is None
    made = imported(tmp_path, root, *settings, f"discriminator_norm={said}")
    x = torch.randn(3, 3, 16, 16)
    same_scores(made.discriminator(x), nets[1](x).flatten())
    # whole, they say it themselves
    made = imported(tmp_path, {"gen": nets[0].state_dict(), "critic": nets[1]}, *SAID)
    same_scores(made.discriminator(x), nets[1](x).flatten())


@pytest.mark.parametrize("paddings", [(3, 1, 1, 0), (1, 1, 1, 1)])
def test_a_critic_of_28_pixels_is_asked_for_its_paddings(
    tmp_path: Path, paddings: tuple[int, ...]
) -> None:
    G = randomised(Chain(6, 8, 784), 0, 0.3)
    widths = itertools.pairwise((1, 2, 2, 2, 1))
    layers = [nn.Conv2d(a, b, 4, 2, p) for (a, b), p in zip(widths, paddings, strict=True)]
    D = randomised(
        nn.Sequential(*itertools.chain(*((c, nn.LeakyReLU(0.2)) for c in layers))), 1, 0.5
    )
    D = D[:-1]
    root, said = {"G": G.state_dict(), "D": D.state_dict()}, (*LEAKY, "discriminator_slope=0.2")
    with pytest.raises(InputError, match="strides and paddings of its convolutions"):
        imported(tmp_path, root, *said)
    geometry = f"discriminator_paddings={list(paddings)}", "discriminator_strides=[2,2,2,2]"
    x = torch.randn(3, 1, 28, 28)
    same_scores(imported(tmp_path, root, *said, *geometry).discriminator(x), D(x).flatten())


def test_a_pooling_that_shows_nowhere_is_not_left_out(tmp_path: Path) -> None:
    G = randomised(Chain(6, 8, 64), 0, 0.3)
    D = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.AvgPool2d(4), nn.Flatten(),
                      nn.Linear(4, 1))  # fmt: skip
    root = {"G": G.state_dict(), "D": D.state_dict()}
    with pytest.raises(InputError, match=r"4 does not take what is made before it.*or a pooling"):
        imported(tmp_path, root, *LEAKY, "discriminator_slope=0.2", "discriminator_norm=none")


def test_safetensors_files_have_their_tensors_by_name(tmp_path: Path) -> None:
    def saved(module: nn.Module, *settings: str) -> Any:
        save_file(module.state_dict(), tmp_path / "G.safetensors")
        return convert(tmp_path / "G.safetensors", settings=settings)

    steps = [8] * 11  # "10" is behind "2"
    deep = randomised(Chain(6, *steps, 16), 0, 0.3)
    z = torch.randn(3, 6)
    same(saved(deep, *LEAKY).generator(z).flatten(1), deep(z).tanh())
    theirs = Upsampling(3)
    del theirs.label_emb
    theirs = randomised(theirs)  # conv_blocks are before l1
    same(saved(theirs).generator(z), theirs(z))
    named = nn.ModuleDict({
        "tconv1": nn.ConvTranspose2d(6, 8, 4), "bn1": nn.BatchNorm2d(8),
        "tconv2": nn.ConvTranspose2d(8, 4, 4, 2, 1), "bn2": nn.BatchNorm2d(4),
        "tconv3": nn.ConvTranspose2d(4, 3, 4, 2, 1),
    })  # fmt: skip
    first, norm1, second, norm2, third = randomised(named).values()
    expected = third(norm2(second(norm1(first(z[:, :, None, None])).relu())).relu()).tanh()
    same(saved(named, *SAID).generator(z), expected)
    unclear = nn.ModuleDict({"a": nn.Linear(6, 6), "b": nn.Linear(6, 6), "c": nn.Linear(6, 9)})
    with pytest.raises(
        InputError, match="has no order, and the generator's modules fit in several"
    ):
        saved(unclear, *LEAKY)
