"""`ganzoo plugins` and `ganzoo parts`: what is installed, and what it brings."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import click

from ganzoo.cli.output import json_option, note_broken_plugins, print_rows
from ganzoo.parts import KINDS


@click.command()
@click.option("--hook", metavar="HOOK", help="Only plugins that implement this hook.")
@click.option("--freeze", is_flag=True, help="Print requirements: ganzoo-dcgan==0.1.0.")
@json_option
def plugins(hook: str | None, freeze: bool, as_json: bool) -> None:
    """List the installed plugins, the broken ones with their cause.

    Plugins that ganzoo's catalogue does not list are marked as unreviewed. GANZOO_PLUGINS=dcgan,gan
    loads only these; GANZOO_STRICT=1 stops at the first broken one.

    \b
    ganzoo plugins --hook losses
    ganzoo plugins --freeze > plugins.txt    # pip install -r plugins.txt
    """
    from ganzoo import plugins, registry

    hook = hook and plugins.full_hook_name(hook)
    loaded = plugins.load()
    # a hook that raises shows only once it is asked
    owned, entries = loaded.parts.all(), registry.list_models()
    reviewed = registry.curated_distributions() | {"ganzoo"}
    rows: list[dict[str, Any]] = [
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "state": plugin.state,
            "reviewed": plugin.distribution in reviewed,
            "parts": sum(part.plugin == plugin.name for part in owned),
            "importers": [
                part.part.name
                for part in owned
                if part.plugin == plugin.name and part.part.kind == "importer"
            ],
            "models": sum(entry.plugin == plugin.distribution for entry in entries),
            "hooks": loaded.hooks_of(plugin),
            "error": plugin.error,
        }
        for plugin in loaded.found
    ]
    rows = [row for row in rows if hook is None or hook in row["hooks"]]
    if freeze:
        known = [row for row in rows if row["version"] not in ("", "?")]
        frozen = sorted({(row["distribution"], row["version"]) for row in known})
        rows = [{"requirement": f"{name}=={version}"} for name, version in frozen]
        print_rows(rows, ["requirement"], as_json=as_json)
        return
    columns = ["name", "distribution", "version", "state", "reviewed", "parts", "importers"]
    columns += ["models", "error"]
    if not as_json:
        for row in rows:
            row["reviewed"] = "reviewed" if row["reviewed"] else "unreviewed"
    print_rows(rows, columns, as_json=as_json, spare=["importers", "models", "parts"])


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
    columns = ["kind", "name", "plugin", "provides", "requires", "summary", "paper"]
    if sys.stdout.isatty() and not as_json:
        print_by_kind(rows, columns)
    else:
        print_rows(rows, columns, as_json=as_json)
    if not as_json:
        note_broken_plugins()


def print_by_kind(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """For people: a table of each kind, under its name."""
    for kind, group in itertools.groupby(rows, key=lambda row: row["kind"]):
        click.echo(kind)
        shown = [name for name in columns if name != "kind"]
        print_rows(list(group), shown, as_json=False, spare=["paper", "plugin"])
