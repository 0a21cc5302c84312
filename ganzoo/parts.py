"""Parts: what a plugin declares, where parts are found, and which of them go together.

A `Part` is cheap data. Its factory and config class are dotted strings, resolved on use, so that
listing and checking parts never imports torch.
"""

from __future__ import annotations

import dataclasses
import pkgutil
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ganzoo.configs import config_from_dict, config_to_dict, field_types
from ganzoo.errors import (
    CompatibilityError,
    ConfigError,
    GanzooError,
    NotFoundError,
    PluginError,
    nearest,
)

KINDS: dict[str, str] = {
    "generator": "ganzoo_generators",
    "discriminator": "ganzoo_discriminators",
    "loss": "ganzoo_losses",
    "trainer": "ganzoo_trainers",
    "augmentation": "ganzoo_augmentations",
    "features": "ganzoo_features",
    "importer": "ganzoo_importers",
}
"""Kind of part -> the hook that brings parts of this kind."""

CAPABILITIES: dict[str, str] = {
    "conditional": "takes labels (with num_classes > 0 in its config)",
    "w-space": "has mapping() and synthesis(); truncation applies",
    "style-mixing": "takes mix=, two latents crossed over at a layer",
    "layer-noise": "takes noise='const', 'random' or 'none'",
    "progressive": "takes lod=, 0 for full resolution, and grows by blending",
    "per-sample": "each score depends on its own image only (no batch norm)",
    "gradient-penalty": "its gradient with respect to an image may be penalised (no batch norm)",
    "classes": "outputs(x, labels).classes are class logits",
    "features": "outputs(x, labels).features are intermediate features",
    "reconstruction": "outputs(x, labels).reconstruction is an image",
}
"""What a part can provide or require. Third parties prefix theirs: `myplugin:thing`."""


@dataclass(frozen=True)
class Part:
    """One generator, discriminator, loss, trainer, augmentation, feature extractor or importer.

    Attributes:
        name: how users ask for it, unique within a kind (`dcgan`).
        kind: one of `KINDS`.
        factory: "package.module:Class", called with the config as its one argument.
        config: "package.module:Config", a frozen dataclass.
        version: raised when the config or state dict changes meaning; then `upgrade` is needed.
        tiny: settings that make the smallest sensible instance; tests build it.
        provides: capabilities that hold for every config. A config whose settings decide has a
            property `provides` that adds to these.
        requires: role -> capabilities that the part of that role must provide.
        upgrade: "package.module:function", called as `upgrade(version, config, state)` with the
            older version's config dict and state dict (or None); returns both, brought up to date.
        summary, paper: one line each, for people.
    """

    name: str
    kind: str
    factory: str
    config: str = "ganzoo.configs:NoConfig"
    version: int = 1
    tiny: Mapping[str, Any] = field(default_factory=dict)
    provides: frozenset[str] = frozenset()
    requires: Mapping[str, frozenset[str]] = field(default_factory=dict)
    upgrade: str = ""
    summary: str = ""
    paper: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PluginError(
                f"part {self.name!r} has kind {self.kind!r}", nearest(self.kind, KINDS)
            )
        object.__setattr__(self, "provides", frozenset(self.provides))
        object.__setattr__(
            self, "requires", {role: frozenset(need) for role, need in self.requires.items()}
        )
        for capability in self.provides.union(*self.requires.values()):
            if capability not in CAPABILITIES and ":" not in capability:
                raise PluginError(
                    f"part {self.name!r} names the capability {capability!r}, which is none",
                    nearest(capability, CAPABILITIES) + " (prefix your own: myplugin:thing)",
                )

    @property
    def config_class(self) -> type[Any]:
        """The config dataclass, imported now."""
        resolved = resolve(self.config)
        if not (isinstance(resolved, type) and dataclasses.is_dataclass(resolved)):
            raise PluginError(f"{self.config} (config of part {self.name!r}) is no dataclass")
        return resolved

    def make_config(self, settings: Mapping[str, Any] | None = None) -> Any:
        """The config with `settings` applied, checked: unknown keys and wrong types are refused,
        and so are classes where the part does not say that it takes labels."""
        where = f"{self.kind}.{self.name}"
        config = config_from_dict(self.config_class, settings or {}, where=where)
        if getattr(config, "num_classes", 0) and not self.provided(config) & {
            "conditional",
            "classes",
        }:
            raise ConfigError(
                f"{where} is unconditional, num_classes = {config.num_classes} does not apply",
                "use a conditional part, or leave num_classes and conditional out",
            )
        return config

    def build(self, config: Any | None = None) -> Any:
        """Make the part. Imports its module, which for most kinds imports torch."""
        return resolve(self.factory)(self.make_config() if config is None else config)

    def provided(self, config: Any) -> frozenset[str]:
        """All capabilities with this config."""
        return self.provides | frozenset(getattr(config, "provides", ()))


def resolve(dotted: str) -> Any:
    """Import what a dotted string "package.module:Name" names."""
    try:
        return pkgutil.resolve_name(dotted)
    except (ImportError, AttributeError, ValueError) as error:
        raise PluginError(
            f"cannot resolve {dotted!r}", f"{type(error).__name__}: {error}"
        ) from error


# -- the registry of parts -----------------------------------------------------------------------


@dataclass(frozen=True)
class OwnedPart:
    """A part and the plugin (entry-point name) and distribution that bring it."""

    part: Part
    plugin: str
    distribution: str


class PartRegistry:
    """All parts of all plugins, by kind and name."""

    def __init__(
        self,
        parts: Iterable[OwnedPart],
        *,
        missing: Callable[[str, str], GanzooError | None] = lambda kind, name: None,
    ) -> None:
        """`missing` tells of a kind and name what plugin would bring it, as the error to raise."""
        self._by_kind: dict[str, list[OwnedPart]] = {kind: [] for kind in KINDS}
        self._missing = missing
        for owned in parts:
            self._by_kind[owned.part.kind].append(owned)

    def all(self, kind: str | None = None) -> list[OwnedPart]:
        """The parts of a kind (or of all kinds), in the order of kind, then name."""
        kinds = [kind] if kind else list(KINDS)
        return [o for k in kinds for o in sorted(self._by_kind[k], key=lambda o: o.part.name)]

    def get(self, kind: str, name: str) -> Part:
        """The part of this name, or `plugin:name` where two plugins claim it."""
        return self.owner(kind, name).part

    def owner(self, kind: str, name: str) -> OwnedPart:
        """The part with its owner.

        Raises:
            NotFoundError: no such part; names the nearest, and the plugin that is known to have it.
            PluginError: two distributions claim the name.
        """
        if kind not in KINDS:
            raise NotFoundError(f"no kind of part is called {kind!r}", nearest(kind, KINDS))
        plugin, _, bare = name.rpartition(":")
        found = [
            o
            for o in self._by_kind[kind]
            if o.part.name == bare and (not plugin or o.plugin == plugin)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            owners = " and ".join(f"{o.distribution}" for o in found)
            choices = " or ".join(f"{o.plugin}:{bare}" for o in found)
            raise PluginError(f"{kind} {bare!r} is claimed by {owners}", f"ask for {choices}")
        lacking = self._missing(kind, bare)
        if lacking is not None:
            raise lacking
        known = [o.part.name for o in self._by_kind[kind]]
        raise NotFoundError(f"no {kind} is called {name!r}", nearest(bare, known))


# -- which parts go together ---------------------------------------------------------------------


def check_compatible(
    chosen: Mapping[str, tuple[Part, Any]], alternatives: Callable[[str], Sequence[Part]]
) -> None:
    """Refuse parts that cannot work together, before torch is imported.

    Args:
        chosen: role -> (part, config), for the roles of a run.
        alternatives: role -> the parts that could be chosen instead, for the remedy.

    Raises:
        CompatibilityError: says who needs what of whom, and which setting or part would do.
    """
    for part, _ in chosen.values():
        for role, needed in part.requires.items():
            other, config = chosen.get(role, (None, None))
            if other is None:
                lacking, whose = needed, f"a {role}"
            else:
                lacking, whose = needed - other.provided(config), f"the {role} {other.name!r}"
            if lacking:
                capability = min(lacking)
                problem = (
                    f"{part.kind} {part.name!r} needs {whose} to be {capability!r}"
                    f" ({CAPABILITIES.get(capability, 'a plugin capability')})"
                )
                raise CompatibilityError(
                    problem, _remedy(role, other, config, needed, alternatives)
                )
    shapes = {
        (role, config.image_shape, config.num_classes)
        for role, (_, config) in chosen.items()
        if role in ("generator", "discriminator")
    }
    if len({shape for _, shape, _ in shapes}) > 1:
        text = ", ".join(f"{role} {list(shape)}" for role, shape, _ in sorted(shapes))
        raise CompatibilityError(f"image shapes differ: {text}", "set one image_shape for both")
    if len({classes for _, _, classes in shapes}) > 1:
        text = ", ".join(f"{role} {classes}" for role, _, classes in sorted(shapes))
        raise CompatibilityError(f"num_classes differ: {text}", "set one num_classes for both")
    if not {"discriminator", "loss"} <= set(chosen):
        return
    loss = chosen["loss"][0]
    if any(classes for _, _, classes in shapes):
        _check_labels_count(chosen, alternatives)
    elif _uses_classes(loss):
        raise CompatibilityError(
            f"the loss {loss.name!r} compares classes, and the networks have none",
            "--set conditional=true and labelled data, or another loss",
        )


def _check_labels_count(
    chosen: Mapping[str, tuple[Part, Any]], alternatives: Callable[[str], Sequence[Part]]
) -> None:
    """Refuse a run in which labels would teach G nothing: D must see them, or the loss must compare
    them with the classes that D names."""
    critic, config = chosen["discriminator"]
    loss = chosen["loss"][0]
    if "conditional" in critic.provided(config) or _uses_classes(loss):
        return
    losses = [f"--set loss={part.name}" for part in alternatives("loss") if _uses_classes(part)]
    needed = frozenset({"conditional"})
    raise CompatibilityError(
        f"the discriminator {critic.name!r} does not see labels, and the loss {loss.name!r} does"
        " not use the classes that it names",
        " or ".join([*losses, _remedy("discriminator", critic, config, needed, alternatives)]),
    )


def _uses_classes(loss: Part) -> bool:
    return "classes" in loss.requires.get("discriminator", ())


def variants(
    part: Part, settings: Mapping[str, Any] | None = None
) -> Iterator[tuple[dict[str, Any], Any]]:
    """(what is changed, config) of a part: as it is set, then with each option of each choice."""
    settings = settings or {}
    changes: list[dict[str, Any]] = [{}]
    for name, hint in field_types(part.config_class).items():
        if typing.get_origin(hint) is Literal:
            changes += [{name: option} for option in typing.get_args(hint)]
    for change in changes:
        try:
            yield change, part.make_config({**settings, **change})
        except ConfigError:  # the other settings rule it out
            continue


def _remedy(
    role: str,
    part: Part | None,
    config: Any,
    needed: frozenset[str],
    alternatives: Callable[[str], Sequence[Part]],
) -> str:
    """The settings of the chosen part, else the other parts, that would satisfy `needed`."""
    if part is not None:
        good: dict[str, list[str]] = {}
        for change, changed in variants(part, config_to_dict(config)):
            if needed <= part.provided(changed):
                for name, option in change.items():
                    good.setdefault(name, []).append(f"--set {role}.{name}={option}")
        if good:
            return " or ".join(next(iter(good.values())))
    would_do = []
    for candidate in alternatives(role):
        if part is not None and candidate.name == part.name:
            continue
        for change, changed in variants(candidate):
            if needed <= candidate.provided(changed):
                settings = [f"--set {role}.{name}={option}" for name, option in change.items()]
                would_do.append(" ".join([f"--set {role}={candidate.name}", *settings]))
                break
    return " or ".join(would_do) or f"install a plugin whose {role} provides {', '.join(needed)}"
