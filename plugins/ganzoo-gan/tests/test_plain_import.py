"""Plain networks of anyone's, saved as people save them, imported, and run beside ours."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_gan.importing.plain import Plain
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganzoo.errors import ConfigError, InputError
from ganzoo.importing.converting import convert
from ganzoo.importing.reading import read
from tests.restated import imported, in_a_program, randomised, same, same_scores

HOBBY = nn.Sequential(
    nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 20), nn.ReLU(),
    nn.Linear(20, 48), nn.Tanh(),
)  # fmt: skip


@pytest.mark.parametrize(
    "prefix", ["", "module.", "generator.", "module.generator.", "net.", "_orig_mod."]
)
@pytest.mark.parametrize("legacy", [False, True])
def test_an_mlp_under_any_name(tmp_path: Path, prefix: str, legacy: bool) -> None:
    G = randomised(HOBBY)
    state = {prefix + k: v for k, v in G.state_dict().items()}
    said = ("activation=relu", "output=tanh", "eps=1e-5")
    made = imported(tmp_path, state, *said, legacy=legacy)
    z = torch.randn(5, 6)
    assert made.generator.image_shape == (3, 4, 4)
    same(made.generator(z).flatten(1), G(z))
    assert all(fate.target for fate in made.converted.fates) and made.family == "plain"


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "G", "netG_state_dict"])
def test_what_is_beside_the_network_is_left_out(tmp_path: Path, wrapper: str) -> None:
    G = randomised(HOBBY)
    root = {"epoch": 3, wrapper: G.state_dict(), "optimizer": {"x": torch.zeros(2)}}
    made = imported(tmp_path, root, "activation=relu", "output=none", "eps=1e-5")
    z = torch.randn(5, 6)
    same(made.generator(z).flatten(1), G[:-1](z))
    assert [f.source for f in made.converted.fates if not f.target] == ["optimizer.x"]
    assert "Of none of its networks, and left out: optimizer." in made.converted.notes


def test_a_module_that_was_saved_whole(tmp_path: Path) -> None:
    G = randomised(HOBBY)
    made = imported(tmp_path, G, "activation=relu", "output=tanh", "eps=1e-5")
    z = torch.randn(5, 6)
    same(made.generator(z).flatten(1), G(z))


def test_a_sigmoid_is_brought_to_the_range_of_images(tmp_path: Path) -> None:
    G = randomised(nn.Sequential(nn.Linear(5, 8), nn.LeakyReLU(0.1), nn.Linear(8, 9), nn.Sigmoid()))
    settings = ("activation=leaky-relu", "slope=0.1", "output=sigmoid")
    made = imported(tmp_path, G.state_dict(), *settings)
    z = torch.randn(4, 5)
    same(made.generator(z).flatten(1), 2 * G(z) - 1)
    taken, sigmoid = made.converted.notes
    assert taken.endswith("taken to be: linear to 8, leaky-relu 0.1, linear to 9, tanh.")
    assert "2 s - 1" in sigmoid


def test_everything_that_lacks_is_asked_for_at_once(tmp_path: Path) -> None:
    G = randomised(HOBBY)
    with pytest.raises(InputError) as error:
        imported(tmp_path, G.state_dict())
    for remedy in ("--set activation=relu", "--set output=tanh", "--set eps=1e-5"):
        assert remedy in str(error.value)
    with pytest.raises(InputError, match="--set slope="):
        imported(tmp_path, G.state_dict(), "activation=leaky-relu", "output=tanh", "eps=1e-5")


def test_an_activation_before_the_batch_norm_leaves_its_place(tmp_path: Path) -> None:
    G = randomised(
        nn.Sequential(
            nn.Linear(6, 8),
            nn.ReLU(),
            nn.BatchNorm1d(8),
            nn.Linear(8, 8),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(8, 16),
            nn.Tanh(),
        )
    )
    made = imported(tmp_path, G.state_dict(), "activation=relu", "output=tanh", "eps=1e-5")
    z = torch.randn(4, 6)
    same(made.generator(z).flatten(1), G(z))


class Named(nn.Module):
    """As people write them who call functions in `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(7, 8 * 16)
        self.bn0 = nn.BatchNorm1d(8 * 16)
        self.deconv1 = nn.ConvTranspose2d(8, 8, 4, 2, 1)
        self.bn1 = nn.BatchNorm2d(8)
        self.deconv2 = nn.ConvTranspose2d(8, 5, 4, 2, 1)
        self.bn2 = nn.BatchNorm2d(5)
        self.out = nn.Conv2d(5, 3, 3, 1, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.bn0(self.fc(z)).relu().view(-1, 8, 4, 4)
        x = self.bn1(self.deconv1(x)).relu()
        return self.out(self.bn2(self.deconv2(x)).relu()).tanh()


def test_a_network_of_named_layers(tmp_path: Path) -> None:
    G, z = randomised(Named()), torch.randn(3, 7)
    said = ("activation=relu", "output=tanh", "eps=1e-5")
    with pytest.raises(InputError, match=r"before out\): give --set 'upsample=\[1,1,2\]'"):
        imported(tmp_path, G.state_dict(), *said)
    made = imported(tmp_path, G.state_dict(), *said, "upsample=[1,1,1]")
    same(made.generator(z), G(z))


def mnist_dcgan() -> nn.Sequential:
    """28x28, whose last convolution cuts 32x32 to size."""
    return nn.Sequential(
        nn.ConvTranspose2d(6, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 6, 4, 2, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.ConvTranspose2d(6, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 4, 2, 1, bias=False), nn.BatchNorm2d(2), nn.ReLU(),
        nn.ConvTranspose2d(2, 1, 1, 1, 2, bias=False), nn.Tanh(),
    )  # fmt: skip


def other_dcgan() -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(6, 8, 7, 1, 0), nn.BatchNorm2d(8), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(8, 4, 3, 2, 1, 1), nn.BatchNorm2d(4), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(4, 1, 5, 2, 2, 1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("G", "said"),
    [
        (
            mnist_dcgan(),
            ["activation=relu", "strides=[1, 2, 2, 2, 1]", "paddings=[0, 1, 1, 1, 2]"],
        ),
        (
            other_dcgan(),
            ["activation=leaky-relu", "slope=0.2", "strides=[1, 2, 2]", "paddings=[0, 1, 2]",
             "output_paddings=[0, 1, 1]"],
        ),
    ],
)  # fmt: skip
def test_convolutions_with_sizes_that_are_asked_for(
    tmp_path: Path, G: nn.Sequential, said: list[str]
) -> None:
    G, z = randomised(G), torch.randn(3, 6)
    output = "tanh" if isinstance(G[-1], nn.Tanh) else "none"
    said = [*said, f"output={output}", "eps=1e-5"]
    root = {f"main.{k}": v for k, v in G.state_dict().items()}
    made = imported(tmp_path, root, *said)
    assert made.generator.image_shape == (1, 28, 28) and made.family == "plain"
    same(made.generator(z), G(z[:, :, None, None]))
    if any("output_paddings" in setting for setting in said):
        left = [setting for setting in said if "output_paddings" not in setting]
        with pytest.raises(InputError, match=r"output_padding of main.3, main.6: .*=\[0,1,1\]"):
            imported(tmp_path, root, *left)
    left = [setting for setting in said if "strides" not in setting]
    with pytest.raises(InputError, match=r"--set 'strides=\[1,2,2"):
        imported(tmp_path, root, *left)
    with pytest.raises(InputError, match="strides has 2 numbers"):
        imported(tmp_path, root, *left, "strides=[1,2]")
    with pytest.raises((InputError, ConfigError)):
        imported(tmp_path, root, *left, f"strides={[1] * (len(G) // 3 + 1)}", "image_shape=[1]")


# -- PyTorch-GAN -----------------------------------------------------------------------------------


def their_mlp(inputs: int, pixels: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(inputs, 128), nn.LeakyReLU(0.2, inplace=True)]
    for a, b in ((128, 256), (256, 512), (512, 1024)):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b, 0.8), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Linear(1024, pixels), nn.Tanh())


class TheirCGAN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(10, 10)
        self.model = their_mlp(8 + 10, 64)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.model(torch.cat([self.label_emb(labels), z], -1)).view(-1, 1, 8, 8)


class TheirCritic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.label_embedding = nn.Embedding(10, 10)
        self.model = nn.Sequential(
            nn.Linear(10 + 64, 16), nn.LeakyReLU(0.2, inplace=True), nn.Linear(16, 16),
            nn.Dropout(0.4), nn.LeakyReLU(0.2, inplace=True), nn.Linear(16, 16),
            nn.Dropout(0.4), nn.LeakyReLU(0.2, inplace=True), nn.Linear(16, 1),
        )  # fmt: skip

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        joined = torch.cat([x.flatten(1), self.label_embedding(labels)], -1)
        return self.model(joined).flatten()


def test_pytorch_gans_conditional_mlp_is_known_with_its_eps(tmp_path: Path) -> None:
    G, D = randomised(TheirCGAN()), randomised(TheirCritic(), 1)
    made = imported(tmp_path, {"generator": G.state_dict(), "discriminator": D.state_dict()})
    z, labels = torch.randn(5, 8), torch.arange(5)
    same(made.generator(z, labels), G(z, labels))
    x = torch.randn(5, 1, 8, 8)
    same_scores(made.discriminator(x, labels), D(x, labels))
    assert "eps of 0.8" in made.converted.notes[0]
    assert made.converted.program == "eriklindernoren/PyTorch-GAN"
    # a descendant that has mended it
    for layer in G.model:
        if isinstance(layer, nn.BatchNorm1d):
            layer.eps = 1e-5
    made = imported(tmp_path, G.state_dict(), "eps=1e-5")
    same(made.generator(z, labels), G(z, labels))


@pytest.mark.parametrize("eps", [0.8, 1e-5])
def test_pytorch_gans_mlp_has_had_two_eps_under_the_same_names(tmp_path: Path, eps: float) -> None:
    G, z = their_mlp(8, 64), torch.randn(5, 8)
    for layer in G:
        if isinstance(layer, nn.BatchNorm1d):
            layer.eps = eps
    G = randomised(G)
    state = {f"model.{k}": v for k, v in G.state_dict().items()}
    with pytest.raises(InputError, match="does not say the eps of its norms: give --set eps"):
        imported(tmp_path, state)
    same(imported(tmp_path, state, f"eps={eps}").generator(z).flatten(1), G(z))


class TheirDCGAN(nn.Module):
    def __init__(self, size: int, channels: int, name: str) -> None:
        super().__init__()
        self.init_size = size // 4
        self.l1 = nn.Sequential(nn.Linear(6, 128 * self.init_size**2))
        self.convolutions = nn.Sequential(
            nn.BatchNorm2d(128),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 128, 3, stride=1, padding=1),
            nn.BatchNorm2d(128, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, 3, stride=1, padding=1),
            nn.BatchNorm2d(64, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(64, channels, 3, stride=1, padding=1),
            nn.Tanh(),
        )
        self._modules[name] = self._modules.pop("convolutions")

    def forward(self, z: Tensor) -> Tensor:
        x, (_, convolutions) = self.l1(z), self.children()
        return convolutions(x.view(len(x), 128, self.init_size, self.init_size))


@pytest.mark.parametrize(
    ("size", "channels", "name"),
    [(32, 1, "conv_blocks"), (28, 3, "conv_blocks"), (32, 1, "conv_model")],
)
def test_pytorch_gans_dcgan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, channels: int, name: str
) -> None:
    in_a_program(monkeypatch, TheirDCGAN)
    G, z = randomised(TheirDCGAN(size, channels, name)), torch.randn(2, 6)
    for root in (G.state_dict(), G):
        made = imported(tmp_path, root)
        assert made.generator.image_shape == (channels, size, size)
        same(made.generator(z), G(z))


class TheirDCGANCritic(nn.Module):
    """Each norm stands behind the activation."""

    def __init__(self, kernel: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise((1, 16, 32, 64, 128)):
            layers += [nn.Conv2d(a, b, kernel, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25)]
            layers += [nn.BatchNorm2d(b, 0.8)] if a > 1 else []
        self.model = nn.Sequential(*layers)
        self.adv_layer = nn.Sequential(nn.Linear(128 * 2 * 2, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.adv_layer(self.model(x).flatten(1)).flatten()


def test_pytorch_gans_dcgan_with_its_critic(tmp_path: Path) -> None:
    G, D = randomised(TheirDCGAN(32, 1, "conv_blocks")), randomised(TheirDCGANCritic(), 1, 0.2)
    root = {"generator": G.state_dict(), "discriminator": D.state_dict()}
    made, z = imported(tmp_path, root), torch.randn(3, 6)
    same_scores(made.discriminator(made.generator(z)).sigmoid(), D(G(z)))
    root["discriminator"] = TheirDCGANCritic(kernel=5).state_dict()  # nobody's: padding unknown
    with pytest.raises(InputError, match="discriminator_paddings"):
        imported(tmp_path, root)


# -- labels, discriminators ------------------------------------------------------------------------


@pytest.mark.parametrize("labels", ["first", "last"])
def test_one_hot_labels(tmp_path: Path, labels: str) -> None:
    G = randomised(nn.Sequential(nn.Linear(5 + 3, 8), nn.ReLU(), nn.Linear(8, 9)))
    said = ("activation=relu", "output=none", "classes=3")
    with pytest.raises(InputError, match="--set labels=first"):
        imported(tmp_path, G.state_dict(), *said)
    made = imported(tmp_path, G.state_dict(), *said, f"labels={labels}")
    z, y = torch.randn(3, 5), torch.arange(3)
    parts = [z, one_hot(y, 3)] if labels == "last" else [one_hot(y, 3), z]
    same(made.generator(z, y).flatten(1), G(torch.cat(parts, 1)))


def test_a_label_that_is_multiplied_with_z(tmp_path: Path) -> None:
    body = randomised(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 9)))
    embedding = randomised(nn.Embedding(3, 5))
    root = {"label_emb.weight": embedding.weight.data}
    root |= {f"model.{k}": v for k, v in body.state_dict().items()}
    with pytest.raises(InputError, match="whether its label is multiplied with z"):
        imported(tmp_path, root, "activation=relu", "output=none")
    made = imported(tmp_path, root, "activation=relu", "output=none", "labels=product")
    z, y = torch.randn(3, 5), torch.arange(3)
    same(made.generator(z, y).flatten(1), body(z * embedding(y)))


class Parts(nn.Module):
    """A generator with a part that is called as whole generators are."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(3, 4)
        self.gen = nn.Sequential(nn.Linear(5 + 4, 8), nn.ReLU(), nn.Linear(8, 9))


@pytest.mark.parametrize("beside", [False, True])
def test_a_part_called_generator_is_not_the_whole_of_it(tmp_path: Path, beside: bool) -> None:
    G, z, y = randomised(Parts()), torch.randn(3, 5), torch.arange(3)
    root = {"fixed_noise": z, "G": G.state_dict()} if beside else G.state_dict()
    made = imported(tmp_path, root, "activation=relu", "output=none", "labels=last")
    same(made.generator(z, y).flatten(1), G.gen(torch.cat([z, G.embed(y)], 1)))
    assert [f.source for f in made.converted.fates if not f.target] == ["fixed_noise"] * beside


def test_a_convolutional_discriminator(tmp_path: Path) -> None:
    G = randomised(
        nn.Sequential(
            nn.ConvTranspose2d(6, 8, 4), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh()
        )
    )
    D = randomised(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1),
            nn.LeakyReLU(0.1),
            nn.BatchNorm2d(4),
            nn.Flatten(),
            nn.Linear(64, 1),
            nn.Sigmoid(),
        )
    )
    root = {"G": {f"net.{k}": v for k, v in G.state_dict().items()}, "D": D.state_dict()}
    said = ("activation=relu", "output=tanh")
    with pytest.raises(InputError, match="--set discriminator=false"):
        imported(tmp_path, root, *said)
    assert imported(tmp_path, root, *said, "discriminator=false").discriminator is None
    said += ("discriminator_slope=0.1", "discriminator_strides=[2]", "discriminator_paddings=[1]")
    made = imported(tmp_path, root, *said, "eps=1e-5")
    x = torch.randn(4, 3, 8, 8)
    same(made.discriminator(x).sigmoid(), D(x).flatten())


def test_a_discriminator_alone_is_told_from_a_generator(tmp_path: Path) -> None:
    convolutions = nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1, bias=False), nn.LeakyReLU(0.2), nn.Conv2d(8, 16, 4, 2, 1),
        nn.BatchNorm2d(16), nn.LeakyReLU(0.2), nn.Conv2d(16, 1, 4),
    )  # fmt: skip
    linear = nn.Sequential(nn.Linear(64, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    for D in (convolutions, linear):
        with pytest.raises(InputError, match="has a discriminator, and no generator"):
            imported(tmp_path, D.state_dict())


def test_an_instance_norm_without_tensors_has_the_eps_that_was_said(tmp_path: Path) -> None:
    G = randomised(
        nn.Sequential(
            nn.ConvTranspose2d(6, 8, 4), nn.InstanceNorm2d(8, 0.3), nn.ReLU(),
            nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh(),
        )
    )  # fmt: skip
    said, z = ("activation=relu", "output=tanh", "norm=instance"), torch.randn(3, 6)
    with pytest.raises(InputError, match="the eps of its norms"):
        imported(tmp_path, G.state_dict(), *said)
    made = imported(tmp_path, G.state_dict(), *said, "eps=0.3")
    same(made.generator(z), G(z[:, :, None, None]))


@pytest.mark.parametrize("size", [32, 28])
def test_an_image_of_32_pixels_may_have_been_cut_to_28(tmp_path: Path, size: int) -> None:
    last = nn.ConvTranspose2d(4, 1, 4, 2, 1 if size == 32 else 3)
    G = nn.Sequential(
        nn.ConvTranspose2d(6, 8, 4), nn.ReLU(), nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.ReLU(), last, nn.Tanh(),
    )  # fmt: skip
    G, z = randomised(G, 0, 0.3), torch.randn(3, 6)
    said = ("activation=relu", "output=tanh")
    with pytest.raises(InputError, match=r"\[1,32,32\]' \(or for 28 --set 'paddings=\[0,1,1,3\]'"):
        imported(tmp_path, G.state_dict(), *said)
    with pytest.raises(InputError, match=r"make images of \[1, 32, 32\], not of \[1, 28, 28\]"):
        imported(tmp_path, G.state_dict(), *said, "image_shape=[1,28,28]")
    answer = "image_shape=[1,32,32]" if size == 32 else "paddings=[0,1,1,3]"
    made = imported(tmp_path, G.state_dict(), *said, answer)
    same(made.generator(z), G(z[:, :, None, None]))


def test_branches_and_other_layers_are_not_taken_for_plain(tmp_path: Path) -> None:
    linear = nn.Linear(4, 4).state_dict()
    for root in (
        {f"a.{k}": v for k, v in linear.items()},
        {f"{n}.{k}": v for n in "abc" for k, v in nn.Linear(4, 5).state_dict().items()},
        {"a.weight": torch.zeros(3, 3), "b.weight_orig": torch.zeros(3, 3)},
        {"a.weight": torch.zeros(2, 2, 3, 4), "b.weight": torch.zeros(2, 2, 3, 3)},
        {"encoder": linear},
        {
            f"net.{k}.{n}": torch.zeros(s)
            for k, n, s in (
                (0, "weight", (0, 4)),
                (1, "running_mean", 0),
                (1, "running_var", 0),
                (2, "weight", (2, 4)),
                (3, "running_mean", (2, 2)),
                (3, "running_var", 2),
            )
        },
    ):
        path = tmp_path / "other.pt"
        torch.save(root, path)
        assert not Plain().recognises(read(path))


@pytest.mark.shared
def test_a_generator_found_in_the_wild() -> None:
    folder = os.environ.get("GANZOO_SHARED")
    if not folder:
        pytest.skip("GANZOO_SHARED is not set to the folder of the shared data")
    stem = Path(folder, "fixtures", "csinva_mnist_mlp")
    made = convert(f"{stem}_G--300.ckpt", settings=["activation=relu", "output=tanh"])
    expected = np.load(f"{stem}.npz")
    images = made.generator(torch.from_numpy(expected["z"])).flatten(1)
    np.testing.assert_allclose(images, expected["img_flat"], rtol=0, atol=1e-4)
