"""What a recipe asks for once its model is trained: that it is measured and audited.

It is what `ganzoo evaluate` and `ganzoo audit` do, and it ends in the same files. What cannot be
done of it is said, and costs nobody the model; `ganzoo publish` asks for it all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo import files, layout
from ganzoo.errors import GanzooError, InputError
from ganzoo.evaluation.results import add_results, results_of_weights

if TYPE_CHECKING:
    from ganzoo.training.trainer import Trainer


def finish(trainer: Trainer, *, progress: bool = False) -> None:
    """Measure and audit the `model/` of a run that is at its end, as far as its recipe asks for it
    and these weights have not been.

    Every process calls it: they measure together.
    """
    if trainer.step < trainer.total_steps:
        return
    asked, folder = trainer.recipe.finish, trainer.folder / "model"
    if asked.evaluate:
        with _kept(trainer, "measured"):
            if not results_of_weights(folder):
                _evaluate(trainer, folder, progress)
    if asked.audit:
        with _kept(trainer, "audited"):
            if not is_audited(folder):
                _audit(trainer, folder, progress)


def _evaluate(trainer: Trainer, folder: Path, progress: bool) -> None:
    from ganzoo.evaluation.evaluating import evaluate

    trainer.accelerator.wait_for_everyone()  # all have looked before one of them writes
    settings, n = trainer.recipe.evaluate, trainer.recipe.finish.evaluate
    results = evaluate(
        folder,
        metrics=settings.metrics,
        n=n,
        features=settings.features or None,
        device=str(trainer.device),
        progress=progress and sys.stderr.isatty(),
    )
    if trainer.accelerator.is_main_process:
        add_results(folder, results)
        if progress:
            for result in results:
                trainer.observers.say(f"{result.name}  {result.value:.4g}")


def _audit(trainer: Trainer, folder: Path, progress: bool) -> None:
    from ganzoo.evaluation.auditing import add_audit, audit

    if trainer.world > 1:
        raise InputError("an audit runs in one process", f"ganzoo audit {trainer.folder}")
    found = audit(
        folder,
        n=trainer.recipe.finish.audit,
        device=str(trainer.device),
        progress=progress and sys.stderr.isatty(),
    )
    add_audit(folder, found)
    if progress:
        for reason in found.reasons:
            trainer.observers.say(f"audit: {found.verdict}: {reason}")


def is_audited(folder: Path) -> bool:
    """Whether the audit in a model folder is of its weights."""
    path = folder / "audit.json"
    said = layout.read_json(path).get("weights_sha256") if path.is_file() else ""
    return bool(said == files.sha256(folder / layout.WEIGHTS["generator"]))


@contextmanager
def _kept(trainer: Trainer, what: str) -> Iterator[None]:
    """Keep the run, and say what was not done."""
    try:
        yield
    except GanzooError as error:
        if trainer.accelerator.is_main_process:
            trainer.observers.say(f"not {what}: {error}")
