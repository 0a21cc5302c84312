"""`ganzoo.evaluate`: models and data to results, stored, compared, measured again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ganzoo
from ganzoo import files, layout, training
from ganzoo.data import load_data
from ganzoo.errors import CheckpointError, InputError, MissingDataError, NotFoundError
from ganzoo.evaluation import metrics, results
from ganzoo.evaluation.evaluating import Result
from ganzoo.evaluation.features import features_of, generated_images, open_extractor, real_images
from ganzoo.evaluation.protocol import Protocol
from ganzoo.evaluation.real import subset_of
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

    entries = json.loads((models[1] / "metrics.json").read_text())
    for entry in entries.values():  # the same name, but other real images
        entry["settings"]["data_digest"] = "1" * 64
    results.update(models[1], {"metrics.json": json.dumps(entries)})
    with pytest.raises(InputError, match="no protocol in common"):
        results.compare(models[:2])


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


def test_two_processes_measure_what_one_measures(folder: Path, tmp_path: Path) -> None:
    """Features of another batch composition differ in their last digits."""
    env = {**os.environ, "GANZOO_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    launch = ["torch.distributed.run", "--nproc-per-node=2", "--master-port=29617"]
    words = ["-m", "ganzoo", "evaluate", folder, "-n", "64", "--repeats", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, *words, "--no-write", "--device", "cpu"],
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # of one process
    for theirs, ours in zip(found, evaluate(folder, repeats=1), strict=True):
        assert theirs["value"] == pytest.approx(ours.value, rel=1e-4, abs=1e-6)
        assert theirs["settings"] == ours.to_dict()["settings"]
