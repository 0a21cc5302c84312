"""What the page says of a model: its licence, scores and audit at a glance, and its card."""

from __future__ import annotations

import re
from pathlib import Path

from ganzoo import card, layout
from ganzoo.catalogue import ModelEntry
from ganzoo.markdown import Facts, code, prose, table

_LEFT_OUT = ("Use", "Intended use")


def glance(folder: Path) -> str:
    """A few lines of Markdown."""
    entry = ModelEntry.from_folder(folder)
    config = layout.read_config(folder)
    audit = Facts(card.findings(folder)[1])
    verdict = prose(audit.text("verdict") or "unaudited")
    reasons = "; ".join(prose(why) for why in audit.get("reasons", default=[])[:3])
    data = f"{code(config.dataset.name)} ({prose(config.dataset.license)})"
    credit = f", {prose(config.dataset.credit)}" if config.dataset.credit else ""
    rows = [
        ("Images", f"{entry.resolution} × {entry.resolution}, {code(entry.arch)}"),
        ("Licence", prose(config.license_name or entry.license)),
        ("Trained on", f"{data}{credit}" if config.dataset.name else "not said"),
        ("Audit", f"**{verdict}**{f': {reasons}' if reasons else ''}"),
    ]
    if entry.overrides:
        rows.append(("Overrides", ", ".join(map(code, entry.overrides))))
    return "\n\n".join(filter(None, [table(("", ""), rows), scores(folder)]))


def scores(folder: Path) -> str:
    """The recorded metrics, a table for each protocol."""
    tables: dict[str, list[tuple[str, str]]] = {}
    for name, metric in card.findings(folder)[0].items():
        facts = Facts(metric if isinstance(metric, dict) else {})
        value, deviation = facts.get("value", default=0.0), facts.get("std", default=0.0)
        metric_name, _, protocol = name.partition("/")
        spread = f" ± {deviation:.2g}" if deviation else ""
        row = (prose(metric_name), f"{value:.4g}{spread}")
        tables.setdefault(protocol, []).append(row)
    if not tables:
        return "*Not evaluated.*"
    return "\n\n".join(
        f"{table(('Score', ''), rows)}\n\n<small>by {code(protocol)}</small>"
        for protocol, rows in tables.items()
    )


def whole_card(folder: Path) -> str:
    """The model's card, made from what its folder records: without pictures and its metadata."""
    made = card.make_card(folder)
    parts = [f"### {made.title}", made.intro]
    for heading, body in made.sections.items():
        if heading not in _LEFT_OUT:
            parts += [f"#### {heading}", body]
    text = "\n\n".join(parts)
    # with what is said of the picture: the page has pictures of its own
    return re.sub(r"!\[[^\]]*\]\([^)]*\)\n*(Seeds [^\n]*not selected\.\n*)?", "", text)
