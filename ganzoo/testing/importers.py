"""Checks of importers: they know their own files from others, whatever these hold."""

from __future__ import annotations

from typing import Any

import torch

from ganzoo.importing.tree import Checkpoint, Record
from ganzoo.testing.results import CheckFailed
from ganzoo.testing.subject import BuiltTarget


def foreign_files() -> list[Checkpoint]:
    """Files that no importer can take for its own: empty ones, odd ones, and one in a circle."""
    circle: dict[str, Any] = {"state": []}
    circle["state"].append(circle)
    itself = Record("nowhere", "Thing")
    object.__setattr__(itself, "state", {"self": itself})
    roots: list[Any] = [
        None, 0, "", b"", [], {}, (), {1: 2, None: {}, (1,): []}, [None, 1.5], circle, itself,
        torch.zeros(0), {"weight": None, "": 1}, {"G": None, "D": None, "G_ema": None},
        {"g_ema": {}, "generator": [], "netG": 1, "state_dict": {"x": "y"}},
        ({}, {}, {}), {"conformance.nowhere": torch.zeros(2, 3, 5)},
    ]  # fmt: skip
    return [Checkpoint("foreign.pt", 1, "0" * 64, "torch-zip", root) for root in roots]


def recognises_its_own(target: BuiltTarget) -> None:
    """It recognises no file that is of no program, and never raises over one."""
    importer = target.part.build()
    for file in foreign_files():
        try:
            answer = importer.recognises(file)
        except Exception as error:  # it is to look at files of anyone's
            raise CheckFailed(
                f"recognises() raises {type(error).__name__} over {_shown(file)}",
                "look at the types in the tree before you use them",
            ) from error
        if answer is not False:
            raise CheckFailed(
                f"recognises() says {answer!r} of {_shown(file)}", "say True of your files alone"
            )


def _shown(file: Checkpoint) -> str:
    root = file.root
    if isinstance(root, dict):
        return f"a dict with {[str(key) for key in root]}"
    return f"a {type(root).__name__}"
