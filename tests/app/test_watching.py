"""A run's folder, read while it is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import ganzoo
from ganzoo import provenance
from ganzoo.app import watching
from ganzoo.app.watching import Log, Run, chart, curves, thinned
from ganzoo.errors import InputError
from ganzoo.files import sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    (path / "run.toml").write_text('name = "<gan>"\nkimg = 10.0\n')
    (tmp_path / "served").mkdir()
    return path


def line(step: int, **values: object) -> str:
    return json.dumps({"step": step, "images": 32 * step, "time": 1.0, **values}) + "\n"


def test_the_log_is_read_as_it_grows(folder: Path, tmp_path: Path) -> None:
    run, log = Run(folder, tmp_path / "served"), folder / "log.jsonl"
    assert run.log().last == {} and "no step is logged yet" in run.status()
    log.write_text(line(1, **{"D/real": 0.5}) + line(2, **{"D/real": 0.25})[:-8])
    assert run.log().series == {"D/real": [(1, 0.5)]}
    log.write_text(line(1, **{"D/real": 0.5}) + line(2, **{"D/real": 0.25}))
    assert run.log().series == {"D/real": [(1, 0.5), (2, 0.25)]}
    log.write_text(line(1, **{"D/real": 0.75}))  # resumed from an earlier checkpoint
    assert run.log().series == {"D/real": [(1, 0.75)]}


def test_what_is_no_log_is_left_out() -> None:
    log = Log()
    for text in ("", "{", "[1]", '{"step": "x"}', '{"a": 1}', "[" * 100_000, '{"step": true}'):
        log.add(text)
    assert log.last == {} and log.series == {}
    log.add('{"step": 3, "a": NaN, "b": "text", "c": 1, "d": true}')
    assert log.series == {"c": [(3, 1)]}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_POINTS", 10)
    monkeypatch.setattr(watching, "MOST_SERIES", 2)
    log = Log()
    for step in range(1000):
        log.add(line(step, a=step, b=1, c=2))
    assert set(log.series) == {"a", "b"} and len(log.series["a"]) <= 10
    assert log.series["a"][-1] == (999, 999)


def test_the_status_says_how_far_it_is(folder: Path, tmp_path: Path) -> None:
    (folder / "log.jsonl").write_text(line(100, images_per_second=34.0))
    said = re.sub("<[^>]*>", " ", Run(folder, tmp_path).status())
    assert "&lt;gan&gt;" in said
    assert "3,200 images" in said and "32.0% of 10 kimg" in said
    assert "0:03:20 left" in said  # 6,800 images at 34 a second


def test_curves_end_where_the_numbers_do() -> None:
    drawn = chart("Losses", {"D/<real>": [(0, 1.0), (10, 3.0)], "G": [(0, 2.0), (10, 1.0)]})
    lines = re.findall(r'points="([^"]*)"', drawn)
    first, last = (tuple(map(float, p.split(","))) for p in lines[0].split())
    assert first[0] < last[0] and first[1] > last[1]  # to the right, and up
    assert lines[1].split()[1].split(",")[1] == lines[0].split()[0].split(",")[1]  # both are 1.0
    assert "D/&lt;real&gt; 3" in drawn and "<real>" not in drawn
    assert "<circle" in chart("one", {"one": [(5, 1.0)]})
    speeds = chart("speed", {"speed": [(0, 2571.0), (1, 12345.6), (2, -0.000123)]})
    assert ">12,346<" in speeds and ">-0.000123<" in speeds  # fit beside the axis
    log = Log()
    log.add(line(1, **{"D/real": 1, "G/fake": 2, "score/real": 3, "eval/fid": 9, "speed": 4}))
    titles = re.findall(r"<figcaption><b>([^<]*)", curves(log))
    assert titles == ["Losses", "eval/fid", "Scores of the discriminator", "speed"]
    assert curves(Log()) == ""


def test_long_series_are_means() -> None:
    points = [(float(k), float(k % 2)) for k in range(90_000)]
    few = thinned(points)
    assert len(few) <= 301 and few[-1] == points[-1]
    assert all(abs(y - 0.5) < 0.01 for _, y in few[:-1])


def test_grids_are_served_as_copies_with_their_marks(tmp_path: Path) -> None:
    path = ganzoo.train(
        "gan.mnist", tmp_path / "run", data="shapes?n=64&size=28&channels=1", steps=4,
        device="cpu", settings=["every.grid=2", "every.log=1", "batch=16"],
    )  # fmt: skip
    (tmp_path / "served").mkdir()
    before = {file: sha256(file) for file in path.rglob("*") if file.is_file()}
    run = Run(path, tmp_path / "served")
    grids = run.grids()
    assert [int(grid.stem) for grid in grids] == [0, 2, 4]
    copy = run.served(grids[-1])
    assert copy.parent == tmp_path / "served" and copy.read_bytes() == grids[-1].read_bytes()
    record = provenance.read_record(copy)
    assert record is not None and record["step"] == 4
    assert run.log().last["step"] == 4 and "D/real" in run.log().series
    assert before == {file: sha256(file) for file in path.rglob("*") if file.is_file()}


def test_only_grids_of_the_run_itself_are_shown(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "grids").mkdir()
    (folder / "grids" / "000000001.png").write_bytes(b"a grid")
    (folder / "grids" / "000000002.png").symlink_to(tmp_path / "secret.png")
    (folder / "grids" / "3-of-mine.png").write_bytes(b"of another kind")
    assert [grid.stem for grid in Run(folder, tmp_path).grids()] == ["000000001"]
    (tmp_path / "link").symlink_to(folder)  # a run may be named by one
    assert len(Run(tmp_path / "link", tmp_path).grids()) == 1


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run folder: name the --out"):
        Run(tmp_path, tmp_path)
