"""`ganzoo models` and `ganzoo info`: the catalogue, and everything known about one model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.output import (
    json_option,
    model_argument,
    note,
    note_broken_plugins,
    print_facts,
    print_json,
    print_rows,
)
from ganzoo.errors import printable

COLUMNS = ["name", "plugin", "arch", "dataset", "resolution", "license", "bundled"]


@click.command()
@click.option("--arch", help="Only models of this architecture, such as dcgan.")
@click.option("--dataset", help="Only models that were trained on this data set, such as mnist.")
@json_option
def models(arch: str | None, dataset: str | None, as_json: bool) -> None:
    """List the pretrained models.

    A bundled model came with its plugin; another is downloaded on its first use.
    """
    from ganzoo import registry

    entries = [
        entry
        for entry in registry.list_models()
        if arch in (None, entry.arch) and dataset in (None, entry.dataset)
    ]
    if as_json:
        print_json(entry.to_json() for entry in entries)
        return
    print_rows([{c: getattr(e, c) for c in COLUMNS} for e in entries], COLUMNS, as_json=False)
    if not entries:
        note("no model: install a plugin (`ganzoo plugins`), or ask for less")
    for entry in entries:
        if entry.problem:
            note(f"warning: model {printable(entry.name)} is damaged: {printable(entry.problem)}")
    note_broken_plugins()


@click.command()
@model_argument
@json_option
def info(model: str, as_json: bool) -> None:
    """Show everything known about one model.

    MODEL is a name (see `ganzoo models`), a folder (runs/1) or hf://owner/name. A model of the
    catalogue that is not here yet is shown without downloading it.
    """
    from ganzoo import hub, loading, registry

    if loading.is_path(model):  # hf:// as well
        located = loading.locate(model)
        records = _read_folder(located.folder)
        entry = replace(registry.ModelEntry.from_folder(located.folder), path=None)
        if located.address:
            ref = hub.parse_uri(located.address)
            entry = replace(
                entry, repo=ref.repo_id, revision=ref.revision or "", subfolder=ref.folder
            )
    else:
        entry = registry.find(model)
        records = {} if entry.path is None else _read_folder(entry.path)
    print_facts({**entry.to_dict(), **records}, as_json=as_json)


def _read_folder(folder: Path) -> dict[str, Any]:
    """What a model folder says beyond its entry, under the name of each JSON file in it."""
    from ganzoo import layout
    from ganzoo.configs import config_to_dict

    config = config_to_dict(layout.read_config(folder))
    facts: dict[str, Any] = {"folder": str(folder), "config": config}
    for record in ("training", "metrics", "audit"):
        path = folder / f"{record}.json"
        if path.is_file():
            layout.check_file(folder, path.name)
            facts[record] = layout.read_json(path)
    return facts
