"""The processes of an evaluation: how they leave each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

GROUPS = """
import os, sys
import torch
from torch import distributed
from ganzoo.evaluation.workers import _leave

for number in range(100):
    store = f"file://{sys.argv[1]}/{number}"
    distributed.init_process_group("gloo", init_method=store, rank=int(sys.argv[2]), world_size=2)
    distributed.all_gather_object([None, None], torch.randn(300))
    _leave()
"""
KEPT = """
import sys
import torch
from torch import distributed, nn
from ganzoo.evaluation.workers import leave_at_exit

store = f"file://{sys.argv[1]}/store"
distributed.init_process_group("gloo", init_method=store, rank=int(sys.argv[2]), world_size=2)
leave_at_exit()
network = nn.parallel.DistributedDataParallel(nn.Linear(3, 3))  # which keeps the group's threads
network(torch.randn(2, 3)).sum().backward()
sys.setswitchinterval(1000)  # they wait for Python's lock
for _ in range(30):
    distributed.all_gather_object([None, None], torch.randn(300))
"""


def run_both(program: str, folder: Path) -> list[int]:
    """The exit codes of two processes."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen([sys.executable, "-c", program, str(folder), str(rank)], env=env)
        for rank in (0, 1)
    ]
    try:
        return [process.wait(timeout=300) for process in both]
    finally:
        for process in both:
            process.kill()


@pytest.mark.skipif(not torch.__version__.startswith("2.6."), reason="later ones do not hang there")
def test_leaving_a_group_does_not_hang(tmp_path: Path) -> None:
    assert run_both(GROUPS, tmp_path) == [0, 0]


@pytest.mark.parametrize("attempt", range(3))
def test_no_thread_of_a_group_aborts_its_process(attempt: int, tmp_path: Path) -> None:
    assert run_both(KEPT, tmp_path) == [0, 0]
