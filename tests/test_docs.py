"""The documentation's site: it builds without a warning, so every link and anchor leads somewhere,
and every hook, command, option, public name and environment variable is in it.

What its pages tell people to type is tried by test_readme.py.
"""

from __future__ import annotations

import html
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import ganzoo
from ganzoo import hookspecs, registry
from ganzoo.cli import main

ROOT = Path(__file__).parent.parent
HOOKS = [name for name in vars(hookspecs) if name.startswith("ganzoo_")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", ROOT / "mkdocs.yml"]
    done = subprocess.run(
        [*map(str, command), "-d", str(out)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "GANZOO_REGISTRY": ""},
    )
    assert done.returncode == 0, done.stderr
    return out


def page(site: Path, name: str) -> str:
    return (site / name).read_text(encoding="utf-8")


def text(site: Path, name: str) -> str:
    """What a reader sees of a page, without line breaks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page(site, name))).split())


def commands(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from commands(click.Context(command, info_name=name, parent=context))


def test_every_hook_is_documented(site: Path) -> None:
    assert len(HOOKS) >= 15
    hooks = page(site, "plugins/hooks.html")
    for name in HOOKS:
        assert f'id="ganzoo.hookspecs.{name}"' in hooks, name
        said = (inspect.getdoc(getattr(hookspecs, name)) or "").split("\n")[0]
        first = said.replace("`", "").split(":")[0]
        assert first and first in text(site, "plugins/hooks.html"), name


def test_every_public_name_is_documented(site: Path) -> None:
    reference = page(site, "reference/python.html")
    for name in ganzoo.__all__:
        assert f'id="ganzoo.{name}"' in reference, name
        assert inspect.getdoc(getattr(ganzoo, name)), name


def test_every_command_and_option_is_documented(site: Path) -> None:
    reference = text(site, "reference/cli.html")
    packed = "".join(reference.split())  # long words are broken where a line ends
    found = list(commands(click.Context(main, info_name="ganzoo")))
    assert len(found) > len(main.commands)
    for context in found:
        assert f"Usage: {context.command_path} " in reference, context.command_path
        assert context.command.get_short_help_str(200).rstrip("."), context.command_path
        for option in context.command.params:
            if isinstance(option, click.Option) and not option.hidden:
                where = f"{context.command_path} {option.opts[-1]}"
                assert option.help, where
                assert all(word in reference for word in option.opts), where
                assert "".join(option.help.split()) in packed, where


def test_every_environment_variable_is_documented(site: Path) -> None:
    files = text(site, "reference/files.html")
    names = {
        name
        for path in (ROOT / "ganzoo").rglob("*.py")
        for name in re.findall(r"environ\S*?[\"'(\[]+(GANZOO_\w+)", path.read_text("utf-8"))
    }
    assert len(names) >= 5
    assert not {name for name in names if name not in files}


def test_the_gallery_has_every_bundled_model(site: Path) -> None:
    gallery = page(site, "gallery.html")
    models = [entry for entry in registry.list_models() if entry.bundled]
    assert models
    for entry in models:
        assert f'src="gallery/{entry.name}.png"' in gallery
        assert (site / "gallery" / f"{entry.name}.png").is_file()
        assert f'ganzoo.load("{entry.name}")' in text(site, "gallery.html")


def test_formulas_are_mathml_and_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    assert "<math" in page(site, "course/gan.html")
    for path in site.rglob("*.html"):
        content = path.read_text(encoding="utf-8")
        assert 'class="arithmatex"' not in content, path.name
        assert not re.findall(r'<(?:script|img|link rel="stylesheet")[^>]+https?://', content)


def test_long_formulas_scroll_by_themselves(site: Path) -> None:
    blocks = re.findall(
        r'(<div class="formula">)?<math[^>]* display="block"', page(site, "course/cgan.html")
    )
    assert blocks and all(blocks)
    assert ".formula" in page(site, "assets/extra.css")
    for path in site.glob("course/*.html"):
        assert not re.search(r"<m[ion]>\\", path.read_text(encoding="utf-8")), path.name


def test_lines_of_chinese_join_without_a_space(site: Path) -> None:
    source = (ROOT / "docs" / "zh" / "index.md").read_text(encoding="utf-8")
    assert "与其他模型的部件\n混合" in source
    assert "与其他模型的部件混合" in page(site, "zh/index.html")
