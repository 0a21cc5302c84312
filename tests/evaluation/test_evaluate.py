"""`ganzoo.evaluate`: models and data to results, stored, compared, measured again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ganzoo
from ganzoo import card, files, layout, training
from ganzoo.data import load_data
from ganzoo.errors import (
    CheckpointError,
    GanzooError,
    InputError,
    MissingDataError,
    NotFoundError,
)
from ganzoo.evaluation import metrics, results
from ganzoo.evaluation.evaluating import Result, measure
from ganzoo.evaluation.features import features_of, generated_images, open_extractor, real_images
from ganzoo.evaluation.protocol import Protocol
from ganzoo.evaluation.real import subset_of
from ganzoo.evaluation.workers import Workers
from tests import tiny

SHAPES = "shapes?channels=1&n=96&size=8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps on 96 shapes."""
    return training.train(tiny.recipe("gan"), tmp_path_factory.mktemp("runs") / "1") / "model"


def evaluate(folder: Path, **options: object) -> list[Result]:
    return ganzoo.evaluate(folder, **{"n": 64, "repeats": 2, **options})


def test_fid_is_the_distance_of_the_features_of_these_seeds_and_all_images(folder: Path) -> None:
    (result,) = evaluate(folder, metrics=["fid"], seed=5)
    G, data = ganzoo.load(folder), load_data(SHAPES)
    extractor = open_extractor("random")
    real = torch.cat([o.features for o in features_of(real_images(data, np.arange(96)), extractor)])
    values = []
    for start in (5, 69):
        images = G.sample(64, seed=start).to_uint8()
        fake = extractor(torch.from_numpy(images).permute(0, 3, 1, 2)).features
        values.append(metrics.frechet_distance(metrics.Moments.of(real), metrics.Moments.of(fake)))
    assert result.value == pytest.approx(np.mean(values), rel=1e-5)
    assert result.std == pytest.approx(np.std(values, ddof=1), rel=1e-3)
    assert result.protocol.n_real == 96 and result.protocol.n_fake == 64
    assert result.weights_sha256 == files.sha256(folder / "model.safetensors")


def test_a_result_says_how_it_was_measured(folder: Path) -> None:
    found = {r.protocol.metric: r for r in evaluate(folder, repeats=1)}
    assert list(found) == ["fid", "kid", "precision", "recall", "density", "coverage"]
    fid = found["fid"]
    assert fid.name == "fid/random-v1/n64/train/bicubic-antialias-64"
    assert fid.std is None
    assert fid.protocol.features_sha256 == open_extractor("random").sha256
    assert fid.protocol.data_digest == load_data(SHAPES).digest
    assert found["kid"].protocol.n_real == 64
    low, high = found["kid"].interval or (0, 0)
    assert low < found["kid"].value < high
    assert Protocol.from_dict(fid.to_dict()["settings"]) == fid.protocol


def test_another_split_has_another_name(folder: Path) -> None:
    (found,) = evaluate(folder, data=f"{SHAPES}&seed=7", metrics=["fid"], repeats=1)
    digest = load_data(f"{SHAPES}&seed=7").digest
    assert found.name == f"fid/random-v1/n64/data-{digest[:12]}/bicubic-antialias-64"


def test_real_statistics_come_from_the_cache_and_damage_is_noticed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    first = evaluate(folder, repeats=1)
    (kept,) = (tmp_path / "statistics").iterdir()
    stamp = kept.stat().st_mtime_ns
    assert evaluate(folder, repeats=1) == first
    assert kept.stat().st_mtime_ns == stamp
    data = bytearray(kept.read_bytes())
    data[-9] ^= 1
    kept.write_bytes(data)
    assert evaluate(folder, repeats=1) == first
    assert files.sha256(kept)[:32] == kept.stem.rpartition("-")[2]
    kept.write_bytes(b"no tensors, under their own hash")
    kept.rename(kept.with_name(kept.name[:33] + files.sha256(kept)[:32] + ".safetensors"))
    assert evaluate(folder, repeats=1) == first


def test_the_subset_of_real_images_is_a_fixed_draw() -> None:
    assert subset_of(10, 4).tolist() == sorted(set(subset_of(10, 4).tolist()))
    assert np.array_equal(subset_of(1000, 50), subset_of(1000, 50))
    assert subset_of(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert set(subset_of(1000, 50)) <= set(subset_of(1000, 100))


def test_results_are_stored_checked_and_refused_for_other_weights(
    folder: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    ganzoo.save(own, ganzoo.load(folder), training=layout.read_json(folder / "training.json"))
    found = evaluate(own, metrics=["fid", "coverage"])
    results.add_results(own, found)
    assert not ganzoo.verify(own).problems
    stored = json.loads((own / "metrics.json").read_text())
    assert [entry["value"] for entry in stored.values()] == [r.value for r in found]
    assert "fid/random-v1/n64" in (own / "README.md").read_text()

    again = results.recheck(own)
    assert [(c.name, c.found) for c in again] == [(r.name, r.value) for r in found]
    assert not any(c.problem for c in again)

    stored[found[0].name]["value"] *= 1.05
    results.update(own, {"metrics.json": json.dumps(stored)})
    first, second = results.recheck(own)
    assert "is stored" in first.problem and not second.problem

    stored[found[0].name]["settings"]["features_sha256"] = "0" * 64
    results.update(own, {"metrics.json": json.dumps(stored)})
    with pytest.raises(MissingDataError, match="features_sha256 was '0000"):
        results.recheck(own)

    with pytest.raises(InputError, match="not of the weights"):
        results.add_results(own, [replace(found[0], weights_sha256="0" * 64)])
    stored[found[0].name]["weights_sha256"] = "0" * 64
    results.update(own, {"metrics.json": json.dumps(stored)})
    with pytest.raises(CheckpointError, match="other weights"):
        results.recheck(own)


def test_results_of_other_protocols_stay(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    ganzoo.save(own, ganzoo.load(folder), training=layout.read_json(folder / "training.json"))
    for n in (64, 32):
        results.add_results(own, evaluate(own, metrics=["fid"], n=n, repeats=1))
    assert len(results.read_results(own)) == 2


def test_only_equal_protocols_are_ranked(folder: Path, tmp_path: Path) -> None:
    models = []
    for name, seed, n in (("a", 0, 64), ("b", 64, 64), ("c", 0, 48)):
        models.append(tmp_path / name)
        training.train(tiny.recipe("gan", seed=seed), tmp_path / f"run-{name}")
        ganzoo.save(
            models[-1],
            ganzoo.load(tmp_path / f"run-{name}"),
            training=layout.read_json(tmp_path / f"run-{name}" / "model" / "training.json"),
        )
        results.add_results(
            models[-1], evaluate(models[-1], metrics=["fid", "precision"], n=n, repeats=1)
        )
    tables = results.compare(models[:2])
    assert len(tables) == 2
    fid = next(rows for name, rows in tables.items() if name.startswith("fid"))
    assert fid[0]["value"] <= fid[1]["value"]
    precision = next(rows for name, rows in tables.items() if name.startswith("precision"))
    assert precision[0]["value"] >= precision[1]["value"]
    with pytest.raises(InputError, match="no protocol in common, and cannot be ranked"):
        results.compare([models[0], models[2]])
    with pytest.raises(InputError, match="has no such results"):
        results.compare([models[0], folder])
    with pytest.raises(NotFoundError, match="there is no model folder"):
        results.compare([models[0], tmp_path / "absent"])

    entries = json.loads((models[1] / "metrics.json").read_text())
    for entry in entries.values():  # the same name, but other real images
        entry["settings"]["data_digest"] = "1" * 64
    results.update(models[1], {"metrics.json": json.dumps(entries)})
    with pytest.raises(InputError, match=r"no protocol in common.*data_digest 1{16}\)"):
        results.compare(models[:2])


def test_protocols_of_one_name_are_tables_of_their_own(own: Path, tmp_path: Path) -> None:
    pairs = []
    for number, changes in enumerate(({}, {"ema": False}, {"precision": "bfloat16/float64"})):
        for twin in "ab":
            pairs.append(shutil.copytree(own, tmp_path / f"{number}{twin}"))
            edit(pairs[-1], settings=changes)
    tables = results.compare(pairs)
    (name,) = results.read_results(own)
    assert {table: [Path(row["model"]) for row in rows] for table, rows in tables.items()} == {
        f"{name} (ema True, precision float32/float64)": pairs[:2],
        f"{name} (ema False, precision float32/float64)": pairs[2:4],
        f"{name} (ema True, precision bfloat16/float64)": pairs[4:],
    }


def test_padding_is_cut_off_before_features() -> None:
    extractor = open_extractor("digits")
    digits = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    padded = torch.nn.functional.pad(digits, (2, 2, 2, 2))
    (cut,) = features_of([padded], extractor, crop=(2, 2, 28, 28))
    assert torch.equal(cut.features, extractor(digits).features)


def test_generated_images_are_those_of_pictures(folder: Path) -> None:
    G = ganzoo.load(folder)
    found = torch.cat(list(generated_images(G, range(300))))
    expected = torch.from_numpy(G.sample(300).to_uint8()).permute(0, 3, 1, 2)
    assert found.dtype == torch.uint8
    assert (found.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("options", "error", "line"),
    [
        ({"metrics": ["fidd"]}, InputError, "no metric is called 'fidd'"),
        ({"metrics": ["inception-score"]}, InputError, "needs a classifier"),
        ({"features": "digits"}, InputError, "gray images of 28 x 28"),
        ({"features": "randm"}, NotFoundError, "did you mean random"),
        ({"features": "random-v2"}, InputError, "are at version 1 here, not 2"),
        ({"n": 1}, InputError, "2 or more images"),
        ({"truncation": 0.5}, InputError, "takes no truncation"),
        ({"data": "shapes?size=9", "features": "random"}, None, ""),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    folder: Path, options: dict[str, object], error: type[Exception] | None, line: str
) -> None:
    if error is None:  # images of another size are fitted to the model's
        assert evaluate(folder, metrics=["fid"], repeats=1, **options)[0].value > 0
        return
    with pytest.raises(error, match=line):
        evaluate(folder, **options)


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A model folder of one's own, with one result."""
    path = tmp_path / "own"
    ganzoo.save(path, ganzoo.load(folder), training=layout.read_json(folder / "training.json"))
    results.add_results(path, evaluate(path, metrics=["fid"], n=32, repeats=1))
    return path


def edit(folder: Path, **changes: object) -> str:
    """Change the one entry of metrics.json, `settings` within; returns its name."""
    (name,) = stored = json.loads((folder / "metrics.json").read_text())
    settings = {**stored[name]["settings"], **changes.pop("settings", {})}  # type: ignore[dict-item]
    stored[name] = {**stored[name], **changes, "settings": settings}
    (folder / "metrics.json").write_text(json.dumps(stored))
    layout.write_sums(folder)
    return str(name)


@pytest.mark.parametrize(
    "changes",
    [
        {"value": 10**400},
        {"value": True},
        {"value": "3"},
        {"value": None},
        {"std": "x"},
        {"std": 10**400},
        {"settings": {"options": {"n": 3}}},
        {"settings": {"options": {"workers": 3}}},
        {"settings": {"options": {"truncation": "x"}}},
        {"settings": {"options": [1]}},
        {"settings": {"n_fake": 1 << 60}},
        {"settings": {"repeats": 10**9}},
        {"settings": {"seed": -1}},
        {"settings": {"seed": 1.5}},
        {"settings": {"metric": ["fid"]}},
        {"settings": {"metric": "precision"}},
        {"settings": {"features": "random-v²"}},
        {"settings": {"data_digest": None}},
    ],
)
def test_a_hostile_record_is_one_line_everywhere(own: Path, changes: dict[str, object]) -> None:
    edit(own, **changes)
    for read in (
        lambda: results.read_results(own),
        lambda: results.compare([own, folder]),
        lambda: results.recheck(own),
    ):
        with pytest.raises(GanzooError):
            read()
    # what follows from it does not fall over it, and it can be mended as the line says
    ganzoo.verify(own)
    card.write_card(own)
    results.add_results(own, evaluate(own, metrics=["kid"], n=32, repeats=1))
    assert all(name.startswith(("kid", "fid")) for name in results.read_results(own))


def test_results_stand_under_their_own_name(own: Path, folder: Path) -> None:
    (entry,) = json.loads((own / "metrics.json").read_text()).values()
    results.update(own, {"metrics.json": json.dumps({"precision/random-v1/n32/train/x": entry})})
    with pytest.raises(CheckpointError, match="under another name"):
        results.compare([own, folder])


def test_results_of_other_weights_count_nowhere(own: Path, folder: Path, tmp_path: Path) -> None:
    name = edit(own, weights_sha256="0" * 64)
    card.write_card(own)
    assert name not in (own / "README.md").read_text()
    with pytest.raises(InputError, match="has no such results"):
        results.compare([own, folder])


def test_results_of_several_seeds_and_repeats_are_each_measured_as_they_were(own: Path) -> None:
    """`--check` measures together only what has one protocol but for the metric."""
    results.add_results(own, evaluate(own, metrics=["kid"], n=32, repeats=2))
    results.add_results(own, evaluate(own, metrics=["precision"], n=32, repeats=1, seed=5))
    again = results.recheck(own)
    assert len(again) == 3
    assert [(c.stored, c.problem) for c in again] == [(c.found, "") for c in again]


def test_a_small_number_that_changed_is_noticed() -> None:
    name = "kid/random-v1/n10k/train/native"
    assert results.Rechecked(name, 0.00163, 0.00154).problem
    assert results.Rechecked(name, 0.0001, 0.0).problem
    assert not results.Rechecked(name, 0.00163, 0.001635).problem
    assert not results.Rechecked(name, 0.0001, 0.00012, std=0.0004).problem


def test_a_folder_with_other_files_stays_readable(own: Path) -> None:
    (own / "my notes.txt").write_text("mine")
    results.add_results(own, evaluate(own, metrics=["kid"], n=32, repeats=1))
    assert "kid/" in (own / "README.md").read_text()
    assert (own / "my notes.txt").read_text() == "mine"
    assert ganzoo.load(own).num_classes == 0
    [problem] = ganzoo.verify(own).problems
    assert "my notes.txt" in problem


def test_what_is_wrong_with_a_folder_is_found_before_anything_is_written(own: Path) -> None:
    (own / "audit.json").write_text('{"x": ')
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    with pytest.raises(CheckpointError, match=r"audit\.json"):
        results.add_results(own, evaluate(own, metrics=["kid"], n=32, repeats=1))
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before


def test_a_cache_that_cannot_be_written_costs_time_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data(SHAPES)  # which is cached itself
    expected = evaluate(folder, repeats=1)
    monkeypatch.setenv("GANZOO_CACHE", "/dev/null/none")
    found = measure(
        ganzoo.load(folder),
        data,
        open_extractor("random"),
        n=64,
        trained_on=data.digest,
        workers=Workers("cpu"),
    )
    assert [f.value for f in found] == [e.value for e in expected]


def test_neutral_options_are_no_other_protocol() -> None:
    from ganzoo.models import build
    from ganzoo.plugins import load

    part = load().parts.get("generator", "stylegan2")
    G = build(part, part.make_config(part.tiny), seed=0)
    assert G.check_options({"truncation": 1.0, "noise": "const"}) == {}
    assert G.check_options({"truncation": 0.5, "noise": "none"}) == {
        "truncation": 0.5,
        "noise": "none",
    }


def test_mixed_styles_are_read_back_and_measured_again(tmp_path: Path) -> None:
    model = training.train(tiny.recipe("stylegan2", kimg=0.008), tmp_path / "run") / "model"
    results.add_results(model, evaluate(model, metrics=["fid"], n=8, repeats=1, mix=(7, 2)))
    (name,) = results.read_results(model)
    assert name.endswith("/mix=[[7], 2]")
    assert [again.problem for again in results.recheck(model)] == [""]


def test_a_seed_beyond_the_last_is_one_line(folder: Path) -> None:
    with pytest.raises(InputError, match="out of range"):
        evaluate(folder, seed=2**63 - 10)
    (result,) = evaluate(folder, metrics=["fid"], n=4, repeats=1, seed=2**63 - 10)
    assert result.value > 0


def test_a_process_without_an_image_is_refused(folder: Path) -> None:
    data, workers = load_data(SHAPES), Workers("cpu")
    workers.world = 8
    with pytest.raises(InputError, match="7 images for 8 processes"):
        measure(ganzoo.load(folder), data, open_extractor("random"), n=7, workers=workers)


def test_two_processes_measure_what_one_measures(folder: Path, tmp_path: Path) -> None:
    """Features of another batch composition differ in their last digits."""
    env = {**os.environ, "GANZOO_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    env["CUDA_VISIBLE_DEVICES"] = ""
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = ["-m", "ganzoo", "evaluate", folder, "-n", "65", "--repeats", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, *words, "--no-write"],
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # of one process
    for theirs, ours in zip(found, evaluate(folder, n=65, repeats=1), strict=True):
        assert theirs["value"] == pytest.approx(ours.value, rel=1e-4, abs=1e-6)
        assert theirs["settings"] == ours.to_dict()["settings"]
