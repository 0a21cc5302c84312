"""`ganzoo new-plugin`: what it writes works untouched, and names that mislead are refused."""

from __future__ import annotations

import errno
import json
import re
import shlex
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ganzoo
from ganzoo import layout, plugins, provenance, registry, scaffold
from ganzoo.errors import InputError
from ganzoo.gates import licences
from ganzoo.scaffold import names
from ganzoo.training import Recipe
from tests import environments
from tests.test_readme import ROOT, blocks


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin as it is written, with a hyphen in its name."""
    folder = tmp_path_factory.mktemp("written") / "ganzoo-star-gaze"
    author = 'Ada "of" Ė <ada@example.org>'
    return scaffold.write_plugin("star-gaze", folder, license="mit", author=author)


# -- it works, untouched -------------------------------------------------------------------------

SESSION = """
import json, sys
from ganzoo.cli import main
for words in json.loads(sys.stdin.read()):
    try:
        main(words, prog_name="ganzoo")
    except SystemExit as end:
        if end.code:
            sys.exit(f"{words} ended with {end.code}")
"""


def test_what_its_readme_says_works_untouched_in_a_clean_environment(
    plugin: Path, tmp_path: Path
) -> None:
    python = environments.make(tmp_path / "venv")
    commands = []
    readme = [block.text for block in blocks(plugin / "README.md") if block.language == "sh"]
    for line in "".join(readme).splitlines():
        words = shlex.split(line, comments=True)
        if words[0] == "pip":
            assert words == ["pip", "install", "-e", ".[test]"]
            environments.pip_install(python, "-e", plugin)
        elif words == ["pytest"]:
            said = environments.run(python, "-m", "pytest", "-q", cwd=plugin)
            assert "passed" in said and "failed" not in said and "skipped" not in said
        else:
            assert words[0] == "ganzoo"
            commands.append(words[1:])
    assert commands == [  # nothing is declared, overridden or cut short
        ["check", "."],
        ["train", "star-gaze.shapes", "--out", "runs/1"],
        ["generate", "runs/1", "--class-grid", "-o", "runs/grid.png"],
        ["publish", "runs/1", "me/star-gaze-shapes", "--dry-run"],
    ]
    said = environments.run(python, "-c", SESSION, input=json.dumps(commands), cwd=plugin)
    sent = {line.partition("\t")[0] for line in said.splitlines() if "\t" in line}
    assert {"model.safetensors", "metrics.json", "audit.json", "README.md"} <= sent
    assert "discriminator.safetensors" not in sent
    assert provenance.read_record(plugin / "runs" / "grid.png")["plugin"].startswith(
        "ganzoo-star-gaze"
    )
    model = plugin / "runs" / "1" / "model"
    config = layout.read_config(model)
    assert config.license == "mit" and config.dataset.name.startswith("shapes")
    assert config.generator.part == "star-gaze" and not config.overrides
    # so small an audit passes nothing, and says so
    assert layout.read_json(model / "audit.json")["verdict"] == "warn"


# -- what it consists of -------------------------------------------------------------------------


def test_its_metadata_are_those_of_a_plugin(plugin: Path) -> None:
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    assert project["name"] == "ganzoo-star-gaze"
    assert project["license"] == "MIT"
    assert project["authors"] == [{"name": 'Ada "of" Ė', "email": "ada@example.org"}]
    assert project["entry-points"]["ganzoo"] == {"star-gaze": "ganzoo_star_gaze"}
    core = next(r for r in map(Requirement, project["dependencies"]) if r.name == "ganzoo")
    assert ganzoo.__version__ in core.specifier
    assert {s.operator for s in core.specifier} == {">=", "<"}
    licence = (plugin / "LICENSE").read_text()
    assert licence.startswith("MIT License") and 'Ada "of" Ė' in licence


def test_nothing_of_the_template_is_left(plugin: Path) -> None:
    files = [path for path in plugin.rglob("*") if path.is_file() and "runs" not in path.parts]
    for path in files:
        if path.suffix in (".py", ".toml", ".yml", ".md"):
            text = path.read_text(encoding="utf-8")
            for word in ("newgan", "LICENSE_ID", "AUTHOR", "YEAR", "CORE_RANGE", "WEIGHTS_LICENSE"):
                assert word not in text, path
        assert "newgan" not in str(path.relative_to(plugin))
    for name in (".gitignore", ".github/workflows/ci.yml", "tests/test_star_gaze.py"):
        assert plugin / name in files


def test_its_recipe_says_what_publishing_asks(plugin: Path) -> None:
    recipe = Recipe.load(plugin / "ganzoo_star_gaze" / "recipes" / "star-gaze.shapes.toml")
    assert recipe.name == "star-gaze.shapes"
    assert (recipe.data.shows_people, recipe.data.not_for_all_audiences) == (False, False)
    assert recipe.data.source.startswith("shapes")  # nothing to download
    assert recipe.model.license == "mit"
    assert recipe.about.expected and recipe.about.source
    parts = [recipe.generator.part, recipe.discriminator.part, recipe.loss.part]
    assert parts == ["star-gaze"] * 3


def test_the_workflow_pins_major_versions_and_runs_the_tests(plugin: Path) -> None:
    workflow = yaml.safe_load((plugin / ".github" / "workflows" / "ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    for used in (step["uses"] for step in steps if "uses" in step):
        action, _, version = used.partition("@")
        assert action.startswith("actions/") and version[0] == "v" and version[1:].isdigit()
    assert {"pytest", "ganzoo check ."} <= {step.get("run") for step in steps}
    assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("name", ["q", "star-gaze", "x-9" + "-abcdefghi" * 3 + "-abcdef"])
def test_it_is_in_good_style_however_long_its_name(name: str, tmp_path: Path) -> None:
    folder = scaffold.write_plugin(name, tmp_path / name)
    ruff = (sys.executable, "-m", "ruff")
    environments.run(*ruff, "check", ".", cwd=folder)
    environments.run(*ruff, "format", "--check", "--diff", ".", cwd=folder)


def test_its_types_are_strict(plugin: Path) -> None:
    """With the cache of `make lint`, for torch and what it imports take a minute."""
    mypy = (sys.executable, "-m", "mypy", "--cache-dir", ROOT / ".mypy_cache")
    shared = ("--config-file", ROOT / "pyproject.toml")
    environments.run(*mypy, *shared, "ganzoo_star_gaze", "tests", cwd=plugin)


def test_it_can_be_built_and_uploaded(plugin: Path, tmp_path: Path) -> None:
    for left in ("runs", ".mypy_cache", ".ruff_cache"):
        (plugin / left).mkdir(exist_ok=True)
        (plugin / left / "left.txt").touch()
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path)
    environments.run(*build, plugin)
    made = sorted(tmp_path.iterdir())
    assert [path.name for path in made] == [
        "ganzoo_star_gaze-0.1.0-py3-none-any.whl", "ganzoo_star_gaze-0.1.0.tar.gz"
    ]  # fmt: skip
    environments.run(sys.executable, "-m", "twine", "check", "--strict", *made)
    with zipfile.ZipFile(made[0]) as wheel:
        names = wheel.namelist()
    assert "ganzoo_star_gaze/recipes/star-gaze.shapes.toml" in names
    assert "ganzoo_star_gaze-0.1.0.dist-info/licenses/LICENSE" in names
    assert not [name for name in names if name.startswith(("runs", "tests"))]
    with tarfile.open(made[1]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert "tests/test_star_gaze.py" in names
    assert not [name for name in names if name.startswith(("runs", ".mypy_cache", ".ruff_cache"))]


@pytest.mark.parametrize("license", scaffold.LICENSES)
def test_every_licence_is_whole_and_fit_for_weights(license: str, tmp_path: Path) -> None:
    folder = scaffold.write_plugin("star-gaze", tmp_path / "new", license=license)
    text = (folder / "LICENSE").read_text()
    assert len(text) > 1000
    assert not re.search(r"\b(YEAR|AUTHOR)\b", text)
    assert ("\nAUTHORS OR COPYRIGHT HOLDERS BE LIABLE" in text) == (license == "mit")
    assert ("The ganzoo-star-gaze authors" in text) == license.startswith(("mit", "bsd"))
    assert license in licences.TERMS


WRITTEN = {".github", ".gitignore", "LICENSE", "README.md", "ganzoo_star_gaze", "pyproject.toml"}
WRITTEN |= {"tests"}

# -- it overwrites nothing -----------------------------------------------------------------------


def test_a_folder_with_files_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is not empty"):
        scaffold.write_plugin("star-gaze", tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    before = (tmp_path / "mine").stat().st_ino
    scaffold.write_plugin("star-gaze", tmp_path / "mine")
    assert {path.name for path in (tmp_path / "mine").iterdir()} == WRITTEN
    assert (tmp_path / "mine").stat().st_ino == before  # a shell may be in it
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_folder_that_one_is_in_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert scaffold.write_plugin("star-gaze", Path()) == Path()
    assert {path.name for path in tmp_path.iterdir()} == WRITTEN
    assert Path("pyproject.toml").is_file()  # of the same folder still


def test_a_new_repository_and_a_link_to_a_folder_are_filled(tmp_path: Path) -> None:
    (tmp_path / "mine" / ".git").mkdir(parents=True)
    (tmp_path / "mine" / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (tmp_path / "link").symlink_to("mine")
    scaffold.write_plugin("star-gaze", tmp_path / "link")
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {".git", *WRITTEN}
    assert (tmp_path / "mine" / ".git" / "HEAD").read_text() == "ref: refs/heads/main"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("after", [0, 5, 10])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_stops_it_half_way_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    after: int,
    there: bool,
) -> None:
    target = tmp_path / "mine"
    if there:
        target.mkdir()
    write_bytes, written = Path.write_bytes, []

    def write(path: Path, data: bytes) -> int:
        if len(written) == after:
            raise error
        written.append(path)
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises((KeyboardInterrupt, InputError)) as raised:
        scaffold.write_plugin("star-gaze", target)
    if isinstance(error, OSError):
        said = f"cannot write {target}: No space left: free some space or choose another place"
        assert str(raised.value) == said
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["mine"] * there


def test_a_move_that_fails_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    rename = Path.rename

    def refuse(path: Path, to: Path) -> Path:
        if to == target / "pyproject.toml":
            raise PermissionError(errno.EACCES, "Permission denied", str(to))
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(InputError, match=r"cannot write .*mine: Permission denied"):
        scaffold.write_plugin("star-gaze", target)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("there", [False, True])
def test_files_that_came_meanwhile_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    target = tmp_path / "mine"
    if there:
        target.mkdir()
    write_text = scaffold.files.write_text

    def write(path: Path, text: str) -> None:
        target.mkdir(exist_ok=True)
        (target / "notes.txt").write_text("mine")
        write_text(path, text)

    monkeypatch.setattr(scaffold.files, "write_text", write)
    with pytest.raises(InputError, match=r"cannot write|is not empty"):
        scaffold.write_plugin("star-gaze", target)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert [path.name for path in target.iterdir()] == ["notes.txt"]


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("BigGAN", "write biggan"),
        ("big_gan", "write big-gan"),
        ("2gan", "no name for a plugin"),
        ("-gan", "no name for a plugin"),
        ("big--gan", "write big-gan"),
        ("a/../b", "no name for a plugin"),
        ("gan\n", "no name for a plugin"),
        ("dcgаn", "no name for a plugin"),  # its a is Cyrillic
        ("x" * 41, "no name for a plugin"),
        ("", "no name for a plugin"),
        ("ganzoo-star", "without ganzoo"),
        ("dcgan", "taken by ganzoo-dcgan"),  # an entry point
        ("wgan-gp", "taken by ganzoo-wgan"),  # a part
        ("hinge", "taken by ganzoo"),  # a part of the core
        ("json", "Python package"),
        ("numpy", "Python package"),
        ("diffusers", "Python package"),  # whether it is installed or not
        ("dc-gan", "reads like 'dcgan'"),
        ("dcg4n", "reads like 'dcgan'"),
        ("style1gan", "easily mistaken for 'stylegan'"),
        ("styiegan", "reads like 'stylegan'"),
        ("dcgann", "reads like 'dcgan'"),
        ("vvgan", "reads like 'wgan'"),
        ("stylegna", "easily mistaken for 'stylegan'"),
        ("dcgam", "easily mistaken for 'dcgan'"),
        ("stylegan9", "easily mistaken for 'stylegan'"),
        ("gan2", "easily mistaken for 'gan'"),
        ("stylegan-4", "easily mistaken for 'stylegan'"),
    ],
)
def test_names_that_cannot_be_or_mislead_are_refused(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        names.check(name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["biggan", "star-gaze", "lsgan", "sagan2", "pix2pix", "vq"])
def test_other_names_are_free(name: str) -> None:
    names.check(name)


def test_a_folder_of_that_name_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "biggan").mkdir()
    names.check("biggan")
    (tmp_path / "biggan" / "__init__.py").touch()
    with pytest.raises(InputError, match="Python package"):
        names.check("biggan")


def test_a_similar_name_can_be_meant_but_a_false_one_cannot() -> None:
    names.check("acgan", allow_similar=True)
    names.check("stylegan4", allow_similar=True)
    for name in ("dcgan", "dcg4n", "dc-gan", "json"):
        with pytest.raises(InputError):
            names.check(name, allow_similar=True)


def test_the_names_of_installed_plugins_that_nobody_reviewed_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "ganzoo_comet-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ganzoo-comet\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ganzoo]\ntail = ganzoo_comet\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, said in (("comet", "taken by"), ("tail", "taken by"), ("c0met", "reads like")):
        with pytest.raises(InputError, match=f"{said}.* ganzoo-comet|{said} .* of ganzoo-comet"):
            names.check(name)


def edits(word: str) -> Iterator[str]:
    """Every word at one insertion, deletion, exchange or transposition, by Norvig's enumeration."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    for k in range(len(word) + 1):
        head, tail = word[:k], word[k:]
        yield from (head + c + tail for c in letters)
        if tail:
            yield head + tail[1:]
            yield from (head + c + tail[1:] for c in letters)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]


def test_one_edit_is_what_an_enumeration_of_all_says() -> None:
    near = set(edits("wgan"))
    assert all(names.within_one_edit(word, "wgan") for word in near)
    assert all(names.within_one_edit("wgan", word) for word in near)
    far = {other for word in near for other in edits(word)} - near
    assert not [word for word in far if names.within_one_edit(word, "wgan")]


def test_slips_of_the_finger_in_curated_names_are_refused() -> None:
    for entry in registry.curated_plugins():
        if len(entry["entry_point"]) >= 4:  # all others are one slip away from gan
            for slip in sorted(set(edits(entry["entry_point"])))[::25]:
                with pytest.raises(InputError):
                    names.check(slip)


def test_known_names_are_those_of_all_that_is_installed() -> None:
    known = names.known()
    for found in plugins.load().found:
        if found.name != plugins.CORE:
            assert known[found.name] == found.distribution
            assert canonicalize_name(found.distribution) in known


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ada", ("Ada", "")),
        ("Ada Lovelace <ada@example.org>", ("Ada Lovelace", "ada@example.org")),
    ],
)
def test_authors_are_read(text: str, said: tuple[str, str]) -> None:
    assert scaffold._author(text) == said


@pytest.mark.parametrize("text", ["Ada <ada>", "<ada@example.org>", "A\nda", "A\x1bda", "a" * 201])
def test_odd_authors_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no author"):
        scaffold.write_plugin("star-gaze", tmp_path / "new", author=text)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("version", "expected"), [("0.1.0", "ganzoo>=0.1,<0.2"), ("1.12.3", "ganzoo>=1.12,<1.13")]
)
def test_the_range_of_the_core_is_its_minor_version(version: str, expected: str) -> None:
    assert scaffold.core_range(version) == expected
