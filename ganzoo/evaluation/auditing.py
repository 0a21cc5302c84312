"""`ganzoo.audit`: did a model copy its training images, whom does it leave out, what does D leak?

The questions are asked of the same samples, and every answer is calibrated by held-out real images.
What cannot be examined is named in the result; nothing unexamined is passed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganzoo import files, layout
from ganzoo.errors import DataError, InputError
from ganzoo.evaluation.bias import ClassShares, LabelAccuracy, class_shares, label_accuracy
from ganzoo.evaluation.copying import CopyingAudit, Space, Suspect, audit_copying
from ganzoo.evaluation.fairness import ClassGap, class_gap
from ganzoo.evaluation.features import (
    OpenExtractor,
    cropped,
    default_extractor,
    generated_images,
    open_extractor,
)
from ganzoo.evaluation.membership import Membership, audit_membership, scores_of
from ganzoo.evaluation.neighbours import nearest
from ganzoo.evaluation.protocol import split_of
from ganzoo.evaluation.reading import Reading, feature_rows, read_by_classifier, read_by_neighbours
from ganzoo.evaluation.real import subset_of
from ganzoo.evaluation.results import training_data, update
from ganzoo.evaluation.support import Support, support
from ganzoo.evaluation.verdict import NEVER_EXAMINED, of_other_images, verdict_of
from ganzoo.evaluation.workers import Workers
from ganzoo.torch_defaults import usual_defaults

if TYPE_CHECKING:
    from ganzoo.data import ImageData
    from ganzoo.models import Generator

FORMAT, RECORD, PAGE = 1, "audit.json", "audit.html"
PAIRS = 12
"""Of a sample and its nearest training image, in the report."""
MOST_PER_CLASS = 1000
"""Images of a class whose quality is compared: more change the interval little."""
LEAST_PER_CLASS = 20
"""With two of each, one audit in three would find one of ten equal classes worse."""


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        model: its name; `weights_sha256`: of its weights.
        verdict: "pass", "warn", "fail" or "unaudited", with the `reasons` in words.
        protocol: what was compared with what, and with which seeds.
        copying, coverage, membership, quality: the findings; None where not examined.
        classes: names, where there are any.
        not_examined: in words.
        samples: generated images uint8 (PAIRS, C, H, W), and `originals`, the training images
            nearest to them, for the report; not part of audit.json.
    """

    model: str
    weights_sha256: str
    verdict: str
    reasons: tuple[str, ...]
    protocol: Mapping[str, Any]
    copying: CopyingAudit
    coverage: ClassShares | None = None
    support: Support | None = None
    labels: LabelAccuracy | None = None
    quality: ClassGap | None = None
    membership: Membership | None = None
    classes: tuple[str, ...] = ()
    not_examined: tuple[str, ...] = ()
    samples: Tensor | None = field(default=None, repr=False, compare=False)
    originals: Tensor | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """As audit.json has it."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.repr}  # no images
        plain: dict[str, Any] = _plain({"format": FORMAT, **found})
        for space in plain["copying"]["spaces"].values():
            del space["suspects"]  # rows of the training set; the report shows them
        return plain


@usual_defaults()
def audit(
    source: str | Path,
    *,
    data: str | None = None,
    holdout: str | None = None,
    n: int = 10_000,
    features: str | None = None,
    labels: str | None = None,
    seed: int = 0,
    device: str | None = None,
    download: bool = True,
    progress: bool = False,
) -> Audit:
    """Audit a model against the images that it was trained on and others that it never saw.

    Args:
        source: what `ganzoo.load` takes.
        data: the training images; by default what the model says it was trained on.
        holdout: real images of the same kind that neither trained nor selected the model; by
            default the other split of a data set that has one. Without any, copying cannot be told
            from learning, and the verdict is "unaudited".
        n: generated images; 5,000 at least are needed to pass.
        features: the extractor beside the pixels; by default the one made for the data set.
        labels: an extractor of the user's own that is a classifier, for groups other than the data
            set's classes; none such is built in.
        seed: of the first image.
        device: as `ganzoo.evaluate` has it.
        download: fetch a data set that is not on this machine.
        progress: show bars on stderr.

    Raises:
        GanzooError: no such model or data set, images of another shape.
    """
    from ganzoo.loading import load, locate

    if n < 2:
        raise InputError(f"an audit of {n} samples", "use 100 at least, better 10,000")
    workers = Workers(device)
    if workers.world > 1:
        raise InputError("an audit runs in one process", "start it without accelerate launch")
    generator = load(source, device=workers.device)
    folder = locate(source).folder
    spec = data or training_data(folder)
    train = _images(generator, spec, download, progress)
    other = holdout or other_split(spec)
    held_out = None if other is None else _images(generator, other, download, progress)
    if held_out is not None and held_out.digest == train.digest:
        raise DataError("the held-out images are the training images", "hold out others")
    extractor = open_extractor(features or default_extractor(train), device=workers.device)
    groups = open_extractor(labels, device=workers.device) if labels else None
    if groups is not None and not groups.classes:
        raise InputError(f"{groups.name} is no classifier", "name one for --labels")
    if generator.num_classes or groups is None or groups.classes == train.classes:
        _check_classes(train, held_out)
    auditor = _Auditor(generator, train, held_out, extractor, groups, n, seed, progress)
    return auditor.run(folder)


def other_split(spec: str) -> str | None:
    """The split that a data set was not asked for, if it has one."""
    from ganzoo.data import spec as specs

    source, request = specs.resolve(spec)
    others = [split for split in source.splits if split != request.split]
    if not others or source.location:
        return None
    return replace(request, split=others[0]).spec


def _check_classes(train: ImageData, held_out: ImageData | None) -> None:
    if held_out is None or held_out.labels is None or train.labels is None:
        return
    if held_out.classes != train.classes:
        raise InputError(
            "the held-out images have other classes than the training images", "label both alike"
        )


def _images(generator: Generator, spec: str, download: bool, progress: bool) -> ImageData:
    from ganzoo.data import load_data

    return load_data(
        spec,
        resolution=generator.image_shape[-1],
        channels=generator.image_shape[0],
        download=download,
        progress=progress,
    )


@dataclass
class _Auditor:
    """One audit: what is compared, and the findings as they come."""

    generator: Generator
    train: ImageData
    held_out: ImageData | None
    extractor: OpenExtractor
    groups: OpenExtractor | None
    n: int
    seed: int
    progress: bool
    missing: list[str] = field(default_factory=list)
    classes: tuple[str, ...] = ()

    def run(self, folder: Path) -> Audit:
        self.seeds = range(self.seed, self.seed + self.n)
        batches = generated_images(
            self.generator, self.seeds, progress="Samples" if self.progress else ""
        )
        self.samples = torch.cat([cropped(batch, self.train.content_crop) for batch in batches])
        copying = self._copying()
        coverage, labels, quality = self._coverage()
        membership = self._membership(folder)
        verdict, reasons = verdict_of(copying, coverage, labels, quality, membership, self.classes)
        config: layout.ModelConfig | None = self.generator.record.get("config")
        trained_on = config.dataset.digest if config else ""
        if trained_on and trained_on != self.train.digest:
            self.missing.append("the images that the model was trained on: these are others")
            verdict, reasons = of_other_images(verdict, reasons)
        elif not trained_on:
            self.missing.append("whether the model was trained on these images: it does not say")
        suspects = self._suspects(copying)
        return Audit(
            model=self.generator.name,
            weights_sha256=str(self.generator.record.get("weights_sha256", "")),
            verdict=verdict,
            reasons=reasons,
            protocol=self._protocol(trained_on),
            copying=copying,
            coverage=coverage,
            support=self._support(),
            labels=labels,
            quality=quality,
            membership=membership,
            classes=self.classes,
            not_examined=(*self.missing, *NEVER_EXAMINED),
            samples=self.samples[[s.generated for s in suspects]] if suspects else None,
            originals=self._originals(suspects) if suspects else None,
        )

    def _protocol(self, trained_on: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "generated": self.n,
            "seed": self.seed,
            "train": split_of(self.train.source, self.train.digest, trained_on),
            "train_digest": self.train.digest,
            "spaces": list(dict.fromkeys(["pixels-v1", self.extractor.name])),
            "features_sha256": self.extractor.sha256,
        }
        if self.held_out is not None:
            found["holdout"] = split_of(self.held_out.source, self.held_out.digest, "")
            found["holdout_digest"] = self.held_out.digest
        if self.groups is not None:
            found |= {"groups": self.groups.name, "groups_sha256": self.groups.sha256}
        return found

    # -- copying ---------------------------------------------------------------------------------

    def _copying(self) -> CopyingAudit:
        spaces = {}
        for extractor in (open_extractor("pixels"), self.extractor):
            space = Space(
                train=feature_rows(extractor, self.train),
                held_out=None if self.held_out is None else feature_rows(extractor, self.held_out),
                generated=feature_rows(extractor, self.samples),
                train_flipped=feature_rows(extractor, self.train, flip=True),
            )
            spaces[extractor.name] = space
        self.space = space  # the extractor's, which coverage looks at too
        return audit_copying(spaces, suspects=PAIRS)

    def _suspects(self, copying: CopyingAudit) -> tuple[Suspect, ...]:
        """The most copy-like samples of the space that is most alarmed."""
        if not copying.spaces:
            return ()
        worst = min(copying.spaces.values(), key=lambda s: min(rate.p for rate in s.rates))
        return worst.suspects

    def _originals(self, suspects: Sequence[Suspect]) -> Tensor:
        rows = [
            cropped(self.train.batch(np.array([s.train]))[0], self.train.content_crop)
            for s in suspects
        ]
        return torch.cat(
            [row.flip(3) if s.flipped else row for row, s in zip(rows, suspects, strict=True)]
        )

    # -- coverage --------------------------------------------------------------------------------

    def _coverage(self) -> tuple[ClassShares | None, LabelAccuracy | None, ClassGap | None]:
        read = self._reading()
        if read is None:
            self.missing.append("classes: the data have none (name a classifier with --labels)")
            return None, None, None
        self.classes, expected, asked = read.classes, read.expected, None
        if self.generator.num_classes == len(read.classes) and self.groups is None:
            # a conditional model answers for what it is asked, not for what is asked of it
            asked = np.array(self.generator.choose_labels(None, list(self.seeds)))
            expected = np.bincount(asked, minlength=len(read.classes))
        elif self.generator.num_classes:
            self.missing.append("labels of the model: the classes that were read are others")
        try:
            coverage = class_shares(read.samples, expected, confusion=read.confusion)
        except InputError as error:  # classes that cannot be told apart
            self.missing.append(f"classes: {error.problem}")
            return None, None, None
        if read.confusion is None:
            self.missing.append("the reader's own errors: no held-out images with these labels")
            return coverage, None, None
        if asked is None:
            return coverage, None, None
        labels = label_accuracy(asked, read.samples, confusion=read.confusion)
        return coverage, labels, self._quality(asked)

    def _reading(self) -> Reading | None:
        """Which class each sample shows, by the best reader at hand."""
        labelled = (self.train, self.held_out)
        classifier = self.groups or (self.extractor if self.extractor.classes else None)
        if classifier is not None and (self.groups or classifier.classes == self.train.classes):
            return read_by_classifier(classifier, self.samples, *labelled)
        if self.train.labels is not None:
            return read_by_neighbours(self.space, *labelled)
        return None

    def _support(self) -> Support | None:
        if self.space.held_out is None:
            self.missing.append("how many different images it makes: no held-out images")
            return None
        return support(self.space.generated, held_out=self.space.held_out)

    def _quality(self, asked: np.ndarray) -> ClassGap | None:
        """How far the samples of each class lie from its real images, real ones compared."""
        held_out = self.held_out.labels if self.held_out is not None else None
        if held_out is None or self.space.held_out is None:
            self.missing.append("quality per class: no held-out images with labels")
            return None
        assert self.train.labels is not None  # or no class could be asked for
        generated, real = [], []
        for c in range(len(self.classes)):
            near = self.space.train[self.train.labels == c]
            mine = self.space.generated[asked == c][:MOST_PER_CLASS]
            theirs = self.space.held_out[held_out == c][:MOST_PER_CLASS]
            if min(len(mine), len(theirs)) < LEAST_PER_CLASS or not len(near):
                self.missing.append(f"quality per class: too few images of {self.classes[c]}")
                return None
            generated.append(nearest(mine, near).distances[:, 0])
            real.append(nearest(theirs, near).distances[:, 0])
        return class_gap(generated, real)

    # -- membership ------------------------------------------------------------------------------

    def _membership(self, folder: Path) -> Membership | None:
        from ganzoo.loading import load_discriminator

        if not layout.has_discriminator(folder):
            self.missing.append("membership leakage of the discriminator: the folder has none")
            return None
        if self.held_out is None:
            self.missing.append("membership leakage of the discriminator: no held-out images")
            return None
        critic = load_discriminator(folder, device=self.generator.device).eval()
        if critic.num_classes and self.held_out.labels is None:
            self.missing.append("membership leakage of the discriminator: it needs labels")
            return None
        members = subset_of(len(self.train), len(self.held_out))
        others = np.arange(len(self.held_out))
        return audit_membership(
            scores_of(critic, self.train, members), scores_of(critic, self.held_out, others)
        )


# -- records ---------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Findings as JSON has them; a number that JSON has not is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def add_audit(folder: str | Path, found: Audit) -> None:
    """Write an audit into audit.json, audit.html (without training images), the card and the hashes
    of a model folder."""
    from ganzoo.evaluation.report import render

    folder = Path(folder)
    if files.sha256(folder / layout.WEIGHTS["generator"]) != found.weights_sha256:
        raise InputError(f"this audit is not of the weights in {folder}", "audit the model again")
    record = json.dumps(found.to_dict(), indent=1, ensure_ascii=False) + "\n"
    update(folder, {RECORD: record, PAGE: render(found, training_images=False)})
