"""Every hook of ganzoo, as pluggy specifications.

A plugin is a module that an entry point of the group `ganzoo` names. It implements any of these
functions under `@ganzoo.hookimpl`. Hooks declare (what the plugin brings) and observe (what a
training run does); none of them is called inside the maths.

The module that an entry point names must not import torch: listing what is installed stays fast,
because a `Part` names its class as a dotted string that is resolved when it is used.

A hook or an argument that is to go is warned about for one minor version first: plugins that
implement it get a `HookDeprecation`, which pytest and `ganzoo check` show to their authors.

    @hookspec(warn_on_impl=HookDeprecation("ganzoo_old", gone="0.3", instead="ganzoo_new"))
    @hookspec(warn_on_impl_args={"logs": HookDeprecation("logs", gone="0.3", instead="trainer")})

`make release-check` compares these hooks with hooks.toml, where those of each release are recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from ganzoo.card import ModelCard
    from ganzoo.data import DataSource
    from ganzoo.parts import Part
    from ganzoo.registry import ModelEntry
    from ganzoo.training.trainer import Trainer

PROJECT = "ganzoo"
API_VERSION = 1
"""The version of these hooks. A plugin module sets `GANZOO_API = 1`; another number is refused."""


class HookDeprecation(DeprecationWarning):
    """A hook, or an argument of one, that the core's version `gone` no longer has."""

    def __init__(self, what: str, *, gone: str, instead: str) -> None:
        super().__init__(f"{what} is no more in ganzoo {gone}: use {instead}")
        self.gone = gone


hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def ganzoo_generators() -> Iterable[Part]:  # type: ignore[empty-body]
    """Return the generators that this plugin brings.

    Called on the first use of the part registry. Each item is a `Part` of kind "generator" whose
    factory is a subclass of `ganzoo.Generator` and is called with its config, which extends
    `ganzoo.GeneratorConfig`. It defines `forward(z, labels=None)`, from latents (N, z_dim) of
    N(0, 1) to images (N, C, H, W).
    """


@hookspec
def ganzoo_discriminators() -> Iterable[Part]:  # type: ignore[empty-body]
    """Return the discriminators (critics) that this plugin brings.

    Each item is a `Part` of kind "discriminator" whose factory is a subclass of
    `ganzoo.Discriminator` and is called with its config, which extends
    `ganzoo.DiscriminatorConfig`. It defines `forward(x, labels=None)`, from images to raw scores
    (N,), higher for more real; one that gives more (classes, features, a reconstruction) says so in
    `provides` and defines `outputs`, which returns a `ganzoo.models.Outputs`.
    """


@hookspec
def ganzoo_losses() -> Iterable[Part]:  # type: ignore[empty-body]
    """Return the losses that this plugin brings.

    Each item is a `Part` of kind "loss" whose factory is a subclass of
    `ganzoo.training.losses.Loss`: `discriminator_terms(step)` and `generator_terms(step)` return
    what each player minimises as named scalars, of what a `ganzoo.training.step.Step` holds. What
    it remembers is buffers. `requires={"discriminator": {"gradient-penalty"}}` states what a loss
    needs of the other parts (`ganzoo.parts.CAPABILITIES`); a mix that lacks it is refused before
    training starts.
    """


@hookspec
def ganzoo_trainers() -> Iterable[Part]:  # type: ignore[empty-body]
    """Return the trainers that this plugin brings.

    Each item is a `Part` of kind "trainer" whose factory is a subclass of
    `ganzoo.training.trainer.Trainer`. The core's own is "alternating".
    """


@hookspec
def ganzoo_augmentations() -> Iterable[Part]:  # type: ignore[empty-body]
    """Return the augmentations that this plugin brings.

    Each item is a `Part` of kind "augmentation" whose factory is a subclass of
    `ganzoo.training.augmentation.Augmentation`: it is applied to everything that D sees.
    """


@hookspec
def ganzoo_features() -> Iterable[Part]:  # type: ignore[empty-body]
    """Return the feature extractors that this plugin brings, for metrics and audits.

    Each item is a `Part` of kind "features" whose factory makes an `nn.Module` that maps uint8
    images (N, C, H, W) to features (N, F); `ganzoo.evaluation.extractors.Extractor` is a base for
    it. One that classifies has `classes` (names) and `outputs(images)` with `features` and
    `logits`; `resize` says how images are brought to its size; `data` in its config names the data
    sets that are measured with it by default. Raise the part's version with every change of the
    weights: it is part of the name of a protocol.
    """


@hookspec
def ganzoo_datasets() -> Iterable[DataSource]:  # type: ignore[empty-body]
    """Return the named data sets that this plugin brings, asked for by `--data NAME`."""


@hookspec
def ganzoo_models() -> Iterable[ModelEntry] | Path:  # type: ignore[empty-body]
    """Return the pretrained models that this plugin brings.

    Either a folder whose subfolders are model folders (bundled with the plugin), the path of the
    plugin's own `registry.toml`, or an iterable of entries.
    """


@hookspec
def ganzoo_recipes() -> Iterable[Path]:  # type: ignore[empty-body]
    """Return the paths of this plugin's recipes (TOML); the file's stem is the recipe's name.

    The keys are the fields of `ganzoo.training.Recipe`; the table of a part has its name as `part`
    beside the fields of its config.
    """


@hookspec
def ganzoo_importers() -> Iterable[Part]:  # type: ignore[empty-body]
    """Return the importers of other programs' checkpoints that this plugin brings.

    Each item is a `Part` of kind "importer" whose factory is a subclass of
    `ganzoo.importing.importer.Importer`; its name is what `ganzoo import --as NAME` takes, and the
    fields of its config are the settings that users can be asked for. It gets the inert tree that
    the core's restricted reader made of a file, never the file itself.
    """


@hookspec
def ganzoo_train_start(trainer: Trainer) -> None:
    """A run starts (or goes on); networks and optimisers exist, no step has been made."""


@hookspec
def ganzoo_step_end(trainer: Trainer, step: int, logs: Mapping[str, float]) -> None:
    """A logging interval ended at `step` (steps done). `logs` holds means over the interval."""


@hookspec
def ganzoo_checkpoint_saved(trainer: Trainer, path: Path) -> None:
    """A training checkpoint was written at `path` and is complete."""


@hookspec
def ganzoo_train_end(trainer: Trainer, error: BaseException | None) -> None:
    """A run ended; `error` is what ended it, None where it made all the steps it was to make."""


@hookspec
def ganzoo_model_card(card: ModelCard, directory: Path) -> None:
    """Add to the model card of the model folder `directory` before it is written."""
