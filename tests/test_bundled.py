"""The pretrained models that come with the plugins: whole, small, various, and reproducible."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from typing import Any

import pytest
import torch

import ganzoo
from ganzoo import checkpoint, layout, registry
from ganzoo.registry import ModelEntry
from ganzoo.training import Recipe, find_recipe
from ganzoo.training.recipe import ResolvedRecipe

EXPECTED = {
    "gan.mnist",
    "cgan.mnist",
    "cgan.fashion-mnist",
    "dcgan.mnist",
    "dcgan.fashion-mnist",
    "wgan-gp.mnist",
    "wgan-gp.nouns",
    "progan.fashion-mnist",
    "progan.nouns",
    "stylegan2.mnist",
    "stylegan2.emoji",
    "stylegan2.nouns",
}


def bundled() -> list[ModelEntry]:
    return [entry for entry in registry.list_models() if entry.bundled]


def ids(entry: ModelEntry) -> str:
    return entry.name


def test_the_expected_models_are_bundled() -> None:
    assert {entry.name for entry in bundled()} >= EXPECTED


@pytest.mark.parametrize("entry", bundled(), ids=ids)
def test_a_bundled_model_is_whole_small_and_licensed(entry: ModelEntry) -> None:
    assert entry.path is not None
    assert checkpoint.verify(entry.path) == []
    assert sum(file.stat().st_size for file in entry.path.iterdir()) <= 6_000_000
    assert not layout.has_discriminator(entry.path)
    assert entry.license == "apache-2.0"
    assert entry.dataset_license not in ("", "unknown")
    assert f'ganzoo.load("{entry.name}")' in (entry.path / "README.md").read_text()


@pytest.mark.parametrize("entry", bundled(), ids=ids)
def test_loading_by_name_needs_no_network(
    entry: ModelEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    G = ganzoo.load(entry.name)
    assert not G.training and G.image_shape[1] == entry.resolution
    assert G.sample(2).shape == (2, *G.image_shape)


@pytest.mark.parametrize("entry", bundled(), ids=ids)
def test_images_are_various_and_use_the_range(entry: ModelEntry) -> None:
    images = torch.Tensor(ganzoo.load(entry.name).sample(128)).flatten(1)
    distances = torch.cdist(images, images).fill_diagonal_(torch.inf).amin(1)
    assert distances.median() > 2  # a collapsed generator's nearest neighbours coincide
    assert images.min() < -0.95 and images.max() > 0.8


@pytest.mark.parametrize("entry", bundled(), ids=ids)
def test_its_recipe_is_the_one_that_the_plugin_brings(entry: ModelEntry) -> None:
    assert entry.path is not None
    record = json.loads((entry.path / "training.json").read_text())
    shape = tuple(record["recipe"]["generator"]["image_shape"])
    recipes = (
        # a recipe may name the shape that its images have
        replace(recipe, data=replace(recipe.data, channels=shape[0], resolution=shape[1]))
        for recipe in (find_recipe(entry.name), Recipe.from_dict(record["recipe"]))
    )
    now, then = (recipe.resolve(shape, 10) for recipe in recipes)
    assert now.digest() == then.digest()
    assert images_of(now, record["steps"]) == record["images"]
    assert record["data"]["digest"] == layout.read_config(entry.path).dataset.digest
    assert record["wall_seconds"] > 0 and record["versions"]["torch"]


def images_of(resolved: ResolvedRecipe, steps: int) -> int:
    """The real images that D has seen after so many steps."""
    config, batch = resolved.config("trainer"), resolved.recipe.batch
    if resolved.part("trainer").name == "progressive":
        from ganzoo_progan.schedule import Schedule

        return Schedule.of(config, resolved.config("generator").image_shape, batch).images_at(steps)
    return steps * batch * config.n_critic


def test_the_catalogue_agrees_with_the_folders() -> None:
    catalogue = {entry.name: entry for entry in registry._catalogue_models()}
    for entry in bundled():
        known = catalogue[entry.name]
        assert known.files == entry.files, f"{entry.name}: run make registry"
        assert (known.plugin, known.arch, known.resolution) == (
            entry.plugin,
            entry.arch,
            entry.resolution,
        )
