"""What a source opens, and what comes of it: raw images, and a data set of fitted ones."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

    from ganzoo.data.consent import Scan


@dataclass(frozen=True)
class Consent:
    """What was made of images that say that they are not to be used for training.

    Attributes:
        policy: "refuse", "skip" or "ignore", as `consent=` of the source says.
        marked: (name, mark) of each such image: none under "refuse"; left out, or used.
    """

    policy: str
    marked: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class RawImages:
    """The images of an opened source, before they are fitted.

    Attributes:
        names: what to call each image in a message.
        read: the image at an index, decoded or about to be; may raise anything if it is corrupt.
        labels: class index of each image, or None.
        classes: names of the classes; empty for those that the source declares.
        channels: 1 to 4 where it is known without looking at the images.
        pads: 28x28 images that are padded with black at 32 instead of resized.
        skipped: (name, reason) of what was left out already.
        scan: what looks at each file that is read for a mark against training; None where there
            are no files that could have one.
    """

    names: Sequence[object]
    read: Callable[[int], Image.Image]
    labels: Sequence[int] | np.ndarray | None = None
    classes: tuple[str, ...] = ()
    channels: int | None = None
    pads: bool = False
    skipped: tuple[tuple[str, str], ...] = ()
    scan: Scan | None = None


@dataclass(frozen=True)
class RawData:
    """What a source's `open` returns: how to get at the images, and when they are other ones.

    `images` is only called when the cache does not have them. `identity` is what changes when the
    data do (such as paths, sizes and times); None keeps the fitted images in memory instead.
    """

    images: Callable[[], RawImages]
    identity: str | None


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set, fitted: uint8 pixels (in a file, mapped) and labels (in memory).

    Attributes:
        source: the spec, in its canonical form.
        image_shape: (C, H, W).
        classes: class names, empty without labels.
        license: SPDX identifier or "unknown".
        digest: SHA-256 over the shape (N, C, H, W) and the labels as little-endian int64, the
            pixels between them: equal for equal images in equal order, wherever they came from.
        skipped: (name, reason) of each image that could not be used.
        content_crop: (top, left, height, width) of the image inside its padding, or None.
        consent: what came of the scan for marks against training; None where there was none.
        credit: whom to name for them, "" where nobody is known.
    """

    source: str
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    license: str
    digest: str
    skipped: tuple[tuple[str, str], ...]
    content_crop: tuple[int, int, int, int] | None
    pixels: np.ndarray = field(repr=False)
    labels: np.ndarray | None = field(repr=False)
    consent: Consent | None = None
    credit: str = ""

    @functools.cached_property
    def content_digest(self) -> str:
        """The digest of the images without their padding: that of the same data, never padded."""
        if self.content_crop is None:
            return self.digest
        top, left, height, width = self.content_crop
        content = self.pixels[:, :, top : top + height, left : left + width]
        return digest(content, self.labels)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def warning(self) -> str:
        """A line for people about the images that were skipped, or used against what they say;
        "" if none was."""
        used = self.consent.marked if self.consent and self.consent.policy == "ignore" else ()
        lines = []
        if used:
            shown, which = some(used), f"{len(used)} of {len(self)} images of {self.source}"
            lines.append(f"{which} are used although marked as not for training: {shown}")
        if self.skipped:
            which = (
                f"{len(self.skipped)} of {len(self) + len(self.skipped)} images of {self.source}"
            )
            lines.append(f"skipped {which}: {some(self.skipped)}")
        return "; ".join(lines)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """The images and labels at these indices: uint8 (n, C, H, W), and int64 (n,) or None."""
        import torch

        images = torch.from_numpy(self.pixels[indices])
        return images, None if self.labels is None else torch.from_numpy(self.labels[indices])


def some(images: Sequence[tuple[str, str]]) -> str:
    """The first of them, each with what there is to say of it, and how many more there are."""
    shown = ", ".join(f"{name} ({reason})" for name, reason in images[:3])
    return f"{shown} and {len(images) - 3} more" if len(images) > 3 else shown


def digest(pixels: np.ndarray, labels: np.ndarray | None) -> str:
    """SHA-256 over the shape of the images, their pixels and labels, in their order."""
    import numpy as np

    sha = hashlib.sha256(np.array(pixels.shape, "<i8").data)
    for start in range(0, len(pixels), 1024):
        sha.update(np.ascontiguousarray(pixels[start : start + 1024]).data)
    if labels is not None:
        sha.update(labels.astype("<i8").data)
    return sha.hexdigest()
