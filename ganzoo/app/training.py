"""The page of a run that goes on: where it is, its grids and its curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ganzoo.app.telling import told
from ganzoo.app.watching import Run, curves

SECONDS = 3.0
"""Between two looks at the run's folder."""


class Training:
    """The controls of a `Run`, in the Gradio block that is open."""

    def __init__(self, blocks: gr.Blocks, run: Run) -> None:
        self.run = run
        status = gr.HTML()
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                grid = gr.Image(
                    label="Samples", show_label=False, type="filepath", interactive=False,
                    buttons=["download", "fullscreen"], elem_id="samples",
                )  # fmt: skip
                which = gr.Slider(
                    1, 2, 1, step=1, label="Grid", info="the last one follows the run",
                    visible=False,
                )  # fmt: skip
            with gr.Column(scale=1, min_width=320):
                drawn = gr.HTML()
        seen = gr.State((0, 0, 0))
        how: Any = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": 4}
        shown = [status, grid, which, drawn, seen]
        timer = gr.Timer(SECONDS)
        gr.on([timer.tick], told(self.look), [which, seen], shown, **how)
        blocks.load(told(self.first), None, shown, **how)
        which.release(told(self.choose), [which], [grid, which], **how)

    def first(self) -> Any:
        return self.look(1, (0, 0, 0))

    def look(self, which: int, seen: tuple[int, int, int]) -> Any:
        """What is new, if something is. `seen` is the number of grids, the one that is shown, and
        the last step."""
        log, grids = self.run.log(), self.run.grids()
        step = int(log.last.get("step", 0))
        former = seen[0]
        follows = which >= former
        place = len(grids) if follows else min(int(which), len(grids))
        now = (len(grids), place, step)
        if now == tuple(seen) and former:
            return self.run.status(), gr.skip(), gr.skip(), gr.skip(), gr.skip()
        image: Any = gr.skip()
        slider = gr.update(maximum=max(2, len(grids)), visible=len(grids) > 1)
        if grids and place != seen[1]:
            path = grids[place - 1]
            image = self.run.served(path)
            slider |= {"value": place, "label": _label(path)}
        return self.run.status(), image, slider, curves(log), now

    def choose(self, which: int) -> Any:
        grids = self.run.grids()
        if not grids:
            return gr.skip()
        path = grids[min(max(1, int(which)), len(grids)) - 1]
        return self.run.served(path), gr.update(label=_label(path))


def _label(grid: Path) -> str:
    return f"Grid of step {int(grid.stem):,}"
