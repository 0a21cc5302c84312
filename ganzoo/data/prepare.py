"""Fitting a data set once, and keeping it: uint8 pixels in a file of the user's cache.

NAME-REQUEST-IDENTITY.u8 holds the pixels and nothing else, the .json beside it what they are. Each
is written whole or not at all, the .json last; processes that write at once (the ranks of one
run) write the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import pkgutil
import re
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from rich.progress import Progress

from ganzoo.console import stderr
from ganzoo.data.fitting import fit_all, natural_channels
from ganzoo.data.images import Consent, ImageData, RawData, RawImages, digest
from ganzoo.data.spec import DataRequest, DataSource
from ganzoo.errors import DataError, InputError
from ganzoo.files import cache_folder, replacing, write_text

VERSION = 2  # of the fitting and of the cache files: raise it when either changes meaning


@dataclass(frozen=True)
class Prepared:
    """What is known of the kept pixels, as in their .json."""

    shape: tuple[int, int, int, int]
    digest: str
    labels: list[int] | None
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    content_crop: tuple[int, int, int, int] | None
    consent: Consent | None


def prepare(source: DataSource, request: DataRequest, *, progress: bool = False) -> ImageData:
    """The fitted images of a request: from the cache, or fitted now."""
    raw: RawData = pkgutil.resolve_name(source.open)(request)
    if raw.identity is None:
        memory = io.BytesIO()
        prepared = _fit(source, request, raw.images(), memory, progress)
        pixels = np.frombuffer(memory.getbuffer(), np.uint8).reshape(prepared.shape)
    else:
        path = _path(source, request, raw.identity)
        prepared = _kept(path) or _fit_to(path, source, request, raw, progress)
        pixels = _map(path, prepared.shape)
    return ImageData(
        source=request.spec,
        image_shape=prepared.shape[1:],
        classes=prepared.classes,
        license=source.license,
        digest=prepared.digest,
        skipped=prepared.skipped,
        content_crop=prepared.content_crop,
        consent=prepared.consent,
        credit=source.credit,
        pixels=pixels,
        labels=None if prepared.labels is None else np.array(prepared.labels, np.int64),
    )


def _path(source: DataSource, request: DataRequest, identity: str) -> Path:
    what = {name: value for name, value in asdict(request).items() if name != "download"}
    asked = json.dumps([VERSION, source.open, what], sort_keys=True)
    keys = (hashlib.sha256(text.encode()).hexdigest()[:16] for text in (asked, identity))
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.spec.partition("?")[0])[-40:].strip("-")
    return cache_folder("images") / f"{name}-{'-'.join(keys)}.u8"


def _kept(path: Path) -> Prepared | None:
    """What is known of the pixels at a path; None if they are absent or cut off."""
    try:
        kept = json.loads(path.with_suffix(".json").read_text("utf-8"))
        n, channels, height, width = kept["shape"]
        if path.stat().st_size != n * channels * height * width:
            return None
        return Prepared(
            shape=(n, channels, height, width),
            digest=kept["digest"],
            labels=kept["labels"],
            classes=tuple(kept["classes"]),
            skipped=tuple((name, reason) for name, reason in kept["skipped"]),
            content_crop=tuple(kept["content_crop"]) if kept["content_crop"] else None,
            consent=Consent(
                kept["consent"]["policy"],
                tuple((name, said) for name, said in kept["consent"]["marked"]),
            )
            if kept["consent"]
            else None,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _map(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    return np.memmap(path, np.uint8, mode="r", shape=shape).view(np.ndarray)


def _fit_to(
    path: Path, source: DataSource, request: DataRequest, raw: RawData, progress: bool
) -> Prepared:
    """Fit the images into the cache, in the place of what was kept before the source changed."""
    images = raw.images()
    try:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            prepared = _fit(source, request, images, file, progress)
        write_text(path.with_suffix(".json"), json.dumps(asdict(prepared)))
    except InputError as error:  # the one that says that a file cannot be written
        raise DataError(
            error.problem, "free some space, or set GANZOO_CACHE to a folder that you may write to"
        ) from error
    for old in path.parent.glob(f"{path.stem.rpartition('-')[0]}-*"):
        if old.stem != path.stem:
            old.unlink(missing_ok=True)
    return prepared


def _fit(
    source: DataSource, request: DataRequest, raw: RawImages, file: BinaryIO, progress: bool
) -> Prepared:
    """Write every image that can be read to `file`, in order."""
    count, spec = len(raw.names), request.spec
    if not count:
        raise DataError(f"{spec} has no images", "ask for a split or a source that has some")
    pad = raw.pads and request.resolution == 32
    kept: list[int] = []
    skipped = list(raw.skipped)
    shape: tuple[int, ...] = ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files; what it cannot read raises
        fitted = fit_all(
            raw,
            resolution=None if pad else request.resolution,
            channels=request.channels or raw.channels or natural_channels(raw),
        )
        hidden = not (progress and stderr().is_terminal)
        with (
            closing(fitted),  # its threads end here, also of an error, and so does the bar
            Progress(console=stderr(), transient=True, disable=hidden) as bar,
        ):
            task = bar.add_task(f"Preparing {spec}", total=count)
            for index, image in enumerate(fitted):
                bar.update(task, completed=index)
                if isinstance(image, str):
                    skipped.append((str(raw.names[index]), image))
                    continue
                if pad:
                    image = np.pad(image, ((0, 0), (2, 2), (2, 2)))
                shape = shape or image.shape
                if image.shape != shape:
                    raise DataError(
                        f"{spec} has images of several sizes: {raw.names[kept[0]]} is"
                        f" {_size(shape)}, {raw.names[index]} is {_size(image.shape)}",
                        "crop and resize them all with --set data.resolution=N",
                    )
                file.write(image.tobytes())
                kept.append(index)
    consent = raw.scan.found([str(name) for name in raw.names], request) if raw.scan else None
    if not kept:
        raise _none_left(spec, skipped, consent is not None and len(consent.marked) == count)
    labels, classes = _labels(source, request, raw, kept)
    file.flush()
    full = (len(kept), shape[0], shape[1], shape[2])
    if isinstance(file, io.BytesIO):
        pixels = np.frombuffer(file.getbuffer(), np.uint8).reshape(full)
    else:
        pixels = _map(Path(file.name), full)
    return Prepared(
        shape=full,
        digest=digest(pixels, labels),
        labels=None if labels is None else labels.tolist(),
        classes=classes,
        skipped=tuple(skipped),
        content_crop=(2, 2, 28, 28) if pad else None,
        consent=consent,
    )


def _none_left(spec: str, skipped: Sequence[tuple[str, str]], all_are_marked: bool) -> DataError:
    if all_are_marked:
        return DataError(
            f"no image of {spec} may be used for training by its mark, and none is left",
            "use other images",
        )
    name, reason = skipped[-1]
    return DataError(
        f"{spec} has no image that can be read, of {len(skipped)} (such as {name}: {reason})",
        "give intact PNG, JPEG or WebP files",
    )


def _labels(
    source: DataSource, request: DataRequest, raw: RawImages, kept: list[int]
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The labels of the images that were kept, and what they mean."""
    if raw.labels is None or request.options.get("labels") == "none":
        return None, ()
    labels = np.asarray(raw.labels, np.int64)[kept]
    classes = raw.classes or source.classes
    low, high = labels.min(), labels.max()
    if low < 0 or high >= len(classes):
        raise DataError(
            f"{request.spec} has labels from {low} to {high}, but {len(classes)} classes",
            "leave the labels out with labels=none",
        )
    return labels, classes


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[2]}x{shape[1]}"
