"""The processes that share an evaluation, as Accelerate launched them; one, without it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from ganzoo.evaluation.metrics import Moments
from ganzoo.loading import find_device


class Workers:
    """This process among `world` of them; items are dealt out strided, [rank::world]."""

    def __init__(self, device: str | torch.device | None = None) -> None:
        from accelerate import PartialState

        self._state = PartialState(cpu=takes_cpu(device))
        self.rank, self.world = self._state.process_index, self._state.num_processes
        if self.world > 1:
            leave_at_exit()
        # alone, it may be another device than that of an earlier call, which the state remembers
        self.device = find_device(device) if self.world == 1 else self._state.device

    @property
    def is_main(self) -> bool:
        return bool(self.rank == 0)

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        with self._state.main_process_first():
            yield

    def share(self, items: np.ndarray) -> np.ndarray:
        """This process's part."""
        return items[self.rank :: self.world]

    def gather(self, rows: Tensor, index: np.ndarray) -> Tensor:
        """The rows (n, F) of every process, on the CPU, in the order of their indices."""
        if self.world == 1:
            return rows.cpu()
        parts = self._gather_objects((rows.cpu(), index))
        order = np.argsort(np.concatenate([part[1] for part in parts]))
        return torch.cat([part[0] for part in parts])[torch.from_numpy(order)]

    def combine(self, moments: Moments) -> Moments:
        """The moments over all processes, on the CPU."""
        if self.world == 1:
            return moments.cpu()
        states = self._gather_objects(moments.cpu().state())
        whole = Moments()
        for state in states:
            whole.merge(Moments.from_state(state))
        return whole

    def broadcast(self, item: Any) -> Any:
        """The main process's item, for all."""
        return item if self.world == 1 else self._gather_objects(item)[0]

    def _gather_objects(self, item: Any) -> list[Any]:
        from accelerate.utils import gather_object

        return list(gather_object([item]))


def launched() -> int:
    """How many processes a launcher has started, this one among them."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def takes_cpu(device: str | torch.device | None) -> bool:
    """Whether to tell Accelerate to use the CPU. It has to be told of several processes without a
    GPU: else each takes itself for the only one."""
    if device is None and launched() > 1:
        return not torch.cuda.is_available()
    return str(device) == "cpu"


@functools.cache
def leave_at_exit() -> None:
    """Let this process leave the group when it ends: else gloo's threads, cut off, abort it."""
    atexit.register(_leave)


def _leave() -> None:
    """End the group, whose threads may wait for Python's lock to free a tensor.

    The end of the group waits for them: in torch 2.6 with the lock held, unless a backend is what
    is freed last. Where DistributedDataParallel keeps the backend, they outlive the group: one that
    gets the lock no more, because Python has ended, aborts the process.
    """
    if not distributed.is_initialized():
        return
    group = distributed.distributed_c10d._get_default_group()
    last = [group._get_backend(device) for device in group._device_types]
    del group
    distributed.destroy_process_group()
    last.clear()
    time.sleep(0.1)  # without the lock
