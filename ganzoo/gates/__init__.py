"""The gates before the Hub: what a model folder must be to be published.

Each gate has a name, looks at one thing and says in a line each what is wrong with it. One that
finds something stops the publication; its author may override it with a reason, which then stands
in config.json, at the top of the card and in every registry that lists the model. Those that keep
harm from whoever opens the folder cannot be overridden.

`lint` asks all of them; `examined` is the same for `publish`, which then sends what was looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ganzoo import card, checkpoint, layout, loading, staging
from ganzoo.errors import CheckpointError, GanzooError, InputError, nearest, printable
from ganzoo.gates import claims, folder, rights
from ganzoo.gates.candidate import Candidate, Check, Warn
from ganzoo.gates.secrets import secrets

__all__ = [
    "GATES",
    "Candidate",
    "Finding",
    "Gate",
    "Report",
    "examined",
    "lint",
    "said_of",
    "unsound",
]


@dataclass(frozen=True)
class Gate:
    """One gate.

    Attributes:
        name: what `--override` calls it.
        check: what it looks at.
        slow: a second check, which takes minutes.
        protects: whether it keeps harm from whoever opens the folder, so that no reason overrides
            it.
    """

    name: str
    check: Check
    slow: Check | None = None
    protects: bool = False


WHOLE = tuple(
    Gate(check.__name__, check, protects=True)
    for check in (folder.hashes, folder.config, folder.plugin, folder.header)
)
"""Of the folder as it is, one after another: each needs those before it."""

GATES: tuple[Gate, ...] = (
    Gate("format", folder.format, protects=True),
    *WHOLE,
    Gate("licences", rights.licences),
    Gate("compatibility", rights.compatibility),
    Gate("data", rights.data),
    Gate("audience", rights.audience),
    Gate("card", claims.card),
    Gate("metrics", claims.metrics, slow=claims.measured_again),
    Gate("audit", claims.audit),
    Gate("samples", claims.samples),
    Gate("secrets", secrets, protects=True),
)
"""All gates, in their order. One that comes later is appended."""

SHORTEST_REASON, LONGEST_REASON = 10, 500


@dataclass(frozen=True)
class Finding:
    """What one gate says in a line: it stops the publication, or warns, or was overridden."""

    gate: str
    level: Literal["block", "warn", "overridden"]
    message: str


@dataclass(frozen=True)
class Report:
    """What the gates found.

    Attributes:
        folder: the model folder that was looked at.
        findings: in the order of the gates.
        overrides: gate -> reason, of those that would have stopped it.
    """

    folder: Path
    findings: tuple[Finding, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)

    def of(self, level: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == level]

    @property
    def ok(self) -> bool:
        """Whether it may be published."""
        return not self.of("block")

    def refuse(self) -> None:
        """Raise `CheckpointError` with the first reason if it may not be published."""
        if blocks := self.of("block"):
            more = f" (and {len(blocks) - 1} more: ganzoo lint)" if len(blocks) > 1 else ""
            raise CheckpointError(
                f"{self.folder} is not fit to be published ({blocks[0].gate}):"
                f" {blocks[0].message}{more}"
            )


def lint(
    source: str | Path,
    *,
    with_discriminator: bool = False,
    data: str | None = None,
    quick: bool = False,
) -> Report:
    """Ask all gates about a model or run folder, and publish nothing.

    Args:
        source: what `ganzoo train` or `ganzoo.save` wrote.
        with_discriminator: as if it were published with its discriminator.
        data: where the real images of its metrics are, if they are not where they were.
        quick: leave out what takes minutes, which is to compute the metrics again.

    Raises:
        GanzooError: there is no model folder.
    """
    with examined(Path(source), with_discriminator=with_discriminator, data=data, quick=quick) as (
        _,
        report,
    ):
        return report


@contextlib.contextmanager
def examined(
    source: Path,
    *,
    load: str = "./",
    with_discriminator: bool = False,
    overrides: Mapping[str, str] | None = None,
    data: str | None = None,
    quick: bool = False,
) -> Iterator[tuple[Path, Report]]:
    """A model folder as it is to be sent, in a temporary place, and what the gates say of it.

    Args:
        source: a model or run folder.
        load: what the card tells readers to load.
        with_discriminator: whether the discriminator is sent too.
        overrides: gate -> the reason why it is overridden. What is slow in that gate is left out.
        data: where the real images of its metrics are, if they are not where they were.
        quick: leave out what is slow in every gate.

    Raises:
        InputError: an override of no gate, of one that cannot be overridden, or without a reason.
        GanzooError: there is no model folder.
    """
    overrides = _checked(overrides or {})
    source = loading.resolve_folder(source)
    if not (source / layout.CONFIG).is_file():
        layout.read_config(source)  # says what it is instead
    findings = list(_whole(Candidate(source, source)))
    if any(finding.level == "block" and finding.gate != "format" for finding in findings):
        yield source, Report(source, tuple(findings))
        return
    with staging.staged(source, load=load, with_discriminator=with_discriminator) as ready:
        candidate = Candidate(ready, source, data)
        for gate in GATES[len(WHOLE) + 1 :]:
            findings += _asked(gate, candidate, overrides.get(gate.name), quick=quick)
        kept = {f.gate: overrides[f.gate] for f in findings if f.level == "overridden"}
        if kept:
            _record(ready, kept, load)
            for gate in GATES:  # the reasons are texts like any other
                if gate.name in ("card", "secrets"):
                    findings = [finding for finding in findings if finding.gate != gate.name]
                    findings += _asked(gate, Candidate(ready, source), kept.get(gate.name))
        findings += [
            Finding(name, "warn", "the override was not needed, and is not recorded")
            for name in overrides.keys() - kept.keys()
        ]
        order = [gate.name for gate in GATES]
        findings.sort(key=lambda finding: order.index(finding.gate))
        yield ready, Report(source, tuple(findings), kept)


def said_of(overrides: Mapping[str, str]) -> Iterator[str]:
    """What readers are told of the overrides of a model, in a line each."""
    for name, reason in overrides.items():
        yield f"published although the gate {name!r} stops it, because: {reason}"


def unsound(published: Path, *names: str) -> list[str]:
    """What stops a published folder at the named gates, but for those that it says were overridden.

    Raises:
        GanzooError: it is no model folder.
    """
    candidate = Candidate(published, published)
    return [
        finding.message
        for gate in GATES
        if gate.name in names and gate.name not in candidate.config.overrides
        for finding in _asked(gate, candidate, quick=True)
        if finding.level == "block"
    ]


# -- asking ----------------------------------------------------------------------------------------


def _whole(candidate: Candidate) -> Iterator[Finding]:
    """What the gates say that look at the folder as it is, up to the first that stops it."""
    yield from _asked(GATES[0], candidate)
    for gate in WHOLE:
        found = _asked(gate, candidate)
        yield from found
        if any(finding.level == "block" for finding in found):
            return


def _asked(
    gate: Gate, candidate: Candidate, reason: str | None = None, *, quick: bool = False
) -> list[Finding]:
    problems = list(_said(gate.check, candidate))
    blocked = any(not isinstance(problem, Warn) for problem in problems)
    if gate.slow is not None and not blocked:
        if reason is not None or quick:
            what = "it was not measured again" if gate.name == "metrics" else "it was not run"
            problems.append(what if reason is not None else Warn(what))
        else:
            problems += _said(gate.slow, candidate)
    level: Literal["block", "overridden"] = "block" if reason is None else "overridden"
    return [
        Finding(
            gate.name,
            "warn" if isinstance(problem, Warn) else level,
            printable(str(problem), longest=1000),  # it quotes what may be of anyone
        )
        for problem in problems
    ]


def _said(check: Check, candidate: Candidate) -> Iterable[str]:
    """What a check says; what it cannot read stops it as well."""
    try:
        yield from check(candidate)
    except GanzooError as error:
        yield str(error)


def _checked(overrides: Mapping[str, str]) -> dict[str, str]:
    known = {gate.name: gate for gate in GATES}
    kept = {}
    for name, reason in overrides.items():
        if name not in known:
            raise InputError(f"there is no gate {name!r} to override", nearest(name, known))
        if known[name].protects:
            raise InputError(
                f"the gate {name!r} protects whoever opens the model, and cannot be overridden",
                "mend what it finds (ganzoo lint)",
            )
        kept[name] = " ".join(reason.split())
        if not SHORTEST_REASON <= len(kept[name]) <= LONGEST_REASON:
            raise InputError(
                f"the reason to override {name!r} has {len(kept[name])} characters",
                f"say why in {SHORTEST_REASON} to {LONGEST_REASON}; every reader sees it",
            )
    return kept


def _record(ready: Path, overrides: Mapping[str, str], load: str) -> None:
    """Write overrides where every reader finds them: into config.json, and so into the card."""
    if (ready / layout.SIGNATURE).is_file():
        if dict(layout.read_config(ready).overrides) == dict(overrides):
            return
        raise CheckpointError(
            "a signed folder cannot tell what was overridden",
            "publish it without its model.sig, or mend what the gates find",
        )
    path = ready / layout.CONFIG
    checkpoint.write_json(path, layout.read_json(path) | {"overrides": dict(overrides)})
    card.write_card(ready, load=load)
    layout.write_sums(ready)
