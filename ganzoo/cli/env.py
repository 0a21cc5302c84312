"""`ganzoo env` and `ganzoo completion`: for bug reports, and for the shell."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from ganzoo import __version__
from ganzoo.cli.output import json_option, print_rows

LIBRARIES = ("torch", "torchvision", "accelerate", "numpy", "safetensors", "pillow", "pluggy")


@click.command()
@json_option
def env(as_json: bool) -> None:
    """Show versions and devices, for bug reports."""
    from ganzoo import plugins

    facts: dict[str, Any] = {
        "ganzoo": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    facts |= {library: _version(library) for library in (*LIBRARIES, "huggingface_hub")}
    facts |= {
        f"plugin {plugin.name}": f"{plugin.distribution} {plugin.version} {plugin.error}".strip()
        for plugin in plugins.load().found
        if plugin.name != plugins.CORE
    }
    facts["revocations"] = _revocations()
    facts |= _devices()
    rows = [{"name": name, "value": value} for name, value in facts.items()]
    print_rows(rows, ["name", "value"], as_json=as_json)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _revocations() -> str:
    """The list of revoked weights that is in use, and its age."""
    from ganzoo import revocation
    from ganzoo.errors import GanzooError

    try:
        return revocation.describe()
    except GanzooError as error:
        return str(error)


def _devices() -> dict[str, str]:
    """The devices that torch can use, or why it cannot be imported."""
    try:
        import torch
    except Exception as error:  # a broken torch is just what a bug report is to say
        return {"devices": f"import torch fails: {type(error).__name__}: {error}"}
    devices = {"cpu": f"{platform.machine()}, {torch.get_num_threads()} threads"}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            memory = properties.total_memory / 2**30
            devices[f"cuda:{index}"] = (
                f"{properties.name}, {memory:.0f} GiB, CUDA {torch.version.cuda}"
            )
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    return devices


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the shell completion script.

    \b
    bash:  ganzoo completion bash >> ~/.bashrc
    zsh:   ganzoo completion zsh >> ~/.zshrc
    fish:  ganzoo completion fish > ~/.config/fish/completions/ganzoo.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None  # the three are click's own
    click.echo(script(ctx.find_root().command, {}, "ganzoo", "_GANZOO_COMPLETE").source())
