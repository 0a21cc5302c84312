"""Projection: the latent whose image comes closest to a picture, and how close that is.

Appendix D of Karras et al. 2020 ("Analyzing and Improving the Image Quality of StyleGAN") measures
by LPIPS, whose weights are not ours to ship; `ganzoo.evaluation.similarity` has what stands in for
it, `ganzoo.latent_search` the optimisation.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganzoo import files, latents, loading, marks, provenance, rng
from ganzoo.classes import Label, class_number
from ganzoo.data.fitting import fit
from ganzoo.errors import InputError
from ganzoo.evaluation.similarity import Similarity
from ganzoo.images import to_uint8
from ganzoo.inspection import decoded
from ganzoo.latent_search import CANDIDATES, Search, Settings
from ganzoo.latents import Latents
from ganzoo.numbers import as_int
from ganzoo.torch_defaults import usual_defaults

if TYPE_CHECKING:
    from PIL import Image

    from ganzoo.models import Generator

SPACES = ("w", "w+", "z")
MOST_STEPS = 100_000
LEAST_SIDE, LONGEST = 4, 16
"""Pixels of a picture's shorter side, and how many times as long the other may be."""


@dataclass(frozen=True, eq=False)
class Projection:
    """What came of a picture.

    Attributes:
        latents: the one that was found; `ganzoo generate --latent` makes its image again.
        target: the picture as the model's images are, uint8 (H, W, C).
        image: that of the latent, uint8 (H, W, C).
        space: "w", "w+" or "z".
        label: the class, of a conditional model.
        extractor: the network of the perceptual distance, with its version.
        similarity: of the image to the target.
        random: the median of random images, each compared with the target.
        sample: of one of the model's own images, projected in the same way; None if not asked for.
    """

    latents: Latents
    target: np.ndarray
    image: np.ndarray
    space: str
    label: int | None
    steps: int
    seed: int
    extractor: str
    similarity: Similarity
    random: Similarity
    sample: Similarity | None
    generator: Generator
    path: tuple[Tensor, ...]

    @property
    def record(self) -> dict[str, Any]:
        return {**self.latents.record(self.generator), "projected": self.space}

    def save(self, folder: str | Path, **how: Any) -> list[Path]:
        """Write `projected.png`, `comparison.png` (picture, projection), the latent as
        `w.safetensors` or `z.safetensors`, and `projection.json`; returns their paths.

        `how` is what `provenance.save_image` takes.
        """
        folder = Path(folder)
        found = [folder / "projected.png", folder / "comparison.png"]
        found += [folder / f"{self.latents.kind}.safetensors", folder / "projection.json"]
        provenance.save_image(self.image, found[0], record=self.record, **how)
        both = np.stack([self.target, self.image])
        names = ["picture", "projection"]
        record = {**self.record, marks.COMPOSITE: "with a picture that is not generated"}
        provenance.save_grid(both, found[1], record=record, captions=names, **how)
        self.latents.write(found[2])
        files.write_text(found[3], json.dumps(self.facts(), indent=1) + "\n")
        return found

    def save_video(self, path: str | Path, *, fps: float = 24, **how: Any) -> None:
        """Write how it was found as GIF, WebP or MP4, at most 96 frames."""
        kind, labels, noise = self.latents.kind, self.latents.labels, self.latents.noise
        points = (Latents(kind, values, labels, noise) for values in self.path)
        frames = (to_uint8(latents.images(point, self.generator))[0] for point in points)
        provenance.save_animation(frames, path, record=self.record, fps=fps, **how)

    def facts(self) -> dict[str, Any]:
        """All of it that is numbers and names, as plain data."""
        return {
            "model": self.generator.name,
            "weights_sha256": self.generator.record.get("weights_sha256"),
            "space": self.space,
            "label": self.label,
            "steps": self.steps,
            "seed": self.seed,
            "extractor": self.extractor,
            "projection": _plain(self.similarity),
            "random": _plain(self.random),
            "sample": None if self.sample is None else _plain(self.sample),
        }


def _plain(similarity: Similarity) -> dict[str, float | None]:
    """As JSON can have it, which knows no infinity."""
    return {k: v if math.isfinite(v) else None for k, v in asdict(similarity).items()}


@usual_defaults()
def project(
    image: str | Path | np.ndarray,
    model: str | Path | Generator,
    *,
    space: str | None = None,
    label: Label | None = None,
    steps: int = 300,
    starts: int = 4,
    seed: int = 0,
    noise: str = "const",
    reference: bool = True,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> Projection:
    """Find the latent whose image comes closest to a picture.

    Args:
        image: a PNG, JPEG, WebP or GIF file, or uint8 (H, W, C). It is turned as its EXIF data say,
            cropped to its central square, resized to the model's images (or their content, where
            these are padded), and laid on white where it is transparent.
        model: what `ganzoo.load` takes, or a generator.
        space: "w" (one w for all layers), "w+" (one a layer: closer, and less like the model's
            images) or "z"; by default w where there is one.
        label: the class, for a conditional model; by default that of the best random image.
        steps: of the optimisation.
        starts: latents that are optimised at once, of which the best is kept.
        seed: of all that is random here; the same one gives the same result on a platform.
        noise: "const" keeps the generator's noise maps, so that the latent alone makes the image;
            "optimize" finds them too, in a generator that has noise in its layers.
        reference: also project one of the model's own images, which takes as long again: how close
            a projection can come.
        device: "cpu", "cuda" …; by default a GPU where there is one. A generator stays where it is.
        progress: show a progress bar on stderr.

    Raises:
        InputError: no such picture, or one that is none; a space, class or noise that the model
            does not have.
    """
    check_settings(space=space, steps=steps, starts=starts, noise=noise)
    rng.check_seed(seed)
    if not isinstance(image, np.ndarray):
        check_file(Path(image))
    if isinstance(model, (str, Path)):
        model = loading.load(model, device=loading.find_device(device))
    generator = model
    space = _find_space(generator, space)
    if noise == "optimize" and "layer-noise" not in generator.provides:
        raise InputError(f"{generator.name} has no noise in its layers", "leave the noise out")
    if label is not None:
        label = class_number(generator, label)
    target = read_target(image, generator)
    how = Settings(space, steps, starts, seed, noise == "optimize")
    own = None
    was_training = generator.training
    generator.eval()
    try:
        found = Search(generator, target, how, label).run("Projecting" if progress else "")
        if reference:
            # z of a stream of its own: no candidate is equal to it
            draw = rng.philox(seed, "projection/sample").standard_normal
            z = torch.from_numpy(draw((1, generator.z_dim), dtype=np.float32)).to(generator.device)
            labels = None if found.label is None else torch.tensor([found.label], device=z.device)
            sample = latents.images(Latents("z", z, labels), generator)
            title = "Projecting a sample" if progress else ""
            own = Search(generator, sample.to(z.device), how, found.label).run(title).similarity
    finally:
        generator.train(was_training)
    return Projection(
        latents=found.latents,
        target=to_uint8(target)[0],
        image=to_uint8(latents.images(found.latents, generator))[0],
        space=space,
        label=found.label,
        steps=steps,
        seed=seed,
        extractor=found.extractor,
        similarity=found.similarity,
        random=found.random,
        sample=own,
        generator=generator,
        path=found.path,
    )


def check_settings(*, space: str | None, steps: int, starts: int, noise: str) -> None:
    """Refuse what no model has."""
    if space is not None and space not in SPACES:
        raise InputError(f"there is no space {space!r}", f"use {', '.join(SPACES)}")
    if not 1 <= (as_int(steps) or 0) <= MOST_STEPS:
        raise InputError(f"steps {steps!r} is out of range", f"use 1 to {MOST_STEPS:,}")
    if not 1 <= (as_int(starts) or 0) <= CANDIDATES:
        raise InputError(f"starts {starts!r} is out of range", f"use 1 to {CANDIDATES}")
    if noise not in ("const", "optimize"):
        raise InputError(f"noise {noise!r} is none", "use 'const' or 'optimize'")


def _find_space(generator: Generator, space: str | None) -> str:
    has_w = "w-space" in generator.provides
    if space is None:
        return "w" if has_w else "z"
    if space != "z" and not has_w:
        raise InputError(f"{generator.name} has no w", "leave the space out, or use z")
    return space


# -- the picture -----------------------------------------------------------------------------------


def check_file(path: Path) -> None:
    """Refuse what is no file, before a model is loaded."""
    if path.is_dir():
        raise InputError(f"{path} is a folder", "name one picture in it")
    if not path.is_file():
        raise InputError(f"there is no picture {path}", "check the path")


def read_target(image: str | Path | np.ndarray, generator: Generator) -> Tensor:
    """A picture as the images of a generator are: float32 (1, C, H, W) in [-1, 1]."""
    from PIL import ImageOps

    from ganzoo.contact_sheet import picture

    config = generator.record.get("config")
    crop = config.dataset.content_crop if config else None

    def fitted(opened: Image.Image) -> np.ndarray:
        return _fitted(ImageOps.exif_transpose(opened), generator.image_shape, crop)

    if isinstance(image, np.ndarray):
        pixels = fitted(picture(image))
    else:
        pixels = decoded(Path(image), fitted)
    return torch.tensor(pixels)[None].to(generator.device).float() / 127.5 - 1


def _fitted(
    picture: Image.Image, image_shape: tuple[int, int, int], crop: tuple[int, ...] | None
) -> np.ndarray:
    """uint8 (C, H, W): as it is where it has the size of the model's images, else as their content,
    with black around it where they have that."""
    channels, height, width = image_shape
    short, long = sorted(picture.size)
    if short < LEAST_SIDE or long > LONGEST * short:
        raise InputError(
            f"a picture of {picture.width} x {picture.height} pixels",
            f"give one of {LEAST_SIDE} pixels or more, that is no strip",
        )
    if picture.size == (width, height):
        return fit(picture, resolution=None, channels=channels)
    top, left, content_height, content_width = crop or (0, 0, height, width)
    if content_height != content_width:
        raise InputError(
            f"the model's images are not square, and the picture has {picture.width} x"
            f" {picture.height} pixels",
            f"resize it to {width} x {height}",
        )
    out = np.zeros(image_shape, dtype=np.uint8)
    content = fit(picture, resolution=content_height, channels=channels)
    out[:, top : top + content_height, left : left + content_width] = content
    return out
