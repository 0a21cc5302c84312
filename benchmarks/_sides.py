"""Two sides of a comparison in one run: alternating, so that a busy machine slows both alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click


def alternate(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Any]:
    """Median seconds of each side, after a first round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def command(words: Sequence[str]) -> dict[str, float]:
    """Run a command that must succeed: its wall seconds, CPU seconds and peak memory in MiB."""
    # compiled modules are kept, as where people use it
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=env)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed")
    return {
        "wall": time.perf_counter() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "mib": usage.ru_maxrss / 1024,
    }


def report(**results: Any) -> None:
    """Print the results as JSON, floats to four digits; exit 1 where a target is missed."""
    click.echo(json.dumps(json.loads(json.dumps(results), parse_float=_short), indent=1))
    if not results["met"]:
        raise SystemExit(1)


def _short(number: str) -> float:
    return float(f"{float(number):.4g}")
