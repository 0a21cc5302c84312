"""Checks of the files that a plugin brings: recipes and pretrained models."""

from __future__ import annotations

from ganzoo import checkpoint, layout, plugins
from ganzoo.testing.results import CheckFailed
from ganzoo.testing.subject import FileTarget
from ganzoo.training.recipe import Recipe

LARGEST_MODEL = 6_000_000
"""Bytes of a bundled model folder; larger ones belong on the Hub."""


def recipe_resolves(target: FileTarget) -> None:
    """The recipe is valid, and its parts are installed and go together."""
    recipe = Recipe.load(target.path)
    if not recipe.data.source:
        raise CheckFailed("the recipe names no data", 'write [data] source = "mnist"')
    registry = plugins.load().parts
    # The data are not at hand: the images are as large as the recipe or else the part says.
    part = registry.get("generator", recipe.generator.part)
    channels, height, width = part.make_config(recipe.generator.settings).image_shape
    resolution = recipe.data.resolution
    recipe.resolve(
        (recipe.data.channels or channels, resolution or height, resolution or width),
        10 if recipe.conditional else 0,
    )


def model_intact(target: FileTarget) -> None:
    """The model folder is whole: each hash matches and the weights load strictly."""
    for name in layout.read_sums(target.path):
        layout.check_file(target.path, name)
    checkpoint.load_generator(target.path)


def model_licensed(target: FileTarget) -> None:
    """The model names its licence and that of its data."""
    config = layout.read_config(target.path)
    for what, named in (("license", config.license), ("dataset.license", config.dataset.license)):
        if named in ("", "unknown"):
            raise CheckFailed(f"{what} in {layout.CONFIG} is {named!r}", "name it and save again")


def model_small(target: FileTarget) -> None:
    """The bundled model is at most 6 MB."""
    size = sum(path.stat().st_size for path in target.path.rglob("*") if path.is_file())
    if size > LARGEST_MODEL:
        raise CheckFailed(
            f"it has {size / 1e6:.1f} MB",
            'store float16 (storage_dtype = "float16"), or publish it',
        )


def model_samples(target: FileTarget) -> None:
    """The model's images are finite and not all the same."""
    images = checkpoint.load_generator(target.path).sample(8)
    if not bool(images.isfinite().all()):
        raise CheckFailed("the images are not finite", "train it again")
    if bool((images == images[:1]).all()):
        raise CheckFailed("all images are the same", "train it again")
