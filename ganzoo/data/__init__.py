"""Image data sets: a spec such as "mnist@test" or "zip:cats.zip?labels=breed" to uint8 pixels.

    data = load_data("folder:cats", resolution=64)
    images, labels = data.batch(np.array([3, 1, 4]))  # uint8 (3, C, 64, 64), int64 (3,) or None

The rooms: `spec` (what can be asked for) and `sources` (the core's own); `shapes`, `named`
(torchvision), `trees` (folders and zip files) and `hf`, which open them; `images` (what an opener
and this room return), `fitting` and `prepare` (from the one to the other, kept in the cache).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ganzoo.data.sources import SOURCES
from ganzoo.data.spec import DataRequest, DataSource, data_sources, resolve

if TYPE_CHECKING:
    from ganzoo.data.images import ImageData, RawData, RawImages

__all__ = [
    "SOURCES",
    "DataRequest",
    "DataSource",
    "ImageData",
    "RawData",
    "RawImages",
    "data_sources",
    "load_data",
    "stand_in",
]


def load_data(
    spec: str,
    *,
    resolution: int | None = None,
    channels: int | None = None,
    download: bool = True,
    progress: bool = False,
) -> ImageData:
    """Open a data set and hold its images, fitted, as uint8.

    What was fitted is kept in the user's cache, so that the next call starts at once.

    Args:
        spec: `NAME[@SPLIT][?OPTION=VALUE&…]`, or `folder:PATH`, `zip:PATH`, `hf:OWNER/NAME` with
            options in the same way. Every source takes `resolution`, `channels` and `labels=none`.
        resolution: crop each image to its central square and resize it to this (Lanczos); without
            it the images must be of one size. The 28x28 sets are padded with black at 32.
        channels: 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA. Without it, 1 if every image is gray,
            else 3. Where no alpha is asked for, transparency is laid on white.
        download: fetch what is not on this machine.
        progress: show a bar on stderr while the images are fitted.

    Raises:
        NotFoundError: no data set of this name.
        InputError: an option that the set does not take, or a value out of range.
        DataError: the data are empty, unreadable, or of several sizes; `MissingDataError`: they
            are not here.
    """
    from ganzoo.data.prepare import prepare

    source, request = resolve(spec, resolution, channels)
    return prepare(source, replace(request, download=download), progress=progress)


def stand_in(
    spec: str, *, resolution: int | None = None, channels: int | None = None, n: int = 4096
) -> ImageData | None:
    """Noise in the place of a data set that is not here, of its shape and classes, so that a run
    on it can be planned; None where the shape is known neither of the source nor by request."""
    import numpy as np

    from ganzoo.data.images import ImageData

    source, request = resolve(spec, resolution, channels)
    depth, height, width = source.image_shape or (0, 0, 0)
    depth = request.channels or depth
    if request.resolution:
        height = width = request.resolution
    if not depth * height * width:
        return None
    noise = np.random.default_rng(0).integers(0, 256, (1, depth, height, width), np.uint8)
    classes = () if request.options.get("labels") == "none" else source.classes
    return ImageData(
        source=request.spec,
        image_shape=(depth, height, width),
        classes=classes,
        license=source.license,
        credit=source.credit,
        digest="",
        skipped=(),
        content_crop=None,
        pixels=np.broadcast_to(noise, (n, depth, height, width)),  # n times the same memory
        labels=np.arange(n, dtype=np.int64) % len(classes) if classes else None,
    )


def __getattr__(name: str) -> Any:
    """The classes of `images`, on first use: every command lists the sources, few open one."""
    if name in __all__:
        from ganzoo.data import images

        return getattr(images, name)
    raise AttributeError(f"module 'ganzoo.data' has no attribute {name!r}")
