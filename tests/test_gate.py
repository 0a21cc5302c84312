"""The gate before the Hub: what is refused, by each check, and what passes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ganzoo
from ganzoo import card, gate, layout, metadata, plugins
from ganzoo.errors import CheckpointError
from ganzoo.models import build
from ganzoo.publishing import publish, staged


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny model that is fit to be published."""
    part = plugins.load().parts.get("generator", "gan")
    generator = build(part, part.config_class(**part.tiny), seed=0)
    info = layout.ModelInfo(license="mit", dataset="mnist", dataset_license="cc-by-sa-3.0")
    return ganzoo.save(tmp_path / "model", generator, name="mine", info=info)


def rewrite(path: Path, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    values = json.loads(path.read_text()) if path.is_file() else {}
    change(values)
    path.write_text(json.dumps(values))
    card.write_card(path.parent)
    layout.write_sums(path.parent)


def test_a_sound_model_passes_every_check(folder: Path) -> None:
    assert [problem for check in gate.CHECKS for problem in check(folder)] == []
    sent = publish(folder, "me/mine", dry_run=True)
    assert {file.file for file in sent.files} == {
        "README.md",
        "SHA256SUMS",
        "config.json",
        "model.safetensors",
        "samples.png",
    }
    assert (sent.commit, sent.new) == ("", False)


@pytest.mark.parametrize(
    ("file", "key", "value", "text"),
    [
        ("config.json", "license", "unknown", "licence of the weights is not stated"),
        ("config.json", "license", "my own", "'my own' is none that the Hub knows"),
        ("config.json", "dataset", {"name": "mnist"}, "licence of the data set 'mnist'"),
        ("metrics.json", "fid", 3.2, "metrics.json: fid does not say its protocol"),
        ("training.json", "note", f"hf_{'a' * 34}", "looks like a token"),
    ],
)
def test_what_is_refused(folder: Path, file: str, key: str, value: object, text: str) -> None:
    rewrite(folder / file, lambda values: values.update({key: value}))
    with pytest.raises(CheckpointError, match="not fit to be published") as caught:
        publish(folder, "me/mine", dry_run=True)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_stray_files_are_named(folder: Path) -> None:
    (folder / ".env").write_text("TOKEN=1")
    with pytest.raises(CheckpointError, match=r"\.env is no file of a model folder; move it out"):
        publish(folder, "me/mine", dry_run=True)


def test_damaged_weights_are_not_published_under_new_hashes(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="changed or damaged"):
        publish(folder, "me/mine", dry_run=True)


def test_a_picture_of_other_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    part = plugins.load().parts.get("generator", "gan")
    generator = build(part, part.config_class(**part.tiny), seed=9)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(3)  # an untrained one makes all but gray
    other = ganzoo.save(tmp_path / "b", generator)
    (folder / "samples.png").write_bytes((other / "samples.png").read_bytes())
    layout.write_sums(folder)
    with pytest.raises(CheckpointError, match="does not show the images that these weights make"):
        publish(folder, "me/mine", dry_run=True)


def test_what_is_sent_has_no_discriminator_and_no_paths(tmp_path: Path) -> None:
    parts = plugins.load().parts
    networks = [
        build(part, part.config_class(**part.tiny), seed=0)
        for part in (parts.get("generator", "gan"), parts.get("discriminator", "gan"))
    ]
    folder = ganzoo.save(
        tmp_path / "model",
        networks[0],
        name="mine",
        discriminator=networks[1],
        training={"data": {"source": "folder:/home/someone/secret/faces?crop=1"}, "init": None},
    )
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with staged(folder, load="hf://me/mine") as ready:
        assert not layout.has_discriminator(ready)
        assert layout.read_config(ready).discriminator is None
        training = (ready / "training.json").read_text()
        assert "someone" not in training and '"folder:faces"' in training
        assert 'ganzoo.load("hf://me/mine")' in (ready / "README.md").read_text()
        assert ganzoo.load(ready).sample(1).shape[0] == 1
    with staged(folder, load="hf://me/mine", with_discriminator=True) as ready:
        assert layout.has_discriminator(ready)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# -- the metadata of cards -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# no metadata", "no metadata"),
        ("---\na: [1\n---\n", "no valid YAML in line"),
        ("---\n- a\n---\n", "no YAML mapping"),
        ("---\ntags: gan\n---\n", "states no license"),
        ("---\nlicense: mit2\n---\n", "none that the Hub knows"),
        ("---\nlicense: other\n---\n", "without a license_name"),
        ("---\nlicense: mit\ntags: [1]\n---\n", "tags is no list of texts"),
        ("---\nlicense: mit\ndatasets: ['a b']\n---\n", "no name of a repository"),
        ("---\nlicense: mit\nbase_model: ../x/y\n---\n", "no name of a repository"),
        ("---\nlicense: mit\nlibrary_name: [a]\n---\n", "library_name is no text"),
        ("---\nlicense: mit\nmodel-index: 3\n---\n", "no list of models"),
        ("---\nlicense: mit\nmodel-index: [{name: a, results: [{}]}]\n---\n", "no task.type"),
    ],
)
def test_metadata_that_the_hub_would_refuse(text: str, problem: str) -> None:
    assert any(problem in line for line in metadata.read(text)[1])


def test_metrics_with_a_protocol_are_the_hubs_model_index(folder: Path) -> None:
    fid = {"value": 3.5, "protocol": "clean-fid, 10,000 samples against mnist"}
    rewrite(folder / "metrics.json", lambda values: values.update(fid=fid, kid={"value": 1}))
    values, problems = metadata.read((folder / "README.md").read_text())
    assert problems == []
    (model,) = values["model-index"]
    (result,) = model["results"]
    assert model["name"] == "mine"
    assert result["task"] == {"type": "unconditional-image-generation"}
    (metric,) = result["metrics"]
    assert (metric["type"], metric["value"]) == ("fid", 3.5)
    assert metric["args"] == {"protocol": fid["protocol"]}


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for document in (text, f"---\n{text}\n---\n"):
        values, problems = metadata.read(document)
        assert isinstance(values, dict) and all("\n" not in problem for problem in problems)
