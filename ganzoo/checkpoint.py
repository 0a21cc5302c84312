"""Saving networks as a model folder, and rebuilding them from one.

Nothing is ever unpickled, and nothing in a folder chooses code: `config.json` names a part of an
installed plugin, and its settings must pass that part's config class. Every file is hashed before
it is used.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganzoo import files, layout, plugins, revocation, weights
from ganzoo.configs import config_from_dict, config_to_dict
from ganzoo.errors import CheckpointError, GanzooError, NotFoundError, PluginError
from ganzoo.parts import Part, resolve
from ganzoo.torch_defaults import usual_defaults

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.images import Images
    from ganzoo.models import Discriminator, Generator


# -- writing -------------------------------------------------------------------------------------


@usual_defaults()
def save(
    folder: str | Path,
    generator: Generator,
    *,
    name: str = "",
    discriminator: Discriminator | None = None,
    storage_dtype: Literal["float32", "float16"] | None = None,
    training: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    info: layout.ModelInfo | None = None,
) -> Path:
    """Write a model folder, as a whole or not at all.

    Args:
        folder: is replaced if it is a model folder already.
        generator: one that `ganzoo` built (its part is known).
        discriminator: the same of the critic that goes with it.
        storage_dtype: of the weights in the files; buffers stay float32. Without it, what the
            generator was loaded with, so that a re-save is byte-identical.
        training: written to training.json.
        metrics: written to metrics.json; an entry whose `weights_sha256` is "" gets the hash of
            the weights that are written.

    Returns:
        The folder.
    """
    from ganzoo import card, contact_sheet, provenance

    folder = Path(folder)
    if folder.exists() and not (folder / layout.CONFIG).exists() and any(folder.iterdir()):
        raise CheckpointError(f"{folder} exists and is no model folder", "choose another place")
    loaded: layout.ModelConfig | None = generator.record.get("config")
    info = info or (layout.ModelInfo.of(loaded) if loaded else layout.ModelInfo())
    owner = _owner(generator)
    config = layout.ModelConfig(
        format=layout.FORMAT,
        name=name or (loaded.name if loaded else ""),
        plugin=owner[0],
        requires=owner[1],
        generator=_network_config(generator),
        discriminator=_network_config(discriminator) if discriminator is not None else None,
        storage_dtype=storage_dtype or (loaded.storage_dtype if loaded else "float32"),
    )
    config = config.with_info(info)
    with files.replacing_folder(folder) as temporary:
        networks = {"generator": generator, "discriminator": discriminator}
        for role, network in networks.items():
            if network is not None:
                weights.write(temporary / layout.WEIGHTS[role], network, config.storage_dtype)
        digest = files.sha256(temporary / layout.WEIGHTS["generator"])
        write_json(temporary / layout.CONFIG, config_to_dict(config))
        if training is not None:
            write_json(temporary / "training.json", training)
        if metrics is not None:
            write_json(temporary / "metrics.json", _of_weights(metrics, digest))
        n = contact_sheet.shown_of(
            generator.image_shape, generator.num_classes, generator.samples_shown
        )
        images = as_stored(generator, config.storage_dtype).sample(n)
        record = {
            "model": config.name,
            "plugin": plugins.described(config.plugin),
            "weights_sha256": digest,
            "seeds": images.seeds,
            "labels": images.labels,
        }
        provenance.save_grid(images.to_uint8(), temporary / "samples.png", record=record)
        card.write_card(temporary, previous=folder / "README.md")
        layout.write_sums(temporary)
    return folder


def _of_weights(metrics: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """The metrics, those that name no weights as of these."""
    return {
        name: {**entry, "weights_sha256": digest}
        if isinstance(entry, Mapping) and entry.get("weights_sha256") == ""
        else entry
        for name, entry in metrics.items()
    }


def as_stored(generator: Generator, storage_dtype: str) -> Generator:
    """A copy with the weights that a load will find, in eval mode."""
    import torch

    stored = copy.deepcopy(generator).eval()
    if storage_dtype == "float16":
        with torch.no_grad():
            for parameter in stored.parameters():
                parameter.copy_(parameter.half())
    return stored


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """A record of a model folder, as all of them are written."""
    files.write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _network_config(network: Any) -> layout.NetworkConfig:
    part: Part | None = network.part
    if part is None:
        raise CheckpointError(
            f"{type(network).__name__} was not built from a part",
            "make it with ganzoo.models.build",
        )
    return layout.NetworkConfig(part.name, part.version, config_to_dict(network.config))


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


# -- reading -------------------------------------------------------------------------------------


def load_generator(folder: str | Path, *, hashes: Mapping[str, str] | None = None) -> Generator:
    """Rebuild the generator of a model folder, in eval mode on the CPU.

    Args:
        folder: a model folder.
        hashes: SHA-256 of files that were computed and found right just now: these are not hashed
            again.

    Raises:
        CheckpointError, IntegrityError, PluginError, ConfigError: one line, and nothing was run.
        RevokedError: these weights are not to be used, and why.
    """
    generator: Generator = _load(Path(folder), "generator", hashes or {})
    return generator


def load_discriminator(
    folder: str | Path, *, hashes: Mapping[str, str] | None = None
) -> Discriminator:
    """Rebuild the discriminator of a model folder that has one; see `load_generator`."""
    discriminator: Discriminator = _load(Path(folder), "discriminator", hashes or {})
    return discriminator


@usual_defaults()
def _load(folder: Path, role: str, hashes: Mapping[str, str]) -> Any:
    config = layout.read_config(folder, hashes=hashes)
    network: layout.NetworkConfig | None = getattr(config, role)
    path = folder / layout.WEIGHTS[role]
    if network is None or not path.is_file():
        raise CheckpointError(
            f"{folder} has no {role} ({path.name})",
            "choose another model" if role == "generator" else "use a run folder of your own",
        )
    digest = hashes.get(path.name) or layout.check_file(folder, path.name)
    revocation.refuse_revoked(digest, str(path))
    part = find_part(config, role, network.part)

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
            part.config_class, settings, where=f"{folder / layout.CONFIG}: {role}.config"
        )
        module = weights.build_if_fitting(part, built_config, header, path)
        if tensors is None:
            weights.fill(module, path, header)
        else:
            weights.fill_from(module, tensors, path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}", "get the folder afresh") from error
    module.eval().requires_grad_(False)
    if role == "generator":
        module.name = config.name or folder.name
        module.record = {
            "model": module.name,
            "plugin": plugins.described(config.plugin),
            "weights_sha256": digest,
            "config": config,
        }
    return module


def find_part(config: layout.ModelConfig, role: str, name: str) -> Part:
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
    except (NotFoundError, PluginError) as error:
        from ganzoo import registry

        what = f"{config.name or 'this model'} ({role} {name!r})"
        raise registry.lacking(config.plugin, what, config.requires) from error


def _upgrade(
    part: Part, network: layout.NetworkConfig, tensors: dict[str, Tensor], folder: Path
) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    if network.version > part.version or not part.upgrade:
        raise CheckpointError(
            f"{folder} holds version {network.version} of {part.kind} {part.name!r},"
            f" installed is version {part.version}",
            "pip install --upgrade the plugin",
        )
    try:
        settings, upgraded = resolve(part.upgrade)(network.version, dict(network.config), tensors)
    except GanzooError:
        raise
    except Exception as error:  # what it is given may be anything
        raise CheckpointError(
            f"{folder} cannot be upgraded from version {network.version} of {part.kind}"
            f" {part.name!r}: {type(error).__name__}: {error}",
            "get the folder afresh",
        ) from error
    return settings, upgraded


def verify(folder: str | Path) -> list[str]:
    """What is wrong with a folder: every hash is checked, a strict load, finite images, and that
    they are those of samples.png."""
    folder = Path(folder)
    problems: list[str] = []
    try:
        sums = layout.read_sums(folder)
        for name in sums:
            try:
                layout.check_file(folder, name)
            except CheckpointError as error:
                problems.append(str(error))
        for path in sorted(folder.iterdir()):
            known = {*sums, layout.SUMS, layout.SIGNATURE}  # the signature covers the sums
            if path.name not in known and not path.name.startswith("."):
                problems.append(f"{path} is not named in {layout.SUMS}")
        problems += sample_problems(folder, load_generator(folder))
        if layout.has_discriminator(folder):
            load_discriminator(folder)
    except GanzooError as error:
        if str(error) not in problems:
            problems.append(str(error))
    return problems


def sample_problems(folder: Path, generator: Generator, *, whole: bool = False) -> list[str]:
    """What is wrong with the images that it makes, against samples.png: with those of the first
    seeds, which takes little time and memory, or with all that are shown there."""
    import numpy as np

    from ganzoo import contact_sheet, inspection, marks

    first = min(8, max(1, (1 << 22) // math.prod(generator.image_shape)))
    path = folder / "samples.png"
    record = marks.read_record(path) if path.is_file() else None
    seeds = re.fullmatch(r"0-(\d{1,4})", str((record or {}).get("seeds")))
    shown = None
    if seeds is not None:
        n = int(seeds[1]) + 1
        shown = contact_sheet.images_of(
            inspection.read_pixels(path, formats=("PNG",)),
            n=n,
            image_shape=generator.image_shape,
            first=n if whole else first,
        )
    images = _some_images(generator, first if shown is None else len(shown))
    if not bool(images.isfinite().all()):
        return [f"{folder}: the images are not finite"]
    if seeds is None:
        return []
    if shown is not None:
        near = np.abs(shown.astype(int) - images.to_uint8()) <= 1  # devices round differently
        if near.mean(axis=(1, 2, 3)).min() >= 0.99:
            return []
    return [f"{path} does not show the images that these weights make"]


def _some_images(generator: Generator, n: int) -> Images:
    """Those of the first seeds."""
    try:
        return generator.sample(n)
    except (RuntimeError, ValueError, ArithmeticError, LookupError) as error:
        if "memory" in str(error):
            raise
        raise CheckpointError(
            f"{generator.name} cannot make an image ({type(error).__name__}: {error})",
            "its config suits no such network; get the folder afresh",
        ) from error
