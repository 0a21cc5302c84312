"""The model folder: exact round trips, hashes before use, and nothing odd is ever loaded."""

from __future__ import annotations

import json
import signal
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import ganzoo
from ganzoo import checkpoint, contact_sheet, files, layout, plugins, provenance
from ganzoo.errors import (
    CheckpointError,
    ConfigError,
    GanzooError,
    IntegrityError,
    NotFoundError,
    PluginError,
)
from ganzoo.models import Discriminator, Generator, build
from tests.tiny import families


def networks(family: str = "dcgan") -> tuple[Generator, Discriminator]:
    registry = plugins.load().parts
    made = []
    for kind in ("generator", "discriminator"):
        part = registry.get(kind, family)
        made.append(build(part, part.make_config(part.tiny), seed=1))
    return made[0].eval(), made[1].eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    G, D = networks()
    return checkpoint.save(tmp_path / "model", G, name="dcgan.test", discriminator=D)


def edit_config(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change config.json as its author could, with honest hashes."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    layout.write_sums(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_save_load_save_is_byte_identical(tmp_path: Path, family: str, dtype: Any) -> None:
    G, D = networks(family)
    first = checkpoint.save(tmp_path / "a", G, name="x", discriminator=D, storage_dtype=dtype)
    loaded, critic = checkpoint.load_generator(first), checkpoint.load_discriminator(first)
    second = checkpoint.save(tmp_path / "b", loaded, discriminator=critic)
    assert files_of(first) == files_of(second)
    assert not loaded.training and all(p.dtype == torch.float32 for p in loaded.parameters())
    images = torch.Tensor(G.sample(4))
    # untrained, a layer that normalises its map may enlarge what rounding did to a few pixels
    off = (torch.Tensor(loaded.sample(4)) - images).abs()
    assert off.max() <= (0 if dtype == "float32" else 5e-2) and off.mean() <= 2e-3


def test_float16_is_for_parameters_and_buffers_stay_exact(tmp_path: Path) -> None:
    G, _ = networks()
    path = checkpoint.save(tmp_path / "a", G, storage_dtype="float16") / "model.safetensors"
    stored = load_file(path)
    assert stored["layers.0.weight"].dtype == torch.float16
    assert stored["layers.1.running_mean"].dtype == torch.float32
    assert stored["layers.1.num_batches_tracked"].dtype == torch.int64
    with torch.no_grad():
        G.layers[0].weight.fill_(1e6)
    with pytest.raises(CheckpointError, match=r"layers\.0\.weight does not fit float16"):
        checkpoint.save(tmp_path / "b", G, storage_dtype="float16")
    assert not (tmp_path / "b").exists() and len(list(tmp_path.iterdir())) == 1


def test_the_folder_is_complete(folder: Path) -> None:
    names = {"README.md", "SHA256SUMS", "config.json", "discriminator.safetensors",
             "model.safetensors", "samples.png"}  # fmt: skip
    assert set(files_of(folder)) == names
    assert set(layout.read_sums(folder)) == names - {"SHA256SUMS"}
    assert checkpoint.verify(folder) == []
    config = layout.read_config(folder)
    assert (config.plugin, config.requires) == ("ganzoo-dcgan", "ganzoo-dcgan>=0.1,<0.2")


@pytest.mark.parametrize(
    ("classes", "seeds", "labels"),
    [(0, "0-63", None), (3, "0-29", ",".join(["0-2"] * 10)), (12, "0-63", "0-11," * 5 + "0-3")],
)
def test_its_picture_records_seeds_and_classes(
    tmp_path: Path, classes: int, seeds: str, labels: str | None
) -> None:
    part = plugins.load().parts.get("generator", "dcgan")
    G = build(part, part.make_config({**part.tiny, "num_classes": classes}), seed=0)
    folder = checkpoint.save(tmp_path / "model", G, name="x")
    record = provenance.read_record(folder / "samples.png")
    assert record is not None
    assert (record["seeds"], record.get("labels")) == (seeds, labels)
    assert checkpoint.verify(folder) == []


def test_its_picture_shows_fewer_of_large_images() -> None:
    shown = contact_sheet.shown_of
    sides = {32: 64, 128: 64, 256: 16, 512: 4, 1024: 4}
    assert {side: shown((3, side, side), 0, 64) for side in sides} == sides
    assert [shown((3, side, side), 6, 64) for side in sides] == [60, 60, 12, 6, 6]
    assert shown((3, 512, 512), 0, 2) == 2
    assert shown((1, 28, 28), 10, 64) == 100 and shown((3, 256, 256), 1000, 64) == 16


def test_fewer_images_than_are_verified(tmp_path: Path) -> None:
    part = plugins.load().parts.get("generator", "dcgan")
    G = build(part, part.make_config(part.tiny), seed=0)
    G.samples_shown = 2
    folder = checkpoint.save(tmp_path / "model", G, name="x")
    record = provenance.read_record(folder / "samples.png")
    assert record is not None and record["seeds"] == "0-1"
    assert checkpoint.verify(folder) == []


def test_loading_leaves_the_global_random_state(folder: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    checkpoint.load_generator(folder)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_flipped_bit_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(IntegrityError, match=f"{name} was changed or damaged"):
        checkpoint.load_generator(folder)
    assert any(name in problem for problem in checkpoint.verify(folder))


def test_what_was_just_hashed_is_not_hashed_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    sha256 = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: hashed.append(path.name) or sha256(path))
    checkpoint.load_generator(folder)
    assert sorted(hashed) == ["config.json", "model.safetensors"]
    sums = layout.read_sums(folder)
    hashed.clear()
    generator = checkpoint.load_generator(folder, hashes=sums)
    assert hashed == []
    assert generator.record["weights_sha256"] == sums["model.safetensors"]


def test_added_and_removed_files_are_seen(folder: Path) -> None:
    (folder / "evil.py").write_text("x")
    (folder / "samples.png").unlink()
    problems = " ".join(checkpoint.verify(folder))
    assert "evil.py is not named in SHA256SUMS" in problems and "samples.png is missing" in problems


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda c: c.update(extra=1), ConfigError, "no setting 'extra'"),
        (lambda c: c.update(storage_dtype="int8"), ConfigError, "storage_dtype = 'int8'"),
        (lambda c: c.update(format=99), CheckpointError, "format 99.*upgrade ganzoo"),
        (lambda c: c.pop("generator"), ConfigError, "missing 1 required.*generator"),
        (lambda c: c["generator"]["config"].update(wdith=3), ConfigError, "did you mean width"),
        (lambda c: c["generator"]["config"].update(width="8"), ConfigError, "wrong type: use int"),
        (lambda c: c["generator"]["config"].update(width=16), CheckpointError, "does not fit"),
        (lambda c: c["generator"]["config"].update(width=10**9), ConfigError, "out of range"),
        (lambda c: c["generator"]["config"].update(image_shape=[1, 32, 32]), CheckpointError,
         "does not fit its config: it lacks"),
        (lambda c: c["generator"].update(version=7), CheckpointError, "version 7 of generator"),
        (lambda c: c["generator"].update(part="gan"), ConfigError, "generator.config"),
        (lambda c: c["generator"].update(part="os:system"), PluginError, "not in the installed"),
    ],
)  # fmt: skip
def test_a_config_that_does_not_fit_is_refused(
    folder: Path, change: Any, error: type[GanzooError], message: str
) -> None:
    edit_config(folder, change)
    with pytest.raises(error, match=message) as caught:
        checkpoint.load_generator(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("plugin", "requires", "remedy"),
    [
        ("ganzoo-new", "ganzoo-new>=0.1,<0.2", r"pip install 'ganzoo-new>=0\.1,<0\.2'$"),
        ("ganzoo-new", "ganzoo-new @ evil; x", r"pip install ganzoo-new$"),
        ("evil", "evil", "ganzoo has not reviewed that plugin"),
        ("ganzoo-gan", "ganzoo-gan", "not in the installed ganzoo-gan: update that plugin"),
    ],
)
def test_a_missing_plugin_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, plugin: str, requires: str, remedy: str
) -> None:
    monkeypatch.setattr("ganzoo.registry.curated_distributions", lambda: {"ganzoo-new"})

    def change(config: dict[str, Any]) -> None:
        config.update(plugin=plugin, requires=requires)
        config["generator"]["part"] = "absent"

    edit_config(folder, change)
    with pytest.raises(PluginError, match=remedy) as caught:
        checkpoint.load_generator(folder)
    assert ("pip install" in str(caught.value)) == (plugin == "ganzoo-new")


def raw(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


HOSTILE = {
    "empty": b"",
    "short": b"\x01\x02",
    "header beyond the file": struct.pack("<Q", 10**6) + b"{}",
    "enormous header": struct.pack("<Q", 2**63) + b"{}",
    "no json": raw(b"\x80\x04pickle"),
    "leading space": raw(b" {}"),
    "a list": raw(b"[]"),
    "deep nesting": raw(b"[" * 100_000),
    "duplicate name": raw(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                          b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
    "path as name": raw(b'{"../../x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
    "unknown dtype": raw(b'{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
    "extra field": raw(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}', b"\0" * 4),
    "huge size": raw(b'{"a":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,4]}}', b"\0" * 4),
    "negative size": raw(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', b"\0" * 4),
    "trailing bytes": raw(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 9),
    "other tensors": raw(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_weight_files_are_refused(folder: Path, name: str) -> None:
    (folder / "model.safetensors").write_bytes(HOSTILE[name])
    layout.write_sums(folder)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_generator(folder)
    assert "\n" not in str(caught.value) and "model.safetensors" in str(caught.value)


def test_values_that_are_not_finite_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["layers.0.weight"][0, 0, 0, 0] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})
    layout.write_sums(folder)
    with pytest.raises(CheckpointError, match=r"'layers\.0\.weight' is not finite"):
        checkpoint.load_generator(folder)


def test_half_a_file_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    layout.write_sums(folder)
    with pytest.raises(CheckpointError, match="its header promises"):
        checkpoint.load_generator(folder)


@pytest.mark.parametrize("suffix", [".pt", ".pkl", ".pth", ".ckpt"])
def test_pickles_are_refused_unopened(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.")
    for source in (path, str(path)):
        with pytest.raises(CheckpointError, match=f"is a {suffix} file, which can run code"):
            ganzoo.load(source)


def test_other_folders_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model folder: it has no config\.json"):
        ganzoo.load(tmp_path)
    with pytest.raises(NotFoundError, match="there is no model folder"):
        ganzoo.load(tmp_path / "absent")
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="exists and is no model folder"):
        checkpoint.save(tmp_path, networks()[0])
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_odd_sums_are_refused(folder: Path) -> None:
    sums = (folder / "SHA256SUMS").read_text()
    for odd in (sums + "x\n", sums.replace("  config", "  ../config"), sums + sums, ""):
        (folder / "SHA256SUMS").write_text(odd)
        with pytest.raises(CheckpointError):
            checkpoint.load_generator(folder)


def test_a_failed_save_leaves_the_former_folder(folder: Path, monkeypatch: Any) -> None:
    before = files_of(folder)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ganzoo.card.write_card", full)
    with pytest.raises(GanzooError, match="No space left on device: free some space"):
        checkpoint.save(folder, networks()[0])
    assert files_of(folder) == before and [p.name for p in folder.parent.iterdir()] == ["model"]


def test_an_older_version_is_upgraded_by_its_part(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 1 of the part named `width` "channels" and the layers "net"."""

    def old(config: dict[str, Any]) -> None:
        settings = config["generator"]["config"]
        settings["channels"] = settings.pop("width")

    path = folder / "model.safetensors"
    images = torch.Tensor(checkpoint.load_generator(folder).sample(2))
    tensors = {k.replace("layers", "net"): v for k, v in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    edit_config(folder, old)

    registry = plugins.load().parts
    owned = registry.owner("generator", "dcgan")
    newer = replace(owned.part, version=2, upgrade=f"{__name__}:upgrade")
    parts = registry._by_kind["generator"]
    monkeypatch.setitem(
        registry._by_kind,
        "generator",
        [replace(o, part=newer) if o is owned else o for o in parts],
    )
    loaded = checkpoint.load_generator(folder)
    torch.testing.assert_close(torch.Tensor(loaded.sample(2)), images)


def upgrade(version: int, config: dict[str, Any], state: dict[str, Any]) -> tuple[Any, Any]:
    assert version == 1
    config["width"] = config.pop("channels")
    return config, {k.replace("net", "layers"): v for k, v in state.items()}


def test_a_full_disk_is_one_line_for_weights_too(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(GanzooError, match=r"cannot write .*model: .*: free some space"):
            checkpoint.save(tmp_path / "model", networks()[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)
    assert list(tmp_path.iterdir()) == []
