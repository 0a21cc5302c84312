"""What a run may have used in energy: its time, multiplied by a power that is assumed and said.

Nothing is measured, so nothing is called a measurement. A CPU thread is taken for 10 W: processors
are rated at some 4 to 10 W a core, and memory and power supplies come on top. A GPU is taken for
its power limit, as `nvidia-smi` tells it, which it does not pass and seldom reaches. What else is
in the machine, idle time and cooling are left out. For another device no figure is given.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

WATTS_PER_THREAD = 10


def estimate(seconds: float, hardware: Mapping[str, Any]) -> dict[str, Any]:
    """The energy of a run.

    Args:
        seconds: how long it took.
        hardware: of training.json: `device`, `threads` and `processes`, and for a GPU
            `power_limit_watts`.

    Returns:
        `kwh`, `watts` and `assumed` (in words); the first two are None where nothing can be said.
    """
    limit = _positive(hardware.get("power_limit_watts"))
    threads = _positive(hardware.get("threads"))
    processes = _positive(hardware.get("processes", 1))
    watts, assumed = 0.0, ""
    if limit:
        watts = round(limit * processes, 1)
        assumed = f"{limit:g} W for each GPU, its power limit"
    elif str(hardware.get("device")).startswith("cpu"):
        watts = WATTS_PER_THREAD * threads * processes
        assumed = f"{WATTS_PER_THREAD} W for each CPU thread"
    if not watts or not 0 <= seconds < 1e9:
        return {"kwh": None, "watts": None, "assumed": "no power is known of this device"}
    kwh = float(f"{watts * seconds / 3.6e6:.3g}")
    return {
        "kwh": kwh,
        "watts": watts,
        "assumed": f"{assumed}; the rest of the machine and its cooling are not counted",
    }


def as_text(energy: Mapping[str, Any]) -> str:
    """`about 40 Wh (estimate: 40 W assumed, …)`, or why there is none."""
    kwh, watts, assumed = (energy.get(key) for key in ("kwh", "watts", "assumed"))
    if not isinstance(kwh, (int, float)) or not isinstance(watts, (int, float)):
        return f"not estimated: {assumed}"
    amount = f"{kwh:.3g} kWh" if kwh >= 1 else f"{1000 * kwh:.3g} Wh"
    return f"about {amount} (estimate: {watts:g} W assumed, {assumed})"


@functools.cache
def power_limit(device: torch.device) -> float | None:
    """The power limit of a GPU in watts; None for another device, or where it is not told."""
    import shutil
    import subprocess

    import torch

    program = shutil.which("nvidia-smi")
    if device.type != "cuda" or program is None or torch.version.hip:
        return None
    # by its own name: an index of nvidia-smi's is another than one under CUDA_VISIBLE_DEVICES
    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    query = ["--query-gpu=power.limit", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            [program, f"--id=GPU-{uuid.removeprefix('GPU-')}", *query],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        watts = float(done.stdout.strip())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return watts if 0 < watts < 1e5 else None


def _positive(value: Any) -> float:
    """A number of a record of anyone's; 0 where it is none that can be meant."""
    sound = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e6
    return value if sound else 0
