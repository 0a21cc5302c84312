"""What the controls of the page do, without a page: values in, pictures and files out.

All that comes in may be anyone's: what does not fit is a `GanzooError`, one line for the visitor.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import marks, rng
from ganzoo.app import facts, pictures
from ganzoo.app.pictures import Move, Picture
from ganzoo.app.shelf import Shelf
from ganzoo.errors import InputError

if TYPE_CHECKING:
    from ganzoo.models import Generator

MOST_IMAGES = 64
"""At once."""
MOST_KEPT = 24
MOST_MIXED = 12
MOST_FILES = 2000
"""In the folder of pictures; the oldest ones go first."""
REACH = 8.0
"""How far a slider moves."""
IN_TURN = -1
"""The class that stands for: each in turn, as seeds have them."""


@dataclass(frozen=True)
class Abilities:
    """What of the page applies to a model. `classes` are pairs of a text and a number."""

    classes: tuple[tuple[str, int], ...]
    w: bool
    noise: bool
    layers: int


class Visit:
    """What visitors can do with the models of a shelf.

    Args:
        shelf: the models.
        folder: where the pictures go that a browser shows.
        keep: a folder for pictures that visitors save; without one they can only download them.
    """

    def __init__(self, shelf: Shelf, folder: Path, *, keep: Path | None = None) -> None:
        self.shelf, self.folder, self.keep = shelf, folder, keep
        self._lasting: set[str] = set()

    # -- models ------------------------------------------------------------------------------------

    def abilities(self, model: str) -> Abilities:
        generator = self.shelf.generator(model)
        config = generator.record.get("config")
        names = config.classes if config else ()
        classes = [
            (f"{k}: {names[k]}" if k < len(names) and names[k] != str(k) else str(k), k)
            for k in range(generator.num_classes)
        ]
        provides = generator.provides
        return Abilities(
            (("each in turn", IN_TURN), *classes) if classes else (),
            "w-space" in provides,
            "layer-noise" in provides,
            generator.num_ws,
        )

    def glance(self, model: str) -> str:
        """Licence, data, audit and scores, in Markdown."""
        return facts.glance(self.shelf.folder(model))

    def card(self, model: str) -> str:
        return facts.whole_card(self.shelf.folder(model))

    # -- pictures ----------------------------------------------------------------------------------

    def draw(
        self, model: str, seeds: str, label: Any, truncation: Any, noise: Any
    ) -> list[Picture]:
        """The pictures of seeds such as `0-15` or `3,7,42`. What a model does not have is not
        asked of it: another model's settings may still be there."""
        can, numbers = self.abilities(model), read_seeds(seeds, MOST_IMAGES)
        generator = self.shelf.generator(model)
        labels: list[int] | None = None
        if can.classes:
            chosen = None if label in (None, IN_TURN) else _whole(label, "class")
            labels = generator.choose_labels(chosen, numbers)
        how: dict[str, Any] = {}
        if can.w:
            how["truncation"] = _number(truncation, "truncation", -1, 2)
        if can.noise:
            if noise not in ("const", "random", "none"):
                raise InputError(f"noise {str(noise)[:40]!r} is none", "choose one of the three")
            how["noise"] = noise
        how["weights"] = self.shelf.other_weights(model, generator)
        return [
            Picture(model, seed, None if labels is None else labels[k], **how)
            for k, seed in enumerate(numbers)
        ]

    def mix(
        self, model: str, first: str, second: str, layer: Any, label: Any, truncation: Any
    ) -> list[list[Picture]]:
        """Three rows: the first, the second, and the first with the styles of the second from a
        layer on."""
        can = self.abilities(model)
        if not can.w:
            raise InputError(f"{model} has no styles to mix", "choose a StyleGAN")
        rows = [
            self.draw(model, ",".join(map(str, seeds)), label, truncation, "const")
            for seeds in (read_seeds(first, MOST_MIXED), read_seeds(second, MOST_MIXED))
        ]
        if len(rows[0]) != len(rows[1]):
            raise InputError(
                f"the rows have {len(rows[0])} and {len(rows[1])} seeds", "give as many in each"
            )
        number = _whole(layer, "layer")
        self.shelf.generator(model).check_layer("layer", number)
        mixed = [replace(a, mix=(b.seed, number)) for a, b in zip(*rows, strict=True)]
        return [*rows, mixed]

    def move(
        self, picture: Picture | None, kind: Any, seed: Any, amounts: Sequence[Any]
    ) -> Picture:
        """The picture, moved along directions."""
        picture = chosen(picture)
        if kind not in ("closed-form", "random"):
            raise InputError(f"directions {str(kind)[:40]!r} are none", "choose one of the two")
        far = [round(_number(a, "amount", -REACH, REACH), 3) for a in amounts]
        while far and far[-1] == 0:  # a small latent space has fewer directions than sliders
            far.pop()
        start = replace(picture, noise="const", move=None)
        if not far:
            return start
        number = rng.check_seed(_whole(seed, "seed")) if kind == "random" else 0
        return replace(start, move=Move(kind, number, tuple(far)))

    def show(self, some: Sequence[Picture], *, lasting: bool = False) -> list[Path]:
        """The files of pictures of one model, marked; lasting ones are there until the end."""
        if not some:
            return []
        generator = self._generator(some)
        paths = pictures.write(generator, some, self.folder)
        if lasting:
            self._lasting.update(map(str, paths))
        self._tidy()
        return paths

    def keep_picture(self, kept: Sequence[Picture], picture: Picture) -> list[Picture]:
        """Those that are kept, and one more: of one model, for a film is of one."""
        here = (picture.model, picture.weights)
        others = [p for p in kept if (p.model, p.weights) == here and p != picture]
        return [*others, picture][-MOST_KEPT:]

    def film(self, kept: Sequence[Picture], steps: Any, fps: Any, kind: Any) -> tuple[Path, str]:
        """A walk through kept pictures: its file, and a line that makes it again, if one can."""
        if not kept:
            raise InputError("nothing is kept yet", "click two pictures or more")
        if kind not in ("webp", "gif"):
            raise InputError(f"films as {str(kind)[:40]!r} are not made here", "webp or gif")
        how: dict[str, Any] = {
            "steps": _whole(steps, "number of frames", 1, 96),
            "fps": _whole(fps, "fps", 1, 60),
            "suffix": f".{kind}",
        }
        generator = self._generator(kept)
        path = pictures.write_film(generator, kept, self.folder, **how)
        self._tidy()
        return path, pictures.film_line(kept, **how)

    def latent(self, picture: Picture | None) -> Path:
        """The file of a picture's latent."""
        picture = chosen(picture)
        return pictures.write_latent(self._generator([picture]), picture, self.folder)

    def save(self, picture: Picture | None) -> list[Path]:
        """Save a picture, and of a moved one its latent, where the command line said."""
        picture = chosen(picture)
        if self.keep is None:
            raise InputError("nothing is saved here", "download it, or start with --save FOLDER")
        generator = self._generator([picture])
        saved = pictures.write(generator, [picture], self.keep)
        if picture.move is not None:
            saved.append(pictures.write_latent(generator, picture, self.keep))
        return saved

    def _generator(self, some: Sequence[Picture]) -> Generator:
        """The one that pictures of one model were made by."""
        model = some[0].model
        generator = self.shelf.generator(model)
        weights = self.shelf.other_weights(model, generator)
        if any(picture.weights != weights for picture in some):
            raise InputError(f"{model} was trained on since that picture", "draw again")
        return generator

    def _tidy(self) -> None:
        """Only so many files: a browser that shows older ones has them in its own memory."""
        found = []
        for entry in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):  # a copy of a run's grid may go meanwhile
                if entry.is_file() and entry.path not in self._lasting:
                    found.append((entry.stat().st_mtime, entry.path))
        for _, path in sorted(found)[: max(0, len(found) - MOST_FILES)]:
            Path(path).unlink(missing_ok=True)


# -- what visitors type ----------------------------------------------------------------------------


def read_seeds(text: Any, most: int) -> list[int]:
    """The seeds in text such as 0-15 or 3, 7, 42."""
    text = str(text)[:2000]
    found = marks.numbers("".join(text.split()), most=most)
    if found is None:
        raise InputError(
            f"{text[:60]!r} are no seeds for this", f"write 0-15 or 3,7,42, at most {most} of them"
        )
    return [rng.check_seed(seed) for seed in found]


def following(text: Any) -> str:
    """As many seeds as in text, after the largest of them."""
    seeds = read_seeds(text, MOST_IMAGES)
    first = max(seeds) + 1
    if first + len(seeds) - 1 > rng.MAX_SEED:
        first = 0
    return f"{first}-{first + len(seeds) - 1}" if len(seeds) > 1 else str(first)


def picked(some: Sequence[Picture], index: Any, value: Any) -> Picture:
    """The picture at a place in a gallery, if it is the one that the visitor saw there, as `value`
    of Gradio says: others may have been drawn since, or theirs been forgotten."""
    if isinstance(index, int) and 0 <= index < len(some):
        image = value.get("image") if isinstance(value, dict) else None
        if isinstance(image, dict) and image.get("orig_name") == f"{some[index].name}.png":
            return some[index]
    raise InputError("that picture is gone", "draw again")


def chosen(picture: Picture | None) -> Picture:
    if picture is None:
        raise InputError("no picture is chosen yet", "click one")
    return picture


def _number(value: Any, what: str, low: float, high: float) -> float:
    sound = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not sound or not math.isfinite(value) or not low <= value <= high:
        raise InputError(f"{what} {str(value)[:40]} is out of range", f"use {low:g} to {high:g}")
    return float(value)


def _whole(value: Any, what: str, low: int = 0, high: int = rng.MAX_SEED) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:20])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"{what} {str(value)[:40]} is out of range", f"use {low} to {high}")
    return value
