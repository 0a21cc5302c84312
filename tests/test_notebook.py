"""The notebook runs from top to bottom, in a kernel of its own, with the training cut short."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parent.parent / "examples" / "ganzoo.ipynb"
SHORT = {"STEPS": 2, "N": 100}

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
where = {"metadata": {"path": "."}}
NotebookClient(notebook, timeout=600, startup_timeout=600, resources=where).execute()
nbformat.write(notebook, sys.argv[2])
"""


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_the_notebook_is_committed_without_outputs() -> None:
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
        assert not cell.get("outputs") and not cell.get("execution_count")


def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    for name, value in SHORT.items():
        cells = [c for c in notebook["cells"] if re.fullmatch(rf"{name} = \d+", source(c))]
        assert len(cells) == 1, name
        cells[0]["source"] = f"{name} = {value}"
    (tmp_path / "short.ipynb").write_text(json.dumps(notebook))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = {"IPYTHONDIR": str(tmp_path / "ipython")}  # nothing of the user's starts with it
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, "short.ipynb", "done.ipynb"],
        cwd=tmp_path,
        env=os.environ | home | {"PATH": path, "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = [
        c
        for c in json.loads((tmp_path / "done.ipynb").read_text())["cells"]
        if c["cell_type"] == "code"
    ]
    pictures = [
        out for cell in cells for out in cell["outputs"] if "image/png" in out.get("data", {})
    ]
    assert len(pictures) == 7  # five samples, two grids
    said = "".join("".join(out.get("text", "")) for cell in cells for out in cell["outputs"])
    assert "error:" not in said, said
    assert "fid/" in said and "trainedAlgorithmicMedia" in said and "config.json" in said
