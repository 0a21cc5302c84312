"""The plugins in examples/, as an outsider's: from wheels, in an environment of their own."""

from __future__ import annotations

import shutil
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.test_packaging import ROOT, clean_environment, run

EXAMPLES = sorted((ROOT / "examples").glob("ganzoo-*"))


def test_there_is_an_example() -> None:
    assert "ganzoo-began" in [folder.name for folder in EXAMPLES]


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_an_example_keeps_its_tests_with_the_wheel_of_the_core_alone(
    folder: Path, tmp_path: Path
) -> None:
    """No plugin of this repository is there, and no source of it is on the path."""
    wheels = tmp_path / "wheels"
    for source in (ROOT, folder):
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", wheels, source)
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps")
    run(*pip, *wheels.iterdir(), env=clean_environment())
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    shutil.copytree(folder / "tests", tmp_path / "own" / "tests")
    shutil.copy(folder / "pyproject.toml", tmp_path / "own")  # the root of its tests
    # only the dependencies come from here: .pth files, which editable installs are, are not read
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environ = {**clean_environment(), "GANZOO_PLUGINS": folder.name.removeprefix("ganzoo-")}
    options = {"cwd": tmp_path / "own", "env": environ}
    where = run(python, "-c", "import ganzoo; print(ganzoo.__file__)", **options)
    assert Path(where.strip()).is_relative_to(site)
    said = run(python, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", **options)
    assert " passed" in said and "skipped" not in said and "failed" not in said
    assert str(ROOT) not in said
    for recipe in folder.glob("*/recipes/*.toml"):
        ganzoo = (environment / "bin" / "ganzoo",)
        run(*ganzoo, "train", recipe.stem, "--steps", "2", "--out", "run", **options)
        run(*ganzoo, "generate", "./run", "-n", "4", "-o", "grid.png", **options)
        assert (tmp_path / "own" / "grid.png").stat().st_size > 0
