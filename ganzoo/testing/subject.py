"""What is checked: the plugins of one distribution, installed or lying in a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import os
import re
import sys
import tempfile
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from ganzoo import plugins
from ganzoo.errors import PluginError
from ganzoo.parts import OwnedPart, Part, PartRegistry

CLASSES = 3
"""How many classes a conditional network gets when it is checked."""


@dataclass(frozen=True, eq=False)
class Target:
    """One thing to check, which rests on others: what fails for them makes its checks pointless."""

    kind: str
    name: str
    rests_on: tuple[Target, ...]


@dataclass(frozen=True, eq=False)
class PluginTarget(Target):
    """A plugin: an entry point, and what its hooks answered."""

    plugin: plugins.Plugin
    distribution: importlib.metadata.Distribution
    registry: PartRegistry
    answers: Mapping[str, Any]

    @property
    def parts(self) -> list[OwnedPart]:
        return [owned for owned in self.registry.all() if owned.plugin == self.plugin.name]

    @property
    def is_core(self) -> bool:
        return self.plugin.name == plugins.CORE


@dataclass(frozen=True, eq=False)
class PartTarget(Target):
    """A part as it is declared."""

    part: Part


@dataclass(frozen=True, eq=False)
class BuiltTarget(Target):
    """A part with settings, to be built."""

    part: Part
    settings: Mapping[str, Any]
    registry: PartRegistry

    @functools.cached_property
    def config(self) -> Any:
        return self.part.make_config(self.settings)

    @property
    def provides(self) -> frozenset[str]:
        try:
            return self.part.provided(self.config)
        except Exception:  # it cannot be built either, and the check that says so comes first
            return self.part.provides

    @property
    def has_classes(self) -> bool:
        try:
            return bool(getattr(self.config, "num_classes", 0))
        except Exception:  # as above
            return False

    def build(self, *, seed: int = 0) -> Any:
        """The module, with the initial weights of `seed`."""
        from ganzoo.models import build

        return build(self.part, self.config, seed=seed)


@dataclass(frozen=True, eq=False)
class FileTarget(Target):
    """A recipe's file or a bundled model's folder."""

    path: Path


class Subject:
    """The plugins of one distribution, and everything of them that is checked.

    Args:
        source: a distribution's name, or the folder of one that need not be installed.

    Raises:
        PluginError: no such distribution or folder, or no plugin in it.
    """

    def __init__(self, source: str | Path) -> None:
        self._opened = contextlib.ExitStack()
        try:
            folder = _as_folder(source)
            name = str(source) if folder is None else self._opened.enter_context(importable(folder))
            self.distribution = _distribution(name)
            self.targets = list(self._targets())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Undo what made a folder importable."""
        self._opened.close()

    def _targets(self) -> Iterator[Target]:
        loaded = plugins.load()
        own = canonicalize_name(self.distribution.name)
        found = [p for p in loaded.found if canonicalize_name(p.distribution) == own]
        if not found:
            raise PluginError(
                f"{self.distribution.name} brings no plugin that is loaded",
                'declare [project.entry-points.ganzoo] name = "module" and see GANZOO_PLUGINS',
            )
        for plugin in found:
            answers = {
                hook: answer
                for hook in ("ganzoo_datasets", "ganzoo_recipes", "ganzoo_models")
                for owner, answer in loaded.call(hook)
                if owner is plugin
            }
            target = PluginTarget(
                "plugin",
                f"plugin:{plugin.name}",
                (),
                plugin,
                self.distribution,
                loaded.parts,
                answers,
            )
            parts = [t for owned in target.parts for t in _part_targets(target, owned.part)]
            under = (target, *parts)
            yield from under
            for path in paths_of(answers.get("ganzoo_recipes")):
                yield FileTarget("recipe", f"recipe:{path.stem}", under, path)
            for path in _model_folders(answers.get("ganzoo_models")):
                yield FileTarget("model", f"model:{path.name}", under, path)


def _part_targets(plugin: PluginTarget, part: Part) -> Iterator[Target]:
    """The part as declared, as its tiny settings build it, and with each setting that matters."""
    name = f"{part.kind}:{part.name}"
    declared = PartTarget("part", name, (plugin,), part)
    yield declared
    if part.kind == "trainer":
        return  # it is made by a run, not from its config alone
    under = (plugin, declared)
    built = BuiltTarget(part.kind, name, under, part, part.tiny, plugin.registry)
    yield built
    for key, value in _telling_settings(built):
        settings = {**part.tiny, key: value}
        yield BuiltTarget(
            part.kind, f"{name},{key}={value}", under, part, settings, plugin.registry
        )


def _telling_settings(built: BuiltTarget) -> Iterator[tuple[str, Any]]:
    """Single settings that, put to the tiny config, bring an ability into play."""
    needs_classes = {"conditional", "classes"} & built.provides
    if needs_classes and not built.settings.get("num_classes"):
        yield "num_classes", CLASSES
    try:
        config = built.config
        hints = typing.get_type_hints(type(config))
    except Exception:  # the check of the declared part says what is wrong with its config
        return
    for f in dataclasses.fields(config):
        if hints[f.name] is bool:
            options: tuple[Any, ...] = (False, True)
        elif typing.get_origin(hints[f.name]) is typing.Literal:
            options = typing.get_args(hints[f.name])
        else:
            continue
        for option in options:
            with contextlib.suppress(Exception):  # the other settings may rule it out
                changed = built.part.make_config({**built.settings, f.name: option})
                if built.part.provided(changed) != built.provides:
                    yield f.name, option


def paths_of(answer: Any) -> list[Path]:
    """The paths in a hook's answer; what else is in it is the business of a check."""
    listed = answer if isinstance(answer, list) else []
    return [Path(path) for path in listed if isinstance(path, (str, os.PathLike))]


def _model_folders(answer: Any) -> list[Path]:
    """Each model folder that the plugin bundles, of what `ganzoo_models` answered."""
    if isinstance(answer, (str, os.PathLike)):
        folders = sorted(Path(answer).glob("*/"))
        return [path for path in folders if not path.name.startswith((".", "_"))]
    listed = answer if isinstance(answer, list) else []
    return paths_of([getattr(entry, "path", None) for entry in listed])


# -- finding it -----------------------------------------------------------------------------------


def _as_folder(source: str | Path) -> Path | None:
    """The folder that `source` means, or None for a distribution.

    A `Path` and text with a slash or a dot in front are folders; other text is one if it is no
    installed distribution, but a folder with a pyproject.toml.
    """
    text = str(source)
    is_path = isinstance(source, Path) or "/" in text or os.sep in text or text.startswith(".")
    if not is_path and Path(text, "pyproject.toml").is_file():
        try:
            _distribution(text)
        except PluginError:
            is_path = True
    return Path(source).expanduser().resolve() if is_path else None


def _distribution(name: str) -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        remedy = "install it, or give the folder of its pyproject.toml"
        raise PluginError(f"no distribution {name!r} is installed", remedy) from None


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[str]:
    """Let the plugin in `folder` be found as if it were installed; yields its distribution's name.

    What an installer writes from pyproject.toml is written to a temporary folder, and both stand
    first on the path: entry points, versions and licence are then read as those of any plugin.
    """
    project = read_project(folder)
    packages = {value.partition(":")[0].partition(".")[0] for value in _entries(project).values()}
    with tempfile.TemporaryDirectory(prefix="ganzoo-check-") as temporary:
        _write_metadata(Path(temporary), project)
        source = folder / "src" if (folder / "src").is_dir() else folder
        added = [temporary, str(source)]
        _forget(packages)
        sys.path[:0] = added
        try:
            yield project["name"]
        finally:
            for path in added:
                sys.path.remove(path)
            _forget(packages)


def read_project(folder: Path) -> dict[str, Any]:
    path = folder / "pyproject.toml"
    remedy = "give a plugin's folder, with [project] and [project.entry-points.ganzoo] in it"
    try:
        project: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
        if not project.get("name") or not _entries(project):
            raise PluginError(f"{path} declares no plugin", remedy)
        for text in (project["name"], project.get("version", "0")):
            if not re.fullmatch(r"\w[\w.!+-]*", text, re.ASCII):  # a folder is named after them
                raise TypeError
    except OSError as error:
        raise PluginError(f"cannot read {path}: {error.strerror}", remedy) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PluginError(f"{path} is no valid TOML: {error}", "mend that line") from error
    except (AttributeError, TypeError) as error:  # a text where a table should be, …
        raise PluginError(f"{path} has an odd [project] table", remedy) from error
    return project


def _entries(project: Mapping[str, Any]) -> dict[str, str]:
    """Entry-point name -> module."""
    group = project.get("entry-points", {}).get(plugins.GROUP, {})
    return {str(name): str(value) for name, value in group.items()}


def _write_metadata(folder: Path, project: Mapping[str, Any]) -> None:
    """The two files of an installed distribution that are read: METADATA and entry_points.txt."""
    name, version = project["name"], project.get("version", "0")
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
    match project.get("license"):
        case str(expression):
            lines.append(f"License-Expression: {expression}")
        case {"text": text} | {"file": text}:
            lines.append(f"License: {' '.join(str(text).split())[:200]}")
    lines += [f"Classifier: {classifier}" for classifier in project.get("classifiers", ())]
    lines += [f"Requires-Dist: {requirement}" for requirement in project.get("dependencies", ())]
    info = folder / f"{canonicalize_name(name).replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    entries = "".join(f"{key} = {value}\n" for key, value in _entries(project).items())
    (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{entries}", encoding="utf-8")


def _forget(packages: set[str]) -> None:
    """Let the next look see the path as it is now: drop modules and what was found before."""
    for name in list(sys.modules):
        if name.partition(".")[0] in packages:
            del sys.modules[name]
    importlib.invalidate_caches()
    plugins.load.cache_clear()
