"""Saying of a finished model folder what only its author knows: licences, data, audience.

A recipe can say the same before the training; this is for folders that are there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo import card, checkpoint, layout, loading
from ganzoo.configs import config_from_dict, config_to_dict, field_types
from ganzoo.errors import ConfigError, InputError, nearest

_YES_NO = {"yes": True, "true": True, "no": False, "false": False}


def declare(folder: str | Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write facts about a model into its config.json, its card and SHA256SUMS.

    Args:
        folder: a model or run folder.
        facts: fields of `layout.ModelInfo` -> what to say; texts are read as the field takes them.

    Returns:
        All that the folder declares now.

    Raises:
        InputError: there is no such fact, or it is not of its kind.
        CheckpointError: it is no model folder, or a file of it was changed since it was written.
    """
    folder = loading.resolve_folder(Path(folder))
    config = layout.read_config(folder)
    former = config_to_dict(layout.ModelInfo.of(config))
    told = {key: _read(key, value) for key, value in facts.items()}
    try:
        info = config_from_dict(layout.ModelInfo, former | told, where="declare")
    except ConfigError as error:
        raise InputError(error.problem, error.remedy) from error
    if told:
        for name in layout.read_sums(folder):  # before they are written anew
            if name != "README.md" and (folder / name).is_file():
                layout.check_file(folder, name)
        source = card.loaded_as(_readme(folder))
        layout.remove_signature(folder)
        said = config_to_dict(config.with_info(info))
        checkpoint.write_json(folder / layout.CONFIG, said)
        card.write_card(folder, load=source)
        layout.write_sums(folder)
    return config_to_dict(info)


def _readme(folder: Path) -> str:
    path = folder / "README.md"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read(key: str, value: Any) -> Any:
    """A text as the field takes it: yes and no, a number, names with commas between them."""
    known = field_types(layout.ModelInfo)
    if key not in known:
        raise InputError(f"there is nothing to declare that is called {key!r}", nearest(key, known))
    if not isinstance(value, str) or known[key] is str:
        return value
    if bool in getattr(known[key], "__args__", ()):
        if value.lower() not in _YES_NO:
            raise InputError(f"{key} is {value!r}", "say yes or no")
        return _YES_NO[value.lower()]
    if known[key] is int:
        return int(value) if value.isdecimal() else value
    items = [item.strip() for item in value.split(",") if item.strip()]
    return items if key == "classes" else [int(i) if i.isdecimal() else i for i in items]
