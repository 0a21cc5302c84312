"""2N steps equal N, kill -9, resume, N: byte for byte, for every family. And two processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ganzoo import plugins
from ganzoo.errors import TrainingError
from ganzoo.models import build
from ganzoo.training import Recipe, train
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
import json, pathlib, sys
import torch
torch.set_num_threads(1)
from ganzoo.training import Recipe, train
for name, document in json.loads(sys.argv[1]).items():
    train(Recipe.from_dict(document), pathlib.Path(sys.argv[2]) / name, device="cpu")
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


def make_older(run: Path, *gained: str) -> None:
    """The run as a version left it that did not know these settings (table.key)."""
    path = run / "run.toml"
    text = path.read_text()
    for setting in gained:
        table, _, key = setting.rpartition(".")
        head, start, rest = text.partition(f"[{table}]\n")
        line = next(line for line in rest.splitlines(True) if line.startswith(f"{key} ="))
        text = head + start + rest.replace(line, "", 1)
    path.write_text(text)
    document = tomllib.loads(text)
    for free in ("name", "every", "evaluate", "finish", "model", "about", "kimg"):
        document.pop(free, None)
    for said in ("shows_people", "not_for_all_audiences", "consent"):
        document["data"].pop(said, None)
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    for state in run.glob("checkpoints/*/state.json"):
        state.write_text(json.dumps({**json.loads(state.read_text()), "recipe": digest}))


def test_a_run_from_before_parts_got_further_settings_is_resumed(tmp_path: Path) -> None:
    whole = train(recipe("dcgan"), tmp_path / "whole", device="cpu")
    run = train(recipe("dcgan"), tmp_path / "run", device="cpu", steps=10)
    make_older(run, "optimizer.generator.final_lr", "generator.output")
    left = (run / "run.toml").read_bytes()
    train(run / "run.toml", run, device="cpu", resume=True, steps=2)
    assert (run / "run.toml").read_bytes() == left  # which tells whose the checkpoints are
    train(recipe("dcgan"), run, device="cpu", resume=True)
    for file in ("checkpoints/000000020/state.safetensors", "model/model.safetensors"):
        assert (run / file).read_bytes() == (whole / file).read_bytes(), file


def test_a_run_whose_recipe_was_edited_is_not_resumed(tmp_path: Path) -> None:
    run = train(recipe("dcgan"), tmp_path / "run", device="cpu", steps=10)
    make_older(run, "optimizer.generator.final_lr")
    path = run / "run.toml"
    path.write_text(path.read_text().replace("seed = 3", "seed = 4"))
    with pytest.raises(TrainingError, match="is of another recipe"):
        train(path, run, device="cpu", resume=True)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each family on two CPU processes (gloo), one after the other in one launch, with
    the launcher that `accelerate launch` uses for GPUs; with --cpu Accelerate itself starts only
    one."""
    folder = tmp_path_factory.mktemp("two")
    script = folder / "two.py"
    script.write_text(TWO)
    documents = json.dumps({family: for_two(family).to_dict() for family in families()})
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    done = run_python("", str(script), documents, str(folder), launch=launch)
    assert done.returncode == 0, done.stderr[-10_000:]
    return folder


def for_two(family: str) -> Recipe:
    return recipe(family, every={"log": 2, "checkpoint": 5, "grid": 0})


@pytest.mark.parametrize("family", families())
def test_two_processes_run_and_equal_one_where_no_layer_mixes_images(
    family: str, two: Path, tmp_path: Path
) -> None:
    """Batch norm and minibatch statistics are those of each process's part, as documented."""
    run = two / family
    record = json.loads((run / "model" / "training.json").read_text())
    assert record["hardware"]["processes"] == 2
    theirs = load_file(run / "checkpoints/000000020/state.safetensors")
    assert all(bool(t.isfinite().all()) for t in theirs.values() if t.is_floating_point())
    assert len(losses(run)) == 12  # every 2 steps, and at the checkpoints of 5 and 15
    if mixes_images(family):
        return
    one = train(for_two(family), tmp_path / "one", device="cpu")
    for name, tensor in load_file(one / "checkpoints/000000020/state.safetensors").items():
        torch.testing.assert_close(theirs[name], tensor, rtol=2e-3, atol=2e-5, msg=name)
    assert losses(run) == pytest.approx(losses(one), rel=1e-3, abs=1e-4)


def mixes_images(family: str) -> bool:
    """Whether an image or a score depends on the others of its batch, in training."""
    registry = plugins.load().parts
    critic = registry.get("discriminator", family)
    if "per-sample" not in critic.provided(critic.make_config(critic.tiny)):
        return True
    generator = registry.get("generator", family)
    G = build(generator, generator.make_config(generator.tiny))
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in G.modules())


def test_some_families_are_compared() -> None:
    assert not mixes_images("gan") and not mixes_images("cgan-mlp") and mixes_images("dcgan")


@pytest.mark.parametrize("family", families())
def test_a_family_trains_in_mixed_precision(family: str, tmp_path: Path) -> None:
    """In bf16 the first losses are those of float32 but for rounding; weights stay float32."""
    runs = {
        precision: train(
            recipe(family, precision=precision, every={"log": 1, "grid": 0}),
            tmp_path / precision,
            device="cpu",
            steps=4,
        )
        for precision in ("float32", "bf16")
    }
    state = load_file(runs["bf16"] / "checkpoints/000000004/state.safetensors")
    assert {t.dtype for t in state.values()} <= {torch.float32, torch.int64}
    assert all(bool(t.isfinite().all()) for t in state.values() if t.is_floating_point())
    exact, rounded = losses(runs["float32"]), losses(runs["bf16"])
    assert rounded == pytest.approx(exact, rel=0.1, abs=0.1) and rounded != exact


def losses(run: Path) -> list[float]:
    return [json.loads(line)["D/real"] for line in (run / "log.jsonl").read_text().splitlines()]


PLAN = """
import itertools, json, os, pathlib, sys
import torch
torch.set_num_threads(1)
from ganzoo.training import plan, report
from tests.tiny import recipe

seconds = 8.0 if os.environ["RANK"] == "0" else 16.0  # on either side of PATIENCE
report.time.perf_counter = itertools.count(0.0, seconds).__next__
found = plan(recipe("gan"), device="cpu")
pathlib.Path(sys.argv[1], os.environ["RANK"]).write_text(json.dumps(found["seconds_per_step"]))
torch.distributed.barrier()
os._exit(0)  # gloo's threads may abort a process while it ends in its own way
"""


def test_two_processes_of_other_clocks_end_their_dry_run_together(tmp_path: Path) -> None:
    script = tmp_path / "plan.py"
    script.write_text(PLAN)
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    done = run_python("", str(script), str(tmp_path), launch=launch)
    assert done.returncode == 0, done.stderr[-10_000:]
    first, second = (json.loads((tmp_path / rank).read_text()) for rank in "01")
    assert first == second == 12.0  # their mean: the first step was enough for both
