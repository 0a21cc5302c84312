"""What an importer is: it recognises one family of checkpoints and converts them.

A plugin declares importers as parts of kind "importer". What cannot be inferred from a file is
asked for by a setting: a field of the importer's config, given as `--set NAME=VALUE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from ganzoo.importing.tree import Checkpoint


class Importer:
    """Base of every importer. Its config, a frozen dataclass, holds what users may have to say.

    Every field of the config has a default, since files are recognised with the default config, and
    its module imports no torch, since importers are listed without it. A file's values may be of
    any type, and a tree may hold itself: `tree.tensors` and `tree.records` walk it safely.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """Whether the file is of this family. Cheap, exact, never raises: a file that two importers
        recognise is refused until `--as` says which is meant."""
        raise NotImplementedError

    def convert(self, checkpoint: Checkpoint) -> Converted:
        """The networks of a file, in our layout.

        Raises:
            InputError: something is missing, or cannot be inferred; the remedy names the setting
                to give (`--set output=tanh`). Nothing is ever guessed.
        """
        raise NotImplementedError


class Fate(NamedTuple):
    """What became of a tensor: `target` names ours ("generator: blocks.0.weight"), "" for dropped;
    `note` says how it was changed, or why it was dropped."""

    source: str
    target: str
    note: str = ""


@dataclass(frozen=True)
class Network:
    """One converted network: the part's name, its config's settings, its whole state dict."""

    part: str
    config: Mapping[str, Any]
    state: Mapping[str, Tensor]


@dataclass(frozen=True)
class Converted:
    """What an importer returns.

    Attributes:
        program: which program wrote the file, for the card ("NVlabs/stylegan2-ada-pytorch").
        generator: the averaged one where the file has several.
        discriminator: None where the file has none.
        fates: of every tensor of the file.
        license: SPDX identifier or name, where the file's origin settles it; "" else.
        license_url: of a licence that has no SPDX identifier.
        notes: what people should know of the conversion, a sentence each, for the card.
    """

    program: str
    generator: Network
    discriminator: Network | None = None
    fates: tuple[Fate, ...] = ()
    license: str = ""
    license_url: str = ""
    notes: tuple[str, ...] = ()
