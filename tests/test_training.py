"""The trainer: whose state changes when, averaging, accumulation, guards, run folders."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

import ganzoo
from ganzoo import plugins, provenance
from ganzoo.contact_sheet import contact_sheet
from ganzoo.data import load_data
from ganzoo.errors import ConfigError, DataError, InputError, TrainingError
from ganzoo.hookspecs import hookimpl
from ganzoo.loading import Located
from ganzoo.testing.networks import perturbed
from ganzoo.training import Recipe, plan, train
from ganzoo.training.config import OptimizerConfig
from ganzoo.training.ema import average, with_fresh_statistics
from ganzoo.training.observers import Observers, ProgressLines
from ganzoo.training.optimizers import lazy_correction, make_optimizer, settings_at
from ganzoo.training.order import DataOrder
from ganzoo.training.report import PATIENCE, dry_run
from ganzoo.training.tables import EMAConfig
from ganzoo.training.trainer import Setup, Trainer
from tests.tiny import families, recipe

CPU = "cpu"


def make(r: Recipe, init: Located | None = None) -> Trainer:
    data = load_data(r.data.source)
    resolved = r.resolve(data.image_shape, data.num_classes)
    setup = Setup(resolved, data, Path(), Accelerator(cpu=True), Observers(), init)
    return Trainer(resolved.config("trainer"), setup)


def weights(module: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# -- one step --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("reuse", [True, False])
def test_a_step_is_that_of_a_plain_loop(family: str, reuse: bool) -> None:
    """Three steps equal a loop written with nothing but torch, told the same draws."""
    adam = {"lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-3}  # does not amplify rounding errors
    settings = {
        "trainer": {"part": "alternating", "reuse_fake": reuse},
        "optimizer": dict.fromkeys(("generator", "discriminator"), adam),
    }
    trainer = make(recipe(family, **settings))
    perturbed(trainer.G)  # StyleGAN's first layer normalises a constant, which amplifies them too
    G, D = copy.deepcopy(trainer.G), copy.deepcopy(trainer.D)
    opt_G = torch.optim.Adam(G.parameters(), **adam)
    opt_D = torch.optim.Adam(D.parameters(), **adam)
    bce = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(8), torch.zeros(8)
    for k in range(3):
        pixels, labels = trainer.data.batch(trainer.order.indices(8 * k, 8))
        real = pixels.float() / 127.5 - 1

        def drawn(role: str, network: str, k: int = k) -> tuple[Tensor, Tensor | None]:
            z = trainer._draws(f"z/{role}", k).normal(8, G.z_dim)
            classes = G.num_classes
            of_fakes = trainer._draws(f"labels/{role}", k).integers(8, classes) if classes else None
            # what a network draws in training (noise, styles to mix) is drawn for its own stream
            return G.train_forward(z, of_fakes, trainer._draws(f"G/{network}/0", k)), of_fakes

        fake, fake_labels = drawn("discriminator", "generator" if reuse else "discriminator")
        opt_D.zero_grad()
        of_real = D(real, labels if G.num_classes else None)
        (bce(of_real, ones) + bce(D(fake.detach(), fake_labels), zeros)).backward()
        opt_D.step()
        if not reuse:
            fake, fake_labels = drawn("generator", "generator")
        opt_G.zero_grad()
        bce(D(fake, fake_labels), ones).backward()
        opt_G.step()
        trainer.train_step()
        trainer.step += 1
    for ours, plain in [(trainer.G, G), (trainer.D, D)]:
        for p, q in zip(ours.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_gs_step_leaves_d_as_it_is() -> None:
    """No gradient and no change of D in G's step, and D can be trained again after it."""
    trainer = make(recipe("gan"))
    trainer._update("discriminator", trainer._steps("discriminator", 0))
    before = weights(trainer.D)
    trainer.optimizers["discriminator"].zero_grad(set_to_none=True)
    trainer._update("generator", trainer._steps("generator", 0))
    assert same(before, weights(trainer.D))
    assert all(p.grad is None and p.requires_grad for p in trainer.D.parameters())
    assert all(p.grad is not None for p in trainer.G.parameters())


def test_n_critic_updates_d_that_often() -> None:
    r = recipe("gan", trainer={"part": "alternating", "n_critic": 3})
    trainer = make(r)
    calls = {"generator": 0, "discriminator": 0}
    for role, optimizer in trainer.optimizers.items():
        optimizer.register_step_post_hook(
            lambda *_, role=role: calls.__setitem__(role, calls[role] + 1)
        )
    seen = [step.real for i in range(3) for step in trainer._steps("discriminator", i)]
    trainer.train_step()
    assert calls == {"generator": 1, "discriminator": 3}
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])
    assert trainer.images_per_step == 24


def test_accumulation_gives_the_gradient_of_the_whole_batch() -> None:
    whole = make(recipe("gan", trainer={"part": "alternating", "reuse_fake": False}))
    split = make(recipe("gan", accumulation=4))
    for trainer in (whole, split):
        trainer.train_step()
    for p, q in zip(whole.G.parameters(), split.G.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_dropout_draws_are_keyed_by_the_step(tmp_path: Path) -> None:
    r = recipe("gan").with_settings(["discriminator.dropout=0.5"])
    torch.manual_seed(1)
    first = train(r, tmp_path / "a", steps=3, device=CPU)
    torch.manual_seed(2)
    second = train(r, tmp_path / "b", steps=3, device=CPU)
    assert state_bytes(first) == state_bytes(second)


def test_training_leaves_the_global_random_state(tmp_path: Path) -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    train(recipe("dcgan"), tmp_path / "run", steps=2, device=CPU)
    assert torch.equal(before, torch.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()


# -- averaging -------------------------------------------------------------------------------------


def test_ema_is_the_closed_form_and_copies_buffers() -> None:
    net = nn.BatchNorm1d(3)
    ema = copy.deepcopy(net)
    expected = net.weight.detach().double().clone()
    for k in range(5):
        with torch.no_grad():
            net.weight.fill_(k + 2.0)
            net.running_mean.fill_(k)
        average(ema, net, 0.8)
        expected = 0.8 * expected + 0.2 * (k + 2.0)
    torch.testing.assert_close(ema.weight.double(), expected, rtol=1e-6, atol=0)
    assert torch.equal(ema.running_mean, net.running_mean)


def test_ema_decay_follows_half_life_and_rampup() -> None:
    trainer = make(recipe("gan", ema={"half_life_kimg": 0.08}))
    assert trainer._ema_decay() == pytest.approx(0.5 ** (8 / 80))
    trainer = make(recipe("gan", ema={"half_life_kimg": 0.08, "rampup": 0.1}))
    trainer.step = 10  # 80 images seen: the half-life is 8
    assert trainer._ema_decay() == pytest.approx(0.5)
    trainer.step = 10**6
    assert trainer._ema_decay() == pytest.approx(0.5 ** (8 / 80))
    assert make(recipe("gan", ema={"decay": 0.999}))._ema_decay() == 0.999


def test_published_batch_statistics_are_those_of_the_averaged_weights() -> None:
    """Measured with fixed z: the mean of the first batch norm's input over the seeds' images."""
    trainer = make(recipe("dcgan"))
    for _ in range(3):
        trainer.train_step()
        trainer.step += 1
    fresh = trainer.averaged()
    conv, norm = fresh.layers[0], fresh.layers[1]
    z = torch.from_numpy(ganzoo.rng.latents(range(4096), fresh.z_dim))
    with torch.no_grad():
        x = conv(z[:, :, None, None])
    torch.testing.assert_close(norm.running_mean, x.mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
    assert not torch.equal(norm.running_mean, trainer.ema.layers[1].running_mean)
    assert torch.equal(with_fresh_statistics(fresh).layers[1].running_var, norm.running_var)
    assert not fresh.training


# -- order, optimisers -----------------------------------------------------------------------------


def test_every_epoch_shows_every_image_once() -> None:
    order = DataOrder(seed=1, size=10)
    epochs = order.indices(0, 30).reshape(3, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3
    np.testing.assert_array_equal(order.indices(7, 6), order.indices(0, 30)[7:13])


def test_lazy_terms_correct_adam() -> None:
    """Karras et al. 2020: c = k / (k + 1) scales the rate, and the betas become beta^c."""
    assert lazy_correction({"r1": 16}) == pytest.approx(16 / 17)
    config = OptimizerConfig(lr=1e-3, betas=(0.5, 0.99))
    parameter = nn.Parameter(torch.zeros(1))
    (group,) = make_optimizer([parameter], config, lazy={"r1": 16}).param_groups
    assert group["betas"] == pytest.approx((0.5 ** (16 / 17), 0.99 ** (16 / 17)))
    assert settings_at(config, 300, 1.0, {"r1": 16}) == {"lr": pytest.approx(1e-3 * 16 / 17)}


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("constant", [1, 1, 1]), ("linear", [1, 0.5, 0]), ("cosine", [1, 0.5, 0])],
)
def test_schedules_are_closed_forms(schedule: Any, rates: list[float]) -> None:
    config = OptimizerConfig(lr=1.0, schedule=schedule)
    assert [settings_at(config, n, 2.0, {})["lr"] for n in (0, 1000, 2000)] == pytest.approx(rates)


def test_a_schedule_has_a_goal_and_a_length_of_its_own() -> None:
    """Half a cosine from 1 to 0.2 in 4 kimg, a quarter of the way: 0.2 + 0.8 (1 + cos 45°) / 2."""
    config = OptimizerConfig(
        lr=1.0, final_lr=0.2, betas=(0.0, 0.9), final_betas=(0.0, 0.98),
        schedule="cosine", schedule_kimg=4.0,
    )  # fmt: skip
    part = (1 + math.sqrt(0.5)) / 2
    assert settings_at(config, 1000, 100.0, {}) == {
        "lr": pytest.approx(0.2 + 0.8 * part),
        "betas": pytest.approx((0.0, 0.98 - 0.08 * part)),
    }
    for images in (4000, 50_000):
        settings = settings_at(config, images, 100.0, {})
        assert settings == {"lr": pytest.approx(0.2), "betas": pytest.approx((0.0, 0.98))}
    lazy = settings_at(config, 4000, 100.0, {"r1": 1})  # c = 1/2
    assert lazy == {"lr": pytest.approx(0.1), "betas": pytest.approx((0.0, math.sqrt(0.98)))}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"final_lr": 1e-4}, "set schedule to"),
        ({"schedule_kimg": 5.0}, "set schedule to"),
        ({"final_betas": (0.0, 0.99)}, "set schedule to"),
        ({"final_betas": (0.0, 1.0), "schedule": "linear"}, "final_betas = 1.0 is out of range"),
        ({"final_betas": (0.0, 0.9), "schedule": "linear", "name": "sgd"}, "are Adam's"),
        ({"schedule_kimg": 0.0, "schedule": "linear"}, "schedule_kimg = 0.0 is out of range"),
    ],
)
def test_impossible_schedules_of_an_optimiser_are_refused(settings: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        OptimizerConfig(**settings)


def test_scheduled_betas_reach_adam_and_resume_exactly(tmp_path: Path) -> None:
    scheduled = {
        "lr": 1e-3, "betas": [0.0, 0.9], "final_lr": 1e-4, "final_betas": [0.0, 0.99],
        "schedule": "cosine", "schedule_kimg": 0.04,
    }  # fmt: skip
    r = recipe("gan", optimizer={"generator": scheduled, "discriminator": scheduled})
    trainer = make(r)
    for betas in ((0.0, 0.9), (0.0, 0.99)):
        trainer.train_step()
        (group,) = trainer.optimizers["generator"].param_groups
        assert group["betas"] == pytest.approx(betas)
        trainer.step = 5  # 40 images of 8 a step
    train(r, tmp_path / "a", steps=6, device=CPU)
    train(r, tmp_path / "b", steps=3, device=CPU)
    train(r, tmp_path / "b", steps=3, device=CPU, resume=True)
    assert state_bytes(tmp_path / "a") == state_bytes(tmp_path / "b")
    # its rates do not follow the length, so that a longer run goes on
    train(replace(r, kimg=0.5), tmp_path / "b", steps=1, device=CPU, resume=True)


def test_a_step_says_how_many_images_there_were() -> None:
    trainer = make(recipe("gan", trainer={"part": "alternating", "n_critic": 2}))
    trainer.step = 3
    seen = [trainer._steps(role, 0)[0].images for role in ("discriminator", "generator")]
    assert seen == [48, 48]  # 3 iterations of 2 updates on 8


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd"])
def test_every_optimiser_trains_and_resumes(name: str, tmp_path: Path) -> None:
    change = [f"optimizer.{role}.name={name}" for role in ("generator", "discriminator")]
    r = recipe("gan").with_settings(change)
    train(r, tmp_path / "a", steps=4, device=CPU)
    train(r, tmp_path / "b", steps=2, device=CPU)
    train(r, tmp_path / "b", steps=2, device=CPU, resume=True)
    assert state_bytes(tmp_path / "a") == state_bytes(tmp_path / "b")


def state_bytes(run: Path) -> bytes:
    newest = max((run / "checkpoints").iterdir())
    return (newest / "state.safetensors").read_bytes()


# -- guards ----------------------------------------------------------------------------------------


def test_divergence_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    class Poison:
        @hookimpl
        def ganzoo_step_end(self, trainer: Trainer, step: int, logs: Mapping[str, float]) -> None:
            if step == 6:
                next(trainer.G.parameters()).data.fill_(float("nan"))

    run = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"diverged before step 8.*000000005 is the last good"):
        train(recipe("gan"), run, observers=[Poison()])
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["000000005"]
    assert ganzoo.load(run).sample(2).isfinite().all()
    assert train(recipe("gan"), run, resume=True) == run


def test_out_of_memory_names_a_batch_size(tmp_path: Path) -> None:
    class Hungry:
        @hookimpl
        def ganzoo_train_start(self, trainer: Trainer) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match=r"out of memory with batch 8: --set batch=4"):
        train(recipe("gan"), tmp_path / "run", observers=[Hungry()])


def test_data_smaller_than_a_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 images, fewer than a batch of 8: --set batch=4"):
        train(recipe("gan"), tmp_path / "run", data="shapes?n=4&size=8&channels=1")


@pytest.mark.parametrize("settings", [["batch=1"], ["accumulation=8"]])
def test_a_batch_norm_of_vectors_needs_two_images(tmp_path: Path, settings: list[str]) -> None:
    with pytest.raises(InputError, match=r"of a single image: --set batch=(2|16) or more"):
        train(recipe("cgan-mlp"), tmp_path / "run", settings=[*settings, "generator.norm=batch"])
    assert not (tmp_path / "run").exists()


def test_impossible_devices_and_accumulations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no device is called 'gpu'"):
        train(recipe("gan"), tmp_path / "run", device="gpu")
    with pytest.raises(ganzoo.GanzooError, match="batch 8 is not divisible by accumulation 3"):
        recipe("gan", accumulation=3)


def test_a_device_of_one_process_is_refused_by_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would train one by one, into one folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr("accelerate.Accelerator", lambda **how: SimpleNamespace(num_processes=1))
    with pytest.raises(InputError, match="mps is of one process, not of 2: use --device cpu"):
        train(recipe("gan"), tmp_path / "run", device="mps")


def test_an_installed_observer_that_fails_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import types

    module = types.ModuleType("failing")
    module.ganzoo_step_end = hookimpl(_fail)  # type: ignore[attr-defined]
    loaded = plugins.load()
    plugin = loaded.add(module, name="failing", distribution="ganzoo-failing", version="1")
    try:
        train(recipe("gan"), tmp_path / "run", steps=4)
    finally:
        loaded.found.remove(plugin)
        loaded.manager.unregister(module)
    said = capsys.readouterr().err
    assert said.count("plugin 'failing' failed in ganzoo_step_end") == 1
    assert "RuntimeError: mine" in said


def _fail(trainer: Trainer, step: int, logs: Mapping[str, float]) -> None:
    raise RuntimeError("mine")


# -- mixing, precision, starting from a model ------------------------------------------------------


def test_parts_of_different_plugins_train_together(tmp_path: Path) -> None:
    r = recipe("dcgan").with_settings(["discriminator=gan", "loss=hinge", "batch=4"])
    run = train(r, tmp_path / "run", steps=2)
    assert ganzoo.load_discriminator(run).part.name == "gan"  # type: ignore[union-attr]


def test_a_conditional_family_takes_the_classes_of_the_data(tmp_path: Path) -> None:
    run = train(recipe("dcgan", conditional=True), tmp_path / "run", steps=2)
    G = ganzoo.load(run)
    assert G.num_classes == 4
    assert G.sample(6, seed=2).labels == [2, 3, 0, 1, 2, 3]
    a, b = G.sample(2, seeds=[0, 0], labels=[0, 1])
    assert not torch.equal(a, b)


def test_grids_of_a_conditional_run_have_a_row_for_each_class(tmp_path: Path) -> None:
    every = {"log": 2, "checkpoint": 0, "grid": 2}
    run = train(recipe("dcgan", conditional=True, every=every), tmp_path / "run", steps=2)
    grid = run / "grids" / "000000002.png"
    record = provenance.read_record(grid)
    assert record is not None and record["class_grid"] is True
    assert (record["seeds"], record["labels"]) == ("0-7", "0-3")
    wanted = [(seed, label) for label in range(4) for seed in range(8)]
    seeds, labels = zip(*wanted, strict=True)
    images = ganzoo.load(run).sample(seeds=seeds, labels=labels)
    sheet = contact_sheet(images.to_uint8(), columns=8)
    with Image.open(grid) as picture:
        found = np.asarray(picture).reshape(sheet.shape)
    assert np.abs(found.astype(int) - sheet.astype(int)).max() <= 1


def test_bf16_trains_with_float32_weights(tmp_path: Path) -> None:
    run = train(recipe("dcgan", precision="bf16"), tmp_path / "a", steps=4)
    tensors = load_file(max((run / "checkpoints").iterdir()) / "state.safetensors")
    assert {t.dtype for n, t in tensors.items() if n.startswith(("G.", "opt."))} <= {
        torch.float32,
        torch.int64,
    }
    plain = train(recipe("dcgan"), tmp_path / "b", steps=4)
    ours, theirs = ganzoo.load(run).sample(4), ganzoo.load(plain).sample(4)
    assert not torch.equal(ours, theirs)
    torch.testing.assert_close(torch.Tensor(ours), torch.Tensor(theirs), rtol=0, atol=0.05)


def test_init_starts_from_a_models_networks(tmp_path: Path) -> None:
    first = train(recipe("gan"), tmp_path / "first", steps=4)
    started = make(recipe("gan", seed=9), init=Located(first / "model"))
    assert same(weights(started.G), weights(ganzoo.load(first)))
    assert same(weights(started.D), weights(ganzoo.load_discriminator(first)))
    assert same(weights(started.G), weights(started.ema))
    with pytest.raises(InputError, match="another generator than the recipe"):
        train(recipe("dcgan"), tmp_path / "third", init=first)


def test_incompatible_parts_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"generator.image_shape is \[1, 16, 16\], images of 'shapes"
    ):
        train(recipe("gan"), tmp_path / "run", settings=["generator.image_shape=[1,16,16]"])
    with pytest.raises(ConfigError, match=r"generator.num_classes is 4, the recipe is not cond"):
        train(recipe("gan"), tmp_path / "run", settings=["generator.num_classes=4"])
    with pytest.raises(DataError, match=r"generator.num_classes is 5, 'shapes.* has 4 classes"):
        train(
            recipe("gan", conditional=True),
            tmp_path / "run",
            settings=["generator.num_classes=5", "discriminator.num_classes=5"],
        )
    assert not (tmp_path / "run").exists()


def test_plan_measures_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = plan(recipe("dcgan"), device=CPU)
    assert report["steps"] == 20 and report["images_per_second"] > 0
    assert report["eta_seconds"] == pytest.approx(20 * report["seconds_per_step"])
    assert report["parameters"]["generator"] == sum(
        p.numel() for p in make(recipe("dcgan")).G.parameters()
    )
    assert report["memory_bytes"] > 1_000_000
    assert list(tmp_path.iterdir()) == []


def test_a_plan_without_data_asks_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr("ganzoo.data.named._downloading", refuse)
    monkeypatch.delenv("GANZOO_DATA", raising=False)
    of_cifar = {"source": "cifar10", "resolution": 16, "channels": 1}
    report = plan(recipe("dcgan", data=of_cifar), device=CPU)
    said = "noise in its place: cifar10 is not in GANZOO_DATA (which is not set) and not in "
    assert report["data"]["source"] == "cifar10"
    assert report["data"]["absent"].startswith(said)
    of_the_hub = {"source": "hf:someone/cats", "resolution": 16, "channels": 1}
    report = plan(recipe("dcgan", data=of_the_hub), device=CPU)
    assert report["data"]["absent"] == "noise in its place: hf:someone/cats is on the Hub"


def test_a_plan_does_not_hide_that_data_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (raw / name).write_bytes(b"no idx file")
    (tmp_path / "a.zip").write_bytes(b"no zip file")
    (tmp_path / "empty").mkdir()
    for source, said in (
        ("mnist", "mnist is damaged"),
        ("zip:a.zip", "cannot be read as a zip file"),
        ("folder:empty", "has no images"),
        ("folder:a.zip", "is no folder"),
    ):
        shape = {"source": source, "resolution": 28, "channels": 1}
        with pytest.raises(DataError, match=said):
            plan(recipe("gan", data=shape), device=CPU)


def test_processes_agree_when_a_dry_run_has_measured_enough() -> None:
    """One whose own first step was fast stops with the others, for which it took long."""

    class Slow(Accelerator):
        def reduce(self, tensor: Tensor, reduction: str = "sum", scale: float = 1.0) -> Tensor:
            return tensor + 2 * PATIENCE if reduction == "mean" and tensor.ndim == 0 else tensor

    trainer = make(recipe("gan"))
    trainer.accelerator = Slow(cpu=True)
    report = dry_run(trainer)
    assert trainer.step == 1
    assert 2 * PATIENCE < report["seconds_per_step"] < 3 * PATIENCE


def test_tensorboard_gets_the_scalars(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(recipe("gan"), tmp_path / "run", steps=4, tensorboard=True)
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("G/fake")] == [2, 4]


def test_tensorboard_shows_a_step_once_after_a_crash(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Crash:
        @hookimpl
        def ganzoo_step_end(self, trainer: Trainer, step: int, logs: Mapping[str, float]) -> None:
            if step == 4:
                raise ZeroDivisionError

    r = recipe("gan", every={"log": 2, "checkpoint": 3, "grid": 0})
    with pytest.raises(ZeroDivisionError):
        train(r, tmp_path / "run", tensorboard=True, observers=[Crash()])
    time.sleep(1.1)  # the next file of events has another name
    run = train(r, tmp_path / "run", steps=3, tensorboard=True, resume=True)
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("G/fake")] == [2, 3, 4, 6]


def test_a_refused_run_leaves_no_tensorboard_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fewer than a batch"):
        train(recipe("gan", batch=128), tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_progress_in_a_log_file_is_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProgressLines, "SECONDS", math.inf)  # the machine may be slow
    train(recipe("gan"), tmp_path / "run", progress=True)
    first, last = [li for li in capsys.readouterr().err.splitlines() if li.startswith("step ")]
    assert first.startswith("step 2/20  ") and "images/s  D/fake" in first and "left" in first
    assert last.startswith("step 20/20  ")


def test_progress_on_a_terminal_is_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    terminal = Console(file=io.StringIO(), force_terminal=True, width=160)
    monkeypatch.setattr("ganzoo.console.stderr", lambda: terminal)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    train(recipe("gan"), tmp_path / "run", progress=True)
    shown = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "20/20" in shown and "images/s" in shown and "D/real" in shown


def test_what_is_known_of_the_data_goes_with_their_source() -> None:
    from ganzoo.training import _configured

    said = {"name": "a", "license": "mit", "credit": "A"}
    known = recipe("gan", data={"source": "zip:a.zip", "resolution": 32, **said})
    assert known.with_settings(["data.source=zip:a.zip"]).data == known.data
    other = known.with_settings(["data.channels=1", "data.source=zip:b.zip", "data.name=b"]).data
    assert (other.source, other.resolution, other.channels) == ("zip:b.zip", 32, 1)
    assert (other.name, other.license, other.credit) == ("b", None, None)
    given = _configured(known, "folder:c", ["data.license=cc0-1.0"]).data
    assert (given.source, given.name, given.license) == ("folder:c", None, "cc0-1.0")
    digest = known.resolve((1, 8, 8), 0).digest()
    assert known.with_settings(["data.credit=B"]).resolve((1, 8, 8), 0).digest() == digest


def test_a_setting_of_the_average_takes_the_place_of_its_alternative() -> None:
    halved = recipe("gan", ema={"half_life_kimg": 1.0, "rampup": 0.05})
    assert halved.with_settings(["ema.decay=0.99"]).ema == EMAConfig(decay=0.99)
    assert halved.with_settings(["ema.half_life_kimg=2.0"]).ema.rampup == 0.05
    again = recipe("gan", ema={"decay": 0.99}).with_settings(["ema.half_life_kimg=2.0"])
    assert again.ema == EMAConfig(half_life_kimg=2.0)
    with pytest.raises(ConfigError, match="exactly one of half_life_kimg and decay"):
        recipe("gan", ema={"half_life_kimg": 1.0, "decay": 0.99})
