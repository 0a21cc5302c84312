"""Training: recipe, losses, the step that a loss is handed, trainer, checkpoints and observers.

`train` runs a recipe into a run folder and goes on with one; `plan` measures a few steps first.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo import files
from ganzoo.errors import ConfigError, InputError, MissingDataError
from ganzoo.numbers import check_count
from ganzoo.torch_defaults import usual_defaults
from ganzoo.training import folder, guards
from ganzoo.training.finding import find_recipe, recipes
from ganzoo.training.recipe import Recipe

if TYPE_CHECKING:
    from ganzoo.data import ImageData
    from ganzoo.training.trainer import Setup, Trainer

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
        out: the run folder, of its own: new, empty, or with `resume` that of the run. Its `model/`
            is a model folder.
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
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM, after a checkpoint was written (a second
            one: without); it says how to go on.
    """
    from ganzoo import loading
    from ganzoo.training import finishing
    from ganzoo.training.observers import Observers
    from ganzoo.training.report import cost
    from ganzoo.training.scoring import scorers
    from ganzoo.training.trainer import Setup

    if steps is not None:
        steps = check_count(steps, f"steps = {steps!r}")
    out = Path(out)
    recipe = _configured(recipe, data, settings)
    accelerator = _accelerator(recipe, device)
    main = accelerator.is_main_process
    folder.check(out, recipe, resume=resume)
    with guards.saying_how_to_go_on(out), guards.no_empty_folder(out):
        with guards.memory_errors(recipe) as running:
            with accelerator.main_process_first():  # it prepares the data for all
                images = _load(recipe, progress=progress and main)
            resolved = recipe.resolve(images.image_shape, images.num_classes)
            own = _own_observers(out, recipe, progress, tensorboard) if main else []
            setup = Setup(
                resolved,
                images,
                out,
                accelerator,
                Observers([*own, *observers]),
                None if init is None else loading.locate(init, discriminator=True),
                scorers(recipe, images, accelerator.device),
            )
            trainer = _trainer(setup)
            running.append(trainer)
            _begin(trainer, resume)
            _run(trainer, steps)
        if main and progress:
            trainer.observers.say(cost(trainer))
        finishing.finish(trainer, progress=progress)
    return out


@usual_defaults()
def plan(
    recipe: Recipe | str | Path | Mapping[str, Any],
    *,
    data: str | None = None,
    settings: Sequence[str] = (),
    device: str | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """What a run would be: the resolved recipe, parameters, memory, images a second, time needed.

    A few steps are run and thrown away; nothing is written. Where the data are not here but their
    shape is known, noise takes their place without an attempt to download them, and the report's
    `data` says why. `progress`: say on stderr what is measured, which may take minutes.
    """
    import torch

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
    with guards.memory_errors(recipe) as running:
        trainer = _trainer(setup)
        running.append(trainer)
        with torch.random.fork_rng(_cuda(trainer)):
            report = dry_run(trainer, progress=progress and trainer.accelerator.is_main_process)
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

    config = recipe.data
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


def _trainer(setup: Setup) -> Trainer:
    from ganzoo.parts import resolve

    part, config = setup.resolved.chosen["trainer"]
    trainer: Trainer = resolve(part.factory)(config, setup)
    return trainer


def _begin(trainer: Trainer, resume: bool) -> None:
    """Start a run, or go back to where it was; run.toml says whose the folder is."""
    import tomli_w

    from ganzoo.training import memorisation

    main, say, out = trainer.accelerator.is_main_process, trainer.observers.say, trainer.folder
    if main and trainer.data.warning:
        say(trainer.data.warning)
    if resume:
        path = trainer.resume()
        if main:
            say(f"resuming at step {trainer.step} from {path}")
    elif main and (caution := memorisation.warning_of(trainer)):
        say(f"warning: {caution}")
    # as an older version wrote it, run.toml tells whose the checkpoints are
    if main and not (resume and folder.is_written(trainer.resolved, trainer.data, out)):
        files.write_text(out / folder.RECIPE, tomli_w.dumps(trainer.resolved.to_dict()))
    trainer.accelerator.wait_for_everyone()


def _accelerator(recipe: Recipe, device: str | None) -> Any:
    """Accelerate decides where this process computes, and with how many others."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    from ganzoo.evaluation.workers import launched, leave_at_exit, takes_cpu

    if device not in (None, "cpu", "cuda", "mps"):
        raise InputError(f"no device is called {device!r}", "use cpu, cuda or mps")
    if launched() == 1:
        # an earlier run of this process may have had another device or precision
        AcceleratorState._reset_state(reset_partial_state=True)
    precision = "bf16" if recipe.precision == "bf16" else "no"
    accelerator = Accelerator(cpu=takes_cpu(device), mixed_precision=precision)
    if accelerator.num_processes > 1:
        leave_at_exit()
    elif launched() > 1:
        raise InputError(f"{device} is of one process, not of {launched()}", "use --device cpu")
    if device is not None and accelerator.device.type != device:
        raise InputError(f"there is no {device} device here", "use --device cpu, or leave it out")
    return accelerator


def _run(trainer: Trainer, steps: int | None) -> None:
    import torch

    error: BaseException | None = None
    trainer.observers.notify("ganzoo_train_start", trainer=trainer)
    try:
        # steps seed torch's global generators for layers that draw from them: given back at the end
        with guards.stopping_on_signals(trainer), torch.random.fork_rng(_cuda(trainer)):
            trainer.fit(steps)
        if trainer.stop:
            raise KeyboardInterrupt
    except BaseException as raised:
        error = raised
        raise
    finally:
        trainer.observers.notify("ganzoo_train_end", trainer=trainer, error=error)


def _cuda(trainer: Trainer) -> list[Any]:
    """The devices, beside the CPU, whose random state a run moves."""
    return [trainer.device] if trainer.device.type == "cuda" else []
