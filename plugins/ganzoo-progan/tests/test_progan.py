"""ProGAN's networks against the paper, restated in NumPy, and the conformance kit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ganzoo_progan.config import RESOLUTIONS, DiscriminatorConfig, GeneratorConfig, channels
from ganzoo_progan.networks import Discriminator, Generator
from torch import nn

from ganzoo import checkpoint, layout, plugins
from ganzoo.errors import ConfigError, InputError
from ganzoo.models import build
from ganzoo.parts import Part
from ganzoo.testing import parametrize_with_checks
from ganzoo.testing.steps import step_on
from ganzoo.training.losses import squared_slopes


@parametrize_with_checks("ganzoo-progan")
def test_conformance(check) -> None:
    check()


def make_G(size: int = 16, classes: int = 0, **settings) -> Generator:
    torch.manual_seed(0)
    small = {"z_dim": 6, "fmap_base": 32, "fmap_max": 7, **settings}
    return moved(Generator(GeneratorConfig((3, size, size), classes, **small)))


def make_D(size: int = 16, classes: int = 0, **settings) -> Discriminator:
    torch.manual_seed(1)
    small = {"fmap_base": 32, "fmap_max": 7, **settings}
    return moved(Discriminator(DiscriminatorConfig((3, size, size), classes, **small)))


def moved(network: nn.Module) -> nn.Module:
    """Biases start at zero; one that is not would hide where they are added."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.5)
    return network.requires_grad_(True)


def images(n: int, size: int = 16, seed: int = 2) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def latents(n: int, z_dim: int = 6) -> torch.Tensor:
    return torch.randn(n, z_dim, generator=torch.Generator().manual_seed(3))


# -- the paper, in NumPy ---------------------------------------------------------------------------


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def lrelu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


def pixelnorm(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)


def conv(x: np.ndarray, layer: nn.Module, gain: float) -> np.ndarray:
    """Correlation with zeros around, weights scaled by gain / sqrt(fan_in), the bias as it is."""
    w, b = array(layer.weight), array(layer.bias)
    out_channels, in_channels, k, _ = w.shape
    w = w * gain / math.sqrt(in_channels * k * k)
    n, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    out = np.zeros((n, out_channels, height, width))
    for i in range(height):
        for j in range(width):
            out[:, :, i, j] = np.tensordot(padded[:, :, i : i + k, j : j + k], w, ((1, 2, 3),) * 2)
    return out + b[None, :, None, None]


def up(x: np.ndarray) -> np.ndarray:
    return x.repeat(2, axis=2).repeat(2, axis=3)


def down(x: np.ndarray) -> np.ndarray:
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


HE = math.sqrt(2)


def paper_G(G: Generator, z: np.ndarray, lod: float) -> np.ndarray:
    """All images at all resolutions, then figure 2: the blend of the two that `lod` is between."""
    x = pixelnorm(z)
    start = G.blocks[0]
    width = len(start.bias)
    w = array(start.dense.weight) * (HE / 4) / math.sqrt(z.shape[1])
    x = (x @ w.T).reshape(-1, width, 4, 4) + array(start.bias)[:, None, None]
    x = pixelnorm(lrelu(x))
    x = pixelnorm(lrelu(conv(x, start.conv, HE)))
    rgb = [conv(x, G.to_rgb[0], 1)]
    for block, to_rgb in zip(list(G.blocks)[1:], list(G.to_rgb)[1:], strict=True):
        x = pixelnorm(lrelu(conv(up(x), block.conv0, HE)))
        x = pixelnorm(lrelu(conv(x, block.conv1, HE)))
        rgb.append(conv(x, to_rgb, 1))
    for low in range(len(rgb)):  # all full size
        while rgb[low].shape[2] < G.image_shape[1]:
            rgb[low] = up(rgb[low])
    rgb = rgb[::-1]  # rgb[k] is that of lod k
    k, share = int(lod), lod - int(lod)
    return rgb[k] if share == 0 else (1 - share) * rgb[k] + share * rgb[k + 1]


def paper_D(D: Discriminator, image: np.ndarray, lod: float, group: int = 4) -> np.ndarray:
    """All scores of all classes."""
    levels = len(D.blocks)
    k, share = int(lod), lod - int(lod)
    for _ in range(k):
        image = down(image)
    level = levels - 1 - k
    x = lrelu(conv(image, D.from_rgb[level].conv, HE))
    while level > 0:
        block = D.blocks[level]
        x = conv(lrelu(conv(x, block.conv0, HE)), block.conv1, HE)
        x = lrelu(down(x)) if D.config.fused_scale else down(lrelu(x))
        level -= 1
        if share:
            old = lrelu(conv(down(image), D.from_rgb[level].conv, HE))
            x, share = (1 - share) * x + share * old, 0
    n = len(x)
    last = D.blocks[0]
    if group:
        groups = n // group
        statistic = np.empty((n, 1, 4, 4))
        for i in range(n):  # images i, i + groups, … are compared
            mates = x[i % groups :: groups]
            deviation = np.sqrt(((mates - mates.mean(axis=0)) ** 2).mean(axis=0) + 1e-8)
            statistic[i] = deviation.mean()
        x = np.concatenate([x, statistic], axis=1)
    x = lrelu(conv(x, last.conv, HE)).reshape(n, -1)
    w = array(last.dense.weight)
    x = lrelu(x @ w.T * HE / math.sqrt(w.shape[1]) + array(last.dense.bias))
    w = array(last.score.weight)
    return x @ w.T / math.sqrt(w.shape[1]) + array(last.score.bias)


@pytest.mark.parametrize("lod", [0, 0.25, 1, 1.75, 2])
def test_the_generator_is_the_papers(lod: float) -> None:
    G, z = make_G(), latents(3)
    expected = paper_G(G, array(z), lod)
    np.testing.assert_allclose(array(G(z, lod=lod)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lod", [0, 0.25, 1, 1.75, 2])
@pytest.mark.parametrize("fused", [True, False])
def test_the_discriminator_is_the_papers(lod: float, fused: bool) -> None:
    D, x = make_D(fused_scale=fused), images(8)
    expected = paper_D(D, array(x), lod)[:, 0]
    np.testing.assert_allclose(array(D(x, lod=lod)), expected, rtol=1e-4, atol=1e-5)


def test_labels_join_z_and_choose_the_score() -> None:
    G, D = make_G(classes=3), make_D(classes=3)
    z, labels = latents(4), torch.tensor([2, 0, 1, 2])
    joined = np.concatenate([array(z), np.eye(3)[labels]], axis=1)
    made = G(z, labels)
    np.testing.assert_allclose(array(made), paper_G(G, joined, 0), rtol=1e-4, atol=1e-5)
    scores = (paper_D(D, array(made), 0) * np.eye(3)[labels]).sum(axis=1)
    np.testing.assert_allclose(array(D(made, labels)), scores, rtol=1e-4, atol=1e-5)


def test_without_normalisation_z_goes_in_as_it_is() -> None:
    z = latents(2)
    raw, normed = make_G(normalise_latent=False), make_G()
    length = z.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(raw(z / length), normed(z), rtol=1e-4, atol=1e-5)


# -- widths and initial weights --------------------------------------------------------------------


def test_channels_are_those_of_table_2() -> None:
    found = [channels(r, 8192, 512) for r in RESOLUTIONS]
    assert found == [512, 512, 512, 512, 256, 128, 64, 32, 16]


@pytest.mark.parametrize(
    ("fmap_base", "fmap_max", "conv", "dense"),
    [(8192, 512, 512, 512), (1024, 4096, 512, 1024), (256, 128, 128, 128), (30, 20, 15, 20)],
)
def test_the_critic_ends_as_the_authors_code_does(
    fmap_base: int, fmap_max: int, conv: int, dense: int
) -> None:
    """nf(s) = min(fmap_base / 2^s, fmap_max): the 4x4 convolution has nf(1) outputs, the dense
    layer after it nf(0)."""
    config = DiscriminatorConfig((3, 32, 32), fmap_base=fmap_base, fmap_max=fmap_max)
    with torch.device("meta"):
        last = Discriminator(config).blocks[0]
    assert last.conv.weight.shape == (conv, conv + 1, 3, 3)
    assert last.dense.weight.shape == (dense, conv * 16) and last.dense.bias.shape == (dense,)
    assert last.score.weight.shape == (1, dense)


@pytest.mark.parametrize(("fmap_max", "asked"), [(7, None), (20, 16)])
def test_critics_of_version_1_are_loaded_as_they_are(
    tmp_path: Path, fmap_max: int, asked: int | None
) -> None:
    """Their dense layer had nf(1) units."""
    part = plugins.load().parts.get("discriminator", "progan")
    settings = {"image_shape": [3, 16, 16], "fmap_base": 32, "fmap_max": fmap_max}
    D = build(part, part.make_config({**settings, "dense_width": min(16, fmap_max)}), seed=0)
    G = build(*of_part("generator", image_shape=[3, 16, 16], z_dim=6), seed=0)
    folder = checkpoint.save(tmp_path / "model", G, discriminator=D.eval())
    config = json.loads((folder / "config.json").read_text())
    former = config["discriminator"]
    former["version"] = 1
    del former["config"]["dense_width"]
    (folder / "config.json").write_text(json.dumps(config))
    layout.write_sums(folder)
    loaded = checkpoint.load_discriminator(folder)
    assert loaded.config.dense_width == asked
    assert torch.equal(loaded(images(4)), D(images(4)))
    checkpoint.save(tmp_path / "again", G, discriminator=loaded)
    again = checkpoint.load_discriminator(tmp_path / "again")
    assert again.config == loaded.config and torch.equal(again(images(4)), D(images(4)))


def of_part(kind: str, **settings: Any) -> tuple[Part, Any]:
    part = plugins.load().parts.get(kind, "progan")
    return part, part.make_config({"fmap_base": 64, "fmap_max": 8, **settings})


def test_parameters_are_those_of_table_2() -> None:
    """23.1 million each, of which the layers to and from RGB of lower resolutions are few."""
    with torch.device("meta"):
        G = Generator(GeneratorConfig((3, 1024, 1024)))
        D = Discriminator(DiscriminatorConfig((3, 1024, 1024)))
    for network in (G, D):
        assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(23.1, abs=0.05)
    assert [len(layer.weight) for layer in G.to_rgb] == [3] * 9


def test_weights_start_normal_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    G = Generator(GeneratorConfig((3, 32, 32), fmap_base=1024, fmap_max=128))
    D = Discriminator(DiscriminatorConfig((3, 32, 32), fmap_base=1024, fmap_max=128))
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif parameter.numel() > 1000:
            assert parameter.std().item() == pytest.approx(1, abs=0.1), name
    image = G(torch.randn(64, 512))
    assert 0.5 < image.std() < 2  # He's constant keeps the scale through all layers


# -- growing ---------------------------------------------------------------------------------------


def test_a_smaller_network_is_the_larger_one_at_its_lod() -> None:
    """Nothing is added as it grows: the layers of 8x8 are there in those of 16x16."""
    G, D = make_G(16), make_D(16)
    small_G, small_D = make_G(8), make_D(8)
    small_G.load_state_dict({k: G.state_dict()[k] for k in small_G.state_dict()})
    small_D.load_state_dict({k: D.state_dict()[k] for k in small_D.state_dict()})
    z, x = latents(3), images(4, 8)
    enlarged = torch.from_numpy(up(array(small_G(z)))).float()
    torch.testing.assert_close(G(z, lod=1), enlarged, rtol=1e-5, atol=1e-6)
    x_large = torch.from_numpy(up(array(x))).float()
    torch.testing.assert_close(D(x_large, lod=1), small_D(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("lod", "rgb", "blocks"),
    [(0, {2}, {0, 1, 2}), (0.5, {2, 1}, {0, 1, 2}), (1, {1}, {0, 1}), (1.5, {1, 0}, {0, 1}),
     (2, {0}, {0})],
)  # fmt: skip
def test_only_what_a_lod_uses_gets_a_gradient(lod: float, rgb: set[int], blocks: set[int]) -> None:
    G, D = make_G(), make_D()
    G(latents(2), lod=lod).square().sum().backward()
    D(images(4), lod=lod).square().sum().backward()
    for network, colours in ((G, "to_rgb"), (D, "from_rgb")):
        for name, parameter in network.named_parameters():
            kind, level = name.split(".")[:2]
            used = rgb if kind == colours else blocks
            assert (parameter.grad is not None) == (int(level) in used), name


@pytest.mark.parametrize("lod", [-0.5, 2.01, 7, math.nan])
def test_lods_that_there_are_not_are_refused(lod: float) -> None:
    with pytest.raises(InputError, match=r"lod .* is out of range: use 0 \(full size\) to 2"):
        make_G()(latents(2), lod=lod)
    with pytest.raises(InputError, match="lod"):
        make_D()(images(2), lod=lod)


# -- the minibatch statistic -----------------------------------------------------------------------


@pytest.mark.parametrize(("group_size", "alone"), [(4, False), (1, True), (0, True)])
def test_a_group_of_one_or_none_makes_scores_independent(group_size: int, alone: bool) -> None:
    D, x = make_D(group_size=group_size), images(4)
    apart = torch.cat([D(x[:2]), D(x[2:])])
    assert torch.allclose(D(x), apart, atol=1e-6) == alone
    assert ("per-sample" in D.config.provides) == alone


def test_without_groups_the_critic_has_no_statistic() -> None:
    D, x = make_D(group_size=0), images(6)
    assert D.blocks[0].conv.weight.shape[1] == D.blocks[0].conv.weight.shape[0] == 7
    expected = paper_D(D, array(x), 0.25, group=0)[:, 0]
    np.testing.assert_allclose(array(D(x, lod=0.25)), expected, rtol=1e-4, atol=1e-5)


# -- AC-GAN's heads --------------------------------------------------------------------------------


@pytest.mark.parametrize("lod", [0, 0.25, 1])
def test_an_auxiliary_critic_has_a_score_and_logits(lod: float) -> None:
    """The last layer has 1 + classes outputs: the score, and what the image shows."""
    D, x = make_D(classes=3, conditioning="auxiliary"), images(4)
    expected = paper_D(D, array(x), lod)
    assert expected.shape == (4, 4)
    found = D.outputs(x, torch.tensor([0, 1, 2, 0]), lod=lod)
    np.testing.assert_allclose(array(found.score), expected[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(array(found.classes), expected[:, 1:], rtol=1e-4, atol=1e-5)
    assert torch.equal(D(x, lod=lod), found.score)  # it does not see the labels
    assert D.config.provides & {"classes", "conditional"} == {"classes"}
    assert make_D(classes=3).config.provides & {"classes", "conditional"} == {"conditional"}
    assert make_D(classes=3).outputs(x, torch.zeros(4, dtype=torch.int64)).classes is None


def test_without_classes_there_is_no_head_for_them() -> None:
    plain, asked, x = make_D(), make_D(conditioning="auxiliary"), images(4)
    assert torch.equal(plain(x), asked(x)) and asked.outputs(x).classes is None
    assert len(asked.blocks[0].score.weight) == 1


def test_channels_may_be_given() -> None:
    G, D = make_G(fmaps=(5, 9, 4)), make_D(fmaps=(5, 9, 4))
    assert [layer.weight.shape[1] for layer in G.to_rgb] == [5, 9, 4]
    assert [layer.conv.weight.shape[0] for layer in D.from_rgb] == [5, 9, 4]
    assert D.config.dense == 5 and make_D(fmaps=(5, 9, 4), dense_width=6).config.dense == 6
    assert D(G(latents(4))).shape == (4,)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 2, 2), (3, 64, 32), (3, 2048, 2048)])
def test_other_sizes_are_refused(shape: tuple[int, int, int]) -> None:
    for config in (GeneratorConfig, DiscriminatorConfig):
        with pytest.raises(ConfigError, match=r"cannot be grown .* use a square of 4, 8, 16"):
            config(image_shape=shape)


def test_a_resolution_without_channels_is_refused() -> None:
    with pytest.raises(ConfigError, match="fmap_base = 100 is out of range: use 512"):
        GeneratorConfig(image_shape=(3, 1024, 1024), fmap_base=100)
    GeneratorConfig(image_shape=(3, 1024, 1024), fmap_base=512)


@pytest.mark.parametrize("config", [GeneratorConfig, DiscriminatorConfig])
def test_channels_that_do_not_fit_are_refused(config: Any) -> None:
    with pytest.raises(ConfigError, match=r"fmaps has 2 numbers for 3 resolutions: .* 4, 8, 16"):
        config((3, 16, 16), fmaps=(5, 9))
    with pytest.raises(ConfigError, match="fmaps = 0 is out of range"):
        config((3, 16, 16), fmaps=(5, 0, 4))


@pytest.mark.parametrize("size", [0, 1, 4])
def test_the_deviation_of_images_is_that_of_the_whole_batch(size: int) -> None:
    config = DiscriminatorConfig((3, 8, 8), fmaps=(4, 4), group_size=size, statistics="images")
    D, x = Discriminator(config).eval(), images(6, 8)
    alone = torch.cat([D(x[:1]), D(x[1:])])
    assert torch.allclose(D(x), alone, atol=1e-6) == (size == 0)
    assert ("per-sample" in config.provides) == (size == 0)
    assert D.blocks[0].conv.weight.shape[1] == (4 if size == 0 else 5)


@pytest.mark.parametrize("statistics", ["features", "images"])
def test_a_penalty_is_finite_where_a_pixel_is_the_same_in_all_images(statistics: Any) -> None:
    """As the border of every digit of MNIST."""
    D, x = make_D(group_size=4, statistics=statistics), images(4, 16)
    x[:, :, 0] = -1.0
    squared_slopes(step_on(D, x, x), x, None).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in D.parameters())


def test_the_length_of_the_labels_vector() -> None:
    """It is in the pixel norm, too: the label enters as a vector of that length."""
    settings = {"image_shape": (1, 4, 4), "z_dim": 6, "num_classes": 3, "fmaps": (4,)}
    G = Generator(GeneratorConfig(**settings, label_length=2.0)).eval()
    plain = Generator(GeneratorConfig(**{**settings, "z_dim": 9, "num_classes": 0})).eval()
    plain.load_state_dict(G.state_dict())
    z, labels = torch.randn(3, 6), torch.tensor([2, 0, 1])
    torch.testing.assert_close(G(z, labels), plain(torch.cat([z, 2 * torch.eye(3)[labels]], 1)))
