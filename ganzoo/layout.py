"""What a model folder looks like, read and checked without torch.

config.json                what rebuilds the networks; names the plugin that is needed
model.safetensors          the generator (averaged weights)
discriminator.safetensors  optional
training.json, metrics.json, samples.png, README.md
audit.json, audit.html     optional: what was found of copies, coverage and membership
SHA256SUMS                 the hash of every file, checked before a file is used
model.sig                  optional: a signature over every other file, see ganzoo/signing.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ganzoo import files
from ganzoo.configs import config_from_dict
from ganzoo.errors import CheckpointError, IntegrityError, NotFoundError

SHOWS_TRAINING_IMAGES = b'<meta name="ganzoo" content="shows training images">'
"""In the head of an audit's page that is not to be published."""
FORMAT = 1
CONFIG, SUMS, SIGNATURE = "config.json", "SHA256SUMS", "model.sig"
WEIGHTS = {"generator": "model.safetensors", "discriminator": "discriminator.safetensors"}
KNOWN_FILES = (
    CONFIG,
    *WEIGHTS.values(),
    "training.json",
    "metrics.json",
    "audit.json",
    "audit.html",
    "samples.png",
    "README.md",
    SIGNATURE,
)
FILES = (*KNOWN_FILES, SUMS)
"""All that a model folder may hold."""
LARGEST_RECORD = 32 << 20
"""Bytes that a file of a model folder may have that holds no weights."""
LARGEST_TEXT = 4 << 20
"""Bytes that a file may have which is read as text; JSON takes many times its size in memory."""
_MOST_FILES, _DEEPEST = 200, 32
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".tar", ".npz"}


@dataclass(frozen=True)
class NetworkConfig:
    """A network in config.json: the part, its version that wrote the weights, its settings."""

    part: str
    version: int
    config: Mapping[str, Any]


@dataclass(frozen=True)
class DatasetInfo:
    """What the model was trained on, and whom to credit for it. `content_crop` (top, left, height,
    width) is the part of the image that has content, where the images were padded. A set that
    nobody else can get is called "private"; `consent` then says by what right it was used."""

    name: str = ""
    license: str = "unknown"
    digest: str = ""
    content_crop: tuple[int, ...] | None = None
    credit: str = ""
    size: int = 0
    consent: str = ""


@dataclass(frozen=True)
class ModelConfig:
    """config.json. `plugin` is the distribution, `requires` what to pip install to load this.

    `shows_people` and `not_for_all_audiences` are None until their author says yes or no. A licence
    that the Hub does not know by name is "other", with `license_name` and `license_link`.
    `overrides` are the gates that stopped the publication, with the reason why it went on.
    """

    format: int
    name: str
    plugin: str
    requires: str
    generator: NetworkConfig
    discriminator: NetworkConfig | None = None
    storage_dtype: Literal["float32", "float16"] = "float32"
    license: str = "unknown"
    summary: str = ""
    dataset: DatasetInfo = DatasetInfo()
    classes: tuple[str, ...] = ()
    license_name: str = ""
    license_link: str = ""
    shows_people: bool | None = None
    not_for_all_audiences: bool | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)

    def with_info(self, info: ModelInfo) -> ModelConfig:
        """A config that says what `info` does."""
        return replace(
            self,
            license=info.license,
            summary=info.summary,
            dataset=DatasetInfo(
                name=info.dataset,
                license=info.dataset_license,
                digest=info.dataset_digest,
                content_crop=info.content_crop,
                credit=info.dataset_credit,
                size=info.dataset_size,
                consent=info.dataset_consent,
            ),
            classes=tuple(info.classes),
            license_name=info.license_name,
            license_link=info.license_link,
            shows_people=info.shows_people,
            not_for_all_audiences=info.not_for_all_audiences,
        )


@dataclass(frozen=True)
class ModelInfo:
    """What a model folder says beside its networks."""

    license: str = "unknown"
    summary: str = ""
    dataset: str = ""
    dataset_license: str = "unknown"
    dataset_digest: str = ""
    dataset_credit: str = ""
    content_crop: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    dataset_size: int = 0
    dataset_consent: str = ""
    license_name: str = ""
    license_link: str = ""
    shows_people: bool | None = None
    not_for_all_audiences: bool | None = None

    @classmethod
    def of(cls, config: ModelConfig) -> ModelInfo:
        """What a config says."""
        data = config.dataset
        return cls(
            license=config.license,
            summary=config.summary,
            dataset=data.name,
            dataset_license=data.license,
            dataset_digest=data.digest,
            dataset_credit=data.credit,
            content_crop=data.content_crop,
            classes=config.classes,
            dataset_size=data.size,
            dataset_consent=data.consent,
            license_name=config.license_name,
            license_link=config.license_link,
            shows_people=config.shows_people,
            not_for_all_audiences=config.not_for_all_audiences,
        )


def read_config(folder: Path, *, hashes: Mapping[str, str] | None = None) -> ModelConfig:
    """Read and check config.json, without torch and before anything else of the folder is used.

    Args:
        folder: a model folder.
        hashes: of files that were found right just now, and are not hashed again.

    Raises:
        CheckpointError: no model folder, or a config that is damaged or from the future.
        IntegrityError: the file is not the one that SHA256SUMS names.
    """
    folder = Path(folder)
    _refuse_foreign(folder)
    if not hashes or CONFIG not in hashes:
        check_file(folder, CONFIG)
    path = folder / CONFIG
    document = read_json(path)
    if document.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {document.get('format')!r}, this ganzoo reads {FORMAT}",
            "pip install --upgrade ganzoo",
        )
    return config_from_dict(ModelConfig, document, where=str(path))


def read_text(path: Path) -> str:
    """A text file of a model folder, UTF-8, of a size that can be meant.

    Raises:
        CheckpointError: it cannot be read, is too large, or no UTF-8.
    """
    try:
        if not path.is_file():
            raise ValueError("it is missing, or no file")
        if path.stat().st_size > LARGEST_TEXT:
            raise ValueError(f"it has more than {LARGEST_TEXT:,} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "get the folder afresh") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder that every reader can walk through, print and write again.

    Raises:
        CheckpointError: it is no such file.
    """
    try:
        document = json.loads(read_text(path))
        if not isinstance(document, dict):
            raise ValueError("it holds no JSON object")
        _check_depth(document)
        json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is no valid JSON: {error}", "get the folder afresh"
        ) from error
    return document


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            item
            for value in level
            if isinstance(value, (dict, list))
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {_DEEPEST} levels")


def has_discriminator(folder: Path) -> bool:
    return (Path(folder) / WEIGHTS["discriminator"]).is_file()


def _refuse_foreign(folder: Path) -> None:
    if folder.is_file() and folder.suffix.lower() in PICKLES:
        raise CheckpointError(
            f"{folder} is a {folder.suffix} file, which can run code when opened",
            "ganzoo loads model folders only; ask its author for safetensors",
        )
    if folder.is_file():
        raise CheckpointError(f"{folder} is a file", "give a model or run folder")
    if not folder.is_dir():
        raise NotFoundError(f"there is no model folder {folder}", "check the path")
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"{folder} is no model folder: it has no {CONFIG}", "give a model or run folder"
        )


# -- hashes --------------------------------------------------------------------------------------


_NAME = re.compile(r"[\w\-][\w.\-]{0,254}", re.ASCII)


def read_sums(folder: Path) -> dict[str, str]:
    """File name -> hash, from SHA256SUMS; only plain names are accepted."""
    path = Path(folder) / SUMS
    sums: dict[str, str] = {}
    for line in read_text(path).splitlines():
        match = re.fullmatch(rf"([0-9a-f]{{64}}) [ *]({_NAME.pattern})", line, re.ASCII)
        if match is None or match[2] in sums or len(sums) == _MOST_FILES:
            raise CheckpointError(f"{path} has an odd line: {line[:80]!r}", "get the folder afresh")
        sums[match[2]] = match[1]
    return sums


def check_file(folder: Path, name: str) -> str:
    """Hash a file and compare with SHA256SUMS; returns the hash."""
    expected = read_sums(folder).get(name)
    path = Path(folder) / name
    if expected is None:
        raise IntegrityError(f"{path} is not named in {SUMS}", "get the folder afresh")
    if not path.is_file():
        raise CheckpointError(f"{path} is missing", "get the folder afresh")
    actual = files.sha256(path)
    if actual != expected:
        raise IntegrityError(
            f"{path} was changed or damaged: its SHA-256 is {actual[:12]}…, not {expected[:12]}…",
            "get the folder afresh",
        )
    return actual


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS over every other file of the folder; whatever edits a folder calls it.

    A signature covered the files as they were, SHA256SUMS among them: it goes. A file of a name
    that no list of hashes can have (with a space, …) is none of the model's, and left out.
    """
    remove_signature(folder)
    lines = [
        f"{files.sha256(path)}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != SUMS and _NAME.fullmatch(path.name)
    ]
    files.write_text(folder / SUMS, "".join(lines))


def remove_signature(folder: Path) -> None:
    """What was signed is about to change."""
    with files.writable(folder):
        (folder / SIGNATURE).unlink(missing_ok=True)
