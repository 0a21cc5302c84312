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


@pytest.mark.skipif(not torch.__version__.startswith("2.6."), reason="later ones do not hang there")
def test_leaving_a_group_does_not_hang(tmp_path: Path) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen([sys.executable, "-c", GROUPS, str(tmp_path), str(rank)], env=env)
        for rank in (0, 1)
    ]
    try:
        assert [process.wait(timeout=120) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
