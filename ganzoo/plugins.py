"""Finding plugins, keeping the broken ones apart, and asking the others.

Entry points are iterated here rather than by pluggy's own loader, because one that raises would
hide every plugin after it: each is loaded on its own, and a failure is kept with its cause, so
that `ganzoo plugins` shows it and everything else goes on.

Environment:
    GANZOO_PLUGINS  comma-separated entry-point names; only these are loaded ("" for none).
    GANZOO_STRICT   1: the first broken plugin raises instead of being set aside.
    GANZOO_TRACE    1: every hook call and its result is written to stderr.
"""

from __future__ import annotations

import functools
import importlib
import operator
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

import pluggy

from ganzoo import distributions, hookspecs
from ganzoo.errors import NotFoundError, PluginError, nearest
from ganzoo.parts import KINDS, OwnedPart, Part, PartRegistry

GROUP = "ganzoo"
CORE = "core"
T = TypeVar("T")


@dataclass
class Plugin:
    """One plugin that was found: its entry point, its distribution, and what went wrong."""

    name: str
    distribution: str
    version: str
    value: str
    module: ModuleType | None = None
    error: str = ""

    @property
    def state(self) -> str:
        return "broken" if self.error else "ok"


class Plugins:
    """The loaded plugins. `load()` makes the one of this process; tests may make their own."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.found: list[Plugin] = []
        self.left_out: dict[str, str] = {}
        """Distribution -> entry point, of those that GANZOO_PLUGINS leaves out."""
        if os.environ.get("GANZOO_TRACE") == "1":
            self.manager.trace.root.setwriter(sys.stderr.write)
            self.manager.enable_tracing()

    def add(self, module: ModuleType, *, name: str, distribution: str, version: str) -> Plugin:
        """Register a plugin module under a name, checking its hooks against the specifications."""
        plugin = Plugin(name, distribution, version, module.__name__, module)
        self.found.append(plugin)
        self.guard(plugin, lambda: self._register(plugin, module))
        return plugin

    def discover(self) -> None:
        """Load every entry point of the group `ganzoo` that `GANZOO_PLUGINS` does not leave out."""
        wanted = os.environ.get("GANZOO_PLUGINS")
        selection = None if wanted is None else {n.strip() for n in wanted.split(",") if n.strip()}
        entry_points = distributions.entry_points(GROUP)
        claims: dict[str, set[str]] = {}
        for entry in entry_points:
            claims.setdefault(entry.name, set()).add(entry.distribution)
        for entry in entry_points:
            if selection is not None and entry.name not in selection:
                self.left_out[entry.distribution] = entry.name
                continue
            plugin = Plugin(entry.name, entry.distribution, entry.version, entry.value)
            self.found.append(plugin)
            others = claims[entry.name] - {plugin.distribution}
            if others:
                plugin.error = (
                    f"the entry-point name {entry.name!r} is also claimed by"
                    f" {', '.join(sorted(others))}: uninstall one of them"
                )
                self._strict(plugin)
                continue
            self.guard(plugin, functools.partial(self._load, plugin, entry.requires))
        if selection is not None:
            for name in sorted(selection - {e.name for e in entry_points}):
                self.found.append(
                    Plugin(name, "?", "", "", error="named in GANZOO_PLUGINS but not installed")
                )

    def _load(self, plugin: Plugin, requires: Iterable[str]) -> None:
        unmet = _unmet_core_range(requires)
        if unmet:
            raise PluginError(unmet, f"pip install --upgrade {plugin.distribution}")
        module, _, attribute = plugin.value.partition(":")
        loaded: Any = importlib.import_module(module.strip())
        self._register(plugin, operator.attrgetter(attribute)(loaded) if attribute else loaded)

    def _register(self, plugin: Plugin, module: ModuleType) -> None:
        api = getattr(module, "GANZOO_API", hookspecs.API_VERSION)
        if api != hookspecs.API_VERSION:
            raise PluginError(
                f"is written for hook API {api}, this core has {hookspecs.API_VERSION}",
                f"install a {plugin.distribution} that fits, or another ganzoo",
            )
        self.manager.register(module, name=plugin.name)
        try:
            self._check_hooks(module)
        except Exception:
            self.manager.unregister(name=plugin.name)
            raise
        plugin.module = module

    def _check_hooks(self, module: ModuleType) -> None:
        for caller in self.manager.get_hookcallers(module) or []:
            for implementation in caller.get_hookimpls():
                if implementation.plugin is not module:
                    continue
                if not caller.has_spec() and not implementation.optionalhook:
                    raise PluginError(f"implements {caller.name}, which is no hook of ganzoo")
                if implementation.kwargnames:
                    raise PluginError(
                        f"{caller.name} gives default values to {implementation.kwargnames}",
                        "take these arguments without defaults",
                    )

    def hooks_of(self, plugin: Plugin) -> list[str]:
        """The hooks that a plugin implements, by name; none of a broken one."""
        if plugin.module is None:
            return []
        return sorted(caller.name for caller in self.manager.get_hookcallers(plugin.module) or [])

    def guard(self, plugin: Plugin, action: Callable[[], T]) -> T | None:
        """Run a plugin's code; an exception marks that plugin as broken and nothing else."""
        try:
            return action()
        except (Exception, SystemExit) as error:  # isolation: any fault of a plugin stays its own
            text = (
                str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
            )
            plugin.error = " ".join(text.split())
            self._strict(plugin, error)
            return None

    def _strict(self, plugin: Plugin, error: BaseException | None = None) -> None:
        if os.environ.get("GANZOO_STRICT") == "1":
            raise PluginError(
                f"plugin {plugin.name!r} ({plugin.distribution})", plugin.error
            ) from error

    def call(self, hook: str, **arguments: Any) -> Iterator[tuple[Plugin, Any]]:
        """Call a hook on one plugin at a time, yielding (plugin, result) of those that answer.

        A plugin that raises is marked as broken and the others go on.
        """
        healthy = [p for p in self.found if p.module is not None and not p.error]
        modules = {p.module for p in self.found if p.module is not None}
        for plugin in healthy:
            caller = self.manager.subset_hook_caller(hook, modules - {plugin.module})
            if not caller.get_hookimpls():
                continue
            result = self.guard(plugin, functools.partial(_collect, caller, arguments))
            if result is not None:
                yield plugin, result

    @functools.cached_property
    def parts(self) -> PartRegistry:
        """All parts of all working plugins, collected once."""
        owned: list[OwnedPart] = []
        for kind, hook in KINDS.items():
            for plugin, result in self.call(hook):
                self.guard(plugin, functools.partial(_collect_parts, owned, plugin, kind, result))
        from ganzoo.registry import missing_part  # the catalogue is read only once it is needed

        return PartRegistry(owned, missing=missing_part)


def _collect(caller: Any, arguments: dict[str, Any]) -> Any:
    """A hook's answer from one plugin; a list of one for ordinary hooks, drained of generators."""
    result = caller(**arguments)
    if isinstance(result, list):
        result = result[0] if result else None
    if result is None or isinstance(result, (str, os.PathLike)) or not hasattr(result, "__iter__"):
        return result
    return list(result)


def _collect_parts(into: list[OwnedPart], plugin: Plugin, kind: str, parts: Any) -> None:
    for part in parts:
        if not isinstance(part, Part):
            raise PluginError(f"{KINDS[kind]} returned a {type(part).__name__}, not a Part")
        if part.kind != kind:
            raise PluginError(f"{KINDS[kind]} returned part {part.name!r} of kind {part.kind!r}")
    into.extend(OwnedPart(part, plugin.name, plugin.distribution) for part in parts)


def _unmet_core_range(requires: Iterable[str]) -> str:
    """What a distribution says about the core that it needs, if the installed core does not fit."""
    from ganzoo import __version__

    for text in requires:
        match = re.fullmatch(
            r"ganzoo(?![\w.-])\s*(?:\[[^\]]*\])?\s*\(?([^;()\[\]]*)\)?\s*(;.*)?",
            text,
            re.IGNORECASE,
        )
        if match and not _fits(__version__, match[1]) and _applies(match[2]):
            return f"needs ganzoo{match[1].strip()}, installed is {__version__}"
    return ""


def _fits(version: str, ranges: str) -> bool:
    """Whether a version is in a range such as ">=0.1,<0.2"; other ranges are left to `packaging`,
    whose import takes longer than all other work of a listing."""

    def numbers(text: str) -> list[int]:
        return [*map(int, text.split(".")), 0, 0, 0][:4]

    bounds = [re.fullmatch(r"\s*(>=|<)\s*(\d+(?:\.\d+)*)\s*", bound) for bound in ranges.split(",")]
    if not all(bounds) or not re.fullmatch(r"\d+(?:\.\d+)*", version):
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            return SpecifierSet(ranges).contains(version, prereleases=True)
        except InvalidSpecifier:
            return True
    return all(
        (numbers(version) >= numbers(bound[2])) == (bound[1] == ">=") for bound in bounds if bound
    )


def _applies(marker: str | None) -> bool:
    """Whether a requirement's marker, such as `; python_version < "3.12"`, holds here."""
    if not marker:
        return True
    from packaging.markers import InvalidMarker, Marker

    try:
        return Marker(marker.lstrip("; ")).evaluate({"extra": ""})
    except InvalidMarker:
        return False


@functools.cache
def load() -> Plugins:
    """The plugins of this process: the core's own, then every installed one."""
    from ganzoo import __version__, builtins

    plugins = Plugins()
    plugins.add(builtins, name=CORE, distribution="ganzoo", version=__version__)
    plugins.discover()
    return plugins


def full_hook_name(text: str) -> str:
    """The hook that `text` names, with or without the prefix: `losses` is `ganzoo_losses`.

    Raises:
        NotFoundError: there is no such hook.
    """
    known = [name for name in vars(hookspecs) if name.startswith("ganzoo_")]
    name = text if text.startswith("ganzoo_") else f"ganzoo_{text}"
    if name not in known:
        raise NotFoundError(f"no hook is called {text!r}", nearest(name, known))
    return name


def described(distribution: str) -> str:
    """A plugin's distribution with the version that is installed: `ganzoo-dcgan 0.1.0`."""
    version = next((p.version for p in load().found if p.distribution == distribution), "")
    return f"{distribution} {version}".strip()
