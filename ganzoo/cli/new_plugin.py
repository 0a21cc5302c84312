"""`ganzoo new-plugin`: the start of a family of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ganzoo.cli.output import note
from ganzoo.scaffold import LICENSES


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), help="The folder to write; else ./ganzoo-NAME."
)
@click.option(
    "--license",
    type=click.Choice(list(LICENSES)),
    default="apache-2.0",
    show_default=True,
    help="Of the code, and of the weights that its recipe trains.",
)
@click.option("--author", default="", metavar="TEXT", help='"Name" or "Name <address>".')
@click.option("--allow-similar", is_flag=True, help="Let the name be nearly another plugin's.")
def new_plugin(name: str, out: Path | None, license: str, author: str, allow_similar: bool) -> None:
    """Write a new plugin, complete and at work.

    NAME is what its parts and its recipe are called. The distribution, ganzoo-NAME, has a small GAN
    that trains as it stands, with tests: change its networks and its loss. Prints the folder.

    \b
    ganzoo new-plugin biggan
    ganzoo new-plugin biggan --license mit --author "Ada <ada@example.org>"
    """
    from ganzoo import scaffold

    folder = scaffold.write_plugin(
        name, out, license=license, author=author, allow_similar=allow_similar
    )
    click.echo(str(folder))
    into = f"cd {shlex.quote(str(folder))} && pip install -e '.[test]'"
    note(f"try: {into} && pytest && ganzoo train {name}.shapes --out runs/1")
