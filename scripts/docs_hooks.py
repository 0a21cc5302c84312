"""What the documentation's site takes from the code and the models: hooks of MkDocs (mkdocs.yml).

The gallery and the reference of the command line exist only in the built site, made from registry,
metrics, audits, and from the commands themselves;
`<!-- measured: dcgan.* -->` in a page becomes a table of what these models measure; `$…$` becomes
MathML, which browsers show by themselves.
"""

from __future__ import annotations

import fnmatch
import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

from results import COLUMNS, shown

from ganzoo import layout, registry
from ganzoo.cli import main
from ganzoo.evaluation.results import read_results
from ganzoo.markdown import code, prose, table

MEASURED = re.compile(r"<!-- measured: (\S+) -->")
MATH = re.compile(r'<(span|div) class="arithmatex">(?:\\\((.*?)\\\)|\\\[(.*?)\\\])</\1>', re.DOTALL)


CHINESE_LINES = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])")
"""Ends of lines that would be shown as a space, of which Chinese has none."""


def on_files(files: Files, config: Any) -> Files:
    """The gallery, and the pictures of the models in it."""
    for entry in models("*"):
        picture = str(entry.path / "samples.png")
        files.append(File.generated(config, f"gallery/{entry.name}.png", abs_src_path=picture))
    files.append(File.generated(config, "gallery.md", content=gallery()))
    files.append(File.generated(config, "reference/cli.md", content=commands()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    return MEASURED.sub(lambda match: measured(match[1]), markdown)


def on_page_content(content: str, **_: Any) -> str:
    return CHINESE_LINES.sub("", MATH.sub(_mathml, content))


def _mathml(match: re.Match[str]) -> str:
    inline, block = match[2], match[3]
    formula = html.unescape(inline if block is None else block)
    if block is None:
        return convert(formula)
    return f'<div class="formula">{convert(formula, display="block")}</div>'


def commands() -> str:
    """The help of every command, as the command line prints it."""
    parts = [
        "# Command line\n\nThe help of every command. Data goes to stdout and everything else to"
        " stderr; the exit code is 0, 1 for an error that one line explains, 2 for wrong usage."
    ]
    for words, context in contexts(click.Context(main, info_name="ganzoo", terminal_width=76)):
        depth = "#" * min(len(words) + 1, 4)
        parts.append(f"{depth} {' '.join(words)}\n\n```text\n{context.get_help()}\n```")
    return "\n\n".join(parts) + "\n"


def contexts(context: click.Context) -> Iterator[tuple[list[str], click.Context]]:
    """A command and all below it, each with the words that call it."""
    yield context.command_path.split(), context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from contexts(
                click.Context(command, info_name=name, parent=context, terminal_width=76)
            )


# -- what the models say ---------------------------------------------------------------------------


def models(pattern: str) -> list[Any]:
    """The bundled models whose name matches, in the order of their names."""
    found = [
        entry
        for entry in registry.list_models()
        if entry.bundled and entry.path is not None and fnmatch.fnmatch(entry.name, pattern)
    ]
    if not found:
        raise ValueError(f"no bundled model matches {pattern!r}")
    return found


def measured(pattern: str) -> str:
    """A table of the models' metrics, a table for each protocol."""
    tables: dict[str, dict[str, dict[str, str]]] = {}
    for entry in models(pattern):
        for name, result in read_results(entry.path).items():
            of = tables.setdefault(name.partition("/")[2], {}).setdefault(entry.name, {})
            of[result["metric"]] = shown(result)
    parts = []
    for protocol, of in sorted(tables.items()):
        metrics = [m for m in COLUMNS if any(m in values for values in of.values())]
        rows = [[code(name), *(values.get(m, "") for m in metrics)] for name, values in of.items()]
        parts.append(f"By `{protocol}`:\n\n{table(['', *(COLUMNS[m] for m in metrics)], rows)}")
    return "\n\n".join(parts)


def gallery() -> str:
    """Every bundled model: its picture, what it is worth, what its audit found, how to load it."""
    parts = [
        "# Gallery\n\nEvery bundled model, by seeds that were not selected. The numbers are of"
        " different protocols where the data are different: compare within a data set only, or let"
        " `ganzoo compare` do it.",
    ]
    for entry in models("*"):
        audit = layout.read_json(entry.path / "audit.json")
        found = "; ".join(prose(reason) for reason in audit["reasons"])
        parts.append(
            f"## {entry.name}\n\n"
            f"![Images by {entry.name}](gallery/{entry.name}.png){{ loading=lazy }}\n\n"
            f"{measured(entry.name)}\n\n"
            f"Audit: **{audit['verdict']}** ({found}).\n\n"
            f"Weights: {code(entry.license)}; data: {code(entry.dataset)},"
            f" {code(entry.dataset_license)}.\n\n"
            f'```python\nG = ganzoo.load("{entry.name}")\n```'
        )
    return "\n\n".join(parts) + "\n"
