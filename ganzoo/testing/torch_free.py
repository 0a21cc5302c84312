"""Where a plugin first imports torch; run in a fresh process, in which nothing else has."""

from __future__ import annotations

import contextlib
import sys

from ganzoo import plugins


def find(name: str) -> str:
    """Which act of the plugin `name` imports torch, or "" if none does."""
    loaded = plugins.load()
    if "torch" in sys.modules:
        return "the entry point's module imports torch"
    owned = [owned for owned in loaded.parts.all() if owned.plugin == name]
    for hook in ("ganzoo_datasets", "ganzoo_models", "ganzoo_recipes"):
        list(loaded.call(hook))
    if "torch" in sys.modules:
        return "calling its hooks imports torch"
    for part in (owned.part for owned in owned):
        with contextlib.suppress(Exception):  # another check says what is wrong with it
            part.provided(part.make_config(part.tiny))
        if "torch" in sys.modules:
            return f"{part.config} (config of {part.kind} {part.name!r}) imports torch"
    return ""
