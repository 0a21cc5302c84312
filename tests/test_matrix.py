"""Every two parts that claim to work together do so; what is refused could not have worked."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import sys
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner

import ganzoo
from ganzoo import plugins
from ganzoo.configs import field_types
from ganzoo.errors import CompatibilityError, ConfigError, GanzooError
from ganzoo.parts import Part

ROOT = Path(__file__).parent.parent


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = script("pages")
matrix = script("matrix")


@pytest.fixture(scope="module")
def outcomes() -> list[Any]:
    return list(matrix.outcomes())


@pytest.fixture(scope="module")
def cover(outcomes: list[Any]) -> list[Any]:
    return matrix.cover(outcomes)  # type: ignore[no-any-return]


@pytest.mark.parametrize("discriminator", matrix.names("discriminator"))
def test_a_pairwise_cover_trains(discriminator: str, cover: list[Any], tmp_path: Path) -> None:
    """Through `ganzoo.train`, two steps each; the run's model gives images, its log both steps."""
    tried = [o for o in cover if o.mix.discriminator == discriminator]
    assert tried
    for o in tried:
        run = tmp_path / str(o.mix)
        matrix.run(o, run)
        steps = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in steps] == [1, 2], o.mix
        generator = ganzoo.load(run)
        assert generator.part.name == o.mix.generator
        images = generator.sample(2, seed=0)
        assert images.shape == (2, *matrix.IMAGE_SHAPE) and images.isfinite().all(), o.mix


def test_the_cover_has_every_two_parts_that_work_together(
    outcomes: list[Any], cover: list[Any]
) -> None:
    def pairs(found: list[Any]) -> set[tuple[str, str, str, str]]:
        return {
            (a, getattr(o.mix, a), b, str(getattr(o.mix, b)))
            for o in found
            for a, b in itertools.combinations(
                ("generator", "discriminator", "loss", "trainer", "augmentation"), 2
            )
        }

    assert pairs(cover) == pairs([o for o in outcomes if o.works])
    assert cover == matrix.cover(outcomes)
    losses, critics = len(matrix.names("loss")), len(matrix.names("discriminator"))
    assert len(cover) <= 1.25 * max(losses, len(matrix.names("generator"))) * critics


def test_every_mix_is_tried(outcomes: list[Any]) -> None:
    plain = [o.mix for o in outcomes if o.mix.is_plain]
    kinds = ("generator", "discriminator", "loss")
    assert [(m.generator, m.discriminator, m.loss) for m in plain] == list(
        itertools.product(*map(matrix.names, kinds))
    )
    assert {o.mix.trainer for o in outcomes} == set(matrix.names("trainer"))
    assert {o.mix.augmentation for o in outcomes} == {None, *matrix.names("augmentation")}


def test_a_refusal_has_a_reason_and_a_remedy(outcomes: list[Any]) -> None:
    for o in outcomes:
        assert o.works != (o.refusal is not None)
        if o.refusal is not None:
            assert isinstance(o.refusal, (CompatibilityError, ConfigError)), o.mix
            assert o.refusal.remedy and "\n" not in str(o.refusal), o.mix


def test_only_what_no_choice_of_settings_provides_is_refused(outcomes: list[Any]) -> None:
    """A mix is refused for a requirement of its parts, and only if there is no combination of the
    other part's choices under which it is met."""
    registry = plugins.load().parts
    for o in outcomes:
        if o.works:
            continue
        parts = {
            role: registry.get(role, name) for role, name in vars(o.mix).items() if name is not None
        }
        assert any(
            not any(needed <= provided for provided in abilities(parts[role]))
            for part in parts.values()
            for role, needed in part.requires.items()
        ), f"{o.mix}: {o.refusal}"


def abilities(part: Part) -> list[frozenset[str]]:
    """What a part provides under every combination of its choices."""
    choices = {
        name: typing.get_args(hint)
        for name, hint in field_types(part.config_class).items()
        if typing.get_origin(hint) is typing.Literal
    }
    found = []
    for options in itertools.product(*choices.values()):
        config = part.make_config({**part.tiny, **dict(zip(choices, options, strict=True))})
        found.append(part.provided(config))
    return found


@pytest.mark.usefixtures("healthy_parts")
def test_a_third_partys_parts_are_in_it(tmp_path: Path) -> None:
    found = {o.mix: o for o in matrix.outcomes()}
    mix = matrix.Mix("gan", "healthy", "healthy", augmentation="healthy")
    assert found[mix].changes == ("discriminator.norm=none",)
    matrix.run(found[mix], tmp_path / "run")
    dcgan = found[matrix.Mix("healthy", "dcgan", "healthy", trainer="healthy")]
    assert dcgan.works and dcgan.changes == ("discriminator.norm=layer",)
    section = matrix.section(list(found.values()))
    (mark,) = re.findall(r"(\S+) with `--set discriminator\.norm=layer`", section)
    assert f"`healthy`{mark}" in section
    assert "- trainer `healthy`: generators " in section


def test_what_claims_to_work_and_does_not_is_named(
    cover: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(outcome: Any, folder: Path) -> None:
        if outcome is cover[1]:
            raise ValueError("scores are (N, 1)")

    monkeypatch.setattr(matrix, "run", run)
    matrix.train_all(cover[:1])
    with pytest.raises(click.ClickException) as error:
        matrix.train_all(cover[:3])
    assert error.value.message.splitlines()[1:] == [
        f"{cover[1].mix}: ValueError: scores are (N, 1)"
    ]


def test_the_readme_shows_what_the_script_would_write(outcomes: list[Any]) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page == pages.written(page, "matrix", matrix.section(outcomes)), "make matrix"


def test_the_script_writes_a_page_and_prints_the_same(outcomes: list[Any], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- matrix -->\n<!-- /matrix -->\n")
    result = CliRunner().invoke(matrix.main, ["--resolve-only", "--write", str(page)])
    assert result.exit_code == 0, result.output
    assert result.output == matrix.section(outcomes) + "\n"
    assert page.read_text() == f"<!-- matrix -->\n{result.output}<!-- /matrix -->\n"


def test_a_section_is_put_between_the_markers() -> None:
    page = "before\n<!-- matrix -->\nold\n<!-- /matrix -->\nafter\n"
    made = pages.written(page, "matrix", "| new |")
    assert made == "before\n<!-- matrix -->\n| new |\n<!-- /matrix -->\nafter\n"
    assert pages.written(made, "matrix", "| new |") == made
    with pytest.raises(GanzooError, match="put both where the matrix is to be"):
        pages.written("no markers\n", "matrix", "| new |")
