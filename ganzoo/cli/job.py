"""What `ganzoo generate` does: images of seeds, as a grid, single files, arrays or an animation."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.errors import InputError

if TYPE_CHECKING:
    from ganzoo.images import Images
    from ganzoo.models import Generator


@dataclass(frozen=True)
class Target:
    """Where the images go: `form` is image, grid, files, npz or animation."""

    form: str
    path: Path
    suffix: str = ""
    """Of each single file, for the form files."""


@dataclass
class Job:
    """Images to make: their seeds and labels, and how."""

    generator: Generator
    seeds: Sequence[int]
    labels: list[int] | None
    options: dict[str, Any]
    batch_size: int
    marks: dict[str, Any]
    """How files are marked: what `provenance.save_image` takes beside the record."""
    layout: dict[str, Any]
    """What the record of a class grid says instead of a seed and a label for each image."""
    hide_seed: bool = False
    """Leave the seeds out of records and of the names of files."""

    def write(self, target: Target, *, columns: int | None, steps: int, fps: int) -> None:
        """Make the images and write them, in bounded memory."""
        from ganzoo import provenance

        if target.form == "animation":
            frames, record = self._walk(steps), self._record_of_all()
            provenance.save_animation(frames, target.path, record=record, fps=fps, **self.marks)
        elif target.form == "npz":
            provenance.save_npz(
                target.path,
                (batch.to_uint8() for batch in self._batches()),
                seeds=self.seeds,
                labels=self.labels,
                record=self._record(),
                **self.marks,
            )
        elif target.form == "grid":
            images = np.concatenate([batch.to_uint8() for batch in self._batches()])
            record = self._record_of_all()
            provenance.save_grid(images, target.path, record=record, columns=columns, **self.marks)
        else:
            paths = self._paths(target)
            for batch in self._batches():
                labels = batch.labels or itertools.repeat(None)
                for image, seed, label in zip(batch.to_uint8(), batch.seeds, labels):
                    record = self._record(seed=seed, label=label)
                    provenance.save_image(image, next(paths), record=record, **self.marks)

    def rows(self, target: Target) -> Iterator[dict[str, Any]]:
        """One object an image, for --json."""
        paths = self._paths(target)
        for k, seed in enumerate(self.seeds):
            row = {"file": str(next(paths)), "seed": seed}
            yield row if self.labels is None else {**row, "label": self.labels[k]}

    def _paths(self, target: Target) -> Iterator[Path]:
        """The file of each image: named by its seed, and by its class where seeds repeat."""
        if target.form != "files":
            yield from itertools.repeat(target.path)
        repeated = len(set(self.seeds)) < len(self.seeds)
        if repeated and len(set(zip(self.seeds, self.labels or self.seeds))) < len(self.seeds):
            raise InputError("a seed is given twice", "name each seed once, or each with one class")
        for k, seed in enumerate(self.seeds):
            label = f"-class{self.labels[k]}" if repeated and self.labels else ""
            name = f"image{k:06d}" if self.hide_seed else f"seed{seed:06d}{label}"
            yield target.path / f"{name}{target.suffix}"

    def _batches(self) -> Iterator[Images]:
        return self.generator.sample_batches(
            self.seeds,
            labels=self.labels,
            batch_size=self.batch_size,
            progress=sys.stderr.isatty() and len(self.seeds) > self.batch_size,
            **self.options,
        )

    def _record(self, **more: Any) -> dict[str, Any]:
        """What made the images, in plain data."""
        record = {**self.generator.recorded(self.options), **more}
        left_out = {"config", *(("seed", "seeds", "mix") if self.hide_seed else ())}
        return {k: v for k, v in record.items() if k not in left_out and v is not None}

    def _record_of_all(self) -> dict[str, Any]:
        """The record of a picture that holds all of the images."""
        if self.labels is None or self.layout:
            return self._record(**{"seeds": list(self.seeds), **self.layout})
        if len(set(self.labels)) == 1:
            return self._record(seeds=list(self.seeds), label=self.labels[0])
        return self._record(seeds=list(self.seeds), labels=self.labels)

    def _walk(self, steps: int) -> Iterator[np.ndarray]:
        """Frames from seed to seed and back to the first: straight in w where there is one, else on
        the sphere where latents live."""
        from ganzoo import walks

        if len(self.seeds) < 2:
            raise InputError("one seed leads nowhere", "use -n 2 or more with --interpolate")
        if self.labels is not None and len(set(self.labels)) > 1:
            raise InputError("--interpolate keeps to one class", "choose it with --class")
        if self.options.get("noise") == "random":
            raise InputError("random noise flickers in an animation", "use --noise const")
        label = None if self.labels is None else self.labels[0]
        return walks.walk(
            self.generator,
            self.seeds,
            label=label,
            steps=steps,
            batch_size=self.batch_size,
            **self.options,
        )
