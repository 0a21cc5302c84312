"""What a run measures of its averaged generator as it goes: metrics, and whether modes collapse.

A scorer is asked at every logging step and answers when it is due; its numbers go into the log.
All processes ask, because a metric is measured by all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganzoo import rng
from ganzoo.checkpoint import as_stored
from ganzoo.errors import GanzooError
from ganzoo.evaluation import clusters
from ganzoo.evaluation.evaluating import Result, check_measurable, measure
from ganzoo.evaluation.features import (
    cropped,
    default_extractor,
    generated_images,
    open_extractor,
    real_images,
)
from ganzoo.evaluation.neighbours import nearest
from ganzoo.evaluation.protocol import METRICS
from ganzoo.evaluation.real import subset_of
from ganzoo.evaluation.results import read_results
from ganzoo.evaluation.workers import Workers
from ganzoo.training.report import write_model

if TYPE_CHECKING:
    from ganzoo.data import ImageData
    from ganzoo.training.recipe import Recipe
    from ganzoo.training.tables import Evaluate
    from ganzoo.training.trainer import Trainer

Scorer = Callable[["Trainer"], Mapping[str, float]]
"""A trainer at a logging step -> what to log, by name; nothing when it is not due."""


def is_due(every: int, step: int, log: int) -> bool:
    """Whether `step`, a multiple of `log` or where a run ends, is the first of these since, or at,
    a multiple of `every`."""
    logged_before = (step - 1) // log * log
    return step // every > logged_before // every


class Evaluations:
    """Metrics at intervals; the model with the best value of the first one is kept in `best/`."""

    def __init__(self, settings: Evaluate, data: ImageData, device: torch.device) -> None:
        self._settings = settings
        # opened now, so that what cannot be measured is refused before the run starts
        name = settings.features or default_extractor(data)
        self._extractor = open_extractor(name, device=device)
        check_measurable(settings.metrics, self._extractor, data)

    def __call__(self, trainer: Trainer) -> dict[str, float]:
        if not is_due(self._settings.every, trainer.step, trainer.recipe.every.log):
            return {}
        workers = Workers(trainer.device)
        results = measure(
            as_stored(trainer.averaged(), trainer.recipe.model.storage_dtype),
            trainer.data,
            self._extractor,
            metrics=self._settings.metrics,
            n=self._settings.n,
            trained_on=trainer.data.digest,
            workers=workers,
            **trainer.options("generator"),
        )
        if workers.is_main:
            self._keep_best(trainer, results)
        return {f"eval/{result.protocol.metric}": result.value for result in results}

    def _keep_best(self, trainer: Trainer, results: list[Result]) -> None:
        folder, first = trainer.folder / "best", results[0]
        former = _stored(folder, first.name)
        lower = METRICS[first.protocol.metric].startswith("lower")
        if former is None or (first.value < former if lower else first.value > former):
            write_model(trainer, folder, results)


def _stored(folder: Path, name: str) -> float | None:
    """The value of the best model so far by this protocol; None if there is no whole one."""
    try:
        value = read_results(folder).get(name, {}).get("value")
    except GanzooError:
        return None
    return None if value is None else float(value)


class ModeCoverage:
    """How many of the data's modes the images of fixed seeds show: classes, where a classifier of
    the core knows them, else clusters of features. A warning when it is less than half.

    As many real images are looked at in the same way, so that a rare mode is not held against the
    generator.
    """

    IMAGES, CLUSTERS, REAL = 256, 16, 2048

    def __init__(self, every: int, data: ImageData, device: torch.device) -> None:
        self._every = every
        self._extractor = open_extractor(default_extractor(data), device=device)
        self._modes: Callable[[Tensor], np.ndarray] | None = None
        self._warned = False

    def __call__(self, trainer: Trainer) -> dict[str, float]:
        if not is_due(self._every, trainer.step, trainer.recipe.every.log) or trainer.rank:
            return {}
        if trainer.options("generator").get("lod"):
            return {}  # a network that grows does not show details yet
        if self._modes is None:
            self._prepare(trainer.data)
        assert self._modes is not None
        images = generated_images(trainer.averaged(), range(self.IMAGES))
        counts = self._modes(torch.cat(list(images)))
        seen, share = int((counts > 0).sum()), float((counts > 0).sum() / self._of_real)
        if share < 0.5 and not self._warned:
            trainer.observers.say(
                f"step {trainer.step}: mode collapse? {self.IMAGES} images of fixed seeds show"
                f" {seen} of the {self._of_real} {self._what} that as many real ones show"
            )
        self._warned = share < 0.5
        return {f"modes/{self._what}": float(seen), "modes/share": share}

    def _prepare(self, data: ImageData) -> None:
        """Find the modes of the real images, and count how many as many of them show."""
        extractor, crop = self._extractor, data.content_crop
        if extractor.classes:
            self._what, k = "classes", len(extractor.classes)

            def modes(images: Tensor) -> np.ndarray:
                logits = extractor(cropped(images, crop)).logits
                assert logits is not None
                return np.bincount(logits.argmax(1).cpu().numpy(), minlength=k)
        else:
            chosen = real_images(data, subset_of(len(data), self.REAL))
            found = [extractor(cropped(images, crop)).features for images in chosen]
            centres = clusters.centres(torch.cat(found).cpu().numpy(), self.CLUSTERS)
            self._what, k = "clusters", len(centres)

            def modes(images: Tensor) -> np.ndarray:
                features = extractor(cropped(images, crop)).features.cpu().numpy()
                return np.bincount(nearest(features, centres).indices[:, 0], minlength=k)

        self._modes = modes
        draw = rng.philox(0, "modes/real").permutation(len(data))[: self.IMAGES]
        self._of_real = int((modes(data.batch(np.sort(draw))[0]) > 0).sum())


def scorers(recipe: Recipe, data: ImageData, device: torch.device) -> list[Scorer]:
    """The scorers that a recipe asks for.

    Raises:
        GanzooError: a metric or extractor does not fit the data.
    """
    found: list[Scorer] = []
    if recipe.every.grid:
        found.append(ModeCoverage(recipe.every.grid, data, device))
    if recipe.evaluate.every or recipe.finish.evaluate:
        evaluations = Evaluations(recipe.evaluate, data, device)
        if recipe.evaluate.every:
            found.append(evaluations)
    return found
