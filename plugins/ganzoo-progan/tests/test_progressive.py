"""The progressive trainer: its schedule in closed form, and what a step changes."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from ganzoo_progan.config import ProgressiveConfig
from ganzoo_progan.networks import Generator
from ganzoo_progan.schedule import Schedule
from ganzoo_progan.trainer import Progressive, fade
from safetensors.torch import load_file

import ganzoo
from ganzoo.data import load_data
from ganzoo.errors import CompatibilityError, ConfigError, DataError, InputError, TrainingError
from ganzoo.hookspecs import hookimpl
from ganzoo.loading import Located
from ganzoo.training import Recipe, find_recipe, plan, train
from ganzoo.training.observers import Observers
from ganzoo.training.trainer import Setup

TINY = {"fmap_base": 64, "fmap_max": 8}


def recipe(**changes: Any) -> Recipe:
    """4x4 in steps 0 to 4, 8x8 from 5 (faded in by 10), 16x16 from 15 (by 20), 30 steps in all."""
    document: dict[str, Any] = {
        "name": "progan.shapes",
        "data": {"source": "shapes?n=96&size=16&channels=1"},
        "generator": {"part": "progan", "z_dim": 8, **TINY},
        "discriminator": {"part": "progan", **TINY},
        "trainer": {"part": "progressive", "fade_kimg": 0.04, "stable_kimg": 0.04},
        "optimizer": {
            "generator": {"lr": 1e-3, "betas": [0.0, 0.99]},
            "discriminator": {"lr": 1e-3, "betas": [0.0, 0.99]},
        },
        "ema": {"decay": 0.9},
        "batch": 8,
        "kimg": 0.24,
        "seed": 3,
        "every": {"log": 1, "checkpoint": 5, "grid": 0},
    }
    return Recipe.from_dict({**document, **changes})


def growing(**settings: Any) -> dict[str, Any]:
    """The trainer's table, changed."""
    return {"part": "progressive", "fade_kimg": 0.04, "stable_kimg": 0.04, **settings}


RICH: dict[str, Any] = {
    "precision": "bf16",
    "accumulation": 2,
    "trainer": growing(batch={"4": 12, "16": 4}, lr={"16": 5e-4}),
    "ema": {"half_life_kimg": 0.05, "rampup": 0.3},
}
"""What a resume has to keep, in one recipe: 4x4 in 4 steps of 12, 8x8 in 10 of 8, 16x16 of 4."""


def make(r: Recipe, init: Located | None = None) -> Progressive:
    data = load_data(r.data.source, resolution=r.data.resolution)
    resolved = r.resolve(data.image_shape, data.num_classes)
    setup = Setup(resolved, data, Path(), Accelerator(cpu=True), Observers(), init)
    return Progressive(resolved.config("trainer"), setup)


def state_bytes(run: Path) -> bytes:
    return (max((run / "checkpoints").iterdir()) / "state.safetensors").read_bytes()


# -- the schedule ----------------------------------------------------------------------------------


def test_the_schedule_is_the_one_of_the_authors_code() -> None:
    """lod falls from 8 to 0; stages start at 0, 600, 1800, 3000, … thousand images."""
    r = find_recipe("progan.celeba-hq.paper")
    config = r.resolve((3, 1024, 1024), 0).config("trainer")
    schedule = Schedule.of(config, (3, 1024, 1024), r.batch)
    batches = {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4, 1024: 4}
    assert {s.resolution: s.batch for s in schedule.stages} == batches
    for number, stage in enumerate(schedule.stages):
        expected = max(0, 1_200_000 * number - 600_000)
        assert expected <= stage.first_image < expected + 128 * 9  # stages end with whole steps
        assert schedule.lod(stage.first_step) == 8 if number == 0 else stage.lod + 1
        middle = stage.step_at(stage.first_image + stage.fade // 2)
        assert schedule.lod(middle) == pytest.approx(stage.lod + 0.5 * (number > 0), abs=1e-3)
        assert schedule.lod(stage.step_at(stage.first_image + stage.fade)) == stage.lod
    assert schedule.grown == pytest.approx(600_000 + 7 * 1_200_000 + 600_000, abs=128 * 9)
    assert schedule.lod(schedule.total_steps(12_000_000)) == 0


@pytest.mark.parametrize("n_critic", [1, 3])
@pytest.mark.parametrize("fade_kimg", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("stable_kimg", [0.0, 0.07])
def test_the_closed_forms_are_those_of_a_loop(
    n_critic: int, fade_kimg: float, stable_kimg: float
) -> None:
    config = ProgressiveConfig(
        n_critic=n_critic, fade_kimg=fade_kimg, stable_kimg=stable_kimg, batch={"8": 7, "32": 3}
    )
    schedule = Schedule.of(config, (1, 32, 32), 10)
    resolution, lod, shown, images, step = 4, 3.0, 0, 0, 0
    fade_images, stable_images = 1000 * fade_kimg, 1000 * stable_kimg
    length = stable_images  # of the stage; the first is not faded in
    while step < 300:
        while shown >= length and resolution < 32:
            resolution, shown, length = resolution * 2, 0, fade_images + stable_images
        level = {4: 3, 8: 2, 16: 1, 32: 0}[resolution]
        faded = min(1.0, shown / fade_images) if fade_images and level < 3 else 1.0
        lod = level + 1 - faded
        assert schedule.stage(step).resolution == resolution
        assert schedule.stage(step).batch == {8: 7, 32: 3}.get(resolution, 10)
        assert schedule.lod(step) == pytest.approx(lod, abs=1e-12)
        assert schedule.images_at(step) == images
        shown += schedule.stage(step).batch * n_critic
        images += schedule.stage(step).batch * n_critic
        step += 1
    assert schedule.images_at(schedule.total_steps(images)) == images
    assert schedule.total_steps(images - 1) == step


def test_the_run_is_as_long_as_the_recipe_says() -> None:
    trainer = make(recipe(**RICH))
    assert [(s.resolution, s.first_step, s.first_image) for s in trainer.schedule.stages] == [
        (4, 0, 0),
        (8, 4, 48),
        (16, 14, 128),
    ]
    assert trainer.total_steps == 14 + (240 - 128) // 4
    assert trainer.stretches() == [range(0, 4), range(4, 14), range(14, 42)]
    trainer.step = 42
    assert trainer.images == 240 and trainer.lod == 0


# -- a step ----------------------------------------------------------------------------------------


def shrunk(x: np.ndarray, factor: int) -> np.ndarray:
    """Each square of pixels by its mean."""
    out = np.empty_like(x)
    for i in range(0, x.shape[2], factor):
        for j in range(0, x.shape[3], factor):
            square = x[:, :, i : i + factor, j : j + factor]
            out[:, :, i : i + factor, j : j + factor] = square.mean(axis=(2, 3), keepdims=True)
    return out


@pytest.mark.parametrize("lod", [0, 0.3, 1, 1.75, 2])
def test_real_images_are_faded(lod: float) -> None:
    x = torch.randn(2, 3, 16, 16)
    whole, share = int(lod), lod - int(lod)
    high, low = (shrunk(x.numpy(), 2**level) for level in (whole, whole + 1))
    np.testing.assert_allclose(fade(x, lod), (1 - share) * high + share * low, atol=1e-6)


def test_everything_in_a_step_is_at_one_lod() -> None:
    trainer = make(recipe(precision="bf16"))
    trainer.step = 17  # 16 images into the fade of 16x16
    assert trainer.lod == pytest.approx(1 - 16 / 40)
    (step,) = trainer._steps("discriminator", 0)
    pixels, _ = trainer.data.batch(trainer.order.indices(8 * 17, 8))
    assert torch.equal(step.real, fade(pixels.float() / 127.5 - 1, trainer.lod))
    exact = trainer.D(step.real, lod=trainer.lod)
    assert torch.equal(step.D_plain(step.real, None), exact)
    with torch.autocast("cpu", torch.bfloat16):
        scores = trainer.D(step.real, lod=trainer.lod)
        made = trainer.G(step.z, lod=trainer.lod)
        others = trainer.D(step.real), trainer.G(step.z)
    assert torch.equal(step.D(step.real, None), scores.float())
    assert torch.equal(step.fake, made.float())
    assert not torch.equal(others[0], scores) and not torch.equal(others[1], made)


def test_layers_that_are_not_in_use_are_passed_over() -> None:
    trainer = make(recipe())
    before = {name: p.detach().clone() for name, p in trainer.G.named_parameters()}
    for _ in range(5):  # all of 4x4
        trainer.train_step()
        trainer.step += 1
    for name, parameter in trainer.G.named_parameters():
        in_use = name.startswith(("blocks.0.", "to_rgb.0."))
        assert torch.equal(parameter, before[name]) == (not in_use), name
        assert bool(trainer.optimizers["generator"].state.get(parameter)) == in_use, name
        average = trainer.ema.get_parameter(name)
        assert in_use or torch.equal(average, before[name]), name


def test_moments_are_reset_at_a_new_resolution_and_the_average_is_kept() -> None:
    trainer = make(recipe())
    trainer.step = 4
    trainer.train_step()
    trainer.step = 5  # the first of 8x8
    moments = {role: o.state for role, o in trainer.optimizers.items()}
    assert all(moments.values())
    average = [p.clone() for p in trainer.ema.parameters()]
    trainer.train_step()
    for role, state in moments.items():
        assert {int(s["step"]) for s in state.values()} == {1}, role
    for now, old, new in zip(
        trainer.ema.parameters(), average, trainer.G.parameters(), strict=True
    ):
        torch.testing.assert_close(now, 0.9 * old + 0.1 * new, rtol=1e-5, atol=1e-6)
    trainer.step = 6
    trainer.train_step()
    counts = {int(s["step"]) for s in moments["generator"].values()}
    assert counts == {1, 2}  # 8x8's own layers have had one step: at lod 2 they had no part


def test_the_tables_set_batch_and_rate() -> None:
    trainer = make(recipe(**RICH))
    for step, batch, rate in ((0, 12, 1e-3), (5, 8, 1e-3), (20, 4, 5e-4)):
        trainer.step = step
        steps = trainer._steps("discriminator", 0)
        assert [len(s.real) for s in steps] == [batch // 2] * 2
        trainer.train_step()
        assert trainer.optimizers["generator"].param_groups[0]["lr"] == rate
        half_life = min(50, max(trainer.images, 1) * 0.3)
        assert trainer._ema_decay() == pytest.approx(0.5 ** (batch / half_life))


def test_images_go_on_through_all_batch_sizes() -> None:
    """Every image of an epoch is shown once, whatever the batches."""
    trainer = make(recipe(**RICH))
    seen: list[int] = []
    while trainer.images < 96:
        indices = trainer.order.indices(trainer.images, trainer.batch)
        seen += indices.tolist()
        trainer.step += 1
    assert sorted(seen) == list(range(96))


class Mixing(Generator):
    """Training-only behaviour of its own, as StyleGAN's mixing."""

    lods: list[float] = []  # noqa: RUF012

    def train_forward(self, z: Any, labels: Any, rng: Any, *, lod: float = 0.0) -> torch.Tensor:
        self.lods.append(lod)
        return self(z + rng.normal(*z.shape), labels, lod=lod)


def test_a_generator_with_its_own_train_forward_gets_the_lod() -> None:
    trainer = make(recipe())
    trainer.G.__class__ = Mixing
    trainer.step = 7
    trainer.train_step()
    assert Mixing.lods == [trainer.lod] and 1 < trainer.lod < 2


# -- runs ------------------------------------------------------------------------------------------


def test_grids_show_the_current_lod_and_the_model_the_full_one(tmp_path: Path) -> None:
    lods: list[float] = []

    class Watch:
        @hookimpl
        def ganzoo_step_end(self, trainer: Any, step: int, logs: Mapping[str, float]) -> None:
            assert logs["lod"] == trainer.lod
            lods.append(trainer.lod)

    run = train(
        recipe(every={"log": 5, "checkpoint": 30, "grid": 5}), tmp_path / "run", observers=[Watch()]
    )
    assert lods == [2, 1, 1, 0, 0, 0]  # at step 5, 8x8 has no weight yet
    from PIL import Image

    for step, size in ((0, 4), (5, 4), (10, 8)):
        grid = np.asarray(Image.open(run / "grids" / f"{step:09d}.png").convert("L"))
        squares = grid[-16:, -16:].reshape(size, 16 // size, size, 16 // size)  # of the last image
        assert not np.ptp(squares, axis=(1, 3)).any() and np.ptp(squares) > 0, step
    G = ganzoo.load(run)
    assert torch.equal(torch.Tensor(G.sample(2)), torch.Tensor(G.sample(2, lod=0)))
    record = json.loads((run / "model" / "training.json").read_text())
    assert record["images"] == 240 and record["steps"] == 30


@pytest.mark.parametrize("stop", [3, 7, 15, 17])
def test_a_stopped_run_goes_on_exactly(stop: int, tmp_path: Path) -> None:
    """In 4x4, amid a fade, at the very step of a new resolution and after it."""
    whole = train(recipe(**RICH), tmp_path / "whole", steps=24, device="cpu")
    run = tmp_path / "run"
    train(recipe(**RICH), run, steps=stop, device="cpu")
    train(recipe(**RICH), run, steps=24 - stop, resume=True, device="cpu")
    assert state_bytes(run) == state_bytes(whole)
    for file in ("model.safetensors", "discriminator.safetensors", "samples.png"):
        assert (run / "model" / file).read_bytes() == (whole / "model" / file).read_bytes()


SCRIPT = """
import json, os, sys
import torch
torch.set_num_threads(1)
from ganzoo.hookspecs import hookimpl
from ganzoo.training import Recipe, train

class Killer:
    @hookimpl
    def ganzoo_step_end(self, trainer, step, logs):
        if step == int(sys.argv[3]):
            assert 0 < trainer.lod < 1
            os.kill(os.getpid(), 9)

recipe = Recipe.from_dict(json.loads(sys.argv[1]))
train(recipe, sys.argv[2], device="cpu", observers=[Killer()])
"""


def run_script(*arguments: str, launch: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(launch or (sys.executable, "-c", SCRIPT)), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_run_killed_amid_a_fade_goes_on_exactly(tmp_path: Path) -> None:
    whole = train(recipe(**RICH), tmp_path / "whole", device="cpu")
    run = tmp_path / "run"
    document = json.dumps(recipe(**RICH).to_dict())
    killed = run_script(document, str(run), "18")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert max((run / "checkpoints").iterdir()).name == "000000015"
    train(recipe(**RICH), run, resume=True, device="cpu")
    assert state_bytes(run) == state_bytes(whole)
    assert (run / "log.jsonl").read_text().count("\n") == 42


def two_processes(r: Recipe, folder: Path) -> Path:
    script, run = folder / "two.py", folder / "two"
    script.write_text(SCRIPT)
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    done = run_script(str(script), json.dumps(r.to_dict()), str(run), "-1", launch=launcher)
    assert done.returncode == 0, done.stderr[-10_000:]
    record = json.loads((run / "model" / "training.json").read_text())
    assert record["hardware"]["processes"] == 2
    return run


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """With the minibatch statistic off, whose groups are those of a process."""
    r = recipe(discriminator={"part": "progan", "group_size": 1, **TINY})
    one = train(r, tmp_path / "one", device="cpu")
    two = two_processes(r, tmp_path)
    ours = load_file(one / "checkpoints/000000030/state.safetensors")
    theirs = load_file(two / "checkpoints/000000030/state.safetensors")
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        if name.startswith(("G.", "D.", "ema.")):
            torch.testing.assert_close(theirs[name], tensor, rtol=1e-4, atol=1e-4, msg=name)


def test_two_processes_run_with_groups_of_their_own(tmp_path: Path) -> None:
    r = recipe(**{**RICH, "loss": {"part": "wgan-gp", "drift": 0.001}})
    tensors = load_file(two_processes(r, tmp_path) / "checkpoints/000000042/state.safetensors")
    assert all(bool(t.isfinite().all()) for t in tensors.values())


def test_the_papers_loss_trains_every_layer(tmp_path: Path) -> None:
    r = recipe(loss={"part": "wgan-gp", "gradient_penalty": 10, "drift": 0.001})
    trainer = make(r)
    before = copy.deepcopy(trainer.G.state_dict())
    trainer.fit = None  # type: ignore[method-assign,assignment]
    while trainer.step < trainer.total_steps:
        trainer.train_step()
        trainer.step += 1
    assert all(np.isfinite(v) for v in trainer.collect_logs().values())
    for name, tensor in trainer.G.state_dict().items():
        assert not torch.equal(tensor, before[name]), name


def test_networks_train_on_at_their_full_resolution(tmp_path: Path) -> None:
    first = train(recipe(), tmp_path / "first", device="cpu")
    with pytest.raises(InputError, match=r"grown already: .*start_resolution=16"):
        train(recipe(), tmp_path / "again", init=first, device="cpu")
    assert not (tmp_path / "again").exists()
    on = make(recipe(trainer=growing(start_resolution=16), seed=4), init=Located(first / "model"))
    assert [s.resolution for s in on.schedule.stages] == [16]
    assert on.lod == 0 and on.total_steps == 30
    stored = ganzoo.load(first).state_dict()
    assert all(torch.equal(stored[k], v) for k, v in on.G.state_dict().items())


def test_a_dry_run_measures_every_resolution() -> None:
    report = plan(recipe(), device="cpu")
    assert report["steps"] == 30
    assert report["images_per_second"] == pytest.approx(240 / report["eta_seconds"])


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("trainer.fade_kimg=0.02", r"trainer\.fade_kimg was 0\.04, now 0\.02"),
        ("trainer.stable_kimg=0.02", r"trainer\.stable_kimg was"),
        ("trainer.start_resolution=8", r"trainer\.start_resolution was 4, now 8"),
        ("trainer.batch.8=4", r"trainer\.batch\.8 was None, now 4"),
        ("data.resolution=8", r"data\.resolution was None, now 8"),
    ],
)
def test_another_schedule_or_resolution_does_not_resume(
    change: str, named: str, tmp_path: Path
) -> None:
    run = train(recipe(), tmp_path / "run", steps=2, device="cpu")
    with pytest.raises(TrainingError, match=named):
        train(recipe(), run, settings=[change], resume=True, device="cpu")


def test_a_table_that_lost_an_entry_does_not_resume(tmp_path: Path) -> None:
    run = train(recipe(trainer=growing(batch={"8": 4})), tmp_path / "run", steps=2, device="cpu")
    with pytest.raises(TrainingError, match="of another recipe"):
        train(recipe(), run, resume=True, device="cpu")


def test_a_longer_run_goes_on(tmp_path: Path) -> None:
    run = train(recipe(), tmp_path / "run", device="cpu")
    train(recipe(kimg=0.28), run, resume=True, device="cpu")
    assert json.loads((run / "model" / "training.json").read_text())["steps"] == 35


def test_a_run_that_ends_before_it_is_grown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends before 16x16 is reached, at 0\.16: --set kimg="):
        train(recipe(kimg=0.159), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_batches_that_cannot_be_split_are_named_together() -> None:
    r = recipe(accumulation=4, trainer=growing(batch={"4": 10, "16": 6}))
    with pytest.raises(
        InputError,
        match=r"batch 10 and 6 is not divisible by 1 processes x accumulation 4: "
        r"--set trainer\.batch\.4=8 --set trainer\.batch\.16=4",
    ):
        make(r)


def test_data_smaller_than_a_batch_are_refused() -> None:
    with pytest.raises(DataError, match=r"96 images, fewer than a batch of 128.*batch\.8=96"):
        make(recipe(trainer=growing(batch={"8": 128})))


def test_a_start_that_does_not_double_to_the_full_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="32x32 does not become 16x16 by doubling"):
        make(recipe(trainer=growing(start_resolution=32)))
    with pytest.raises(ConfigError, match="16x16 does not become 24x24 by doubling"):
        Schedule.of(ProgressiveConfig(start_resolution=16), (3, 24, 24), 8)


@pytest.mark.parametrize("start", [-4, 0, 1, 2, 3, 6, 12])
def test_a_start_that_is_no_power_of_two_from_4_on_is_refused(start: int) -> None:
    with pytest.raises(ConfigError, match=rf"trainer\.progressive\.start_resolution = {start} is no"
                       r" power of two from 4 on: use 4, 8, 16"):  # fmt: skip
        make(recipe(trainer=growing(start_resolution=start)))


@pytest.mark.parametrize(
    ("settings", "named", "kept"),
    [
        ({"batch": {"4": 16, "32": 4, "12": 4}}, "batch names 32, 12; .* 4, 8, 16", "{4 = 16}"),
        ({"lr": {"2": 1e-3, "16": 5e-4}}, "lr names 2; .* 4, 8, 16", "{16 = 0.0005}"),
        ({"start_resolution": 8, "batch": {"4": 16}}, "batch names 4; .* 8, 16", "{}"),
    ],
)
def test_a_table_names_only_resolutions_that_occur(
    settings: dict[str, Any], named: str, kept: str
) -> None:
    r = recipe(trainer=growing(**settings))
    with pytest.raises(ConfigError, match=rf"trainer\.{named}: --set") as caught:
        make(r)
    assert "\n" not in str(caught.value)
    (setting,) = re.findall(r"--set '(.*)'", caught.value.remedy)
    assert setting.endswith(kept)
    make(r.with_settings([setting]))


def test_parts_that_do_not_grow_are_refused() -> None:
    r = recipe(generator={"part": "dcgan", "width": 8})
    with pytest.raises(CompatibilityError, match=r"needs the generator 'dcgan' .*generator=progan"):
        make(r)
    r = recipe(discriminator={"part": "dcgan", "width": 8})
    with pytest.raises(CompatibilityError, match=r"needs the discriminator 'dcgan'"):
        make(r)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"batch": {"x": 8}}, r"batch names the resolution 'x'"),
        ({"batch": {"08": 8}}, r"batch names the resolution '08'"),
        ({"batch": {"8": 0}}, r"batch\.8 = 0 is out of range"),
        ({"lr": {"8": -1.0}}, r"lr\.8 = -1\.0 is out of range"),
        ({"lr": {"8": "much"}}, r"lr\.8 = 'much' is of the wrong type"),
        ({"fade_kimg": -1.0}, "fade_kimg = -1.0 is out of range"),
        ({"fade": 3}, "no setting 'fade'"),
    ],
)
def test_impossible_schedules_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make(recipe(trainer=growing(**settings)))


def test_labels_are_learnt_through_an_auxiliary_head_while_it_grows(tmp_path: Path) -> None:
    r = recipe(
        conditional=True,
        loss={"part": "ac"},
        discriminator={"part": "progan", **TINY, "conditioning": "auxiliary", "group_size": 0},
    )
    run = train(r, tmp_path / "run", steps=8, device="cpu")  # into the first fade
    logs = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert logs[-1]["lod"] % 1 and {"D/classes/real", "G/classes", "accuracy/real"} <= set(logs[-1])
    D = ganzoo.load_discriminator(run)
    assert D.outputs(torch.zeros(2, 1, 16, 16)).classes.shape == (2, 4)
    with pytest.raises(CompatibilityError, match=r"does not see labels.*--set loss=ac"):
        dataclasses.replace(r, loss=recipe().loss).resolve((1, 16, 16), 4)
    with pytest.raises(CompatibilityError, match=r"--set discriminator\.conditioning=auxiliary"):
        recipe(conditional=True, loss={"part": "ac"}).resolve((1, 16, 16), 4)


def test_out_of_memory_names_the_batch_of_the_stage(tmp_path: Path) -> None:
    class Hungry:
        @hookimpl
        def ganzoo_step_end(self, trainer: Progressive, step: int, logs: object) -> None:
            if trainer.batch == 6:
                raise torch.OutOfMemoryError("CUDA out of memory")

    grown = recipe(trainer=growing(batch={"8": 6}))
    with pytest.raises(TrainingError, match=r"with batch 6: --set trainer\.batch\.8=3"):
        train(grown, tmp_path / "run", observers=[Hungry()], device="cpu")
