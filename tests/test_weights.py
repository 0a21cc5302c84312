"""The strict gate for weights: hostile safetensors files, by every way in, at a bounded cost."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

import ganzoo
from ganzoo import catalogue, checkpoint, layout, plugins, weights
from ganzoo.catalogue import ModelEntry
from ganzoo.errors import CheckpointError, TrainingError
from ganzoo.mirror import mirror
from ganzoo.models import build
from ganzoo.training import train
from tests import tiny
from tests.environments import PEAK
from tests.hub_server import Hub


def safetensors(header: bytes | dict[str, Any], body: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def entry(shape: object = (1,), *, at: object = (0, 4), dtype: object = "F32", **more: Any) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": at, **more}


def text_of(value: object) -> bytes:
    return json.dumps(value).encode()


def empty_tensors(n: int) -> bytes:
    one = b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return b"{" + b",".join(one % k for k in range(n)) + b"}"


FOUR = bytes(4)
_TWICE = b'{"a":%b,"a":%b}' % (text_of(entry()), text_of(entry()))
_BIG = b"9" * 4000
HOSTILE: dict[str, Callable[[], bytes]] = {
    # what the safetensors library lets pass
    "a leading space": lambda: safetensors(b" " + text_of({"a": entry()}), FOUR),
    "a duplicate name": lambda: safetensors(_TWICE, FOUR),
    "a duplicate field": lambda: safetensors(
        b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', FOUR
    ),
    "an extra field": lambda: safetensors({"a": entry(x=1)}, FOUR),
    "a name that is a path": lambda: safetensors({"../../etc/passwd": entry()}, FOUR),
    "a name with NUL": lambda: safetensors({"a\0b": entry()}, FOUR),
    "a name with a new line": lambda: safetensors({"a\nb": entry()}, FOUR),
    "a name of look-alikes": lambda: safetensors({"lауers": entry()}, FOUR),
    "a name without end": lambda: safetensors({"a" * 600: entry()}, FOUR),
    "no name": lambda: safetensors({"": entry()}, FOUR),
    "a million empty tensors": lambda: safetensors(empty_tensors(1_000_000)),
    "as many empty tensors as fit": lambda: safetensors(empty_tensors(18_000)),
    "a header beyond 4 MB": lambda: safetensors(b"{" + b" " * (5 << 20) + b"}"),
    "a header of 99 MB": lambda: safetensors(b"{" + b" " * 99_000_000 + b"}"),
    "much metadata": lambda: safetensors(
        {"__metadata__": {str(k): "x" for k in range(65)}, "a": entry()}, FOUR
    ),
    "metadata of no text": lambda: safetensors({"__metadata__": {"a": {}}, "a": entry()}, FOUR),
    # what it refuses too
    "nothing": lambda: b"",
    "half a length": lambda: b"\x02\0\0",
    "a length beyond the file": lambda: struct.pack("<Q", 2**63) + b"{}",
    "a pickle": lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR." + bytes(8),
    "a list": lambda: safetensors(b"[]"),
    "deep lists": lambda: safetensors(b"[" * 1_000_000),
    "deep objects": lambda: safetensors(b'{"a":' * 200_000),
    "NaN as a size": lambda: safetensors(
        b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', FOUR
    ),
    "Infinity as a size": lambda: safetensors(
        b'{"a":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,4]}}', FOUR
    ),
    "a size that is enormous": lambda: safetensors({"a": entry([2**62, 2**62])}, FOUR),
    "sizes that take long to multiply": lambda: safetensors(
        b'{"a":{"dtype":"F32","shape":[%b],"data_offsets":[0,4]}}' % b",".join([_BIG] * 250), FOUR
    ),
    "more dimensions than there are": lambda: safetensors({"a": entry([1] * 300_000)}, FOUR),
    "a size below nothing": lambda: safetensors({"a": entry([-1])}, FOUR),
    "a size that is a truth": lambda: safetensors({"a": entry([True])}, FOUR),
    "a shape that is no list": lambda: safetensors({"a": entry({})}, FOUR),
    "offsets that are no list": lambda: safetensors({"a": entry(at="04")}, FOUR),
    "one offset": lambda: safetensors({"a": entry(at=[4])}, FOUR),
    "an unknown type": lambda: safetensors({"a": entry(dtype="F8_E4M3")}, FOUR),
    "a type that is a list": lambda: safetensors({"a": entry(dtype=[])}, FOUR),
    "an entry that is a list": lambda: safetensors({"a": [1]}, FOUR),
    "metadata that is a list": lambda: safetensors({"__metadata__": [1], "a": entry()}, FOUR),
    "tensors that overlap": lambda: safetensors(
        {"a": entry(), "b": entry(at=[2, 6])}, bytes(6)
    ),
    "the same bytes twice": lambda: safetensors({"a": entry(), "b": entry()}, FOUR),
    "a gap": lambda: safetensors({"a": entry(), "b": entry(at=[8, 12])}, bytes(12)),
    "bytes before the first": lambda: safetensors({"a": entry(at=[4, 8])}, bytes(8)),
    "bytes after the last": lambda: safetensors({"a": entry()}, bytes(9)),
    "a zip file behind": lambda: safetensors({"a": entry()}, FOUR + b"PK\x05\x06" + bytes(18)),
    "too few bytes": lambda: safetensors({"a": entry()}, bytes(3)),
    "no UTF-8": lambda: safetensors(b'{"\xff":1}'),
    "UTF-16": lambda: safetensors(json.dumps({"a": entry()}).encode("utf-16-le"), FOUR),
    "half a surrogate pair": lambda: safetensors(
        b'{"__metadata__":{"a":"\xed\xa0\x80"},"a":%b}' % text_of(entry()), FOUR
    ),
    "half a surrogate pair, escaped": lambda: safetensors(
        {"__metadata__": {"a": "\ud800"}, "a": entry()}, FOUR
    ),
}  # fmt: skip


def test_a_type_that_models_do_not_have_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors({"a": entry([4], dtype="F8_E4M3")}, FOUR))
    with pytest.raises(CheckpointError, match="'a' is of type 'F8_E4M3'"):
        weights.read_header(path)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(HOSTILE[name]())
    if name == "as many empty tensors as fit":  # they are sound, and fit no model
        assert len(weights.read_header(path)) == 18_000
        return
    with pytest.raises(CheckpointError, match="is no sound safetensors file: ") as caught:
        weights.read_header(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < len(str(path)) + 400
    assert caught.value.remedy


def test_what_is_sound_passes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    header = {
        "__metadata__": {"format": "pt"},
        "layers.0.weight": entry([2, 0, 3], at=[0, 0]),
        "b": entry([], at=[0, 4]),
        "c-1_x": entry([2], at=[4, 8], dtype="F16"),
    }
    path.write_bytes(safetensors(text_of(header) + b"   ", bytes(8)))  # padding, as is usual
    start = len(path.read_bytes()) - 8
    assert weights.read_header(path) == {
        "layers.0.weight": ("float32", (2, 0, 3), start),
        "b": ("float32", (), start),
        "c-1_x": ("float16", (2,), start + 4),
    }


mutations = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "put", "swap"]),
        st.integers(0, 400),
        st.binary(min_size=1, max_size=6) | st.sampled_from([b'"', b"[", b"}", b"-", b"9", b","]),
    ),
    max_size=4,
)


@settings(max_examples=400, derandomize=True, deadline=None, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(changes=mutations, keep_length=st.booleans())
def test_what_passes_is_read_alike_by_the_library(
    tmp_path: Path, changes: list[tuple[str, int, bytes]], keep_length: bool
) -> None:
    header = {"a.b": entry([2, 1], at=[0, 8]), "c": entry([3], at=[8, 11], dtype="I8")}
    raw = bytearray(text_of(header))
    for kind, at, what in changes:
        at %= len(raw) + 1
        if kind == "flip" and at < len(raw):
            raw[at] ^= 1 << (what[0] % 8)
        elif kind == "cut":
            del raw[at : at + len(what)]
        elif kind == "put":
            raw[at:at] = what
        else:
            raw[at : at + len(what)] = what
    data = safetensors(bytes(raw), bytes(range(11)))
    if keep_length:
        data = struct.pack("<Q", len(text_of(header))) + data[8:]
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    try:
        found = weights.read_header(path)
    except CheckpointError as error:
        assert "\n" not in str(error)
        return
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(found)
        for name, known in found.items():
            tensor = file.get_tensor(name)
            assert (str(tensor.dtype), tuple(tensor.shape)) == (f"torch.{known.dtype}", known.shape)
            stored = data[known.start : known.start + tensor.nbytes]
            assert tensor.reshape(-1).view(torch.uint8).numpy().tobytes() == stored


_COST = (
    f"peak = lambda: {PEAK}"
    + """
import json, resource, sys, time
from pathlib import Path
from ganzoo import weights
from ganzoo.errors import CheckpointError

before = peak()
room = 256 << 20
resource.setrlimit(resource.RLIMIT_AS, (room, room))
costs = {}
for path in map(Path, sys.argv[1:]):
    started = time.process_time()
    try:
        weights.read_header(path)
    except CheckpointError:
        pass
    costs[path.name] = time.process_time() - started
print(json.dumps({"seconds": costs, "bytes": (peak() - before) << 10}))
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resources of a process")
def test_hostile_files_cost_little_time_and_memory(tmp_path: Path) -> None:
    paths = []
    for name, content in HOSTILE.items():
        paths.append(tmp_path / name.replace(" ", "-"))
        paths[-1].write_bytes(content())
    done = subprocess.run(
        [sys.executable, "-c", _COST, *map(str, paths)], capture_output=True, text=True, check=True
    )
    cost = json.loads(done.stdout)
    slowest = max(cost["seconds"], key=cost["seconds"].get)
    assert cost["seconds"][slowest] < 1, slowest  # 0.1 s on a slow machine
    assert cost["bytes"] < 64 << 20  # of files of up to 99 MB


# -- every way in ----------------------------------------------------------------------------------

TWICE = HOSTILE["a duplicate name"]()
SAID = "a name stands in it twice"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A sound folder but for its weights, whose hashes its author made fit."""
    registry = plugins.load().parts
    G, D = (
        build(part, part.make_config(part.tiny), seed=1)
        for part in (registry.get(kind, "gan") for kind in ("generator", "discriminator"))
    )
    folder = ganzoo.save(tmp_path / "hostile", G, name="gan.hostile", discriminator=D)
    for name in layout.WEIGHTS.values():
        (folder / name).write_bytes(TWICE)
    layout.write_sums(folder)
    return folder


@pytest.fixture(autouse=True)
def no_other_reader(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The library's own reader sees no file before the gate does."""
    if "hostile" in request.fixturenames:
        refuse = "ganzoo.training.state.load_file", "safetensors.torch.load_file"
        for name in refuse:
            monkeypatch.setattr(name, lambda path, **_: pytest.fail(f"{path} was read"))


@pytest.mark.parametrize("older", [False, True])
def test_a_folder(hostile: Path, older: bool) -> None:
    if older:  # which the part is to upgrade
        config = json.loads((hostile / "config.json").read_text())
        config["generator"]["version"] = 0
        (hostile / "config.json").write_text(json.dumps(config))
        layout.write_sums(hostile)
    with pytest.raises(CheckpointError, match=SAID):
        ganzoo.load(hostile)
    (problem, *_) = checkpoint.verify(hostile)
    assert SAID in problem


def test_a_discriminator(hostile: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"discriminator\.safetensors .*{SAID}"):
        ganzoo.load_discriminator(hostile)


def test_the_hub(hostile: Path, server: Hub) -> None:
    server.push("me/x", {p.name: p.read_bytes() for p in hostile.iterdir()}, sums=False)
    with pytest.raises(CheckpointError, match=SAID):
        ganzoo.load("hf://me/x")
    with pytest.raises(CheckpointError, match=SAID):
        ganzoo.load_discriminator("hf://me/x")


def test_a_folder_registry(hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = replace(ModelEntry.from_folder(hostile), subfolder="hostile")
    catalogue.put(tmp_path / "registry.toml", listed)
    monkeypatch.setenv("GANZOO_REGISTRY", str(tmp_path))
    with pytest.raises(CheckpointError, match=SAID):
        ganzoo.load("gan.hostile")


def test_a_mirror(hostile: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=SAID):
        list(mirror([hostile], tmp_path / "zoo"))
    assert not (tmp_path / "zoo" / "gan.hostile").exists()


def test_a_run_that_starts_from_it(hostile: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=SAID):
        train(tiny.recipe("gan"), tmp_path / "run", init=hostile, device="cpu")


def test_a_run_folder_and_its_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganzoo import files

    run = train(tiny.recipe("gan"), tmp_path / "run", steps=5, device="cpu")
    monkeypatch.setattr(
        "ganzoo.training.state.load_file", lambda path: pytest.fail(f"{path} was read")
    )
    (run / "model" / "model.safetensors").write_bytes(TWICE)
    layout.write_sums(run / "model")
    with pytest.raises(CheckpointError, match=SAID):
        ganzoo.load(run)
    (saved,) = (run / "checkpoints").iterdir()
    (saved / "state.safetensors").write_bytes(TWICE)
    state = json.loads((saved / "state.json").read_text())
    state["sha256"] = files.sha256(saved / "state.safetensors")
    (saved / "state.json").write_text(json.dumps(state))
    with pytest.raises(TrainingError, match=SAID):
        train(tiny.recipe("gan"), run, resume=True, device="cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resources of a process")
def test_loading_the_worst_of_them_takes_no_memory(hostile: Path) -> None:
    """The whole way, from `ganzoo.load`: torch and all, and a header as large as it may be."""
    code = (
        "import sys, torch, ganzoo\n"
        "from ganzoo.errors import CheckpointError\n"
        f"peak = lambda: {PEAK}\n"
        "before = peak()\n"
        "try: ganzoo.load(sys.argv[1])\n"
        "except CheckpointError as error: print(peak() - before, error)\n"
    )
    grown = {}
    for name in ("a million empty tensors", "as many empty tensors as fit"):
        (hostile / "model.safetensors").write_bytes(HOSTILE[name]())
        layout.write_sums(hostile)
        done = subprocess.run(
            [sys.executable, "-c", code, str(hostile)],
            capture_output=True, text=True, check=True, timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        kilobytes, _, said = done.stdout.partition(" ")
        grown[name] = int(kilobytes)
        assert "model.safetensors" in said and len(done.stdout.splitlines()) == 1
    assert max(grown.values()) < 100_000, grown
