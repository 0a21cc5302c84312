"""2N steps equal N, kill -9, resume, N: byte for byte, for every family. And two processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ganzoo.training import train
from tests.tiny import families, recipe

ROOT = Path(__file__).parent.parent

KILLED = """
import os, sys
import torch
torch.set_num_threads(1)
from ganzoo.hookspecs import hookimpl
from ganzoo.training import train
from tests.tiny import recipe

class Killer:
    @hookimpl
    def ganzoo_step_end(self, trainer, step, logs):
        if step >= 12:
            os.kill(os.getpid(), 9)

train(recipe(sys.argv[1]), sys.argv[2], device="cpu", observers=[Killer()])
"""

TWO = """
import sys
import torch
torch.set_num_threads(1)
from ganzoo.training import train
from tests.tiny import recipe
train(recipe(sys.argv[1], every={"log": 2, "checkpoint": 5, "grid": 0}), sys.argv[2], device="cpu")
"""


def run_python(
    code: str, *arguments: str, launch: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*(launch or (sys.executable, "-c", code)), *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("family", families())
def test_resume_after_kill_is_exact(family: str, tmp_path: Path) -> None:
    whole = train(recipe(family), tmp_path / "whole", device="cpu")
    run = tmp_path / "killed"
    killed = run_python(KILLED, family, str(run))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [p.name for p in sorted((run / "checkpoints").iterdir())][-1] == "000000010"

    train(recipe(family), run, device="cpu", resume=True)
    for file in ("checkpoints/000000020/state.safetensors", "model/model.safetensors",
                 "model/discriminator.safetensors", "model/samples.png"):  # fmt: skip
        assert (run / file).read_bytes() == (whole / file).read_bytes(), file
    assert not [p for p in run.rglob("*") if ".tmp" in p.name]


def test_two_processes_equal_one_without_batch_norm(tmp_path: Path) -> None:
    one = train(recipe("gan"), tmp_path / "one", device="cpu")
    two = launch_two("gan", tmp_path)
    ours = load_file(one / "checkpoints/000000020/state.safetensors")
    theirs = load_file(two / "checkpoints/000000020/state.safetensors")
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=2e-3, atol=2e-5, msg=name)
    assert losses(two) == pytest.approx(losses(one), rel=1e-3, abs=1e-4)


def test_two_processes_run_with_batch_norm_per_rank(tmp_path: Path) -> None:
    two = launch_two("dcgan", tmp_path)
    tensors = load_file(two / "checkpoints/000000020/state.safetensors")
    assert all(bool(t.isfinite().all()) for t in tensors.values())
    assert len(losses(two)) == 12  # every 2 steps, and at the checkpoints of 5 and 15


def launch_two(family: str, folder: Path) -> Path:
    """On two CPU processes (gloo), with the launcher that `accelerate launch` uses for GPUs; with
    --cpu Accelerate itself starts only one."""
    script, run = folder / "two.py", folder / "two"
    script.write_text(TWO)
    done = run_python(
        "",
        str(script),
        family,
        str(run),
        launch=(
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node=2",
        ),
    )
    assert done.returncode == 0, done.stderr[-10_000:]
    record = json.loads((run / "model" / "training.json").read_text())
    assert record["hardware"]["processes"] == 2
    return run


def losses(run: Path) -> list[float]:
    return [json.loads(line)["D/real"] for line in (run / "log.jsonl").read_text().splitlines()]
