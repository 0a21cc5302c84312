"""Training checkpoints: `checkpoints/NNNNNNNNN/{state.safetensors, state.json}`, whole or absent.

The tensors are named `G.<parameter>`, `D.…`, `ema.…`, `loss.…`, `augment.…`, and
`opt.generator.<parameter>.exp_avg` for the optimisers. No pickle, and no generator state: see
`ganzoo.rng`.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ganzoo import files, weights
from ganzoo.errors import CheckpointError, TrainingError
from ganzoo.training import folder
from ganzoo.training.recipe import Recipe, digest_of

if TYPE_CHECKING:
    from ganzoo.training.trainer import Trainer


def save(trainer: Trainer, tensors: dict[str, Tensor], *, keep: int) -> Path:
    """Write the state of a run, and keep this checkpoint and the `keep` - 1 before it.

    Later ones are damaged: the run has gone back behind them.
    """
    path = trainer.folder / "checkpoints" / f"{trainer.step:09d}"
    with files.replacing_folder(path) as temporary:
        path_of_tensors = temporary / "state.safetensors"
        weights.write_tensors(path_of_tensors, tensors)
        state = {
            "step": trainer.step,
            "images": trainer.images,
            "wall_seconds": trainer.wall_seconds,
            "recipe": trainer.resolved.digest(),
            "data": trainer.data.digest,
            "device": trainer.device.type,
            "processes": trainer.world,
            "init": trainer.init,
            "extra": trainer.extra_state(),
            "sha256": files.sha256(path_of_tensors),
        }
        (temporary / "state.json").write_text(json.dumps(state, indent=1) + "\n")
    others = [p for p in folder.checkpoints(trainer.folder) if p != path]
    kept = [p for p in others if int(p.name) < trainer.step][: keep - 1]
    for other in others:
        if other not in kept:
            shutil.rmtree(other, ignore_errors=True)
    return path


def load(trainer: Trainer) -> Path:
    """Restore the newest checkpoint that is whole; a damaged one is named and passed over.

    Raises:
        TrainingError: there is none, or it is of another recipe, other data or another start.
    """
    damaged: list[str] = []
    for path in folder.checkpoints(trainer.folder):
        try:
            state, tensors = _read(path)
        except CheckpointError as error:
            damaged.append(str(error))
            trainer.observers.say(f"{error}; trying the checkpoint before it")
            continue
        if not _is_of(trainer, state["recipe"]):
            raise TrainingError(
                f"{path} is of another recipe",
                "resume with the recipe in run.toml, or use a new --out",
            )
        if state["data"] != trainer.data.digest:
            raise TrainingError(
                f"{path} was trained on other data than {trainer.data.source}",
                "give the same --data, or use a new --out",
            )
        started = state.get("init") or {}
        if trainer.init and trainer.init["weights_sha256"] != started.get("weights_sha256"):
            raise TrainingError(
                f"{path} is of a run that did not start from the model {trainer.init['model']!r}",
                "leave --init out, or use a new --out",
            )
        if (state["device"], state["processes"]) != (trainer.device.type, trainer.world):
            trainer.observers.say(
                f"resuming a run of {state['processes']} x {state['device']} on"
                f" {trainer.world} x {trainer.device.type}: it goes on, but not bit for bit"
            )
        _restore(trainer, state, tensors)
        return path
    if damaged:
        raise TrainingError(
            f"no checkpoint can be read: {damaged[0]}", "start again with a new --out"
        )
    raise TrainingError(f"{trainer.folder} has no checkpoint", "start without --resume")


def _is_of(trainer: Trainer, digest: str) -> bool:
    """Whether a checkpoint whose recipe had this digest is of the trainer's recipe.

    Since it was written, parts may have got further settings: run.toml, which has none of them,
    then still has its digest, and with their defaults it is the trainer's recipe.
    """
    today = trainer.resolved.digest()
    path = trainer.folder / folder.RECIPE
    if digest == today or not path.exists():
        return digest == today
    written = Recipe.load(path).resolve(trainer.data.image_shape, trainer.data.num_classes)
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return digest_of(document, written.recipe.free) == digest and written.digest() == today


def tensors(trainer: Trainer) -> dict[str, Tensor]:
    out = {
        f"{prefix}.{name}": tensor
        for prefix, module in trainer.modules().items()
        for name, tensor in module.state_dict().items()
    }
    for role, optimizer in trainer.optimizers.items():
        for name, parameter in _trained(trainer.networks[role], trainer.trainable[role]):
            for key, value in optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    out[f"opt.{role}.{name}.{key}"] = value
    # contiguous: channels_last is a matter of speed, not of the state
    return {name: tensor.detach().cpu().contiguous() for name, tensor in out.items()}


def _restore(trainer: Trainer, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    for prefix, module in trainer.modules().items():
        own = {
            name.removeprefix(f"{prefix}."): tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{prefix}.")
        }
        if _shapes(own) != _shapes(module.state_dict()):
            raise TrainingError(
                f"{prefix} of the checkpoint at step {state['step']} does not fit the networks that"
                " the installed plugins make",
                "install the versions in the run's model/training.json, or use a new --out",
            )
        module.load_state_dict(own)
    for role, optimizer in trainer.optimizers.items():
        restored: dict[int, dict[str, Tensor]] = {}
        trained = _trained(trainer.networks[role], trainer.trainable[role])
        for i, (name, parameter) in enumerate(trained):
            prefix = f"opt.{role}.{name}."
            values = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if values:
                restored[i] = {key: _laid_out(value, parameter) for key, value in values.items()}
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": restored, "param_groups": groups})
    trainer.step = state["step"]
    trainer.wall_seconds = state["wall_seconds"]
    trainer.init = state.get("init")
    trainer.load_extra_state(state["extra"])


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _laid_out(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """A moment in its parameter's memory format: fused optimisers walk both in storage order."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _trained(network: nn.Module, parameters: list[nn.Parameter]) -> list[tuple[str, nn.Parameter]]:
    """(name, parameter) in the order of the optimiser."""
    names = {id(p): name for name, p in network.named_parameters()}
    return [(names[id(p)], p) for p in parameters]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        state = json.loads((path / "state.json").read_text())
        missing = {"step", "wall_seconds", "recipe", "data", "device", "processes", "extra"} - set(
            state
        )
        if missing:
            raise CheckpointError(f"checkpoint {path} is damaged: no {', '.join(sorted(missing))}")
        tensors = path / "state.safetensors"
        if files.sha256(tensors) != state["sha256"]:
            raise CheckpointError(f"checkpoint {path} is damaged: its hash does not match")
        weights.read_header(tensors, largest=weights.LARGEST_STATE_HEADER)  # strictly
        return state, load_file(tensors)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {error}") from error
