"""Fitting images to one shape, and keeping them: uint8 pixels in a file of the user's cache."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ganzoo.data.spec import DataRequest, DataSource
from ganzoo.errors import DataError, InputError
from ganzoo.files import cache_folder, replacing, write_text

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

VERSION = 1  # of the fitting and of the cache files: raise it when either changes meaning
BLOCK = 32  # images that a thread fits in one go


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


@dataclass(frozen=True)
class Prepared:
    """What is kept beside the pixels, as JSON."""

    shape: tuple[int, int, int, int]
    digest: str
    labels: list[int] | None
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    content_crop: tuple[int, int, int, int] | None


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

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """The images and labels at these indices: uint8 (n, C, H, W), and int64 (n,) or None."""
        import torch

        images = torch.from_numpy(self.pixels[indices])
        return images, None if self.labels is None else torch.from_numpy(self.labels[indices])


def prepare(source: DataSource, request: DataRequest, *, progress: bool = False) -> ImageData:
    """The fitted images of a request: from the cache, or fitted now."""
    import numpy as np

    raw: RawData = pkgutil.resolve_name(source.open)(request)
    if raw.identity is None:
        memory = io.BytesIO()
        prepared = _fit_all(source, request, raw.images(), memory, progress)
        pixels = np.frombuffer(memory.getbuffer(), np.uint8).reshape(prepared.shape)
        return _image_data(source, request, prepared, pixels)

    path = _cache_path(request, raw.identity)
    prepared_or_none = _read_cache(path)
    if prepared_or_none is None:
        images = raw.images()
        try:
            with replacing(path) as temporary, open(temporary, "wb") as file:
                prepared = _fit_all(source, request, images, file, progress)
            write_text(path.with_suffix(".json"), json.dumps(asdict(prepared)))
        except InputError as error:  # the one that says that a file cannot be written
            raise DataError(
                error.problem,
                "free some space, or set GANZOO_CACHE to a folder that you may write to",
            ) from error
        for old in path.parent.glob(f"{path.stem.rpartition('-')[0]}-*"):
            if old.stem != path.stem:  # of the same request, before its files changed
                old.unlink(missing_ok=True)
    else:
        prepared = prepared_or_none
    return _image_data(source, request, prepared, _map(path, prepared.shape))


def _image_data(
    source: DataSource, request: DataRequest, prepared: Prepared, pixels: np.ndarray
) -> ImageData:
    import numpy as np

    return ImageData(
        source=request.spec,
        image_shape=prepared.shape[1:],
        classes=prepared.classes,
        license=source.license,
        digest=prepared.digest,
        skipped=prepared.skipped,
        content_crop=prepared.content_crop,
        pixels=pixels,
        labels=None if prepared.labels is None else np.array(prepared.labels, np.int64),
    )


# The cache: NAME-REQUEST-IDENTITY.u8 holds the pixels and nothing else, the .json beside it what
# they are. The .json is written last, and both atomically: processes that write at once (the ranks
# of one run) write the same.


def _cache_path(request: DataRequest, identity: str) -> Path:
    asked = json.dumps([VERSION, asdict(request)], sort_keys=True)
    keys = (hashlib.sha256(text.encode()).hexdigest()[:16] for text in (asked, identity))
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.spec.partition("?")[0])[-40:].strip("-")
    return cache_folder("images") / f"{name}-{'-'.join(keys)}.u8"


def _read_cache(path: Path) -> Prepared | None:
    """What is kept of a path, or None if it is absent, cut off or of another making."""
    try:
        kept = json.loads(path.with_suffix(".json").read_text("utf-8"))
        shape = tuple(kept["shape"])
        n, channels, height, width = shape
        if path.stat().st_size != n * channels * height * width:
            return None
        return Prepared(
            shape=shape,
            digest=kept["digest"],
            labels=kept["labels"],
            classes=tuple(kept["classes"]),
            skipped=tuple((name, reason) for name, reason in kept["skipped"]),
            content_crop=tuple(kept["content_crop"]) if kept["content_crop"] else None,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _map(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    import numpy as np

    return np.memmap(path, np.uint8, mode="r", shape=shape).view(np.ndarray)


def _fit_all(
    source: DataSource, request: DataRequest, raw: RawImages, file: BinaryIO, progress: bool
) -> Prepared:
    """Write every image that can be read to `file`, in order."""
    import numpy as np

    if not len(raw.names):
        raise DataError(f"{request.spec} has no images", "point at PNG, JPEG or WebP files")
    pad = raw.pads and request.resolution == 32
    shape: tuple[int, ...] | None = None
    first = ""
    kept: list[int] = []
    skipped = list(raw.skipped)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files; what it cannot read raises
        channels = request.channels or raw.channels or _natural_channels(raw)
        resolution = None if pad else request.resolution
        for index, image in enumerate(_fitted(raw, resolution, channels, request.spec, progress)):
            name = str(raw.names[index])
            if isinstance(image, str):
                skipped.append((name, image))
                continue
            if pad:
                image = np.pad(image, ((0, 0), (2, 2), (2, 2)))
            if shape is None:
                shape, first = image.shape, name
            if image.shape != shape:
                raise DataError(
                    f"{request.spec} has images of several sizes: {first} is "
                    f"{shape[2]}x{shape[1]}, {name} is {image.shape[2]}x{image.shape[1]}",
                    "crop and resize them all with --set data.resolution=N",
                )
            file.write(image.tobytes())
            kept.append(index)
    if shape is None:
        name, reason = skipped[-1]
        raise DataError(
            f"{request.spec} has no image that can be read, of {len(skipped)} ({name}: {reason})",
            "point at PNG, JPEG or WebP files",
        )
    file.flush()
    full = (len(kept), *shape)
    labels = None
    if raw.labels is not None and request.options.get("labels") != "none":
        labels = np.asarray(raw.labels, np.int64)[kept]
    if isinstance(file, io.BytesIO):
        pixels = np.frombuffer(file.getbuffer(), np.uint8).reshape(full)
    else:
        pixels = _map(Path(file.name), full)
    return Prepared(
        shape=full,  # type: ignore[arg-type]
        digest=_digest(pixels, labels),
        labels=None if labels is None else labels.tolist(),
        classes=() if labels is None else raw.classes or source.classes,
        skipped=tuple(skipped),
        content_crop=(2, 2, 28, 28) if pad else None,
    )


def _fitted(
    raw: RawImages, resolution: int | None, channels: int, title: str, progress: bool
) -> Iterator[np.ndarray | str]:
    """Each image in order, or the reason why it cannot be used; fitted in threads."""
    from rich.progress import track

    from ganzoo.console import stderr

    def block(start: int) -> list[np.ndarray | str]:
        return [one(i) for i in range(start, min(start + BLOCK, len(raw.names)))]

    def one(index: int) -> np.ndarray | str:
        try:
            return fit(raw.read(index), resolution=resolution, channels=channels)
        except Exception as error:  # whatever a broken file makes of a decoder is that file's fault
            return " ".join(f"{type(error).__name__}: {error}".split())

    workers = min(8, os.cpu_count() or 1)
    ahead = BLOCK * workers  # how many images are in memory at once
    with ThreadPoolExecutor(workers) as pool:
        for start in track(
            range(0, len(raw.names), ahead),
            description=f"Preparing {title}",
            console=stderr(),
            transient=True,
            disable=not progress,
        ):
            for images in pool.map(block, range(start, min(start + ahead, len(raw.names)), BLOCK)):
                yield from images


def _natural_channels(raw: RawImages) -> int:
    """1 if every image is gray, else 3; stops at the first colour."""
    for index in range(len(raw.names)):
        try:
            if not _gray(raw.read(index)):
                return 3
        except Exception:  # it will be named when it is fitted
            continue
    return 1


def _gray(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


def fit(image: Image.Image, *, resolution: int | None, channels: int) -> np.ndarray:
    """One image as uint8 (channels, H, W), cropped to its central square and resized if asked."""
    import numpy as np
    from PIL import Image, ImageOps

    image = _convert(ImageOps.exif_transpose(image), channels)
    if resolution is not None:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        image = image.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _convert(image: Image.Image, channels: int) -> Image.Image:
    import numpy as np
    from PIL import Image

    alpha = image.has_transparency_data
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGBA" if alpha else "L" if _gray(image) else "RGB")
    if alpha and channels in (1, 3):
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert(("L", "LA", "RGB", "RGBA")[channels - 1])


def _digest(pixels: np.ndarray, labels: np.ndarray | None) -> str:
    import numpy as np

    sha = hashlib.sha256(np.array(pixels.shape, "<i8").data)
    for start in range(0, len(pixels), 1024):
        sha.update(np.ascontiguousarray(pixels[start : start + 1024]).data)
    if labels is not None:
        sha.update(labels.astype("<i8").data)
    return sha.hexdigest()
