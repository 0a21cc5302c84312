"""Time, hardware and energy of a run: an estimate that says what it assumes, or none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ganzoo import energy
from ganzoo.card import make_card
from ganzoo.training import plan, train
from tests import tiny


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    energy.power_limit.cache_clear()
    yield
    energy.power_limit.cache_clear()


@pytest.mark.parametrize(
    ("hardware", "seconds", "kwh", "watts", "assumed"),
    [
        ({"device": "cpu (x86_64)", "threads": 4}, 3600, 0.04, 40, "10 W for each CPU thread"),
        ({"device": "cpu", "threads": 1, "processes": 2}, 1800, 0.01, 20, "10 W for each CPU"),
        (
            {"device": "NVIDIA X", "threads": 8, "processes": 2, "power_limit_watts": 350.0},
            7200, 1.4, 700, "350 W for each GPU, its power limit",
        ),
        ({"device": "cpu", "threads": 1}, 0, 0.0, 10, "10 W for each CPU thread"),
    ],
)  # fmt: skip
def test_an_estimate_says_what_it_assumes(
    hardware: dict[str, Any], seconds: float, kwh: float, watts: float, assumed: str
) -> None:
    found = energy.estimate(seconds, hardware)
    assert (found["kwh"], found["watts"]) == (kwh, watts)
    assert found["assumed"].startswith(assumed)
    text = energy.as_text(found)
    amount = f"{kwh:g} kWh" if kwh >= 1 else f"{1000 * kwh:g} Wh"
    assert text.startswith(f"about {amount} (estimate: {watts:g} W assumed, {assumed}")


@pytest.mark.parametrize(
    ("hardware", "seconds"),
    [
        ({"device": "NVIDIA X", "threads": 8}, 100),
        ({"device": "mps (arm64)", "threads": 8}, 100),
        ({"device": "cpu", "threads": "many"}, 100),
        ({"device": "cpu", "threads": True}, 100),
        ({"device": "cpu", "threads": -1}, 100),
        ({"device": "cpu", "threads": 4, "processes": None}, 100),
        ({"device": "cpu", "threads": 4}, float("nan")),
        ({"device": "cpu", "threads": 4}, -1),
        ({}, 100),
    ],
)
def test_where_nothing_is_known_no_figure_is_made_up(
    hardware: dict[str, Any], seconds: float
) -> None:
    found = energy.estimate(seconds, hardware)
    assert (found["kwh"], found["watts"]) == (None, None)
    assert energy.as_text(found) == "not estimated: no power is known of this device"


def a_gpu(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> torch.device:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    properties = SimpleNamespace(uuid="0a1b-2c")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return torch.device("cuda", 0)


def test_the_power_limit_is_asked_of_the_very_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f'echo "$@" > "{tmp_path}/asked"; echo " 350.00"'
    assert energy.power_limit(a_gpu(monkeypatch, tmp_path, script)) == 350
    assert (tmp_path / "asked").read_text().split()[:2] == [
        "--id=GPU-0a1b-2c",
        "--query-gpu=power.limit",
    ]
    assert energy.power_limit(torch.device("cpu")) is None


@pytest.mark.parametrize("script", ["echo '[N/A]'", "exit 6", "echo", "echo nan", "echo -5"])
def test_a_gpu_that_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    assert energy.power_limit(a_gpu(monkeypatch, tmp_path, script)) is None


def test_without_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert energy.power_limit(torch.device("cuda", 0)) is None


def test_a_run_records_it_and_its_card_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tiny.recipe("gan"), tmp_path / "run", device="cpu", progress=True)
    training = json.loads((run / "model" / "training.json").read_text())
    threads = training["hardware"]["threads"]
    assert training["energy"]["watts"] == 10 * threads
    expected = 10 * threads * training["wall_seconds"] / 3.6e6
    assert training["energy"]["kwh"] == pytest.approx(expected, abs=10 * threads * 0.1 / 3.6e6)
    text = make_card(run / "model").sections["How it was trained"]
    assert f"| Energy | {energy.as_text(training['energy'])} |" in text
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("0:0") and f"estimate: {10 * threads} W assumed" in last


def test_a_dry_run_estimates_it(tmp_path: Path) -> None:
    report = plan(tiny.recipe("gan"), device="cpu")
    assert report["energy"]["watts"] == 10 * torch.get_num_threads()
    assert report["energy"]["kwh"] > 0


def test_a_card_of_an_older_run_estimates_it_from_what_was_recorded(tmp_path: Path) -> None:
    run = train(tiny.recipe("gan"), tmp_path / "run", device="cpu")
    path = run / "model" / "training.json"
    training = json.loads(path.read_text())
    del training["energy"]
    training |= {"wall_seconds": 7200, "hardware": {"device": "cpu (x86_64)", "threads": 1}}
    path.write_text(json.dumps(training))
    said = "about 20 Wh (estimate: 10 W assumed, 10 W for each CPU thread;"
    assert said in make_card(run / "model").sections["How it was trained"]
