"""What the gates look at: a model folder that is to be published, read once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganzoo import files, layout


class Warn(str):
    """A finding that its author and readers should know of, and that stops nothing."""


@dataclass(frozen=True)
class Candidate:
    """A model folder, and what several gates need of it.

    Attributes:
        folder: as it is to be sent.
        origin: as its author has it, with the places of the data on this machine.
        data: where the real images of its metrics are, if they are not where they were.
    """

    folder: Path
    origin: Path
    data: str | None = None

    @functools.cached_property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 of every file that a model folder may hold, as the files are now."""
        return {
            name: files.sha256(self.folder / name)
            for name in layout.FILES
            if (self.folder / name).is_file()
        }

    @functools.cached_property
    def config(self) -> layout.ModelConfig:
        return layout.read_config(self.folder, hashes=self.hashes)

    @functools.cached_property
    def weights(self) -> str:
        """The SHA-256 of the generator's weights, to which metrics, audit and pictures refer."""
        return self.hashes.get(layout.WEIGHTS["generator"], "")

    @functools.cached_property
    def training(self) -> dict[str, Any]:
        return self.json("training.json")

    @functools.cached_property
    def readme(self) -> str:
        path = self.folder / "README.md"
        return layout.read_text(path) if path.is_file() else ""

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object of the folder; {} where the file is absent."""
        path = self.folder / name
        return layout.read_json(path) if path.is_file() else {}


Check = Callable[[Candidate], Iterable[str]]
"""A candidate -> what is wrong with it, in one line each; a `Warn` does not stop it."""
