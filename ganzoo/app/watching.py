"""A run, read while it goes on: its log, its grids, and curves of the numbers in it.

Nothing is written to the run's folder, and training neither waits for this nor knows of it.
"""

from __future__ import annotations

import html
import json
import math
import shutil
import threading
import time
import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from ganzoo.errors import InputError

MOST_POINTS = 20_000
"""Of a series in memory: beyond, every second one is forgotten."""
MOST_SERIES = 60
_DRAWN = 300
_COLOURS = 6
_NOT_DRAWN = ("step", "images", "time")


@dataclass
class Log:
    """`log.jsonl`: what it said last, and the series of each number by its name."""

    last: dict[str, float] = field(default_factory=dict)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, line: str) -> None:
        """A line; what is no line of a log is left out."""
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return
        step = entry.get("step") if isinstance(entry, dict) else None
        if type(step) is not int:
            return
        self.last = {k: v for k, v in entry.items() if type(v) in (int, float) and math.isfinite(v)}
        for name, value in self.last.items():
            if name in _NOT_DRAWN or (name not in self.series and len(self.series) >= MOST_SERIES):
                continue
            points = self.series.setdefault(name, [])
            points.append((step, value))
            if len(points) > MOST_POINTS:
                del points[::2]


class Run:
    """A run folder.

    Args:
        path: where it is.
        folder: where copies of its grids go, to be served from there.

    Raises:
        InputError: it is no run folder.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self._folder = path, folder
        if not (path / "run.toml").is_file():
            raise InputError(f"{path} is no run folder", "name the --out of `ganzoo train`")
        self._lock = threading.Lock()
        self._log, self._read_to = Log(), 0

    def log(self) -> Log:
        """The log as it is now: only what is new is read."""
        path = self.path / "log.jsonl"
        with self._lock:
            try:
                size = path.stat().st_size
                if size < self._read_to:  # it was cut back: the run was resumed
                    self._log, self._read_to = Log(), 0
                with open(path, "rb") as file:
                    file.seek(self._read_to)
                    for line in file:
                        if not line.endswith(b"\n"):
                            break  # half written
                        self._read_to += len(line)
                        self._log.add(line.decode(errors="replace"))
            except OSError:
                pass
            return self._log

    def grids(self) -> list[Path]:
        """The pictures so far, the oldest first."""
        folder = self.path / "grids"
        found = folder.glob("[0-9]*.png") if folder.is_dir() else ()
        # a link in a run of someone else's may lead to any file
        inside = self.path.resolve() / "grids"
        return sorted(
            path for path in found if path.stem.isdecimal() and path.resolve().parent == inside
        )

    def served(self, grid: Path) -> Path:
        """A copy of a grid, mark and all, in the folder that is served."""
        copy = self._folder / f"step-{grid.name}"
        with self._lock:
            if not copy.exists() or copy.stat().st_mtime < grid.stat().st_mtime:
                for former in sorted(self._folder.glob("step-*.png"))[:-100]:
                    former.unlink(missing_ok=True)
                shutil.copyfile(grid, copy)
        return copy

    def status(self) -> str:
        """Where it is, as HTML."""
        recipe = self._recipe()
        last = self.log().last
        name = html.escape(str(recipe.get("name") or self.path.name))
        if not last:
            return _cells(f"<b>{name}</b>", ["no step is logged yet"])
        rate, images = last.get("images_per_second", 0.0), last.get("images", 0.0)
        facts = [f"step <b>{last['step']:,}</b>", f"{images:,.0f} images"]
        total = recipe.get("kimg")
        if isinstance(total, (int, float)) and total > 0:
            share = min(1.0, images / (1000 * total))
            facts.append(f"{share:.1%} of {total:g} kimg")
            if rate and share < 1:
                left = timedelta(seconds=round((1000 * total - images) / rate))
                facts.append(f"{left} left")
        if rate:
            facts.append(f"{rate:,.0f} images/s")
        ago = time.time() - last.get("time", time.time())
        if ago > 60:
            facts.append(f"last word {timedelta(seconds=round(ago))} ago")
        return _cells(f"<b>{name}</b>", facts)

    def _recipe(self) -> dict[str, Any]:
        try:
            return tomllib.loads((self.path / "run.toml").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}


def _cells(head: str, facts: list[str]) -> str:
    return f'<div id="status">{head}{"".join(f"<span>{fact}</span>" for fact in facts)}</div>'


# -- curves ----------------------------------------------------------------------------------------


def curves(log: Log) -> str:
    """All series as SVG in HTML: losses together, scores of D together, each other one alone."""
    groups: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, points in list(log.series.items()):  # another visitor's look may add one
        kind = name.partition("/")[0]
        title = {"D": "Losses", "G": "Losses", "score": "Scores of the discriminator"}.get(kind)
        groups.setdefault(title or name, {})[name] = points
    first = sorted(groups, key=lambda title: (title != "Losses", not title.startswith("eval/")))
    charts = [chart(title, groups[title]) for title in first]
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def chart(title: str, series: dict[str, list[tuple[float, float]]]) -> str:
    """One chart: lines over steps, between the smallest and largest value."""
    width, height, left, top = 420, 190, 58, 10
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    wide, high = x1 - x0 or 1, y1 - y0 or 1
    right, bottom = width - 8, height - 22
    lines, keys = [], []
    for k, (name, points) in enumerate(series.items()):
        at = " ".join(
            f"{left + (x - x0) / wide * (right - left):.1f},"
            f"{bottom - (y - y0) / high * (bottom - top):.1f}"
            for x, y in thinned(points)
        )
        colour = f"c{k % _COLOURS}"
        lines.append(f'<polyline class="{colour}" points="{at}"/>')
        if len(points) == 1:
            x, y = at.split(",")
            lines.append(f'<circle class="{colour}" cx="{x}" cy="{y}" r="2.5"/>')
        called = "" if name == title else f"{html.escape(name)} "
        keys.append(f'<span class="{colour}">{called}{points[-1][1]:.4g}</span>')
    labels = "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'
        for x, y, anchor, text in (
            (left - 5, top + 8, "end", _short(y1)),
            (left - 5, bottom, "end", _short(y0)),
            (left, height - 6, "start", f"{x0:,.0f}"),
            (right, height - 6, "end", f"step {x1:,.0f}"),
        )
    )
    frame = f'<path class="frame" d="M{left} {top}V{bottom}H{right}"/>'
    return (
        f"<figure><figcaption><b>{html.escape(title)}</b>{''.join(keys)}</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title)}">'
        f"{frame}{''.join(lines)}{labels}</svg></figure>"
    )


def _short(value: float) -> str:
    """Beside an axis there is room for nine characters."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 300 points: the means of as many equal parts, and the last one as it is."""
    size = math.ceil(len(points) / _DRAWN)
    if size == 1:
        return points
    parts = [points[start : start + size] for start in range(0, len(points) - 1, size)]
    means = [(sum(x for x, _ in p) / len(p), sum(y for _, y in p) / len(p)) for p in parts]
    return [*means, points[-1]]
