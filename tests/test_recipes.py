"""The recipes of all families: their names, what they promise, and settings of known sources."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ganzoo import plugins
from ganzoo.data import stand_in
from ganzoo.errors import ConfigError
from ganzoo.training import Recipe, find_recipe, recipes

ALL = {name: Recipe.load(path) for name, path in recipes().items()}


@pytest.mark.parametrize("name", ALL)
def test_a_name_says_the_scale(name: str) -> None:
    recipe = ALL[name]
    assert recipe.name == name
    assert name.endswith(".paper") == (recipe.about.scale == "paper")
    assert name.startswith(f"{recipe.generator.part}.") or recipe.loss.part.startswith("wgan")


def test_every_family_has_recipes_of_every_scale() -> None:
    scales: dict[str, set[str]] = {}
    for plugin, paths in plugins.load().call("ganzoo_recipes"):
        scales[plugin.name] = {Recipe.load(path).about.scale for path in paths}
    of_families = {"gan", "cgan", "dcgan", "wgan", "progan", "stylegan", "r3gan"}
    assert of_families <= set(scales)
    for family in of_families:
        assert scales[family] == {"small", "standard", "paper"}, family


@pytest.mark.parametrize("name", ALL)
def test_without_its_data_a_recipe_can_be_measured_on_noise_of_their_shape(name: str) -> None:
    data = ALL[name].data
    noise = stand_in(data.source, n=1, resolution=data.resolution, channels=data.channels)
    assert noise is not None
    ALL[name].resolve(noise.image_shape, noise.num_classes)


@pytest.mark.parametrize("name", ALL)
def test_what_was_not_run_is_said_to_be_so(name: str) -> None:
    about = ALL[name].about
    assert about.source
    if about.scale != "small":
        assert about.expected.startswith("Not run by us. ")
    if "ffhq" in name:
        assert "mirror images at random, which no data source does yet" in about.expected


def test_the_conditional_recipe_for_cifar10_has_the_optimiser_that_it_names() -> None:
    """sn_cifar10.yml: Adam 2e-4, 0, 0.9; 50,000 updates of G, of five of D; a linear decay."""
    recipe = find_recipe("cgan.cifar10")
    for optimizer in (recipe.optimizer.generator, recipe.optimizer.discriminator):
        assert (optimizer.name, optimizer.lr, optimizer.betas) == ("adam", 2e-4, (0.0, 0.9))
        assert optimizer.schedule == "linear"
    n_critic = recipe.resolve((3, 32, 32), 10).config("trainer").n_critic
    assert n_critic == 5
    assert math.ceil(recipe.images / (recipe.batch * n_critic)) == 50_000


def test_the_standard_stylegan2_is_the_start_of_the_papers() -> None:
    standard, paper = find_recipe("stylegan2.cifar10"), find_recipe("stylegan2.cifar10.paper")
    assert (standard.kimg, paper.kimg) == (5000, 100_000)
    differing = {name: getattr(paper, name) for name in ("name", "kimg", "ema", "every", "about")}
    assert replace(standard, **differing) == paper


def test_the_r3gan_recipe_for_cifar10_has_the_authors_preset() -> None:
    """Four resolutions of 768 channels, two blocks each, 96 groups within; labels of 64 numbers in
    G and 768 in D; gamma, rate and beta fall or rise along half a cosine within 20,000 kimg."""
    recipe = find_recipe("r3gan.cifar10.paper")
    resolved = recipe.resolve((3, 32, 32), 10)
    for role, label in (("generator", 64), ("discriminator", 768)):
        network, optimizer = resolved.config(role), getattr(recipe.optimizer, role)
        assert [width for _, width in network.levels] == [768] * 4 and network.blocks == 2
        assert network.expansion * 768 / network.group_size == 96
        assert network.embed_dim == label
        assert (optimizer.lr, optimizer.final_lr, optimizer.schedule) == (2e-4, 5e-5, "cosine")
        assert (optimizer.betas, optimizer.final_betas) == ((0.0, 0.9), (0.0, 0.99))
        assert optimizer.schedule_kimg == 20_000
    loss = resolved.config("loss")
    assert (loss.gamma, loss.final_gamma, loss.burn_in_kimg) == (0.05, 0.005, 20_000)
    assert recipe.batch == 512 and recipe.ema.half_life_kimg == 5000


def test_dcgans_recipe_for_faces_has_the_authors_optimiser() -> None:
    """train_uncond_dcgan.py: Adam 2e-4, 0.5, with an L2 of 1e-5; 25 epochs of batches of 128."""
    recipe = find_recipe("dcgan.celeba.paper")
    for optimizer in (recipe.optimizer.generator, recipe.optimizer.discriminator):
        assert (optimizer.name, optimizer.lr, optimizer.betas) == ("adam", 2e-4, (0.5, 0.999))
        assert optimizer.weight_decay == 1e-5
    assert recipe.batch == 128 and recipe.kimg == math.ceil(25 * 202.599)


def test_a_value_in_the_place_of_a_table_names_its_settings() -> None:
    with pytest.raises(ConfigError, match="ema = 3 is of the wrong type: use a table of half_life"):
        find_recipe("gan.mnist").with_settings(["ema=3"])
