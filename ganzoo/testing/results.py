"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ganzoo.errors import GanzooError


class CheckFailed(GanzooError):
    """A rule is broken: what was observed, and how to mend it."""


@dataclass(frozen=True)
class Result:
    """The outcome of one check of one thing.

    Attributes:
        check: the check's name.
        target: what was checked: `plugin:dcgan`, `generator:dcgan`, `recipe:dcgan.mnist`, …
        rule: what has to hold, in a sentence.
        state: "passed", "failed", or "skipped" where a check that this one rests on failed.
        problem, remedy: what was observed instead, and how to mend it.
    """

    check: str
    target: str
    rule: str
    state: Literal["passed", "failed", "skipped"]
    problem: str = ""
    remedy: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        """One line."""
        said = ": ".join(
            text for text in (self.rule.rstrip("."), self.problem, self.remedy) if text
        )
        return f"{self.state} {self.check}[{self.target}] {' '.join(said.split())}"
