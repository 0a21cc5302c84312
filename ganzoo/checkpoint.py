"""The model folder: a config that rebuilds the networks, and their weights as hashed safetensors.

    config.json                what rebuilds the networks; names the plugin that is needed
    model.safetensors          the generator (averaged weights)
    discriminator.safetensors  optional
    training.json, metrics.json, samples.png, README.md
    SHA256SUMS                 the hash of every file, checked before a file is used

Nothing here is ever unpickled, and nothing in a folder chooses code: `config.json` names a part of
an installed plugin, and its settings must pass that part's config class.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganzoo import files, plugins, weights
from ganzoo.configs import config_from_dict, config_to_dict
from ganzoo.errors import (
    CheckpointError,
    ConfigError,
    IntegrityError,
    NotFoundError,
    PluginError,
)
from ganzoo.parts import Part, resolve

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.models import Discriminator, Generator

FORMAT = 1
CONFIG, SUMS = "config.json", "SHA256SUMS"
WEIGHTS = {"generator": "model.safetensors", "discriminator": "discriminator.safetensors"}
KNOWN_FILES = (
    CONFIG,
    *WEIGHTS.values(),
    "training.json",
    "metrics.json",
    "samples.png",
    "README.md",
)
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".tar", ".npz"}


@dataclass(frozen=True)
class NetworkConfig:
    """A network in config.json: the part, its version that wrote the weights, its settings."""

    part: str
    version: int
    config: Mapping[str, Any]


@dataclass(frozen=True)
class DatasetInfo:
    """What the model was trained on. `content_crop` (top, left, height, width) is the part of the
    image that has content, where the images were padded."""

    name: str = ""
    license: str = "unknown"
    digest: str = ""
    content_crop: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ModelConfig:
    """config.json. `plugin` is the distribution, `requires` what to pip install to load this."""

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


@dataclass(frozen=True)
class ModelInfo:
    """What a model folder says beside its networks."""

    license: str = "unknown"
    summary: str = ""
    dataset: str = ""
    dataset_license: str = "unknown"
    dataset_digest: str = ""
    content_crop: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()


# -- writing -------------------------------------------------------------------------------------


def save(
    folder: str | Path,
    generator: Generator,
    *,
    name: str = "",
    discriminator: Discriminator | None = None,
    storage_dtype: Literal["float32", "float16"] | None = None,
    training: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    info: ModelInfo | None = None,
) -> Path:
    """Write a model folder, as a whole or not at all.

    Args:
        folder: is replaced if it is a model folder already.
        generator, discriminator: networks that `ganzoo` built (their part is known).
        storage_dtype: of the weights in the files; buffers stay float32. Without it, what the
            generator was loaded with, so that a re-save is byte-identical.
        training, metrics: written to training.json and metrics.json.

    Returns:
        The folder.
    """
    from ganzoo import card, provenance

    folder = Path(folder)
    if folder.exists() and not (folder / CONFIG).exists() and any(folder.iterdir()):
        raise CheckpointError(f"{folder} exists and is no model folder", "choose another place")
    loaded: ModelConfig | None = generator.record.get("config")
    info = info or (_info_of(loaded) if loaded else ModelInfo())
    owner = _owner(generator)
    config = ModelConfig(
        format=FORMAT,
        name=name or (loaded.name if loaded else ""),
        plugin=owner[0],
        requires=owner[1],
        generator=_network_config(generator),
        discriminator=_network_config(discriminator) if discriminator is not None else None,
        storage_dtype=storage_dtype or (loaded.storage_dtype if loaded else "float32"),
        license=info.license,
        summary=info.summary,
        dataset=DatasetInfo(
            info.dataset, info.dataset_license, info.dataset_digest, info.content_crop
        ),
        classes=tuple(info.classes),
    )
    with files.replacing_folder(folder) as temporary:
        networks = {"generator": generator, "discriminator": discriminator}
        for role, network in networks.items():
            if network is not None:
                weights.write(temporary / WEIGHTS[role], network, config.storage_dtype)
        _write_json(temporary / CONFIG, config_to_dict(config))
        if training is not None:
            _write_json(temporary / "training.json", training)
        if metrics is not None:
            _write_json(temporary / "metrics.json", metrics)
        n = 10 * generator.num_classes if 0 < generator.num_classes <= 10 else 64
        images = _as_stored(generator, config.storage_dtype).sample(n)
        digest = files.sha256(temporary / WEIGHTS["generator"])
        provenance.save_grid(
            images.to_uint8(),
            temporary / "samples.png",
            record={
                "model": config.name,
                "plugin": config.plugin,
                "weights_sha256": digest,
                "seeds": f"0-{n - 1}",
            },
        )
        card.write_card(temporary, previous=folder / "README.md")
        write_sums(temporary)
    return folder


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS over every other file of the folder; whatever edits a folder calls it."""
    lines = [
        f"{files.sha256(path)}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != SUMS and not path.name.startswith(".")
    ]
    files.write_text(folder / SUMS, "".join(lines))


def _as_stored(generator: Generator, storage_dtype: str) -> Generator:
    """A copy with the weights that a load will find, in eval mode."""
    import torch

    stored = copy.deepcopy(generator).eval()
    if storage_dtype == "float16":
        with torch.no_grad():
            for parameter in stored.parameters():
                parameter.copy_(parameter.half())
    return stored


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    files.write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _network_config(network: Any) -> NetworkConfig:
    part: Part | None = network.part
    if part is None:
        raise CheckpointError(
            f"{type(network).__name__} was not built from a part",
            "make it with ganzoo.models.build",
        )
    return NetworkConfig(part.name, part.version, config_to_dict(network.config))


def _owner(generator: Generator) -> tuple[str, str]:
    """The distribution that brings the generator's part, and the requirement to install it."""
    for owned in plugins.load().parts.all("generator"):
        if owned.part == generator.part:  # a copied generator has a copied part
            version = next((p.version for p in plugins.load().found if p.name == owned.plugin), "")
            numbers = re.match(r"(\d+)\.(\d+)", version)
            if not numbers:
                return owned.distribution, owned.distribution
            major, minor = int(numbers[1]), int(numbers[2])
            upper = f"{major + 1}" if major else f"0.{minor + 1}"
            return owned.distribution, f"{owned.distribution}>={major}.{minor},<{upper}"
    return "", ""


def _info_of(config: ModelConfig) -> ModelInfo:
    data = config.dataset
    return ModelInfo(
        config.license, config.summary, data.name, data.license, data.digest, data.content_crop,
        config.classes,
    )  # fmt: skip


# -- reading -------------------------------------------------------------------------------------


def read_config(folder: Path) -> ModelConfig:
    """Read and check config.json, without torch and before anything else of the folder is used.

    Raises:
        CheckpointError: no model folder, or a config that is damaged or from the future.
        IntegrityError: the file is not the one that SHA256SUMS names.
    """
    folder = Path(folder)
    _refuse_foreign(folder)
    check_file(folder, CONFIG)
    path = folder / CONFIG
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is no valid JSON: {error}", "get the folder afresh"
        ) from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path} holds no JSON object", "get the folder afresh")
    if document.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {document.get('format')!r}, this ganzoo reads {FORMAT}",
            "pip install --upgrade ganzoo",
        )
    return config_from_dict(ModelConfig, document, where=str(path))


def load_generator(folder: str | Path, *, sha256: str | None = None) -> Generator:
    """Rebuild the generator of a model folder, in eval mode on the CPU.

    Args:
        folder: a model folder.
        sha256: of model.safetensors, where a registry knows it; it takes precedence.

    Raises:
        CheckpointError, IntegrityError, PluginError, ConfigError: one line, and nothing was run.
    """
    generator: Generator = _load(Path(folder), "generator", sha256)
    return generator


def load_discriminator(folder: str | Path, *, sha256: str | None = None) -> Discriminator:
    """Rebuild the discriminator of a model folder that has one, in eval mode on the CPU."""
    discriminator: Discriminator = _load(Path(folder), "discriminator", sha256)
    return discriminator


def has_discriminator(folder: Path) -> bool:
    return (Path(folder) / WEIGHTS["discriminator"]).is_file()


def _load(folder: Path, role: str, sha256: str | None) -> Any:
    config = read_config(folder)
    network: NetworkConfig | None = getattr(config, role)
    path = folder / WEIGHTS[role]
    if network is None or not path.is_file():
        raise CheckpointError(
            f"{folder} has no {role} ({path.name})",
            "choose another model" if role == "generator" else "use a run folder of your own",
        )
    digest = check_file(folder, path.name, sha256)
    part = _find_part(config, role, network.part)

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header = weights.read_header(path)
    settings: Mapping[str, Any] = network.config
    tensors: dict[str, Tensor] | None = None
    try:
        if network.version != part.version:
            tensors = load_file(path)
            settings, tensors = _upgrade(part, network, tensors, folder)
            header = weights.header_of(tensors)
        built_config = config_from_dict(
            part.config_class, settings, where=f"{folder / CONFIG}: {role}.config"
        )
        module = weights.build_if_fitting(part, built_config, header, path)
        weights.fill(module, tensors or load_file(path), path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}", "get the folder afresh") from error
    module.eval().requires_grad_(False)
    if role == "generator":
        module.name = config.name or folder.name
        module.record = {
            "model": module.name,
            "plugin": config.plugin,
            "weights_sha256": digest,
            "config": config,
        }
    return module


def _find_part(config: ModelConfig, role: str, name: str) -> Part:
    """The installed part; if its plugin is missing or broken, say how to get it."""
    loaded = plugins.load()
    try:
        owners = [
            o
            for o in loaded.parts.all(role)
            if o.part.name == name.rpartition(":")[2] and o.distribution == config.plugin
        ]
        if len(owners) == 1:
            return owners[0].part
        return loaded.parts.get(role, name)
    except NotFoundError as error:
        for plugin in loaded.found:
            if plugin.distribution == config.plugin and plugin.error:
                raise PluginError(
                    f"{config.name or 'this model'} needs the plugin {config.plugin},"
                    f" which is installed but broken ({plugin.error})",
                    "ganzoo plugins shows more",
                ) from error
        from ganzoo import registry

        if config.plugin in registry.curated_distributions():
            # `requires` is a stranger's text: only its version range may be taken over
            version = re.match(r"[<>=!~,.\d]*$", config.requires.removeprefix(config.plugin))
            remedy = f"pip install '{config.plugin}{version[0] if version else ''}'"
        else:
            remedy = f"its author names the plugin {config.plugin!r}, which ganzoo has not reviewed"
        raise PluginError(
            f"{config.name or 'this model'} needs the {role} {name!r} of a plugin that is not"
            " installed",
            remedy,
        ) from error


def _upgrade(
    part: Part, network: NetworkConfig, tensors: dict[str, Tensor], folder: Path
) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    if network.version > part.version or not part.upgrade:
        raise CheckpointError(
            f"{folder} holds version {network.version} of {part.kind} {part.name!r},"
            f" installed is version {part.version}",
            "pip install --upgrade the plugin",
        )
    settings, upgraded = resolve(part.upgrade)(network.version, dict(network.config), tensors)
    return settings, upgraded


# -- hashes --------------------------------------------------------------------------------------


def read_sums(folder: Path) -> dict[str, str]:
    """File name -> hash, from SHA256SUMS; only plain names are accepted."""
    path = Path(folder) / SUMS
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read", "get the folder afresh") from error
    sums = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([0-9a-f]{64}) [ *]([\w.\-]{1,255})", line)
        if match is None or match[2] in sums:
            raise CheckpointError(f"{path} has an odd line: {line[:80]!r}", "get the folder afresh")
        sums[match[2]] = match[1]
    return sums


def check_file(folder: Path, name: str, sha256: str | None = None) -> str:
    """Hash a file and compare with `sha256`, else with SHA256SUMS; returns the hash."""
    expected = sha256 or read_sums(folder).get(name)
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


def verify(folder: str | Path) -> list[str]:
    """What is wrong with a folder: every hash is checked, a strict load, finite images."""
    folder = Path(folder)
    problems: list[str] = []
    try:
        sums = read_sums(folder)
        for name in sums:
            try:
                check_file(folder, name)
            except CheckpointError as error:
                problems.append(str(error))
        for path in sorted(folder.iterdir()):
            if path.name not in sums and path.name != SUMS:
                problems.append(f"{path} is not named in {SUMS}")
        images = load_generator(folder).sample(8)
        if not bool(images.isfinite().all()):
            problems.append(f"{folder}: the images are not finite")
        if has_discriminator(folder):
            load_discriminator(folder)
    except (CheckpointError, ConfigError, PluginError, NotFoundError) as error:
        if str(error) not in problems:
            problems.append(str(error))
    return problems


def _refuse_foreign(folder: Path) -> None:
    if folder.is_file() and folder.suffix.lower() in PICKLES:
        raise CheckpointError(
            f"{folder} is a {folder.suffix} file, which can run code when opened",
            "ganzoo loads model folders only; ask its author for safetensors",
        )
    if not folder.is_dir():
        raise NotFoundError(f"there is no model folder {folder}", "check the path")
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"{folder} is no model folder: it has no {CONFIG}", "give a model or run folder"
        )
