"""Public functions that are handed something else than they take: one line, by an InputError."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ganzoo
from ganzoo.directions import closed_form, random_directions
from ganzoo.errors import InputError
from ganzoo.training import find_recipe


def sampled() -> ganzoo.Images:
    return ganzoo.load("gan.mnist").sample(6, seed=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ganzoo.load(None), "None is no model: give a name, a Path or an hf:// address"),  # type: ignore[arg-type]
        (lambda: ganzoo.load(["gan.mnist"]), "is no model"),  # type: ignore[arg-type]
        (lambda: ganzoo.load("gan.mnist", device=3.5), r"the device '3\.5' cannot be used"),  # type: ignore[arg-type]
        (lambda: ganzoo.load("gan.mnist", device=[]), r"the device '\[\]' cannot be used"),  # type: ignore[arg-type]
        (lambda: ganzoo.load("gan.mnist", device="privateuseone"), "cannot be used"),
        (lambda: ganzoo.load("gan.mnist", dtype="bf16"), "dtype bf16 is not one to sample in"),  # type: ignore[arg-type]
        (lambda: ganzoo.verify(3), "3 is no model"),  # type: ignore[arg-type]
        (lambda: ganzoo.walk("gan.mnist", [1, 2]), "'gan.mnist' is no generator"),  # type: ignore[arg-type]
        (lambda: ganzoo.walk(ganzoo.load("gan.mnist"), [1, 2.5]), "seed 2.5 is no integer"),  # type: ignore[list-item]
        (lambda: ganzoo.walk(ganzoo.load("gan.mnist"), 5), "5 are no list of integers"),  # type: ignore[arg-type]
        (lambda: ganzoo.walk(ganzoo.load("gan.mnist"), [1, 2], batch_size=0), "batch_size 0"),
        (lambda: ganzoo.project("cat.png", "gan.mnist", steps=2.5), r"steps 2\.5 is out of"),  # type: ignore[arg-type]
        (lambda: ganzoo.project("cat.png", "gan.mnist", starts="4"), "starts '4' is out of"),  # type: ignore[arg-type]
        (lambda: ganzoo.train("gan.mnist", "run", steps=1.5), r"steps = 1\.5: ask for 1 or more"),  # type: ignore[arg-type]
        (lambda: ganzoo.train("gan.mnist", "run", steps=0), "steps = 0: ask for 1 or more"),
        (lambda: ganzoo.train(5, "run"), "5 is no recipe: give a name, a path or a"),  # type: ignore[arg-type]
        (lambda: closed_form(ganzoo.load("gan.mnist"), 2.5), r"2\.5 directions: ask for 1 to"),  # type: ignore[arg-type]
        (lambda: sampled().save("grid.png", columns=2.5), r"columns 2\.5 is too small: ask for"),  # type: ignore[arg-type]
        (lambda: sampled().save("grid.png", columns="2"), r"columns '2' is too small"),  # type: ignore[arg-type]
        (lambda: ganzoo.compare("gan.mnist"), r"compared with itself \(gan.mnist\): name two"),
        (lambda: ganzoo.compare(["gan.mnist", "gan.mnist"]), "compared with itself"),
        (lambda: ganzoo.compare([]), "no model"),
    ],
)
def test_what_is_no_model_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_numbers_of_numpy_do_not_overflow(tmp_path: Path) -> None:
    G = ganzoo.load("gan.mnist")
    few = random_directions(G, np.uint8(8), seed=np.uint8(250))  # type: ignore[arg-type]
    assert torch.equal(few.vectors, random_directions(G, 8, seed=250).vectors)
    sampled().save(tmp_path / "grid.png", columns=np.uint8(2))  # type: ignore[arg-type]
    assert ganzoo.reproduce(tmp_path / "grid.png").result == "identical"


def test_a_recipe_may_be_a_dictionary() -> None:
    document = find_recipe("gan.mnist").to_dict()
    assert find_recipe(document) == find_recipe("gan.mnist")


def test_the_package_says_that_it_is_typed() -> None:
    assert files("ganzoo").joinpath("py.typed").is_file()
    assert files("ganzoo_gan").joinpath("py.typed").is_file()
