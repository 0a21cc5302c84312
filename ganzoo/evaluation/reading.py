"""Reading the class of images: through a classifier, or by the nearest training image.

Every reader errs. What it reads in held-out images of known class says how, so that shares of
classes can be corrected for it (`ganzoo.evaluation.bias`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganzoo.data import ImageData
from ganzoo.evaluation.bias import confusion_matrix
from ganzoo.evaluation.copying import Space
from ganzoo.evaluation.features import BATCH, OpenExtractor, features_of, real_images
from ganzoo.evaluation.neighbours import nearest

Images = ImageData | Tensor
"""A data set, or uint8 images (N, C, H, W) without padding."""


@dataclass(frozen=True)
class Reading:
    """The classes of samples, and what is needed to judge them.

    Attributes:
        classes: names.
        samples: int (n,) class that is read in each sample.
        expected: (classes,) training images of each class.
        confusion: of held-out images, true class by class read; None if that is not known.
    """

    classes: tuple[str, ...]
    samples: np.ndarray
    expected: np.ndarray
    confusion: np.ndarray | None


def read_by_classifier(
    classifier: OpenExtractor, samples: Tensor, train: ImageData, held_out: ImageData | None
) -> Reading:
    """Through a classifier. If its classes are not the data's, the training images are read too:
    with the same errors as the samples."""
    k = len(classifier.classes)
    if train.labels is None or train.classes != classifier.classes:
        expected, confusion = np.bincount(_read(classifier, train), minlength=k), None
    else:
        expected = np.bincount(train.labels, minlength=k)
        confusion = None
        if held_out is not None and held_out.labels is not None:
            confusion = confusion_matrix(held_out.labels, _read(classifier, held_out), k)
    return Reading(classifier.classes, _read(classifier, samples), expected, confusion)


def read_by_neighbours(space: Space, train: ImageData, held_out: ImageData | None) -> Reading:
    """By the label of the nearest training image, in the space of an extractor: for labels that no
    classifier at hand knows, such as a column of the user's own. How it errs is seen in held-out
    images or, without any, in training images, each read by the nearest other one."""
    labels, k = train.labels, len(train.classes)
    assert labels is not None

    def read(rows: np.ndarray, skip: np.ndarray | None = None) -> np.ndarray:
        return np.asarray(labels[nearest(rows, space.train, skip=skip).indices[:, 0]])

    if held_out is not None and held_out.labels is not None and space.held_out is not None:
        confusion = confusion_matrix(held_out.labels, read(space.held_out), k)
    else:
        others = read(space.train, skip=np.arange(len(space.train)))
        confusion = confusion_matrix(labels, others, k)
    expected = np.bincount(labels, minlength=k)
    return Reading(train.classes, read(space.generated), expected, confusion)


def feature_rows(extractor: OpenExtractor, images: Images, *, flip: bool = False) -> np.ndarray:
    """Features float32 (N, F)."""
    batches = _batches(images)
    crop = None if isinstance(images, Tensor) else images.content_crop
    mirrored = (batch.flip(3) for batch in batches) if flip else batches
    found = features_of(mirrored, extractor, crop=_mirrored(crop, images) if flip else crop)
    return torch.cat([outputs.features.cpu() for outputs in found]).numpy()


def _mirrored(
    crop: tuple[int, int, int, int] | None, images: Images
) -> tuple[int, int, int, int] | None:
    """Where the content lies in a mirrored image."""
    if crop is None or isinstance(images, Tensor):
        return crop
    top, left, height, width = crop
    return top, images.image_shape[2] - left - width, height, width


def _read(classifier: OpenExtractor, images: Images) -> np.ndarray:
    """The class that a classifier reads in each image, int64 (N,)."""
    crop = None if isinstance(images, Tensor) else images.content_crop
    found = []
    for outputs in features_of(_batches(images), classifier, crop=crop):
        assert outputs.logits is not None  # of a classifier
        found.append(outputs.logits.argmax(dim=1).cpu())
    return torch.cat(found).numpy()


def _batches(images: Images) -> Iterable[Tensor]:
    if isinstance(images, Tensor):
        return (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    return real_images(images, np.arange(len(images)))
