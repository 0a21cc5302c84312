"""Results in a model folder: metrics.json written, read back, measured again, compared."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganzoo import card, files, layout
from ganzoo.errors import CheckpointError, InputError, MissingDataError, nearest
from ganzoo.evaluation.protocol import METRICS, Protocol
from ganzoo.markdown import is_number

RECORD = "metrics.json"


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """What metrics.json says: protocol name -> value, deviation, settings, weights hash.

    Raises:
        CheckpointError: it is damaged, or a number in it does not say how it was measured.
    """
    path = Path(folder) / RECORD
    results = {}
    for name, entry in (layout.read_json(path) if path.is_file() else {}).items():
        try:
            results[name] = _checked(name, entry)
        except CheckpointError as error:
            problem = f"{path}: {name[:80]}: {error.problem}"
            raise CheckpointError(problem, "remove the file, and evaluate again") from error
    return results


def _checked(name: str, entry: Any) -> dict[str, Any]:
    """An entry that is whole, under the name of its own protocol."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("settings"), Mapping):
        raise CheckpointError("it does not say its protocol")
    if not is_number(entry.get("value")):
        raise CheckpointError("it has no number")
    if entry.get("std") is not None and not is_number(entry["std"]):
        raise CheckpointError("its deviation is no number")
    if Protocol.from_dict(entry["settings"]).name != name:
        raise CheckpointError("it is listed under another name than its protocol's")
    return dict(entry)


def _folder_of(source: str | Path) -> Path:
    """The model folder of a source, which is one: else what is wrong with it is said."""
    from ganzoo.loading import resolve_folder

    folder = resolve_folder(source)
    layout.read_config(folder)
    return folder


def results_of_weights(folder: Path) -> dict[str, dict[str, Any]]:
    """`read_results`, without those that were measured on other weights than the folder's."""
    found = read_results(folder)
    digest = files.sha256(folder / layout.WEIGHTS["generator"]) if found else ""
    return {name: entry for name, entry in found.items() if entry.get("weights_sha256") == digest}


def add_results(folder: str | Path, results: Iterable[Any]) -> None:
    """Write results (`Result`s) into metrics.json, the card and the hashes of a model folder.

    Earlier ones of another protocol stay, if they are whole and of the same weights.
    """
    folder = Path(folder)
    digest = files.sha256(folder / layout.WEIGHTS["generator"])
    kept = {}
    with contextlib.suppress(CheckpointError):  # what is damaged makes place
        for name, entry in layout.read_json(folder / RECORD).items():
            with contextlib.suppress(CheckpointError):
                if _checked(name, entry).get("weights_sha256") == digest:
                    kept[name] = entry
    for result in results:
        if result.weights_sha256 != digest:
            raise InputError(f"these results are not of the weights in {folder}", "evaluate again")
        kept[result.name] = result.to_dict()
    update(folder, {RECORD: json.dumps(kept, indent=1, ensure_ascii=False) + "\n"})


def update(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files of a model folder, and what follows from them: the card and the hashes.

    All is made beside the folder first, so that whatever is wrong with it changes nothing.
    """
    readme = folder / "README.md"
    said = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    with tempfile.TemporaryDirectory(prefix="ganzoo-update-") as temporary:
        ready = Path(temporary)
        for path in folder.iterdir():
            if path.is_file() and path.name not in texts and path.name in layout.FILES:
                (ready / path.name).symlink_to(path.absolute())
        for name, text in texts.items():
            files.write_text(ready / name, text)
        if readme.is_file():
            (ready / readme.name).unlink()
        card.write_card(ready, load=card.loaded_as(said), previous=readme)
        new = (ready / readme.name).read_text(encoding="utf-8")
    for name, text in {**texts, readme.name: new}.items():
        files.write_text(folder / name, text)
    layout.write_sums(folder)


# -- measured again --------------------------------------------------------------------------------


TOLERANCE = 0.01
"""How far, as a share of it, a number may be off when it is measured again: other processors and
libraries round features otherwise. On one platform it is the same number."""


@dataclass(frozen=True)
class Rechecked:
    """A number that was measured again, by its stored protocol; `std` is over seeds."""

    name: str
    stored: float
    found: float
    std: float = 0.0

    @property
    def problem(self) -> str:
        """A line if it is another number now, else ""."""
        # of a metric that may be zero, a share says nothing: a tenth of what other seeds change
        allowed = max(TOLERANCE * abs(self.stored), 0.1 * self.std, 1e-9)
        if abs(self.found - self.stored) <= allowed:
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
        device: as `evaluate` has it.
        progress: show bars on stderr.

    Raises:
        CheckpointError: there are no results, or they are of other weights or another extractor.
        MissingDataError: the data are not here, or are others.
    """
    from ganzoo.evaluation.evaluating import evaluate

    folder = _folder_of(source)
    stored = read_results(folder)
    if not stored:
        raise CheckpointError(f"{source} has no results to check", "evaluate it first")
    if other := sorted(stored.keys() - results_of_weights(folder).keys()):
        raise CheckpointError(f"{other[0]} was measured on other weights", "evaluate again")
    together: dict[str, list[Protocol]] = {}
    for entry in stored.values():
        protocol = Protocol.from_dict(entry["settings"])
        alike = json.dumps(replace(protocol, metric="fid", n_real=1).to_dict(), sort_keys=True)
        together.setdefault(alike, []).append(protocol)
    checked = []
    for group in together.values():  # metrics of one protocol are measured together
        first = group[0]
        found = evaluate(
            source,
            data=data or _data_of(folder, first),
            metrics=[protocol.metric for protocol in group],
            n=first.n_fake,
            features=first.features,
            repeats=first.repeats,
            seed=first.seed,
            device=device,
            download=False,
            progress=progress,
            **first.options,
        )
        for protocol, result in zip(group, found, strict=True):
            _same_protocol(protocol, result.protocol)
            entry = stored[protocol.name]
            again = Rechecked(protocol.name, entry["value"], result.value, entry.get("std") or 0.0)
            checked.append(again)
    return checked


def _same_protocol(stored: Protocol, found: Protocol) -> None:
    """Refuse what was measured with another extractor or on other data of the same name."""
    ours, theirs = found.to_dict(), stored.to_dict()
    for key in ours:
        if key != "split" and ours[key] != theirs[key]:  # the data's digest says it better
            raise MissingDataError(
                f"{stored.name} cannot be measured again: {key} was {theirs[key]!r},"
                f" is {ours[key]!r}",
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
    if metric is not None and metric not in METRICS:
        raise InputError(f"no metric is called {metric!r}", nearest(metric, METRICS))
    sources = [sources] if isinstance(sources, (str, Path)) else sources
    chosen = dict.fromkeys(map(str, sources))
    if len(chosen) < 2:
        named = ", ".join(chosen) or "no model"
        raise InputError(f"one model is not compared with itself ({named})", "name two or more")
    tables: dict[str, list[dict[str, Any]]] = {}
    protocols: dict[str, Protocol] = {}
    first: dict[str, str] = {}
    for source in chosen:
        for entry in results_of_weights(_folder_of(source)).values():
            protocol = Protocol.from_dict(entry["settings"])
            if metric in (None, protocol.metric):
                key = comparable(protocol)
                row = {"model": source, "value": entry["value"], "std": entry.get("std")}
                tables.setdefault(key, []).append(row)
                protocols.setdefault(key, protocol)
                first.setdefault(source, key)
    names = _told_apart(protocols)
    shared = {names[key]: rows for key, rows in tables.items() if len(rows) > 1}
    if not shared:
        if missing := [source for source in chosen if source not in first]:
            raise InputError(f"{missing[0]} has no such results", f"ganzoo evaluate {missing[0]}")
        said = "; ".join(f"{source} has {names[key]}" for source, key in first.items())
        raise InputError(
            f"these models have no protocol in common, and cannot be ranked: {said}",
            "evaluate them with the same --data, --features and -n",
        )
    for name, rows in shared.items():
        lower = METRICS[name.partition("/")[0]].startswith("lower")
        rows.sort(key=lambda row: row["value"] if lower else -row["value"])
    return shared


_FREE = ("seed", "repeats")


def comparable(protocol: Protocol) -> str:
    """What two results must have in common, as text: all of the protocol but the seeds."""
    values = {key: value for key, value in protocol.to_dict().items() if key not in _FREE}
    return json.dumps(values, sort_keys=True)


def _told_apart(protocols: Mapping[str, Protocol]) -> dict[str, str]:
    """Key -> the protocol's name and, of several of one name, the settings in which they differ."""
    names = {}
    for key, protocol in protocols.items():
        alike = [other.to_dict() for other in protocols.values() if other.name == protocol.name]
        different = ", ".join(
            f"{setting} {str(value)[:16]}"
            for setting, value in protocol.to_dict().items()
            if setting not in _FREE and any(other[setting] != value for other in alike)
        )
        names[key] = f"{protocol.name} ({different})" if different else protocol.name
    return names
