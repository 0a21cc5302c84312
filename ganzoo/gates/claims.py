"""Whether what a folder says of its model is there, and true of exactly these weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from ganzoo import checkpoint, layout, marks, metadata
from ganzoo.evaluation.protocol import Protocol
from ganzoo.gates.candidate import Candidate, Warn
from ganzoo.gates.rights import is_stated

SECTIONS = ("Use", "Data", "Limitations", "Intended use", "Out of scope", "Provenance and licence")
LONG = {"Limitations": 200, "Out of scope": 200}
"""Section -> characters below which it says too little."""
FEW_IMAGES = 10_000

_PLACEHOLDER = re.compile(
    r"\[\s*(?:more information needed|insert|your|add|fill)\b[^\]\n]{0,80}\](?!\()"
    r"|\blorem ipsum\b|\b(?:TODO|TBD|FIXME)\b|\{\{[^}\n]{0,80}\}\}",
    re.IGNORECASE,
)


# -- the card --------------------------------------------------------------------------------------


def card(candidate: Candidate) -> Iterator[str]:
    """The card has what readers need, nothing in it waits to be filled in, and the Hub takes it."""
    text = candidate.readme
    values, problems = metadata.read(text)
    for problem in problems:
        if "license" not in problem or is_stated(candidate.config):
            yield f"README.md: {problem}"  # else the gate of licences has said so
    for key in ("library_name", "license", "pipeline_tag", "tags"):
        if not problems and not values.get(key):
            yield f"README.md: its metadata lacks {key}"
    sections = _sections(text)
    for heading in SECTIONS:
        body = sections.get(heading)
        if body is None:
            yield f"README.md lacks the section {heading!r}"
        elif not body:
            yield f"README.md: the section {heading!r} is empty"
        elif len(body) < LONG.get(heading, 0):
            yield f"README.md: {heading!r} has {len(body)} characters, fewer than {LONG[heading]}"
    for match in _PLACEHOLDER.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield f"README.md, line {line}: {match[0]!r} waits to be filled in"
    if not re.search(r"\d (k?Wh|k?g(?: of)? CO2)\b", text):
        yield Warn("how much energy the training took is not said")
    if not re.search(r"^## Citation$|doi\.org/|arxiv\.org/", text, re.MULTILINE | re.IGNORECASE):
        yield Warn("the card does not say how to cite the model (no section Citation, no DOI)")


def _sections(text: str) -> dict[str, str]:
    """Heading -> what readers see under it."""
    text = re.sub(r"<!--.*?(-->|\Z)", "", text, flags=re.DOTALL)
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {title.strip(): body.strip() for title, body in zip(parts[1::2], parts[2::2])}


# -- metrics ---------------------------------------------------------------------------------------


def metrics(candidate: Candidate) -> Iterator[str]:
    """FID or KID was measured on these weights, by a protocol that says all that decides it."""
    found = candidate.json("metrics.json")
    for name, metric in found.items():
        problem = _metric_problem(name, metric, candidate.weights)
        if problem:
            yield f"metrics.json: {name} {problem}; measure it with: ganzoo evaluate"
    distances = [
        metric
        for metric in found.values()
        if isinstance(metric, dict) and metric.get("metric") in ("fid", "kid")
    ]
    if not distances:
        yield "metrics.json has neither FID nor KID; measure one with: ganzoo evaluate"
        return
    sizes = [metric["settings"].get("n_fake") for metric in distances if _has_settings(metric)]
    most = max((n for n in sizes if isinstance(n, int)), default=FEW_IMAGES)
    if most < FEW_IMAGES:
        yield Warn(f"FID and KID were measured on {most:,} images; {FEW_IMAGES:,} are usual")


def _has_settings(metric: Mapping[str, Any]) -> bool:
    return isinstance(metric.get("settings"), dict)


def _metric_problem(name: str, metric: Any, weights: str) -> str:
    if not isinstance(metric, dict) or not metric.get("protocol"):
        return "does not say its protocol"
    value = metric.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return "has no finite value"
    if metric["protocol"] != name or metric.get("metric") != name.partition("/")[0]:
        return f"is listed under another name than its protocol, {str(metric['protocol'])[:80]!r}"
    if not _has_settings(metric):
        return "does not say its settings"
    if lacking := [f.name for f in fields(Protocol) if f.name not in metric["settings"]]:
        return f"does not say its settings: {lacking[0]} is missing"
    if Protocol.from_dict(metric["settings"]).name != name:
        return "is not what its settings say"
    if metric.get("weights_sha256") != weights:
        return "was measured on other weights"
    return ""


def measured_again(candidate: Candidate) -> list[str]:
    """The stored figures come out again from these weights; this takes minutes."""
    from ganzoo.evaluation import results  # which imports torch

    found = results.recheck(candidate.origin, data=candidate.data)
    return [checked.problem for checked in found if checked.problem]


# -- audit -----------------------------------------------------------------------------------------


def audit(candidate: Candidate) -> Iterator[str]:
    """An audit of exactly these weights is there and does not fail."""
    if layout.has_discriminator(candidate.folder):
        yield Warn("the discriminator tells more about single training images than the generator")
    found = candidate.json("audit.json")
    if not found:
        yield "it was not audited (audit.json is missing); do it with: ganzoo audit"
        return
    if found.get("format") != 1:
        yield f"audit.json has format {found.get('format')!r}; do it anew with: ganzoo audit"
        return
    if found.get("weights_sha256") != candidate.weights:
        yield "audit.json is about other weights; audit these with: ganzoo audit"
        return
    verdict, reasons = found.get("verdict"), found.get("reasons")
    why = (
        "; ".join(map(str, reasons)) if isinstance(reasons, list) and reasons else "see audit.html"
    )
    if verdict == "fail":
        yield f"the audit fails: {why}"
    elif verdict == "warn":
        yield Warn(f"the audit warns: {why}")
    elif verdict == "unaudited":
        yield Warn(f"no audit with held-out images was possible: {why}")
    elif verdict != "pass":
        yield f"audit.json has the verdict {str(verdict)[:40]!r}; do it anew with: ganzoo audit"
    page = candidate.folder / "audit.html"
    if not page.is_file():
        yield "audit.html, the report of the audit, is missing; write it with: ganzoo audit"
    elif layout.SHOWS_TRAINING_IMAGES in (html := page.read_bytes()):
        yield "audit.html shows training images; write the folder's own page with: ganzoo audit"
    elif candidate.weights.encode() not in html:
        yield "audit.html is about other weights; write the page of these with: ganzoo audit"
    for tvd, chance in _class_shares(found.get("coverage")):
        if tvd > chance:
            yield Warn(
                f"the classes come in other shares than in the data (TVD {tvd:.3f}, by chance up"
                f" to {chance:.3f})"
            )


def _class_shares(coverage: Any) -> Iterator[tuple[float, float]]:
    """The distances of class shares from those of the data, with what chance alone would give."""
    records = [coverage, *coverage.values()] if isinstance(coverage, dict) else []
    for record in records:
        if isinstance(record, dict):
            tvd, chance = record.get("tvd"), record.get("null", record.get("tvd_null_q99"))
            if isinstance(tvd, (int, float)) and isinstance(chance, (int, float)):
                yield tvd, chance


# -- samples ---------------------------------------------------------------------------------------


def samples(candidate: Candidate) -> Iterator[str]:
    """samples.png is marked as generated, and is what these weights make of the seeds in it."""
    path = candidate.folder / "samples.png"
    if not path.is_file():
        yield "samples.png is missing; save the model anew"
        return
    found = marks.find(path)
    if found.properties.get("DigitalSourceType") != f"{marks.SOURCE_TYPES}trainedAlgorithmicMedia":
        yield "samples.png is not marked as generated; save the model anew"
        return
    record = found.parsed_record or {}
    if record.get("weights_sha256") != candidate.weights:
        yield "samples.png says that it was made by other weights; save the model anew"
    elif not re.fullmatch(r"0-\d{1,4}", str(record.get("seeds"))):
        yield "samples.png does not name the seeds 0 to n, so that it cannot be made again"
    else:
        generator = checkpoint.load_generator(candidate.folder, hashes=candidate.hashes)
        yield from checkpoint.sample_problems(candidate.folder, generator, whole=True)
