"""What a source opens, and what comes of it: raw images, and a data set of fitted ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor


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
    """

    names: Sequence[object]
    read: Callable[[int], Image.Image]
    labels: Sequence[int] | np.ndarray | None = None
    classes: tuple[str, ...] = ()
    channels: int | None = None
    pads: bool = False
    skipped: tuple[tuple[str, str], ...] = ()


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

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def warning(self) -> str:
        """A line for people about the images that were skipped, "" if none was."""
        if not self.skipped:
            return ""
        shown = ", ".join(f"{name} ({reason})" for name, reason in self.skipped[:3])
        more = f" and {len(self.skipped) - 3} more" if len(self.skipped) > 3 else ""
        total = len(self) + len(self.skipped)
        return f"skipped {len(self.skipped)} of {total} images of {self.source}: {shown}{more}"

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """The images and labels at these indices: uint8 (n, C, H, W), and int64 (n,) or None."""
        import torch

        images = torch.from_numpy(self.pixels[indices])
        return images, None if self.labels is None else torch.from_numpy(self.labels[indices])
