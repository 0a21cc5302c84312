"""The run folder: which one a run may have, and where a run in it goes on.

It holds `run.toml, log.jsonl, checkpoints/, model/`, and `grids/`, `best/` and `tensorboard/` where
they are asked for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import files, layout
from ganzoo.errors import TrainingError
from ganzoo.training.recipe import Recipe

if TYPE_CHECKING:
    from ganzoo.data import ImageData
    from ganzoo.training.recipe import ResolvedRecipe

RECIPE = "run.toml"
BEFORE_CHECKPOINTS = {RECIPE, "log.jsonl", "grids", "tensorboard", "checkpoints"}
"""What a run leaves that ends before its first checkpoint: nothing to go on from, or to lose."""
_OWN = {*BEFORE_CHECKPOINTS, "model", "best"}


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run folder, newest first."""
    found = (p for p in (run / "checkpoints").glob("*") if p.name.isdigit() and p.is_dir())
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def others(out: Path) -> set[str]:
    """What is in a folder that a new run there would overwrite, or mix with its own."""
    found = [p for p in out.iterdir() if not p.name.startswith(".")] if out.exists() else []
    held = {p.name for p in found if p.name in _OWN or not _is_printed_to(p)}
    return held - BEFORE_CHECKPOINTS if RECIPE in held else held


def _is_printed_to(path: Path) -> bool:
    """Whether it is where this process prints: a shell makes such a file before it starts one."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):  # it is closed
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return True
    return False


def check(out: Path, recipe: Recipe, *, resume: bool) -> None:
    """A new run needs a folder of its own; a resumed one that of the same recipe.

    Raises:
        TrainingError: it is another.
        InputError: it cannot be written to.
    """
    if resume:
        return _check_resumed(out, recipe)
    if (out / RECIPE).exists() and checkpoints(out):
        raise TrainingError(f"{out} holds a run already", "--resume to go on, or another --out")
    with files.writable(out):
        found = others(out)
    if found:
        raise TrainingError(
            f"{out} holds other files already, such as {min(found)}", "use another --out"
        )


def _check_resumed(out: Path, recipe: Recipe) -> None:
    path, model = out / RECIPE, out / "model"
    if not path.exists():
        raise TrainingError(f"{out} is no run folder: it has no {RECIPE}", "start without --resume")
    if model.exists() and not (model / layout.CONFIG).exists():
        raise TrainingError(f"{model} is in the way: it is no model folder", "move it away")
    _compare(Recipe.load(path), recipe, out)


def is_written(recipe: ResolvedRecipe, images: ImageData, out: Path) -> bool:
    """Whether the run's run.toml says what this recipe says."""
    written = Recipe.load(out / RECIPE).resolve(images.image_shape, images.num_classes)
    return written.to_dict() == recipe.to_dict()


def _compare(former: Recipe, recipe: Recipe, out: Path) -> None:
    """Refuse to resume under another recipe, naming the first thing that differs."""
    old, new = _flat(former.to_dict(), recipe.free), _flat(recipe.to_dict(), recipe.free)
    for key in sorted(new):
        if key not in old or not _agrees(old[key], new[key]):
            raise TrainingError(
                f"{out} is a run of another recipe: {key} was {old.get(key)!r}, now {new[key]!r}",
                "resume with the same settings, or use another --out",
            )


def _agrees(spelled: Any, said: Any) -> bool:
    """Whether a recipe says what run.toml has, which spells every default out, also in lists."""
    if isinstance(spelled, dict) and isinstance(said, dict):
        return all(key in spelled and _agrees(spelled[key], said[key]) for key in said)
    if isinstance(spelled, list) and isinstance(said, list):
        return len(spelled) == len(said) and all(map(_agrees, spelled, said))
    return bool(spelled == said)


def _flat(document: dict[str, Any], leave_out: Sequence[str], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if f"{prefix}{key}" in leave_out:
            continue
        if isinstance(value, dict):
            flat.update(_flat(value, leave_out, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
