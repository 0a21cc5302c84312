"""Every error that ganzoo expects, each with the remedy in its message.

A `GanzooError` is one line: what is wrong, where, and what to do instead. The command line prints
it and exits with 1; anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


class GanzooError(Exception):
    """Base of all expected errors. `problem` says what is wrong, `remedy` what to do about it."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem, self.remedy = (printable(text, longest=2000) for text in (problem, remedy))
        super().__init__(f"{self.problem}: {self.remedy}" if remedy else self.problem)


class InputError(GanzooError):
    """A value that a caller passed is out of range, of the wrong type or does not apply."""


class PluginError(GanzooError):
    """A plugin is missing, broken, or in conflict with another."""


class ConfigError(GanzooError):
    """A config or recipe has an unknown key, a wrong type or an impossible value."""


class CompatibilityError(GanzooError):
    """Parts that cannot work together; the remedy names those that can."""


class NotFoundError(GanzooError):
    """No model, part, recipe or data set of that name; the remedy gives the nearest names."""


class CheckpointError(GanzooError):
    """A model folder or training checkpoint cannot be used as it is."""


class IntegrityError(CheckpointError):
    """A file does not have the hash that its manifest or the registry promises."""


class RevokedError(CheckpointError):
    """Weights that were revoked; the message says why."""


class RevocationsError(GanzooError):
    """The list of revoked weights cannot be had, or is none."""


class HubError(GanzooError):
    """The Hub cannot be reached, or refuses."""


class DataError(GanzooError):
    """A data set is missing, empty or unreadable, or does not fit what was asked for."""


class MissingDataError(DataError):
    """A data set is not where it was looked for."""


class TrainingError(GanzooError):
    """Training cannot go on: divergence, out of memory, a run folder of another recipe."""


def printable(text: str, *, longest: int = 1 << 30) -> str:
    """Anyone's text on one line, cut where it is too long, and nothing in it steers a terminal."""
    if len(text) > longest:
        text = f"{text[: longest - 1]}…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean a, b?` for the known names closest to `name`, or the list of all of them."""
    import difflib

    known = sorted(set(known))
    folded = {word.casefold(): word for word in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    if close:
        return f"did you mean {', '.join(folded[word] for word in close)}?"
    return f"known: {', '.join(known[:12])}{', …' if len(known) > 12 else ''}" if known else ""
