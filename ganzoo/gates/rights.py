"""Whether a model may be published: its licences, its data, and who is to see it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ganzoo import card_training
from ganzoo.gates.candidate import Candidate, Warn
from ganzoo.gates.licences import judge
from ganzoo.layout import ModelConfig
from ganzoo.metadata import LICENSES

PRIVATE = "private"
"""The name of a data set that nobody else can get."""
_SAY = "say it with: ganzoo declare"


def is_stated(config: ModelConfig) -> bool:
    """Whether the licence of the weights is one that the Hub knows, or has a name and a link."""
    named = config.license_name and re.match(r"https://[\w.-]+\.\w", config.license_link)
    return bool(named) if config.license == "other" else config.license in LICENSES - {"unknown"}


def licences(candidate: Candidate) -> Iterator[str]:
    """The licences of the weights and of the data set are stated, by names that the Hub knows."""
    config = candidate.config
    if config.license in ("", "unknown"):
        yield f"the licence of the weights is not stated; {_SAY} DIR license=…"
    elif config.license not in LICENSES:
        yield (
            f"the licence of the weights, {config.license!r}, is none that the Hub knows;"
            " use other, with license_name and license_link"
        )
    elif not is_stated(config):
        yield (
            "the licence is other, without a license_name and an https:// license_link;"
            f" {_SAY} DIR license_name=… license_link=…"
        )
    data = config.dataset
    if data.name and data.name != PRIVATE:
        if data.license in ("", "unknown"):
            yield (
                f"the licence of the data set {data.name!r} is not stated;"
                f" {_SAY} DIR dataset_license=…"
            )
        elif data.license.lower() not in LICENSES:
            yield (
                f"the licence of the data set {data.name!r}, {data.license!r}, is none that the Hub"
                " knows (use other)"
            )


def compatibility(candidate: Candidate) -> Iterator[str]:
    """The licence of the weights keeps the terms of the data set and of the base model."""
    config, data = candidate.config, candidate.config.dataset
    sound = is_stated(config)  # or the gate before says so
    if sound and data.name != PRIVATE and data.license.lower() in LICENSES - {"unknown"}:
        yield from _found(*judge(config.license, data.license.lower(), made_from="data",
                                 name=data.name))  # fmt: skip
    base = candidate.training.get("init")
    if not isinstance(base, dict):
        return
    name = str(base.get("source") or base.get("model") or "")
    if sound:
        theirs = str(base.get("license", ""))
        yield from _found(*judge(config.license, theirs, made_from="base", name=name))
    if not re.search(r"@[0-9a-f]{40}\b", name):
        yield Warn(f"the base model {name!r} is named without a commit of the Hub")


def _found(level: str, reason: str) -> Iterator[str]:
    if level == "block":
        yield reason
    elif level == "warn":
        yield Warn(reason)


def data(candidate: Candidate) -> Iterator[str]:
    """The training data are named so that others can find the same, or declared as private."""
    known = candidate.config.dataset
    if not known.name.strip():
        yield f"no data set is declared; {_SAY} DIR dataset=NAME, or dataset=private"
    elif known.name == PRIVATE:
        used = candidate.training.get("data")
        size = known.size or (used.get("n") if isinstance(used, dict) else 0)
        if not isinstance(size, int) or size < 1:
            yield f"the data are private, and their number is not said; {_SAY} DIR dataset_size=…"
        if len(known.consent.split()) < 4:
            yield (
                "the data are private, without a statement by what right they were used, and with"
                f" whose consent; {_SAY} DIR dataset_consent=…"
            )
    elif re.match(r"(folder|zip):|[./~]|[A-Za-z]:[\\/]", known.name):
        yield (
            f"the data set is called {known.name!r}, which is a place on one machine;"
            f" {_SAY} DIR dataset=NAME, or dataset=private"
        )
    elif not re.search(r"^hf:.*@[0-9a-f]{40}\b", known.name) and not re.fullmatch(
        r"[0-9a-f]{64}", known.digest
    ):
        yield (
            f"the data set {known.name!r} is named without digest or commit, so that nobody knows"
            f" which state of it; {_SAY} DIR dataset_digest=…"
        )
    elif not known.credit and not card_training.credit_of(card_training.data_name(known.name)):
        yield Warn(
            f"the card credits nobody for the data set {known.name!r}; {_SAY} DIR dataset_credit=…"
        )


def audience(candidate: Candidate) -> Iterator[str]:
    """Its author says whether it shows people, and whether it is for all audiences."""
    config = candidate.config
    if config.shows_people is None:
        yield (
            "whether the images may show people (real ones, or faces) is not said;"
            f" {_SAY} DIR shows_people=yes (or no)"
        )
    if config.not_for_all_audiences is None:
        yield (
            "whether the images are unsuited for some audiences is not said;"
            f" {_SAY} DIR not_for_all_audiences=no (or yes)"
        )
