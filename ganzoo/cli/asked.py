"""What words on the command line mean: seeds, classes, a mix; and which options go together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ganzoo.errors import InputError
from ganzoo.rng import check_seed

MAX_IMAGES = 10_000_000
"""In one call: the list of their seeds is held in memory, the images are not."""


def refuse_beside(
    option: str, others: Mapping[str, Any], remedy: str = "leave one of the two out"
) -> None:
    """Refuse the first of the `others` that is given beside an option that has no use for it."""
    for other, given in others.items():
        if given is not None and given is not False:
            raise InputError(f"{option} takes no {other}", remedy)


def find_seeds(n: int | None, seed: int | None, seeds: str | None, default: int) -> Sequence[int]:
    """The seed of each image: --seeds, else -n (or `default`) of them from --seed on."""
    if seeds is not None:
        if seed is not None:
            raise InputError("--seed and --seeds are both given", "give one of the two")
        chosen = parse_seeds(seeds)
        if n is not None and n != len(chosen):
            raise InputError(f"-n {n}, but --seeds names {len(chosen)}", "give one of the two")
        return chosen
    n = default if n is None else n
    if n < 1:
        raise InputError(f"-n {n} is too small", "ask for 1 image or more")
    seed = check_seed(seed or 0)
    check_seed(seed + _checked_count(n) - 1)
    return range(seed, seed + n)


def parse_seeds(text: str) -> Sequence[int]:
    """The seeds in text such as 0-63,100."""
    ranges = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,99})\s*(?:-\s*(\d{1,99})\s*)?", part)
        if match is None:
            told = f"--seeds {text[:80]!r}: {part.strip()[:80]!r} is no seed"
            raise InputError(told, "write 0-63,100")
        first = check_seed(int(match[1]))
        last = first if match[2] is None else check_seed(int(match[2]))
        if last < first:
            told = f"--seeds {text[:80]!r}: {part.strip()} is empty"
            raise InputError(told, f"write {last}-{first}")
        ranges.append(range(first, last + 1))
    _checked_count(sum(last.stop - last.start for last in ranges))
    return ranges[0] if len(ranges) == 1 else [seed for part in ranges for seed in part]


def _checked_count(n: int) -> int:
    if n > MAX_IMAGES:
        raise InputError(
            f"{n:,} images are too many for one call", f"ask for {MAX_IMAGES:,} or fewer at a time"
        )
    return n


def parse_mix(text: str) -> tuple[int, int | None]:
    """The seed and layer in text such as 7:4; None for the layer of 7."""
    match = re.fullmatch(r"\s*(\d{1,99})\s*(?::\s*(\d{1,7})\s*)?", text)
    if match is None:
        raise InputError(
            f"--mix {text[:80]!r} is no seed", "write --mix 7, or --mix 7:4 for a layer"
        )
    return check_seed(int(match[1])), None if match[2] is None else int(match[2])


def parse_labels(text: str) -> list[int | str]:
    """The classes in text such as 0-9 or 3,cat: numbers as int, names as they are."""
    labels: list[int | str] = []
    for part in map(str.strip, text.split(",")):
        match = re.fullmatch(r"(\d{1,7})(?:-(\d{1,7}))?", part)
        if match is None:
            labels.append(part)
            continue
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"the classes {part} are none", f"write {last}-{first}")
        labels += range(first, last + 1)
    return labels
