"""What can be wrong with a plugin: the healthy one with one fault, which one check must catch."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ganzoo import checkpoint, layout

MODEL = "ganzoo_healthy/models/healthy.shapes"
"""The bundled model, which the tests add to the healthy plugin."""


@dataclass(frozen=True)
class Fault:
    """A change of the plugin's folder, and the check that must catch it, on which target.

    "*" is any target; `generator:healthy` is also the generator with another setting.
    """

    check: str
    target: str
    title: str
    break_it: Callable[[Path], None]

    def __str__(self) -> str:
        return f"{self.check}: {self.title}"

    def concerns(self, target: str) -> bool:
        return self.target == "*" or target.partition(",")[0] == self.target


@dataclass(frozen=True)
class Edits:
    """Changes of text: in each file, the first `old` becomes `new`."""

    changes: tuple[tuple[str, str, str], ...]

    def __call__(self, plugin: Path) -> None:
        for file, old, new in self.changes:
            text = (plugin / file).read_text()
            assert old in text, f"{file} has no {old!r}"
            (plugin / file).write_text(text.replace(old, new, 1))


def read_faults(text: str) -> list[Fault]:
    """The faults of broken_plugins.txt: a head, then for each change `@ file`, `- old`, `+ new`."""
    faults = []
    for block in re.split(r"\n{2,}", text.strip())[1:]:
        head, *lines = block.splitlines()
        check, target, title = re.fullmatch(r"(\w+)\[(.+?)\] (.+)", head).groups()
        changes: list[tuple[str, list[str], list[str]]] = []
        for line in lines:
            sign, content = line[0], line[2:]
            if sign == "@":
                changes.append((content, [], []))
            else:
                changes[-1]["@-+".index(sign)].append(content)
        edits = tuple((file, "\n".join(old), "\n".join(new)) for file, old, new in changes)
        faults.append(Fault(check, target, title, Edits(edits)))
    return faults


# -- faults of a bundled model --------------------------------------------------------------------


def flip_a_byte(plugin: Path) -> None:
    path = plugin / MODEL / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def make_all_images_the_same(plugin: Path) -> None:
    generator = checkpoint.load_generator(plugin / MODEL)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.zero_()
    checkpoint.save(plugin / MODEL, generator)


def forget_the_licence(plugin: Path) -> None:
    generator = checkpoint.load_generator(plugin / MODEL)
    checkpoint.save(plugin / MODEL, generator, info=layout.ModelInfo())


def add_six_megabytes(plugin: Path) -> None:
    (plugin / MODEL / "notes.txt").write_bytes(bytes(6_000_000))
    layout.write_sums(plugin / MODEL)


FAULTS = [
    *read_faults(Path(__file__).with_suffix(".txt").read_text()),
    Fault("model_intact", "model:healthy.shapes", "damaged", flip_a_byte),
    Fault("model_licensed", "model:healthy.shapes", "no licence", forget_the_licence),
    Fault("model_small", "model:healthy.shapes", "too large", add_six_megabytes),
    Fault("model_samples", "model:healthy.shapes", "one image", make_all_images_the_same),
]
