"""The page of the app: its controls, and which of them asks for what."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from ganzoo.app import first, pictures
from ganzoo.app.controls import fitting, gallery, one_picture
from ganzoo.app.pictures import SLIDERS, Picture
from ganzoo.app.telling import told
from ganzoo.app.training import Training
from ganzoo.app.visit import (
    IN_TURN,
    MOST_IMAGES,
    MOST_MIXED,
    REACH,
    Visit,
    following,
    picked,
)
from ganzoo.app.watching import Run
from ganzoo.errors import InputError

FIRST_SEEDS = "0-15"


class Page:
    """The controls of a `Visit`, in the Gradio block that is open."""

    def __init__(self, blocks: gr.Blocks, visit: Visit) -> None:
        self.visit = visit
        # the first grid is the page's own, the same for every visitor: nobody waits for it
        self.opening_model = visit.shelf.names[0]
        self.opening = visit.draw(self.opening_model, FIRST_SEEDS, IN_TURN, 1.0, "const")
        self.opening_images = self._captioned(self.opening, lasting=True)
        self._controls_and_tabs()
        self._connect(blocks)

    @property
    def look(self) -> str:
        """HTML that is shown until a browser has made the page."""
        return first.look(header(), self.opening_images)

    # -- what is to be seen ------------------------------------------------------------------------

    def _controls_and_tabs(self) -> None:
        label, truncation, noise, mix, layer = fitting(self.visit.abilities(self.opening_model))
        with gr.Row(elem_id="top"):
            with gr.Column(scale=1, min_width=270, elem_id="controls"):
                self.model = gr.Dropdown(
                    self.visit.shelf.names, value=self.opening_model, label="Model", filterable=True
                )
                self.seeds = gr.Textbox(
                    FIRST_SEEDS,
                    label="Seeds",
                    info=f"0-15 or 3,7,42; at most {MOST_IMAGES}",
                    elem_id="seeds",
                )
                with gr.Row(elem_classes="tight"):
                    self.draw_button = gr.Button("Draw", variant="primary", min_width=80)
                    self.next_button = gr.Button("Next seeds", min_width=80)
                # any value comes in, and `Visit` refuses: Gradio knows one list for all models
                self.label = gr.Dropdown(label="Class", allow_custom_value=True, **label)
                self.truncation = gr.Slider(
                    -1, 2, step=0.05, label="Truncation ψ",
                    info="1: as trained; nearer to 0: more alike", **truncation,
                )  # fmt: skip
                self.noise = gr.Radio(["const", "random", "none"], label="Noise", **noise)
            with gr.Column(scale=3, min_width=340, elem_id="main"):
                with gr.Tabs():
                    with gr.Tab("Grid"):
                        gr.Markdown("Click an image to keep it.", elem_classes="hint")
                        self.grid = gallery("Grid", 8, value=self.opening_images)
                    with gr.Tab("Walk"):
                        self._walk_tab()
                    with gr.Tab("Mix", **mix) as self.mix_tab:
                        self._mix_tab(layer)
                    with gr.Tab("Directions"):
                        self._directions_tab()
                    with gr.Tab("Model card"):
                        self.card = gr.Markdown(elem_id="card")
                self._bottom()
                self._chosen_panel()
            with (
                gr.Column(scale=1, min_width=270, elem_id="about"),
                gr.Accordion("About this model", open=True),
            ):
                self.glance = gr.Markdown(elem_id="glance")

    def _walk_tab(self) -> None:
        gr.Markdown("A film that leads from each kept image to the next, and back to the first.")
        with gr.Row(elem_classes="tight"):
            self.steps = gr.Slider(2, 48, 16, step=1, label="Frames between two", min_width=120)
            self.fps = gr.Slider(4, 40, 16, step=1, label="Frames a second", min_width=120)
            self.kind = gr.Radio(["webp", "gif"], value="webp", label="File", min_width=120)
        self.walk_button = gr.Button("Make the film", variant="primary")
        self.film = gr.Image(
            label="Film", type="filepath", interactive=False, height=340, visible=False,
            buttons=["download"], elem_classes="pixels",
        )  # fmt: skip
        self.film_code = gr.Code(
            language="shell", label="In a shell", visible=False, interactive=False, lines=1,
            show_line_numbers=False, wrap_lines=True,
        )  # fmt: skip

    def _mix_tab(self, layer: dict[str, Any]) -> None:
        gr.Markdown(
            "The third row has the coarse styles of the first one, and from the chosen layer on the"
            " finer ones of the second. Click an image to keep it."
            f" As many seeds in each row, at most {MOST_MIXED}."
        )
        with gr.Row(elem_classes="tight"):
            self.first = gr.Textbox("0-5", label="First row", min_width=100)
            self.second = gr.Textbox("10-15", label="Second row", min_width=100)
            self.layer = gr.Slider(0, step=1, label="From layer", min_width=200, **layer)
        self.mix_button = gr.Button("Mix", variant="primary")
        self.mixed = gallery("Rows", 6)

    def _directions_tab(self) -> None:
        gr.Markdown(
            "Move the chosen image. *Closed-form* directions are those that change most what the"
            " first layers make of the latent ([SeFa](https://arxiv.org/abs/2007.06600)), strongest"
            " first; random ones are for comparison. A unit is one standard deviation."
        )
        with gr.Row(elem_classes="tight"):
            self.which = gr.Radio(
                [("Closed-form", "closed-form"), ("Random", "random")],
                value="closed-form", label="Directions", min_width=180,
            )  # fmt: skip
            self.direction_seed = gr.Textbox("0", label="Seed of random ones", min_width=100)
        with gr.Row(elem_classes="tight"):
            self.before = one_picture("Before")
            self.after = one_picture("After", elem_id="after")
        self.sliders = []
        for start in range(0, SLIDERS, 3):
            with gr.Row(elem_classes="tight"):
                self.sliders += [
                    gr.Slider(
                        -REACH, REACH, 0, step=0.25, label=f"Direction {k + 1}", min_width=230
                    )
                    for k in range(start, start + 3)
                ]
        with gr.Row(elem_classes="tight"):
            self.reset = gr.Button("Start again", min_width=100)
            self.keep_moved = gr.Button("Keep it", variant="primary", min_width=100)

    def _bottom(self) -> None:
        with gr.Row(elem_classes="head"):
            gr.Markdown(
                "#### Kept\nClick one to choose it. An image of another model starts anew.",
                elem_classes="hint",
            )
            self.drop = gr.Button("Drop the chosen", size="sm", min_width=130, scale=0)
            self.clear = gr.Button("Drop all", size="sm", min_width=130, scale=0)
        self.kept_gallery = gallery("Kept", 10, elem_id="kept")

    def _chosen_panel(self) -> None:
        with gr.Row(visible=False, elem_id="chosen") as self.panel:
            with gr.Column(scale=1, min_width=200):
                self.image = one_picture("Chosen")
            with gr.Column(scale=2, min_width=300):
                self.python = gr.Code(
                    language="python", label="The same in Python", interactive=False, lines=4,
                    show_line_numbers=False,
                )  # fmt: skip
                self.shell = gr.Code(
                    language="shell", label="In a shell", interactive=False, lines=1,
                    show_line_numbers=False, wrap_lines=True,
                )  # fmt: skip
                with gr.Row(elem_classes="tight"):
                    self.download = gr.DownloadButton("Download", size="md", min_width=110)
                    self.latent = gr.DownloadButton(
                        "Its latent", size="md", min_width=110, visible=False
                    )
                    self.save = gr.Button(
                        "Save here", size="md", min_width=110,
                        visible=self.visit.keep is not None,
                    )  # fmt: skip

    # -- what is asked for -------------------------------------------------------------------------

    def _connect(self, blocks: gr.Blocks) -> None:
        self.drawn, self.rows = gr.State(self.opening), gr.State([])
        self.kept, self.chosen, self.moved = gr.State([]), gr.State(None), gr.State(None)
        how = [self.model, self.seeds, self.label, self.truncation, self.noise]
        shown = [self.grid, self.drawn]
        opened = [
            self.label, self.truncation, self.noise, self.mix_tab, self.layer, self.glance,
            self.card, *shown,
        ]  # fmt: skip
        chosen = [
            self.panel, self.image, self.python, self.shell, self.download, self.latent,
            self.chosen,
        ]  # fmt: skip
        kept = [self.kept_gallery, self.kept]
        start = [self.before, self.after, self.moved, *self.sliders]
        mixed_how = [
            self.model, self.first, self.second, self.layer, self.label, self.truncation
        ]  # fmt: skip
        moved_how = [self.chosen, self.which, self.direction_seed, *self.sliders]
        one = {"concurrency_limit": 1, "concurrency_id": "torch", "show_progress": "minimal"}
        hidden = {"api_visibility": "private", "show_progress": "hidden"}
        mute = {**one, "api_visibility": "private"}
        each = {**mute, "trigger_mode": "multiple"}
        newest = {**mute, "trigger_mode": "always_last"}

        self.model.input(self.open, [self.model, self.seeds], opened, **newest)
        # a model may have been evaluated since the server started
        blocks.load(told(self.about), [self.model], [self.glance, self.card], **hidden)
        self.draw_button.click(
            self.draw, how, shown, api_name="draw", **{**one, "trigger_mode": "always_last"}
        )
        gr.on(
            [self.seeds.submit, self.label.input, self.truncation.release, self.noise.input],
            self.draw, how, shown, **newest,
        )  # fmt: skip
        self.next_button.click(self.next, how, [self.seeds, *shown], **each)
        self.grid.select(self.keep, [self.drawn, self.kept], [*kept, *chosen, *start], **each)
        self.mix_button.click(self.mix, mixed_how, [self.mixed, self.rows], **mute)
        self.mixed.select(self.keep, [self.rows, self.kept], [*kept, *chosen, *start], **each)
        self.kept_gallery.select(self.choose, [self.kept], [*chosen, *start], **newest)
        self.drop.click(self.without, [self.kept, self.chosen], kept, **mute)
        self.clear.click(self.none, None, kept, **mute)
        self.walk_button.click(
            self.walk, [self.kept, self.steps, self.fps, self.kind], [self.film, self.film_code],
            **mute,
        )  # fmt: skip
        gr.on(
            [*(slider.release for slider in self.sliders), self.which.input,
             self.direction_seed.submit],
            self.move, moved_how, [self.after, self.moved], **newest,
        )  # fmt: skip
        self.reset.click(self.restart, [self.chosen], start, **mute)
        self.keep_moved.click(self.keep_one, [self.moved, self.kept], [*kept, *chosen], **mute)
        self.save.click(self.save_here, [self.chosen], None, **mute)

    @told
    def open(self, model: str, seeds: str) -> Any:
        some = self.visit.draw(model, seeds, IN_TURN, 1.0, "const")
        return (
            *(gr.update(**fits) for fits in fitting(self.visit.abilities(model))),
            *self.about(model),
            self._captioned(some),
            some,
        )

    def about(self, model: str) -> tuple[str, str]:
        return self.visit.glance(model), self.visit.card(model)

    @told
    def draw(self, model: str, seeds: str, label: int, truncation: float, noise: str) -> Any:
        some = self.visit.draw(model, seeds, label, truncation, noise)
        return self._captioned(some), some

    @told
    def next(self, model: str, seeds: str, label: int, truncation: float, noise: str) -> Any:
        seeds = following(seeds)
        some = self.visit.draw(model, seeds, label, truncation, noise)
        return seeds, self._captioned(some), some

    @told
    def mix(
        self, model: str, first: str, second: str, layer: int, label: int, truncation: float
    ) -> Any:
        rows = self.visit.mix(model, first, second, layer, label, truncation)
        some = [picture for row in rows for picture in row]
        shown = [pair for row in rows for pair in self._captioned(row)]
        return gr.update(value=shown, columns=len(rows[0])), some

    @told
    def keep(self, some: list[Picture], kept: list[Picture], event: gr.SelectData) -> Any:
        picture = picked(some, event.index, event.value)
        return *self._kept(kept, picture), *self._chosen(picture), *self._start(picture)

    @told
    def keep_one(self, picture: Picture | None, kept: list[Picture]) -> Any:
        if picture is None:
            raise InputError("nothing was moved", "choose an image and move a slider")
        return *self._kept(kept, picture), *self._chosen(picture)

    @told
    def choose(self, kept: list[Picture], event: gr.SelectData) -> Any:
        picture = picked(kept, event.index, event.value)
        return *self._chosen(picture), *self._start(picture)

    @told
    def without(self, kept: list[Picture], chosen: Picture | None) -> Any:
        kept = [picture for picture in kept if picture != chosen]
        return self._captioned(kept), kept

    @told
    def none(self) -> Any:
        return [], []

    @told
    def walk(self, kept: list[Picture], steps: int, fps: int, kind: str) -> Any:
        path, line = self.visit.film(kept, steps, fps, kind)
        return gr.update(value=path, visible=True), gr.update(value=line, visible=bool(line))

    @told
    def move(self, picture: Picture | None, which: str, seed: str, *amounts: float) -> Any:
        moved = self.visit.move(picture, which, seed, amounts)
        return self.visit.show([moved])[0], moved

    @told
    def restart(self, picture: Picture | None) -> Any:
        return gr.skip() if picture is None else self._start(picture)

    @told
    def save_here(self, picture: Picture | None) -> None:
        saved = self.visit.save(picture)
        gr.Info(html.escape(", ".join(path.name for path in saved)), title="Saved")

    # -- what is shown -----------------------------------------------------------------------------

    def _captioned(self, some: list[Picture], *, lasting: bool = False) -> list[tuple[Path, str]]:
        files = self.visit.show(some, lasting=lasting)
        return [(path, _caption(picture)) for path, picture in zip(files, some, strict=True)]

    def _kept(self, kept: list[Picture], picture: Picture) -> Any:
        kept = self.visit.keep_picture(kept, picture)
        return self._captioned(kept), kept

    def _chosen(self, picture: Picture) -> Any:
        (path,) = self.visit.show([picture])
        latent = gr.update(visible=False)
        if picture.move is not None:
            latent = gr.update(visible=True, value=self.visit.latent(picture))
        return (
            gr.update(visible=True),
            gr.update(value=path, label=f"{picture.model}, {_caption(picture)}"),
            pictures.python_lines(picture),
            pictures.shell_line(picture),
            gr.update(value=path),
            latent,
            picture,
        )

    def _start(self, picture: Picture) -> Any:
        """The tab of directions, with this picture before anything is moved."""
        start = self.visit.move(picture, "closed-form", 0, ())
        (path,) = self.visit.show([start])
        return path, path, None, *[0] * SLIDERS


def _caption(picture: Picture) -> str:
    label = "" if picture.label is None else f" · {picture.label}"
    mix = "" if picture.mix is None else f" + {picture.mix[0]}"
    return f"{picture.seed}{mix}{label}{' · moved' if picture.move else ''}"


def whole(visit: Visit | None, run: Run | None) -> tuple[gr.Blocks, str]:
    """The page: of models, of a run, or of both in two tabs; and HTML that is shown until then."""
    look = ""
    title = "ganzoo" if run is None else f"ganzoo: {run.path.name}"
    with gr.Blocks(analytics_enabled=False, title=title, fill_width=True) as blocks:
        gr.HTML(header())
        if run is None and visit is not None:
            look = Page(blocks, visit).look
        elif run is not None and visit is None:
            Training(blocks, run)
        elif run is not None and visit is not None:
            with gr.Tab("Training"):
                Training(blocks, run)
            with gr.Tab("Models"):
                Page(blocks, visit)
    return blocks, look


def header() -> str:
    return (
        '<div id="title"><b>ganzoo</b> <span>Generated images, each marked as such and made again'
        " by its seed.</span></div>"
    )
