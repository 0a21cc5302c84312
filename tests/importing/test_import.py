"""`ganzoo import` and `ganzoo.import_checkpoint`, with the importer of tests/healthy_plugin."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor

import ganzoo
from ganzoo import checkpoint, gates, layout, plugins
from ganzoo.cli import main
from ganzoo.errors import CheckpointError, ConfigError, InputError, NotFoundError
from ganzoo.importing import converting
from ganzoo.importing.importer import Fate
from ganzoo.models import build

pytestmark = pytest.mark.usefixtures("healthy_parts")


def network(kind: str, **settings: Any) -> Any:
    part = plugins.load().parts.get(kind, "healthy")
    return build(part, part.make_config({**part.tiny, **settings}), seed=3).eval()


@pytest.fixture
def generator() -> Any:
    return network("generator")


@pytest.fixture
def content(generator: Any) -> dict[str, Any]:
    """What the program that does not exist saves."""
    state = {f"module.{name}": tensor for name, tensor in generator.state_dict().items()}
    return {
        "program": "healthy-trainer",
        "G": {**state, "module.steps": torch.tensor(7)},
        "D": network("discriminator").state_dict(),
    }


@pytest.fixture
def file(tmp_path: Path, content: dict[str, Any]) -> Path:
    path = tmp_path / "net.pt"
    torch.save(content, path)
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["import", *map(str, words)], catch_exceptions=False)


def same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) and a.dtype == b.dtype


def test_a_file_becomes_a_model_folder_that_makes_the_same_images(
    file: Path, generator: Any, tmp_path: Path
) -> None:
    out = ganzoo.import_checkpoint(
        file,
        tmp_path / "m",
        settings={"classes": 0},
        license="MIT",
        dataset="moons",
        name="h.moons",
    )
    loaded = ganzoo.load(out)
    z = torch.randn(3, 8)
    assert torch.equal(loaded(z), generator(z))
    critic, theirs = ganzoo.load_discriminator(out), network("discriminator")
    images = torch.rand(4, 3, 8, 8) * 2 - 1
    assert torch.equal(critic(images), theirs(images))
    assert checkpoint.verify(out) == []
    config = layout.read_config(out)
    assert (config.name, config.license, config.dataset.name) == ("h.moons", "mit", "moons")
    assert {path.name for path in out.iterdir()} == {
        "config.json", "model.safetensors", "discriminator.safetensors", "training.json",
        "samples.png", "README.md", "SHA256SUMS",
    }  # fmt: skip


def test_the_folder_says_where_it_comes_from(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    ganzoo.import_checkpoint(file, out, settings=["classes=0"], license="cc-by-4.0")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    record = json.loads((out / "training.json").read_text())["imported"]
    assert record["program"] == "someone/healthy-trainer"
    assert (record["file"], record["sha256"]) == ("net.pt", digest)
    assert (record["importer"], record["settings"]) == ("healthy", {"classes": 0})
    assert record["container"] == "torch-zip" and record["size"] == file.stat().st_size
    fates = {source: (target, note) for source, target, note in record["tensors"]}
    assert fates["G.module.to_w.bias"] == ("generator: to_w.bias", "")
    assert fates["G.module.steps"] == ("", "a counter of the training")
    card = (out / "README.md").read_text()
    assert "## Where it comes from" in card and "## How it was trained" not in card
    for said in (
        "`net.pt`",
        digest,
        "someone/healthy-trainer",
        "whoever imported it",
        "1 (a counter of the training)",
        "Its noise was random in the original",
    ):
        assert said in card, said
    assert f"{len(fates) - 1} of its {len(fates)} tensors were converted" in card


@pytest.mark.parametrize("quick", [True])
def test_the_gates_find_nothing_wrong_with_its_files(
    file: Path, tmp_path: Path, quick: bool
) -> None:
    out = ganzoo.import_checkpoint(
        file, tmp_path / "m", settings={"classes": 0}, license="mit", name="h.moons"
    )
    report = gates.lint(out, quick=quick)
    blocking = {finding.gate for finding in report.of("block")}
    assert blocking <= {"audience", "audit", "data", "metrics"}, report.of("block")


def test_the_command_line(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    result = run(file, "-o", out, "--set", "classes=0", "--license", "mit", "--json")
    assert result.exit_code == 0, result.output
    (facts,) = json.loads(result.stdout)
    assert facts["folder"] == str(out) and facts["family"] == "healthy"
    assert (facts["generator"], facts["discriminator"]) == ("healthy", "healthy")
    assert facts["dropped"] == 1 and facts["image_shape"] == [3, 8, 8] and facts["license"] == "mit"
    assert f"ganzoo generate {out}" in result.stderr
    assert ganzoo.load(out).sample(2, seed=0).shape == (2, 3, 8, 8)


def test_info_counts_its_tensors_and_json_lists_them(file: Path, tmp_path: Path) -> None:
    out = str(
        ganzoo.import_checkpoint(file, tmp_path / "m", settings={"classes": 0}, license="mit")
    )
    shown = CliRunner().invoke(main, ["info", out]).output
    [listed] = json.loads(CliRunner().invoke(main, ["info", out, "--json"]).output)
    tensors = listed["training"]["imported"]["tensors"]
    assert len(tensors) > 2
    assert f"training.imported.tensors\t{len(tensors)} entries, which --json shows" in shown


def test_a_report_alone_writes_nothing(file: Path, tmp_path: Path) -> None:
    result = run(file, "--report", "--set", "classes=0")
    assert result.exit_code == 0, result.output
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert ["G.module.maps", "generator: maps", "-"] in rows
    assert ["G.module.steps", "-", "a counter of the training"] in rows
    assert "nothing was written" in result.stderr
    assert list(tmp_path.iterdir()) == [file]
    assert json.loads(run(file, "--report", "--set", "classes=0", "--json").stdout)[0].keys() == {
        "source", "target", "note",
    }  # fmt: skip


def test_names_of_tensors_are_anyones_text(content: dict[str, Any], tmp_path: Path) -> None:
    odd = {f"extra\ud800\x1b[2J{'x' * 500}.steps": torch.zeros(1)}
    path = tmp_path / "net.pt"
    torch.save({**content, "G": {**content["G"], **odd}}, path)
    words = (path, "--set", "classes=0", "--report")
    assert "which the model has not" in refused(*words)  # `refused` sees one line
    torch.save({**content, "D": None}, path)
    assert "cannot be converted by the importer" in refused(*words)


def test_fates_are_printable(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    importer = type(plugins.load().parts.get("importer", "healthy").build())
    convert = importer.convert

    def with_odd_names(self: Any, checkpoint: Any) -> Any:
        made = convert(self, checkpoint)
        odd = Fate("\ud800\x1b[2J" + "x" * 9000, "", "a | b\n<script>")
        return replace(made, fates=(*made.fates, odd))

    monkeypatch.setattr(importer, "convert", with_odd_names)
    words = ("--set", "classes=0", "--license", "mit")
    result = run(file, "-o", tmp_path / "m", *words, "--report", "--json")
    assert result.exit_code == 0, result.output
    last = json.loads(result.stdout)[-1]
    assert last["source"].startswith("\\ud800\\x1b[2J") and len(last["source"]) < 300
    assert checkpoint.verify(tmp_path / "m") == []
    assert "<script>" not in (tmp_path / "m" / "README.md").read_text()


def test_families_are_listed(tmp_path: Path) -> None:
    (row,) = [r for r in json.loads(run("--families", "--json").stdout) if r["family"] == "healthy"]
    assert row["plugin"] == "ganzoo-healthy" and row["settings"] == {"classes": -1}
    listed = CliRunner().invoke(main, ["plugins", "--json"], catch_exceptions=False)
    (plugin,) = [r for r in json.loads(listed.stdout) if r["name"] == "healthy"]
    assert plugin["importers"] == ["healthy"]
    listed = CliRunner().invoke(main, ["parts", "--json"], catch_exceptions=False)
    assert "importer" not in {row["kind"] for row in json.loads(listed.stdout)}


# -- what is refused -----------------------------------------------------------------------------


def refused(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ") and line.isprintable()
    return line


def test_what_cannot_be_inferred_is_asked_for(file: Path, tmp_path: Path) -> None:
    assert "--set classes=0" in refused(file, "-o", tmp_path / "m", "--license", "mit")
    assert not (tmp_path / "m").exists()


def test_a_licence_is_asked_for(file: Path, tmp_path: Path) -> None:
    words = (file, "-o", tmp_path / "m", "--set", "classes=0")
    assert "give --license" in refused(*words)
    assert "--license-link" in refused(*words, "--license", "my own")
    assert not (tmp_path / "m").exists()
    assert run(*words, "--license", "unknown").exit_code == 0
    assert layout.read_config(tmp_path / "m").license == "unknown"
    link = ("--license-link", "https://example.org/own")
    assert run(*words, "--license", "my own", *link, "--force").exit_code == 0
    config = layout.read_config(tmp_path / "m")
    assert (config.license, config.license_name, config.license_link) == (
        "other",
        "my own",
        link[1],
    )


def test_a_licence_that_the_origin_settles_is_kept(content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({**content, "license": "Someone's own licence"}, path)
    words = (path, "-o", tmp_path / "m", "--set", "classes=0")
    assert "settles its licence" in refused(*words, "--license", "mit")
    assert run(*words).exit_code == 0
    config = layout.read_config(tmp_path / "m")
    assert (config.license, config.license_name) == ("other", "Someone's own licence")
    assert config.license_link == "https://example.org/licence"
    assert "stated by the file's origin" in (tmp_path / "m" / "README.md").read_text()


def test_a_file_of_no_known_family(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"layer.weight": torch.zeros(2, 3), "layer.bias": torch.zeros(2)}, path)
    line = refused(path, "-o", tmp_path / "m", "--license", "mit")
    assert "of no family that is known" in line and "layer.weight [2, 3]" in line
    assert "healthy" in line and "--as NAME" in line
    line = refused(path, "-o", tmp_path / "m", "--license", "mit", "--as", "helathy")
    assert "did you mean healthy?" in line
    line = refused(path, "-o", tmp_path / "m", "--as", "healthy", "--set", "classes=0")
    assert "cannot be converted by the importer 'healthy'" in line


def test_a_file_of_two_families_is_asked_about(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = plugins.load().parts
    owned = registry.owner("importer", "healthy")
    twin = replace(owned, part=replace(owned.part, name="twin"))
    monkeypatch.setitem(registry._by_kind, "importer", [owned, twin])
    words = (file, "-o", tmp_path / "m", "--set", "classes=0", "--license", "mit")
    assert "--as healthy or --as twin" in refused(*words)
    assert run(*words, "--as", "twin").exit_code == 0


def test_settings_are_checked(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no setting 'clases'.*did you mean classes"):
        converting.convert(file, settings=["clases=0"])
    with pytest.raises(ConfigError, match="wrong type"):
        converting.convert(file, settings={"classes": "many"})
    with pytest.raises(ConfigError, match="has no value"):
        converting.convert(file, settings=["classes"])


def test_weights_that_do_not_fit_are_refused(content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "net.pt"

    def convert(**changes: Any) -> None:
        state = {name: t for name, t in {**content["G"], **changes}.items() if t is not None}
        torch.save({**content, "G": state}, path)
        converting.convert(path, settings={"classes": 0})

    convert()
    with pytest.raises(CheckpointError, match="lacks 'strengths'"):
        convert(**{"module.strengths": None})
    with pytest.raises(CheckpointError, match="has 'more', which the model has not"):
        convert(**{"module.more": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"'to_w.bias' is float32 \[9\]"):
        convert(**{"module.to_w.bias": torch.zeros(9)})
    with pytest.raises(CheckpointError, match="is not finite"):
        convert(**{"module.to_w.bias": torch.full((8,), float("nan"))})
    with pytest.raises(CheckpointError, match="not finite"):
        convert(**{"module.to_w.weight": torch.full((8, 8), 3e38)})


def test_doubles_are_rounded_and_said_to_be(content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    doubles = {
        name: t.double() + 1e-12 if t.is_floating_point() else t for name, t in content["G"].items()
    }
    torch.save({**content, "G": doubles}, path)
    conversion = converting.convert(path, settings={"classes": 0})
    assert "The generator's float64 values were rounded to float32." in conversion.converted.notes
    ours, theirs = conversion.generator.to_w.weight, doubles["module.to_w.weight"]
    assert same(ours, theirs.float())


def test_what_is_there_stays(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    options: dict[str, Any] = {"settings": {"classes": 0}, "license": "mit"}
    ganzoo.import_checkpoint(file, out, name="first", **options)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(InputError, match=r"exists.*--force"):
        ganzoo.import_checkpoint(file, out, **options)
    with pytest.raises(InputError, match="give --license"):
        ganzoo.import_checkpoint(file, out, settings={"classes": 0}, force=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    ganzoo.import_checkpoint(file, out, name="second", force=True, **options)
    assert layout.read_config(out).name == "second"
    inside = out / "net.pt"
    inside.write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="would be replaced"):
        ganzoo.import_checkpoint(inside, out, force=True, **options)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(InputError, match="exists"):
        ganzoo.import_checkpoint(file, other, force=True, **options)
    assert sorted(tmp_path.iterdir()) == sorted([file, out, other])


def test_wrong_usage(file: Path, tmp_path: Path) -> None:
    assert run().exit_code == 2
    assert run(file).exit_code == 2
    assert "there is no file" in refused(tmp_path / "none.pt", "-o", tmp_path / "m")
    assert "is a folder" in refused(tmp_path, "-o", tmp_path / "m")
    with pytest.raises(NotFoundError):
        ganzoo.import_checkpoint(tmp_path / "none.pt", tmp_path / "m")


def test_the_command_line_itself_needs_no_torch() -> None:
    code = "import sys, ganzoo.cli.importing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
