"""Names for plugins: which are possible, which are taken, and which would be mistaken for another.

Whoever mistypes `pip install ganzoo-dcgan` runs the code of whoever owns what they typed. A name
that is read or typed for that of another plugin is therefore refused, here where it is chosen.
"""

from __future__ import annotations

import importlib.util
import re
import sys

from ganzoo import distributions, plugins, registry
from ganzoo.errors import InputError

LONGEST = 40
WELL_KNOWN = frozenset({
    "accelerate", "click", "datasets", "diffusers", "ganzoo", "hatchling", "hub",
    "huggingface", "jax", "keras", "matplotlib", "numpy", "pandas", "pillow", "pip", "pluggy",
    "pytest", "safetensors", "scipy", "setuptools", "sklearn", "tensorflow", "test", "tests",
    "timm", "torch", "torchvision", "transformers", "uv",
})  # fmt: skip
"""Packages that are not to be mistaken for a plugin, whether they are installed or not."""

_LOOK_ALIKE = [("rn", "m"), ("vv", "w"), ("cl", "d")]
_DIGITS = str.maketrans("01345789", "oleastbg", "-_.")  # 8 and 9 are read as B and g


def check(name: str, *, allow_similar: bool = False) -> None:
    """Refuse a name that no plugin can have, that is taken, or that looks like another plugin's.

    Args:
        allow_similar: let it be one letter or a number away from another's, as honest names are
            at times.

    Raises:
        InputError: with the reason, and what to do.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > LONGEST:
        raise InputError(
            f"{name!r} is no name for a plugin: a small letter, then small letters, digits and"
            f" single hyphens, up to {LONGEST}",
            f"write {suggestion}" if (suggestion := _mended(name)) else "choose another",
        )
    if name.startswith("ganzoo"):
        raise InputError(f"{name!r} would become ganzoo-{name}", "give the name without ganzoo")
    taken = known()
    if name in taken:
        raise InputError(f"the name {name!r} is taken by {taken[name]}", "choose another")
    package = name.replace("-", "_")
    if package in sys.stdlib_module_names or name in WELL_KNOWN or _importable(package):
        raise InputError(f"{name!r} is the name of a Python package", "choose another")
    if _importable(f"ganzoo_{package}"):
        raise InputError(f"a package ganzoo_{package} is already installed", "choose another")
    for other, owner in sorted(taken.items()):
        if skeleton(other) == skeleton(name):
            raise InputError(f"{name!r} reads like {other!r} of {owner}", "choose another")
    for other, owner in sorted(taken.items()):
        if not allow_similar and _nearly(name, other):
            raise InputError(
                f"{name!r} is easily mistaken for {other!r} of {owner}",
                "choose another, or say --allow-similar if it is meant",
            )


def resembles(distribution: str) -> str:
    """The reviewed distribution that this one, which is another, may be mistaken for, or ""."""
    reviewed = registry.curated_distributions()
    for other in sorted(reviewed - {distribution}):
        if distribution not in reviewed and (
            skeleton(other) == skeleton(distribution) or within_one_edit(distribution, other)
        ):
            return other
    return ""


def known() -> dict[str, str]:
    """Every name that a plugin or a part has, installed or reviewed -> the distribution's."""
    taken = dict(registry.curated_parts())
    taken |= {plugin["entry_point"]: plugin["name"] for plugin in registry.curated_plugins()}
    taken |= {owned.part.name: owned.distribution for owned in plugins.load().parts.all()}
    for entry in distributions.entry_points(plugins.GROUP):
        taken[entry.name] = entry.distribution
        taken[re.sub(r"[-_.]+", "-", entry.distribution).lower()] = entry.distribution
    short = {name.removeprefix("ganzoo-"): owner for name, owner in taken.items()}
    return taken | short


def skeleton(name: str) -> str:
    """What is left of a name at a glance: names that are read as one another have the same."""
    text = name.lower().translate(_DIGITS)
    for pair, single in _LOOK_ALIKE:
        text = text.replace(pair, single)
    text = re.sub(r"(.)\1+", r"\1", text)  # a letter doubled
    return text.replace("i", "l")


def _nearly(name: str, other: str) -> bool:
    """Whether they differ in one letter, unless one letter is much of them, or in a number."""
    unnumbered = other.rstrip("-0123456789")
    numbered = len(unnumbered) >= 3 and name.rstrip("-0123456789") == unnumbered
    return numbered or (len(other) >= 4 and within_one_edit(name, other))


def within_one_edit(a: str, b: str) -> bool:
    """Whether one letter more, less, or other, or two neighbours exchanged, make `b` of `a`."""
    if abs(len(a) - len(b)) > 1 or a == b:
        return a == b
    start = next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    a, b = a[start:], b[start:]
    exchanged = a[:2] == b[:2][::-1] and a[2:] == b[2:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or exchanged


def _mended(name: str) -> str:
    """The possible name that is nearest to this one, or ""."""
    if not name.isascii():
        return ""
    text = re.sub(r"[\s_.-]+", "-", name.strip().lower()).strip("-")
    return text if re.fullmatch(r"[a-z][a-z0-9-]*", text) and len(text) <= LONGEST else ""


def _importable(package: str) -> bool:
    try:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None  # a mere folder has no origin
    except (ImportError, ValueError):  # half installed
        return True
