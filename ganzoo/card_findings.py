"""What a card says of a model's metrics and of its audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganzoo.markdown import Facts, code, is_number, prose, table

_VERDICTS = {
    "pass": "Nothing was found that speaks against this model, within what was examined.",
    "warn": "Something was found that its users should know.",
    "fail": "**The model reproduces images that it was trained on.**",
    "unaudited": "Copying of training images could not be examined; that is no pass.",
}


def results(metrics: Mapping[str, Any], data: str) -> list[Any]:
    """The metrics that say how they were measured, as the Hub's model-index takes them."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="unconditional-image-generation",
            dataset_type=data or "custom",
            dataset_name=data or "its training data",
            metric_type=str(metric.get("metric", name)),
            metric_value=metric["value"],
            metric_name=name,
            metric_args={"protocol": metric["protocol"]},
        )
        for name, metric in metrics.items()
        if isinstance(metric, Mapping) and is_number(metric.get("value")) and metric.get("protocol")
    ]


def evaluation(metrics: Mapping[str, Any]) -> str:
    """The section Evaluation: a metric a row, with its protocol, which is part of the number."""
    rows = []
    for name, metric in metrics.items():
        found = Facts(metric if isinstance(metric, Mapping) else {"value": metric})
        value = number(found.get("value")) or "no number"
        if spread := number(found.get("std"), digits=2):
            value += f" ± {spread}"
        rows.append((code(name), value, found.number("settings", "repeats") or "1"))
    return (
        "Two numbers may be compared only if their protocols are the same: metric, extractor and"
        " version, generated images, real images, resize. `metrics.json` has every setting;"
        " `ganzoo evaluate --check` measures them again.\n\n"
        + table(("Protocol", "Value", "Repeats"), rows)
    )


def audit(found: Mapping[str, Any]) -> str:
    """The section Audit: the verdict, why, and what was not examined."""
    facts = Facts(found)
    verdict = facts.text("verdict")
    reasons = facts.get("reasons", default=[])
    unseen = facts.get("not_examined", default=[])
    protocol = facts.get("protocol", default={})
    compared = ", ".join(
        f"{prose(key)} {code(value)}"
        for key, value in protocol.items()
        if key in ("generated", "train", "holdout", "seed")
    )
    if verdict not in _VERDICTS:
        return "The audit's record is damaged; that is no pass."
    lines = [
        f"Verdict of `ganzoo audit`: **{verdict}**. {_VERDICTS[verdict]}",
        "\n".join(f"- {prose(reason)}" for reason in reasons),
        f"Compared: {compared}." if compared else "",
        "Not examined:\n\n" + "\n".join(f"- {prose(item)}" for item in unseen) if unseen else "",
    ]
    return "\n\n".join(filter(None, lines))


def number(value: Any, *, digits: int = 4) -> str:
    """A number as people read it; "" for what is none."""
    return f"{value:.{digits}g}" if is_number(value) else ""
