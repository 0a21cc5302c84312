"""Which licences go together: pairs with their verdicts, written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from ganzoo import metadata
from ganzoo.gates.licences import TERMS, UNJUDGED, judge

PAIRS = [
    # of the weights, of what they were made from, verdict
    # -- a base model: the weights are a changed copy of it
    ("apache-2.0", "base", "mit", "pass"),
    ("mit", "base", "apache-2.0", "pass"),
    ("gpl-3.0", "base", "apache-2.0", "pass"),
    ("gpl-2.0", "base", "apache-2.0", "warn"),
    ("cc-by-nc-4.0", "base", "cc0-1.0", "pass"),
    ("cc-by-nd-4.0", "base", "bsd-3-clause", "pass"),
    ("other", "base", "mit", "pass"),
    ("apache-2.0", "base", "gpl-3.0", "block"),
    ("agpl-3.0", "base", "gpl-3.0", "pass"),
    ("gpl-3.0", "base", "agpl-3.0", "block"),
    ("gpl-3.0", "base", "lgpl-3.0", "pass"),
    ("mit", "base", "mpl-2.0", "block"),
    ("gpl-3.0", "base", "mpl-2.0", "pass"),
    ("cc-by-sa-4.0", "base", "cc-by-sa-3.0", "pass"),
    ("cc-by-sa-3.0", "base", "cc-by-sa-4.0", "block"),
    ("cc-by-4.0", "base", "cc-by-sa-4.0", "block"),
    ("cc-by-nc-sa-4.0", "base", "cc-by-sa-4.0", "block"),
    ("apache-2.0", "base", "cc-by-nc-4.0", "block"),
    ("cc-by-nc-sa-4.0", "base", "cc-by-nc-4.0", "pass"),
    ("cc-by-nc-4.0", "base", "cc-by-nc-sa-4.0", "block"),
    ("cc-by-nc-nd-4.0", "base", "cc-by-nc-nd-4.0", "block"),
    ("mit", "base", "cc-by-nd-4.0", "block"),
    ("apache-2.0", "base", "creativeml-openrail-m", "block"),
    ("creativeml-openrail-m", "base", "creativeml-openrail-m", "pass"),
    ("openrail++", "base", "creativeml-openrail-m", "warn"),
    ("openrail", "base", "deepfloyd-if-license", "block"),
    ("apache-2.0", "base", "llama3", "block"),
    ("llama3", "base", "llama3", "pass"),
    ("llama3.1", "base", "llama3", "block"),
    ("other", "base", "gpl-3.0", "block"),
    ("apache-2.0", "base", "unknown", "block"),
    ("apache-2.0", "base", "", "block"),
    # -- a data set: whether weights are made from it in that sense is open
    ("apache-2.0", "data", "mit", "pass"),
    ("apache-2.0", "data", "cc0-1.0", "pass"),
    ("apache-2.0", "data", "cc-by-4.0", "pass"),
    ("apache-2.0", "data", "cc-by-sa-3.0", "warn"),
    ("cc-by-sa-4.0", "data", "cc-by-sa-3.0", "pass"),
    ("apache-2.0", "data", "cc-by-nc-4.0", "block"),
    ("cc-by-nc-4.0", "data", "cc-by-nc-sa-4.0", "warn"),
    ("cc-by-nc-sa-4.0", "data", "cc-by-nc-sa-4.0", "pass"),
    ("apple-amlr", "data", "cc-by-nc-4.0", "pass"),
    ("apache-2.0", "data", "cc-by-nd-4.0", "block"),
    ("cc-by-nd-4.0", "data", "cc-by-nd-4.0", "block"),
    ("mit", "data", "cdla-sharing-1.0", "pass"),
    ("mit", "data", "odbl", "pass"),
    ("mit", "base", "odbl", "block"),
    ("mit", "data", "openrail", "block"),
    ("apache-2.0", "data", "other", "block"),
    ("apache-2.0", "data", "cc", "block"),
    ("my-own", "data", "mit", "block"),
]  # fmt: skip


@pytest.mark.parametrize(("weights", "made_from", "source", "verdict"), PAIRS)
def test_a_pair(weights: str, made_from: Any, source: str, verdict: str) -> None:
    found, reason = judge(weights, source, made_from=made_from, name="its-name")
    assert found == verdict, reason
    assert (reason == "") == (verdict == "pass")
    if verdict != "pass" and weights in metadata.LICENSES:
        assert "its-name" in reason and "\n" not in reason


def test_every_licence_of_the_hub_is_in_the_table() -> None:
    assert set(TERMS) | UNJUDGED == metadata.LICENSES | {""}
    assert not set(TERMS) & UNJUDGED
    for licence in TERMS:  # nothing is worse than the same licence again
        verdict, _ = judge(licence, licence, made_from="base")
        assert (verdict == "pass") == ("no-derivatives" not in TERMS[licence])
