"""What the bundled models are worth, as a table: `make results` writes it into the README.

    python scripts/results.py --write README.md

It reads metrics.json and audit.json of the model folders (`scripts/worth.py` writes those), and
puts beside each other what was measured by one protocol, and nothing else.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from pages import rewrite

from ganzoo import layout, registry
from ganzoo.errors import GanzooError
from ganzoo.evaluation.protocol import Protocol
from ganzoo.evaluation.results import comparable, read_results
from ganzoo.markdown import table

COLUMNS = {
    "fid": "FID",
    "kid": "KID × 1000",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "inception-score": "IS",
}


def section() -> str:
    """A table for each protocol, the best FID first."""
    return "\n\n".join(f"{title}\n\n{table(head, rows)}" for title, head, rows in tables())


def tables() -> Iterator[tuple[str, list[str], list[list[str]]]]:
    found: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    verdicts: dict[str, str] = {}
    for entry in registry.list_models():
        if entry.path is None or not entry.bundled:
            continue
        verdicts[entry.name] = layout.read_json(entry.path / "audit.json")["verdict"]
        for name, result in read_results(entry.path).items():
            rest = name.partition("/")[2]
            key = (entry.dataset, rest, common(Protocol.from_dict(result["settings"])))
            found.setdefault(key, {}).setdefault(entry.name, {})[result["metric"]] = result
    for (dataset, protocol, _), models in sorted(found.items()):
        metrics = [m for m in COLUMNS if all(m in of for of in models.values())]
        best = sorted(models, key=lambda model: models[model]["fid"]["value"])
        rows = [
            [f"`{model}`", *(shown(models[model][m]) for m in metrics), verdicts[model]]
            for model in best
        ]
        title = f"`{dataset}`, by `{protocol}`:"
        yield title, ["", *(COLUMNS[m] for m in metrics), "audit"], rows


def common(protocol: Protocol) -> str:
    """What the metrics of one row and those of other models have in common."""
    return comparable(replace(protocol, metric="fid", n_real=0))


def shown(result: Mapping[str, Any]) -> str:
    value, std = result["value"], result["std"] or 0.0
    if result["metric"] == "kid":
        value, std = 1000 * value, 1000 * std
    decimals = max(0, -math.floor(math.log10(std))) if std else 3
    return f"{value:.{decimals}f} ± {std:.{decimals}f}"


@click.command()
@click.option("--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Page.")
def main(write: Path | None) -> None:
    """Show what the bundled models are worth, or write it into a page."""
    text = section()
    if write is None:
        click.echo(text)
    else:
        rewrite(write, "results", text)


if __name__ == "__main__":
    try:
        main()
    except GanzooError as error:
        sys.exit(f"error: {error}")
