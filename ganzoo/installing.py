"""Installing and uninstalling plugins, with the pip or uv of the running interpreter.

What is asked for reaches pip as one argument that it cannot take for an option: a requirement that
was parsed and written anew, or an absolute path.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganzoo import distributions, plugins, registry
from ganzoo.errors import NotFoundError, PluginError, nearest
from ganzoo.scaffold import names

CORE = "ganzoo"
STDERR = 2  # of this process, for what pip says: it is no data
_REMEDY = "give a requirement such as ganzoo-dcgan or 'ganzoo-dcgan>=0.1', or a plugin's ./folder"


@dataclass(frozen=True)
class Wanted:
    """What to install: the argument for pip, and the distribution's name."""

    argument: str
    distribution: str
    is_path: bool = False


def parse(text: str) -> Wanted:
    """What `text` asks for: a requirement, or the path of a plugin's folder or wheel.

    Raises:
        PluginError: it is neither, or a name that may be mistaken for a reviewed plugin's.
    """
    if ("/" in text or text.startswith(".")) and "://" not in text and not text.startswith("-"):
        return _local(Path(text))
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise PluginError(f"{text!r} is no requirement", _REMEDY) from error
    if requirement.url:
        raise PluginError(f"{text!r} names an address", _REMEDY)
    name = normalized(requirement.name)
    if name == CORE:
        raise PluginError("ganzoo is no plugin", "pip install --upgrade ganzoo")
    reviewed = {plugin["entry_point"]: plugin["name"] for plugin in registry.curated_plugins()}
    if meant := reviewed.get(name) or names.resembles(name):
        raise PluginError(
            f"{requirement.name!r} is not {meant!r}, which ganzoo has reviewed",
            f"ganzoo install {meant}, or ask pip for the other",
        )
    return Wanted(str(requirement), name)


def _local(path: Path) -> Wanted:
    from ganzoo.testing.subject import read_project

    path = path.expanduser().absolute()
    if path.is_dir():
        return Wanted(str(path), normalized(str(read_project(path)["name"])), is_path=True)
    wheel = re.fullmatch(r"([A-Za-z0-9._]+)-[^-]+(?:-[^-]+){3,4}\.whl", path.name)
    if wheel and path.is_file():
        if plugins.GROUP not in _entry_groups(path):
            raise PluginError(f"{path} brings no plugin of ganzoo", _REMEDY)
        return Wanted(str(path), normalized(wheel[1]), is_path=True)
    raise PluginError(f"{path} is no plugin's folder or wheel", _REMEDY)


def _entry_groups(wheel: Path) -> list[str]:
    """The groups of entry points that a wheel declares."""
    import zipfile

    try:
        with zipfile.ZipFile(wheel) as opened:
            listed = [n for n in opened.namelist() if n.endswith(".dist-info/entry_points.txt")]
            text = "".join(opened.read(name).decode("utf-8", "replace") for name in listed)
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise PluginError(f"{wheel} is no wheel: {error}", "build or fetch it again") from error
    return re.findall(r"^\s*\[\s*([^\]\s]+)\s*\]", text, re.MULTILINE)


def normalized(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def install_command(wanted: Wanted, *, upgrade: bool = False, editable: bool = False) -> list[str]:
    """The command that installs it.

    Raises:
        PluginError: there is neither pip nor uv, or what is not a folder is to be editable.
    """
    options = ["--upgrade"] if upgrade else []
    if editable:
        if not Path(wanted.argument).is_dir():
            raise PluginError(f"{wanted.argument} is no folder", "leave --editable out")
        options.append("--editable")
    return [*_installer("install"), *options, wanted.argument]


def uninstall_command(text: str) -> list[str]:
    """The command that uninstalls a plugin.

    Raises:
        NotFoundError: no installed plugin is called so.
        PluginError: another plugin needs it, it is the core, or there is neither pip nor uv.
    """
    installed = {normalized(e.distribution): e for e in distributions.entry_points(plugins.GROUP)}
    name = normalized(text)
    if name == CORE:
        raise PluginError("ganzoo is no plugin", "pip uninstall ganzoo")
    if name not in installed:
        remedy = nearest(name, installed) or "ganzoo plugins lists them"
        raise NotFoundError(f"no plugin {text!r} is installed", remedy)
    needing = sorted(
        other.distribution
        for other in installed.values()
        for requirement in other.requires
        if normalized(re.split(r"[^\w.-]", requirement, maxsplit=1)[0]) == name
        and "extra ==" not in requirement
    )
    if needing:
        raise PluginError(f"{needing[0]} needs {name}", f"ganzoo uninstall {needing[0]} first")
    # a plugin is meant, and was named: nothing is left to ask
    command = _installer("uninstall")
    return [*command, *(["--yes"] if command[1:3] == ["-m", "pip"] else []), name]


def _installer(verb: str) -> list[str]:
    """pip of this interpreter, else uv for this interpreter."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", verb]
    if uv := shutil.which("uv"):
        return [uv, "pip", verb, "--python", sys.executable]
    raise PluginError(
        f"there is no pip in {sys.executable}, and no uv", "python -m ensurepip, or install uv"
    )


def run(command: Sequence[str]) -> None:
    """Run pip or uv; what they say goes to stderr.

    Raises:
        PluginError: it failed; it has said why.
    """
    code = subprocess.run(command, stdout=STDERR, check=False).returncode
    if code:
        tool = "pip" if "pip" in command[:3] and command[0] == sys.executable else "uv"
        raise PluginError(f"{tool} failed (exit code {code})", "its lines above say why")


def check(distribution: str) -> None:
    """`ganzoo check` of what was just installed, in a new process, which sees it.

    Raises:
        PluginError: it breaks the contract, and the broken rules have been printed; or it is no
            plugin.
    """
    command = [sys.executable, "-m", "ganzoo", "check", distribution]
    if subprocess.run(command, stdout=STDERR, check=False).returncode:
        found = distributions.entry_points(plugins.GROUP)
        if distribution not in {normalized(entry.distribution) for entry in found}:
            raise PluginError(
                f"{distribution} is installed, but it is no plugin of ganzoo",
                shlex.join([*_installer("uninstall"), distribution]),
            )
        raise PluginError(
            f"{distribution} is installed, but did not pass the check above",
            f"ganzoo uninstall {distribution}, or another version of it",
        )
