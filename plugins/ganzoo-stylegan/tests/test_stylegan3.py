"""StyleGAN3: the schedule of its layers against the paper's numbers, equivariance, training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from ganzoo_stylegan.stylegan3 import Generator
from ganzoo_stylegan.stylegan3_config import StyleGAN3GeneratorConfig
from torch import Tensor, nn

from ganzoo import checkpoint
from ganzoo.cli import main
from ganzoo.errors import ConfigError, InputError
from ganzoo.rng import Draws

SMALL: dict[str, Any] = {"z_dim": 5, "w_dim": 7, "channel_base": 128, "channel_max": 12}
R: dict[str, Any] = {"conv_kernel": 1, "radial_filters": True}


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
        ({"first_stopband": 1.5}, "first_stopband = 1.5 is not above first_cutoff"),
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
