"""The layout of grids: images in rows, small ones enlarged, with captions where they are wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganzoo.errors import InputError
from ganzoo.numbers import check_count

MAX_IMAGES = 1024
"""In one grid."""

_MAX_PIXELS = 89_478_485  # above it, Pillow warns everyone who opens the file of a "bomb"
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def contact_sheet(
    images: np.ndarray,
    *,
    columns: int | None = None,
    captions: Sequence[str] | None = None,
    scale: int | None = None,
) -> np.ndarray:
    """Lay images out in rows, on white, or on nothing where they have alpha.

    Args:
        images: uint8 (N, H, W, C), at most 1,024, with 1 to 4 channels.
        columns: images in a row; by default the sheet is about square.
        captions: a text under each image, cut to its width.
        scale: enlarge each pixel to scale × scale; by default small images become about 112 pixels
            wide, as long as the sheet stays below 2,048.

    Returns:
        The sheet, uint8 (H, W, C), with the channels of the images.
    """
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise InputError(f"a grid of an array {images.shape}", "give images (N, H, W, C)")
    n, height, width, channels = images.shape
    if n > MAX_IMAGES:
        raise InputError(
            f"a grid of {n:,} images",
            f"a grid holds at most {MAX_IMAGES:,}; write single files or an .npz instead",
        )
    if captions is not None and len(captions) != n:
        raise InputError(f"{len(captions)} captions for {n} images", "give one for each image")
    if columns is not None:
        columns = check_count(columns, f"columns {columns!r} is too small")
    if scale is not None:
        scale = check_count(scale, f"scale {scale!r} is too small")
    alpha = channels in (2, 4)
    background = (0 if alpha else 255,) * channels
    ink = (128,) * (channels - 1) + (255,) if alpha else (0,) * channels

    mode = picture(images[0]).mode  # refuses what is no image
    columns, scale, gap = _geometry(n, height, width, columns, scale)
    height, width = height * scale, width * scale
    font_size = min(14, max(9, width // 8))
    font = ImageFont.load_default(font_size)
    line = font_size + gap if captions is not None else 0
    rows = -(-n // columns)
    size = (gap + columns * (width + gap), gap + rows * (height + line + gap))
    if size[0] * size[1] > _MAX_PIXELS:
        raise InputError(
            f"a grid of {size[0]:,} x {size[1]:,} pixels", "use fewer images, or write single files"
        )

    sheet = Image.new(mode, size, background)
    draw = ImageDraw.Draw(sheet)
    for k in range(n):
        x = gap + k % columns * (width + gap)
        y = gap + k // columns * (height + line + gap)
        sheet.paste(picture(enlarge(images[k], scale)), (x, y))
        if captions is not None:
            text = fitting(captions[k], lambda text: font.getlength(text) <= width)
            draw.text((x + width / 2, y + height + gap / 2), text, ink, font, anchor="ma")
    return np.asarray(sheet).reshape(size[1], size[0], channels)


def images_of(
    sheet: np.ndarray, *, n: int, image_shape: tuple[int, int, int], first: int
) -> np.ndarray | None:
    """The first images, uint8 (first, H, W, C), of a sheet of n without captions; None where the
    sheet is another. `image_shape` is (C, H, W)."""
    _, height, width = image_shape
    columns, scale, gap = _geometry(n, height, width, None, None)
    rows, first = -(-n // columns), min(first, n)
    size = (gap + rows * (height * scale + gap), gap + columns * (width * scale + gap))
    if sheet.shape != (*size, image_shape[0]):
        return None
    corners = [
        (gap + k // columns * (height * scale + gap), gap + k % columns * (width * scale + gap))
        for k in range(first)
    ]
    return np.stack(
        [sheet[y : y + height * scale : scale, x : x + width * scale : scale] for y, x in corners]
    )


def _geometry(
    n: int, height: int, width: int, columns: int | None, scale: int | None
) -> tuple[int, int, int]:
    """Columns, scale and gap of a sheet of n images."""
    columns = min(columns or default_columns(n), n)
    scale = scale or default_scale(max(height, width), columns)
    return columns, scale, max(2, width * scale // 28)


def shown_of(image_shape: tuple[int, int, int], num_classes: int, most: int) -> int:
    """How many images of a model samples.png shows: at most `most`, or ten of each of up to ten
    classes, and fewer of large images, which take long: those that 1,024 x 1,024 pixels hold, but
    4 or one of each of these classes."""
    _, height, width = image_shape
    n = min(most, max(4, 2**20 // (height * width)))
    if not 0 < num_classes <= 10:
        return n
    return num_classes * (10 if n >= 64 else max(1, n // num_classes))


def default_columns(n: int) -> int:
    """The fewest columns from sqrt(n) on that fill every row, else those of the squarest sheet."""
    square = math.ceil(math.sqrt(n))
    full = (c for c in range(square, int(1.6 * math.sqrt(n)) + 1) if n % c == 0)
    return next(full, square)


def default_scale(side: int, columns: int = 1) -> int:
    """How much to enlarge images of this side: to about 112 pixels, the row below 2,048."""
    return max(1, min(round(112 / side), 2048 // (side * columns)))


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Each pixel of (H, W, C) as scale × scale equal ones."""
    return image if scale == 1 else image.repeat(scale, axis=0).repeat(scale, axis=1)


def picture(image: np.ndarray) -> Image.Image:
    """uint8 (H, W, C) as a Pillow image of the same channels; gray stays gray."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in _MODES or not image.size:
        raise InputError(
            f"an image of {image.dtype} {image.shape}", "give uint8 (H, W, C) with 1 to 4 channels"
        )
    mode = _MODES[image.shape[2]]
    return Image.frombytes(mode, (image.shape[1], image.shape[0]), image.tobytes())


def fitting(text: str, fits: Callable[[str], bool]) -> str:
    """The text on one line, cut and ended with … until it fits."""
    text = " ".join(text.split())
    cuts = (text[:end].rstrip() + "…" for end in range(len(text) - 1, 0, -1))
    return text if fits(text) else next((cut for cut in cuts if fits(cut)), "")
