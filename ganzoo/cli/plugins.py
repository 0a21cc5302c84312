"""`ganzoo plugins` and `ganzoo parts`: what is installed, and what it brings."""

from __future__ import annotations

import click

from ganzoo.cli.output import json_option, note_broken_plugins, print_rows
from ganzoo.parts import KINDS


@click.command()
@json_option
def plugins(as_json: bool) -> None:
    """List the installed plugins, the broken ones with their cause.

    GANZOO_PLUGINS=dcgan,gan loads only these; GANZOO_STRICT=1 stops at the first broken one.
    """
    from ganzoo import plugins, registry

    loaded = plugins.load()
    # a hook that raises shows only once it is asked
    owned, entries = loaded.parts.all(), registry.list_models()
    rows = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "state": plugin.state,
            "parts": sum(part.plugin == plugin.name for part in owned),
            "importers": [
                part.part.name
                for part in owned
                if part.plugin == plugin.name and part.part.kind == "importer"
            ],
            "models": sum(entry.plugin == plugin.distribution for entry in entries),
            "error": plugin.error,
        }
        for plugin in loaded.found
    ]
    columns = ["name", "distribution", "version", "state", "parts", "importers", "models", "error"]
    print_rows(rows, columns, as_json=as_json)


@click.command()
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only parts of this kind.")
@json_option
def parts(kind: str | None, as_json: bool) -> None:
    """List the parts that recipes are made of.

    Any generator goes with any discriminator and loss that provides what it requires:
    `ganzoo train RECIPE --set loss=hinge`.
    """
    from ganzoo import plugins

    rows = [
        {
            "kind": owned.part.kind,
            "name": owned.part.name,
            "plugin": owned.distribution,
            "version": owned.part.version,
            "provides": sorted(owned.part.provides),
            "requires": {role: sorted(need) for role, need in owned.part.requires.items()},
            "summary": owned.part.summary,
            "paper": owned.part.paper,
        }
        for owned in plugins.load().parts.all(kind)
        if kind or owned.part.kind != "importer"  # no recipe is made of these
    ]
    print_rows(rows, ["kind", "name", "plugin", "provides", "requires", "summary"], as_json=as_json)
    if not as_json:
        note_broken_plugins()
