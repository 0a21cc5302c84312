"""What can be asked for: data sources, the grammar of a spec, and finding the one for the other."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganzoo.errors import InputError, NotFoundError, PluginError, nearest

COMMON_OPTIONS = ("resolution", "channels", "labels")
MAX_RESOLUTION = 4096


@dataclass(frozen=True)
class DataSource:
    """A data set that can be asked for by name; plugins return these from `ganzoo_datasets`.

    Attributes:
        name: what users write (`mnist`), or the word before the colon (`folder`).
        license: an SPDX identifier, or "unknown".
        classes: the names of the labels, where they are known beforehand.
        open: "package.module:function", called with a `DataRequest`; returns a `RawData`.
        splits: the first is what the bare name means.
        options: what the query may set, beyond `resolution`, `channels` and `labels=none`.
        location: for a source that reads what the user points at, how to call that (`PATH`).
        image_shape: (C, H, W) of the images, where it is known beforehand.
        credit: whom to name for it, as the cards of models do that are trained on it.
    """

    name: str
    license: str
    classes: tuple[str, ...]
    open: str
    splits: tuple[str, ...] = ("train",)
    options: tuple[str, ...] = ()
    location: str = ""
    image_shape: tuple[int, int, int] | None = None
    credit: str = ""

    @property
    def usage(self) -> str:
        """How the source is written: `mnist`, `folder:PATH`."""
        return f"{self.name}:{self.location}" if self.location else self.name


@dataclass(frozen=True)
class DataRequest:
    """A spec, taken apart and checked against what its source takes.

    Attributes:
        name, split, options: of the source; `options` includes the common ones.
        location: what follows the colon of a source that reads what the user points at.
        plugin: whose source it is, if the spec says so (`myplugin:cats`).
        download: whether to fetch what is not on this machine; if not, a source raises
            `MissingDataError` at once.
    """

    name: str
    location: str = ""
    split: str = "train"
    options: Mapping[str, str] = field(default_factory=dict)
    resolution: int | None = None
    channels: int | None = None
    default_split: str = "train"
    plugin: str = ""
    download: bool = True

    @property
    def spec(self) -> str:
        """The spec in its canonical form: no default split, options sorted."""
        from urllib.parse import urlencode

        head = f"{self.name}:{self.location}" if self.location else self.name
        head = f"{self.plugin}:{head}" if self.plugin else head
        split = f"@{self.split}" if self.split != self.default_split and not self.location else ""
        query = urlencode(sorted(self.options.items()))
        return f"{head}{split}{'?' + query if query else ''}"

    def integer(self, option: str, default: int, low: int, high: int) -> int:
        """The option as an integer in [low, high]."""
        return _integer(self.options.get(option, str(default)), option, low, high)


def data_sources() -> dict[str, dict[str, DataSource]]:
    """Every data source of every working plugin: name -> plugin -> source."""
    from ganzoo import plugins

    found: dict[str, dict[str, DataSource]] = {}
    loaded = plugins.load()
    for plugin, sources in loaded.call("ganzoo_datasets"):
        for source in loaded.guard(plugin, functools.partial(_checked, sources)) or ():
            found.setdefault(source.name, {})[plugin.name] = source
    return found


def _checked(sources: Iterable[Any]) -> list[DataSource]:
    for source in sources:
        if not isinstance(source, DataSource):
            raise PluginError(f"ganzoo_datasets returned a {type(source).__name__}, no DataSource")
    return list(sources)


def resolve(
    spec: str, resolution: int | None = None, channels: int | None = None
) -> tuple[DataSource, DataRequest]:
    """The source that a spec names, and what it asks of it."""
    head, mark, query = spec.rpartition("?")
    if not mark or "=" not in query:  # a question mark may also be part of a path
        head, query = spec, ""
    source, plugin, location, split = _find(head)
    options = _options(spec, query, source)
    return source, DataRequest(
        name=source.name,
        location=location,
        split=split,
        options=options,
        resolution=_asked(spec, "resolution", resolution, options, MAX_RESOLUTION),
        channels=_asked(spec, "channels", channels, options, 4),
        default_split=source.splits[0],
        plugin=plugin,
    )


def _find(head: str) -> tuple[DataSource, str, str, str]:
    """Source, plugin (if it is said), location and split of a spec without its query."""
    sources = data_sources()
    owners = {owner for claims in sources.values() for owner in claims}
    prefix, colon, rest = head.partition(":")
    owner = ""
    if colon and prefix not in sources and prefix in owners:  # plugin:name
        owner, head = prefix, rest
        prefix, colon, rest = head.partition(":")

    if colon and prefix in sources:
        source = _one(prefix, sources[prefix], owner)
        if not source.location:
            raise InputError(f"{prefix} takes nothing after a colon", f"write {source.usage}")
        if not rest:
            raise InputError(f"{head!r} points at nothing", f"write {source.usage}")
        return source, owner, rest, source.splits[0]

    name, at, split = head.partition("@")
    if name not in sources or (owner and owner not in sources[name]):
        if head and os.path.exists(head):  # noqa: PTH110 - Path's raises on impossible names
            kind = "folder" if Path(head).is_dir() else "zip"
            raise NotFoundError(f"no data set is called {head!r}", f"write {kind}:{head}")
        raise NotFoundError(f"no data set is called {name!r}", nearest(name, sources))
    source = _one(name, sources[name], owner)
    if source.location:
        raise InputError(f"{name!r} points at nothing", f"write {source.usage}")
    if at and split not in source.splits:
        raise InputError(f"{name} has no split {split!r}", f"it has {', '.join(source.splits)}")
    return source, owner, "", split or source.splits[0]


def _one(name: str, claims: Mapping[str, DataSource], owner: str) -> DataSource:
    if owner:
        return claims[owner]
    if len(claims) > 1:
        raise PluginError(
            f"data set {name!r} is claimed by the plugins {' and '.join(sorted(claims))}",
            f"write {' or '.join(f'{plugin}:{name}' for plugin in sorted(claims))}",
        )
    return next(iter(claims.values()))


def _options(spec: str, query: str, source: DataSource) -> dict[str, str]:
    from urllib.parse import parse_qsl

    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    known = (*COMMON_OPTIONS, *source.options)
    for name, value in pairs:
        if name not in known:
            raise InputError(f"{source.name} has no option {name!r}", nearest(name, known))
        if not value:
            raise InputError(f"the option {name!r} of {spec!r} is empty", f"write {name}=VALUE")
    if len(options) < len(pairs):
        raise InputError(f"{spec!r} gives an option twice", "give it once")
    if options.get("labels", "none") != "none" and "labels" not in source.options:
        raise InputError(
            f"the labels of {source.name} are fixed", "leave labels= out, or labels=none"
        )
    return options


def _asked(
    spec: str, name: str, value: int | None, options: Mapping[str, str], high: int
) -> int | None:
    """An integer from 1, given in the query or beside the spec (but not as two values)."""
    if value is not None:
        value = _integer(str(value), name, 1, high)
    if name not in options:
        return value
    own = _integer(options[name], name, 1, high)
    if value not in (None, own):
        raise InputError(
            f"{spec!r} says {name}={own}, but {value} is asked for",
            f"leave it out there; a recipe's own is changed by --set data.{name}={own}",
        )
    return own


def _integer(text: str, name: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise InputError(f"{name} = {text} is out of range", f"use {low} to {high}")
    return value
