"""The metadata of a model card, checked by the rules by which the Hub accepts it.

The Hub refuses a commit whose README.md opens with other YAML; here it is told beforehand, without
a request. The rules are those of the Hub's documentation of model cards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAMES = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0
cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 h-research intel-research isc
lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit
mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 other pddl
postgresql unknown unlicense wtfpl zlib
"""
LICENSES = frozenset(_NAMES.split())
"""The licences that the Hub knows by name; any other is `other`, with a name and a link."""

_ID = re.compile(r"[\w.\-]+(/[\w.\-]+)?")  # of a model or data set
_TEXTS = ("library_name", "pipeline_tag", "license_name", "license_link", "thumbnail")
_LISTS = ("tags", "datasets", "language", "metrics")


def read(text: str) -> tuple[dict[str, Any], list[str]]:
    """The metadata at the head of a README, and what the Hub would refuse in it."""
    import yaml  # type: ignore[import-untyped]

    match = re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|\Z)", text, re.DOTALL)
    if match is None:
        return {}, ["it has no metadata: a YAML block between two lines of ---"]
    try:
        values = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" in line {line + 2}"
        return {}, [f"its metadata is no valid YAML{where}"]
    if not isinstance(values, dict):
        return {}, ["its metadata is no YAML mapping"]
    return values, list(_problems(values))


def _problems(values: Mapping[str, Any]) -> Iterator[str]:
    for key in _TEXTS:
        if key in values and not isinstance(values[key], str):
            yield f"{key} is no text"
    for key in _LISTS:
        for item in _items(values.get(key)):
            if not isinstance(item, str) or not item:
                yield f"{key} is no list of texts"
                break
    for key in ("datasets", "base_model"):
        for item in _items(values.get(key)):
            if not isinstance(item, str) or not _ID.fullmatch(item):
                yield f"{key} names {item!r}, which is no name of a repository"
    licenses = _items(values.get("license"))
    if not licenses:
        yield "it states no license"
    for license in licenses:
        if license not in LICENSES:
            yield f"license {license!r} is none that the Hub knows (use other, and license_name)"
    if "other" in licenses and not values.get("license_name"):
        yield "license is other, without a license_name"
    if "model-index" in values:
        yield from _index_problems(values["model-index"])


def _items(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _index_problems(index: Any) -> Iterator[str]:
    if not isinstance(index, list) or not all(isinstance(model, dict) for model in index):
        yield "model-index is no list of models"
        return
    for model in index:
        if not isinstance(model.get("name"), str):
            yield "a model of model-index has no name"
        results = model.get("results")
        for result in results if isinstance(results, list) else [None]:
            where = result if isinstance(result, dict) else {}
            task, data = where.get("task"), where.get("dataset")
            metrics = where.get("metrics")
            if not isinstance(task, dict) or not isinstance(task.get("type"), str):
                yield "a result of model-index has no task.type"
            if not isinstance(data, dict) or not {"type", "name"} <= data.keys():
                yield "a result of model-index has no dataset with type and name"
            if not isinstance(metrics, list) or not all(
                isinstance(metric, dict) and {"type", "value"} <= metric.keys()
                for metric in metrics
            ):
                yield "a result of model-index has no metrics with type and value"
