"""The gate before the Hub: what a model folder must be to be published.

Each check takes a folder as it is to be sent, and says in one line each what is wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from ganzoo import checkpoint, layout, metadata

LARGEST = 5 << 30
"""Bytes of one file that the Hub takes without further arrangement."""

Check = Callable[[Path], Iterable[str]]
"""A staged model folder -> what is wrong with it, in one line each."""


def stray_files(folder: Path) -> Iterator[str]:
    """What lies in the folder and is no part of a model; it may be there by mistake."""
    for path in sorted(folder.iterdir()):
        if path.name not in layout.FILES:
            yield f"{path.name} is no file of a model folder; move it out"


def whole(folder: Path) -> Iterable[str]:
    """Hashes, a strict load, finite images."""
    return checkpoint.verify(folder)


def licensed(folder: Path) -> Iterator[str]:
    """The licences of the weights and of the data set are stated."""
    config = layout.read_config(folder)
    if config.license in ("", "unknown"):
        yield "the licence of the weights is not stated; save it with info.license, or set" + (
            " model.license in the recipe"
        )
    if config.dataset.name and config.dataset.license in ("", "unknown"):
        yield (
            f"the licence of the data set {config.dataset.name!r} is not stated;"
            " set data.license in the recipe"
        )


def card_complete(folder: Path) -> Iterator[str]:
    """The card has what readers need, and metadata that the Hub accepts."""
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    values, problems = metadata.read(text)
    yield from (f"README.md: {problem}" for problem in problems)
    for key in ("library_name", "license", "pipeline_tag", "tags"):
        if not problems and not values.get(key):
            yield f"README.md: its metadata lacks {key}"
    for heading in ("Use", "Data", "Limitations", "Intended use", "Out of scope"):
        if not re.search(rf"^## {heading}$", text, re.MULTILINE):
            yield f"README.md lacks the section {heading!r}"


def metrics_explained(folder: Path) -> Iterator[str]:
    """A metric says by which protocol it was measured: without it the number means nothing."""
    path = folder / "metrics.json"
    if path.is_file():
        values = json.loads(path.read_text(encoding="utf-8"))
        for name, metric in values.items() if isinstance(values, dict) else ():
            if not isinstance(metric, Mapping) or not metric.get("protocol"):
                yield f"metrics.json: {name} does not say its protocol"


def sized(folder: Path) -> Iterator[str]:
    """No file is larger than the Hub takes."""
    for path in sorted(folder.iterdir()):
        if path.stat().st_size > LARGEST:
            yield f"{path.name} is larger than {LARGEST >> 30} GiB"


_SECRETS = re.compile(
    r"hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9_-]{30,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)


def no_secrets(folder: Path) -> Iterator[str]:
    """No text of it holds what looks like a token or a private key."""
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".md"):
            if _SECRETS.search(path.read_text(encoding="utf-8", errors="replace")):
                yield f"{path.name} holds what looks like a token or private key"


CHECKS: list[Check] = [
    whole,
    licensed,
    card_complete,
    metrics_explained,
    sized,
    no_secrets,
]
"""All must find nothing before anything is sent. A gate that comes later is appended."""
