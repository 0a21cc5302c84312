"""How commands answer: rows of data on stdout, as a table, as columns for a pipe, or as JSON."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ganzoo.errors import printable

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, Any]
_MOST_IN_A_TABLE = 500
_NARROWEST = 20
"""Characters of a line that a table needs; a terminal that does not know its size may say 0."""
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of objects.")


def print_rows(
    rows: Sequence[Row], columns: Sequence[str], *, as_json: bool, spare: Sequence[str] = ()
) -> None:
    """Print rows: everything in them as JSON, or the named columns for people and pipes.

    A terminal gets a table; a pipe gets tab-separated lines without a header, never cut or folded.
    So does a terminal where the table would take seconds to set, or has no room at all. Where it
    is too narrow, it does without the `spare` columns, the first of them first.
    """
    from ganzoo import console

    if as_json:
        print_json(rows)
    elif (
        sys.stdout.isatty()
        and len(rows) <= _MOST_IN_A_TABLE
        and (terminal := console.stdout()).width >= _NARROWEST
    ):
        table = _table(rows, columns)
        for gone in range(1, len(spare) + 1):
            wide = terminal.options.update_width(10_000)
            if terminal.measure(table, options=wide).maximum <= terminal.width:
                break
            table = _table(rows, [column for column in columns if column not in spare[:gone]])
        terminal.print(table, markup=False)
    else:
        lines = ("\t".join(as_text(row[column]) for column in columns) for row in rows)
        while text := "\n".join(itertools.islice(lines, 1000)):
            click.echo(text)


def _table(rows: Sequence[Row], columns: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:  # nothing is cut: it may be what is to be typed next
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(as_text(row[column]) for column in columns))
    return table


def print_facts(facts: Row, *, as_json: bool) -> None:
    """Print one object: as a JSON list of it, or a line a fact, with dotted names inside."""
    if as_json:
        print_json([facts])
    else:
        rows = [{"name": name, "value": value} for name, value in _flat(facts)]
        print_rows(rows, ["name", "value"], as_json=False)


def _flat(facts: Row, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and any(isinstance(item, (list, Mapping)) for item in value):
            yield prefix + name, f"{len(value):,} entries, which --json shows"
        else:
            yield prefix + name, value


def print_json(rows: Iterable[Row | str]) -> None:
    """Print a JSON list, an object a line, some at a time, so that a long one needs no memory.

    A row that is a string is JSON already. Nothing in it steers a terminal.
    """
    encode = json.JSONEncoder(default=str, ensure_ascii=False).encode  # in C, which cannot indent
    objects = (_inert(row if isinstance(row, str) else encode(row)) for row in rows)
    opening = "["
    while text := ",\n".join(itertools.islice(objects, 1000)):
        click.echo(f"{opening}\n{text}", nl=False)
        opening = ","
    click.echo("[]" if opening == "[" else "\n]")


def _inert(text: str) -> str:
    """JSON with characters that are not printed as escapes, which mean the same."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def as_text(value: Any) -> str:
    """A value of a row as one line of text."""
    if type(value) is str:  # most are
        return printable(" ".join(value.split())) or "-"
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(item)}" for key, item in value.items()) or "-"
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, frozenset) else value
        return ", ".join(map(as_text, items)) or "-"
    return printable(" ".join(str(value).split()))


def is_main_process() -> bool:
    """Whether to answer: of several processes, one does."""
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


def note(message: str) -> None:
    """Tell the user something that is no data: on stderr."""
    click.echo(message, err=True)


def note_broken_plugins() -> None:
    """One line on stderr for each broken plugin, so that a missing entry is no riddle."""
    from ganzoo import plugins

    for plugin in plugins.load().found:
        if plugin.error:
            note(f"warning: plugin {plugin.name} ({plugin.distribution}) is broken: {plugin.error}")


def model_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of model names."""
    from ganzoo import registry

    return [entry.name for entry in registry.list_models() if entry.name.startswith(incomplete)]


def model_argument(command: Callable[..., None]) -> Callable[..., None]:
    """The argument MODEL of a command: a name, a folder, or hf://."""
    return click.argument("model", metavar="MODEL", shell_complete=model_names)(command)
