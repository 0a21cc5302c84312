"""Tiny models that are fit to be published: with licences, figures and an audit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ganzoo
from ganzoo import card, files, layout, plugins
from ganzoo.evaluation.evaluating import Result
from ganzoo.evaluation.protocol import Protocol
from ganzoo.models import build

INFO = layout.ModelInfo(
    license="mit",
    dataset="mnist",
    dataset_license="cc-by-sa-3.0",
    dataset_digest="d1" * 32,
    shows_people=False,
    not_for_all_audiences=False,
)
FID = Protocol(
    metric="fid",
    features="digits-v1",
    features_sha256="fe" * 32,
    n_fake=10_000,
    n_real=10_000,
    split="mnist@test",
    data_digest="d2" * 32,
    repeats=3,
)
PROTOCOL = FID.name
FILES = {
    "README.md",
    "SHA256SUMS",
    "audit.html",
    "audit.json",
    "config.json",
    "metrics.json",
    "model.safetensors",
    "samples.png",
}
"""What is published of such a model."""


def model(
    folder: Path,
    *,
    family: str = "gan",
    seed: int = 0,
    name: str = "mine",
    critic: bool = False,
    settings: dict[str, Any] | None = None,
    storage_dtype: Any = None,
    training: dict[str, Any] | None = None,
    **said: Any,
) -> Path:
    """A tiny model, untrained; `said` are fields of ModelInfo."""
    parts = plugins.load().parts
    generator, discriminator = (
        build(part, part.make_config({**part.tiny, **(settings or {})}), seed=seed)
        if part.kind == "generator"
        else build(part, part.make_config(part.tiny), seed=seed)
        for part in (parts.get("generator", family), parts.get("discriminator", family))
    )
    ganzoo.save(
        folder,
        generator,
        name=name,
        discriminator=discriminator if critic else None,
        storage_dtype=storage_dtype,
        training=training,
        info=replace(INFO, **said),
    )
    return measured(folder)


def measured(folder: Path) -> Path:
    """The folder with metrics and an audit, as `ganzoo evaluate` and `audit` leave it."""
    weights = files.sha256(folder / "model.safetensors")
    put(folder, "metrics.json", {PROTOCOL: metric(weights)})
    put(folder, "audit.json", audit(weights))
    page = f"<!doctype html><title>Audit</title><p>Nothing found in {weights}."
    files.write_text(folder / "audit.html", page)
    return sealed(folder)


def metric(weights: str) -> dict[str, Any]:
    return Result(12.5, 0.25, FID, weights).to_dict()


def audit(weights: str) -> dict[str, Any]:
    return {
        "format": 1,
        "model": "mine",
        "weights_sha256": weights,
        "verdict": "pass",
        "reasons": [],
        "copying": {},
        "coverage": {},
        "membership": {},
        "not_examined": [],
    }


def put(folder: Path, name: str, values: Any) -> None:
    files.write_text(folder / name, json.dumps(values))


def sealed(folder: Path) -> Path:
    """The card and the hashes of what is in the folder now."""
    card.write_card(folder)
    layout.write_sums(folder)
    return folder
