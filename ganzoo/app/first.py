"""The first look at the page: its first grid in plain HTML, until Gradio has made the page itself.

The images are those of the page, files and all, so that the browser fetches them once.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from string import Template
from urllib.parse import quote


def look(title: str, images: Sequence[tuple[Path, str]]) -> str:
    """HTML of a title and of images with their captions."""
    template = Template(Path(__file__).with_name("first.html").read_text(encoding="utf-8"))
    shown = "".join(
        f'<img src="gradio_api/file={quote(str(path))}" alt="{html.escape(caption)}">'
        for path, caption in images
    )
    return template.substitute(title=title, images=shown)
