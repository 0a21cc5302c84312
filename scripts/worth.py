"""Evaluate and audit the bundled models: `python scripts/worth.py [NAME…]`, then `make registry`.

Their data must be here: GANZOO_DATA says where. The figures go into metrics.json, audit.json and
the cards of the model folders; pages with training images go to runs/audits.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

import ganzoo
from ganzoo import registry
from ganzoo.evaluation.auditing import add_audit
from ganzoo.evaluation.evaluating import STANDARD
from ganzoo.evaluation.report import write_report
from ganzoo.evaluation.results import add_results

REPORTS = Path("runs/audits")


@click.command()
@click.argument("names", nargs=-1)
@click.option("--audit-only", is_flag=True, help="Leave the metrics as they are.")
def main(names: tuple[str, ...], audit_only: bool) -> None:
    """Evaluate and audit the named models, or all that are bundled."""
    for entry in registry.list_models():
        if entry.path is None or not entry.bundled or (names and entry.name not in names):
            continue
        started = time.monotonic()
        if not audit_only:
            named = entry.dataset in ("mnist", "fashion-mnist")
            metrics = (*STANDARD, "inception-score") if named else STANDARD
            results = ganzoo.evaluate(entry.path, metrics=metrics)
            add_results(entry.path, results)
            click.echo(f"{entry.name}  {results[0].name} {results[0].value:.4g}")
        found = ganzoo.audit(entry.path)
        add_audit(entry.path, found)
        REPORTS.mkdir(parents=True, exist_ok=True)
        write_report(REPORTS / f"{entry.name}.html", found)
        seconds = time.monotonic() - started
        reasons = "; ".join(found.reasons)
        click.echo(f"{entry.name}  {found.verdict}: {reasons}  ({seconds:.0f} s)")


if __name__ == "__main__":
    main()
