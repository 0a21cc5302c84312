"""Controls that the page has several of, how they look, and how they fit a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ganzoo.app.visit import IN_TURN, Abilities

STYLE: dict[str, Any] = {
    "theme": gr.themes.Default(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    ),
    "css_paths": [Path(__file__).with_name("page.css")],
}
"""For `launch`. The fonts are the browser's own: none is fetched."""


def fitting(can: Abilities) -> list[dict[str, Any]]:
    """How a model's class, truncation, noise, tab of mixing and its layer are set and shown."""
    return [
        {"choices": list(can.classes), "value": IN_TURN if can.classes else None,
         "visible": bool(can.classes)},
        {"value": 1, "visible": can.w},
        {"value": "const", "visible": can.noise},
        {"visible": can.w},
        {"maximum": max(1, can.layers), "value": can.layers // 2},
    ]  # fmt: skip


def gallery(
    label: str,
    columns: int,
    elem_id: str | None = None,
    value: list[tuple[Path, str]] | None = None,
) -> gr.Gallery:
    return gr.Gallery(
        value, label=label, columns=columns, allow_preview=False, object_fit="contain",
        height="auto", buttons=[], interactive=False, format="png",
        elem_classes=["pixels", "thumbs", f"grid{columns}"], elem_id=elem_id,
    )  # fmt: skip


def one_picture(label: str, elem_id: str | None = None) -> gr.Image:
    return gr.Image(
        label=label, type="filepath", interactive=False, height=240, min_width=140,
        buttons=["download", "fullscreen"], elem_classes="pixels", elem_id=elem_id,
    )  # fmt: skip
