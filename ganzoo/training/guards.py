"""What may cut a run short (Ctrl-C, a signal, too little memory), and what is said of it then."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.errors import TrainingError
from ganzoo.training import folder
from ganzoo.training.recipe import Recipe

if TYPE_CHECKING:
    from ganzoo.training.trainer import Trainer


@contextlib.contextmanager
def no_empty_folder(out: Path) -> Iterator[None]:
    """A run that is refused leaves no folder behind."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # it holds something
            out.rmdir()
        raise


@contextlib.contextmanager
def saying_how_to_go_on(out: Path) -> Iterator[None]:
    """Ctrl-C or SIGTERM, whatever it interrupts, says where the run is by its newest checkpoint."""
    try:
        with _handling(signal.default_int_handler, signal.SIGTERM):
            yield
    except KeyboardInterrupt as interrupt:
        if found := folder.checkpoints(out):
            where = shlex.quote(str(out))
            said = f"stopped at step {int(found[0].name)}; go on with --out {where} --resume"
        else:
            how = "with another --out" if folder.others(out) else "in the same way"
            said = f"stopped before the first checkpoint; start anew {how}"
        raise KeyboardInterrupt(said) from interrupt


@contextlib.contextmanager
def stopping_on_signals(trainer: Trainer) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after the step that is being made; a second one at once."""

    def stop(number: int, frame: Any) -> None:
        if trainer.stop:
            raise KeyboardInterrupt
        trainer.stop = True
        if trainer.rank:
            return
        with contextlib.suppress(RuntimeError):  # it came while another line was being written
            trainer.observers.say("stopping, with a checkpoint; a second Ctrl-C stops at once")

    with _handling(stop, signal.SIGINT, signal.SIGTERM):
        yield


@contextlib.contextmanager
def _handling(handler: Callable[[int, Any], None], *numbers: signal.Signals) -> Iterator[None]:
    """Within, signals are handled so; not in a thread, where whoever owns them keeps them."""
    try:
        former = {number: signal.signal(number, handler) for number in numbers}
    except ValueError:  # not the main thread
        former = {}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)


@contextlib.contextmanager
def memory_errors(recipe: Recipe) -> Iterator[list[Trainer]]:
    """Out of memory names the batch size to try: of the trainer that is put into the list."""
    import torch

    running: list[Trainer] = []
    try:
        yield running
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        out_of_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not out_of_memory and "can't allocate memory" not in text:
            raise
        setting, batch = "batch", recipe.batch
        for trainer in running:
            setting, batch = trainer.batch_setting, trainer.batch
        raise TrainingError(
            f"out of memory with batch {batch}",
            f"--set {setting}={max(1, batch // 2)},"
            f" or --set accumulation={recipe.accumulation * 2} for the same one",
        ) from error
