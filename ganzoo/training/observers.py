"""What watches a run: log file, progress bar, sample grids, TensorBoard, and installed plugins.

The core's own observers implement the same hooks as a third party's. The difference is in failure:
a third party's observer that raises is reported and left out, one of the core's stops the run.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from ganzoo import files, hookspecs, plugins, provenance
from ganzoo.hookspecs import hookimpl

if TYPE_CHECKING:
    from ganzoo.training.trainer import Trainer


class Observers:
    """Those who are told of a run's events, in the order in which they were added."""

    def __init__(self, observers: Sequence[object] = ()) -> None:
        self._own = pluggy.PluginManager(hookspecs.PROJECT)
        self._own.add_hookspecs(hookspecs)
        for observer in reversed(observers):  # pluggy calls the last registered first
            self._own.register(observer)

    def notify(self, hook: str, **event: Any) -> None:
        getattr(self._own.hook, hook)(**event)
        installed = plugins.load()
        before = {p.name for p in installed.found if p.error}
        for _ in installed.call(hook, **event):
            pass
        for plugin in installed.found:
            if plugin.error and plugin.name not in before:
                self.say(f"plugin {plugin.name!r} failed in {hook} and is left out: {plugin.error}")

    def say(self, text: str) -> None:
        """A line for the person who watches, on stderr. Where nobody reads it any more (Ctrl-C ends
        `tee`, too), the run goes on."""
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{text}\n")


class JsonLog:
    """`log.jsonl`: one object a line, cut back to the step of the checkpoint on a resume."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @hookimpl
    def ganzoo_train_start(self, trainer: Trainer) -> None:
        kept = []
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # the last line of a killed run may be half written
                if entry.get("step", 0) <= trainer.step:
                    kept.append(line + "\n")
        files.write_text(self.path, "".join(kept))

    @hookimpl
    def ganzoo_step_end(self, trainer: Trainer, step: int, logs: Mapping[str, float]) -> None:
        entry = {
            "step": step,
            "images": trainer.images,
            "time": round(time.time(), 3),
            **{name: float(f"{value:.6g}") for name, value in logs.items()},
        }
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


class SampleGrids:
    """A grid of the averaged generator on fixed seeds, at the start and every so many steps.

    A conditional one has a row for each of the first 16 classes, with the same seeds in each.
    """

    COLUMNS, ROWS, MOST_ROWS = 8, 8, 16

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every = folder, every
        self._due = 0

    @hookimpl
    def ganzoo_train_start(self, trainer: Trainer) -> None:
        if trainer.step == 0:
            self._write(trainer)
        self._due = trainer.step + self.every - trainer.step % self.every

    @hookimpl
    def ganzoo_step_end(self, trainer: Trainer, step: int, logs: Mapping[str, float]) -> None:
        if step >= self._due:
            self._write(trainer)
            self._due = step + self.every - step % self.every

    def _write(self, trainer: Trainer) -> None:
        G, options = trainer.averaged(), trainer.options("generator")
        record: dict[str, Any] = {"model": trainer.recipe.name, "step": trainer.step}
        if G.num_classes:
            rows = range(min(G.num_classes, self.MOST_ROWS))
            seeds, labels = G.class_rows(range(self.COLUMNS), rows)
            images = G.sample(seeds=seeds, labels=labels, **options)
            record |= {"class_grid": True, "seeds": range(self.COLUMNS), "labels": rows}
        else:
            images = G.sample(self.COLUMNS * self.ROWS, **options)
            record |= {"seeds": range(self.COLUMNS * self.ROWS)}
        record |= options  # the `lod` of a run that grows
        provenance.save_grid(
            images.to_uint8(),
            self.folder / f"{trainer.step:09d}.png",
            record=record,
            columns=self.COLUMNS,
        )


class TensorBoard:
    """Scalars and nothing else, in `tensorboard/`."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            from ganzoo.errors import InputError

            raise InputError(
                "TensorBoard is not installed", "pip install 'ganzoo[tensorboard]'"
            ) from error
        self._writer, self._folder = SummaryWriter, folder

    @hookimpl
    def ganzoo_train_start(self, trainer: Trainer) -> None:
        # a resumed run makes the steps after its checkpoint again: those of before are hidden
        self._log = self._writer(self._folder, purge_step=trainer.step + 1)

    @hookimpl
    def ganzoo_step_end(self, trainer: Trainer, step: int, logs: Mapping[str, float]) -> None:
        for name, value in logs.items():
            self._log.add_scalar(name, value, step)

    @hookimpl
    def ganzoo_train_end(self, trainer: Trainer, error: BaseException | None) -> None:
        self._log.close()


def _summary(logs: Mapping[str, float]) -> str:
    """Images a second, the terms of the losses, and metrics."""
    rate = logs.get("images_per_second")
    terms = [f"{name} {value:.3f}" for name, value in logs.items() if name[:2] in ("D/", "G/")]
    terms += [f"{name[5:]} {value:.4g}" for name, value in logs.items() if name[:5] == "eval/"]
    return "  ".join(([f"{rate:.0f} images/s"] if rate else []) + terms)


class ProgressLines:
    """For a log file: where a run is, in a line every half minute, on stderr."""

    SECONDS = 30.0

    def __init__(self) -> None:
        self._last = -math.inf

    @hookimpl
    def ganzoo_step_end(self, trainer: Trainer, step: int, logs: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._last < self.SECONDS and step < trainer.total_steps:
            return
        self._last = now
        left = ""
        if logs.get("images_per_second"):
            images = trainer.images_at(trainer.total_steps) - trainer.images
            seconds = round(images / logs["images_per_second"])
            left = f"  {timedelta(seconds=seconds)} left"
        of = trainer.total_steps
        trainer.observers.say(f"step {step:,}/{of:,}  {_summary(logs)}{left}")


class ProgressBar:
    """Steps, images a second, losses and time left, on a terminal."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        from ganzoo.console import stderr

        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=stderr(),
        )
        self._task: Any = None

    @hookimpl
    def ganzoo_train_start(self, trainer: Trainer) -> None:
        self._task = self._progress.add_task(
            trainer.recipe.name, total=trainer.total_steps, completed=trainer.step, losses=""
        )
        self._progress.start()

    @hookimpl
    def ganzoo_step_end(self, trainer: Trainer, step: int, logs: Mapping[str, float]) -> None:
        self._progress.update(self._task, completed=step, losses=_summary(logs))

    @hookimpl
    def ganzoo_train_end(self, trainer: Trainer, error: BaseException | None) -> None:
        self._progress.stop()
