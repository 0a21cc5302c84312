"""The command line: a table of commands, each imported when it is called, and one error formatter.

Every expected error is one line on stderr that says what to do, and exit code 1; wrong usage exits
with 2, Ctrl-C with 130. Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import keyword
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import click

from ganzoo import __version__
from ganzoo.errors import GanzooError, nearest

COMMANDS: dict[str, tuple[str, str]] = {
    "generate": ("generate", "Generate images: a grid, single files, arrays or an animation."),
    "project": ("project", "Find the latent whose image comes closest to a picture."),
    "inspect": ("inspect", "Say how files are marked as generated, and if the marks hold."),
    "reproduce": ("inspect", "Make the image of a file again, and compare the two."),
    "models": ("models", "List the pretrained models."),
    "info": ("models", "Show everything known about one model."),
    "app": ("app", "Look at models in a browser."),
    "train": ("train", "Train a model from a recipe; mix parts with --set."),
    "evaluate": ("evaluate", "Measure a model: FID, KID, precision, recall, density, coverage."),
    "audit": ("audit", "Audit a model: copied training images, classes left out, leaks."),
    "compare": ("evaluate", "Compare models by their recorded results, best first."),
    "import": ("importing", "Import another program's checkpoint as a model folder."),
    "parts": ("plugins", "List the parts that recipes are made of."),
    "plugins": ("plugins", "List the installed plugins, the broken ones with their cause."),
    "install": ("install", "Install a plugin, and check it."),
    "uninstall": ("install", "Uninstall a plugin."),
    "new-plugin": ("new_plugin", "Write a new plugin, complete and at work."),
    "check": ("check", "Check a plugin against the contract that plugins keep."),
    "verify": ("verify", "Verify a model: hashes, weights, its images, its signature."),
    "lint": ("lint", "Ask of a model folder what publishing it would ask."),
    "declare": ("lint", "Say of a model folder what only its author knows."),
    "publish": ("publish", "Publish a model folder on the Hub."),
    "export": ("export", "Write a model as ONNX, or as PyTorch's ExportedProgram."),
    "search": ("search", "Search the Hub for models of the community."),
    "download": ("mirror", "Fetch models into the cache, verified."),
    "mirror": ("mirror", "Copy models into a folder registry."),
    "registry": ("registry", "Add a model to a registry, or check a whole one."),
    "sign": ("sign", "Sign a model folder with a private key."),
    "keys": ("keys", "Make a key of your own, to sign images with."),
    "revocations": ("revocations", "Show the revoked weights; keep and sign a list of them."),
    "env": ("env", "Show versions and devices, for bug reports."),
    "completion": ("env", "Print the shell completion script."),
}
"""Command -> its module in this package (where it has the same name), and its line in the help."""


class Failure(click.ClickException):
    """An expected error, as click is to show it: one line on stderr."""

    label = "error"

    def show(self, file: Any = None) -> None:
        label = f"{self.label}:"
        if not os.environ.get("NO_COLOR"):
            label = click.style(label, fg="red", bold=True)
        click.echo(f"{label} {' '.join(self.message.split())}", file=file, err=True)


class Interrupted(Failure):
    """Ctrl-C, with the exit code that shells give it."""

    label, exit_code = "interrupted", 130


def explain(error: BaseException) -> Failure | None:
    """What to tell the user of an error that escaped a command; None for a bug."""
    if isinstance(error, GanzooError):
        return Failure(str(error))
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(str(error) or "nothing half-written is left; run it again to start anew")
    if is_out_of_memory(error):
        return Failure("out of memory: use a smaller batch, or another --device")
    if isinstance(error, OSError) and error.strerror and error.errno != errno.EPIPE:
        name = error.filename2 or error.filename  # of a copy, the second is what was written
        where = f"{name}: " if name else ""
        return Failure(
            f"{where}{error.strerror}: check the path, its permissions and the space left"
        )
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the CPU ran out of memory (torch has no one class for it)."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Within, an expected error becomes the line that click is to show."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        failure = explain(error)
        if failure is None:
            raise
        # what its variables hold ends here, a bar on a terminal too: the line stands by itself
        traceback.clear_frames(error.__traceback__)
        raise failure from error


def open_closed_streams() -> None:
    """Give a program that was started without stdin, stdout or stderr empty ones: the next file
    that is opened would get their place, and what is printed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def refuse_empty(ctx: click.Context, args: list[str]) -> None:
    """Refuse what a shell makes of a variable that is not set, which would be the default or the
    folder here, and the - of programs that read stdin."""
    for before, word in zip(["", *args], args):
        option, equals, value = word.partition("=")
        named = option if equals and option.startswith("--") else before
        what = f"The value of {named}" if named.startswith("-") else "An argument"
        if word == "--":
            break
        if not word or (word.startswith("--") and equals and not value):
            ctx.fail(f"{what} is empty: give one, or leave it out")
        if word == "-":
            ctx.fail("There is no - here: files are read and written by their names")


class LazyGroup(click.Group):
    """The group `ganzoo`: it knows its commands' names and summaries without importing them."""

    def main(self, *args: Any, **options: Any) -> Any:
        open_closed_streams()
        return super().main(*args, **options)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with explained():  # --help is printed here
            return super().make_context(*args, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name][0]}")
        word = cmd_name.replace("-", "_")
        command: click.Command = getattr(module, f"{word}_" if keyword.iskeyword(word) else word)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing:  # as a shell's completion parses
            if args[0] not in COMMANDS and not args[0].startswith("-"):
                ctx.fail(f"No such command {args[0]!r}, {nearest(args[0], COMMANDS)}")
            refuse_empty(ctx, args[1:])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        with explained():
            return super().invoke(ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ganzoo", message="%(prog)s %(version)s")
def main() -> None:
    """A zoo of GANs: generate from pretrained models, train your own, mix their parts.

    \b
    ganzoo models
    ganzoo generate dcgan.mnist -n 16 -o grid.png
    ganzoo train dcgan.mnist --data mnist --out runs/1
    """
