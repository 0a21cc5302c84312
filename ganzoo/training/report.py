"""What a run says about itself: its model folder, training.json, and the report of a dry run."""

from __future__ import annotations

import platform
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import ganzoo
from ganzoo import checkpoint, energy, layout, plugins
from ganzoo.training import memorisation

if TYPE_CHECKING:
    from torch import nn

    from ganzoo.evaluation.evaluating import Result
    from ganzoo.training.trainer import Trainer


def write_model(
    trainer: Trainer, folder: Path | None = None, results: Sequence[Result] = ()
) -> None:
    """Write a model folder, by default the run's `model/`: the averaged generator, D, how they were
    made, and what was measured of them."""
    recipe, data = trainer.recipe, trainer.data
    folder = folder or trainer.folder / "model"
    checkpoint.save(
        folder,
        trainer.averaged(),
        name=recipe.name,
        discriminator=trainer.D,
        storage_dtype=recipe.model.storage_dtype,
        training=training_record(trainer),
        metrics={result.name: result.to_dict() for result in results} or None,
        info=layout.ModelInfo(
            license=recipe.model.license,
            license_name=recipe.model.license_name,
            license_link=recipe.model.license_link,
            summary=recipe.model.summary,
            dataset=recipe.data.name or data.source,
            dataset_license=recipe.data.license or data.license,
            dataset_credit=recipe.data.credit or data.credit,
            dataset_digest=data.digest,
            dataset_size=len(data),
            dataset_consent=recipe.data.consent or "",
            content_crop=data.content_crop,
            classes=data.classes if trainer.G.num_classes else (),
            shows_people=recipe.data.shows_people,
            not_for_all_audiences=recipe.data.not_for_all_audiences,
        ),
    )


def training_record(trainer: Trainer) -> dict[str, Any]:
    """training.json: how the model was made, complete enough to make it again, and at what cost."""
    return {
        "recipe": trainer.resolved.to_dict(),
        "seed": trainer.recipe.seed,
        "steps": trainer.step,
        "images": trainer.images,
        "wall_seconds": round(trainer.wall_seconds, 1),
        "init": trainer.init,
        "data": _data(trainer),
        "versions": {
            "ganzoo": ganzoo.__version__,
            **{
                p.distribution: p.version
                for p in plugins.load().found
                if p.distribution != "ganzoo"
            },
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "hardware": hardware(trainer),
        "energy": energy.estimate(trainer.wall_seconds, hardware(trainer)),
        **_caution(trainer),
    }


def _data(trainer: Trainer) -> dict[str, Any]:
    """The data, and what became of images that are marked as not for training: not their names,
    which may say more than is to be published."""
    data = trainer.data
    facts: dict[str, Any] = {"source": data.source, "n": len(data), "digest": data.digest}
    if data.consent is not None:
        facts["consent"] = {
            "policy": data.consent.policy,
            "marked": len(data.consent.marked),
            "marks": dict(Counter(said for _, said in data.consent.marked)),
        }
    return facts


def _caution(trainer: Trainer) -> dict[str, str]:
    warning = memorisation.warning_of(trainer)
    return {"memorisation_warning": warning} if warning else {}


def hardware(trainer: Trainer) -> dict[str, Any]:
    """What it is trained on, in this session."""
    facts: dict[str, Any] = {
        "device": device_name(trainer.device),
        "threads": torch.get_num_threads(),
        "processes": trainer.world,
    }
    if (watts := energy.power_limit(trainer.device)) is not None:
        facts["power_limit_watts"] = watts
    return facts


def cost(trainer: Trainer) -> str:
    """The time and energy of a run, in one line for people."""
    facts = hardware(trainer)
    seconds = trainer.wall_seconds
    return (
        f"{timedelta(seconds=round(seconds))} on {facts['device']},"
        f" {energy.as_text(energy.estimate(seconds, facts))}"
    )


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's architecture for the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()})"


PATIENCE = 10.0
"""Seconds after which the first step of a dry run is measurement enough."""


def dry_run(trainer: Trainer, *, progress: bool = False) -> dict[str, Any]:
    """Measure a few steps of a run that is thrown away: memory, throughput and time to the end.

    `memory_bytes` is None where the system does not say (on Windows without a GPU).
    """
    if trainer.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(trainer.device)
    total = 0.0
    for number, stretch in enumerate(stretches := trainer.stretches(), start=1):
        if progress:
            trainer.observers.say(f"measuring a few steps ({number} of {len(stretches)})")
        trainer.step = stretch.start
        seconds = _seconds_per_step(trainer, 1)  # the first step allocates and selects kernels
        if seconds < PATIENCE:
            seconds = _seconds_per_step(trainer, 4)
        total += seconds * len(stretch)
    return {
        "recipe": trainer.resolved.to_dict(),
        "parameters": {"generator": _count(trainer.G), "discriminator": _count(trainer.D)},
        "data": _data(trainer),
        "device": device_name(trainer.device),
        "memory_bytes": _peak_memory(trainer.device),
        "steps": trainer.total_steps,
        "seconds_per_step": total / trainer.total_steps,
        "images_per_second": trainer.images_at(trainer.total_steps) / total,
        "eta_seconds": total,
        "energy": energy.estimate(total, hardware(trainer)),
        **_caution(trainer),
    }


def _seconds_per_step(trainer: Trainer, steps: int) -> float:
    """The mean over all processes, which then agree on how many steps are enough."""
    started = time.perf_counter()
    for _ in range(steps):
        trainer.train_step()
        trainer.step += 1
    trainer.collect_logs()  # waits for the device
    seconds = torch.tensor((time.perf_counter() - started) / steps, device=trainer.device)
    return float(trainer.accelerator.reduce(seconds, reduction="mean"))


def _peak_memory(device: torch.device) -> int | None:
    """The most bytes that were in use on the GPU, or else in this process; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
