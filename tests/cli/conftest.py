"""A tiny conditional family, installed for one test, and a runner of the command line."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganzoo import checkpoint, layout, plugins
from ganzoo.cli import main
from ganzoo.models import build

PLUGIN = '''
"""The plugin `tiny`: a conditional linear generator and a critic, for 8x8 images of shapes."""
from pathlib import Path
from ganzoo import Part, hookimpl

HERE = Path(__file__).parent

@hookimpl
def ganzoo_generators():
    return [Part(name="tiny", kind="generator", factory="tiny_plugin.networks:TinyGenerator",
                 config="tiny_plugin.networks:TinyConfig", provides={"conditional"})]

@hookimpl
def ganzoo_discriminators():
    return [Part(name="tiny", kind="discriminator",
                 provides={"conditional", "per-sample", "gradient-penalty"},
                 factory="tiny_plugin.networks:TinyCritic",
                 config="ganzoo.configs:DiscriminatorConfig")]

@hookimpl
def ganzoo_models():
    return HERE / "models"

@hookimpl
def ganzoo_recipes():
    return [HERE / "tiny.toml"]
'''

NETWORKS = """
import dataclasses, os
import torch
from torch import nn
from ganzoo import Discriminator, Generator, GeneratorConfig

@dataclasses.dataclass(frozen=True)
class TinyConfig(GeneratorConfig):
    image_shape: tuple[int, int, int] = (1, 8, 8)
    num_classes: int = 3
    z_dim: int = 4
    width: int = 4

class TinyGenerator(Generator):
    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(max(1, config.num_classes), config.width)
        self.inner = nn.Linear(config.z_dim, config.width)
        nn.init.normal_(self.inner.weight)
        self.inner.bias.data.normal_()
        c, h, w = config.image_shape
        self.outer = nn.Linear(config.width, c * h * w)

    def forward(self, z, labels=None):
        self.check_labels(labels)
        if os.environ.get("TINY_IS_GREEDY"):
            torch.empty(1 << 56)
        x = self.inner(z) + (0 if labels is None else self.embed(labels))
        return torch.tanh(self.outer(torch.relu(x) + x)).view(-1, *self.image_shape)

class TinyCritic(Discriminator):
    def __init__(self, config):
        super().__init__(config)
        c, h, w = config.image_shape
        self.embed = nn.Embedding(max(1, config.num_classes), 4)
        self.inner = nn.Linear(c * h * w, 4)
        self.outer = nn.Linear(4, 1)

    def forward(self, x, labels=None):
        x = self.inner(x.flatten(1)) + (0 if labels is None else self.embed(labels))
        return self.outer(torch.relu(x)).flatten()
"""

RECIPE = """
generator = "tiny"
discriminator = "tiny"
loss = "non-saturating"
kimg = 0.08
batch = 8
conditional = true

[data]
source = "shapes?n=64&size=8&channels=1"
"""


PACKAGES = ("tiny_plugin", "rival_plugin", "broken_plugin")


class Site:
    """A folder of installed plugins, in front of `sys.path` here and in subprocesses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        entry: str,
        files: dict[str, str],
        *,
        distribution: str,
        module: str,
        requires: str = "",
    ) -> Path:
        """Write a distribution with one entry point, as pip would; returns its package."""
        info = self.folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        need = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n{need}"
        )
        (info / "entry_points.txt").write_text(f"[ganzoo]\n{entry} = {module}\n")
        package = self.folder / module
        package.mkdir(exist_ok=True)
        for name, text in files.items():
            (package / name).write_text(text)
        self.forget()
        return package

    def install_tiny(self) -> Path:
        files = {"__init__.py": PLUGIN, "networks.py": NETWORKS, "tiny.toml": RECIPE}
        package = self.install(
            "tiny", files, distribution="ganzoo-tiny", module="tiny_plugin", requires="ganzoo>=0.1"
        )
        (package / "models").mkdir()
        return package

    def uninstall(self, distribution: str) -> None:
        shutil.rmtree(self.folder / f"{distribution.replace('-', '_')}-1.2.dist-info")
        self.forget()

    def forget(self) -> None:
        """Let the next call see what is installed now."""
        plugins.load.cache_clear()
        importlib.invalidate_caches()
        for name in [n for n in sys.modules if n.partition(".")[0] in PACKAGES]:
            del sys.modules[name]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    inherited = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), inherited])))
    monkeypatch.setenv("GANZOO_PLUGINS", "tiny,rival,broken")
    site = Site(folder)
    site.forget()
    yield site
    site.forget()


@pytest.fixture
def model(site: Site) -> Path:
    """The folder of the bundled model `tiny.shapes`: three named classes, 8x8, grey."""
    package = site.install_tiny()
    part = plugins.load().parts.get("generator", "tiny")
    generator = build(part, part.make_config(), seed=0)
    info = layout.ModelInfo(dataset="shapes", classes=("circle", "square", "cross"))
    folder = checkpoint.save(
        package / "models" / "tiny.shapes", generator, name="tiny.shapes", info=info
    )
    site.forget()
    return folder


@pytest.fixture
def ganzoo() -> Callable[..., Result]:
    """Run a command in this process; a bug keeps its traceback."""

    def run(*arguments: object) -> Result:
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(main, words, prog_name="ganzoo", catch_exceptions=False)

    return run


@pytest.fixture
def refused(ganzoo: Callable[..., Result]) -> Callable[..., str]:
    """Run a command that must be refused: one line, a remedy, exit code 1. Returns the line."""

    def run(*arguments: object) -> str:
        result = ganzoo(*arguments)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith("error: ")
        assert ": " in line.removeprefix("error: ")
        return line.removeprefix("error: ")

    return run


@pytest.fixture
def shell() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python -m ganzoo` in a process of its own."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ganzoo", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)

    return run
