"""The real side of a metric: features of a data set, computed once and kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganzoo import files, rng
from ganzoo.data import ImageData
from ganzoo.errors import GanzooError
from ganzoo.evaluation.features import OpenExtractor, features_of, real_images
from ganzoo.evaluation.metrics import Moments
from ganzoo.evaluation.workers import Workers

_VERSION = 1


@dataclass(frozen=True)
class RealStatistics:
    """Of a data set: the moments of all features with their factor, and the features of a subset
    drawn at random, for metrics on single images."""

    moments: Moments
    factor: Tensor
    subset: Tensor


def subset_of(n: int, count: int) -> np.ndarray:
    """`count` of n indices, drawn at random but always the same, in order."""
    return np.sort(rng.philox(0, "evaluation/real").permutation(n)[:count])


def real_statistics(
    data: ImageData,
    extractor: OpenExtractor,
    *,
    subset: int,
    progress: bool = False,
    workers: Workers,
) -> RealStatistics:
    """The statistics of a data set under an extractor, from the cache if they are there."""
    key = _key(data, extractor, subset)
    # one cache decides for all processes, which may be on machines with different ones
    known: RealStatistics | None = workers.broadcast(_recall(key) if workers.is_main else None)
    if known is None:
        known = _compute(data, extractor, subset, progress, workers)
        if workers.is_main:
            with contextlib.suppress(GanzooError):  # without a cache it is computed each time
                _keep(key, known)
    return known


def _compute(
    data: ImageData,
    extractor: OpenExtractor,
    subset: int,
    progress: bool,
    workers: Workers,
) -> RealStatistics:
    moments = Moments()
    share = workers.share(np.arange(len(data)))
    chosen = np.zeros(len(data), dtype=bool)
    chosen[subset_of(len(data), subset)] = True
    kept, done = [], 0
    bar = "Real images" if progress else ""
    for outputs in features_of(
        real_images(data, share, progress=bar), extractor, crop=data.content_crop
    ):
        moments.add(outputs.features)
        here = chosen[share[done : done + len(outputs.features)]]
        kept.append(outputs.features[torch.from_numpy(here).to(outputs.features.device)].cpu())
        done += len(outputs.features)
    moments = workers.combine(moments)
    features = workers.gather(torch.cat(kept), share[chosen[share]])
    return RealStatistics(moments, moments.factor(), features)


# -- the cache -------------------------------------------------------------------------------------


def _key(data: ImageData, extractor: OpenExtractor, subset: int) -> str:
    """What the statistics depend on."""
    facts = [_VERSION, data.content_digest, extractor.name, extractor.sha256, subset]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _recall(key: str) -> RealStatistics | None:
    """What the cache has, if it is undamaged: a file's name ends with its own hash."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for path in sorted(files.cache_folder("statistics").glob(f"{key}-*.safetensors")):
        with contextlib.suppress(OSError, SafetensorError, KeyError):
            if files.sha256(path)[:32] == path.stem.rpartition("-")[2]:
                return _from_tensors(load_file(path))
            path.unlink()
    return None


def _keep(key: str, statistics: RealStatistics) -> None:
    from ganzoo import weights

    folder = files.cache_folder("statistics")
    with files.writable(folder), tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary, "statistics.safetensors")
        weights.write_tensors(path, _to_tensors(statistics))
        path.replace(folder / f"{key}-{files.sha256(path)[:32]}.safetensors")


def _to_tensors(statistics: RealStatistics) -> dict[str, Tensor]:
    state = {f"moments.{name}": value for name, value in statistics.moments.state().items()}
    return {
        **{name: value.cpu().contiguous() for name, value in state.items()},
        "factor": statistics.factor.cpu().contiguous(),
        "subset": statistics.subset.contiguous(),
    }


def _from_tensors(tensors: Mapping[str, Tensor]) -> RealStatistics:
    moments = Moments.from_state(
        {name[8:]: value for name, value in tensors.items() if name.startswith("moments.")}
    )
    return RealStatistics(moments, tensors["factor"], tensors["subset"])
