"""The models that the app offers, and the few of them that are in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo import layout
from ganzoo.errors import NotFoundError, nearest

if TYPE_CHECKING:
    from ganzoo.models import Generator

MOST_LOADED = 3


class Shelf:
    """Visitors choose among `names`, and nothing that they send is taken for anything else.

    Args:
        models: names, folders or hf:// addresses, of which every one must be there; by default all
            models that need no download, the bundled ones first.
        device: "cpu", "cuda" …; by default a GPU where there is one.
        most: how many are held in memory; the one that was not used for longest goes first.

    Raises:
        GanzooError: one of `models` is not to be had, or there is none.
    """

    def __init__(
        self, models: Sequence[str] = (), *, device: str | None = None, most: int = MOST_LOADED
    ) -> None:
        from ganzoo import loading

        named = [_plain(model) for model in models] or _at_hand()
        self.folders: dict[str, Path] = {
            name: loading.resolve_folder(name) for name in dict.fromkeys(named)
        }
        if not self.folders:
            raise NotFoundError("there is no model to show", "name one, or install a plugin")
        self._device, self._most = device, most
        self._loaded: OrderedDict[str, Generator] = OrderedDict()
        self._stamps: dict[str, tuple[int, int] | None] = {}
        self._first_weights: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        return list(self.folders)

    @property
    def loaded(self) -> list[str]:
        """Those in memory, the last used one last."""
        return list(self._loaded)

    def folder(self, name: str) -> Path:
        """The folder of a model that is offered.

        Raises:
            NotFoundError: it is not.
        """
        if not isinstance(name, str) or name not in self.folders:
            raise NotFoundError(
                f"the model {str(name)[:80]!r} is not offered here", nearest(str(name), self.names)
            )
        return self.folders[name]

    def generator(self, name: str) -> Generator:
        """The generator of a model that is offered, in memory from now on; loaded anew where its
        folder was written again, as training does."""
        from ganzoo import loading

        folder = self.folder(name)
        with self._lock:
            stamp = _stamp(folder)
            if name not in self._loaded or stamp not in (None, self._stamps[name]):
                generator = loading.load(name, device=loading.find_device(self._device))
                self._loaded.pop(name, None)
                while len(self._loaded) >= self._most:
                    self._loaded.popitem(last=False)
                self._loaded[name], self._stamps[name] = generator, stamp
                self._first_weights.setdefault(name, generator.record["weights_sha256"])
            self._loaded.move_to_end(name)
            return self._loaded[name]

    def other_weights(self, name: str, generator: Generator) -> str:
        """How the weights' SHA-256 begins, where they are not those that the model had first."""
        digest: str = generator.record["weights_sha256"]
        return "" if digest == self._first_weights[name] else digest[:8]


def _stamp(folder: Path) -> tuple[int, int] | None:
    """Of the state of a model folder; None where there is none (any more)."""
    try:
        found = (folder / layout.SUMS).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _plain(model: str) -> str:
    """A folder without its last "/", unless it is a folder by that alone."""
    from ganzoo import loading

    plain = model.rstrip("/")
    return plain if loading.is_path(plain) else model


def _at_hand() -> list[str]:
    """The models of the catalogue whose weights are on this machine, the bundled ones first."""
    from ganzoo import registry

    entries = [e for e in registry.list_models() if e.path is not None and not e.problem]
    entries.sort(key=lambda entry: not entry.bundled)
    once: dict[str, None] = {}
    for entry in entries:
        twice = sum(other.name == entry.name for other in entries) > 1
        once[f"{entry.plugin}:{entry.name}" if twice else entry.name] = None
    return list(once)
