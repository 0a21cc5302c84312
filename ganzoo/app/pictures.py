"""A picture of the app: what it is made from, its file with the mark, and lines that make it again.

Every file is written by `ganzoo.provenance`, under a name that is made here.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from ganzoo.errors import InputError

if TYPE_CHECKING:
    from ganzoo.directions import Directions
    from ganzoo.latents import Latents
    from ganzoo.models import Generator

MOST_FRAMES = 480
"""Of a film."""
SLIDERS = 6
"""Directions along which a picture can be moved."""


_closed_form: WeakKeyDictionary[Generator, Directions] = WeakKeyDictionary()
"""Of the generators in memory: to find them takes longer than to draw."""


@dataclass(frozen=True)
class Move:
    """Along which directions, and how far: `kind` is "closed-form", or "random" from a seed on."""

    kind: str
    seed: int
    amounts: tuple[float, ...]

    def directions(self, generator: Generator) -> Directions:
        from ganzoo import directions

        if self.kind == "random":
            return directions.random_directions(generator, SLIDERS, seed=self.seed)
        if generator not in _closed_form:
            dim = directions.entrance(generator).shape[1]
            _closed_form[generator] = directions.closed_form(generator, min(SLIDERS, dim))
        return _closed_form[generator]


@dataclass(frozen=True)
class Picture:
    """What one picture is made from. `mix` is the seed whose styles are used from a layer on;
    `weights` tells those of a model that was trained on since the app was started."""

    model: str
    seed: int
    label: int | None = None
    truncation: float = 1.0
    noise: str = "const"
    mix: tuple[int, int] | None = None
    move: Move | None = None
    weights: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """For `sample`: what is not as it is without being asked for."""
        options: dict[str, Any] = {}
        if self.truncation != 1:
            options["truncation"] = self.truncation
        if self.noise != "const":
            options["noise"] = self.noise
        if self.mix is not None:
            options["mix"] = self.mix
        return options

    @property
    def name(self) -> str:
        """Of its file, without the suffix: what it is, and a hash of the rest."""
        label = "" if self.label is None else f"-class{self.label}"
        plain, model = replace(self, seed=0, label=None), _safe(self.model)
        # "a/b" and "a b" are one name otherwise
        told = plain == Picture(self.model, 0) and model == self.model
        rest = "" if told else f"-{_digest(repr(plain))}"
        return f"{model}-seed{self.seed}{label}{rest}"


def _safe(model: str) -> str:
    """A model's name, folder or address as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", model, flags=re.ASCII).strip("-.")[-60:] or "model"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


# -- making ----------------------------------------------------------------------------------------


def pixels(generator: Generator, pictures: Sequence[Picture]) -> np.ndarray:
    """uint8 (N, H, W, C) of pictures of one model: those that differ in seeds only, at once."""
    first = pictures[0]
    if any(picture.move for picture in pictures) or any(
        (p.truncation, p.noise, p.mix and p.mix[1])
        != (first.truncation, first.noise, first.mix and first.mix[1])
        for p in pictures
    ):
        return np.concatenate([_alone(generator, picture) for picture in pictures])
    options = dict(first.options)
    if first.mix is not None:
        options["mix"] = ([p.mix[0] for p in pictures if p.mix], first.mix[1])
    images = generator.sample(
        seeds=[picture.seed for picture in pictures],
        labels=_labels(pictures),
        batch_size=1,  # the same pixels whatever else is drawn: a picture is one file for all
        **options,
    )
    return images.to_uint8()


def _alone(generator: Generator, picture: Picture) -> np.ndarray:
    from ganzoo import latents
    from ganzoo.images import to_uint8

    if picture.move is None:
        return pixels(generator, [picture])
    return to_uint8(latents.images(point(generator, picture), generator))


def _labels(pictures: Sequence[Picture]) -> list[int] | None:
    labels = [picture.label for picture in pictures if picture.label is not None]
    return labels or None


def point(generator: Generator, picture: Picture) -> Latents:
    """Where in latent space it is."""
    from ganzoo import latents

    where = {k: v for k, v in picture.options.items() if k in latents.OF_W}
    start = latents.of_seeds(generator, [picture.seed], labels=picture.label, **where)
    if picture.move is None:
        return start
    if picture.noise != "const":
        raise InputError("a moved picture has the model's own noise", "set the noise to const")
    return picture.move.directions(generator).move(start, picture.move.amounts)


def record(generator: Generator, picture: Picture) -> dict[str, Any]:
    """What its file says of it."""
    if picture.move is not None:
        amounts = ",".join(f"{amount:g}" for amount in picture.move.amounts)
        first = f" from {picture.move.seed}" if picture.move.kind == "random" else ""
        how = {"moved": f"{picture.move.kind}{first}: {amounts}"}
        return {**point(generator, picture).record(generator), **how}
    made = generator.recorded(generator.check_options(picture.options))
    label = {} if picture.label is None else {"label": picture.label}
    plain = {k: v for k, v in made.items() if k != "config" and v is not None}
    return {**plain, "seed": picture.seed, **label}


def write(generator: Generator, pictures: Sequence[Picture], folder: Path) -> list[Path]:
    """A PNG of each picture, in its own size."""
    from ganzoo import provenance

    paths = [folder / f"{picture.name}.png" for picture in pictures]
    for picture, image, path in zip(pictures, pixels(generator, pictures), paths, strict=True):
        provenance.save_image(image, path, record=record(generator, picture))
    return paths


def write_latent(generator: Generator, picture: Picture, folder: Path) -> Path:
    """Where it is in latent space, for `ganzoo generate --latent`."""
    path = folder / f"{picture.name}.safetensors"
    point(generator, picture).write(path)
    return path


def write_film(
    generator: Generator,
    pictures: Sequence[Picture],
    folder: Path,
    *,
    steps: int,
    fps: int,
    suffix: str,
) -> Path:
    """A walk from picture to picture, and back to the first."""
    from ganzoo import provenance, walks

    if len(pictures) < 2:
        raise InputError("one picture leads nowhere", "keep two or more")
    if len(pictures) * steps > MOST_FRAMES:
        raise InputError(
            f"{len(pictures) * steps} frames are too many here",
            f"at most {MOST_FRAMES}: fewer pictures, or fewer frames between them",
        )
    noises = {picture.noise for picture in pictures}
    if len(noises) > 1:
        raise InputError("the pictures differ in their noise", "keep pictures of one kind of noise")
    noise = noises.pop()
    seeds = [picture.seed for picture in pictures]
    if _differ_in_seeds(pictures):  # as the line to copy does, for the same pixels
        first = pictures[0]
        frames = walks.walk(generator, seeds, label=first.label, steps=steps, **first.options)
    else:
        options: dict[str, Any] = {} if noise == "const" else {"noise": noise}
        points = (point(generator, picture) for picture in pictures)
        frames = walks.frames(generator, points, steps=steps, **options)
    path = (
        folder / f"{_safe(pictures[0].model)}-walk-{_digest(repr((pictures, steps, fps)))}{suffix}"
    )
    made = {k: v for k, v in generator.record.items() if k != "config"}
    said = {**made, "walk": seeds, "steps": steps}
    provenance.save_animation(frames, path, record=said, fps=fps)
    return path


def _differ_in_seeds(pictures: Sequence[Picture]) -> bool:
    """Whether they are alike but for their seeds, and none is moved."""
    first = replace(pictures[0], seed=0, move=None)
    return all(replace(picture, seed=0) == first for picture in pictures)


# -- lines to copy ---------------------------------------------------------------------------------


def python_lines(picture: Picture) -> str:
    """Python that makes it again."""
    options = {} if picture.label is None else {"labels": picture.label}
    options |= picture.options
    how = "".join(f", {key}={value!r}" for key, value in options.items())
    model = picture.model
    load = f"G = ganzoo.load({json.dumps(model) if model.isascii() else repr(model)})"
    if picture.move is None:
        return f"import ganzoo\n\n{load}\nimage = G.sample(seeds=[{picture.seed}]{how})\n"
    move, amounts = picture.move, list(picture.move.amounts)
    found = f"directions.closed_form(G, {len(amounts)})"
    if move.kind == "random":
        found = f"directions.random_directions(G, {len(amounts)}, seed={move.seed})"
    return (
        "import ganzoo\nfrom ganzoo import directions, latents\n\n"
        f"{load}\nstart = latents.of_seeds(G, [{picture.seed}]{how})\n"
        f"point = {found}.move(start, {amounts})\nimage = latents.images(point, G)\n"
    )


def shell_line(picture: Picture) -> str:
    """A shell's line that makes it again; of a moved one, from the file of its latent."""
    return shlex.join([*_words(picture, str(picture.seed)), "-o", "image.png"])


def film_line(pictures: Sequence[Picture], *, steps: int, fps: int, suffix: str) -> str:
    """A shell's line that makes the film again; "" where pictures differ in more than the seed."""
    if not _differ_in_seeds(pictures):
        return ""
    words = _words(pictures[0], ",".join(str(picture.seed) for picture in pictures))
    how = ["--interpolate", "--steps", str(steps), "--fps", str(fps), "-o", f"walk{suffix}"]
    return shlex.join([*words, *how])


def _words(picture: Picture, seeds: str) -> list[str]:
    words = ["ganzoo", "generate", picture.model]
    if picture.move is not None:
        return [*words, "--latent", f"{picture.name}.safetensors"]
    words += ["--seeds", seeds]
    words += [] if picture.label is None else ["--class", str(picture.label)]
    for option, value in picture.options.items():
        text = ":".join(map(str, value)) if option == "mix" else str(value)
        words += [f"--{option}", text]
    return words
