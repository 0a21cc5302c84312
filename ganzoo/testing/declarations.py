"""Checks of what a plugin says: its entry point, hooks, parts and configs; nothing is built yet."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ganzoo import configs, hookspecs, parts, plugins
from ganzoo.errors import ConfigError
from ganzoo.registry import ModelEntry
from ganzoo.testing.results import CheckFailed
from ganzoo.testing.subject import PartTarget, PluginTarget, paths_of

# -- the plugin -----------------------------------------------------------------------------------


def loads(target: PluginTarget) -> None:
    """The entry point imports, and is written for this ganzoo and its hook API."""
    if target.plugin.module is None and not list(_hook_faults(target.plugin)):
        raise CheckFailed(target.plugin.error, "mend the module, or install what it needs")


def hooks_fit(target: PluginTarget) -> None:
    """Each hook exists and takes arguments of its specification, without default values."""
    for fault in _hook_faults(target.plugin):
        raise CheckFailed(fault, "see ganzoo.hookspecs; a default would hide what the core passes")


def _hook_faults(plugin: plugins.Plugin) -> Iterator[str]:
    """What is wrong with the signatures of a plugin's hooks; nothing if it does not import."""
    try:
        module = plugin.module or importlib.import_module(plugin.value.partition(":")[0])
    except Exception:  # that it does not import is the subject of `loads`
        return
    for name, function in vars(module).items():
        options = getattr(function, f"{hookspecs.PROJECT}_impl", None)
        if not isinstance(options, dict):
            continue
        name = options["specname"] or name
        spec = getattr(hookspecs, name, None)
        if spec is None:
            yield f"{name} is no hook of ganzoo"
            continue
        known = inspect.signature(spec).parameters
        for argument in inspect.signature(function).parameters.values():
            if argument.name not in known:
                yield f"{name} takes {argument.name!r}, which is not passed (passed: {list(known)})"
            elif argument.default is not argument.empty:
                yield f"{name} gives {argument.name!r} the default {argument.default!r}"


def hooks_answer(target: PluginTarget) -> None:
    """Every declaring hook answers, with what its specification says."""
    if target.plugin.module and target.plugin.error:
        raise CheckFailed(target.plugin.error, "return the types that ganzoo.hookspecs names")
    recipes = target.answers.get("ganzoo_recipes", [])
    if not isinstance(recipes, list) or len(paths_of(recipes)) != len(recipes):
        raise CheckFailed(f"ganzoo_recipes returned {recipes!r}", "return a list of paths")
    for path in paths_of(recipes):
        if not path.is_file():
            raise CheckFailed(f"ganzoo_recipes names {path}", "return paths of existing files")
    models = target.answers.get("ganzoo_models", [])
    if isinstance(models, (str, os.PathLike)):
        if not Path(models).exists():
            raise CheckFailed(f"ganzoo_models names {models}", "return an existing path")
    elif not isinstance(models, list) or not all(isinstance(m, ModelEntry) for m in models):
        raise CheckFailed(f"ganzoo_models returned {models!r}", "return a path or ModelEntry items")
    for owned in target.parts:
        for role in owned.part.requires:
            if role not in parts.KINDS:
                raise CheckFailed(
                    f"{owned.part.kind} {owned.part.name!r} requires something of a {role!r}",
                    f"the roles are {', '.join(parts.KINDS)}",
                )


def torch_free(target: PluginTarget) -> None:
    """Importing the plugin, calling its hooks and making its configs does not import torch."""
    code = "import sys; from ganzoo.testing import torch_free; print(torch_free.find(sys.argv[1]))"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "GANZOO_PLUGINS": "" if target.is_core else target.plugin.name,
        "GANZOO_STRICT": "",
    }
    command = [sys.executable, "-c", code, target.plugin.name]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    answer = process.stdout.strip() if process.returncode == 0 else process.stderr.strip()[-300:]
    if answer:
        raise CheckFailed(answer, "import torch only in the modules that factories name")


def names_unique(target: PluginTarget) -> None:
    """Each part and recipe has a name of its own, within the plugin and among all installed."""
    for part in (owned.part for owned in target.parts):
        claims = [o for o in target.registry.all(part.kind) if o.part.name == part.name]
        if len(claims) > 1:
            owners = " and ".join(owned.distribution for owned in claims)
            raise CheckFailed(f"{part.kind} {part.name!r} is claimed by {owners}", "rename it")
    answers = plugins.load().call("ganzoo_recipes")
    recipes = Counter(path.stem for _, answer in answers for path in paths_of(answer))
    for path in paths_of(target.answers.get("ganzoo_recipes")):
        if recipes[path.stem] > 1:
            raise CheckFailed(f"two recipes are called {path.stem!r}", "rename the file")


def licensed(target: PluginTarget) -> None:
    """The distribution names its licence."""
    metadata = target.distribution.metadata
    named = [
        *(metadata.get_all("License-Expression") or ()),
        *(text for text in metadata.get_all("License") or () if text != "UNKNOWN"),
        *(c for c in metadata.get_all("Classifier") or () if c.startswith("License ::")),
    ]
    if not any(named):
        raise CheckFailed(
            f"{target.distribution.name} has no licence in its metadata",
            'write license = "Apache-2.0" (or another SPDX expression) under [project]',
        )


def versions_stated(target: PluginTarget) -> None:
    """The plugin states its hook API (`GANZOO_API`) and the range of ganzoo that it works with."""
    if target.is_core:
        return
    if not hasattr(target.plugin.module, "GANZOO_API"):
        raise CheckFailed(
            f"{target.plugin.value} has no GANZOO_API",
            f"write GANZOO_API = {hookspecs.API_VERSION} in the module of the entry point",
        )
    needed = [Requirement(text) for text in target.distribution.requires or ()]
    if not any(canonicalize_name(r.name) == "ganzoo" and r.specifier for r in needed):
        raise CheckFailed(
            f"{target.distribution.name} does not say which ganzoo it needs",
            'write "ganzoo>=0.1,<0.2" under dependencies',
        )


# -- its parts ------------------------------------------------------------------------------------

BASES = {
    "generator": "ganzoo.models:Generator",
    "discriminator": "ganzoo.models:Discriminator",
    "loss": "ganzoo.training.losses:Loss",
    "trainer": "ganzoo.training.trainer:Trainer",
    "augmentation": "ganzoo.training.augmentation:Augmentation",
    "features": "torch.nn:Module",
    "importer": "ganzoo.importing.importer:Importer",
}
CONFIG_BASES = {
    "generator": configs.GeneratorConfig,
    "discriminator": configs.DiscriminatorConfig,
}


def resolves(target: PartTarget) -> None:
    """Factory, config and upgrade are found, and are classes of the right kind."""
    part = target.part
    factory, base = parts.resolve(part.factory), parts.resolve(BASES[part.kind])
    if part.kind == "features":
        if not callable(factory):
            raise CheckFailed(f"{part.factory} cannot be called", "name a class or function")
    elif not (isinstance(factory, type) and issubclass(factory, base)):
        raise CheckFailed(f"{part.factory} is no {base.__name__}", f"subclass {BASES[part.kind]}")
    config_class: Any = part.config_class
    config_base = CONFIG_BASES.get(part.kind, object)
    if not issubclass(config_class, config_base):
        raise CheckFailed(f"{part.config} is no {config_base.__name__}", "subclass that")
    if not config_class.__dataclass_params__.frozen:
        raise CheckFailed(f"{part.config} can be changed", "make it @dataclass(frozen=True)")
    if part.version > 1 and not part.upgrade:
        raise CheckFailed(f"version {part.version} has no upgrade", "name a function in `upgrade`")
    if part.upgrade and not callable(parts.resolve(part.upgrade)):
        raise CheckFailed(f"{part.upgrade} cannot be called", "name a function")


def config_round_trip(target: PartTarget) -> None:
    """Its default and its tiny config are the same after a way through JSON."""
    part = target.part
    for title, settings in (("the default", {}), ("the tiny", part.tiny)):
        config = part.make_config(settings)
        try:
            document = json.loads(json.dumps(configs.config_to_dict(config)))
            again = part.make_config(document)
        except (TypeError, ConfigError) as error:
            raise CheckFailed(
                f"{title} config does not survive JSON: {error}",
                "use bool, int, float, str, None, Literal, tuples and dataclasses of these",
            ) from error
        if again != config:
            changed = [
                f"{f.name} {getattr(config, f.name)!r} -> {getattr(again, f.name)!r}"
                for f in dataclasses.fields(config)
                if getattr(config, f.name) != getattr(again, f.name)
            ]
            raise CheckFailed(
                f"{title} config comes back changed: {', '.join(changed)}",
                "keep in a field what was given; derive the rest in properties",
            )


def unknown_settings_refused(target: PartTarget) -> None:
    """A setting that its config does not have is refused."""
    unknown: dict[str, Any] = {**target.part.tiny, "no_such_setting": 1}
    try:
        target.part.make_config(unknown)
    except ConfigError:
        return
    raise CheckFailed("'no_such_setting' was accepted", "do not override make_config")
