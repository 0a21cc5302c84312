"""Making an image again from what its record says, and comparing the two.

The record is anyone's word. It may name a model that is here, or an address at the Hub; never a
path. Nothing is fetched unless the caller agrees, and what is found is used only if its weights
have the hash of the record.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo import files, layout, loading, marks, provenance, tile_mark
from ganzoo.contact_sheet import MAX_IMAGES
from ganzoo.errors import (
    GanzooError,
    HubError,
    InputError,
    IntegrityError,
    NotFoundError,
    printable,
)
from ganzoo.inspection import read_pixels

if TYPE_CHECKING:
    import torch

    from ganzoo.images import Images
    from ganzoo.models import Generator

IDENTICAL, NEAR, DIFFERENT = "identical", "differs by at most one level", "differs"
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif"}
_ADDRESS = re.compile(r"hf://[\w.\-]+/[\w.\-]+@[0-9a-f]{40}(/[\w.\-/]+)?", re.ASCII)
_OPTIONS = ("truncation", "truncation_cutoff", "noise", "mix", "lod")


@dataclass(frozen=True)
class Reproduction:
    """How an image that was made again compares with a file.

    Attributes:
        path: the file.
        model: where the model was found.
        result: "identical", "differs by at most one level" or "differs".
        largest: the largest difference of a pixel, in levels of 255; None for other sizes.
        differing: the share of pixels that differ.
    """

    path: Path
    model: str
    result: str
    largest: int | None
    differing: float

    @property
    def ok(self) -> bool:
        return self.result != DIFFERENT


def reproduce(
    path: str | Path,
    *,
    model: str | Path | None = None,
    out: str | Path | None = None,
    allow: Callable[[str], bool] = lambda address: False,
    device: str | torch.device | None = None,
) -> Reproduction:
    """Make the image of a file again, from its record, and compare the pixels.

    They are identical on the same platform and versions; elsewhere they may differ by one level,
    and more so after the losses of JPEG.

    Args:
        path: a picture that ganzoo wrote: an image, a grid or a grid of classes.
        model: where the model is, if not where the record says.
        out: where to keep the new image.
        allow: is asked with the address before anything is fetched.
        device: "cpu", "cuda" …; by default a GPU where there is one.

    Raises:
        GanzooError: there is no record, it does not say enough, its model is not to be had or has
            other weights.
    """
    path = Path(path)
    record = marks.read_record(path)
    if record is None:
        raise InputError(f"{path} has no record of ganzoo", "see what it has: ganzoo inspect FILE")
    suffix, pixels = _picture(path)
    _check_record(record, path)
    if out is not None:
        if Path(out).suffix.lower().replace("jpeg", "jpg") != suffix:
            raise InputError(f"{out} would be another format than {path}", f"name it {suffix}")
        if Path(out).exists() and path.samefile(out):
            raise InputError(f"{out} is the file itself", "give another name")
    located = _locate(record, model, allow)
    import torch

    dtype = torch.bfloat16 if record.get("dtype") == "bfloat16" else None
    where = loading.find_device(device)
    images, columns = _sample(loading.load(located.folder, device=where, dtype=dtype), record)
    how: dict[str, Any] = {"record": record, "invisible": _invisible_key(record)}
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, f"image{suffix}") if out is None else Path(out)
        if "seed" in record:
            provenance.save_image(images.to_uint8()[0], made, **how)
        else:
            provenance.save_grid(images.to_uint8(), made, columns=columns, **how)
        new = read_pixels(made)
    result, largest, differing = compare(pixels, new)
    return Reproduction(path, located.address or str(located.folder), result, largest, differing)


# -- the record ----------------------------------------------------------------------------------


def _check_record(record: Mapping[str, Any], path: Path) -> None:
    """Refuse a record that does not say enough."""
    if not isinstance(record.get("model"), str) and not isinstance(record.get("source"), str):
        raise _lacking(path, "model")
    if not re.fullmatch("[0-9a-f]{64}", str(record.get("weights_sha256"))):
        raise _lacking(path, "hash of the weights")
    if "latent" in record:
        raise InputError(
            f"{path} was made from a latent, not from a seed", "ganzoo generate --latent FILE"
        )
    if "seed" not in record and "seeds" not in record:
        raise _lacking(path, "seed")
    if record.get("cut"):
        raise InputError(
            f"the record of {path} had to be cut and does not say everything",
            "generate it again from your own notes",
        )
    if record.get("invisible_mark") == "own key" and tile_mark.own_key() == tile_mark.KEY:
        raise InputError(
            f"{path} has an invisible mark with a key of its maker's", "set it in GANZOO_MARK_KEY"
        )


def _lacking(path: Path, what: str) -> InputError:
    return InputError(
        f"the record of {path} does not name the {what}", "without it nobody can make it again"
    )


def _picture(path: Path) -> tuple[str, np.ndarray]:
    """The suffix of a picture's format, and its pixels; animations are refused."""
    from PIL import Image

    pixels = read_pixels(path)  # or it says what is wrong
    with Image.open(path, formats=list(_SUFFIXES)) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise InputError(f"{path} is an animation", "reproduce single images and grids")
        return _SUFFIXES[str(image.format)], pixels


def _sample(generator: Generator, record: Mapping[str, Any]) -> tuple[Images, int | None]:
    """The images of a record, and the columns of their sheet, None for the usual ones."""
    seeds = _numbers(record, "seed" if "seed" in record else "seeds")
    given = next((key for key in ("label", "labels") if key in record), None)
    labels = None if given is None else _numbers(record, given)
    columns = _numbers(record, "columns")[0] if "columns" in record else None
    if record.get("class_grid"):
        columns = len(seeds)
        if columns * max(1, len(labels or range(generator.num_classes))) > MAX_IMAGES:
            raise InputError("the record names too many images", f"a grid has {MAX_IMAGES:,}")
        seeds, labels = generator.class_rows(seeds, labels)
    elif given == "label" and labels is not None:
        labels = labels * len(seeds)
    options = {key: record[key] for key in _OPTIONS if key in record}
    if "mix" in options:
        options["mix"] = _mix(options["mix"])
    try:
        images = generator.sample(seeds=seeds, labels=labels, **options)
    except (
        TypeError,
        ValueError,
        RuntimeError,
        LookupError,
        ArithmeticError,
    ) as error:  # values of other types than ours
        if "memory" in str(error):
            raise
        raise InputError(
            f"its record asks for what cannot be made ({printable(str(error), longest=200)})",
            "the record was changed",
        ) from error
    return images, columns


def _numbers(record: Mapping[str, Any], key: str) -> list[int]:
    found = marks.numbers(record[key], most=MAX_IMAGES)
    if found is None:
        text = printable(str(record[key]), longest=60)
        raise InputError(
            f"the record does not name all of its {key} ({text})",
            "without them nobody can make it again",
        )
    return found


def _mix(text: Any) -> tuple[list[int], int]:
    seeds, _, layer = str(text).partition(":")
    numbers = marks.numbers(seeds, most=MAX_IMAGES)
    if numbers is None or not re.fullmatch("[0-9]{1,4}", layer):
        raise InputError(f"the record's mix {printable(str(text))} is none", "it was changed")
    return numbers, int(layer)


def _invisible_key(record: Mapping[str, Any]) -> str | None:
    if "invisible_mark" not in record:
        return None
    return tile_mark.KEY if record["invisible_mark"] == "ganzoo" else tile_mark.own_key()


# -- the model -----------------------------------------------------------------------------------


def _locate(
    record: Mapping[str, Any], model: str | Path | None, allow: Callable[[str], bool]
) -> loading.Located:
    """The folder of the model with the weights of the record: the one that was given, or what the
    record names and is here, or may be fetched."""
    if model is not None:
        return _with_weights(loading.locate(model), record)
    problems: dict[str, GanzooError] = {}
    for source in _sources(record):
        try:
            return _with_weights(loading.locate(source, local_files_only=True), record)
        except GanzooError as error:
            problems[source] = error
    for source, problem in problems.items():
        if isinstance(problem, HubError) and allow(source):  # it is only not here
            return _with_weights(loading.locate(source), record)
    why = next((problem.problem for problem in problems.values()), "the record names no place")
    name = printable(str(record.get("model", "")), longest=100)
    raise NotFoundError(
        f"the model {name!r} is not here ({why})",
        "give its folder, name or address with --model",
    )


def _with_weights(located: loading.Located, record: Mapping[str, Any]) -> loading.Located:
    """The folder, if its weights are those of the record."""
    path = located.folder / layout.WEIGHTS["generator"]
    if path.is_file() and files.sha256(path) != record["weights_sha256"]:
        raise IntegrityError(
            f"the weights in {located.folder} are not those that the record names by their hash",
            "give the model that made the image with --model",
        )
    return located


def _sources(record: Mapping[str, Any]) -> list[str]:
    """Where to look: what stands in a record may be an address or a name, and never a path."""
    sources = []
    address, name = record.get("source"), record.get("model")
    if isinstance(address, str) and _ADDRESS.fullmatch(address):
        sources.append(address)
    if isinstance(name, str) and not loading.is_path(name):
        sources.append(name)
    return sources


# -- the comparison ------------------------------------------------------------------------------


def compare(old: np.ndarray, new: np.ndarray) -> tuple[str, int | None, float]:
    """The result, the largest difference and the share of pixels that differ, of two images."""
    if old.shape != new.shape:
        return DIFFERENT, None, 1.0
    difference = np.abs(old.astype(np.int16) - new)
    largest = int(difference.max())
    result = IDENTICAL if largest == 0 else NEAR if largest == 1 else DIFFERENT
    return result, largest, float(difference.any(axis=2).mean())
