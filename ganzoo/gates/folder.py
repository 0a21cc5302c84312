"""Whether a folder is a whole model, harmless to whoever opens it. None of these can be overridden.

Each gate after `hashes` needs those before it: what is not the file that was hashed, or no config,
cannot be judged further.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ganzoo import checkpoint, layout, plugins
from ganzoo.configs import config_from_dict
from ganzoo.errors import ConfigError, GanzooError
from ganzoo.gates.candidate import Candidate, Warn

LARGEST = 5 << 30
"""Bytes of a weight file that the Hub takes without further arrangement."""
JSON_FILES = ("training.json", "metrics.json", "audit.json")


def format(candidate: Candidate) -> Iterator[str]:
    """Only files of a model folder: no pickle, program, archive, link or folder among them."""
    for path in sorted(candidate.folder.iterdir()):
        if path.is_symlink():
            yield f"{path.name} is a link; put the file itself there"
        elif path.suffix.lower() in layout.PICKLES:
            yield f"{path.name} can run code when it is opened; only safetensors may hold weights"
        elif path.name not in layout.FILES or not path.is_file():
            yield f"{path.name} is no file of a model folder; move it out"
        elif path.stat().st_size > (largest := _largest(path.name)):
            yield f"{path.name} is larger than {largest >> 20:,} MiB"


def _largest(name: str) -> int:
    """Bytes that a file may have: with more, the Hub refuses it, or whoever fetches the model."""
    return LARGEST if name in layout.WEIGHTS.values() else layout.LARGEST_RECORD


def hashes(candidate: Candidate) -> Iterator[str]:
    """Every file is the one that SHA256SUMS names, and it names every file.

    The card may have been written in by hand, unless it is signed: it is made anew.
    """
    sums = layout.read_sums(candidate.folder)
    signed = layout.SIGNATURE in candidate.hashes
    for name, digest in sums.items():
        path = candidate.folder / name
        if not path.is_file():
            yield f"{path} is missing; get the folder afresh"
        elif candidate.hashes.get(name, digest) != digest and (signed or name != "README.md"):
            yield (
                f"{path} was changed or damaged: its SHA-256 is {candidate.hashes[name][:12]}…, not"
                f" {digest[:12]}…; get the folder afresh"
            )
    for name in sorted(candidate.hashes.keys() - {*sums, layout.SUMS, layout.SIGNATURE}):
        if signed or name != "README.md":
            yield f"{candidate.folder / name} is not named in {layout.SUMS}"


def config(candidate: Candidate) -> Iterator[str]:
    """config.json is what this ganzoo reads, and the other records are JSON objects."""
    networks = {"generator": candidate.config.generator}
    if candidate.config.discriminator is not None:
        networks["discriminator"] = candidate.config.discriminator
    for role, network in networks.items():
        try:
            part = checkpoint.find_part(candidate.config, role, network.part)
        except GanzooError:
            continue  # the plugin gate says so
        if part.version == network.version:
            where = f"{candidate.folder / layout.CONFIG}: {role}.config"
            try:
                config_from_dict(part.config_class, network.config, where=where)
            except ConfigError as error:
                yield str(error)
    for name in JSON_FILES:
        try:
            candidate.json(name)
        except GanzooError as error:
            yield str(error)


def plugin(candidate: Candidate) -> Iterator[str]:
    """The plugin is named, is installed here in a version that is asked for, and has the part."""
    from packaging.requirements import InvalidRequirement, Requirement

    config = candidate.config
    if not config.plugin:
        yield "config.json names no plugin; save the model with its plugin installed"
        return
    try:
        requirement = Requirement(config.requires)
    except InvalidRequirement:
        yield f"config.json requires {config.requires!r}, which pip does not understand"
        return
    if requirement.name.lower() != config.plugin.lower() or requirement.url:
        yield f"config.json requires {config.requires!r}, which is not its plugin {config.plugin}"
        return
    found = {found.distribution: found.version for found in plugins.load().found}
    checkpoint.find_part(config, "generator", config.generator.part)  # or say how to get it
    owners = {
        owned.distribution
        for owned in plugins.load().parts.all("generator")
        if owned.part.name == config.generator.part.rpartition(":")[2]
    }
    if config.plugin not in owners:
        yield (
            f"config.json names the plugin {config.plugin}, but the generator"
            f" {config.generator.part!r} is of {', '.join(sorted(owners))}"
        )
    elif not requirement.specifier.contains(found[config.plugin] or "0", prereleases=True):
        yield f"{config.plugin} {found[config.plugin]} is installed, not {config.requires}"
    yield from _impostor(config.plugin)


def _impostor(plugin: str) -> Iterator[str]:
    from ganzoo.registry import curated_distributions

    if re.match(r"ganzoo[-_.]", plugin) and plugin not in curated_distributions():
        yield Warn(f"the plugin {plugin} is not reviewed: readers are not told to install it")


def header(candidate: Candidate) -> Iterator[str]:
    """The weight files are sound safetensors of just the networks that config.json describes, and
    every value is finite."""
    checkpoint.load_generator(candidate.folder, hashes=candidate.hashes)
    if layout.has_discriminator(candidate.folder) and candidate.config.discriminator is not None:
        checkpoint.load_discriminator(candidate.folder, hashes=candidate.hashes)
    if candidate.config.storage_dtype == "float16":
        yield Warn("the weights are float16 only: fine-tuning starts from rounded values")
