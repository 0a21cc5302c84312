"""What a card says of how a model was trained, and of its data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo import energy
from ganzoo.markdown import Facts, code, prose, table


def training(training: Facts) -> str:
    """The section How it was trained: time, hardware, energy, and the recipe."""
    seconds = training.get("wall_seconds")
    versions = training.get("versions", default={})
    hardware = training.get("hardware", default={})
    rows = [
        ("Steps", training.number("steps")),
        ("Images seen", training.number("images")),
        ("Seed", training.number("seed", plain=True)),
        ("Time", _duration(seconds) if isinstance(seconds, (int, float)) else ""),
        ("Hardware", ", ".join(f"{prose(k)} {prose(v)}" for k, v in hardware.items())),
        ("Energy", _energy(training)),
        ("Versions", ", ".join(f"{prose(k)} {prose(v)}" for k, v in versions.items())),
    ]
    facts = table(("", ""), [row for row in rows if row[1]])
    recipe = training.get("recipe", default={})
    if not recipe:
        return facts
    import tomli_w

    toml = tomli_w.dumps(_without_nulls(without_paths(recipe))).strip().replace("```", "'''")
    summary = "Every setting of the run, as a recipe for <code>ganzoo train</code>"
    block = f"<summary>{summary}</summary>\n\n```toml\n{toml}\n```"
    return f"{facts}\n\n<details>{block}\n\n</details>"


def _energy(training: Facts) -> str:
    """As it is recorded; or, of a run of before it was, estimated in the same way."""
    recorded = training.get("energy", default={})
    seconds = training.get("wall_seconds")
    if not recorded and isinstance(seconds, (int, float)):
        recorded = energy.estimate(seconds, training.get("hardware", default={}))
    return prose(energy.as_text(recorded)) if recorded else ""


def data(model: Facts, training: Facts, name: str) -> str:
    """The section Data: what it is, whose it is, and under which licence."""
    license = model.text("dataset", "license")
    digest = model.text("dataset", "digest") or training.text("data", "digest")
    crop = model.get("dataset", "content_crop")
    own = "Trained on a data set of its author's." if model.text("dataset", "name") else ""
    lines = [f"Trained on {code(name)}." if name else own]
    if number := training.number("data", "n"):
        few = training.text("memorisation_warning")
        lines.append(
            f"{number} images were used{'; of so few, a model may copy some' * bool(few)}."
        )
    lines.append(_marked(training))
    if credit := model.text("dataset", "credit") or credit_of(name):
        lines.append(f"{prose(credit.rstrip('.'))}.")
    elif model.text("dataset", "name"):
        lines.append(
            "Whose work they are is not recorded: find out and credit them (`data.credit` in a"
            " recipe) before you rely on the model."
        )
    if license and license != "unknown":
        lines.append(
            f"The data are under {code(license)}; that licence covers them, not the weights."
        )
    else:
        lines.append("Their licence is not recorded: settle it before you rely on the model.")
    if crop:
        lines.append(f"The images were padded; their content is the crop {code(crop)}.")
    if digest:
        lines.append(f"Digest of the preprocessed data: {code(digest)}.")
    return " ".join(filter(None, lines))


def credit_of(name: str) -> str:
    """Whom to credit for a data set that ganzoo or an installed plugin knows."""
    from ganzoo.data import data_sources

    owners = data_sources().get(name, {}).values()
    return next((source.credit for source in owners if source.credit), "")


def _marked(training: Facts) -> str:
    """What became of images that are marked as not for training."""
    number = training.get("data", "consent", "marked")
    if not isinstance(number, int):
        return ""
    if not number:
        return "No mark against training (PLUS, C2PA) was found in their files."
    if training.text("data", "consent", "policy") == "ignore":
        return (
            f"**{number:,} of them are marked as not for training and were used all the same**"
            " (`consent=ignore`)."
        )
    return f"{number:,} more were left out, being marked as not for training."


def data_name(source: str) -> str:
    """A data set that others can find too: no local path, no split, no settings."""
    kind, _, rest = source.partition(":")
    if source.startswith(("/", ".", "~")):
        return ""
    if not rest:
        return re.split("[@?]", source)[0]
    return re.split("[@?]", rest)[0] if kind == "hf" else ""


def without_paths(value: Any) -> Any:
    """A record of a run without the paths of the machine that made it."""
    if isinstance(value, Mapping):
        return {str(k): without_paths(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_paths(v) for v in value]
    if isinstance(value, str) and re.match("(folder|zip):", value):
        return value.partition(":")[0] + ":" + Path(re.split("[?]", value)[0]).name
    return value


def _without_nulls(value: Any) -> Any:
    """A record as TOML can hold it."""
    if isinstance(value, Mapping):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value if v is not None]
    return value


def _duration(seconds: float) -> str:
    if not 0 <= seconds < 1e9:  # infinite, not a number, or not meant
        return ""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
