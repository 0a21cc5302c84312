"""What only a GPU shows, the most telling first: the latency of a single image with and without
CUDA graphs, seconds per kimg of a StyleGAN2 as one would train it, the tests that need a GPU, FID
of 50,000 images, and the other benchmarks there.

Each part is a process with a limit of time, and prints what it finds as it finds it; what no longer
fits into `--seconds` is named and left out. `--part` chooses some.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from _plain import plain
from _quiet import append_history, machine, matrix_peak, table
from accelerate import Accelerator
from generate import untrained
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ganzoo import inference
from ganzoo.data import load_data
from ganzoo.nn import fir_blur, fir_kernel
from ganzoo.parts import resolve
from ganzoo.precision import true_float32
from ganzoo.training import Recipe
from ganzoo.training.observers import Observers
from ganzoo.training.trainer import Setup, Trainer

HERE = Path(__file__).parent
BF16 = torch.bfloat16
DATA = 64
"""Images, which are drawn; what is in them takes no time."""
PUBLISHED = {256: {"V100": 20.84, "A100": 12.53}, 1024: {"V100": 141.83, "A100": 90.39}}
"""Seconds per kimg of NVIDIA's own "auto" configuration on one GPU (the stylegan3 repository's
docs/configs.md)."""


# -- the whole -------------------------------------------------------------------------------------


@click.command(help=__doc__)
@click.option("--part", "parts", multiple=True, help="latency, kimg, tests, …; by default all.")
@click.option("--seconds", default=540.0, show_default=True, help="For all parts together.")
@click.option("--history", help="Append the results to this file (benchmarks/history.jsonl).")
def main(parts: tuple[str, ...], seconds: float, history: str | None) -> None:
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here that torch can use by CUDA")
    end = time.monotonic() + seconds
    kept = [] if history is None else ["--history", str(Path(history).resolve())]
    there = ["--device", "cuda", *kept]
    several = ["-n", "4"] if importlib.util.find_spec("xdist") else []
    tests = [sys.executable, "-m", "pytest", "-v", "--tb=short", *several, "tests/test_gpu.py"]
    sizes = [word for size in (256, 64, 32, 1024) for word in ("--size", str(size))]
    families = ["--family", "stylegan2", "--family", "progan", "--family", "dcgan"]
    commands: dict[str, tuple[float, list[str]]] = {
        "machine": (40, _script("gpu.py", "--", "machine", *kept)),
        "latency": (170, _script("gpu.py", "--", "latency", "256", *kept)),
        "kimg": (120, _script("gpu.py", "--", "kimg", "256", *kept)),
        "tests": (240, tests),
        "fid": (60, _script("evaluation.py", "--device", "cuda")),
        "filters": (30, _script("gpu.py", "--", "filters", *kept)),
        "generate": (120, _script("generate.py", "--no-compile", *there, *families, *sizes)),
        "train": (120, _script("train.py", *there, *families, *sizes)),
        "kimg-1024": (90, _script("gpu.py", "--", "kimg", "1024", *kept)),
        "latency-64": (90, _script("gpu.py", "--", "latency", "64", *kept)),
        "latency-1024": (120, _script("gpu.py", "--", "latency", "1024", *kept)),
    }
    if unknown := set(parts) - set(commands):
        raise click.UsageError(f"no part is called {sorted(unknown)[0]}: {', '.join(commands)}")
    rows = []
    for name, (limit, command) in commands.items():
        if parts and name not in parts:
            continue
        left = end - time.monotonic()
        row = {"part": name, "seconds": 0.0, "came of it": "left out: no time"}
        if left > 15:
            click.echo(f"\n== {name} (at most {min(limit, left):.0f} s)", err=True)
            started = time.monotonic()
            row["came of it"] = _ended(command, min(limit, left))
            row["seconds"] = time.monotonic() - started
        rows.append(row)
        click.echo(f"-- {name}: {row['came of it']}", err=True)
    table(rows)
    if any(row["came of it"] != "done" for row in rows):
        raise SystemExit(1)


def _script(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-u", str(HERE / name), *arguments]


def _ended(command: list[str], seconds: float) -> str:
    """Run a command; how it ended."""
    variables = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, cwd=HERE.parent, env=variables, start_new_session=True)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return "out of time"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with the processes of its own
        process.wait()
    return "done" if code == 0 else f"exit {code}"


SAID: list[dict[str, Any]] = []


def say(**values: Any) -> None:
    """One line, at once."""
    SAID.append({k: _short(v) for k, v in values.items()})
    click.echo(json.dumps(SAID[-1]))


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


# -- parts -----------------------------------------------------------------------------------------


def part_machine() -> None:
    x = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    y = torch.empty_like(x)
    copied = 2 * x.numel() / seconds_of(lambda: y.copy_(x), 20)
    peaks = {"float32": matrix_peak("cuda"), "bf16": matrix_peak("cuda", BF16)}
    torch.backends.cuda.matmul.allow_tf32 = True
    peaks["tf32"] = matrix_peak("cuda")
    say(**machine(torch.get_num_threads(), "cuda"), cudnn=torch.backends.cudnn.version(),
        copied_bytes_per_second=copied, **{f"{k}_flops": v for k, v in peaks.items()})  # fmt: skip


def seconds_of(run: Callable[[], object], times: int = 50) -> float:
    """The median, each from an idle GPU to an idle GPU."""
    measured = []
    for number in range(times + 3):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        if number >= 3:
            measured.append(time.perf_counter() - started)
    return statistics.median(measured)


def part_latency(size: str) -> None:
    """A StyleGAN2 of the family's default widths, untrained: one image, and 64 of them."""
    G = untrained("stylegan2", int(size))
    assert G is not None
    expected = torch.Tensor(G.sample(2))
    G = G.to("cuda")
    theirs = plain(G)
    z = G.latents([0])
    hows = {
        "eager": inference.How(),
        "graphs": inference.How(compile=True),
        "bf16": inference.How(dtype=BF16),
        "bf16 graphs": inference.How(dtype=BF16, compile=True),
    }

    with true_float32(G.device):
        found = {"plain": seconds_of(functools.partial(inferred, theirs, z), 20)}
    say(size=size, form="plain", ms=1e3 * found["plain"])
    for form, how in hows.items():
        started = time.perf_counter()
        G.how = how
        images = torch.Tensor(G.sample(2, batch_size=1))
        first = time.perf_counter() - started
        call = functools.partial(inferred, inference.fast(G, how), z)
        found[form] = seconds_of(call)
        sampled = seconds_of(lambda: G.sample(1), 30)
        say(size=size, form=form, ms=1e3 * found[form], sample_ms=1e3 * sampled, first_s=first,
            difference_to_cpu=(images - expected).abs().max().item(),
            mean_difference=(images - expected).abs().mean().item(),
            eager_over_it=found["eager"] / found[form],
            plain_over_it=found["plain"] / found[form])  # fmt: skip
        if form in ("eager", "graphs"):
            profile(f"{size} {form}, batch 1", call)
    for form in ("eager", "bf16", "graphs"):
        n = 64 if int(size) <= 256 else 8
        many = functools.partial(inferred, inference.fast(G, hows[form]), G.latents(range(n)))
        started = time.perf_counter()
        many()
        torch.cuda.synchronize()
        say(size=size, form=form, batch=n, first_s=time.perf_counter() - started,
            images_per_second=n / seconds_of(many, 5))  # fmt: skip


@torch.inference_mode()
def inferred(network: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    return network(z)


def profile(title: str, run: Callable[[], object], most: int = 8) -> None:
    """The kernels that take longest, and how long all take together."""
    run()
    torch.cuda.synchronize()
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
            run()
            torch.cuda.synchronize()
        events = [e for e in profiled.key_averages() if e.self_device_time_total > 0]
    except (AssertionError, RuntimeError) as error:  # of the profiler: no reason to lose the rest
        say(profile=title, failed=str(error))
        return
    events.sort(key=lambda e: -e.self_device_time_total)
    total = sum(e.self_device_time_total for e in events) / 1e3
    say(profile=title, gpu_ms=total, kernels=sum(e.count for e in events))
    for event in events[:most]:
        ms = event.self_device_time_total / 1e3
        click.echo(f"   {ms:9.3f} ms {event.count:5d} x  {event.key[:110]}")


def part_kimg(size: str) -> None:
    """NVIDIA's "auto" settings for one GPU, of which the published seconds are; and others."""
    side = int(size)
    batch = max(4, min(32, 4096 // side))
    ada = {"augmentation": {"part": "ada", "p": 0.5, "target": 0}}
    base = 16384 if side < 512 else 32768
    for title, changes in {
        "auto, bf16": {"precision": "bf16", **ada},
        "without ADA": {"precision": "bf16"},
        "float32 (TF32)": ada,
        "batch x 2": {"precision": "bf16", **ada, "batch": 2 * batch},
    }.items():
        document = {
            "name": "benchmark",
            "data": {"source": f"shapes?n={DATA}&size={side}&channels=3"},
            "generator": {"part": "stylegan2", "channel_base": base, "mapping_layers": 2},
            "discriminator": {"part": "stylegan2", "channel_base": base},
            "loss": {"part": "stylegan2", "gamma": 0.0002 * side**2 / batch},
            "batch": batch,
            "kimg": 1000,
            **changes,
        }
        trainer = trainer_of(Recipe.from_dict(document))

        steps = functools.partial(seconds_from_to, trainer)
        warm = steps(0, 5)  # with all lazy terms
        torch.cuda.reset_peak_memory_stats()
        taken = min(steps(16, 32), steps(32, 48))  # one penalty on slopes and four path lengths
        per_kimg = taken / 16 / trainer.batch * 1000
        say(size=side, settings=title, batch=trainer.batch, seconds_per_kimg=per_kimg,
            images_per_second=1000 / per_kimg, published=PUBLISHED.get(side),
            GiB=torch.cuda.max_memory_allocated() / 2**30, first_five_steps_s=warm)  # fmt: skip
        if title == "auto, bf16":
            profile(f"{side} a step without lazy terms", functools.partial(steps, 17, 18), 14)
            profile(f"{side} a step with all", functools.partial(steps, 16, 17), 6)
        del trainer
        torch.cuda.empty_cache()


def seconds_from_to(trainer: Trainer, first: int, last: int) -> float:
    trainer.step = first
    torch.cuda.synchronize()
    started = time.perf_counter()
    while trainer.step < last:
        trainer.train_step()
        trainer.step += 1
    trainer.collect_logs()  # waits for the GPU
    return time.perf_counter() - started


def trainer_of(recipe: Recipe) -> Trainer:
    data = load_data(recipe.data.source)
    resolved = recipe.resolve(data.image_shape, data.num_classes)
    part, config = resolved.chosen["trainer"]
    setup = Setup(resolved, data, Path(), Accelerator(), Observers())
    made: Trainer = resolve(part.factory)(config, setup)
    return made


def part_filters() -> None:
    """Ways to blur by [1, 3, 3, 1], forward and backward: a depthwise convolution in both layouts,
    and three means of 2 x 2 pixels."""
    kernel = fir_kernel().to("cuda")

    def means(x: Tensor) -> Tensor:
        for padding in (1, 1, 0):
            x = avg_pool2d(x, 2, stride=1, padding=padding)
        return x

    ways: dict[str, tuple[Any, Callable[[Tensor], Tensor]]] = {
        "depthwise, channels_last": (torch.channels_last, lambda x: fir_blur(x, kernel, padding=2)),
        "depthwise, NCHW": (torch.contiguous_format, lambda x: fir_blur(x, kernel, padding=2)),
        "means, channels_last": (torch.channels_last, means),
    }
    for dtype in (BF16, torch.float32):
        for channels, side in ((64, 256), (256, 64), (512, 16)):
            row: dict[str, Any] = {"dtype": str(dtype), "channels": channels, "side": side}
            for name, (layout, blur) in ways.items():
                x = torch.randn(16, channels, side, side, device="cuda", dtype=dtype)
                x = x.contiguous(memory_format=layout).requires_grad_()
                y = blur(x)
                grad = torch.randn_like(y)
                row[f"{name}, forward ms"] = 1e3 * seconds_of(functools.partial(blur, x), 10)
                both = seconds_of(functools.partial(forward_and_back, blur, x, grad), 10)
                row[f"{name}, both ms"] = 1e3 * both
            row["a copy, ms"] = 1e3 * seconds_of(x.detach().clone, 10)
            say(**row)


def forward_and_back(way: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> object:
    return torch.autograd.grad(way(x), x, grad)


def one_part(name: str, *arguments: str) -> None:
    """In a process of its own: its size, if it has one, and where its results are kept."""
    given = [word for word in arguments if word.isdigit()]
    of_part: Callable[..., None] = globals()[f"part_{name}"]
    of_part(*given)
    append_history(
        arguments[-1] if "--history" in arguments else None,
        benchmark=f"gpu {' '.join([name, *given])}",
        **machine(torch.get_num_threads(), "cuda"),
        results=SAID,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--"]:
        one_part(*sys.argv[2:])
    else:
        main()
