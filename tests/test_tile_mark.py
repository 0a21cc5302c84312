"""The invisible mark survives ordinary handling, is small, and is not found where it is not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from ganzoo import provenance, tile_mark
from ganzoo.errors import InputError


def pictures(n: int, side: int = 192, channels: int = 3) -> list[np.ndarray]:
    """Smooth noise with an edge, as images of generators are."""
    rng = np.random.default_rng(side)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side)] * 2)) + 1 / side
    noise = np.fft.fft2(rng.standard_normal((n, channels, side, side)))
    images = np.fft.ifft2(noise / frequency**1.8).real
    images = images / images.std(axis=(1, 2, 3), keepdims=True) * 50 + 128
    images[..., side // 3 :] += 30
    return list(images.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def array(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1)


def saved(image: Image.Image, form: str, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, form, quality=quality)
    return Image.open(buffer)


HANDLING: dict[str, Callable[[Image.Image], Image.Image]] = {
    "none": lambda image: image,
    "jpeg": lambda image: saved(image, "JPEG", 75),
    "webp": lambda image: saved(image, "WEBP", 80),
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "double": lambda image: image.resize((image.width * 2, image.height * 2)),
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "crop": lambda image: image.crop((9, 7, image.width, image.height)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "gray": lambda image: image.convert("L"),
}


@pytest.mark.parametrize("handling", HANDLING)
def test_it_survives_ordinary_handling(handling: str) -> None:
    for image in pictures(4):
        marked = Image.fromarray(tile_mark.embed(image))
        found = tile_mark.detect(array(HANDLING[handling](marked)))
        assert found.found, found
        assert found.mirrored == (handling == "mirrored")
        if handling in ("half", "double"):
            assert found.scale == {"half": 0.5, "double": 2.0}[handling]


def test_it_is_found_with_its_key_alone() -> None:
    for image in pictures(3, 128):
        assert not tile_mark.detect(image).found
        marked = tile_mark.embed(image, key="mine")
        assert tile_mark.detect(marked, key="mine").found
        assert not tile_mark.detect(marked).found
        assert not any(tile_mark.detect(marked, key=f"wrong {k}").found for k in range(20))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_it_changes_little_and_never_alpha(channels: int) -> None:
    (image,) = pictures(1, 150, channels)
    marked = tile_mark.embed(image)
    difference = marked.astype(int) - image
    assert 0 < np.abs(difference).max() <= tile_mark.STRENGTH
    assert 10 * np.log10(255**2 / np.mean(difference**2)) >= 40
    if channels in (2, 4):
        assert not difference[..., -1].any()
    assert tile_mark.detect(marked).found
    assert marked.dtype == np.uint8
    assert np.array_equal(tile_mark.embed(image), marked)


def test_small_images_are_refused_and_none_is_found_in_them() -> None:
    for shape in ((127, 400, 3), (400, 127, 1)):
        with pytest.raises(InputError, match="too small for the invisible mark"):
            tile_mark.embed(np.zeros(shape, np.uint8))
    for shape in ((1, 1, 1), (8, 8, 3), (1, 5000, 3), (63, 64, 1)):
        assert tile_mark.detect(np.full(shape, 7, np.uint8)).score == 0


def test_flat_and_regular_images_have_none() -> None:
    y, x = np.mgrid[:256, :256]
    for pixels in (0 * x, 0 * x + 255, 255 * (x // 64 % 2), 255 * ((x + y) // 8 % 2), x, x ^ y):
        assert not tile_mark.detect(pixels.astype(np.uint8)[..., None]).found


def test_ones_own_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tile_mark.own_key() == tile_mark.KEY
    monkeypatch.setenv("GANZOO_MARK_KEY", "mine")
    assert tile_mark.own_key() == "mine"


def test_the_record_says_that_it_is_there(tmp_path: Path) -> None:
    (image,) = pictures(1, 128)
    path = tmp_path / "x.png"
    for key, said in ((tile_mark.KEY, "ganzoo"), ("mine", "own key")):
        provenance.save_image(image, path, record={"model": "m"}, invisible=key)
        assert provenance.read_record(path) == {"model": "m", "invisible_mark": said}
        assert b"mine" not in path.read_bytes()
        with Image.open(path) as opened:
            assert np.array_equal(np.asarray(opened), tile_mark.embed(image, key=key))
