"""The hooks of every release, in hooks.toml, and the rule by which they may go.

A hook, or an argument of one, that a release has goes only with a later minor version, and only if
the last release before that one warned of it. `make hooks` records the hooks of the version in
ganzoo/__init__.py; `make release-check` compares.
"""

from __future__ import annotations

import inspect
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from packaging.version import Version

import ganzoo
from ganzoo import files, hookspecs

HISTORY = Path(__file__).parent.parent / "hooks.toml"
HEAD = "# The hooks of each release: their arguments, what it warns of. Written by: make hooks\n\n"
Hooks = dict[str, Any]
"""{"hooks": {name: [argument, …]}, "deprecated": [name or name.argument, …]}"""


def hooks_of(namespace: Any = hookspecs) -> Hooks:
    """The hooks that a module specifies."""
    hooks, deprecated = {}, []
    for name, function in sorted(vars(namespace).items()):
        options = getattr(function, f"{hookspecs.PROJECT}_spec", None)
        if not name.startswith(f"{hookspecs.PROJECT}_") or options is None:
            continue
        hooks[name] = list(inspect.signature(function).parameters)
        deprecated += [name] if options["warn_on_impl"] else []
        deprecated += [f"{name}.{argument}" for argument in options["warn_on_impl_args"] or ()]
    return {"hooks": hooks, "deprecated": deprecated}


def problems(
    version: str, now: Hooks, history: Mapping[str, Hooks], namespace: Any = hookspecs
) -> Iterator[str]:
    """What speaks against a release of `version` with the hooks `now`."""
    earlier = sorted((v for v in history if numbers(v) < numbers(version)), key=numbers)
    if earlier:
        former = history[earlier[-1]]
        may_go = former["deprecated"] if minor(earlier[-1]) < minor(version) else []
        for name, arguments in former["hooks"].items():
            left = now["hooks"].get(name)
            if left is None and name not in may_go:
                yield f"the hook {name} of {earlier[-1]} is gone: {_rule(name, version)}"
            for argument in arguments if left is not None else ():
                if argument not in left and f"{name}.{argument}" not in may_go:
                    rule = _rule(f"its {argument}", version)
                    yield f"{name} of {earlier[-1]} no longer has {argument}: {rule}"
    for what, warning in _warnings(namespace):
        if numbers(warning.gone)[:2] <= minor(version):
            yield f"{what} was to be gone by {warning.gone}, and this is {version}"
    if history.get(version) != now:
        yield f"hooks.toml does not have the hooks of {version} as they are: make hooks"


def _rule(what: str, version: str) -> str:
    return f"a minor version before {version} has to warn of {what} (see ganzoo/hookspecs.py)"


def _warnings(namespace: Any) -> Iterator[tuple[str, hookspecs.HookDeprecation]]:
    for name, function in vars(namespace).items():
        if options := getattr(function, f"{hookspecs.PROJECT}_spec", None):
            if options["warn_on_impl"]:
                yield name, options["warn_on_impl"]
            for argument, warning in (options["warn_on_impl_args"] or {}).items():
                yield f"{name}.{argument}", warning


def numbers(version: str) -> tuple[int, ...]:
    """Of a release; those of its candidates are the same."""
    return Version(version).release


def minor(version: str) -> tuple[int, ...]:
    return numbers(version)[:2]


def read(path: Path = HISTORY) -> dict[str, Hooks]:
    """Version -> its hooks."""
    history: dict[str, Hooks] = tomllib.loads(path.read_text(encoding="utf-8"))
    return history


def record(path: Path = HISTORY) -> None:
    """Write the hooks of this version into hooks.toml; earlier releases stay as they are."""
    history = (read(path) if path.is_file() else {}) | {ganzoo.__version__: hooks_of()}
    broken = list(problems(ganzoo.__version__, hooks_of(), history))
    if broken:
        sys.exit("\n".join(broken))
    ordered = {version: history[version] for version in sorted(history, key=numbers)}
    files.write_text(path, HEAD + tomli_w.dumps(ordered))


if __name__ == "__main__":
    record()
