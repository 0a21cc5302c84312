"""What a run does for losses with penalties, memory and lazy terms, and for augmentations.

The parts are those of tests/healthy_plugin: its loss has a gradient penalty, a buffer and a lazy
term; its augmentation adapts to D's scores.
"""

from __future__ import annotations

import copy
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ganzoo.errors import TrainingError
from ganzoo.training import Recipe, train
from ganzoo.training.losses import Loss, NonSaturating, Role
from ganzoo.training.step import Step
from tests.test_training import make, state_bytes, weights
from tests.tiny import recipe

pytestmark = pytest.mark.usefixtures("healthy_parts")


def rich(**changes: Any) -> Recipe:
    """Everything that a checkpoint has to hold, in one recipe."""
    settings: dict[str, Any] = {
        "loss": {"part": "healthy"},
        "augmentation": {"part": "healthy", "p": 0.5},
        "trainer": {"part": "alternating", "n_critic": 2},
        "accumulation": 2,
        "precision": "bf16",
        "kimg": 0.192,  # 12 steps of two batches of 8
        "every": {"log": 2, "checkpoint": 3, "grid": 0},
        "optimizer": {
            "generator": {"schedule": "linear"},
            "discriminator": {"schedule": "cosine", "name": "rmsprop", "momentum": 0.3},
        },
    }
    return recipe("gan", **{**settings, **changes})


def test_resume_is_exact_with_every_kind_of_state(tmp_path: Path) -> None:
    whole = train(rich(), tmp_path / "whole", device="cpu")
    run = tmp_path / "run"
    train(rich(), run, device="cpu", steps=5)
    train(rich(), run, device="cpu", resume=True)
    assert state_bytes(run) == state_bytes(whole)
    tensors = load_file(run / "checkpoints" / "000000012" / "state.safetensors")
    assert tensors["loss.mean_score"] != 0 and tensors["augment.p"] != 0.5
    assert "opt.discriminator.layers.0.weight.momentum_buffer" in tensors


def test_a_lazy_term_counts_for_its_interval_and_the_rate_is_corrected() -> None:
    """One update by hand: D <- D - c lr k grad, with k = 2 and c = k / (k + 1)."""
    sgd = {"name": "sgd", "lr": 0.1}
    trainer = make(rich(precision="float32", augmentation=None, accumulation=1,
                        optimizer={"discriminator": sgd, "generator": sgd}))  # fmt: skip
    D = copy.deepcopy(trainer.D)
    steps = trainer._steps("discriminator", 0)
    D(steps[0].real).square().mean().backward()
    trainer._lazy_updates("discriminator", steps, 0)
    for ours, plain in zip(trainer.D.parameters(), D.parameters(), strict=True):
        expected = plain - (2 / 3) * 0.1 * 2 * plain.grad
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7)
    before = weights(trainer.D)
    trainer.step = 1  # not due
    trainer._lazy_updates("discriminator", steps, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(trainer.D), strict=True))


class LazyDraws(NonSaturating):
    """Draws in a lazy term, as a penalty between images does."""

    intervals = MappingProxyType({"discriminator": {"drawn": 1}, "generator": {"drawn": 1}})

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[float] = []

    def lazy_term(self, step: Step, role: Role, name: str) -> torch.Tensor:
        self.drawn.append(step.rng.uniform(1).item())
        return step.D_plain(step.fake, None).square().mean()


def test_a_lazy_term_has_other_draws_in_every_update() -> None:
    trainer = make(rich(accumulation=2, trainer={"part": "alternating", "n_critic": 3}))
    trainer.loss = LazyDraws()
    for _ in range(2):
        trainer.train_step()
        trainer.step += 1
    assert len(set(trainer.loss.drawn)) == len(trainer.loss.drawn) == 2 * (3 + 1) * 2


def test_the_learning_rate_follows_its_schedule() -> None:
    trainer = make(rich(kimg=0.16))  # 10 steps
    for _ in range(6):
        trainer.train_step()
        trainer.step += 1
    (group,) = trainer.optimizers["generator"].param_groups
    assert group["lr"] == pytest.approx(2e-4 * (1 - 5 / 10))


def test_d_sees_augmented_images_and_a_penalty_plain_ones() -> None:
    trainer = make(rich(augmentation={"part": "healthy", "p": 1.0}, accumulation=1))
    (step,) = trainer._steps("discriminator", 0)
    seen: list[torch.Tensor] = []
    trainer.D.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    step.D(step.real)
    step.D_plain(step.real)
    assert torch.equal(seen[0], step.real.flip(3)) and torch.equal(seen[1], step.real)


def test_a_penalty_is_computed_in_float32_in_a_bf16_run() -> None:
    trainer = make(rich(augmentation=None, accumulation=1))
    (step,) = trainer._steps("discriminator", 0)
    exact = trainer.D(step.real)
    assert torch.equal(step.D_plain(step.real), exact)
    assert step.D(step.real).dtype == torch.float32
    assert not torch.equal(step.D(step.real), exact)


def test_ds_step_builds_no_graph_of_g() -> None:
    trainer = make(rich(accumulation=1, trainer={"part": "alternating", "n_critic": 1}))
    (step,) = trainer._steps("discriminator", 0)
    assert not step.fake.requires_grad and not step.G(step.z, None).requires_grad
    trainer.train_step()
    (step,) = trainer._steps("generator", 0)
    assert step.fake.requires_grad
    with torch.no_grad():
        assert not step.G(step.z, None).requires_grad


def test_the_augmentation_adapts_to_ds_scores_of_real_images() -> None:
    trainer = make(rich(accumulation=2))
    scores: list[torch.Tensor] = []
    trainer.augment.after_discriminator_step = (  # type: ignore[union-attr, method-assign]
        lambda real_scores, log: scores.append(real_scores)
    )
    trainer.train_step()
    assert [tuple(s.shape) for s in scores] == [(8,), (8,)]  # one for each update of D


class Twice(NonSaturating):
    """Asks D twice for the scores of the real images, as a consistency term would."""

    def discriminator_terms(self, step: Step) -> dict[str, torch.Tensor]:
        again = step.D(step.real, step.labels).square().mean()
        return {**super().discriminator_terms(step), "again": again}


def test_an_image_counts_once_for_the_augmentation_and_its_log_is_kept() -> None:
    trainer = make(rich(accumulation=2, trainer={"part": "alternating", "n_critic": 1}))
    trainer.loss = Twice()
    counts: list[int] = []

    def adapt(real_scores: torch.Tensor, log: Any) -> None:
        counts.append(len(real_scores))
        log("p", torch.tensor(0.25))

    trainer.augment.after_discriminator_step = adapt  # type: ignore[union-attr, method-assign]
    trainer.train_step()
    assert counts == [8]
    assert trainer.collect_logs()["augment/p"] == 0.25


class Clipping(Loss):
    """Arjovsky et al. 2017, algorithm 1: the critic's weights are clipped after its step."""

    def discriminator_terms(self, step: Step) -> dict[str, torch.Tensor]:
        return {"critic": step.D(step.fake, None).mean() - step.D(step.real, None).mean()}

    def generator_terms(self, step: Step) -> dict[str, torch.Tensor]:
        return {"fake": -step.D(step.fake, None).mean()}

    def after_discriminator_step(self, step: Step, D: nn.Module) -> None:
        with torch.no_grad():
            for parameter in D.parameters():
                parameter.clamp_(-0.01, 0.01)


def test_a_loss_can_clip_ds_weights() -> None:
    trainer = make(recipe("gan"))
    trainer.loss = Clipping()
    assert max(p.abs().max() for p in trainer.D.parameters()) > 0.01
    trainer.train_step()
    assert max(p.abs().max() for p in trainer.D.parameters()) <= 0.01


class Counting(NonSaturating):
    """Remembers what it is asked, in the order of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def generator_terms(self, step: Step) -> dict[str, torch.Tensor]:
        self.asked.append("terms")
        return super().generator_terms(step)

    def after_generator_step(self, step: Step) -> None:
        self.asked.append("after")
        step.log("told", torch.tensor(float(step.index)))


def test_a_loss_is_told_once_an_iteration_that_g_has_stepped() -> None:
    trainer = make(rich(accumulation=2))
    trainer.loss, trainer.step = Counting(), 5
    seen: list[Any] = []
    after, stepped = trainer.loss.after_generator_step, weights(trainer.G)
    trainer.loss.after_generator_step = lambda step: (  # type: ignore[method-assign]
        seen.append(weights(trainer.G)) or after(step)
    )
    trainer.train_step()
    assert trainer.loss.asked == ["terms", "terms", "after"]
    assert trainer.collect_logs()["told"] == 5
    (told,) = seen  # of the weights that the step has led to
    assert all(torch.equal(a, b) for a, b in zip(told, weights(trainer.G), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(told, stepped, strict=True))


def test_outputs_come_with_the_images_that_d_saw() -> None:
    trainer = make(rich(augmentation={"part": "healthy", "p": 1.0}, accumulation=1))
    (step,) = trainer._steps("discriminator", 0)
    assert torch.equal(step.D_outputs(step.real, None).seen, step.real.flip(3))
    plain = make(rich(augmentation=None, accumulation=1))
    (step,) = plain._steps("discriminator", 0)
    assert torch.equal(step.D_outputs(step.real, None).seen, step.real)


def test_optimiser_state_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    trainer = make(recipe("gan"))
    trainer.folder = tmp_path
    trainer.train_step()
    parameter = next(trainer.D.parameters())
    trainer.optimizers["discriminator"].state[parameter]["exp_avg_sq"].fill_(float("inf"))
    with pytest.raises(TrainingError, match=r"opt\.discriminator\..*exp_avg_sq is not finite"):
        trainer.save()
    assert not (tmp_path / "checkpoints").exists()


def test_a_scheduled_run_keeps_its_length(tmp_path: Path) -> None:
    """A linear rate ends at zero: a longer run is another run from its first step on."""
    run = train(rich(), tmp_path / "run", device="cpu", steps=2)
    with pytest.raises(TrainingError, match=r"kimg was 0\.192, now 0\.4"):
        train(rich(kimg=0.4), run, device="cpu", resume=True)


def test_the_model_it_started_from_is_recorded(tmp_path: Path) -> None:
    import json

    first = train(recipe("gan"), tmp_path / "first", device="cpu", steps=2)
    run = train(recipe("gan", seed=4), tmp_path / "run", device="cpu", steps=2, init=first)
    train(recipe("gan", seed=4), run, device="cpu", steps=2, init=first, resume=True)
    with pytest.raises(TrainingError, match=r"did not start from the model 'gan\.shapes': leave"):
        train(recipe("gan", seed=4), run, device="cpu", init=run, resume=True)
    train(recipe("gan", seed=4), run, device="cpu", steps=2, resume=True)
    record = json.loads((run / "model" / "training.json").read_text())
    assert record["init"]["model"] == "gan.shapes"
    assert len(record["init"]["weights_sha256"]) == 64
