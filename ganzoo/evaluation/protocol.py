"""The identity of a metric: everything that its number depends on, beside the model.

A score without its extractor, its numbers of images, its split and its resize is no score. All of
that is a `Protocol`; two numbers may be compared if, and only if, their protocols are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ganzoo.errors import CheckpointError
from ganzoo.rng import MAX_SEED

METRICS: dict[str, str] = {
    "fid": "lower is better",
    "kid": "lower is better",
    "precision": "higher is better",
    "recall": "higher is better",
    "density": "higher is better",
    "coverage": "higher is better",
    "inception-score": "higher is better",
}
"""Name of a metric -> which way it points."""


@dataclass(frozen=True)
class Protocol:
    """How a metric is measured.

    Attributes:
        metric: of `METRICS`.
        features, features_sha256: the extractor with its version, and the hash of its weights.
        n_fake, n_real: images of each kind in one measurement.
        split: "train" for the very images that the model was trained on, else the data's spec.
        data_digest: of the preprocessed real images, without padding (which samples lose too).
        resize: how images become the extractor's size.
        seed, repeats: repeat r has the seeds from seed + r·n_fake on.
        ema: the averaged generator was measured (a published one always is).
        precision: of the features, and of the arithmetic on them.
        options: of sampling: truncation, noise, …
    """

    metric: str
    features: str
    features_sha256: str
    n_fake: int
    n_real: int
    split: str
    data_digest: str
    resize: str = "native"
    seed: int = 0
    repeats: int = 1
    ema: bool = True
    precision: str = "float32/float64"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`fid/digits-v1/n10k/train/native`: what people call it."""
        n = f"{self.n_fake // 1000}k" if self.n_fake % 1000 == 0 else str(self.n_fake)
        options = [f"{key}={value}" for key, value in sorted(self.options.items())]
        return "/".join([self.metric, self.features, f"n{n}", self.split, self.resize, *options])

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Protocol:
        """The protocol that `to_dict` wrote.

        Raises:
            CheckpointError: it lacks a value, or has one of another type.
        """
        found = {f.name: values.get(f.name, f.default) for f in fields(cls)}
        found["options"] = options = found["options"] if "options" in values else {}
        wrong = [name for name, fits in _FITS.items() if not fits(found[name])]
        if wrong or not isinstance(options, Mapping) or not all(map(_is_option, options.items())):
            name = wrong[0] if wrong else "options"
            raise CheckpointError(f"a protocol is damaged: its {name} is odd", "evaluate again")
        return cls(**found)


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200


def _count(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


_FITS: dict[str, Callable[[Any], bool]] = {
    "metric": lambda value: isinstance(value, str) and value in METRICS,
    **dict.fromkeys(
        ("features", "features_sha256", "split", "data_digest", "resize", "precision"), _text
    ),
    "n_fake": _count(2, 10**8),
    "n_real": _count(1, 10**10),
    "seed": _count(0, MAX_SEED),
    "repeats": _count(1, 1000),
    "ema": lambda value: isinstance(value, bool),
}
"""Field -> whether a value, which may be anyone's, can stand there."""


def _is_option(option: tuple[Any, Any]) -> bool:
    """Whether a name and a value can be an option of sampling; the generator decides the rest."""
    name, value = option
    if name == "mix":
        return isinstance(value, (list, tuple))
    if name == "noise":
        return isinstance(value, str)
    known = ("truncation", "truncation_cutoff", "lod")
    return name in known and type(value) in (int, float) and abs(value) < 1000


def split_of(source: str, data_digest: str, trained_on: str) -> str:
    """What a protocol calls its real images: "train", a spec such as "mnist@test", or the start of
    the digest of a folder or archive, whose path is nobody's concern."""
    if trained_on and data_digest == trained_on:
        return "train"
    return source if re.fullmatch(r"[\w.@\-]+", source) else f"data-{data_digest[:12]}"
