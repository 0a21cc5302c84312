"""An invisible mark in the pixels: a faint tile of 64 x 64, repeated over the whole image.

It carries no message; with the key, one sees whether it is there. It survives ordinary handling:
being saved as JPEG or WebP, scaled, blurred a little, cropped, mirrored. It proves nothing. Whoever
has the key or a few marked images can take it away, or put it on a photograph; and that it is not
found says nothing at all: to turn an image by a degree may be enough, and so may a texture as rough
as gravel in an image of 128 pixels. `benchmarks/marking.py` measures what it survives.

The key of ganzoo is in this file, for everyone to look for the mark. A key of one's own, in
`GANZOO_MARK_KEY`, keeps others from finding it, not from removing it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from ganzoo.errors import InputError
from ganzoo.rng import philox, stream_key

KEY = "ganzoo"
"""The project's key."""

SIDE = 64
SMALLEST = 128
"""Pixels that both sides of an image need: below, too few tiles fit in."""
STRENGTH = 4.0
"""By how many of 255 levels a pixel changes at most."""
THRESHOLD = 7.0
"""Of the score: without a mark, the highest of all places and scales stays below it but once in a
million images, as far as the score is normal."""

_BAND = (3, 16)  # periods in a tile: higher ones go in JPEG and scaling, lower ones show
_RADIUS = 4  # pixels around one that are its neighbourhood
_LIMIT = 12.0  # levels: what stands out more from its neighbourhood is image, not mark
_SCALES = (1.0, 0.5, 2.0, 0.75, 1.25, 1.5, 0.9, 0.95, 1.0526, 1.1111)
_LARGEST = 1024  # pixels of a side that are looked at, in the middle


def own_key() -> str:
    """The key to mark with: `GANZOO_MARK_KEY`, else that of the project."""
    return os.environ.get("GANZOO_MARK_KEY") or KEY


def embed(image: np.ndarray, *, key: str = KEY) -> np.ndarray:
    """The image, uint8 (H, W, C), with the mark; alpha, where it has some, stays as it is.

    Raises:
        InputError: it is smaller than 128 x 128.
    """
    height, width, channels = image.shape
    if min(height, width) < SMALLEST:
        raise InputError(
            f"an image of {width} x {height} is too small for the invisible mark",
            f"it needs {SMALLEST} x {SMALLEST}; mark a grid, or leave it out",
        )
    tiled = np.tile(_tile(key), (-(-height // SIDE), -(-width // SIDE)))[:height, :width, None]
    colors = channels - (channels in (2, 4))
    marked = image.copy()
    marked[..., :colors] = np.rint(np.clip(image[..., :colors] + STRENGTH * tiled, 0, 255))
    return marked


@functools.cache
def _tile(key: str) -> np.ndarray:
    """The tile of a key, float64 in [-1, 1]: noise of a band of frequencies, which has no seams."""
    noise = philox(stream_key(key) >> 1, "tile mark").standard_normal((SIDE, SIDE))
    frequencies = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE, 1 / SIDE)] * 2))
    band = (frequencies >= _BAND[0]) & (frequencies <= _BAND[1])
    tile = np.fft.ifft2(np.fft.fft2(noise) * band).real
    tile /= 1.6 * tile.std()
    return tile.clip(-1, 1)


@dataclass(frozen=True)
class Detection:
    """What was found of a key's mark: it counts as found from a score of `THRESHOLD` on."""

    score: float
    scale: float
    mirrored: bool

    @property
    def found(self) -> bool:
        return self.score >= THRESHOLD


def detect(image: np.ndarray, *, key: str = KEY) -> Detection:
    """Look for a key's mark in an image, uint8 (H, W, C): at every place, mirrored or not, and at
    some scales. An image below 64 x 64 has a score of 0."""
    best = Detection(0.0, 1.0, False)
    tile = _tile(key)
    patterns = np.conj(np.fft.fft2([tile, tile[:, ::-1]]))
    for scale, folded in _folded(image):
        spectrum = np.fft.fft2(folded)
        whitened = spectrum / np.maximum(np.abs(spectrum), 1e-9)
        for mirrored, pattern in enumerate(patterns):
            match = np.fft.ifft2(whitened * pattern).real
            score = float(match.max() / (match.std() + 1e-12))
            if score > best.score:
                best = Detection(score, scale, bool(mirrored))
    return best


def _folded(image: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """At each scale, the sum of all tiles of an image, of what is fine in it."""
    colors = image.shape[2] - (image.shape[2] in (2, 4))
    gray = np.rint(image[..., :colors].mean(axis=2)).astype(np.uint8)
    for scale in _SCALES:
        middle = Image.fromarray(_middle(gray, int(_LARGEST * min(1, scale))))
        width, height = (int(side / scale + 0.5) for side in middle.size)
        if min(width, height) < SIDE:
            continue
        scaled = middle.resize((width, height), Image.Resampling.BICUBIC)
        smooth = scaled.filter(ImageFilter.BoxBlur(_RADIUS))
        fine = np.asarray(scaled, dtype=np.float32) - np.asarray(smooth)
        fine = fine.clip(-_LIMIT, _LIMIT)
        padded = np.pad(fine, ((0, -height % SIDE), (0, -width % SIDE)))
        folds = padded.reshape(-1, SIDE, padded.shape[1] // SIDE, SIDE)
        yield scale, folds.sum(axis=(0, 2), dtype=np.float64)


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image (H, W), of at most `side` pixels each way."""
    top, left = (max(0, length - side) // 2 for length in image.shape)
    return image[top : top + side, left : left + side]
