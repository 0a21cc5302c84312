"""Exported files as other programs see them: loaded by onnxruntime and by PyTorch, their images
beside those of the source, and what their metadata say carried out without ganzoo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ganzoo
from ganzoo import checkpoint, exporting, layout, plugins
from ganzoo.errors import CheckpointError, InputError, NotFoundError, PluginError
from ganzoo.models import build
from tests.test_readme import blocks
from tests.tiny import families

SEEDS = [3, 2**40, 5]

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters' own code


def saved(family: str, folder: Path, **changes: Any) -> Path:
    """A tiny model of the family, with random weights."""
    part = plugins.load().parts.get("generator", family)
    generator = build(part, part.make_config({**part.tiny, **changes}), seed=1)
    if hasattr(generator, "w_avg"):  # else truncation to it is towards 0
        generator.w_avg.copy_(torch.linspace(-1, 1, len(generator.w_avg)))
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):  # else noise does nothing
            parameter.data.fill_(0.3)
    info = layout.ModelInfo(license="mit", dataset="shapes", dataset_license="cc0-1.0")
    return checkpoint.save(folder, generator, name=f"{family}.tiny", info=info)


needs_onnx = pytest.mark.skipif(
    torch.__version__ < exporting.OLDEST_TORCH, reason="torch is older than its export to ONNX"
)


def run_onnx(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == list(inputs)
    (images,) = session.run(["images"], inputs)
    return images


def run_pt2(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    module = torch.export.load(path).module()
    return module(**{k: torch.tensor(v) for k, v in inputs.items()}).detach().numpy()


def facts_of(path: Path) -> dict[str, str]:
    if path.suffix == ".onnx":
        import onnx

        properties = onnx.load(str(path)).metadata_props
        return {p.key.removeprefix("ganzoo."): p.value for p in properties}
    files = {"ganzoo.json": ""}
    torch.export.load(path, extra_files=files)
    return json.loads(files["ganzoo.json"])


def check_onnx(path: Path) -> None:
    """It is sound, and names the model and its batch."""
    import onnx

    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert "gan.tiny" in model.doc_string


@needs_onnx
@pytest.mark.parametrize("family", families())
def test_the_images_are_those_of_the_source(family: str, tmp_path: Path) -> None:
    model, to = saved(family, tmp_path / "model"), "onnx"  # by way of an ExportedProgram
    done = ganzoo.export(model, tmp_path / f"file.{to}")
    assert (done.path, done.to) == (tmp_path / f"file.{to}", to)
    assert done.max_abs_error <= 1e-4
    G = ganzoo.load(model)
    inputs: dict[str, np.ndarray] = {"z": G.latents(SEEDS).numpy()}
    options: dict[str, Any] = {}
    if G.num_classes:
        options["labels"] = [1, 0, 1]
        inputs["labels"] = np.array([1, 0, 1])
    if "w-space" in G.provides:
        options["truncation"] = 0.4
        inputs["truncation"] = np.array(0.4, np.float32)
    assert done.inputs == tuple(inputs)
    expected = G.sample(seeds=SEEDS, **options).numpy()
    np.testing.assert_allclose(run_onnx(done.path, inputs), expected, atol=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"file.{to}", "model"]


def test_classes_and_w_together(tmp_path: Path) -> None:
    model = saved("stylegan2", tmp_path / "model", num_classes=3)
    done = ganzoo.export(model, tmp_path / "file.pt2")
    assert done.inputs == ("z", "labels", "truncation")
    G = ganzoo.load(model)
    z, labels = G.latents(SEEDS).numpy(), np.array([2, 0, 1])
    for truncation in (1.0, -0.5):
        psi = np.array(truncation, np.float32)
        made = run_pt2(done.path, {"z": z, "labels": labels, "truncation": psi})
        expected = G.sample(seeds=SEEDS, labels=[2, 0, 1], truncation=truncation).numpy()
        np.testing.assert_allclose(made, expected, atol=1e-4)
    assert "0 to 2" in facts_of(done.path)["labels"]


@pytest.mark.parametrize("to", [pytest.param("onnx", marks=needs_onnx), "pt2"])
def test_the_metadata_say_how_to_make_the_images_of_seeds(to: str, tmp_path: Path) -> None:
    model = saved("gan", tmp_path / "model")
    done = ganzoo.export(model, tmp_path / f"file.{to}", to=to)
    facts = facts_of(done.path)
    z = [eval(facts["z_of_seed"], {"numpy": np, "seed": seed}) for seed in (0, 7)]
    assert json.loads(facts["z_of_seed_0"]) == z[0].tolist()
    run = run_onnx if to == "onnx" else run_pt2
    expected = ganzoo.load(model).sample(seeds=[0, 7]).numpy()
    np.testing.assert_allclose(run(done.path, {"z": np.stack(z)}), expected, atol=1e-4)
    digest = layout.read_sums(model)["model.safetensors"]
    assert facts["weights_sha256"] == digest
    assert (facts["model"], facts["license"]) == ("gan.tiny", "mit")
    assert facts["dataset_license"] == "cc0-1.0"
    assert "trainedAlgorithmicMedia" in facts["marking"]
    assert json.loads(facts["record"])["weights_sha256"] == digest
    assert "labels" not in facts
    assert "truncation" not in facts
    if to == "onnx":
        check_onnx(done.path)


@needs_onnx
@pytest.mark.parametrize("family", ["cgan", "stylegan2"])
def test_the_guides_program_makes_an_image_of_the_file_alone(family: str, tmp_path: Path) -> None:
    guide = Path(__file__).parent.parent / "docs" / "guides" / "exchange.md"
    (program,) = [b.text for b in blocks(guide) if b.file == "from_onnx.py"]
    program = f"import sys\nsys.modules['ganzoo'] = sys.modules['torch'] = None\n{program}"
    ten = {"num_classes": 10} if family == "cgan" else {}
    model = saved(family, tmp_path / "model", **ten)
    done = ganzoo.export(model, tmp_path / "file.onnx")
    command = [sys.executable, "-c", program, str(done.path), "3"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    labels = 7 if "labels" in done.inputs else None
    expected = ganzoo.load(model).sample(1, seed=3, labels=labels).to_uint8()[0].squeeze()
    with Image.open(tmp_path / "from_onnx.png") as made:
        assert np.abs(np.asarray(made).astype(int) - expected.astype(int)).max() <= 1


def test_a_file_that_differs_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = saved("gan", tmp_path / "model"), tmp_path / "a.pt2"
    path.write_text("the former file")
    load = torch.export.load

    class Wrong:
        def __init__(self, path: Path) -> None:
            self._module = load(path).module()

        def module(self) -> Any:
            return lambda **inputs: self._module(**inputs) + self.error

    for error, said in ((2e-4, "2.0e-04"), (float("nan"), "nan")):
        monkeypatch.setattr(Wrong, "error", error, raising=False)
        monkeypatch.setattr(torch.export, "load", Wrong)
        with pytest.raises(CheckpointError, match=f"differ from its own by {said}"):
            ganzoo.export(model, path)
        assert path.read_text() == "the former file"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pt2", "model"]


def test_what_a_graph_cannot_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved("gan", tmp_path / "model")

    def forward(self: Any, z: torch.Tensor, labels: Any = None) -> torch.Tensor:
        return z.new_zeros(len(z), *self.image_shape)

    monkeypatch.setattr(type(ganzoo.load(model)), "forward", forward)
    with pytest.raises(PluginError, match=r"gan.tiny cannot be exported .*x.shape\[0\]"):
        ganzoo.export(model, tmp_path / "a.pt2")
    assert not (tmp_path / "a.pt2").exists()


@needs_onnx
def test_packages_that_lack_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"needs onnxscript: pip install 'ganzoo\[onnx\]'"):
        ganzoo.export("gan.mnist", tmp_path / "a.onnx")


def test_a_torch_whose_exporter_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", type(torch.__version__)("2.6.1"))
    with pytest.raises(InputError, match=r"needs torch 2.7, and this is 2.6.1: use --to pt2"):
        ganzoo.export("gan.mnist", tmp_path / "a.onnx")


@needs_onnx
def test_models_too_large_for_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "LARGEST_ONNX", 100)
    model = saved("gan", tmp_path / "model")
    with pytest.raises(InputError, match="an ONNX file holds 2 GiB: use --to pt2"):
        ganzoo.export(model, tmp_path / "a.onnx")


@pytest.mark.parametrize(
    "name, to, said",
    [
        ("a.bin", None, "cannot export to .*a.bin: name a file that ends in .onnx or .pt2"),
        ("a", None, "name a file that ends in .onnx or .pt2"),
        ("a.pt2", "onnx", "name a file that ends in .onnx"),
        ("a.onnx", "torchscript", "no export to 'torchscript': use onnx or pt2"),
        ("folder.onnx", None, "is a folder"),
    ],
)
def test_bad_targets(name: str, to: str | None, said: str, tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(InputError, match=said):
        ganzoo.export("gan.mnist", tmp_path / name, to=to)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.onnx"]


def test_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        ganzoo.export(tmp_path / "nothing", tmp_path / "a.pt2")
