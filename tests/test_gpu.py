"""What `test_devices.py` runs on a pretended GPU, on a real one; and what only a real one shows:
CUDA graphs, compiled kernels, rounding, waiting. Skipped where there is none; `make gpu` runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from torch import Tensor

import ganzoo
from ganzoo import inference, training
from ganzoo.data import load_data
from ganzoo.evaluation.features import open_extractor
from ganzoo.models import Generator
from ganzoo.parts import resolve
from ganzoo.precision import true_float32
from ganzoo.training.observers import Observers
from ganzoo.training.trainer import Setup, Trainer
from tests import tiny
from tests.test_devices import accepted, names, run
from tests.tiny import GENERATORS, generator, sampling_options

pytestmark = [
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="needs a GPU that torch can use by CUDA"
    ),
    # what torch and its libraries say of a GPU that they have not seen is no error of ours
    pytest.mark.filterwarnings("default::UserWarning"),
]
compiling = pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a compiler")


def close(found: Tensor, expected: Tensor, atol: float = 1e-4) -> None:
    found, expected = torch.Tensor(found), torch.Tensor(expected)
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


# -- images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATORS)
def test_images_are_those_of_the_cpu(name: str) -> None:
    G = generator(name)
    here = {n: G.sample(n) for n in (1, 5, 64)}
    others = [G.sample(3, **options) for options in sampling_options(G)]
    G.to("cuda")
    for n, expected in here.items():
        close(G.sample(n), expected)
    for options, expected in zip(sampling_options(G), others, strict=True):
        close(G.sample(3, **options), expected)


@pytest.mark.parametrize("setting", ["", "high"])
@pytest.mark.parametrize("name", ["dcgan.mnist", "cgan.mnist", "stylegan2.mnist", "progan.nouns"])
def test_images_of_bundled_models_are_those_of_the_cpu(name: str, setting: str) -> None:
    """Also in a program that wants products in TF32."""
    expected = ganzoo.load(name).sample(16)
    former = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(setting or former)
    try:
        close(ganzoo.load(name, device="cuda").sample(16), expected)
    finally:
        torch.set_float32_matmul_precision(former)


@pytest.mark.parametrize("name", ["dcgan.mnist", "cgan.mnist", "stylegan2.mnist"])
def test_bfloat16_is_as_exact_as_is_said(name: str) -> None:
    exact = ganzoo.load(name).sample(8)
    low = ganzoo.load(name, device="cuda", dtype=torch.bfloat16).sample(8)
    assert 0 < (exact - low).abs().mean() < 0.01


# -- CUDA graphs -----------------------------------------------------------------------------------


@pytest.fixture
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs of the network itself, without a compiler, which takes its time."""
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: network)


def by_graphs(G: Generator, n: int, **options: Any) -> None:
    """They make the images that are made without."""
    G.how = inference.How()
    expected = G.sample(n, **options)
    G.how = inference.How(compile=True)
    close(G.sample(n, **options), expected)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.usefixtures("as_it_is")
def test_a_graph_freezes_nothing(name: str) -> None:
    G = generator(name).to("cuda")
    for n, seed in ((1, 0), (1, 9), (64, 3), (33, 5), (64, 100), (2, 7), (1, 5)):
        by_graphs(G, n, seed=seed)
    for options in sampling_options(G):
        by_graphs(G, 2, seed=4, **options)
    if G.num_classes:
        for labels in (1, 0, [1, 0]):
            by_graphs(G, 2, labels=labels)
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.mul_(1.2)
    by_graphs(G, 2)


@pytest.mark.usefixtures("as_it_is")
def test_a_graphs_images_are_the_callers_own() -> None:
    G = ganzoo.load("stylegan2.mnist", device="cuda")
    form, (z, w) = inference.fast(G, inference.How(compile=True)), G.latents([0, 1])[:, None]
    first = form(z)
    kept, second = first.clone(), form(w)
    both = form(torch.cat([z, w]))  # of another graph, in the same memory
    assert torch.equal(first, kept)
    close(both.cpu(), torch.cat([first, second]).cpu())
    assert (first - second).abs().max() > 0.1


@pytest.mark.parametrize("own_streams", [False, True])
@pytest.mark.usefixtures("as_it_is")
def test_graphs_in_threads(own_streams: bool) -> None:
    """Two graphs that share their memory, in turns."""
    G = ganzoo.load("stylegan2.mnist", device="cuda")
    calls = [(1 + seed % 2, seed) for seed in range(32)]
    expected = [torch.Tensor(G.sample(n, seed=seed)) for n, seed in calls]
    G.how = inference.How(compile=True)
    G.sample(1)
    torch.cuda.synchronize()  # what the form is made of is there

    def sampled(call: tuple[int, int]) -> Tensor:
        with torch.cuda.stream(torch.cuda.Stream() if own_streams else None):
            return torch.Tensor(G.sample(call[0], seed=call[1]))

    with ThreadPoolExecutor(4) as pool:
        for found, theirs in zip(pool.map(sampled, calls), expected, strict=True):
            close(found, theirs)


def test_a_network_that_waits_is_refused_and_leaves_nothing_behind() -> None:
    """In a process of its own: torch may not draw random numbers on the GPU after that."""
    program = """
import torch
from torch import nn
from ganzoo import inference
from ganzoo.errors import InputError
torch.compile = lambda network, dynamic: network
class Waits(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
    def forward(self, x):
        return x * self.weight if x.sum().item() > 0 else x
form = inference.Form(Waits().to("cuda"), inference.How(compile=True))
stream = torch.cuda.current_stream()
for _ in range(2):
    try:
        form(torch.ones(3, 2, device="cuda"))
    except InputError as error:
        assert "waits for the GPU in its midst" in str(error), error
    else:
        raise AssertionError("it was recorded")
    assert torch.cuda.current_stream() == stream
assert (torch.ones(3, device="cuda") * 2).tolist() == [2, 2, 2]
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)


@compiling
@pytest.mark.parametrize("dtype, atol", [(None, 1e-4), (torch.bfloat16, 0.25)])
@pytest.mark.filterwarnings("ignore")  # what torch.compile warns of is not of our making
def test_compiled_images(dtype: torch.dtype | None, atol: float) -> None:
    G = ganzoo.load("stylegan2.mnist", device="cuda", dtype=dtype)
    for n, options in (
        (1, {}), (1, {"seed": 8}), (64, {}), (40, {"seed": 3}), (1, {"truncation": 0.7}),
        (1, {"truncation": 0.2}), (1, {"mix": (5, 3)}), (2, {"noise": "random"}),
    ):  # fmt: skip
        G.how = inference.How(dtype=dtype)
        expected = G.sample(n, **options)
        G.how = inference.How(dtype=dtype, compile=True)
        close(G.sample(n, **options), expected, atol)


@compiling
def test_the_second_process_compiles_in_less_time(tmp_path: Path) -> None:
    program = """
import time, ganzoo
G = ganzoo.load("dcgan.mnist", device="cuda", compile=True)
started = time.perf_counter()
G.sample(1)
print(time.perf_counter() - started)
"""
    variables = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    seconds = [
        float(subprocess.run([sys.executable, "-c", program], check=True, env=variables,
                             capture_output=True, text=True).stdout)
        for _ in range(2)
    ]  # fmt: skip
    assert seconds[1] < seconds[0], seconds


# -- training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", tiny.families())
def test_every_family_trains_and_goes_on(family: str, tmp_path: Path) -> None:
    recipe = tiny.recipe(family, precision="bf16")
    whole = training.train(recipe, tmp_path / "whole", device="cuda", steps=4)
    training.train(recipe, tmp_path / "parts", device="cuda", steps=2)
    parts = training.train(recipe, tmp_path / "parts", device="cuda", steps=2, resume=True)
    record = json.loads((whole / "model" / "training.json").read_text())
    assert record["hardware"]["device"] == torch.cuda.get_device_name()
    close(ganzoo.load(whole).sample(4), ganzoo.load(parts).sample(4), 0.1)  # bf16, in any order
    assert ganzoo.load(parts).sample(2).isfinite().all()


@pytest.mark.parametrize(
    "kind, name", [(kind, name) for kind in ("loss", "augmentation") for name in names(kind)]
)
def test_every_loss_and_augmentation_trains(kind: str, name: str, tmp_path: Path) -> None:
    out = training.train(accepted(kind, name), tmp_path / "run", device="cuda", steps=2)
    logs = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(v) for log in logs for v in log.values() if isinstance(v, float))


def test_a_run_is_that_of_the_cpu_but_for_rounding(tmp_path: Path) -> None:
    recipe = tiny.recipe("stylegan2", augmentation={"part": "ada", "p": 0.5})
    with true_float32(torch.device("cuda")):
        runs = [
            training.train(recipe, tmp_path / device, device=device, steps=2)
            for device in ("cpu", "cuda")
        ]
    ours, theirs = (ganzoo.load(folder).state_dict() for folder in runs)
    for name, value in ours.items():
        # Adam's first steps are little more than signs of gradients: where these are near 0, of
        # the length of its rate
        torch.testing.assert_close(theirs[name], value, rtol=0, atol=2e-3)
        assert (theirs[name] - value).abs().mean() < 2e-4


def trainer_of(recipe: training.Recipe) -> Trainer:
    data = load_data(recipe.data.source)
    resolved = recipe.resolve(data.image_shape, data.num_classes)
    part, config = resolved.chosen["trainer"]
    AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run's was the CPU's
    setup = Setup(resolved, data, Path(), Accelerator(), Observers())
    made: Trainer = resolve(part.factory)(config, setup)
    return made


@pytest.mark.parametrize("changes", [
    {"loss": "stylegan2", "augmentation": {"part": "ada", "p": 0.5}},
    {"loss": "stylegan2", "augmentation": "diffaugment", "precision": "bf16"},
])  # fmt: skip
def test_a_step_waits_for_the_gpu_nowhere(changes: dict[str, Any]) -> None:
    trainer = trainer_of(tiny.recipe("stylegan2", **changes))
    trainer.train_step()  # the first one allocates, and makes constants
    trainer.step += 1
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(16):
            trainer.train_step()
            trainer.step += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(np.isfinite(value) for value in trainer.collect_logs().values())


# -- what is done with a model ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Runs of a few steps of `ganzoo train`, which takes the GPU because there is one."""
    folder, found = tmp_path_factory.mktemp("gpu"), {}
    for family in ("cgan", "stylegan2"):
        recipe = tiny.recipe(family, kimg=0.032, every={"log": 4, "checkpoint": 4, "grid": 4},
                             evaluate={"every": 4, "n": 32, "metrics": ["fid"]})  # fmt: skip
        path, found[family] = folder / f"{family}.toml", folder / family
        path.write_text(tomli_w.dumps(recipe.to_dict()))
        run("train", path, "--out", found[family])
    yield found


@pytest.mark.parametrize("family", ["cgan", "stylegan2"])
def test_evaluate_finds_what_the_cpu_finds(family: str, models: dict[str, Path]) -> None:
    def measured(device: str) -> dict[str, float]:
        found = run("evaluate", models[family], "-n", 64, "--repeats", 1, "--no-write", "--json",
                    "--device", device)  # fmt: skip
        return {row["metric"]: row["value"] for row in json.loads(found)}

    assert measured("cuda") == pytest.approx(measured("cpu"), rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("name", sorted({*names("features")} - {"inception"}))
def test_every_extractor_sees_what_it_sees_on_the_cpu(name: str) -> None:
    draw = np.random.default_rng(0).integers(0, 256, (40, 1, 28, 28), dtype=np.uint8)
    there = open_extractor(name, device="cuda")(torch.from_numpy(draw)).features
    here = open_extractor(name)(torch.from_numpy(draw)).features
    torch.testing.assert_close(there.cpu(), here, rtol=1e-3, atol=1e-3)


def test_audit_finds_what_the_cpu_finds(models: dict[str, Path], tmp_path: Path) -> None:
    source = ganzoo.load(models["cgan"]).record["config"].dataset.name

    def audited(*device: str) -> dict[str, Any]:
        found = run("audit", models["cgan"], "-n", 128, "--holdout", f"{source}&seed=7", "--json",
                    "--no-write", "-o", tmp_path / "audit.html", *device)  # fmt: skip
        return dict(json.loads(found)[0])

    assert audited()["verdict"] == audited("--device", "cpu")["verdict"]


@pytest.mark.parametrize("family, how", [
    ("cgan", ()), ("stylegan2", ("--noise", "optimize")), ("stylegan2", ("--space", "z")),
])  # fmt: skip
def test_generate_reproduce_and_project(
    family: str, how: tuple[str, ...], models: dict[str, Path], tmp_path: Path
) -> None:
    for device in ("cpu", "cuda"):
        run("generate", models[family], "-n", 5, "-o", tmp_path / f"{device}.npz",
            "--device", device)  # fmt: skip
    with np.load(tmp_path / "cuda.npz") as there, np.load(tmp_path / "cpu.npz") as here:
        assert np.abs(there["images"].astype(int) - here["images"]).max() <= 1
    picture, out = tmp_path / "picture.png", tmp_path / "out"
    run("generate", models[family], "-n", 1, "-o", picture)
    assert "differs" not in run("reproduce", picture, "--model", models[family], "--json")
    run("project", picture, "--model", models[family], "-o", out, "--steps", 3, "--starts", 2, *how)
    (latent,) = out.glob("*.safetensors")
    run("generate", models[family], "--latent", latent, "-o", tmp_path / "again.png")
    with Image.open(tmp_path / "again.png") as one, Image.open(out / "projected.png") as other:
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 1
