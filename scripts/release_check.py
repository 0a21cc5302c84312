"""Build every distribution and check that it may be released: make release-check

Wheels are built from the source distributions, so that these are seen to be complete. What is
checked is what `problems` lists; nothing is uploaded.
"""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from functools import cached_property
from pathlib import Path

import click
import hook_history
from packaging.requirements import Requirement

import ganzoo

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Distribution:
    """A folder with a pyproject.toml, and what was built of it."""

    folder: Path
    dist: Path

    @cached_property
    def name(self) -> str:
        project = tomllib.loads((self.folder / "pyproject.toml").read_text())["project"]
        return str(project["name"])

    @property
    def package(self) -> str:
        return self.name.replace("-", "_")

    @cached_property
    def wheel(self) -> dict[str, bytes]:
        """The files of the wheel; none where there is no wheel."""
        for path in self.dist.glob(f"{self.package}-*.whl"):
            with zipfile.ZipFile(path) as archive:
                return {name: archive.read(name) for name in archive.namelist()}
        return {}

    @cached_property
    def sdist(self) -> dict[str, bytes]:
        """The files of the source distribution, without its top folder."""
        files: dict[str, bytes] = {}
        for path in self.dist.glob(f"{self.package}-*.tar.gz"):
            with tarfile.open(path) as archive:
                for member in archive:
                    if opened := archive.extractfile(member):
                        files[member.name.partition("/")[2]] = opened.read()
        return files

    @cached_property
    def metadata(self) -> Message:
        return BytesParser().parsebytes(self._info("METADATA"))

    @property
    def version(self) -> str:
        return str(self.metadata["Version"])

    @cached_property
    def requirements(self) -> list[Requirement]:
        """What it needs of the distributions here, extras left out."""
        needed = map(Requirement, self.metadata.get_all("Requires-Dist") or ())
        return [r for r in needed if r.name.startswith("ganzoo") and "extra" not in str(r.marker)]

    @cached_property
    def entry_points(self) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(delimiters=("=",))
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(self._info("entry_points.txt").decode())
        return parser

    def _info(self, file: str) -> bytes:
        """A file of the wheel's .dist-info, b"" where it is missing."""
        return next((t for n, t in self.wheel.items() if n.endswith(f".dist-info/{file}")), b"")

    @cached_property
    def sources(self) -> dict[str, bytes]:
        """What the package consists of in the checkout."""
        package = self.folder / self.package
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(package.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }


def distributions(dist: Path) -> list[Distribution]:
    """The core, then the plugins."""
    plugins = sorted((ROOT / "plugins").glob("*/pyproject.toml"))
    return [Distribution(folder, dist) for folder in (ROOT, *(p.parent for p in plugins))]


def problems(built: list[Distribution], version: str) -> Iterator[str]:
    """What speaks against releasing these as `version`, a line each."""
    whole = []
    for one in built:
        missing = [kind for kind in ("wheel", "sdist") if not getattr(one, kind)]
        yield from (f"{one.name}: there is no {kind}" for kind in missing)
        if not missing:
            whole.append(one)
    for one in whole:
        for problem in (*_files(one), *_licence(one), *_entry_points(one)):
            yield f"{one.name}: {problem}"
        if one.version != version:
            yield f"{one.name}: its version is {one.version}, and {version} is to be released"
        for problem in _ranges(one, {other.name: other.version for other in whole}):
            yield f"{one.name}: {problem}"


def _files(one: Distribution) -> Iterator[str]:
    """The package is complete in both, byte for byte, and the wheel has nothing else; the source
    distribution has the tests too."""
    extra = {"ganzoo/registry.toml"} if one.name == "ganzoo" else set()
    for name, content in one.sources.items():
        if one.wheel.get(name) != content:
            yield f"the wheel {'has another' if name in one.wheel else 'lacks'} {name}"
        if one.sdist.get(name) != content:
            yield f"the sdist {'has another' if name in one.sdist else 'lacks'} {name}"
    packaged = {name for name in one.wheel if ".dist-info/" not in name}
    yield from (f"the wheel lacks {name}" for name in sorted(extra - packaged))
    for name in sorted(packaged - set(one.sources) - extra):
        yield f"the wheel has {name}, which is not in the package"
    for path in sorted((one.folder / "tests").rglob("*.py")):
        if (name := path.relative_to(one.folder).as_posix()) not in one.sdist:
            yield f"the sdist lacks {name}"
    if "README.md" not in one.sdist:
        yield "the sdist lacks README.md"


def _licence(one: Distribution) -> Iterator[str]:
    if not one.metadata["License-Expression"]:
        yield "it names no licence"
    licence = (one.folder / "LICENSE").read_bytes()
    if one._info("licenses/LICENSE") != licence:
        yield "the wheel lacks LICENSE"
    if one.sdist.get("LICENSE") != licence:
        yield "the sdist lacks LICENSE"


def _entry_points(one: Distribution) -> Iterator[str]:
    group = "console_scripts" if one.name == "ganzoo" else "ganzoo"
    entries = dict(one.entry_points[group]) if group in one.entry_points else {}
    if not entries:
        yield f"it has no entry point of the group {group}"
    for name, value in entries.items():
        module = value.partition(":")[0].strip().replace(".", "/")
        if not {f"{module}.py", f"{module}/__init__.py"} & set(one.wheel):
            yield f"the entry point {name} names {value}, which the wheel lacks"


def _ranges(one: Distribution, versions: dict[str, str]) -> Iterator[str]:
    """A plugin says which core it needs, from and below, and all it needs here is released now."""
    needs_core = [r for r in one.requirements if r.name == "ganzoo"]
    if one.name != "ganzoo" and not needs_core:
        yield "it does not say which ganzoo it needs"
    for requirement in needs_core:
        if {specifier.operator for specifier in requirement.specifier} != {">=", "<"}:
            yield f"{requirement} is no range ganzoo>=x,<y"
    for requirement in one.requirements:
        version = versions.get(requirement.name)
        if version is None:
            yield f"it needs {requirement.name}, which is not released"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"it needs {requirement}, and {version} is to be released"


def build(folder: Path, dist: Path, *options: str) -> None:
    """Build a distribution with what is installed here."""
    _run("build", "--no-isolation", *options, "-o", dist, folder)


def _run(module: str, *words: object) -> None:
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{module} failed:\n{done.stdout}{done.stderr}")


def main(dist: Path) -> None:
    shutil.rmtree(dist, ignore_errors=True)
    built = distributions(dist)
    for one in built:
        click.echo(f"building {one.name}", err=True)
        build(one.folder, dist)
    found = [*problems(built, ganzoo.__version__)]
    history = hook_history.read()
    found += hook_history.problems(ganzoo.__version__, hook_history.hooks_of(), history)
    if found:
        sys.exit("\n".join(found))
    _run("twine", "check", "--strict", *sorted(dist.iterdir()))
    # W002: the core's licence is also one that new plugins can choose
    _run("check_wheel_contents", "--ignore", "W002", *sorted(dist.glob("*.whl")))
    click.echo(f"{len(built)} distributions of {ganzoo.__version__} in {dist}: ready")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
