"""`ganzoo app`: models looked at in a browser."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ganzoo.cli.asked import refuse_beside
from ganzoo.cli.output import model_names, note


@click.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1, shell_complete=model_names)
@click.option("--watch", metavar="RUN", help="Show a run as it trains: its grids and curves.")
@click.option("--save", metavar="FOLDER", help="Let visitors save pictures there.")
@click.option("--space", metavar="FOLDER", help="Write a Space of the Hub instead.")
@click.option("--host", help="The address to listen on (127.0.0.1: this machine alone).")
@click.option("--port", type=click.IntRange(1, 65535), help="The port (the first free, from 7860).")
@click.option("--device", help="cpu, cuda, cuda:1, mps, …; by default a GPU where there is one.")
@click.option("--open", "opens", is_flag=True, help="Open a browser.")
@click.option("--until-eof", is_flag=True, hidden=True, help="End with the end of stdin.")
def app(
    models: tuple[str, ...],
    watch: str | None,
    save: str | None,
    space: str | None,
    host: str | None,
    port: int | None,
    device: str | None,
    opens: bool,
    until_eof: bool,
) -> None:
    """Look at models in a browser.

    MODELs are names (see `ganzoo models`), folders or hf://owner/name: those that visitors can
    choose among. Without any, it is all that are on this machine. Needs ganzoo[app].

    \b
    ganzoo app --open
    ganzoo app stylegan2.emoji runs/1 --save pictures/
    ganzoo app --watch runs/1                            beside `ganzoo train`
    ganzoo app stylegan2.emoji --space my-space/
    """
    if space is not None:
        others = {
            "--watch": watch, "--save": save, "--host": host, "--port": port, "--device": device,
            "--open": opens,
        }  # fmt: skip
        refuse_beside("--space", others)
        from ganzoo.app import space as spaces

        written = spaces.write(models, Path(space))
        click.echo(str(written))
        note(f"try: hf upload YOU/NAME {shlex.quote(space)} . --repo-type space")
        return
    from ganzoo.app import running

    running.run(
        models,
        watch=None if watch is None else Path(watch),
        save=None if save is None else Path(save),
        host=host or "127.0.0.1",
        port=port,
        device=device,
        opens=opens,
        until_eof=until_eof,
    )
