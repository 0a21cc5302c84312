"""`ganzoo check`: the conformance kit without pytest."""

from __future__ import annotations

import dataclasses
import warnings

import click

from ganzoo.cli.output import json_option, note, print_json


@click.command()
@click.argument("source", metavar="DIST_OR_DIR")
@json_option
@click.pass_context
def check(ctx: click.Context, source: str, as_json: bool) -> None:
    """Check a plugin against the contract that plugins keep.

    DIST_OR_DIR is an installed distribution (ganzoo-dcgan) or the folder of a plugin that need not
    be installed (./ganzoo-mine). Prints a line for each broken rule and exits with 1 if there is
    any.
    """
    from ganzoo.hookspecs import HookDeprecation
    from ganzoo.testing import checks

    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("default", HookDeprecation)
        for result in checks.run(source):
            results.append(result)
            if result.state == "failed" and not as_json:
                click.echo(str(result))
    if as_json:
        print_json([dataclasses.asdict(result) for result in results])
    count = {
        state: sum(result.state == state for result in results)
        for state in ("passed", "failed", "skipped")
    }
    note(", ".join(f"{number} {state}" for state, number in count.items() if number))
    ctx.exit(1 if count["failed"] else 0)
