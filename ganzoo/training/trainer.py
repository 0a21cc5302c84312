"""The alternating trainer: it owns every change of state in a run.

Read `Trainer.fit` first; it is the run, in the order in which things happen. Networks, losses and
augmentations compute, `steps` draws what they get; only this file calls backward, steps optimisers,
averages weights and writes checkpoints. Randomness is counter-based (`ganzoo.rng`), so the state of
a run is the networks, the average, the optimisers, the buffers of loss and augmentation, and one
number.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ganzoo.data import ImageData
from ganzoo.errors import DataError, GanzooError, InputError, TrainingError
from ganzoo.loading import Located
from ganzoo.models import Generator, build
from ganzoo.precision import fastest_convolutions
from ganzoo.training import state
from ganzoo.training.config import AlternatingConfig
from ganzoo.training.ema import average, with_fresh_statistics
from ganzoo.training.folder import checkpoints
from ganzoo.training.losses import Role
from ganzoo.training.means import Means
from ganzoo.training.observers import Observers
from ganzoo.training.optimizers import make_optimizer, settings_at
from ganzoo.training.order import DataOrder
from ganzoo.training.recipe import ResolvedRecipe
from ganzoo.training.report import write_model
from ganzoo.training.scoring import Scorer
from ganzoo.training.starting import start_from
from ganzoo.training.step import Step
from ganzoo.training.steps import Steps


@dataclass
class Setup:
    """What a trainer is made of, beside its own config."""

    resolved: ResolvedRecipe
    data: ImageData
    folder: Path
    accelerator: Accelerator
    observers: Observers
    init: Located | None = None
    scorers: Sequence[Scorer] = ()


class Trainer(Steps):
    """Algorithm 1 of Goodfellow et al. 2014: n_critic updates of D, then one of G.

    Attributes:
        G, D, ema: the networks, and the average of G that is published.
        step, images: updates of G done; real images shown to D so far.
    """

    def __init__(self, config: AlternatingConfig, setup: Setup) -> None:
        self.config = config
        self.resolved, self.recipe = setup.resolved, setup.resolved.recipe
        self.data, self.folder, self.observers = setup.data, setup.folder, setup.observers
        self.scorers, self.accelerator = setup.scorers, setup.accelerator
        self.device = setup.accelerator.device
        self.rank, self.world = setup.accelerator.process_index, setup.accelerator.num_processes
        self.G, self.D = self._make("generator"), self._make("discriminator")
        self.init: dict[str, str] | None = None
        if setup.init is not None:
            self._init_from(setup.init)
        self.ema: Generator = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.loss = self._make("loss")
        augmented = "augmentation" in self.resolved.chosen
        self.augment = self._make("augmentation") if augmented else None
        self.networks: dict[Role, nn.Module] = {"generator": self.G, "discriminator": self.D}
        self._check_batch()
        self.trainable = {
            role: [p for p in network.parameters() if p.requires_grad]
            for role, network in self.networks.items()
        }
        self.optimizers = {
            role: make_optimizer(
                self.trainable[role],
                getattr(self.recipe.optimizer, role),
                lazy=self.loss.intervals.get(role, {}),
            )
            for role in self.networks
        }
        self.order = DataOrder(self.recipe.seed, len(self.data))
        self.step, self.wall_seconds, self.stop = 0, 0.0, False
        self.means = Means(self.device)
        self._real_scores, self._last_real = {}, None

    # -- the run -----------------------------------------------------------------------------------

    def fit(self, steps: int | None = None) -> None:
        """Train until the recipe's length (or for `steps` more steps), or until `stop` is set."""
        every = self.recipe.every
        last = self.total_steps if steps is None else min(self.total_steps, self.step + steps)
        started, started_images = time.perf_counter(), self.images
        wall_before = self.wall_seconds
        done = self.step >= last
        while not done:
            self.train_step()
            self.step += 1
            done = self.step == last or self._stopping()
            logs = self.collect_logs() if done or self.step % every.log == 0 else None
            seconds = time.perf_counter() - started
            self.wall_seconds = wall_before + seconds
            if done or (every.checkpoint and self.step % every.checkpoint == 0):
                self.save()  # before anything is measured, which may take long, or fail
            if logs is not None:
                logs["images_per_second"] = (self.images - started_images) / seconds
                for score in self.scorers:
                    try:
                        logs |= score(self)
                    except GanzooError as error:  # no reason to lose the run
                        self.observers.say(f"step {self.step}: not measured: {error}")
                self.observers.notify("ganzoo_step_end", trainer=self, step=self.step, logs=logs)

    def _stopping(self) -> bool:
        """Whether to stop early; several processes agree on it, at logging steps only."""
        if self.world == 1:
            return self.stop
        if self.step % self.recipe.every.log:
            return False
        flag = torch.tensor(float(self.stop), device=self.device)
        return bool(self.accelerator.reduce(flag, reduction="sum") > 0)

    @fastest_convolutions()
    def train_step(self) -> None:
        """One iteration: n_critic updates of D, one of G, the lazy terms that are due, the EMA."""
        # layers that draw for themselves (dropout) use torch's global state: keyed by the step
        torch.manual_seed(self._draws(f"torch/{self.rank}", self.step).seed())
        fakes: list[Tensor] | None = None
        for critic in range(self.config.n_critic):
            steps = self._steps("discriminator", critic)
            if self._reuses_fake:  # made once, with the graph that G's step needs
                fakes = [
                    self._network_G("generator", self.step, 0)(s.z, s.fake_labels) for s in steps
                ]
                for step, fake in zip(steps, fakes, strict=True):
                    step.given_fake = fake.detach()
            self._real_scores = {}
            self._update("discriminator", steps)
            real_scores = list(self._real_scores.values())
            self._lazy_updates("discriminator", steps, critic)
            self.loss.after_discriminator_step(steps[0], self.D)
            if self.augment is not None and real_scores:
                scores = self.accelerator.gather(torch.cat(real_scores))
                self.augment.after_discriminator_step(scores, self._log_augment)
        steps = self._steps("generator", critic)
        if fakes is not None:
            for step, fake in zip(steps, fakes, strict=True):
                step.given_fake = fake
        self._update("generator", steps)
        self._lazy_updates("generator", steps, critic)
        self.loss.after_generator_step(steps[-1])
        self._share_buffers()
        average(self.ema, self.G, self._ema_decay())

    # -- one update --------------------------------------------------------------------------------

    def _update(self, role: Role, steps: list[Step], lazy: str | None = None) -> None:
        """Sum the terms, differentiate with respect to this role's network, reduce, step."""
        optimizer = self.optimizers[role]
        optimizer.zero_grad(set_to_none=True)
        with self._only(role):
            for step in steps:
                if lazy is not None:
                    term = self.loss.lazy_term(step, role, lazy)
                    terms = {lazy: term * self.loss.intervals[role][lazy]}
                elif role == "discriminator":
                    terms = self.loss.discriminator_terms(step)
                else:
                    terms = self.loss.generator_terms(step)
                total = torch.stack([value.float() for value in terms.values()]).sum()
                torch.autograd.backward(total / len(steps))
                for name, value in terms.items():
                    self.means.add(f"{role[0].upper()}/{name}", value)
        self._reduce(role)
        config, intervals = self.optimizer_config(role), self.loss.intervals.get(role, {})
        for group in optimizer.param_groups:
            group.update(settings_at(config, self.images, self.recipe.kimg, intervals))
        optimizer.step()

    def _lazy_updates(self, role: Role, steps: list[Step], critic: int) -> None:
        """An update for each lazy term that is due, on the images of the critic's last one."""
        for name, interval in self.loss.intervals.get(role, {}).items():
            if self.step % interval == 0:
                for part, step in enumerate(steps):  # G's graph is gone, and the draws are others
                    step.given_fake = None
                    step.__dict__.pop("fake", None)
                    step.rng = self._draws(f"loss/{role}/{name}/{part}", self._number(critic))
                self._update(role, steps, lazy=name)

    @contextlib.contextmanager
    def _only(self, role: Role) -> Iterator[None]:
        """Freeze the other network: no gradient is computed for it, and none is left on it.

        G is not frozen in D's step, because the images of that step carry the graph that G's step
        uses; D's loss sees them detached.
        """
        frozen = self.trainable["discriminator"] if role == "generator" else []
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def _reduce(self, role: Role) -> None:
        """Average the gradients over processes, in one flattened reduction."""
        if self.world == 1:
            return
        grads = [p.grad for p in self.trainable[role] if p.grad is not None]
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        flat = self.accelerator.reduce(flat, reduction="mean")
        for grad, mean in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
            grad.copy_(mean.view_as(grad))

    def _share_buffers(self) -> None:
        """Average the floating-point state of loss and augmentation, and G's shared buffers, over
        processes."""
        if self.world == 1:
            return
        modules = [self.loss] if self.augment is None else [self.loss, self.augment]
        buffers = [buffer for module in modules for buffer in module.buffers()]
        for buffer in [*buffers, *map(self.G.get_buffer, self.G.shared_buffers)]:
            if buffer.is_floating_point():
                buffer.copy_(self.accelerator.reduce(buffer, reduction="mean"))

    def _ema_decay(self) -> float:
        """The weight of the old average in this step's update."""
        ema = self.recipe.ema
        if ema.decay is not None:
            return ema.decay
        half_life = (ema.half_life_kimg or 0.0) * 1000
        if ema.rampup is not None:
            half_life = min(half_life, max(self.images, 1) * ema.rampup)
        return float(0.5 ** (self.images_per_step / half_life))

    # -- logs and the divergence guard -------------------------------------------------------------

    def collect_logs(self) -> dict[str, float]:
        """Means since the last call, over all processes. Stops a run that has diverged."""
        names, means = self.means.take()
        if self.world > 1 and names:
            means = self.accelerator.reduce(means, reduction="mean")
        logs = dict(zip(names, means.tolist(), strict=True))
        for name, value in logs.items():
            if not math.isfinite(value):
                raise self._diverged(f"{name} became {value}")
        return logs

    def _diverged(self, what: str) -> TrainingError:
        found = checkpoints(self.folder)
        kept = f"{found[0]} is the last good checkpoint" if found else "no checkpoint was written"
        return TrainingError(
            f"training diverged before step {self.step}: {what}; {kept}",
            "lower the learning rates (--set optimizer.generator.lr=…) or add a penalty to D",
        )

    # -- checkpoints -------------------------------------------------------------------------------

    def modules(self) -> dict[str, nn.Module]:
        """All modules whose state a checkpoint holds, by prefix."""
        modules = {"G": self.G, "D": self.D, "ema": self.ema, "loss": self.loss}
        return modules if self.augment is None else {**modules, "augment": self.augment}

    def extra_state(self) -> dict[str, Any]:
        """Further numbers for the checkpoint's JSON; a trainer with a schedule adds its own."""
        return {}

    def load_extra_state(self, extra: Mapping[str, Any]) -> None:
        """Restore what `extra_state` gave."""

    def save(self) -> None:
        """Write the model folder and a checkpoint, unless something in them is not finite.

        In this order: where a checkpoint is, its model is too, however a process ends.
        """
        if self.means:
            self.observers.notify(
                "ganzoo_step_end", trainer=self, step=self.step, logs=self.collect_logs()
            )
        tensors = state.tensors(self)
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise self._diverged(f"{name} is not finite")
        if self.accelerator.is_main_process:
            write_model(self)
            path = state.save(self, tensors, keep=self.recipe.every.keep)
            self.observers.notify("ganzoo_checkpoint_saved", trainer=self, path=path)
        self.accelerator.wait_for_everyone()

    def resume(self) -> Path:
        """Go back to the newest checkpoint that is whole; returns its path."""
        return state.load(self)

    def averaged(self) -> Generator:
        """The generator as it is published: averaged, its batch statistics recomputed."""
        return with_fresh_statistics(self.ema, self.options("generator"))

    # -- making the parts --------------------------------------------------------------------------

    def _make(self, role: str) -> Any:
        part, config = self.resolved.chosen[role]
        module = build(part, config, seed=self.recipe.seed)
        module = module.to(self.device).train()
        for parameter in module.parameters():
            if parameter.ndim == 4:  # the memory format is one of images and their kernels
                parameter.data = parameter.data.contiguous(memory_format=self._memory_format)
        return module

    def _init_from(self, model: Located) -> None:
        self.init = start_from(self, model)

    def _check_batch(self) -> None:
        pieces = self.world * self.recipe.accumulation
        odd = {name: batch for name, batch in self.batches().items() if batch % pieces}
        if odd:
            raise InputError(
                f"batch {' and '.join(map(str, odd.values()))} is not divisible by"
                f" {self.world} processes x accumulation {self.recipe.accumulation}",
                " ".join(f"--set {k}={max(1, v // pieces) * pieces}" for k, v in odd.items()),
            )
        for name, batch in self.batches().items():
            if len(self.data) < batch:
                raise DataError(
                    f"the data set has {len(self.data)} images, fewer than a batch of {batch}",
                    f"--set {name}={len(self.data)} or use more data",
                )
            if batch == pieces and any(map(_normalises_vectors, self.networks.values())):
                raise InputError(
                    "a batch norm of vectors has no statistics of a single image",
                    f"--set {name}={2 * pieces} or more",
                )


def _normalises_vectors(network: nn.Module) -> bool:
    return any(isinstance(module, nn.BatchNorm1d) for module in network.modules())
