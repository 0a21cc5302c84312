"""Clean environments for tests of what is installed into one; nothing is fetched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

PEAK = r"int(__import__('re').search(r'VmHWM:\s*(\d+)', open('/proc/self/status').read())[1])"
"""Python for the most KiB that a program has had, on Linux; ru_maxrss starts with its parent's."""

_LEADS_ELSEWHERE = ("PYTHONPATH", "PYTHONHOME", "GANZOO_PLUGINS")


def make(folder: Path) -> Path:
    """A new environment that sees what this one has, as pip would have installed it beforehand;
    returns its python. What is installed into it comes first."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    here = sysconfig.get_path("purelib")
    (site / "dependencies.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return python


def make_with_uv(uv: str, folder: Path) -> Path:
    """A new environment of uv's own, without pip, that has what this one has; returns its python.

    uv takes for installed what has a folder of metadata in the environment itself.
    """
    run(uv, "venv", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.name == "pip" or path.name.startswith(("pip-", "_virtualenv")):
            continue
        if path.suffix == ".dist-info":
            shutil.copytree(path, site / path.name)
        else:
            (site / path.name).symlink_to(path)
    return python


def pip_install(python: Path, *words: object) -> None:
    """Install into an environment, with what is at hand."""
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps")
    run(*pip, "--no-build-isolation", *words)


def start(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command without what would lead it past its environment."""
    environment = {k: v for k, v in os.environ.items() if k not in _LEADS_ELSEWHERE}
    options["env"] = environment | options.pop("env", {})
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)


def run(*command: object, **options: Any) -> str:
    """stdout of a command that must succeed."""
    done = start(*command, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
