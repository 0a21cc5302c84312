"""Put trained models into the plugins that bring their networks: `python scripts/bundle.py RUN…`

A run's `model/` becomes `models/NAME` in its plugin: without the discriminator, with a card that
says how to load it by name, and with hashes of its own. `make weights` calls this after the
training, and `make registry` then tells the catalogue.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from ganzoo import card, checkpoint, layout, loading
from ganzoo.errors import GanzooError

PLUGINS = Path(__file__).resolve().parent.parent / "plugins"
LARGEST = 6_000_000


def bundle(source: Path) -> Path:
    """Save the model of a run or model folder into its plugin; returns where it is now.

    Raises:
        GanzooError: the source is no whole model, has no name, is of a plugin that is not in
            plugins/, or is larger than a wheel should carry.
    """
    folder = loading.resolve_folder(source)
    if problems := checkpoint.verify(folder):
        raise GanzooError(problems[0], "bundle whole models only")
    generator = loading.load(folder)
    name = layout.read_config(folder).name
    module = generator.part.factory.partition(".")[0] if generator.part else ""
    packages = list(PLUGINS.glob(f"*/{module}/__init__.py"))
    if not name or len(packages) != 1:
        raise GanzooError(
            f"{folder} is called {name!r} and its networks are in {module!r}: no place for it",
            f"bundle a model with a name, of a plugin in {PLUGINS}",
        )
    weights = (folder / layout.WEIGHTS["generator"]).stat().st_size
    if weights > LARGEST:
        raise GanzooError(
            f"the weights of {folder} have {weights:,} bytes, more than {LARGEST:,}",
            "train a smaller network, or --set model.storage_dtype=float16",
        )
    target = packages[0].parent / "models" / name
    checkpoint.save(
        target,
        generator,
        training=_record(folder / "training.json"),
        metrics=_record(folder / "metrics.json"),
    )
    card.write_card(target, load=name)
    return target


def _record(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def main(sources: list[str]) -> None:
    if not sources:
        raise GanzooError("no run is named", "scripts/bundle.py runs/dcgan.mnist …")
    for source in sources:
        target = bundle(Path(source))
        size = sum(file.stat().st_size for file in target.iterdir())
        click.echo(f"{target}  {size:,} bytes")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except GanzooError as error:
        sys.exit(f"error: {error}")
