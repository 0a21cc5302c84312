"""Images a second of each family's generator, in our forms, beside a plain PyTorch statement of the
same network, at batch 8 and at the batch that suits the plain one best; FLOP/s beside the fastest
product of matrices of this machine; and, in a process of its own, the time to load and to the first
image, and peak memory.

Widths are the defaults of the families, weights untrained. JSON on stdout, a table on stderr.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from _plain import plain
from _quiet import alternate_alone, append_history, flops_of, machine, matrix_peak, table
from _sides import report
from torch import Tensor

from ganzoo import checkpoint, inference, plugins
from ganzoo.errors import GanzooError
from ganzoo.models import Generator, build
from ganzoo.precision import true_float32

FAMILIES = ("gan", "dcgan", "cgan", "wgan", "wgan-resnet", "progan", "stylegan", "stylegan2")
BATCH = 8
MANY = {"gan": 64, "dcgan": 64, "cgan": 64, "wgan": 64}
"""Of families whose images are small work: the batch that `sample` has by default."""
TARGETS = {  # (family, size): over the plain statement at its batch, and at its best batch size
    ("dcgan", 32): (1.2, 1.0),
    ("dcgan", 64): (1.2, 1.0),
    ("progan", 32): (1.3, 1.3),
    ("progan", 64): (1.3, 1.3),
    ("progan", 256): (1.3, 1.3),
    ("stylegan2", 64): (3.0, 1.5),
    ("stylegan2", 256): (2.2, 1.3),
}
BF16, GRAPHS, TOLERANCE = 1.8, 3.0, 1e-4
"""bfloat16 over our float32 where the CPU has it; a batch of 1 with CUDA graphs over without."""
BF16_OF_PEAK = 0.7
"""Or else the share of the fastest product of two matrices in bfloat16."""
COLD = """
import json, resource, sys, time
started = time.perf_counter()
import torch
import ganzoo
torch.set_num_threads(int(sys.argv[2]))
imported = time.perf_counter()
G = ganzoo.load(sys.argv[1], device=sys.argv[3])
loaded = time.perf_counter()
G.sample(1)
first = time.perf_counter()
G.sample(8)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
if sys.argv[3] == "cuda":
    peak = torch.cuda.max_memory_allocated() / 2**20
print(json.dumps({"import_seconds": imported - started, "load_seconds": loaded - imported,
    "first_image_seconds": first - loaded, "peak_mib": peak}))
"""


@click.command(help=__doc__)
@click.option("--family", "families", multiple=True, default=FAMILIES, show_default=True)
@click.option("--size", "sizes", multiple=True, type=int, help="32, 64, 256; 1024 too on a GPU.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
@click.option("--compile/--no-compile", "compiled", default=None, help="Also by torch.compile; by"
              " default on a GPU.")  # fmt: skip
@click.option("--history", help="Append the results to this file (benchmarks/history.jsonl).")
def main(
    families: tuple[str, ...],
    sizes: tuple[int, ...],
    rounds: int,
    threads: int,
    device: str,
    compiled: bool | None,
    history: str | None,
) -> None:
    torch.set_num_threads(threads)
    cuda = device.startswith("cuda")
    sizes = sizes or ((32, 64, 256, 1024) if cuda else (32, 64, 256))
    peak = matrix_peak(device)
    low_peak = matrix_peak(device, torch.bfloat16) if has_bf16(device) else None
    results, rows = {}, []
    for family in families:
        for size in sizes:
            G = untrained(family, size)
            if G is None:
                continue
            G = G.to(device)
            by_compiler = cuda if compiled is None else compiled
            result = compared(G, family, size, rounds, threads, device, by_compiler, peak, low_peak)
            results[f"{family} {size}x{size}"] = result
            speeds = result["images_per_second"]
            rows.append(
                {"network": f"{family} {size}", **speeds, "x plain": result["ratio"],
                 "x best": result["ratio_to_best"], "of peak": result["of_peak"],
                 "bf16 of peak": result["bf16_of_peak"],
                 "error": result["largest_difference"], "MiB": result["peak_mib"],
                 "alone": "yes" if result["alone"] else "NO"}
            )  # fmt: skip
            table(rows[-1:])
    everything = {
        "benchmark": "generate",
        **machine(threads, device),
        "matrix_peak_flops": peak,
        "bf16_matrix_peak_flops": low_peak,
        "results": results,
        "met": all(result["met"] for result in results.values()),
    }
    append_history(history, **everything)
    report(**everything)


def untrained(family: str, size: int) -> Generator | None:
    """As the family's default config has it, or None where it has no such size."""
    part = plugins.load().parts.get("generator", family)
    classes = {"num_classes": 10} if family == "cgan" else {}
    try:
        config = part.make_config({"image_shape": [3, size, size], **classes})
    except GanzooError:
        return None
    G: Generator = build(part, config, seed=0).eval()
    G.name = f"untrained {family} {size}x{size}"
    return G


def compared(
    G: Generator,
    family: str,
    size: int,
    rounds: int,
    threads: int,
    device: str,
    compiled: bool,
    peak: float,
    low_peak: float | None,
) -> dict[str, Any]:
    batch = MANY.get(family, BATCH)
    theirs = plain(G)
    z, labels = G.latents(range(batch)), None
    if G.num_classes:
        labels = torch.arange(batch, device=device) % G.num_classes
    with torch.inference_mode(), true_float32(G.device):
        few = slice(0, min(batch, 2))
        flops = flops_of(lambda: theirs(z[:1], None if labels is None else labels[:1]))
        found = inference.fast(G)(z[few], None if labels is None else labels[few])
        expected = theirs(z[few], None if labels is None else labels[few])
        difference = (found - expected).abs().max().item()

    def in_batches(of: int) -> Callable[[], Tensor]:
        @torch.inference_mode()
        def run() -> Tensor:
            parts = [slice(k, k + of) for k in range(0, batch, of)]
            with true_float32(G.device):
                made = [theirs(z[p], None if labels is None else labels[p]) for p in parts]
            return torch.cat(made).cpu()

        return run

    def sampled(how: inference.How, of: int = batch) -> Callable[[], object]:
        def run() -> object:
            G.how = how
            return G.sample(batch, batch_size=of)

        return run

    sides: dict[str, Callable[[], object]] = {f"plain {batch}": in_batches(batch)}
    sides |= {f"plain {of}": in_batches(of) for of in (1, 2) if of < batch}
    sides |= {"ours": sampled(inference.How()), "ours 1": sampled(inference.How(), 1)}
    if low_peak:
        sides["bf16"] = sampled(inference.How(dtype=torch.bfloat16))
    if compiled:
        sides["compiled"] = sampled(inference.How(compile=True))
        sides["compiled 1"] = sampled(inference.How(compile=True), 1)
    seconds = alternate_alone(sides, rounds, threads, device)
    speeds = {name: batch / measured["seconds"] for name, measured in seconds.items()}
    ratio = speeds["ours"] / speeds[f"plain {batch}"]
    best = max(speed for name, speed in speeds.items() if name.startswith("plain"))
    at_least, at_least_best = TARGETS.get((family, size), (1.0, 0.9))
    met = {
        "plain": ratio >= at_least,
        "best": speeds["ours"] / best >= at_least_best,
        "same_images": difference <= TOLERANCE,
    }
    low_share = flops * speeds["bf16"] / low_peak if low_peak else None
    if low_share and device == "cpu" and family == "stylegan2" and size >= 64:
        met["bf16"] = speeds["bf16"] / speeds["ours"] >= BF16 or low_share >= BF16_OF_PEAK
    if compiled and device.startswith("cuda") and family == "stylegan2":
        met["graphs"] = speeds["compiled 1"] / speeds["ours 1"] >= GRAPHS
    alone = all(measured["kept"] for measured in seconds.values())
    return {
        "batch": batch,
        "images_per_second": speeds,
        "seconds": seconds,
        "alone": alone,
        "ratio": ratio,
        "at_least": at_least,
        "ratio_to_best": speeds["ours"] / best,
        "at_least_to_best": at_least_best,
        "flops_per_image": flops,
        "of_peak": flops * speeds["ours"] / peak,  # of the plain products: tiles need fewer
        "bf16_of_peak": low_share,
        "largest_difference": difference,
        **cold(G, threads, device),
        "targets": met,
        "met": all(met.values()) or not alone,  # what was disturbed proves nothing
    }


def cold(G: Generator, threads: int, device: str) -> dict[str, float]:
    """A process that loads the model and samples 1 and 8 images."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model/")
        checkpoint.save(folder, G, name="benchmark")
        words = [sys.executable, "-c", COLD, f"{folder}/", str(threads), device]
        run = subprocess.run(words, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(run.stdout)
    return measured


def has_bf16(device: str) -> bool:
    """Whether there are instructions for it: AVX512_BF16 or AMX, or a GPU from Ampere on."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


if __name__ == "__main__":
    main()
