"""On a machine with a GPU, everything that computes computes there, with the images of the CPU.

No GPU is needed: `pretended_gpu` refuses what a real one would, and counts what is computed where.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn

import ganzoo
from ganzoo import directions, latents, plugins, rng, training, walks
from ganzoo.app.pictures import Move, Picture
from ganzoo.app.shelf import Shelf
from ganzoo.app.visit import Visit
from ganzoo.cli import main
from ganzoo.data import load_data
from ganzoo.errors import GanzooError
from ganzoo.evaluation.features import open_extractor
from ganzoo.evaluation.metrics import frechet_distance
from ganzoo.models import build
from ganzoo.training import Recipe
from tests import tiny
from tests.pretended_gpu import Mixed, pretended_gpu


@pytest.fixture
def gpu() -> Iterator[Counter[str]]:
    with pretended_gpu() as heavy:
        yield heavy


def run(*arguments: object) -> str:
    """A command, which must succeed; what it prints."""
    words = [str(argument) for argument in arguments]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


# -- the pretence ----------------------------------------------------------------------------------

MISTAKES: dict[str, Callable[[Tensor], Any]] = {
    "a constant": lambda x: x + torch.ones(3),
    "a constant that came later": lambda x: torch.ones(3) * x,
    "an array": lambda x: x @ torch.from_numpy(np.eye(3, dtype=np.float32)),
    "a layer": lambda x: nn.Linear(3, 3)(x),
    "one number where torch wants a tensor": lambda x: torch.stack([x.sum(), torch.tensor(1.0)]),
    "a place to be written to": lambda x: torch.zeros(3).add_(x),
    "an index of the GPU": lambda x: torch.zeros(3)[x.long()],
    "rows": lambda x: x.gather(0, torch.tensor([0])),
    "NumPy": lambda x: x.numpy(),
    "NumPy unasked": lambda x: np.asarray(x),
    "a generator": lambda x: torch.randn(3, generator=torch.Generator(), device=x.device),
    "a generator of the GPU": lambda x: torch.randn(3, generator=torch.Generator(x.device)),
    "a copy": lambda x: x + x.cpu(),
    "a gradient": lambda x: torch.autograd.grad((nn.Linear(3, 1).to(x.device)(x)).sum(), [x],
                                                torch.ones(())),
}  # fmt: skip
PERMITTED: dict[str, Callable[[Tensor], Any]] = {
    "numbers": lambda x: x * 2 + torch.tensor(2.0),
    "indices": lambda x: x[torch.tensor([0, 2])],
    "a mask": lambda x: x[torch.tensor([True, False, True])],
    "a copy": lambda x: x.cpu() + torch.ones(3),
    "a copy in place": lambda x: torch.zeros(3).copy_(x).numpy(),
    "values": lambda x: [*x.tolist(), float(x.sum()), x.argmax().item()],
    "new tensors": lambda x: x + x.new_tensor([1, 2, 3]) + x.new_ones(3) + torch.ones_like(x),
    "what torch makes by itself": lambda x: nn.functional.one_hot(x.long(), 3).float() @ x,
}  # fmt: skip


@pytest.mark.parametrize("what", MISTAKES)
def test_the_pretended_gpu_refuses(what: str, gpu: Counter[str]) -> None:
    x = torch.tensor([0.0, 1.0, 2.0], device="cuda", requires_grad=what == "a gradient")
    with pytest.raises((Mixed, TypeError), match=r"same device|for generator|to numpy"):
        MISTAKES[what](x)


@pytest.mark.parametrize("what", PERMITTED)
def test_the_pretended_gpu_permits(what: str, gpu: Counter[str]) -> None:
    x = torch.tensor([0.0, 1.0, 2.0])
    there, here = (np.asarray(torch.as_tensor(PERMITTED[what](y)).cpu()) for y in (x.to("cuda"), x))
    assert np.array_equal(there, here)


def test_what_is_made_of_what_is_on_the_gpu_is_there_too(gpu: Counter[str]) -> None:
    layer = nn.Linear(3, 3)
    weight = layer.weight
    assert layer.to("cuda").weight is weight and weight.is_cuda
    y = layer(torch.zeros(2, 3, device="cuda"))
    y.sum().backward()
    assert y.device == weight.grad.device == weight.detach()[0].device == torch.device("cuda:0")
    assert weight.to("cuda") is weight and weight.cpu().device.type == "cpu"
    assert gpu == {"cuda": 2}
    nn.Linear(3, 3)(torch.zeros(2, 3))
    assert gpu == {"cuda": 2, "cpu": 1}
    with torch.autocast("cuda", torch.bfloat16):
        assert layer(torch.zeros(2, 3, device="cuda")).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):  # of another device
        assert layer(torch.zeros(2, 3, device="cuda")).dtype == torch.float32


def test_latents_left_on_the_cpu_are_found(
    gpu: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rng.Draws, "_place", lambda self, array: torch.from_numpy(array.copy()))
    with pytest.raises(Mixed):
        training.train(tiny.recipe("gan"), tmp_path / "run", device="cuda", steps=1)


def test_a_network_left_on_the_cpu_is_found(gpu: Counter[str]) -> None:
    ganzoo.load("gan.mnist", device="cuda").sample(2)
    assert gpu["cuda"] and not gpu["cpu"]
    ganzoo.load("gan.mnist").sample(2)
    assert gpu["cpu"]


# -- training --------------------------------------------------------------------------------------


def accepted(kind: str, name: str) -> Recipe:
    """A recipe with a part, of the first family that goes with it."""
    part = plugins.load().parts.get(kind, name)
    for family in ("gan", *tiny.families()):
        recipe = tiny.recipe(family, **{kind: {"part": name, **part.tiny}}, precision="bf16")
        for settings in ((), ("discriminator.conditioning=auxiliary",)):
            try:
                found = recipe.with_settings(settings)
                data = load_data(found.data.source)
                found.resolve(data.image_shape, data.num_classes)
                return found
            except GanzooError:
                continue
    raise AssertionError(f"no family goes with {name}")


def names(kind: str) -> list[str]:
    return [owned.part.name for owned in plugins.load().parts.all(kind)]


@pytest.mark.parametrize("family", tiny.families())
def test_every_family_trains_there(family: str, gpu: Counter[str], tmp_path: Path) -> None:
    out = training.train(tiny.recipe(family), tmp_path / "run", device="cuda", steps=1)
    assert gpu["cuda"] and not gpu["cpu"]
    record = json.loads((out / "model" / "training.json").read_text())
    assert record["hardware"]["device"] == "pretended"


@pytest.mark.parametrize(
    "kind, name", [(kind, name) for kind in ("loss", "augmentation") for name in names(kind)]
)
def test_every_loss_and_augmentation_trains_there(
    kind: str, name: str, gpu: Counter[str], tmp_path: Path
) -> None:
    training.train(accepted(kind, name), tmp_path / "run", device="cuda", steps=1)
    assert gpu["cuda"] and not gpu["cpu"]


@pytest.mark.parametrize("name", names("generator"))
def test_every_generator_learns_and_samples_there(name: str, gpu: Counter[str]) -> None:
    part = plugins.load().parts.get("generator", name)
    G = build(part, part.make_config(part.tiny), seed=0)
    here = G.eval().sample(3)
    torch.testing.assert_close(G.to("cuda").sample(3), here, rtol=0, atol=1e-5)
    draws = rng.Draws(0, "test", 0, device=G.device)
    labels = draws.integers(4, G.num_classes) if G.num_classes else None
    gpu.clear()
    G.train().train_forward(draws.normal(4, G.z_dim), labels, draws).square().mean().backward()
    assert gpu["cuda"] and not gpu["cpu"]
    assert all(p.grad.is_cuda for p in G.parameters() if p.grad is not None)


def test_it_is_named(gpu: Counter[str]) -> None:
    assert any(line.split()[:2] == ["cuda:0", "pretended,"] for line in run("env").splitlines())


def test_a_dry_run_is_one_of_the_gpu(gpu: Counter[str]) -> None:
    report = training.plan(tiny.recipe("gan"))
    assert report["device"] == "pretended" and report["memory_bytes"] == 1 << 20
    assert gpu["cuda"] and not gpu["cpu"]


def test_networks_that_grow_do_so_there(gpu: Counter[str], tmp_path: Path) -> None:
    trainer = {"part": "progressive", "fade_kimg": 0.008, "stable_kimg": 0.008}
    recipe = tiny.recipe("progan", trainer=trainer, kimg=0.064)
    training.train(recipe, tmp_path / "run", device="cuda")
    assert gpu["cuda"] and not gpu["cpu"]


def test_a_run_there_is_the_run_of_the_cpu(tmp_path: Path) -> None:
    recipe = tiny.recipe("stylegan2", augmentation={"part": "ada", "p": 0.5})
    training.train(recipe, tmp_path / "cpu", device="cpu", steps=2)
    with pretended_gpu():
        training.train(recipe, tmp_path / "gpu", device="cuda", steps=1)
        training.train(recipe, tmp_path / "gpu", device="cuda", steps=1, resume=True)
    ours, theirs = (ganzoo.load(tmp_path / d).state_dict() for d in ("cpu", "gpu"))
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=0, atol=1e-6)


# -- what is done with a model ---------------------------------------------------------------------

MODELS = ("cgan", "stylegan2")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of a few steps, which measured and drew as they went, of `ganzoo train`."""
    folder, found = tmp_path_factory.mktemp("devices"), {}
    for family in MODELS:
        recipe = tiny.recipe(
            family,
            kimg=0.032,
            evaluate={"every": 4, "n": 32, "metrics": ["fid", "coverage"]},
            every={"log": 4, "checkpoint": 4, "grid": 4},
        )
        path, found[family] = folder / f"{family}.toml", folder / family
        path.write_text(tomli_w.dumps(recipe.to_dict()))
        with pretended_gpu() as heavy:
            run("train", path, "--out", found[family])  # the GPU, because there is one
        assert heavy["cuda"] > 5 * heavy["cpu"]  # where neighbours and FID's traces are found
    return found


@pytest.mark.parametrize("family", MODELS)
def test_evaluate_uses_it(family: str, models: dict[str, Path]) -> None:
    def measured(device: str) -> dict[str, float]:
        found = run("evaluate", models[family], "-n", 64, "--repeats", 1, "--seed", 5, "--no-write",
                    "--json", "--device", device)  # fmt: skip
        return {row["metric"]: row["value"] for row in json.loads(found)}

    there = {}
    with pretended_gpu() as heavy:
        there = measured("cuda")
        default = dict(heavy)
        run("evaluate", models[family], "-n", 64, "--repeats", 1, "--seed", 5, "--no-write")
        assert heavy["cuda"] > default["cuda"] and heavy["cpu"] == 2
    # on the CPU alone: FID's product of the two factors, small and in float64
    assert default["cuda"] > 10 and default["cpu"] == 1
    assert there == pytest.approx(measured("cpu"), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("family", MODELS)
def test_audit_uses_it(family: str, models: dict[str, Path], tmp_path: Path) -> None:
    config = ganzoo.load(models[family]).record["config"]
    holdout = f"{config.dataset.name}&seed=7"

    def audited(*device: str) -> dict[str, Any]:
        found = run("audit", models[family], "-n", 128, "--holdout", holdout, "--json",
                    "--no-write", "-o", tmp_path / "audit.html", *device)  # fmt: skip
        return dict(json.loads(found)[0])

    with pretended_gpu() as heavy:
        there = audited()
    assert heavy["cuda"] > 10
    here = audited("--device", "cpu")
    assert there["verdict"] == here["verdict"] and there["copying"].keys() == here["copying"].keys()


@pytest.mark.parametrize("family, options", [
    ("cgan", ()), ("cgan", ("--dtype", "bf16")), ("stylegan2", ("--dtype", "bf16")),
    ("stylegan2", ("--noise", "random")), ("stylegan2", ("--truncation", 0.5, "--mix", "9:2")),
])  # fmt: skip
def test_generate_makes_the_images_of_the_cpu(
    family: str, options: tuple[object, ...], models: dict[str, Path], tmp_path: Path
) -> None:
    with pretended_gpu() as heavy:
        run("generate", models[family], "-n", 5, "--batch-size", 2, "-o", tmp_path / "gpu.npz",
            *options)  # fmt: skip
        assert heavy["cuda"] and not heavy["cpu"]
    run("generate", models[family], "-n", 5, "-o", tmp_path / "cpu.npz", *options)
    with np.load(tmp_path / "gpu.npz") as there, np.load(tmp_path / "cpu.npz") as here:
        difference = np.abs(there["images"].astype(int) - here["images"])
        assert difference.max() <= (1 if "bf16" not in options else 8)


@pytest.mark.parametrize("family, how", [
    ("cgan", ()), ("stylegan2", ("--noise", "optimize")), ("stylegan2", ("--space", "z")),
])  # fmt: skip
def test_project_and_what_is_made_of_it(
    family: str, how: tuple[str, ...], models: dict[str, Path], gpu: Counter[str], tmp_path: Path
) -> None:
    picture, out = tmp_path / "picture.png", tmp_path / "out"
    run("generate", models[family], "-n", 1, "-o", picture)
    assert "identical" in run("reproduce", picture, "--model", models[family])
    run("project", picture, "--model", models[family], "-o", out, "--steps", 3, "--starts", 2,
        "--video", tmp_path / "found.gif", *how)  # fmt: skip
    (latent,) = out.glob("*.safetensors")
    run("generate", models[family], "--latent", latent, "-o", tmp_path / "again.png")
    assert gpu["cuda"] and not gpu["cpu"]
    with Image.open(tmp_path / "again.png") as one, Image.open(out / "projected.png") as other:
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 1


@pytest.mark.parametrize("family", MODELS)
def test_walks_directions_and_the_explorer(
    family: str, models: dict[str, Path], gpu: Counter[str], tmp_path: Path
) -> None:
    G = ganzoo.load(models[family], device="cuda")
    label = 1 if G.num_classes else None
    assert len(list(walks.walk(G, [0, 1], steps=2, label=label))) == 4
    for found in (directions.closed_form(G, 3), directions.random_directions(G, 3)):
        moved = found.move(latents.of_seeds(G, [0, 1]), [1.0, -2.0])
        assert moved.values.is_cuda and len(latents.images(moved, G)) == 2
    moved.write(tmp_path / "moved.safetensors")
    assert latents.read(tmp_path / "moved.safetensors", G).values.is_cuda

    visit = Visit(Shelf([str(models[family])]), tmp_path)
    (name,) = visit.shelf.names
    first, second = Picture(name, 1, label), Picture(name, 2, label)
    turned = Picture(name, 1, label, move=Move("closed-form", 0, (1.0,)))
    assert len(visit.show([first, second, turned])) == 3
    visit.film([first, second], 2, 10, "gif")
    assert gpu["cuda"] > gpu["cpu"]  # where directions are found, and added up


@pytest.mark.parametrize("name", sorted({*names("features")} - {"inception"}))
def test_every_extractor_sees_there_what_it_sees_here(name: str) -> None:
    draw = np.random.default_rng(0).integers(0, 256, (40, 1, 28, 28), dtype=np.uint8)
    images = torch.from_numpy(draw)
    with pretended_gpu() as heavy:
        opened = open_extractor(name, device="cuda")
        there = opened(images)
        assert there.features.is_cuda and not heavy["cpu"]
        if name != "pixels":  # which has no layers
            x = images.to("cuda").float() / 127.5 - 1
            assert all(maps.is_cuda for maps in opened.network.maps(x))
        moved = [x.cpu() for x in there if x is not None]
    for x, y in zip(moved, filter(lambda x: x is not None, open_extractor(name)(images))):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)


def test_metrics_compute_where_the_features_are(gpu: Counter[str]) -> None:
    from ganzoo.evaluation import metrics

    x, y = torch.randn(2, 40, 6, device="cuda")
    moments = [metrics.Moments.of(v) for v in (x, y)]
    frechet_distance(*moments)
    metrics.kernel_distance(x, y, resamples=10)
    metrics.manifold(x, y)
    metrics.inception_score(x, splits=2)
    assert moments[0].mean.is_cuda and gpu["cuda"] > 3 and not gpu["cpu"]


def test_images_and_features_are_in_full_float32(
    models: dict[str, Path], gpu: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On GPUs since Ampere, torch rounds what convolutions multiply to ten bits unless it is told
    not to: for the images of the CPU, it has to be."""
    G = ganzoo.load(models["stylegan2"], device="cuda")
    kind, seen = type(G), []

    def watched(original: Any) -> Any:
        def forward(*arguments: Any, **options: Any) -> Any:
            seen.append(torch.backends.cudnn.allow_tf32)
            return original(*arguments, **options)

        return forward

    monkeypatch.setattr(kind, "synthesis", watched(kind.synthesis))
    assert torch.backends.cudnn.allow_tf32  # torch's default, in which networks are trained
    G.sample(2)
    latents.images(latents.of_seeds(G, [0]), G)
    list(walks.walk(G, [0, 1], steps=1))
    extractor = open_extractor("random", device="cuda")
    monkeypatch.setattr(extractor.network, "outputs", watched(extractor.network.outputs))
    extractor(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    assert len(seen) == 5 and not any(seen)  # `sample` has one image first, to see its maps
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("command", ["evaluate", "audit", "generate"])
@pytest.mark.parametrize("device", ["nonsense", "cuda:x", "meta"])
def test_a_device_that_is_none_is_refused(command: str, device: str) -> None:
    done = CliRunner().invoke(main, [command, "gan.mnist", "--device", device])
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: the device '{device}' cannot be used (")
    assert line.endswith("): use cpu, or leave it out")
