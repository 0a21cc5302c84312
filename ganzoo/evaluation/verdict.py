"""What an audit comes to: a verdict, the reasons for it in words, and what no audit examines."""

from __future__ import annotations

from collections.abc import Sequence

from ganzoo.evaluation.bias import ClassShares, LabelAccuracy
from ganzoo.evaluation.copying import CopyingAudit
from ganzoo.evaluation.fairness import ClassGap
from ganzoo.evaluation.membership import Membership

NEVER_EXAMINED = (
    "copies under a change that both feature spaces find large, such as a crop or another colour",
    "copies of parts of an image, and of styles, signatures and faces as such",
    "privacy in the sense of a guarantee: an audit finds leaks, it cannot exclude them",
    "groups of people or things that the data set has no classes for",
)


def verdict_of(
    copying: CopyingAudit,
    coverage: ClassShares | None,
    labels: LabelAccuracy | None,
    quality: ClassGap | None,
    membership: Membership | None,
    classes: Sequence[str],
) -> tuple[str, tuple[str, ...]]:
    """Copying decides between fail, pass and unaudited; the rest may add warnings."""
    notes = []

    def named(numbers: Sequence[int]) -> str:
        return ", ".join(str(classes[c]) for c in numbers)

    if coverage is not None and coverage.biased:
        missing = f"; hardly any: {named(coverage.missing)}" if coverage.missing else ""
        due = "the training set's" if labels is None else "those asked for"
        how = (
            f"TVD {coverage.tvd:.3f}, an honest model's is below {coverage.null:.3f}"
            if coverage.tvd > coverage.null
            else f"chi-square, p = {coverage.chi_square_p:.0e}"
        )
        notes.append(f"class shares differ from {due} ({how}){missing}")
    if labels is not None and labels.worse:
        notes.append(f"classes read wrongly more often than real images: {named(labels.worse)}")
    if quality is not None and quality.unequal:
        notes.append(
            f"{classes[quality.worst]} is made worse than {classes[quality.best]}"
            f" (gap {quality.gap:.2f}, {quality.lower:.2f} to {quality.upper:.2f})"
        )
    if membership is not None and membership.warning:
        notes.append(membership.warning)
    verdict = "warn" if copying.verdict == "pass" and notes else copying.verdict
    return verdict, (*copying.reasons, *notes)


def of_other_images(verdict: str, reasons: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The verdict of an audit with other images than the training images: copies of them fail too,
    but nothing is passed."""
    if verdict == "fail":
        return verdict, tuple(reasons)
    return "unaudited", ("these are not the images that the model was trained on", *reasons)
