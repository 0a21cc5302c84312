"""`shapes`: a tiny procedural data set, for tests and first steps; nothing to download.

Each image is one shape, turned and placed at random in a random colour, drawn from its signed
distance (negative inside), so that its edge is anti-aliased at any size.
"""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.data.images import RawData, RawImages
from ganzoo.data.sources import SHAPES
from ganzoo.data.spec import MAX_RESOLUTION, DataRequest
from ganzoo.rng import philox

if TYPE_CHECKING:
    from PIL import Image

IN_MEMORY = 2**26  # bytes; more than this is drawn once, into the cache


def open_shapes(request: DataRequest) -> RawData:
    """Image i depends on (seed, split, i) alone: a larger n starts with the smaller."""
    from PIL import Image

    n = request.integer("n", 1024, 1, 10_000_000)
    size = request.integer("size", request.resolution or 32, 4, MAX_RESOLUTION)
    seed = request.integer("seed", 0, 0, 2**63 - 1)

    def read(index: int) -> Image.Image:
        random = philox(seed, f"shapes-{request.split}", index)
        return Image.fromarray(_draw(index % len(SHAPES), size, random))

    def images() -> RawImages:
        return RawImages(names=range(n), read=read, labels=np.arange(n) % len(SHAPES), channels=3)

    return RawData(images, identity=None if n * size * size * 3 <= IN_MEMORY else "shapes 1")


def _draw(kind: int, size: int, random: np.random.Generator) -> np.ndarray:
    """One shape on a plain ground: uint8 (size, size, 3)."""
    radius, turn = random.uniform(0.45, 0.75), random.uniform(0, 2 * np.pi)
    centre = random.uniform(-1, 1, 2) * (0.95 - radius)
    hue, value = random.uniform(), random.uniform(0.75, 1)
    colour = np.array(colorsys.hsv_to_rgb(hue, 0.75, value))
    ground = np.array(colorsys.hsv_to_rgb((hue + random.uniform(0.35, 0.65)) % 1, 0.35, 0.25))

    axis = (np.arange(size) + 0.5) / size * 2 - 1  # pixel centres in [-1, 1]
    x, y = np.meshgrid(axis - centre[0], axis - centre[1])
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    distance = _distance(SHAPES[kind], x / radius, y / radius) * radius
    cover = np.clip(0.5 - distance * size / 2, 0, 1)[..., None]  # one pixel is 2 / size wide
    pixels: np.ndarray = np.rint(255 * (cover * colour + (1 - cover) * ground)).astype(np.uint8)
    return pixels


def _distance(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance to a shape that fits the unit circle (near corners, a bound of it)."""
    distance: np.ndarray
    match shape:
        case "circle":
            distance = np.hypot(x, y) - 0.85
        case "square":
            distance = np.maximum(abs(x), abs(y)) - np.sqrt(0.5)
        case "triangle":
            distance = np.maximum(abs(x) * np.sqrt(0.75) + y / 2, -y) - 0.5
        case _:  # cross
            arm, width = np.maximum(abs(x), abs(y)), np.minimum(abs(x), abs(y))
            distance = np.maximum(arm - 0.92, width - 0.28)
    return distance
