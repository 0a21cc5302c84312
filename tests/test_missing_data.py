"""Data that are not on this machine: what is said, what is downloaded, noise in their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.data import load_data
from ganzoo.errors import MissingDataError


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GANZOO_DATA", raising=False)
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def test_a_stand_in_has_the_shape_and_the_classes_of_its_set() -> None:
    from ganzoo.data import stand_in

    cifar = stand_in("cifar10", n=30)
    assert cifar is not None and cifar.image_shape == (3, 32, 32) and len(cifar) == 30
    images, labels = cifar.batch(np.array([0, 29]))
    assert images.shape == (2, 3, 32, 32) and labels is not None and labels.tolist() == [0, 9]
    faces = stand_in("celeba@all", resolution=64)
    assert faces is not None and faces.image_shape == (3, 64, 64) and faces.labels is None
    unlabelled = stand_in("mnist?labels=none", channels=3)
    assert unlabelled is not None and unlabelled.image_shape == (3, 28, 28)
    assert unlabelled.num_classes == 0
    assert stand_in("folder:cats", resolution=64) is None  # gray or coloured, nobody knows


@pytest.mark.parametrize("source", ["folder:cats", "zip:cats.zip"])
def test_a_path_that_is_not_found_says_where_it_was_looked_for(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, path = source.split(":")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingDataError) as caught:
        load_data(source)
    assert caught.value.problem == f"{path} does not exist"
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path / "data"))
    with pytest.raises(MissingDataError) as caught:
        load_data(source)
    where = f"neither here nor in GANZOO_DATA={tmp_path / 'data'}"
    assert caught.value.problem == f"{path} does not exist, {where}"
    assert caught.value.remedy.endswith("as it is or below GANZOO_DATA")
    with pytest.raises(MissingDataError) as caught:
        load_data(f"{kind}:{tmp_path / path}")  # an absolute path is looked for nowhere else
    assert "GANZOO_DATA" not in str(caught.value)


def test_what_is_not_here_is_only_downloaded_if_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def refuse(root: str, **options: object) -> None:
        asked.append(root)
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.CIFAR10", refuse)
    with pytest.raises(MissingDataError, match=r"cifar10 is not in GANZOO_DATA .* and not in"):
        load_data("cifar10", download=False)
    assert asked == []
    with pytest.raises(MissingDataError, match=r"cannot be downloaded .*no network"):
        load_data("cifar10")
    assert len(asked) == 1


def test_images_are_kept_once_whether_others_might_be_downloaded_or_not(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "set" / "a.png")
    for download in (False, True):
        assert len(load_data(f"folder:{tmp_path / 'set'}", download=download)) == 1
    assert len(list((tmp_path / "cache").rglob("*.u8"))) == 1
