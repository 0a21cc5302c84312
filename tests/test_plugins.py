"""Discovery: broken, conflicting and unfit plugins are set aside with their cause; others go on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganzoo import plugins
from ganzoo.errors import PluginError

Installer = Callable[..., None]

PART = """
from ganzoo import Part, hookimpl

@hookimpl
def ganzoo_losses():
    return [Part("{name}", "loss", "m:C")]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installer]:
    """Put a distribution with an entry point on the path, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def add(
        dist: str,
        source: str,
        *,
        entry: str | None = None,
        requires: str = "",
        version: str = "1.0",
    ) -> None:
        module = dist.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        requirement = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n{requirement}"
        )
        name = entry or dist.removeprefix("ganzoo-")
        (info / "entry_points.txt").write_text(f"[ganzoo]\n{name} = {module}\n")
        made.append(module)

    yield add
    for module in made:
        sys.modules.pop(module, None)


def discover() -> plugins.Plugins:
    found = plugins.Plugins()
    found.discover()
    return found


def states(found: plugins.Plugins) -> dict[str, str]:
    return {f"{p.name}/{p.distribution}": p.error for p in found.found}


def names(found: plugins.Plugins) -> set[str]:
    return {o.part.name for o in found.parts.all("loss")}


def test_installed_plugins_are_found(install: Installer) -> None:
    install("ganzoo-fine", PART.format(name="fine"))
    found = discover()
    assert states(found)["fine/ganzoo-fine"] == ""
    assert "fine" in names(found)
    assert found.parts.owner("loss", "fine").distribution == "ganzoo-fine"


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        ("GANZOO_API = 99", "is written for hook API 99, this core has 1"),
        (
            "from ganzoo import hookimpl\n@hookimpl\ndef ganzoo_generatorz(): return []",
            "ganzoo_generatorz, which is no hook",
        ),
        (
            "from ganzoo import hookimpl\n@hookimpl\ndef ganzoo_losses(extra): return []",
            "extra",
        ),
        (
            "from ganzoo import hookimpl\n@hookimpl\ndef ganzoo_step_end(trainer, step=0): pass",
            "gives default values to",
        ),
    ],
)
def test_a_broken_plugin_is_set_aside_with_its_cause(
    install: Installer, source: str, cause: str
) -> None:
    install("ganzoo-bad", source)
    install("ganzoo-fine", PART.format(name="fine"))
    found = discover()
    assert cause in states(found)["bad/ganzoo-bad"]
    assert "\n" not in states(found)["bad/ganzoo-bad"]
    assert "fine" in names(found)


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("return [1]", "returned a int, not a Part"),
        ("return [Part('x', 'generator', 'm:C')]", "of kind 'generator'"),
        ("return [Part('x', 'loss', 'm:C', provides={'nothing'})]", "names the capability"),
    ],
)
def test_a_hook_that_fails_loses_only_its_own_plugin(
    install: Installer, body: str, cause: str
) -> None:
    install(
        "ganzoo-bad",
        f"from ganzoo import Part, hookimpl\n@hookimpl\ndef ganzoo_losses():\n    {body}\n",
    )
    install("ganzoo-fine", PART.format(name="fine"))
    found = discover()
    assert "fine" in names(found)
    assert cause in states(found)["bad/ganzoo-bad"]


def test_strict_mode_raises(install: Installer, monkeypatch: pytest.MonkeyPatch) -> None:
    install("ganzoo-bad", "import nothing_of_that_name")
    monkeypatch.setenv("GANZOO_STRICT", "1")
    with pytest.raises(PluginError, match=r"plugin 'bad' \(ganzoo-bad\).*nothing_of_that_name"):
        discover()


def test_two_distributions_that_claim_an_entry_point_are_both_refused(install: Installer) -> None:
    install("ganzoo-one", PART.format(name="one"), entry="same")
    install("ganzoo-two", PART.format(name="two"), entry="same")
    found = discover()
    errors = states(found)
    assert "also claimed by ganzoo-two" in errors["same/ganzoo-one"]
    assert "also claimed by ganzoo-one" in errors["same/ganzoo-two"]
    assert not {"one", "two"} & names(found)


def test_selection_by_environment(install: Installer, monkeypatch: pytest.MonkeyPatch) -> None:
    install("ganzoo-one", PART.format(name="one"))
    install("ganzoo-two", "raise ValueError")
    monkeypatch.setenv("GANZOO_PLUGINS", "one, absent")
    found = discover()
    assert states(found) == {
        "one/ganzoo-one": "",
        "absent/?": "named in GANZOO_PLUGINS but not installed",
    }
    monkeypatch.setenv("GANZOO_PLUGINS", "")
    assert discover().found == []


def test_a_plugin_for_another_core_is_set_aside(install: Installer) -> None:
    install("ganzoo-old", PART.format(name="old"), requires="ganzoo>=9,<10")
    install("ganzoo-new", PART.format(name="new"), requires="ganzoo>=0.1,<0.2")
    found = discover()
    assert states(found)["old/ganzoo-old"].startswith("needs ganzoo>=9,<10, installed is 0.1")
    assert names(found) >= {"new"} and "old" not in names(found)


def test_tracing_shows_hook_calls(
    install: Installer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install("ganzoo-fine", PART.format(name="fine"))
    monkeypatch.setenv("GANZOO_TRACE", "1")
    names(discover())
    assert "ganzoo_losses" in capsys.readouterr().err


def test_the_core_brings_its_own_parts() -> None:
    losses = {o.part.name for o in plugins.load().parts.all("loss") if o.plugin == "core"}
    assert losses == {"minimax", "non-saturating", "least-squares", "hinge"}
    assert plugins.load().parts.owner("trainer", "alternating").distribution == "ganzoo"
