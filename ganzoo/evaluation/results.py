"""Results in a model folder: metrics.json written, read back, measured again, compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganzoo import card, files, layout
from ganzoo.errors import CheckpointError, InputError, MissingDataError, nearest
from ganzoo.evaluation.protocol import METRICS, Protocol

TOLERANCE = 0.01
"""How far, as a share of it, a number may be off when it is measured again: other processors and
libraries round features otherwise. On one platform it is the same number."""

RECORD = "metrics.json"


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """What metrics.json says: protocol name -> value, deviation, settings, weights hash.

    Raises:
        CheckpointError: it is damaged, or a number in it does not say how it was measured.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        return {}
    results = {}
    for name, entry in layout.read_json(path).items():
        value = entry.get("value") if isinstance(entry, Mapping) else None
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise CheckpointError(f"{path}: {name} has no number", "evaluate the model again")
        if not isinstance(entry.get("settings"), Mapping):
            raise CheckpointError(f"{path}: {name} does not say its protocol", "evaluate again")
        results[str(name)] = dict(entry)
    return results


def add_results(folder: str | Path, results: Iterable[Any]) -> None:
    """Write results (`Result`s) into metrics.json, the card and the hashes of a model folder.

    Earlier ones of another protocol stay, if they are of the same weights.
    """
    folder = Path(folder)
    digest = files.sha256(folder / layout.WEIGHTS["generator"])
    kept = {
        name: entry
        for name, entry in read_results(folder).items()
        if entry.get("weights_sha256") == digest
    }
    for result in results:
        if result.weights_sha256 != digest:
            raise InputError(f"these results are not of the weights in {folder}", "evaluate again")
        kept[result.name] = result.to_dict()
    update(folder, {RECORD: json.dumps(kept, indent=1, ensure_ascii=False) + "\n"})


def update(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files of a model folder, and what follows from them: the card and the hashes."""
    for name, text in texts.items():
        files.write_text(folder / name, text)
    readme = folder / "README.md"
    said = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    card.write_card(folder, load=card.loaded_as(said))
    layout.write_sums(folder)


# -- measured again --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rechecked:
    """A number that was measured again, by its stored protocol."""

    name: str
    stored: float
    found: float

    @property
    def problem(self) -> str:
        """A line if it is another number now, else ""."""
        if math.isclose(self.stored, self.found, rel_tol=TOLERANCE, abs_tol=1e-4):
            return ""
        return f"{self.name} is {self.found:.6g} now, {self.stored:.6g} is stored"


def recheck(
    source: str | Path,
    *,
    data: str | None = None,
    device: str | None = None,
    progress: bool = False,
) -> list[Rechecked]:
    """Measure again what a model's metrics.json says, by the protocols in it.

    Args:
        source: what `ganzoo.load` takes.
        data: where the real images are, if they have moved; their digest must be the stored one.
        device, progress: as `evaluate` has them.

    Raises:
        CheckpointError: there are no results, or they are of other weights or another extractor.
        MissingDataError: the data are not here, or are others.
    """
    from ganzoo.evaluation.evaluating import evaluate
    from ganzoo.loading import resolve_folder

    folder = resolve_folder(source)
    stored = read_results(folder)
    if not stored:
        raise CheckpointError(f"{source} has no results to check", "evaluate it first")
    digest = files.sha256(folder / layout.WEIGHTS["generator"])
    together: dict[str, list[tuple[str, Protocol]]] = {}
    for name, entry in stored.items():
        if entry.get("weights_sha256") != digest:
            raise CheckpointError(f"{name} was measured on other weights", "evaluate again")
        protocol = Protocol.from_dict(entry["settings"])
        together.setdefault(name.partition("/")[2], []).append((name, protocol))
    checked = []
    for group in together.values():  # metrics of one protocol are measured together
        first = group[0][1]
        found = evaluate(
            source,
            data=data or _data_of(folder, first),
            metrics=[protocol.metric for _, protocol in group],
            n=first.n_fake,
            features=first.features,
            repeats=first.repeats,
            seed=first.seed,
            device=device,
            download=False,
            progress=progress,
            **first.options,
        )
        for (name, protocol), result in zip(group, found, strict=True):
            _same_protocol(name, protocol, result.protocol)
            checked.append(Rechecked(name, float(stored[name]["value"]), result.value))
    return checked


def _same_protocol(name: str, stored: Protocol, found: Protocol) -> None:
    """Refuse what was measured with another extractor or on other data of the same name."""
    ours, theirs = found.to_dict(), stored.to_dict()
    for key in ("data_digest", "features_sha256", "n_real", "resize", "precision"):
        if ours[key] != theirs[key]:
            raise MissingDataError(
                f"{name} cannot be measured again: {key} was {theirs[key]!r}, is {ours[key]!r}",
                "name the same data with --data, and use the same version of the extractor",
            )


def _data_of(folder: Path, protocol: Protocol) -> str:
    """Where the real images of a protocol are to be found."""
    if protocol.split != "train" and not protocol.split.startswith("data-"):
        return protocol.split
    if protocol.split == "train":
        return training_data(folder)
    raise MissingDataError(
        f"{protocol.name} was measured on images of someone's own", "name them with --data"
    )


def training_data(folder: Path) -> str:
    """The spec of the data that a model folder was trained on."""
    path = folder / "training.json"
    record = layout.read_json(path) if path.is_file() else {}
    said = record.get("data")
    source = said.get("source") if isinstance(said, Mapping) else None
    if not isinstance(source, str) or not source:
        source = layout.read_config(folder).dataset.name
    if not source:
        raise InputError(
            f"{folder} does not say what it was trained on", "name the data with --data"
        )
    return source


# -- compared --------------------------------------------------------------------------------------


def compare(
    sources: Sequence[str | Path], *, metric: str | None = None
) -> dict[str, list[dict[str, Any]]]:
    """The recorded results of models, side by side; nothing is measured.

    Args:
        sources: what `ganzoo.load` takes, two or more.
        metric: only this one.

    Returns:
        For each protocol that two or more of the models share, a row a model, best first: model,
        value, std. Two numbers of one name but of other data or another extractor do not share it.

    Raises:
        InputError: the models have no protocol in common; each one's are named.
    """
    from ganzoo.loading import resolve_folder

    if metric is not None and metric not in METRICS:
        raise InputError(f"no metric is called {metric!r}", nearest(metric, METRICS))
    tables: dict[tuple[str, str], list[dict[str, Any]]] = {}
    known: dict[str, list[str]] = {}
    for source in dict.fromkeys(map(str, sources)):
        for name, entry in read_results(resolve_folder(source)).items():
            protocol = Protocol.from_dict(entry["settings"])
            if metric in (None, protocol.metric):
                known.setdefault(source, []).append(name)
                row = {"model": source, "value": entry["value"], "std": entry.get("std")}
                tables.setdefault((name, comparable(protocol)), []).append(row)
    shared = {name: rows for (name, _), rows in tables.items() if len(rows) > 1}
    if not shared:
        missing = [str(source) for source in sources if str(source) not in known]
        if missing:
            raise InputError(f"{missing[0]} has no such results", f"ganzoo evaluate {missing[0]}")
        said = "; ".join(f"{source} has {names[0]}" for source, names in known.items())
        raise InputError(
            f"these models have no protocol in common, and cannot be ranked: {said}",
            "evaluate them with the same --data, --features and -n",
        )
    for name, rows in shared.items():
        lower = METRICS[name.partition("/")[0]].startswith("lower")
        rows.sort(key=lambda row: row["value"] if lower else -row["value"])
    return shared


def comparable(protocol: Protocol) -> str:
    """What two results must have in common, as text: all of the protocol but the seeds."""
    values = protocol.to_dict()
    for free in ("seed", "repeats"):
        del values[free]
    return json.dumps(values, sort_keys=True)
