"""A Space of the Hugging Face Hub that shows models: a folder to upload as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ganzoo import __version__, files, layout, loading, registry
from ganzoo.errors import InputError

_APP = '''"""The app of ganzoo, with models that visitors can choose among."""

from ganzoo.app.running import run

run({models}, host="0.0.0.0", port=7860)
'''
_README = """---
title: {title}
emoji: 🎲
colorFrom: indigo
colorTo: gray
sdk: gradio
sdk_version: {gradio}
python_version: "3.12"
app_file: app.py
pinned: false
license: {license}
models: {repositories}
---

Generated images of {names}: choose seeds, walk between images, mix styles and move along
directions. Every picture says that it was generated, and by what. Made with
ganzoo: `ganzoo app --space`.
"""


def write(models: Sequence[str], folder: Path) -> Path:
    """Write README.md, app.py and requirements.txt into a new or empty folder.

    Args:
        models: names of the catalogue or hf:// addresses; by default all bundled models.
        folder: where.

    Raises:
        InputError: the folder holds something, or a model is of this machine alone.
        GanzooError: a model is not to be had.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty", "name a new folder")
    names = list(models) or [entry.name for entry in registry.list_models() if entry.bundled]
    for name in names:
        if loading.is_path(name) and not name.startswith("hf://"):
            raise InputError(
                f"{name} is on this machine alone", "publish it, and name it hf://owner/name"
            )
    configs = [layout.read_config(loading.resolve_folder(name)) for name in names]
    core = __version__.rsplit(".", 1)[0]
    needed = [f"ganzoo[app]>={core}", *sorted({config.requires for config in configs})]
    licenses = {config.license for config in configs}
    repositories = [
        name.removeprefix("hf://").partition("@")[0] for name in names if name.startswith("hf://")
    ]
    readme = _README.format(
        title=json.dumps(names[0] if len(names) == 1 else "GANs", ensure_ascii=False),
        gradio=_gradio_version(),
        license=licenses.pop() if len(licenses) == 1 else "other",
        repositories=json.dumps(repositories),
        names=", ".join(names) if len(names) <= 5 else f"{len(names)} models",
    )
    with files.replacing_folder(folder) as ready:
        (ready / "README.md").write_text(readme, encoding="utf-8")
        (ready / "app.py").write_text(_APP.format(models=json.dumps(names)), encoding="utf-8")
        (ready / "requirements.txt").write_text("".join(f"{line}\n" for line in needed))
    return folder


def _gradio_version() -> str:
    """The one that is installed here, with which the app was seen to work; else the oldest."""
    from importlib import metadata

    try:
        return metadata.version("gradio")
    except metadata.PackageNotFoundError:
        return "6.0.0"
