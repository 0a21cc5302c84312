"""Marks of images: what the invisible one survives, whether it is found where it is not, and what a
signed manifest costs and misses. The invisible mark is measured on images of bundled models that
were enlarged, on their sheets, and on textures that are rougher than photographs."""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
from _sides import report
from PIL import Image, ImageFilter

import ganzoo
from ganzoo import manifests, provenance, tile_mark
from ganzoo.contact_sheet import contact_sheet

LEAST_FOUND, LEAST_PSNR = 0.99, 40.0
MOST_BYTES, MOST_MS = 6_144, 20.0  # that a manifest adds, and that signing takes
ASKED = ("none", "jpeg75", "half", "blur", "crop", "mirrored")
SHEETS = ("dcgan.mnist", "cgan.fashion-mnist", "stylegan2.nouns", "stylegan2.emoji")


def pil(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def array(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1)


def saved(image: Image.Image, form: str, **how: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, form, **how)
    return Image.open(buffer)


def cropped(image: Image.Image) -> Image.Image:
    return image.crop((image.width // 20, image.height // 20, image.width, image.height))


ATTACKS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "none": lambda image: image,
    "jpeg75": lambda image: saved(image, "JPEG", quality=75),
    "half": lambda image: image.resize((image.width // 2, image.height // 2), 3),
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "crop": cropped,
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "jpeg50": lambda image: saved(image, "JPEG", quality=50),
    "webp80": lambda image: saved(image.convert("RGB"), "WEBP", quality=80),
    "crop and back": lambda image: cropped(image).resize(image.size, 3),
    "brighter": lambda image: image.point(lambda value: min(255, int(value * 1.1))),
    "turned by 1 degree": lambda image: image.rotate(1, Image.Resampling.BICUBIC),
}


def generated(model: str, n: int, side: int) -> Iterator[np.ndarray]:
    """Images of a model, enlarged smoothly."""
    for image in ganzoo.load(model).sample(n, seed=0).to_uint8():
        yield array(pil(image).resize((side, side), Image.Resampling.BICUBIC))


def sheets(n: int) -> Iterator[np.ndarray]:
    """Grids of 16 images, as `ganzoo generate` makes them by default."""
    each = -(-n // len(SHEETS))
    for model in SHEETS:
        images = ganzoo.load(model).sample(16 * each, seed=0).to_uint8()
        yield from (contact_sheet(images[16 * k : 16 * k + 16]) for k in range(each))


def textures(n: int, side: int) -> Iterator[np.ndarray]:
    """Noise with a spectrum of 1/f^1.0 to 1/f^1.6, and edges."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side)] * 2))
    frequency[0, 0] = 1
    y, x = np.mgrid[:side, :side]
    for _ in range(n):
        slope = frequency ** -rng.uniform(1.0, 1.6)
        noise = np.fft.fft2(rng.standard_normal((4, side, side)))
        maps = np.fft.ifft2(noise * slope).real
        image = np.moveaxis(maps[0] + 0.3 * maps[1:], 0, -1)
        image = (image - image.mean()) / image.std() * 55 + 128
        for _ in range(6):
            a, b, c = (*rng.standard_normal(2), rng.uniform(-side / 2, side / 2))
            image[a * (x - side / 2) + b * (y - side / 2) > c] += rng.uniform(-40, 40)
        yield image.clip(0, 255).astype(np.uint8)


def robustness(images: list[np.ndarray]) -> dict[str, object]:
    marked = [tile_mark.embed(image) for image in images]
    psnr = [
        10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)) for a, b in zip(images, marked)
    ]
    start = time.perf_counter()
    clean = [tile_mark.detect(image).score for image in images]
    took = (time.perf_counter() - start) / len(images)
    found = {
        name: float(np.mean([tile_mark.detect(array(attack(pil(m)))).found for m in marked]))
        for name, attack in ATTACKS.items()
    }
    return {
        "images": len(images),
        "psnr_min": float(min(psnr)),
        "unmarked_max_score": float(max(clean)),
        "detect_ms": 1000 * took,
        "found": found,
    }


def wrong_keys(images: list[np.ndarray], trials: int) -> dict[str, object]:
    """Scores of marked images for other keys: none may reach the threshold."""
    scores = [
        tile_mark.detect(tile_mark.embed(images[k % len(images)]), key=f"wrong {k}").score
        for k in range(trials)
    ]
    return {
        "trials": trials,
        "found": sum(score >= tile_mark.THRESHOLD for score in scores),
        "max_score": max(scores),
    }


def signing(flips: int) -> dict[str, object]:
    """A manifest's bytes and time at 1024 px, and how many flips of a bit of the pixels it sees."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        manifests.make_keys(folder)
        signer = manifests.Signing(folder)
        path = Path(folder, "image.png")
        record = {"model": "dcgan.mnist", "weights_sha256": "ab" * 32, "seed": 1}
        image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        provenance.save_image(image, path, record=record)
        small = signer.sign(path.read_bytes(), ".png", record)
        at = small.index(b"IDAT") + 4
        length = int.from_bytes(small[at - 8 : at - 4], "big")
        missed = 0
        for bit in rng.choice(8 * length, flips, replace=False):
            flipped = bytearray(small)
            flipped[at + bit // 8] ^= 1 << bit % 8
            missed += manifests.check(bytes(flipped), ".png").state != manifests.INVALID
        image = next(generated("stylegan2.emoji", 1, 1024))
        provenance.save_image(image, path, record=record)
        plain, times = path.read_bytes(), []
        for _ in range(100):
            start = time.perf_counter()
            signed = signer.sign(plain, ".png", record)
            times.append(1000 * (time.perf_counter() - start))
    return {
        "flips": flips,
        "missed": missed,
        "bytes": len(signed) - len(plain),
        "median_ms": statistics.median(times),
        "p95_ms": statistics.quantiles(times, n=20)[-1],
    }


@click.command(help=__doc__)
@click.option("--images", default=120, show_default=True)
@click.option("--trials", default=2_000, show_default=True, help="Of wrong keys.")
@click.option("--flips", default=1_000, show_default=True, help="Of bits under a manifest.")
def main(images: int, trials: int, flips: int) -> None:
    sets = {
        "emoji at 128": list(generated("stylegan2.emoji", images, 128)),
        "emoji at 256": list(generated("stylegan2.emoji", images, 256)),
        "nouns at 256": list(generated("progan.nouns", images, 256)),
        "sheets": list(sheets(images)),
        "textures at 128": list(textures(images, 128)),
        "textures at 256": list(textures(images, 256)),
    }
    results = {name: robustness(of_set) for name, of_set in sets.items()}
    keys = wrong_keys(sets["emoji at 128"] + sets["textures at 128"], trials)
    manifest = signing(flips)
    held = [r for name, r in results.items() if not name.startswith("textures")]
    met = (
        all(r["found"][attack] >= LEAST_FOUND for r in held for attack in ASKED)
        and all(r["psnr_min"] >= LEAST_PSNR for r in results.values())
        and keys["found"] == manifest["missed"] == 0
        and manifest["bytes"] <= MOST_BYTES
        and manifest["p95_ms"] <= MOST_MS
    )
    report(
        benchmark="marking",
        invisible=results,
        wrong_keys=keys,
        manifest=manifest,
        least_found=LEAST_FOUND,
        met=met,
    )


if __name__ == "__main__":
    main()
