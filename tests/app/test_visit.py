"""What the page's controls do: the pictures, their marks, and the lines that make them again."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import ganzoo
from ganzoo import checkpoint, loading, provenance
from ganzoo.app import pictures
from ganzoo.app import visit as visiting
from ganzoo.app.pictures import Move, Picture
from ganzoo.app.shelf import Shelf
from ganzoo.app.visit import IN_TURN, Visit, following, picked, read_seeds
from ganzoo.cli import main
from ganzoo.errors import GanzooError, NotFoundError
from ganzoo.images import to_uint8

STYLE = "stylegan2.nouns"
SOME = [
    Picture("gan.mnist", 2**62 + 1),
    Picture("cgan.fashion-mnist", 5, 7),
    Picture(STYLE, 4, truncation=0.6, noise="none", mix=(9, 3)),
    Picture(STYLE, 8, noise="random"),
    Picture(STYLE, 3, truncation=0.8, mix=(9, 3), move=Move("closed-form", 0, (3.0, 0.0, -1.5))),
    Picture("cgan.fashion-mnist", 3, 2, move=Move("random", 11, (6.0, 5.0))),
]


def bundled(name: str) -> Path:
    """The folder of a bundled model."""
    return loading.resolve_folder(name)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        array = np.asarray(image)
    return array if array.ndim == 3 else array[:, :, None]


def seen(picture: Picture) -> dict[str, Any]:
    """What Gradio says of a picture that is clicked."""
    return {"image": {"orig_name": f"{picture.name}.png"}, "caption": "any"}


@pytest.mark.parametrize("picture", SOME, ids=lambda picture: picture.name)
def test_a_picture_is_marked_and_its_lines_make_it_again(
    visit: Visit, picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = visit.show([picture])
    assert path.parent == visit.folder
    shown = read(path)
    record = provenance.read_record(path)
    assert record is not None and record["model"] == picture.model and not record.get("cut")

    session: dict[str, Any] = {}
    exec(pictures.python_lines(picture), session)
    assert np.array_equal(to_uint8(session["image"])[0], shown)

    monkeypatch.chdir(tmp_path)
    if picture.move is not None:
        pictures.write_latent(visit.shelf.generator(picture.model), picture, tmp_path)
    words = shlex.split(pictures.shell_line(picture))
    done = CliRunner().invoke(main, words[1:])
    assert done.exit_code == 0, done.output
    assert np.array_equal(read(tmp_path / "image.png"), shown)

    if picture.move is None:
        assert ganzoo.reproduce(path).ok
    else:
        still = visit.show([replace(picture, move=None, noise="const")])[0]
        assert np.abs(read(still).astype(int) - shown).max() > 10  # it did move


def test_many_pictures_are_those_of_sample(visit: Visit) -> None:
    some = visit.draw("cgan.fashion-mnist", "3, 1-2", IN_TURN, 1, "const")
    assert [(p.seed, p.label) for p in some] == [(3, 3), (1, 1), (2, 2)]
    expected = ganzoo.load("cgan.fashion-mnist").sample(seeds=[3, 1, 2]).to_uint8()
    shown = np.stack([read(path) for path in visit.show(some)])
    assert np.abs(shown.astype(int) - expected).max() <= 1
    one = visit.draw("cgan.fashion-mnist", "3,1", 9, 1, "const")
    assert [picture.label for picture in one] == [9, 9]


def test_the_settings_of_another_model_are_not_asked_of_one_without_them(visit: Visit) -> None:
    (picture,) = visit.draw("gan.mnist", "1", 4, 0.3, "none")
    assert picture == Picture("gan.mnist", 1)
    (picture,) = visit.draw(STYLE, "1", 4, 0.3, "none")
    assert picture == Picture(STYLE, 1, truncation=0.3, noise="none")


def test_two_rows_are_mixed(visit: Visit) -> None:
    first, second, mixed = visit.mix(STYLE, "0-1", "7,9", 2, None, 0.9)
    assert [p.mix for p in mixed] == [(7, 2), (9, 2)]
    files = visit.show([*first, *second, *mixed])
    G = ganzoo.load(STYLE)
    expected = G.sample(seeds=[0, 1], mix=([7, 9], 2), truncation=0.9).to_uint8()
    assert np.abs(read(files[5]).astype(int) - expected[1]).max() <= 1
    assert np.abs(read(files[3]).astype(int) - G.sample(seeds=[9], truncation=0.9).to_uint8()[0]
                  ).max() <= 1  # fmt: skip


def test_a_film_walks_through_what_is_kept_and_back(visit: Visit, tmp_path: Path) -> None:
    kept: list[Picture] = []
    for picture in visit.draw(STYLE, "4,9", None, 0.7, "const"):
        kept = visit.keep_picture(kept, picture)
    path, line = visit.film(kept, 3, 10, "webp")
    with Image.open(path) as film:
        assert film.n_frames == 6
    record = provenance.read_record(path)
    assert record is not None and record["model"] == STYLE and record["walk"] == "4,9"
    words = shlex.split(line.replace("walk.webp", str(tmp_path / "walk.webp")))
    assert CliRunner().invoke(main, words[1:]).exit_code == 0
    with Image.open(tmp_path / "walk.webp") as ours, Image.open(path) as film:
        for k in range(6):
            ours.seek(k)
            film.seek(k)
            assert np.array_equal(np.asarray(ours), np.asarray(film))
    mixed = visit.mix(STYLE, "1-2", "8,8", 3, None, 0.7)[2]
    for some in (mixed, visit.draw(STYLE, "1-2", None, 0.5, "none")):
        path, line = visit.film(some, 2, 10, "gif")
        words = shlex.split(line.replace("walk.gif", str(tmp_path / "walk.gif")))
        assert CliRunner().invoke(main, words[1:]).exit_code == 0
        with Image.open(tmp_path / "walk.gif") as ours, Image.open(path) as film:
            assert np.array_equal(np.asarray(ours.convert("RGB")), np.asarray(film.convert("RGB")))
    moved = visit.move(kept[0], "closed-form", 0, [2.0])
    path, line = visit.film([*kept, moved], 2, 10, "gif")
    assert line == "" and path.suffix == ".gif"


def test_kept_pictures_are_of_one_model_and_bounded(visit: Visit) -> None:
    a, b = Picture("gan.mnist", 1), Picture(STYLE, 1)
    assert visit.keep_picture([a], b) == [b]
    many = [Picture(STYLE, seed) for seed in range(100)]
    kept: list[Picture] = []
    for picture in many:
        kept = visit.keep_picture(kept, picture)
    assert kept == many[-visiting.MOST_KEPT :]
    assert visit.keep_picture(kept, kept[0])[-1] == kept[0]
    assert len(visit.keep_picture(kept, kept[0])) == len(kept)


def test_pictures_are_saved_under_names_of_ours(visit: Visit) -> None:
    moved = visit.move(Picture("gan.mnist", 3), "random", "7", [1, 0, 0, 0, 0, 2])
    saved = visit.save(moved)
    assert visit.keep is not None
    assert {path.parent for path in saved} == {visit.keep}
    assert [path.suffix for path in saved] == [".png", ".safetensors"]
    visit.keep = None
    with pytest.raises(GanzooError, match="start with --save FOLDER"):
        visit.save(moved)
    names = {Picture(model, 1).name for model in ("../../runs/a b", "runs/a-b", "runs-a-b")}
    assert len(names) == 3 and all(name.startswith("runs-a-b-seed1") for name in names)
    assert Picture("gan.mnist", 1).name == "gan.mnist-seed1"


def test_old_pictures_go(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visiting, "MOST_FILES", 5)
    for start in (0, 4, 8):
        visit.show(visit.draw("gan.mnist", f"{start}-{start + 3}", None, 1, "const"))
    left = sorted(path.name for path in visit.folder.iterdir())
    assert len(left) == 5 and "gan.mnist-seed11.png" in left and "gan.mnist-seed0.png" not in left


def test_lasting_pictures_stay(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visiting, "MOST_FILES", 3)
    first = visit.show(visit.draw("gan.mnist", "0-1", None, 1, "const"), lasting=True)
    for seed in range(10, 20):
        visit.show(visit.draw("gan.mnist", str(seed), None, 1, "const"))
    left = sorted(path.name for path in visit.folder.iterdir())
    assert left == sorted(
        [*(path.name for path in first), *(f"gan.mnist-seed{seed}.png" for seed in (17, 18, 19))]
    )


def test_a_file_has_the_same_pixels_whoever_drew_it(visit: Visit) -> None:
    for model in ("cgan.fashion-mnist", STYLE):
        some = visit.draw(model, "0-15", None, 1, "const")
        together = [read(path) for path in visit.show(some)]
        for picture, pixels in zip(some, together, strict=True):
            assert np.array_equal(read(visit.show([picture])[0]), pixels)


def test_a_model_that_goes_meanwhile_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundled("gan.mnist"), folder)
    (tmp_path / "pictures").mkdir()
    visit = Visit(Shelf([str(folder), "dcgan.mnist"], most=1), tmp_path / "pictures")
    (picture,) = visit.draw(str(folder), "1", None, 1, "const")
    shutil.rmtree(folder)
    assert visit.show([picture])[0].is_file()  # it is in memory yet
    with pytest.raises(GanzooError, match="there is no model folder"):
        visit.glance(str(folder))
    visit.shelf.generator("dcgan.mnist")
    with pytest.raises(GanzooError, match="there is no model folder"):
        visit.show([picture])


def test_a_model_that_is_trained_on_meanwhile_is_loaded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pictures = tmp_path / "model", tmp_path / "pictures"
    shutil.copytree(bundled("gan.mnist"), folder)
    pictures.mkdir()
    visit = Visit(Shelf([str(folder)]), pictures)
    former = visit.draw(str(folder), "1-2", None, 1, "const")
    shown = read(visit.show(former)[0])

    G = ganzoo.load(folder)
    next(G.parameters()).data *= 2
    checkpoint.save(tmp_path / "anew", G, name="gan.mnist", training={})
    shutil.rmtree(folder)
    (tmp_path / "anew").rename(folder)
    again = visit.draw(str(folder), "1-2", None, 1, "const")
    assert visit.shelf.generator(str(folder)) is visit.shelf.generator(str(folder))
    path = visit.show(again)[0]
    assert np.abs(read(path).astype(int) - G.sample(seeds=[1]).to_uint8()[0]).max() <= 1
    assert not np.array_equal(read(path), shown)
    assert again[0].name != former[0].name  # a browser takes one name for one picture
    assert visit.keep_picture(former, again[0]) == again[:1]
    for ask in (visit.show, lambda some: visit.film(some, 2, 10, "gif")):
        with pytest.raises(GanzooError, match="was trained on since that picture: draw again"):
            ask(former)

    served = iter([G, visit.shelf.generator(str(folder))])  # written between two looks
    monkeypatch.setattr(visit.shelf, "generator", lambda name: next(served))
    with pytest.raises(GanzooError, match="was trained on since that picture"):
        visit.show(again)


def test_a_folder_may_be_named_with_a_slash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bundled("gan.mnist"), tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    for given, name in (
        ("mine/", "mine/"),
        ("./mine/", "./mine"),
        ("mine/../mine/", "mine/../mine"),
    ):
        assert Shelf([given]).names == [name]
        session: dict[str, Any] = {}
        exec(pictures.python_lines(Picture(name, 1)), session)
        assert session["image"].shape == (1, 1, 28, 28)


def test_few_models_are_held_and_no_other_is_offered() -> None:
    shelf = Shelf(["gan.mnist", "dcgan.mnist", "cgan.mnist"], most=2)
    first = shelf.generator("gan.mnist")
    shelf.generator("dcgan.mnist")
    assert shelf.generator("gan.mnist") is first
    shelf.generator("cgan.mnist")
    assert shelf.loaded == ["gan.mnist", "cgan.mnist"]
    for name in ("wgan-gp.mnist", "/etc/passwd", "../x", "hf://a/b", "", None, []):
        with pytest.raises(NotFoundError, match="is not offered"):
            shelf.generator(name)  # type: ignore[arg-type]
    with pytest.raises(GanzooError, match="no model is called"):
        Shelf(["gan.mnits"])
    all_of_them = Shelf()
    assert {"gan.mnist", STYLE} <= set(all_of_them.names) and all_of_them.loaded == []


def test_what_the_page_says_of_a_model(visit: Visit) -> None:
    said = visit.glance("cgan.fashion-mnist")
    assert "apache-2.0" in said and "`fashion-mnist` (mit)" in said
    assert "**warn**" in said and "fid | 0.1484" in said and "n10k" in said
    card = visit.card("cgan.fashion-mnist")
    assert "#### Audit" in card and "#### Limitations" in card and "](samples.png)" not in card
    assert "not selected" not in card


Bad = tuple[str, Any]
BAD: list[Bad] = [
    ("are no seeds", lambda v: v.draw("gan.mnist", "0-64", None, 1, "const")),
    ("are no seeds", lambda v: v.draw("gan.mnist", "<b>", None, 1, "const")),
    ("are no seeds", lambda v: v.draw("gan.mnist", "9" * 5000, None, 1, "const")),
    ("are no seeds", lambda v: v.draw("gan.mnist", None, None, 1, "const")),
    ("out of range", lambda v: v.draw("gan.mnist", str(2**63), None, 1, "const")),
    ("has no class 10", lambda v: v.draw("cgan.fashion-mnist", "1", 10, 1, "const")),
    ("class x is out", lambda v: v.draw("cgan.fashion-mnist", "1", "x", 1, "const")),
    ("truncation nan", lambda v: v.draw(STYLE, "1", None, float("nan"), "const")),
    ("truncation None", lambda v: v.draw(STYLE, "1", None, None, "const")),
    ("noise 'loud'", lambda v: v.draw(STYLE, "1", None, 1, "loud")),
    ("has no styles", lambda v: v.mix("gan.mnist", "1", "2", 1, None, 1)),
    ("as many in each", lambda v: v.mix(STYLE, "1", "2-3", 1, None, 1)),
    ("layer 99 is out", lambda v: v.mix(STYLE, "1", "2", 99, None, 1)),
    ("no picture is chosen", lambda v: v.move(None, "closed-form", 0, [1])),
    ("amount 99", lambda v: v.move(SOME[0], "closed-form", 0, [99])),
    ("directions 'up'", lambda v: v.move(SOME[0], "up", 0, [1])),
    ("seed -1 is out", lambda v: v.move(SOME[0], "random", "-1", [1])),
    ("nothing is kept", lambda v: v.film([], 3, 3, "webp")),
    ("leads nowhere", lambda v: v.film(SOME[:1], 3, 3, "webp")),
    ("too many here", lambda v: v.film([SOME[0]] * 24, 48, 3, "webp")),
    ("fps 0 is out", lambda v: v.film(SOME[:1], 3, 0, "webp")),
    ("films as 'exe'", lambda v: v.film(SOME[:1], 3, 3, "exe")),
    ("keeps to one class", lambda v: v.film(
        v.draw("cgan.fashion-mnist", "1-2", IN_TURN, 1, "const"), 3, 3, "gif")),
    ("random noise flickers", lambda v: v.film(
        v.draw(STYLE, "1-2", IN_TURN, 1, "random"), 3, 3, "gif")),
    ("that picture is gone", lambda v: picked(SOME, 99, seen(SOME[0]))),
    ("that picture is gone", lambda v: picked(SOME, "0", seen(SOME[0]))),
    ("that picture is gone", lambda v: picked(SOME, 0, seen(SOME[1]))),
    ("that picture is gone", lambda v: picked(SOME, 0, {"image": "x"})),
    ("that picture is gone", lambda v: picked(SOME, 0, None)),
]  # fmt: skip


@pytest.mark.parametrize(("said", "ask"), BAD)
def test_bad_input_is_one_line(visit: Visit, said: str, ask: Any) -> None:
    with pytest.raises(GanzooError, match=said) as caught:
        ask(visit)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert not [path for path in visit.folder.iterdir() if path.suffix in (".gif", ".webp")]


def test_the_next_seeds() -> None:
    assert read_seeds(" 3, 7-9 ", 4) == [3, 7, 8, 9]
    assert following("0-15") == "16-31" and following("7") == "8" and following("3,9") == "10-11"
    assert following(str(2**63 - 1)) == "0"
