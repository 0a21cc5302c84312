"""A set too small for its model is warned of before training; what is used is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganzoo.card import make_card
from ganzoo.training import plan, train
from ganzoo.training.memorisation import FEW, warning
from tests import tiny

SIGNED = Path(__file__).parent / "consent_files"


@pytest.mark.parametrize(
    ("images", "values", "parameters", "said"),
    [
        (60_000, 784, 1_500_000, ""),  # dcgan.mnist
        (20_000, 3 * 32 * 32, 1_700_000, ""),  # progan.nouns
        (2_834, 3 * 64 * 64, 2_000_000, "2,834 training images are few (fewer than 5,000)"),
        (FEW, 784, 1_000_000, ""),
        (FEW - 1, 784, 1_000_000, "4,999 training images are few"),
        (10_000, 64, 25_000_000, "could store them"),
        (50, 784, 1_500_000, "the generator has 1,500,000 parameters, all 50 training images"),
    ],
)
def test_the_rule(images: int, values: int, parameters: int, said: str) -> None:
    text = warning(images, values, parameters)
    assert said in text and bool(text) == bool(said)
    if text:
        assert "ganzoo audit" in text and "\n" not in text


class FirstStep:
    """Notes what had been said when the first step was made."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys, self.before = capsys, ""

    from ganzoo import hookimpl

    @hookimpl
    def ganzoo_train_start(self, trainer: Any) -> None:
        self.before = self.capsys.readouterr().err


def test_it_is_said_before_training_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny.recipe("gan")
    first = FirstStep(capsys)
    run = train(recipe, tmp_path / "run", steps=5, device="cpu", observers=[first])
    said = [line for line in first.before.splitlines() if line.startswith("warning: it may memo")]
    assert len(said) == 1
    record = json.loads((run / "model" / "training.json").read_text())
    assert said == [f"warning: {record['memorisation_warning']}"]
    assert "96 images were used; of so few" in make_card(run / "model").sections["Data"]
    again = FirstStep(capsys)
    train(recipe, run, resume=True, device="cpu", observers=[again])
    assert "memorise" not in again.before  # it was said


def test_enough_images_are_not_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny.recipe("gan")
    data = recipe.data.source.replace("n=96", "n=5000")
    run = train(recipe, tmp_path / "run", data=data, steps=1, device="cpu")
    assert "memorise" not in capsys.readouterr().err
    assert "memorisation_warning" not in json.loads((run / "model/training.json").read_text())
    assert "5,000 images were used." in make_card(run / "model").sections["Data"]


def test_a_dry_run_reports_it_but_not_of_noise(tmp_path: Path) -> None:
    recipe = tiny.recipe("gan")
    assert plan(recipe, device="cpu")["memorisation_warning"].startswith("it may memorise: ")
    absent = plan(
        recipe, data=f"folder:{tmp_path / 'no'}", device="cpu",
        settings=("data.resolution=8", "data.channels=1", "conditional=false"),
    )  # fmt: skip
    assert "absent" in absent["data"] and "memorisation_warning" not in absent


# -- consent and credit ----------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(16):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{n:02d}.png")
    for n, name in enumerate(("cawg-no.png", "cawg-con.jpg")):
        (folder / f"{n:02d}{Path(name).suffix}").write_bytes((SIGNED / name).read_bytes())
    return folder


def test_a_run_on_marked_images_is_refused_and_leaves_nothing(photos: Path, tmp_path: Path) -> None:
    from ganzoo.errors import DataError

    settings = ("data.resolution=8", "data.channels=1", "conditional=false")
    with pytest.raises(DataError, match=r"2 of 17 images .* 00\.png .*, 01\.jpg "):
        train(
            tiny.recipe("gan"), tmp_path / "run", data=f"folder:{photos}",
            settings=settings, device="cpu",
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("policy", "n", "said"),
    [
        ("skip", 15, "2 more were left out, being marked as not for training."),
        ("ignore", 17, "**2 of them are marked as not for training and were used all the same**"),
    ],
)
def test_what_was_done_is_recorded_and_on_the_card(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], policy: str, n: int, said: str
) -> None:
    run = train(
        tiny.recipe("gan"), tmp_path / "run", data=f"folder:{photos}?consent={policy}", steps=1,
        settings=("data.resolution=8", "data.channels=1", "conditional=false"), device="cpu",
    )  # fmt: skip
    record = json.loads((run / "model" / "training.json").read_text())
    assert record["data"]["n"] == n
    assert record["data"]["consent"] == {
        "policy": policy,
        "marked": 2,
        "marks": {
            "cawg.training-mining ai_generative_training notAllowed": 1,
            "cawg.training-mining ai_generative_training constrained": 1,
        },
    }
    assert "consent=" + policy in record["recipe"]["data"]["source"]
    text = make_card(run / "model").sections["Data"]
    assert said in text
    assert "Whose work they are is not recorded" in text
    assert str(photos) not in (run / "model" / "README.md").read_text()
    assert "00.png" in capsys.readouterr().err


def test_credit_is_of_the_recipe_or_else_of_the_source(tmp_path: Path) -> None:
    recipe = tiny.recipe("gan")
    run = train(recipe, tmp_path / "run", steps=1, device="cpu")
    assert (
        "Drawn by ganzoo; there is nobody to credit." in make_card(run / "model").sections["Data"]
    )
    run = train(
        recipe, tmp_path / "other", steps=1, device="cpu", settings=("data.credit='Shapes by me'",)
    )
    assert "Shapes by me." in make_card(run / "model").sections["Data"]


def test_bundled_models_credit_their_data() -> None:
    from ganzoo import registry

    for entry in registry.list_models():
        if entry.bundled and entry.path is not None:
            text = make_card(entry.path).sections["Data"]
            names = {"mnist": "Yann LeCun", "fashion-mnist": "Han Xiao", "nouns": "Nouns DAO",
                     "emoji": "Noto Emoji by Google"}  # fmt: skip
            assert names[entry.name.split(".")[1]] in text
