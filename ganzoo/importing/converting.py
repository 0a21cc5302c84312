"""`ganzoo import`: another program's checkpoint becomes a model folder like any other."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ganzoo
from ganzoo import checkpoint, layout, metadata, plugins, weights
from ganzoo.configs import config_to_dict, toml_value
from ganzoo.errors import CheckpointError, ConfigError, GanzooError, InputError, printable
from ganzoo.importing.importer import Converted, Fate, Importer, Network
from ganzoo.importing.modules import check_tensors
from ganzoo.importing.reading import read
from ganzoo.importing.tree import Checkpoint, Record, label
from ganzoo.parts import OwnedPart

_MOST_SHOWN = 12


@dataclass(frozen=True)
class Conversion:
    """A file, read and converted; nothing is written yet.

    Attributes:
        path: of the file.
        checkpoint: as it was read.
        family: the importer's name.
        settings: its whole config.
        converted: what it made.
        generator, discriminator: the networks, built, with the converted weights.
    """

    path: Path
    checkpoint: Checkpoint
    family: str
    settings: Mapping[str, Any]
    converted: Converted
    generator: Any
    discriminator: Any


def import_checkpoint(
    path: str | Path,
    out: str | Path,
    *,
    family: str | None = None,
    settings: Mapping[str, Any] | Iterable[str] | None = None,
    license: str | None = None,
    license_link: str = "",
    dataset: str = "",
    name: str = "",
    force: bool = False,
) -> Path:
    """Convert another program's checkpoint into a model folder that `ganzoo.load` takes.

    The file is read without running anything in it: no name in it is imported or called.

    Args:
        path: a pickle, a file of `torch.save`, or a safetensors file.
        out: the model folder to write.
        family: the importer; by default the one that recognises the file.
        settings: what the file does not say, by name or as "name=value".
        license: of the weights, an SPDX identifier or a name; "unknown" says that it is not known.
            Needed where the file's origin does not settle it.
        license_link: where a licence is, that has no SPDX identifier.
        dataset: what it was trained on.
        name: of the model.
        force: replace a model folder that is there.

    Returns:
        The folder, written as a whole or not at all.

    Raises:
        CheckpointError: the file is damaged, tries something, or does not fit its network.
        InputError: no importer recognises it, or something must be said; the remedy names what.
    """
    check_out(Path(path), Path(out), force)
    conversion = convert(path, family=family, settings=settings)
    return write(
        conversion,
        out,
        license=license,
        license_link=license_link,
        dataset=dataset,
        name=name,
        force=force,
    )


# -- converting ----------------------------------------------------------------------------------


def convert(
    path: str | Path,
    *,
    family: str | None = None,
    settings: Mapping[str, Any] | Iterable[str] | None = None,
) -> Conversion:
    """Read a file and convert it, without writing anything; see `import_checkpoint`."""
    path = Path(path)
    given = _settings(settings)
    if family is not None:
        plugins.load().parts.get("importer", family)  # a wrong name is told before a long read
    found = read(path)
    check_tensors(found.root)
    owned = _recognised(found, path) if family is None else _importer(family)
    config = owned.part.make_config(given)
    try:
        importer: Importer = owned.part.build(config)
        converted = importer.convert(found)
    except GanzooError:
        raise
    except Exception as error:  # a file of anyone's may be odd in ways that nobody foresaw
        raise CheckpointError(
            f"{path} cannot be converted by the importer {owned.part.name!r}"
            f" ({type(error).__name__}: {error})",
            f"is it of that family? if so, tell the authors of {owned.distribution}",
        ) from error
    converted, networks = _built(_printable(converted), path)
    return Conversion(path, found, owned.part.name, config_to_dict(config), converted, *networks)


def _printable(converted: Converted) -> Converted:
    """Names of tensors are anyone's text: as it can be printed and written. So may notes be."""
    fates = (Fate(*(printable(text, longest=200) for text in fate)) for fate in converted.fates)
    notes = (printable(note, longest=1000) for note in converted.notes)
    return replace(converted, fates=tuple(fates), notes=tuple(notes))


def _settings(given: Mapping[str, Any] | Iterable[str] | None) -> dict[str, Any]:
    if given is None or isinstance(given, Mapping):
        return dict(given or {})
    out = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text!r} has no value", "write key=value")
        out[key.strip()] = toml_value(value.strip())
    return out


def _importer(family: str) -> OwnedPart:
    return plugins.load().parts.owner("importer", family)


def _recognised(found: Checkpoint, path: Path) -> OwnedPart:
    """The one importer that recognises the file."""
    importers = plugins.load().parts.all("importer")
    mine, failed = [], []
    for owned in importers:
        try:
            if owned.part.build().recognises(found):
                mine.append(owned)
        except Exception as error:  # a broken importer does not stand in the way of the others
            failed.append(f"{owned.part.name} ({type(error).__name__}: {error})")
    if len(mine) == 1:
        return mine[0]
    names = [owned.part.name for owned in mine or importers]
    if mine:
        raise InputError(
            f"{path} may be of several families: {', '.join(names)}",
            " or ".join(f"--as {name}" for name in names),
        )
    if not importers:
        raise InputError("no installed plugin imports checkpoints", "pip install 'ganzoo[all]'")
    broken = f"; broken importers: {', '.join(failed)}" if failed else ""
    raise InputError(
        f"{path} is of no family that is known here: it is {describe(found)}{broken}",
        f"known are {', '.join(names)}; --as NAME tries one all the same",
    )


def describe(found: Checkpoint) -> str:
    """What a file looks like, in words."""
    kinds = {
        "pickle": "a pickle",
        "torch-zip": "a file of torch.save",
        "torch-legacy": "a file of torch.save (of before torch 1.6)",
        "safetensors": "a safetensors file",
    }
    return f"{kinds[found.container]} with {_node(found.root)}"


def _node(node: Any) -> str:
    if isinstance(node, Record):
        return f"an object {node.module}.{node.name}"
    if isinstance(node, Tensor):
        return f"a tensor {list(node.shape)}"
    if isinstance(node, dict):
        names = [
            f"{label(name)[:60]}{f' {list(value.shape)}' if isinstance(value, Tensor) else ''}"
            for name, value in list(node.items())[:_MOST_SHOWN]
        ]
        more = ", …" if len(node) > len(names) else ""
        return f"{len(node)} entries: {', '.join(names)}{more}" if names else "an empty dict"
    if isinstance(node, (list, tuple)):
        return f"a {type(node).__name__} of {len(node)}"
    return f"a {type(node).__name__}"


def _built(converted: Converted, path: Path) -> tuple[Converted, tuple[Any, Any]]:
    """The networks with their weights, checked strictly: every tensor, no other, each finite."""
    modules: list[Any] = []
    notes = list(converted.notes)
    for role, network in (
        ("generator", converted.generator), ("discriminator", converted.discriminator),
    ):  # fmt: skip
        if network is None:
            modules.append(None)
            continue
        part = plugins.load().parts.get(role, network.part)
        config = part.make_config(network.config)
        state = {name: _as_stored(tensor) for name, tensor in network.state.items()}
        if any(tensor.dtype == torch.float64 for tensor in network.state.values()):
            notes.append(f"The {role}'s float64 values were rounded to float32.")
        where = Path(f"the {role} {network.part!r} made of {path}")
        try:
            module = weights.build_if_fitting(part, config, weights.header_of(state), where)
            weights.fill_from(module, state, where)
        except CheckpointError as error:
            raise CheckpointError(
                error.problem, "the file is of a variant that its importer does not know"
            ) from error
        modules.append(module.eval().requires_grad_(False))
    generator, discriminator = modules
    if discriminator is not None:
        for fact in ("image_shape", "num_classes"):
            ours, theirs = (getattr(network.config, fact) for network in modules)
            if ours != theirs:
                raise CheckpointError(
                    f"{path}: {fact} is {ours} of the generator, {theirs} of the discriminator",
                    "the file is of a variant that its importer does not know",
                )
    images = generator(*_inputs(generator))
    if not bool(images.isfinite().all()):
        raise CheckpointError(
            f"the generator made of {path} gives images that are not finite",
            "the file is of a variant that its importer does not know",
        )
    return replace(converted, notes=tuple(notes)), (generator, discriminator)


def _as_stored(tensor: Tensor) -> Tensor:
    """Floating point as float32, which is what every network here has."""
    return tensor.detach().float().contiguous() if tensor.is_floating_point() else tensor


def _inputs(generator: Any) -> tuple[Tensor, ...]:
    z = torch.zeros(1, generator.z_dim)
    z[0, 0] = 1.0
    labels = torch.zeros(1, dtype=torch.int64)
    return (z, labels) if generator.num_classes else (z,)


# -- writing -------------------------------------------------------------------------------------


def write(
    conversion: Conversion,
    out: str | Path,
    *,
    license: str | None = None,
    license_link: str = "",
    dataset: str = "",
    name: str = "",
    force: bool = False,
) -> Path:
    """Write the model folder of a conversion; see `import_checkpoint`."""
    out = Path(out)
    check_out(conversion.path, out, force)
    info = _info(conversion.converted, license, license_link)
    return checkpoint.save(
        out,
        conversion.generator,
        discriminator=conversion.discriminator,
        name=name,
        training={"imported": _record(conversion, settled=bool(conversion.converted.license))},
        info=replace(info, dataset=dataset),
    )


def check_out(path: Path, out: Path, force: bool) -> None:
    """Refuse a folder that must not be replaced, before the file is read."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not force or not (out / layout.CONFIG).is_file():
        raise InputError(f"{out} exists", "choose another folder (--force replaces a model folder)")
    if out.resolve() in path.resolve().parents:
        raise InputError(f"{path} lies in {out}, which would be replaced", "choose another folder")


def _info(converted: Converted, license: str | None, link: str) -> layout.ModelInfo:
    """The licence: what the file's origin settles, or what the user says."""
    settled = converted.license
    if settled and license and license.lower() != settled.lower():
        raise InputError(
            f"the file's origin settles its licence: {settled}",
            "leave --license out",
        )
    if not settled and not license:
        raise InputError(
            "the file does not say under which licence its weights are",
            "give --license (mit, cc-by-4.0, …, or unknown), as its source states it",
        )
    license = settled or license or ""
    if license.lower() in metadata.LICENSES - {"other"}:
        return layout.ModelInfo(license=license.lower())
    link = converted.license_url or link
    if not link:
        raise InputError(
            f"the licence {license!r} has no SPDX identifier that the Hub knows",
            "say where it is to be read: --license-link https://…",
        )
    return layout.ModelInfo(license="other", license_name=license, license_link=link)


def _record(conversion: Conversion, *, settled: bool) -> dict[str, Any]:
    """Where the model comes from, for training.json: what was converted, what was dropped."""
    converted, found = conversion.converted, conversion.checkpoint
    return {
        "program": converted.program,
        "file": printable(found.name, longest=300),
        "sha256": found.sha256,
        "size": found.size,
        "container": found.container,
        "importer": conversion.family,
        "settings": conversion.settings,
        "license_from": "the file's origin" if settled else "whoever imported it",
        "notes": list(converted.notes),
        "tensors": [list(fate) for fate in converted.fates],
        "versions": {
            "ganzoo": ganzoo.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def summary(conversion: Conversion) -> dict[str, Any]:
    """What a conversion is, for people and pipes."""
    converted = conversion.converted

    def shape(network: Network | None) -> str:
        return network.part if network else ""

    kept = Counter(bool(fate.target) for fate in converted.fates)
    return {
        "family": conversion.family,
        "program": converted.program,
        "generator": shape(converted.generator),
        "discriminator": shape(converted.discriminator),
        "image_shape": list(conversion.generator.image_shape),
        "num_classes": conversion.generator.num_classes,
        "converted": kept[True],
        "dropped": kept[False],
        "license": converted.license,
        "notes": list(converted.notes),
        "sha256": conversion.checkpoint.sha256,
    }
