"""Fitting images of any size and mode to one shape."""

from __future__ import annotations

import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

from ganzoo.data.images import RawImages

MODES = ("L", "LA", "RGB", "RGBA")  # of 1 to 4 channels
Fitted = Generator[np.ndarray | str, None, None]
BLOCK = 32  # images that a thread fits in one go


def fit(image: Image.Image, *, resolution: int | None, channels: int) -> np.ndarray:
    """One image as uint8 (channels, H, W), cropped to its central square and resized if asked."""
    image = _convert(ImageOps.exif_transpose(image), channels)
    if resolution is not None:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        image = image.resize((resolution, resolution), Image.Resampling.LANCZOS)
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _convert(image: Image.Image, channels: int) -> Image.Image:
    """To the mode of so many channels; transparency is laid on white where no alpha is kept."""
    alpha = image.has_transparency_data
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    elif image.mode not in MODES:
        image = image.convert("RGBA" if alpha else "L" if is_gray(image) else "RGB")
    if alpha and channels in (1, 3):
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert(MODES[channels - 1])


def is_gray(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


def natural_channels(raw: RawImages) -> int:
    """1 if every image is gray, else 3; looks no further than the first colour."""
    for index in range(len(raw.names)):
        try:
            if not is_gray(raw.read(index)):
                return 3
        except Exception:  # it will be named when it is fitted
            continue
    return 1


def fit_all(raw: RawImages, *, resolution: int | None, channels: int) -> Fitted:
    """Each image in order, or the reason why it cannot be used; fitted in threads, which are there
    until it is closed."""

    def block(start: int) -> list[np.ndarray | str]:
        return [one(index) for index in range(start, min(start + BLOCK, count))]

    def one(index: int) -> np.ndarray | str:
        try:
            return fit(raw.read(index), resolution=resolution, channels=channels)
        except Exception as error:  # whatever a broken file makes of a decoder is that file's fault
            return " ".join(str(error).split()) or type(error).__name__

    count = len(raw.names)
    workers = min(8, os.cpu_count() or 1)
    ahead = BLOCK * workers  # images that are in memory at once
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, count, ahead):
            for images in pool.map(block, range(start, min(start + ahead, count), BLOCK)):
                yield from images
