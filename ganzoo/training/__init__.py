"""Training: recipe, losses, the step that a loss is handed, trainer, checkpoints and observers.

`train` runs a recipe into a run folder and goes on with one; `plan` measures a few steps first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import files, layout
from ganzoo.errors import ConfigError, InputError, MissingDataError, TrainingError
from ganzoo.torch_defaults import usual_defaults
from ganzoo.training.finding import find_recipe, recipes
from ganzoo.training.recipe import DataConfig, Recipe

if TYPE_CHECKING:
    from ganzoo.data import ImageData
    from ganzoo.loading import Located
    from ganzoo.training.trainer import Trainer

__all__ = ["Recipe", "find_recipe", "plan", "recipes", "train"]


@usual_defaults()
def train(
    recipe: Recipe | str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    data: str | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    init: str | Path | None = None,
    steps: int | None = None,
    device: str | None = None,
    observers: Sequence[object] = (),
    progress: bool = False,
    tensorboard: bool = False,
) -> Path:
    """Train a recipe, or go on with a run, and return the run folder.

    Args:
        recipe: a recipe, the name of one, the path of a TOML file, or a dictionary as one has it.
        out: the run folder; its `model/` is a model folder.
        data: replaces the recipe's data source, as `--data` does.
        settings: `key=value` changes, as `--set` does.
        resume: go on from the newest whole checkpoint of `out`, as if it had never stopped: on a
            CPU bit for bit, on a GPU but for the order in which it adds. The recipe must be the
            same; its intervals may differ, and its length where no learning rate follows it.
        init: a model (name, folder, hf://) to start from.
        steps: stop after so many steps of this call, with a checkpoint.
        device: "cpu" or "cuda"; by default a GPU where there is one.
        observers: objects that implement the observing hooks.
        progress: say on stderr how far it is: a bar on a terminal, else a line now and then.
        tensorboard: log to `tensorboard/` too.

    Raises:
        GanzooError: anything that is wrong with recipe, data, folder or device, or divergence.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    from ganzoo.training import finishing, memorisation
    from ganzoo.training import observers as watching
    from ganzoo.training.report import cost
    from ganzoo.training.scoring import scorers
    from ganzoo.training.trainer import Setup

    out = Path(out)
    recipe = _configured(recipe, data, settings)
    accelerator = _accelerator(recipe, device)
    main = accelerator.is_main_process
    _check_folder(out, recipe, resume)
    with _no_empty_folder(out), _memory_errors(recipe) as running:
        with accelerator.main_process_first():  # it prepares the data for all
            images = _load(recipe, progress=progress and main)
        resolved = recipe.resolve(images.image_shape, images.num_classes)
        watchers = watching.Observers(
            [*(_own_observers(out, recipe, progress, tensorboard) if main else ()), *observers]
        )
        if main and images.warning:
            watchers.say(images.warning)
        setup = Setup(
            resolved,
            images,
            out,
            accelerator,
            watchers,
            _located(init),
            scorers(recipe, images, accelerator.device),
        )
        trainer = _trainer(resolved, setup)
        running.append(trainer)
        if resume:
            path = trainer.resume()
            if main:
                watchers.say(f"resuming at step {trainer.step} from {path}")
        elif main and (caution := memorisation.warning_of(trainer)):
            watchers.say(f"warning: {caution}")
        # as an older version wrote it, run.toml tells whose the checkpoints are
        if main and not (resume and _is_written(resolved, images, out)):
            files.write_text(out / "run.toml", _to_toml(resolved.to_dict()))
        accelerator.wait_for_everyone()
        _run(trainer, steps)
        if main and progress:
            watchers.say(cost(trainer))
    finishing.finish(trainer, progress=progress)
    return out


@usual_defaults()
def plan(
    recipe: Recipe | str | Path | Mapping[str, Any],
    *,
    data: str | None = None,
    settings: Sequence[str] = (),
    device: str | None = None,
) -> dict[str, Any]:
    """What a run would be: the resolved recipe, parameters, memory, images a second, time needed.

    A few steps are run and thrown away; nothing is written. Where the data are not here but their
    shape is known, noise takes their place without an attempt to download them, and the report's
    `data` says why.
    """
    from ganzoo.training.observers import Observers
    from ganzoo.training.report import dry_run
    from ganzoo.training.trainer import Setup

    recipe = _configured(recipe, data, settings)
    absent, noise = "", _stand_in(recipe)
    try:
        images = _load(recipe, download=noise is None)
    except MissingDataError as error:
        if noise is None:
            raise
        images, absent = noise, f"noise in its place: {error.problem}"
    resolved = recipe.resolve(images.image_shape, images.num_classes)
    setup = Setup(resolved, images, Path(), _accelerator(recipe, device), Observers())
    import torch

    with _memory_errors(recipe) as running:
        trainer = _trainer(resolved, setup)
        running.append(trainer)
        with torch.random.fork_rng(_cuda(trainer)):
            report = dry_run(trainer)
    if absent:
        report["data"] = {"source": images.source, "absent": absent}
        report.pop("memorisation_warning", None)
    return report


def _configured(
    recipe: Recipe | str | Path | Mapping[str, Any], data: str | None, settings: Sequence[str]
) -> Recipe:
    if not isinstance(recipe, Recipe):
        recipe = find_recipe(recipe)
    if data is not None:
        recipe = replace(recipe, data=recipe.data.with_source(data))
    recipe = recipe.with_settings(settings)
    if not recipe.data.source:
        raise ConfigError("the recipe names no data", "--data mnist, or folder:PATH, zip:PATH")
    return recipe


def _load(recipe: Recipe, *, download: bool = True, progress: bool = False) -> ImageData:
    from ganzoo.data import load_data

    config: DataConfig = recipe.data
    return load_data(
        config.source,
        resolution=config.resolution,
        channels=config.channels,
        download=download,
        progress=progress,
    )


def _stand_in(recipe: Recipe) -> ImageData | None:
    """Noise for data that are not here; None if their shape or classes are not known."""
    from ganzoo.data import stand_in

    config = recipe.data
    noise = stand_in(
        config.source,
        resolution=config.resolution,
        channels=config.channels,
        n=max(4096, recipe.batch),
    )
    return None if noise is None or (recipe.conditional and not noise.num_classes) else noise


def _own_observers(out: Path, recipe: Recipe, progress: bool, tensorboard: bool) -> list[object]:
    """The core's observers of a run, in the order in which they are told."""
    from ganzoo.training import observers as watching

    own: list[object] = [watching.JsonLog(out / "log.jsonl")]
    if recipe.every.grid:
        own.append(watching.SampleGrids(out / "grids", recipe.every.grid))
    if tensorboard:
        own.append(watching.TensorBoard(out / "tensorboard"))
    if progress:
        terminal = sys.stderr.isatty()
        own.append(watching.ProgressBar() if terminal else watching.ProgressLines())
    return own


def _trainer(resolved: Any, setup: Any) -> Trainer:
    from ganzoo.parts import resolve

    part, config = resolved.chosen["trainer"]
    trainer: Trainer = resolve(part.factory)(config, setup)
    return trainer


def _accelerator(recipe: Recipe, device: str | None) -> Any:
    """Accelerate decides where this process computes, and with how many others."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    from ganzoo.evaluation.workers import leave_at_exit

    if device not in (None, "cpu", "cuda", "mps"):
        raise InputError(f"no device is called {device!r}", "use cpu, cuda or mps")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        # an earlier run of this process may have had another device or precision
        AcceleratorState._reset_state(reset_partial_state=True)
    precision = "bf16" if recipe.precision == "bf16" else "no"
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=precision)
    if accelerator.num_processes > 1:
        leave_at_exit()
    if device is not None and accelerator.device.type != device:
        raise InputError(f"there is no {device} device here", "use --device cpu, or leave it out")
    return accelerator


@contextlib.contextmanager
def _no_empty_folder(out: Path) -> Iterator[None]:
    """A run that is refused leaves no folder behind."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # it holds something
            out.rmdir()
        raise


def _check_folder(out: Path, recipe: Recipe, resume: bool) -> None:
    """A new run needs a new folder; a resumed one the folder of the same recipe."""
    path = out / "run.toml"
    model = out / "model"
    if model.exists() and not (model / layout.CONFIG).exists():
        raise TrainingError(f"{model} is in the way: it is no model folder", "use another --out")
    if not resume:
        if path.exists() and any((out / "checkpoints").glob("[0-9]*")):
            raise TrainingError(f"{out} holds a run already", "--resume to go on, or another --out")
        with files.writable(out):
            return
    if not path.exists():
        raise TrainingError(f"{out} is no run folder: it has no run.toml", "start without --resume")
    former = Recipe.load(path)
    _compare(former, recipe, out)


def _is_written(resolved: Any, images: ImageData, out: Path) -> bool:
    """Whether the run's run.toml says what this recipe says."""
    written = Recipe.load(out / "run.toml").resolve(images.image_shape, images.num_classes)
    return bool(written.to_dict() == resolved.to_dict())


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


def _located(init: str | Path | None) -> Located | None:
    from ganzoo.loading import locate

    return None if init is None else locate(init, discriminator=True)


def _to_toml(document: dict[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(document)


def _run(trainer: Trainer, steps: int | None) -> None:
    import torch

    error: BaseException | None = None
    trainer.observers.notify("ganzoo_train_start", trainer=trainer)
    try:
        # steps seed torch's global generators for layers that draw from them: given back at the end
        with _stopping_on_signals(trainer), torch.random.fork_rng(_cuda(trainer)):
            trainer.fit(steps)
    except BaseException as raised:
        error = raised
        raise
    finally:
        trainer.observers.notify("ganzoo_train_end", trainer=trainer, error=error)
    if trainer.stop and trainer.step < trainer.total_steps:
        raise KeyboardInterrupt(
            f"stopped at step {trainer.step}; go on with --out {trainer.folder} --resume"
        )


def _cuda(trainer: Trainer) -> list[Any]:
    """The devices, beside the CPU, whose random state a run moves."""
    return [trainer.device] if trainer.device.type == "cuda" else []


@contextlib.contextmanager
def _stopping_on_signals(trainer: Trainer) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after the step that is being made; a second one at once."""

    def stop(number: int, frame: Any) -> None:
        if trainer.stop:
            raise KeyboardInterrupt("stopped at once; the last checkpoint is kept")
        trainer.stop = True

    try:
        former = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever owns the signals keeps them
        yield
        return
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _memory_errors(recipe: Recipe) -> Iterator[list[Trainer]]:
    """Out of memory names the batch size to try: of the trainer that is put into the list."""
    import torch

    running: list[Trainer] = []
    try:
        yield running
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        out_of_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not out_of_memory and "can't allocate memory" not in text:
            raise
        setting, batch = "batch", recipe.batch
        for trainer in running:
            setting, batch = trainer.batch_setting, trainer.batch
        raise TrainingError(
            f"out of memory with batch {batch}",
            f"--set {setting}={max(1, batch // 2)},"
            f" or --set accumulation={recipe.accumulation * 2} for the same one",
        ) from error
