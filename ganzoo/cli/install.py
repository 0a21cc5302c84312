"""`ganzoo install` and `ganzoo uninstall`: pip, with a look at what it brings."""

from __future__ import annotations

import shlex

import click

from ganzoo.cli.output import note


@click.command()
@click.argument("package", metavar="PKG")
@click.option("-U", "--upgrade", is_flag=True, help="Take the newest version that fits.")
@click.option("-e", "--editable", is_flag=True, help="Of a folder: follow its changes.")
def install(package: str, upgrade: bool, editable: bool) -> None:
    """Install a plugin, and check it.

    PKG is a requirement (ganzoo-dcgan, 'ganzoo-dcgan>=0.1'), or the path of a plugin's folder or
    wheel. The command is shown and run: pip of this Python, or uv. A plugin is code: install what
    you trust.

    \b
    ganzoo install ganzoo-dcgan
    ganzoo install -e ./ganzoo-mine
    """
    from ganzoo import installing, registry

    wanted = installing.parse(package)
    command = installing.install_command(wanted, upgrade=upgrade, editable=editable)
    if not wanted.is_path and wanted.distribution not in registry.curated_distributions():
        note(f"note: ganzoo has not reviewed {wanted.distribution!r}")
    note(shlex.join(command))
    installing.run(command)
    installing.check(wanted.distribution)


@click.command()
@click.argument("package", metavar="PKG")
def uninstall(package: str) -> None:
    """Uninstall a plugin.

    PKG is its distribution (ganzoo-dcgan). The command is shown and run. Nothing but plugins is
    uninstalled, and none that another one needs.
    """
    from ganzoo import installing

    command = installing.uninstall_command(package)
    note(shlex.join(command))
    installing.run(command)
