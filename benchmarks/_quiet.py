"""Times that nothing else has disturbed, the peak of the machine, and what is kept of a run."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

BUSY = 0.9
"""Of the time of its threads that a measurement must have had. OpenMP's threads wait for each other
in loops, so that one alone on the machine has nearly all; one that has less ran beside another."""
OTHERS = 0.15
"""Cores that other processes may have used meanwhile."""


def measure(
    run: Callable[[], object], threads: int, device: str = "cpu", times: int = 1
) -> dict[str, Any]:
    """Wall and process seconds of a call, of so many in a row, and whether it was alone on the
    machine."""
    synchronise(device)
    busy, cpu, wall = _busy(), time.process_time(), time.perf_counter()
    for _ in range(times):
        run()
    synchronise(device)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    others = (_busy() - busy - cpu) / wall
    alone = others <= OTHERS and (device != "cpu" or cpu >= BUSY * threads * wall)
    return {"wall": wall / times, "cpu": cpu / times, "others": others, "alone": alone}


def alternate_alone(
    sides: Mapping[str, Callable[[], object]], rounds: int, threads: int, device: str = "cpu"
) -> dict[str, dict[str, Any]]:
    """Median wall and least process seconds of each side, alternating, after a round that does not
    count; on a GPU, of as many calls as take a quarter of a second. Disturbed measurements are
    thrown away, and repeated up to twice the rounds. Where a side was never alone, `seconds` are
    the least process seconds a thread, of all sides: these can be compared, if not well, and `kept`
    is 0."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    times = dict.fromkeys(sides, 1)
    if device.startswith("cuda"):
        for name, run in sides.items():
            run()
            times[name] = max(1, min(100, int(0.25 / measure(run, threads, device)["wall"])))
    for number in range(3 * rounds + 1):
        if all(sum(m["alone"] for m in measured) >= rounds for measured in found.values()):
            break
        for name, run in sides.items():
            measured = measure(run, threads, device, times[name])
            if number:
                found[name].append(measured)
    result = {}
    all_alone = all(any(m["alone"] for m in measured) for measured in found.values())
    for name, measured in found.items():
        alone = [m for m in measured if m["alone"]]
        kept = alone or measured
        wall, cpu = statistics.median(m["wall"] for m in kept), min(m["cpu"] for m in kept)
        result[name] = {
            "seconds": wall if all_alone else cpu / threads,
            "wall": wall,
            "cpu": cpu,
            "kept": len(alone),
            "thrown_away": len(measured) - len(alone),
        }
    return result


def _busy() -> float:
    """Seconds that all processes of the machine have computed, where the system tells."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return time.process_time()
    user, nice, system = map(int, fields[:3])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


@torch.inference_mode()
def matrix_peak(device: str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """FLOP/s of the fastest product of two matrices of 2048 x 2048 (8192 x 8192 on a GPU): by
    PyTorch's BLAS, or on a CPU by oneDNN, which convolutions use."""
    size = 8192 if device.startswith("cuda") else 2048
    a = torch.randn(size, size, device=device, dtype=dtype)
    ways: list[Callable[[], object]] = [lambda: a @ a]
    if device == "cpu" and torch.backends.mkldnn.is_available():
        ways.append(lambda: torch.ops.mkldnn._linear_pointwise(a, a, None, "none", [], ""))
    least = float("inf")
    for way in ways:
        for _ in range(6):
            measured = measure(way, torch.get_num_threads(), device)
            cpu = measured["cpu"] / torch.get_num_threads()  # also right beside other processes
            least = min(least, cpu if device == "cpu" else measured["wall"])
    return 2 * size**3 / least


class _Flops(TorchDispatchMode):
    """`FlopCounterMode` watches modules too, which a gradient of a gradient does not allow."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def flops_of(run: Callable[[], object]) -> int:
    """Of the products and convolutions in a call."""
    with torch.inference_mode(False), _Flops() as counted:  # else convolutions are not taken apart
        run()
    return counted.total


def machine(threads: int, device: str) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True
    )
    name = torch.cuda.get_device_name() if device.startswith("cuda") else _processor()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.decode().strip(),
        "torch": torch.__version__,
        "device": name,
        "threads": threads,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")


def table(rows: list[Mapping[str, Any]]) -> None:
    """On stderr, beside the JSON on stdout."""
    if not rows:
        return
    columns = list(rows[0])
    lines = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    for line in lines:
        cells = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells), err=True)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def append_history(path: str | None, **results: Any) -> None:
    """One line of JSON a run."""
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(results) + "\n")
