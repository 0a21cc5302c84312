"""What a run says about itself: its model folder, training.json, and the report of a dry run."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import ganzoo
from ganzoo import checkpoint, layout, plugins
from ganzoo.evaluation.results import add_results

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
        info=layout.ModelInfo(
            license=recipe.model.license,
            license_name=recipe.model.license_name,
            license_link=recipe.model.license_link,
            summary=recipe.model.summary,
            dataset=recipe.data.name or data.source,
            dataset_license=recipe.data.license or data.license,
            dataset_credit=recipe.data.credit or "",
            dataset_digest=data.digest,
            dataset_size=len(data),
            dataset_consent=recipe.data.consent or "",
            content_crop=data.content_crop,
            classes=data.classes if trainer.G.num_classes else (),
            shows_people=recipe.data.shows_people,
            not_for_all_audiences=recipe.data.not_for_all_audiences,
        ),
    )
    if results:
        digest = layout.read_sums(folder)[layout.WEIGHTS["generator"]]
        add_results(folder, [replace(result, weights_sha256=digest) for result in results])


def training_record(trainer: Trainer) -> dict[str, Any]:
    """training.json: how the model was made, complete enough to make it again."""
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
        "hardware": {
            "device": device_name(trainer.device),
            "threads": torch.get_num_threads(),
            "processes": trainer.world,
        },
    }


def _data(trainer: Trainer) -> dict[str, Any]:
    return {
        "source": trainer.data.source,
        "n": len(trainer.data),
        "digest": trainer.data.digest,
    }


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's architecture for the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()})"


PATIENCE = 10.0
"""Seconds after which the first step of a dry run is measurement enough."""


def dry_run(trainer: Trainer, steps: int = 4) -> dict[str, Any]:
    """Measure a few steps of a run that is thrown away: memory, throughput and time to the end.

    `memory_bytes` is None where the system does not say (on Windows without a GPU).
    """
    if trainer.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(trainer.device)
    total = 0.0
    for stretch in trainer.stretches():
        trainer.step = stretch.start
        seconds = _seconds_per_step(trainer, 1)  # the first step allocates and selects kernels
        if seconds < PATIENCE:
            seconds = _seconds_per_step(trainer, steps)
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
