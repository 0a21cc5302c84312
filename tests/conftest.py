"""One thread for torch: with several test processes on few cores, more threads are much slower."""

from __future__ import annotations

import importlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from ganzoo import plugins
from ganzoo.evaluation import results
from tests import hub_server

torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # started in the background of a script, where Ctrl-C is ignored: tests send it to themselves
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Nothing holds that a user has set for ganzoo or the Hub's client; or a proxy, behind which no
    server of the tests is."""
    for name in [name for name in os.environ if name.startswith(("GANZOO_", "HF_", "HUGGING"))]:
        if name not in ("GANZOO_DATA", "GANZOO_SHARED"):
            del os.environ[name]
    home = tempfile.TemporaryDirectory(prefix="ganzoo-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    os.environ["HF_HOME"] = home.name  # no token, no settings of accelerate's
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["no_proxy"] = "127.0.0.1,localhost"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path_factory.getbasetemp() / "ganzoo-cache"))


@pytest.fixture
def healthy_parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The parts of tests/healthy_plugin are among the installed ones."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "healthy_plugin"))
    loaded = plugins.load()
    former = loaded.__dict__.pop("parts", None)
    module = importlib.import_module("ganzoo_healthy")
    loaded.add(module, name="healthy", distribution="ganzoo-healthy", version="1.0")
    yield
    loaded.manager.unregister(module)
    loaded.found[:] = [p for p in loaded.found if p.name != "healthy"]
    loaded.__dict__.pop("parts", None)
    if former is not None:
        loaded.__dict__["parts"] = former


@pytest.fixture
def measured_again(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stored figures come out again, without being computed; the folders for which it was asked."""
    asked: list[Path] = []

    def recheck(folder: Path, *, data: str | None = None) -> list[results.Rechecked]:
        asked.append(folder)
        return []

    monkeypatch.setattr(results, "recheck", recheck)
    return asked


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    """A Hub on the loopback, as the real client's endpoint, with an empty cache and no waiting."""
    from huggingface_hub import constants

    from ganzoo import hub
    from ganzoo.hub import client

    with hub_server.running() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_writing")
        monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "ganzoo-cache"))
        for room in (client, hub):
            monkeypatch.setattr(room, "WAITS", (0.01, 0.01, 0.01))
        monkeypatch.setattr(client, "_LONG", 3600.0)  # however slow this machine is
        yield running
