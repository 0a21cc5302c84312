"""`ganzoo models` and `ganzoo info`: the catalogue, and everything known about one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any

import click

from ganzoo.cli.output import (
    json_option,
    model_argument,
    model_names,
    note,
    note_broken_plugins,
    print_facts,
    print_json,
    print_rows,
)
from ganzoo.errors import nearest, printable

COLUMNS = ["name", "plugin", "arch", "dataset", "resolution", "license", "bundled"]
SPARE = ["plugin", "arch", "bundled", "license", "resolution"]


@click.command()
@click.argument("text", required=False, default="", shell_complete=model_names)
@click.option("--arch", help="Only models of this architecture, such as dcgan.")
@click.option("--dataset", help="Only models that were trained on this data set, such as mnist.")
@json_option
def models(text: str, arch: str | None, dataset: str | None, as_json: bool) -> None:
    """List the pretrained models.

    Those are listed whose names contain TEXT, or fit a pattern such as '*.mnist'. A bundled model
    came with its plugin; another is downloaded on its first use.
    """
    from ganzoo import registry

    entries = registry.list_models(text, arch=arch, dataset=dataset)
    if as_json:
        print_json(entry.to_json() for entry in entries)
    else:
        rows = [{c: getattr(e, c) for c in COLUMNS} for e in entries]
        print_rows(rows, COLUMNS, as_json=False, spare=SPARE)
    if not entries:
        note(f"no model: {_why_none(text, arch, dataset)}")
    if as_json:
        return
    for entry in entries:
        if entry.problem:
            note(f"warning: model {printable(entry.name)} is damaged: {printable(entry.problem)}")
    note_broken_plugins()


def _why_none(text: str, arch: str | None, dataset: str | None) -> str:
    """What there is instead of models that were not found."""
    from ganzoo import registry

    known = registry.list_models()
    for what, asked in (("arch", arch), ("dataset", dataset)):
        there = {getattr(entry, what) for entry in known} - {""}
        if asked is not None and asked not in there and there:
            return f"none has the {what} {printable(asked)!r}: {nearest(asked, there)}"
    if text and not registry.list_models(text):
        return nearest(text, [entry.name for entry in known])
    return "install a plugin (`ganzoo plugins`), or ask for less"


@click.command()
@model_argument
@json_option
def info(model: str, as_json: bool) -> None:
    """Show everything known about one model.

    MODEL is a name (see `ganzoo models`), a folder (runs/1) or hf://owner/name. A model of the
    catalogue that is not here yet is shown without downloading it. Results, audits and training are
    told in short; --json has everything.
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
    facts = {**entry.to_dict(), **records}
    print_facts(facts if as_json else _in_short(facts), as_json=as_json)


def _in_short(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a model that fit on a screen: of each result its value, of an audit what it
    found, of training how long and on what. The records are anyone's, and may be of another form.
    """
    short = dict(facts)
    for name, kept in _KEPT.items():
        if isinstance(record := facts.get(name), Mapping):
            short[name] = {key: record[key] for key in kept if key in record}
    if isinstance(metrics := facts.get("metrics"), Mapping):
        short["metrics"] = {name: _value(result) for name, result in metrics.items()}
    sizes = [file.get("size", 0) for file in facts["files"].values()]
    short["files"] = f"{len(sizes)}, {sum(sizes) / 2**20:.1f} MiB" if sizes else ""
    return {key: value for key, value in short.items() if value not in (None, "", [], {}, ())}


_KEPT = {
    "config": ("requires", "generator", "classes"),
    "audit": ("verdict", "reasons"),
    "training": ("images", "steps", "wall_seconds", "hardware", "imported"),
}


def _value(result: Any) -> Any:
    """The value of a result in metrics.json, and its deviation where there is one."""
    from ganzoo.cli.evaluate import number

    told = result if isinstance(result, Mapping) else {}
    value, std = told.get("value"), told.get("std")
    if not isinstance(value, float) or not isinstance(std, (float, NoneType)):
        return result
    return number(value, std)


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
