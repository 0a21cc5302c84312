"""A model folder as it is to be published, made ready in a temporary place."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ganzoo import card, card_training, files, layout
from ganzoo.errors import CheckpointError


@contextlib.contextmanager
def staged(folder: Path, *, load: str, with_discriminator: bool = False) -> Iterator[Path]:
    """The folder as it is to be sent, in a temporary place. A signed one is sent as it is."""
    config = layout.read_config(folder)
    signed = (folder / layout.SIGNATURE).is_file()
    leave_out = set() if with_discriminator else {layout.WEIGHTS["discriminator"]}
    if signed and leave_out & {path.name for path in folder.iterdir()}:
        raise CheckpointError(
            f"{folder} is signed together with its discriminator",
            "publish it --with-discriminator, or sign a copy without it",
        )
    with tempfile.TemporaryDirectory(prefix="ganzoo-publish-") as temporary:
        ready = Path(temporary)
        for name in layout.FILES:
            path = (folder / name).absolute()
            if name in leave_out or not path.is_file():
                continue
            if name in layout.WEIGHTS.values():
                _link(ready / name, path)  # they are large, and sent as they are
            else:
                shutil.copyfile(path, ready / name)
        if not signed:
            for name in layout.read_sums(folder):  # before they are written anew
                if name != "README.md":  # in which its author may have written
                    layout.check_file(folder, name)
            if not with_discriminator and config.discriminator is not None:
                _rewrite(ready / layout.CONFIG, lambda values: {**values, "discriminator": None})
            if config.overrides:  # of a former publication: they are decided anew
                _rewrite(ready / layout.CONFIG, lambda values: {**values, "overrides": {}})
            _rewrite(ready / "training.json", card_training.without_paths)
            card.write_card(ready, load=load)
            layout.write_sums(ready)
        yield ready


def _rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    if path.is_file():
        former = json.loads(path.read_text(encoding="utf-8"))
        if (values := change(former)) != former:
            files.write_text(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def _link(link: Path, target: Path) -> None:
    try:
        link.symlink_to(target)
    except OSError:  # not every system, or user, may
        shutil.copyfile(target, link)
