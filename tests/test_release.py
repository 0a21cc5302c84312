"""What `make release-check` finds: nothing in what is built here, and each fault put into it."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
import tomllib
import types
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import hook_history
import pytest
import release_check

import ganzoo
from ganzoo import hookspecs, plugins
from ganzoo.hookspecs import HookDeprecation, hookimpl, hookspec

ROOT = Path(__file__).parent.parent
Change = Callable[[dict[str, bytes]], None]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin with models, built as for a release."""
    out = tmp_path_factory.mktemp("dist")
    release_check.build(ROOT / "plugins" / "ganzoo-gan", out)
    return out


def plugin(dist: Path) -> release_check.Distribution:
    return release_check.Distribution(ROOT / "plugins" / "ganzoo-gan", dist)


def core(version: str) -> release_check.Distribution:
    """The core, of which its metadata is all that a plugin's check looks at."""
    metadata = f"Metadata-Version: 2.4\nName: ganzoo\nVersion: {version}\n".encode()
    one = release_check.Distribution(ROOT, Path())
    one.__dict__["wheel"] = {"ganzoo-0.dist-info/METADATA": metadata}
    one.__dict__["sdist"] = {"pyproject.toml": b""}
    return one


def problems(dist: Path, version: str = ganzoo.__version__) -> list[str]:
    """Those of the plugin."""
    found = release_check.problems([core(version), plugin(dist)], ganzoo.__version__)
    return [line.removeprefix("ganzoo-gan: ") for line in found if line.startswith("ganzoo-gan: ")]


def changed_wheel(dist: Path, into: Path, change: Change) -> Path:
    """A copy of what was built, with another wheel."""
    (wheel,) = dist.glob("*.whl")
    (sdist,) = dist.glob("*.tar.gz")
    (into / sdist.name).write_bytes(sdist.read_bytes())
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(into / wheel.name, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return into


def changed_sdist(dist: Path, into: Path, change: Change) -> Path:
    (wheel,) = dist.glob("*.whl")
    (sdist,) = dist.glob("*.tar.gz")
    (into / wheel.name).write_bytes(wheel.read_bytes())
    with tarfile.open(sdist) as archive:
        members = [member for member in archive if member.isfile()]
        files = {m.name.partition("/")[2]: archive.extractfile(m).read() for m in members}
    change(files)
    with tarfile.open(into / sdist.name, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"ganzoo_gan-0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return into


def remove(name: str) -> Change:
    return lambda files: files.pop(next(n for n in files if n.endswith(name)), None)


def put(name: str, content: bytes = b"x") -> Change:
    return lambda files: files.update({name: content})


def metadata(pattern: str, replacement: str, file: str = "METADATA") -> Change:
    """Change a line of the wheel's METADATA, or of another file beside it."""

    def change(files: dict[str, bytes]) -> None:
        name = next(n for n in files if n.endswith(f".dist-info/{file}"))
        text, count = re.subn(pattern, replacement, files[name].decode(), flags=re.MULTILINE)
        assert count
        files[name] = text.encode()

    return change


# -- distributions -------------------------------------------------------------------------------


def test_nothing_is_wrong_with_what_is_built(dist: Path) -> None:
    assert problems(dist) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (remove("model.safetensors"), "the wheel lacks ganzoo_gan/models/gan.mnist/model.safe"),
        (remove("gan.mnist.toml"), "the wheel lacks ganzoo_gan/recipes/gan.mnist.toml"),
        (put("ganzoo_gan/config.py"), "the wheel has another ganzoo_gan/config.py"),
        (put("tests/test_gan.py"), "the wheel has tests/test_gan.py, which is not in the package"),
        (remove("licenses/LICENSE"), "the wheel lacks LICENSE"),
        (metadata("^License-Expression.*\n", ""), "it names no licence"),
        (remove("entry_points.txt"), "it has no entry point of the group ganzoo"),
        (
            metadata("ganzoo_gan$", "ganzoo_gna", "entry_points.txt"),
            "the entry point gan names ganzoo_gna, which the wheel lacks",
        ),
        (metadata("^Version: .*", "Version: 0.0.9"), "its version is 0.0.9, and"),
        (metadata("^Requires-Dist: ganzoo.*\n", ""), "it does not say which ganzoo it needs"),
        (metadata("ganzoo<.*", "ganzoo>=0.1"), "ganzoo>=0.1 is no range ganzoo>=x,<y"),
        (metadata("ganzoo<.*", "ganzoo<9,>=8"), "it needs ganzoo<9,>=8, and"),
        (
            metadata("^(Requires-Dist: ganzoo.*)$", r"\1\nRequires-Dist: ganzoo-none"),
            "it needs ganzoo-none, which is not released",
        ),
    ],
)
def test_a_faulty_wheel_is_found(dist: Path, tmp_path: Path, change: Change, said: str) -> None:
    (problem,) = problems(changed_wheel(dist, tmp_path, change))
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (remove("model.safetensors"), "the sdist lacks ganzoo_gan/models/gan.mnist/model.safe"),
        (remove("tests/test_gan.py"), "the sdist lacks tests/test_gan.py"),
        (remove("LICENSE"), "the sdist lacks LICENSE"),
        (remove("README.md"), "the sdist lacks"),
    ],
)
def test_a_faulty_sdist_is_found(dist: Path, tmp_path: Path, change: Change, said: str) -> None:
    found = problems(changed_sdist(dist, tmp_path, change))
    assert found and found[0].startswith(said)


def test_a_core_that_the_range_excludes_is_found(dist: Path) -> None:
    found = problems(dist, version="0.2.0")
    assert len(found) == 1 and found[0].startswith("it needs ganzoo") and "0.2.0" in found[0]


def test_what_was_not_built_is_missed(dist: Path, tmp_path: Path) -> None:
    assert problems(tmp_path) == ["there is no wheel", "there is no sdist"]


def test_every_distribution_is_looked_at() -> None:
    found = release_check.distributions(Path())
    folders = [ROOT, *sorted((ROOT / "plugins").glob("ganzoo-*"))]
    assert [one.folder for one in found] == folders
    assert [one.name for one in found] == ["ganzoo", *(folder.name for folder in folders[1:])]


# -- hooks ---------------------------------------------------------------------------------------


def spec(**functions: Callable[..., None]) -> types.SimpleNamespace:
    return types.SimpleNamespace(**functions)


@hookspec
def ganzoo_old(trainer: object, logs: object) -> None: ...


@hookspec(warn_on_impl=HookDeprecation("ganzoo_old", gone="0.3", instead="ganzoo_new"))
def ganzoo_going(trainer: object, logs: object) -> None: ...


@hookspec(warn_on_impl_args={"logs": HookDeprecation("logs", gone="0.3", instead="trainer")})
def ganzoo_losing(trainer: object, logs: object) -> None: ...


@hookspec
def ganzoo_short(trainer: object) -> None: ...


OLD, GOING = spec(ganzoo_old=ganzoo_old), spec(ganzoo_old=ganzoo_going)
LOSING, SHORT, NONE = spec(ganzoo_old=ganzoo_losing), spec(ganzoo_old=ganzoo_short), spec()


def told(**releases: types.SimpleNamespace) -> list[str]:
    """What is said of the last of several releases, v0_2_0=…; each was recorded as it was."""
    history = {
        name[1:].replace("_", "."): hook_history.hooks_of(namespace)
        for name, namespace in releases.items()
    }
    version, now = list(history.items())[-1]
    return list(hook_history.problems(version, now, history, list(releases.values())[-1]))


def test_hooks_are_read_with_their_arguments_and_warnings() -> None:
    assert hook_history.hooks_of(LOSING) == {
        "hooks": {"ganzoo_old": ["trainer", "logs"]},
        "deprecated": ["ganzoo_old.logs"],
    }
    assert hook_history.hooks_of(GOING)["deprecated"] == ["ganzoo_old"]
    assert hook_history.hooks_of()["hooks"]["ganzoo_train_end"] == ["trainer", "error"]


def test_a_hook_or_argument_may_go_after_a_minor_version_of_warning() -> None:
    assert told(v0_1_0=OLD, v0_2_0=GOING, v0_3_0=NONE) == []
    assert told(v0_1_0=OLD, v0_2_0=LOSING, v0_3_0=SHORT) == []
    assert told(v0_9_0=OLD, v0_10_0=LOSING, v1_0_0=SHORT) == []
    assert told(v0_1_0=SHORT, v0_1_1=OLD) == []  # one that comes


def test_one_that_nobody_was_warned_of_may_not() -> None:
    (problem,) = told(v0_1_0=OLD, v0_2_0=NONE)
    assert problem.startswith("the hook ganzoo_old of 0.1.0 is gone")
    (problem,) = told(v0_1_0=OLD, v0_2_0=SHORT)
    assert problem.startswith("ganzoo_old of 0.1.0 no longer has logs")


def test_a_patch_release_takes_nothing_away() -> None:
    assert told(v0_2_0=GOING, v0_2_1=NONE) != []
    assert told(v0_2_0=LOSING, v0_2_1=SHORT) != []


def test_a_warning_has_to_come_true() -> None:
    (problem,) = told(v0_2_0=GOING, v0_3_0=GOING)
    assert problem == "ganzoo_old was to be gone by 0.3, and this is 0.3.0"


def test_a_candidate_of_a_release_keeps_the_rule_too() -> None:
    history = {"0.1.0": hook_history.hooks_of(OLD), "0.2.0rc1": hook_history.hooks_of(NONE)}
    (problem,) = hook_history.problems("0.2.0rc1", history["0.2.0rc1"], history, NONE)
    assert problem.startswith("the hook ganzoo_old of 0.1.0 is gone")


def test_what_was_not_recorded_is_found() -> None:
    (problem,) = hook_history.problems("0.1.0", hook_history.hooks_of(OLD), {}, OLD)
    assert problem.endswith("make hooks")


def test_the_hooks_of_this_version_are_recorded_and_may_be_released() -> None:
    history = hook_history.read()
    assert list(hook_history.problems(ganzoo.__version__, hook_history.hooks_of(), history)) == []


def test_recording_keeps_former_releases_and_refuses_what_breaks_the_rule(tmp_path: Path) -> None:
    path = tmp_path / "hooks.toml"
    hook_history.record(path)
    assert tomllib.loads(path.read_text()) == {ganzoo.__version__: hook_history.hooks_of()}
    former = '["0.0.9"]\ndeprecated = []\n["0.0.9".hooks]\nganzoo_gone = []\n'
    path.write_text(former)
    with pytest.raises(SystemExit, match=r"ganzoo_gone of 0\.0\.9 is gone"):
        hook_history.record(path)
    assert path.read_text() == former


@pytest.mark.parametrize("namespace", [GOING, LOSING])
def test_a_plugin_that_implements_it_is_warned(
    namespace: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = plugins.Plugins()
    loaded.manager.add_hookspecs(namespace)
    module = types.ModuleType("ganzoo_late")

    @hookimpl
    def ganzoo_old(logs: object) -> None: ...

    module.ganzoo_old = ganzoo_old  # type: ignore[attr-defined]
    with pytest.warns(HookDeprecation, match=r"is no more in ganzoo 0\.3: use") as caught:
        added = loaded.add(module, name="late", distribution="ganzoo-late", version="1")
    assert added.state == "ok" and loaded.hooks_of(added) == ["ganzoo_old"]
    assert caught[0].filename == __file__


def test_check_shows_an_author_the_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "ganzoo-late"\nversion = "1"\nlicense = "MIT"\n'
        'dependencies = ["ganzoo>=0"]\n[project.entry-points.ganzoo]\nlate = "ganzoo_late"\n'
    )
    (tmp_path / "ganzoo_late.py").write_text(
        "from ganzoo import hookimpl\nGANZOO_API = 1\n@hookimpl\ndef ganzoo_train_end(): ...\n"
    )
    script = (
        "from ganzoo import hookspecs\nfrom ganzoo.cli import main\n"
        "soon = hookspecs.HookDeprecation('ganzoo_train_end', gone='0.3', instead='another')\n"
        "hookspecs.ganzoo_train_end.ganzoo_spec['warn_on_impl'] = soon\n"
        "main(['check', '.'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "HookDeprecation: ganzoo_train_end is no more in ganzoo 0.3: use another" in done.stderr


def test_nothing_of_this_version_is_deprecated_unseen() -> None:
    """Whoever loads ganzoo's own plugins gets no such warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", HookDeprecation)
        loaded = plugins.Plugins()
        loaded.discover()
    assert not [plugin for plugin in loaded.found if "HookDeprecation" in plugin.error]
    assert hookspecs.API_VERSION == 1


# -- the changelog -------------------------------------------------------------------------------


def test_the_changelog_is_made_of_fragments(tmp_path: Path) -> None:
    """`make changelog`, on a copy: fragments go in under the version, history stays."""
    history = (ROOT / "CHANGELOG.md").read_text()
    (tmp_path / "CHANGELOG.md").write_text(history)
    tables = (ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(tables)
    folder = tmp_path / "changelog.d"
    folder.mkdir()
    (folder / "README.md").write_text((ROOT / "changelog.d" / "README.md").read_text())
    (folder / "+comet.added.md").write_text("A comet.\n")
    (folder / "12.fixed.md").write_text("A star.\n")
    command = [sys.executable, "-m", "towncrier", "build", "--yes", "--version", "0.1.0"]
    done = subprocess.run(
        [*command, "--date", "2026-01-02"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    head, marker, rest = (tmp_path / "CHANGELOG.md").read_text().partition("begin here -->\n")
    assert head + marker == history[: len(head + marker)]
    assert rest.lstrip().startswith(
        "## 0.1.0 (2026-01-02)\n\n### Added\n\n- A comet.\n\n### Fixed\n\n- A star. (#12)\n"
    )
    assert rest.endswith(history.partition(marker)[2])
    assert [path.name for path in folder.iterdir()] == ["README.md"]


def test_every_fragment_is_of_a_known_type() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
    kinds = {kind["directory"] for kind in tool["type"]}
    for path in (ROOT / "changelog.d").glob("*.md"):
        if path.name != "README.md":
            assert path.name.split(".")[-2] in kinds, path
            assert path.read_text().strip()
