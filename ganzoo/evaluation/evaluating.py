"""`ganzoo.evaluate`: a model and a data set to metrics, each with the protocol that made it."""

from __future__ import annotations

import json
import statistics as means
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganzoo import rng
from ganzoo.errors import InputError, nearest
from ganzoo.evaluation.extractors import Outputs
from ganzoo.evaluation.features import (
    OpenExtractor,
    cropped,
    default_extractor,
    features_of,
    generated_images,
    open_extractor,
)
from ganzoo.evaluation.metrics import (
    Estimate,
    Moments,
    distance_of_factors,
    inception_score,
    kernel_distance,
    manifold,
)
from ganzoo.evaluation.protocol import METRICS, Protocol, split_of
from ganzoo.evaluation.real import RealStatistics, real_statistics
from ganzoo.evaluation.results import training_data
from ganzoo.evaluation.workers import Workers
from ganzoo.torch_defaults import usual_defaults

if TYPE_CHECKING:
    from ganzoo.data import ImageData
    from ganzoo.layout import ModelConfig
    from ganzoo.models import Generator

STANDARD = ("fid", "kid", "precision", "recall", "density", "coverage")
"""What is measured unless something else is asked for."""


@dataclass(frozen=True)
class Result:
    """A metric of a model.

    Attributes:
        value: the mean over the protocol's repeats.
        std: the standard deviation of one measurement over the repeats; None of a single one.
        interval: KID's 95 % bootstrap bounds of the first repeat; None elsewhere.
        weights_sha256: of the model that was measured.
    """

    value: float
    std: float | None
    protocol: Protocol
    weights_sha256: str
    interval: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """The protocol's, which is the key in metrics.json."""
        return self.protocol.name

    def to_dict(self) -> dict[str, Any]:
        """As metrics.json has it."""
        return {
            "value": self.value,
            "std": self.std,
            **({"interval": list(self.interval)} if self.interval else {}),
            "metric": self.protocol.metric,
            "protocol": self.name,
            "settings": self.protocol.to_dict(),
            "weights_sha256": self.weights_sha256,
        }


@usual_defaults()
def evaluate(
    source: str | Path,
    *,
    data: str | None = None,
    metrics: Sequence[str] = STANDARD,
    n: int = 10_000,
    features: str | None = None,
    repeats: int = 3,
    seed: int = 0,
    device: str | None = None,
    download: bool = True,
    progress: bool = False,
    **options: Any,
) -> list[Result]:
    """Measure a model against a data set.

    Args:
        source: what `ganzoo.load` takes.
        data: the real images, as `--data` takes them; by default what the model was trained on.
        metrics: names of `METRICS`, by default all but the Inception Score.
        n: generated images of one measurement. KID, precision, recall, density and coverage compare
            them with as many real ones, drawn at random but always the same; FID with all.
        features: an extractor, such as "inception"; by default the one made for the data set.
        repeats: measurements with different seeds, for the deviation.
        seed: of the first image.
        device: "cpu", "cuda" …; by default a GPU where there is one.
        download: fetch data that are not on this machine.
        progress: show bars on stderr.
        **options: of sampling (`truncation` …), which become part of the protocol.

    Returns:
        A `Result` for each metric, in the order in which they were asked for.

    Raises:
        GanzooError: no such model, data set, metric or extractor, or images of another shape.
    """
    from ganzoo.data import load_data
    from ganzoo.loading import load, resolve_folder

    _check(metrics, n, repeats, seed)
    workers = Workers(device)
    generator = load(source, device=workers.device)
    spec = data or training_data(resolve_folder(source))
    with workers.main_first():
        images = load_data(
            spec,
            resolution=generator.image_shape[-1],
            channels=generator.image_shape[0],
            download=download,
            progress=progress and workers.is_main,
        )
    extractor = open_extractor(features or default_extractor(images), device=workers.device)
    return measure(
        generator,
        images,
        extractor,
        metrics=metrics,
        n=n,
        repeats=repeats,
        seed=seed,
        progress=progress and workers.is_main,
        trained_on=_digest(generator),
        workers=workers,
        **options,
    )


def measure(
    generator: Generator,
    data: ImageData,
    extractor: OpenExtractor,
    *,
    metrics: Sequence[str] = STANDARD,
    n: int = 10_000,
    repeats: int = 1,
    seed: int = 0,
    trained_on: str = "",
    progress: bool = False,
    workers: Workers,
    **options: Any,
) -> list[Result]:
    """`evaluate` of what is loaded already; `trained_on` is the digest of the training data."""
    _check(metrics, n, repeats, seed)
    options = generator.check_options(options)
    if (fewest := min(n, len(data))) < workers.world:
        raise InputError(f"{fewest} images for {workers.world} processes", "start fewer")
    check_measurable(metrics, extractor, data)
    with torch.inference_mode():
        real = real_statistics(
            data,
            extractor,
            subset=min(n, len(data)),
            progress=progress,
            workers=workers,
        )
        share, rounds = workers.share(np.arange(n)), []
        for number in range(repeats):
            bar = f"Repeat {number + 1} of {repeats}" if progress else ""
            seeds = (seed + number * n + share).tolist()
            images = generated_images(generator, seeds, progress=bar, **options)
            features = features_of(images, extractor, crop=data.content_crop)
            rounds.append(_round(features, share, real, set(metrics), workers))
    protocol = Protocol(
        metric="fid",
        features=extractor.name,
        features_sha256=extractor.sha256,
        n_fake=n,
        n_real=len(data),
        split=split_of(data.source, data.digest, trained_on),
        data_digest=data.content_digest,
        resize=extractor.resize,
        seed=seed,
        repeats=repeats,
        options=json.loads(json.dumps(options)),  # as metrics.json has them: lists, no tuples
    )
    results = []
    for metric in metrics:
        values = [found[metric].value for found in rounds]
        first = rounds[0][metric]
        everything = metric in ("fid", "inception-score")
        results.append(
            Result(
                value=means.fmean(values),
                std=means.stdev(values) if repeats > 1 else None,
                protocol=replace(
                    protocol, metric=metric, n_real=len(data) if everything else min(n, len(data))
                ),
                weights_sha256=str(generator.record.get("weights_sha256", "")),
                interval=(first.low, first.high) if metric == "kid" else None,
            )
        )
    return results


def check_measurable(metrics: Sequence[str], extractor: OpenExtractor, data: ImageData) -> None:
    """Refuse what cannot be measured of such images, before anything is computed."""
    if "inception-score" in metrics and not extractor.classes:
        raise InputError(
            f"the Inception Score needs a classifier, {extractor.name} is none",
            "leave it out, or use --features inception",
        )
    images, _ = data.batch(np.arange(min(1, len(data))))
    extractor(cropped(images, data.content_crop))


def _round(
    batches: Iterable[Outputs],
    share: np.ndarray,
    real: RealStatistics,
    wanted: set[str],
    workers: Workers,
) -> dict[str, Estimate]:
    """One measurement of each metric, by all processes together: `batches` are of the generated
    images that are this one's share."""
    moments, rows, logits = Moments(), [], []
    single = wanted - {"fid", "inception-score"}
    for outputs in batches:
        moments.add(outputs.features)
        if single:
            rows.append(outputs.features)
        if "inception-score" in wanted and outputs.logits is not None:
            logits.append(outputs.logits)
    found: dict[str, Estimate] = {}
    if "fid" in wanted:
        moments = workers.combine(moments)
        found["fid"] = _exact(distance_of_factors(real.moments, real.factor, moments))
    if single:
        fake = workers.gather(torch.cat(rows), share).to(workers.device)
        found |= _on_images(fake, real.subset.to(workers.device), single)
    if logits:
        score, _ = inception_score(workers.gather(torch.cat(logits), share))
        found["inception-score"] = _exact(score)
    return found


def _on_images(fake: Tensor, real: Tensor, wanted: set[str]) -> dict[str, Estimate]:
    """The metrics that look at single images, not at moments."""
    found = {}
    if "kid" in wanted:
        found["kid"] = kernel_distance(fake, real)
    if wanted - {"kid"}:
        shape = manifold(fake, real)
        found |= {name: _exact(getattr(shape, name)) for name in wanted - {"kid"}}
    return found


def _exact(value: float) -> Estimate:
    return Estimate(value, value, value)


def _digest(generator: Generator) -> str:
    """Of the data that a loaded model says it was trained on."""
    config: ModelConfig | None = generator.record.get("config")
    return config.dataset.digest if config else ""


def _check(names: Sequence[str], n: int, repeats: int, seed: int) -> None:
    rng.check_seed(seed)
    rng.check_seed(seed + n * repeats)
    for name in names:
        if name not in METRICS:
            raise InputError(f"no metric is called {name!r}", nearest(name, METRICS))
    if not names or n < 2 or repeats < 1:
        raise InputError(
            "nothing to measure", "use 1 or more metrics and repeats, 2 or more images"
        )
