"""One labelled contact sheet of every bundled model: `python scripts/overview.py sheet.webp`"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import ganzoo
from ganzoo import provenance
from ganzoo.contact_sheet import contact_sheet
from ganzoo.models import Generator

COLUMNS, ROWS, SCALE_TO = 10, 2, 84
MARGIN = 3
TITLE = 18


def write_overview(models: Iterable[str], path: Path) -> Path:
    """Write two rows of images of each model under its name, seeds 0-19, not selected."""
    generators = [ganzoo.load(model) for model in models]
    strips = [_strip(generator) for generator in generators]
    sheet = Image.new("RGB", (max(s.width for s in strips), sum(s.height for s in strips)), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    record = {
        "count": len(generators),
        "models": [generator.name for generator in generators],
        "weights_sha256": [generator.record["weights_sha256"] for generator in generators],
        "seeds": f"0-{COLUMNS * ROWS - 1}",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    provenance.save_image(np.asarray(sheet), path, record=record)
    return path


def _strip(generator: Generator) -> Image.Image:
    """A model's name, and images of it; with the class under each where it has classes."""
    images = generator.sample(COLUMNS * ROWS, seed=0)
    captions = None
    if images.labels is not None:
        names = generator.record["config"].classes
        captions = [names[label] if names else f"class {label}" for label in images.labels]
    _, height, width = generator.image_shape
    tiles = contact_sheet(
        images.to_uint8(),
        columns=COLUMNS,
        captions=captions,
        scale=max(1, round(SCALE_TO / max(height, width))),
    )
    grid = Image.fromarray(tiles.squeeze()).convert("RGB")
    strip = Image.new("RGB", (grid.width, grid.height + TITLE), "white")
    strip.paste(grid, (0, TITLE))
    font = ImageFont.load_default(TITLE - 4)
    ImageDraw.Draw(strip).text((MARGIN, MARGIN), generator.name, "black", font)
    return strip


if __name__ == "__main__":
    bundled = [entry.name for entry in ganzoo.list_models() if entry.bundled]
    click.echo(write_overview(bundled, Path(sys.argv[1])))
