"""Which licence weights may have that were made from something under another licence.

Each licence that the Hub knows by name is reduced to the terms that bind what is made from a work.
What a network started from binds its weights: they are a changed copy of it. Whether weights are
made from their training data in the same sense is not settled in law, so that share-alike of a data
set only warns; its author's "not for commerce" and "no derivatives" are taken at their word.
This is a table for spotting what does not go together, and no legal advice.
"""

from __future__ import annotations

from typing import Literal

SHARE_ALIKE, NON_COMMERCIAL = "share-alike", "non-commercial"
NO_DERIVATIVES, RESTRICTED_USE, OWN_TERMS = "no-derivatives", "restricted use", "terms of its own"

Level = Literal["pass", "warn", "block"]

_PERMISSIVE = """
afl-3.0 apache-2.0 apple-ascl artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0
c-uda cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0
ecl-2.0 etalab-2.0 isc lppl-1.3c mit ms-pl ncsa odc-by openmdw-1.0 pddl postgresql unlicense
wtfpl zlib
"""
_BINDING: dict[frozenset[str], str] = {
    frozenset({SHARE_ALIKE}): """
        agpl-3.0 cc-by-sa-3.0 cc-by-sa-4.0 cdla-sharing-1.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 gfdl
        gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 lgpl-lr mpl-2.0 odbl ofl-1.1 osl-3.0""",
    frozenset({NON_COMMERCIAL}): """
        apple-amlr cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 fair-noncommercial-research-license
        h-research intel-research""",
    frozenset({NON_COMMERCIAL, SHARE_ALIKE}): "cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0",
    frozenset({NON_COMMERCIAL, NO_DERIVATIVES}): "cc-by-nc-nd-3.0 cc-by-nc-nd-4.0",
    frozenset({NO_DERIVATIVES}): "cc-by-nd-4.0",
    frozenset({RESTRICTED_USE}): """
        bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m creativeml-openrail-m
        openrail openrail++""",
    frozenset({RESTRICTED_USE, NON_COMMERCIAL}): "deepfloyd-if-license",
    frozenset({OWN_TERMS}): "gemma llama2 llama3 llama3.1 llama3.2 llama3.3 llama4",
}
UNJUDGED = frozenset({"", "unknown", "other", "cc"})
"""What says no terms: `cc` may be any of Creative Commons' licences."""

TERMS: dict[str, frozenset[str]] = {name: frozenset() for name in _PERMISSIVE.split()} | {
    name: terms for terms, names in _BINDING.items() for name in names.split()
}
"""Licence -> the terms that bind what is made from a work under it."""

_GPL = {"gpl", "gpl-2.0", "gpl-3.0", "agpl-3.0"}
_ALIKE: dict[str, set[str]] = {
    "cc-by-sa-3.0": {"cc-by-sa-4.0"},
    "cc-by-sa-4.0": {"gpl-3.0"},
    "cc-by-nc-sa-2.0": {"cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"},
    "cc-by-nc-sa-3.0": {"cc-by-nc-sa-4.0"},
    "gpl": _GPL,
    "gpl-3.0": {"agpl-3.0"},
    "lgpl": {"lgpl-2.1", "lgpl-3.0", *_GPL},
    "lgpl-2.1": {"gpl-2.0", "gpl-3.0"},
    "lgpl-3.0": {"gpl-3.0", "agpl-3.0"},
    "mpl-2.0": {"lgpl", "lgpl-2.1", "lgpl-3.0", *_GPL},
    "eupl-1.1": {"eupl-1.2", "gpl-2.0", "osl-3.0", "epl-1.0"},
    "eupl-1.2": {"gpl-2.0", "gpl-3.0", "agpl-3.0", "osl-3.0", "epl-1.0", "mpl-2.0", "lgpl-2.1",
                 "lgpl-3.0"},
}  # fmt: skip
"""A share-alike licence -> the others that it lets a changed copy have."""

_RESULTS_ARE_FREE = {"cdla-sharing-1.0", "odbl"}
"""Licences of data which say that what is computed from the data is not bound by them."""


def judge(
    weights: str, source: str, *, made_from: Literal["base", "data"], name: str = ""
) -> tuple[Level, str]:
    """Whether weights may be under a licence, given that of what they were made from.

    Args:
        weights: the licence of the weights.
        source: the licence of the network that they started from, or of their training data.
        made_from: which of these it is.
        name: of that network or data set, for the message.

    Returns:
        The verdict, and the reason in one line ("" for a pass).
    """
    what = (
        f"the {'base model' if made_from == 'base' else 'data set'}{f' {name!r}' if name else ''}"
    )
    if source in UNJUDGED or source not in TERMS:
        return "block", f"{what} is under {source or 'no licence'!r}, whose terms are not known"
    if weights not in TERMS and weights != "other":
        return "block", f"the weights are under {weights or 'no licence'!r}, which is not known"
    terms = TERMS[source] - ({SHARE_ALIKE} if source in _RESULTS_ARE_FREE else set())
    if made_from == "base":
        terms = TERMS[source]
    if not terms:
        if (weights, source, made_from) == ("gpl-2.0", "apache-2.0", "base"):
            return "warn", f"{what} is under apache-2.0, which gpl-2.0 goes with only if 'or later'"
        return "pass", ""
    if NO_DERIVATIVES in terms:
        return "block", f"{what} is under {source}, which lets nobody share what is made from it"
    if weights == source:
        return "pass", ""
    if weights == "other":
        return (
            "block",
            f"{what} is under {source}; whether a licence 'other' keeps it, nobody checks",
        )
    if OWN_TERMS in terms:
        return "block", f"{what} is under {source}, under which its derivatives have to stay"
    lacking = (terms - {SHARE_ALIKE}) - TERMS[weights]
    if lacking:
        return "block", f"{what} is under {source}; {weights} drops its terms: {min(lacking)}"
    if SHARE_ALIKE in terms and weights not in _ALIKE.get(source, ()):
        reason = f"{what} is under {source}, share-alike, and the weights under {weights}"
        if made_from == "base":
            return "block", reason
        return "warn", f"{reason}; whether that binds weights is not settled"
    if RESTRICTED_USE in terms:
        return "warn", f"{what} is under {source}; see that {weights} repeats all its restrictions"
    return "pass", ""
