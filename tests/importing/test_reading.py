"""What other programs write is read bit for bit, from every container and protocol."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ganzoo.errors import CheckpointError, InputError, NotFoundError
from ganzoo.importing.reading import read
from ganzoo.importing.tree import Record, Reference, records, tensors

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def pickled(value: Any, protocol: int, path: Path) -> Any:
    found = read(write(path / "p.pkl", pickle.dumps(value, protocol)))
    assert found.container == "pickle"
    return found.root


def saved(value: Any, path: Path, **options: Any) -> Any:
    torch.save(value, path / "t.pt", **options)
    return read(path / "t.pt").root


def same_bits(a: Tensor, b: Tensor) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape or not a.is_contiguous():
        return False
    return a.numpy(force=True).tobytes() == b.contiguous().numpy(force=True).tobytes()


# -- plain values --------------------------------------------------------------------------------

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, -(2**31), 2**31, 2**64,
    -(2**70), 0.0, -0.0, 1.5, 1e300, float("inf"), "a", "é€😀", "\ud800", "line\nend", "x" * 300,
    "y" * 70_000, b"", b"\x00\xff", b"z" * 300, b"w" * 70_000, 1j, complex(-0.5, 2),
    [], [1, [2, [3]]], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {},
    {"a": {1: None, (1, "b"): 2.0}}, set(), {1, "a"}, frozenset(), frozenset({1, 2}),
    list(range(3000)), {str(n): n for n in range(3000)}, "",
]  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values_come_back(protocol: int, tmp_path: Path) -> None:
    for value in VALUES:
        found = pickled(value, protocol, tmp_path)
        assert found == value and type(found) is type(value), value
        assert str(found) == str(value)  # -0.0 is not 0.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_mappings_and_byte_arrays_become_plain_ones(protocol: int, tmp_path: Path) -> None:
    lists = collections.defaultdict(list, a=[1])
    assert pickled(collections.OrderedDict([("b", 1), ("a", 2)]), protocol, tmp_path) == {
        "b": 1, "a": 2,
    }  # fmt: skip
    assert pickled(lists, protocol, tmp_path) == {"a": [1]}
    found = pickled(bytearray(b"\x00\xffab"), protocol, tmp_path)
    assert found == b"\x00\xffab" and type(found) is bytes


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_shared_stays_shared(protocol: int, tmp_path: Path) -> None:
    one: list[Any] = [1]
    one.append(one)
    found = pickled({"a": one, "b": one}, protocol, tmp_path)
    assert found["a"] is found["b"] and found["a"][1] is found["a"] and found["a"][0] == 1


def test_texts_of_python_2_are_read(tmp_path: Path) -> None:
    content = b"(lp0\nS'a\\xe9\\n\\'\\\\'\np1\naU\x02\xe9bag1\naI01\naL12L\naV\\u20ac\na."
    expected = ["aé\n'\\", "éb", "aé\n'\\", True, 12, "€"]
    assert read(write(tmp_path / "p", content)).root == expected


# -- NumPy ---------------------------------------------------------------------------------------

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]


def array_of(dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    raw = np.random.default_rng(0).integers(0, 256, np.dtype(dtype).itemsize * int(np.prod(shape)))
    if dtype == "?":
        raw %= 2
    return raw.astype(np.uint8).view(dtype).reshape(shape)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_type(protocol: int, dtype: str, tmp_path: Path) -> None:
    for order in ("<", ">") if np.dtype(dtype).itemsize > 1 else ("|",):
        for shape in ((), (5,), (2, 3), (0, 2), (2, 3, 4)):
            array = array_of(dtype, shape).astype(np.dtype(dtype).newbyteorder(order))
            for value in (array, np.asfortranarray(array), array.T, array[..., None]):
                found = pickled(value, protocol, tmp_path)
                native = value.astype(value.dtype.newbyteorder("="))
                assert found.shape == value.shape and found.is_contiguous()
                assert found.numpy().dtype == native.dtype
                assert found.numpy().tobytes() == native.tobytes()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_as_numpy_of_before_version_2_writes_them(protocol: int, tmp_path: Path) -> None:
    value = np.arange(6, dtype="f4").reshape(2, 3)
    content = pickle.dumps(value, protocol)
    new, old = b"numpy._core.", b"numpy.core."
    if protocol >= 4:  # the length of a short text, and that of the frame
        for name in (b"multiarray", b"numeric"):
            content = content.replace(
                bytes([len(new + name)]) + new + name, bytes([len(old + name)]) + old + name
            )
        frame = struct.unpack_from("<Q", content, 3)[0] - 1
        content = content[:3] + struct.pack("<Q", frame) + content[11:]
    else:
        content = content.replace(new, old)
    assert old in content and new not in content
    assert torch.equal(read(write(tmp_path / "p", content)).root, torch.from_numpy(value))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scalars_become_numbers(protocol: int, tmp_path: Path) -> None:
    for dtype in DTYPES:
        value = array_of(dtype, (1,))[0]
        found = pickled(value, protocol, tmp_path)
        assert type(found) is type(value.item()), dtype
        assert np.array(found, dtype).tobytes() == value.tobytes()
    assert pickled(np.str_("é"), protocol, tmp_path) == "é"
    assert pickled(np.bytes_(b"ab"), protocol, tmp_path) == b"ab"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_that_hold_no_numbers_are_refused(protocol: int, tmp_path: Path) -> None:
    record = np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])
    for value, said in (
        (np.array([{}, None], dtype=object), "holds objects"),
        (np.array(["a", "b"]), "'U1', which torch has not"),
        (record, "'V8', which torch has not"),
        (np.zeros(2, np.longdouble), "which torch has not"),
    ):
        with pytest.raises(CheckpointError, match=said):
            pickled(value, protocol, tmp_path)


# -- torch ---------------------------------------------------------------------------------------

TYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128,
    torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2,
]  # fmt: skip


def tensor_of(dtype: torch.dtype, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    count = int(np.prod(shape)) * dtype.itemsize
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (count,), generator=generator)
    return raw.to(torch.uint8).view(dtype).reshape(shape)


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "zip": saved,
    "older": lambda v, p: saved(v, p, _use_new_zipfile_serialization=False),
    "zip, protocol 4": lambda v, p: saved(v, p, pickle_protocol=4),
    "older, protocol 4": lambda v, p: saved(
        v, p, _use_new_zipfile_serialization=False, pickle_protocol=4
    ),
    **{f"plain, protocol {n}": lambda v, p, n=n: pickled(v, n, p) for n in PROTOCOLS if n > 1},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_tensors_of_every_type_and_layout(way: Callable[[Any, Path], Any], tmp_path: Path) -> None:
    content = {}
    for dtype in TYPES:
        base = tensor_of(dtype, 4, 6)
        content[str(dtype)] = {
            "whole": base, "turned": base.t(), "part": base[1:3, 2:5], "steps": base[::2, ::3],
            "row": base[2], "one": base[3, 5], "empty": base[:0],
        }  # fmt: skip
    found = way(content, tmp_path)
    for name, group in content.items():
        for kind, tensor in group.items():
            ours = found[name][kind]
            assert ours.dtype == tensor.dtype and ours.shape == tensor.shape, (name, kind)
            assert ours.is_contiguous() and bits(ours) == bits(tensor), (name, kind)
    whole, row = found["torch.float32"]["whole"], found["torch.float32"]["row"]
    row.zero_()
    assert bits(whole) == bits(content["torch.float32"]["whole"])  # memory of its own


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_training_checkpoint(way: Callable[[Any, Path], Any], tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.randn(2, 1, 5, 5)).sum().backward()
    optimiser.step()
    found = way(
        {"net": net.state_dict(), "opt": optimiser.state_dict(), "parameter": net[0].weight,
         "shape": torch.Size([1, 2]), "device": torch.device("cuda:1"), "type": torch.float16},
        tmp_path,
    )  # fmt: skip
    assert list(found["net"]) == list(net.state_dict())
    assert all(same_bits(found["net"][n], t.detach()) for n, t in net.state_dict().items())
    for index, state in optimiser.state_dict()["state"].items():
        assert same_bits(found["opt"]["state"][index]["exp_avg"], state["exp_avg"])
    assert found["opt"]["param_groups"][0]["betas"] == (0.9, 0.999)
    assert same_bits(found["parameter"], net[0].weight.detach())
    assert not found["parameter"].requires_grad
    assert (found["shape"], found["device"]) == ((1, 2), "cuda:1")
    kind = found["type"]
    assert isinstance(kind, Reference) and (kind.module, kind.name) == ("torch", "float16")


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_whole_module_becomes_records(way: Callable[[Any, Path], Any], tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.BatchNorm2d(2))
    root = way(net, tmp_path)
    assert (root.module, root.name) == ("torch.nn.modules.container", "Sequential")
    layers = root.get("_modules")
    assert layers["0"].name == "Conv2d" and layers["0"].get("stride") == (2, 2)
    for name, tensor in net.state_dict().items():
        layer, attribute = name.split(".")
        state = layers[layer].state
        ours = {**state["_parameters"], **state["_buffers"]}[attribute]
        assert same_bits(ours, tensor)
    assert [r.name for _, r in records(root)][:2] == ["Sequential", "Conv2d"]


def test_storages_of_a_gpu_come_to_the_cpu(tmp_path: Path) -> None:
    for old in (False, True):
        path = tmp_path / "t.pt"
        torch.save({"a": torch.arange(3.0)}, path, _use_new_zipfile_serialization=not old)
        content = path.read_bytes()
        place = b"X\x03\x00\x00\x00cpu"
        assert place in content
        if old:
            path.write_bytes(content.replace(place, b"X\x06\x00\x00\x00cuda:0"))
        else:
            with zipfile.ZipFile(path) as before:
                members = [(i.filename, before.read(i)) for i in before.infolist()]
            with zipfile.ZipFile(path, "w") as after:
                for name, data in members:
                    after.writestr(name, data.replace(place, b"X\x06\x00\x00\x00cuda:0"))
        root = read(path).root
        assert torch.equal(root["a"], torch.arange(3.0)) and root["a"].device.type == "cpu"


def test_a_view_of_a_storage_in_an_older_file(tmp_path: Path) -> None:
    """As torch wrote it before it shared storages by itself: (key of the view, offset, size)."""
    path = tmp_path / "t.pt"
    torch.save(torch.arange(6.0), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    old = b"K\x06Ntq"  # numel, no view
    assert content.count(old) == 1
    # values 2 to 5, of which the tensor takes 4
    changed = content.replace(old, b"K\x06X\x01\x00\x00\x00vK\x02K\x04\x87tq")
    changed = changed.replace(b"QK\x00K\x06\x85", b"QK\x00K\x04\x85")
    assert torch.equal(read(write(path, changed)).root, torch.arange(2.0, 6.0))
    beyond = changed.replace(b"vK\x02K\x04\x87", b"vK\x03K\x04\x87")
    with pytest.raises(CheckpointError, match="beyond another one"):
        read(write(path, beyond))


def test_marks_of_conjugation_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="conjugated by a mark"):
        saved(torch.ones(2, dtype=torch.complex64).conj(), tmp_path)


def test_without_checksums(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        assert torch.equal(saved(torch.arange(3.0), tmp_path), torch.arange(3.0))
    finally:
        torch.serialization.set_crc32_options(True)


# -- NVIDIA's persistent objects -----------------------------------------------------------------


@pytest.fixture
def persistence(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module with the names of theirs, and a class that pickles itself as theirs do."""
    package, module = types.ModuleType("torch_utils"), types.ModuleType("torch_utils.persistence")
    tool = types.ModuleType("dnnlib")
    util = types.ModuleType("dnnlib.util")

    def _reconstruct_persistent_obj(meta: Any) -> Any:
        raise AssertionError("it was called")

    class EasyDict(dict):  # type: ignore[type-arg]
        pass

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    util.EasyDict = EasyDict  # type: ignore[attr-defined]
    for name, value in (
        ("torch_utils", package), ("torch_utils.persistence", module), ("dnnlib", tool),
        ("dnnlib.util", util),
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, name, value)

    class Persistent(nn.Linear):
        def __reduce__(self) -> Any:
            meta = EasyDict(
                type="class", version=6, module_src="raise SystemExit('it ran')",
                class_name="Generator",
                state={**self.__dict__, "_init_args": (), "_init_kwargs": EasyDict(z_dim=3)},
            )  # fmt: skip
            return _reconstruct_persistent_obj, (meta,), None, None, None

    yield Persistent


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_persistent_pickle(protocol: int, persistence: Any, tmp_path: Path) -> None:
    net = persistence(3, 2)
    net.register_buffer("w_avg", torch.arange(4.0))
    root = pickled({"G": None, "G_ema": net, "kwargs": {"n": np.float64(0.5)}}, protocol, tmp_path)
    assert root["G"] is None and root["kwargs"] == {"n": 0.5}
    record = root["G_ema"]
    assert isinstance(record, Record)
    assert record.module == "torch_utils.persistence"
    assert record.name == "_reconstruct_persistent_obj"
    (meta,) = record.args
    assert type(meta) is dict and meta["module_src"] == "raise SystemExit('it ran')"
    assert meta["state"]["_init_kwargs"] == {"z_dim": 3}
    assert same_bits(meta["state"]["_parameters"]["weight"], net.weight.detach())
    assert same_bits(meta["state"]["_buffers"]["w_avg"], net.w_avg)
    assert [name for name, _ in tensors(root)] == [
        "G_ema.args.0.state._parameters.weight",
        "G_ema.args.0.state._parameters.bias",
        "G_ema.args.0.state._buffers.w_avg",
    ]


def test_classes_that_are_lists_and_mappings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = types.ModuleType("someones_config")
    for base in (dict, list):
        cls: Any = type(f"My{base.__name__}", (base,), {"__module__": "someones_config"})
        setattr(module, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, "someones_config", module)
    config, row = module.Mydict(lr=0.1), module.Mylist([1, 2])  # type: ignore[attr-defined]
    config.note = "x"
    for protocol in range(2, 6):
        found = pickled([config, row], protocol, tmp_path)
        assert (found[0].module, found[0].name) == ("someones_config", "Mydict")
        assert found[0].state == {"lr": 0.1, "note": "x"}
        assert found[1].kwargs == {"listitems": [1, 2]}


# -- safetensors, and what a file is -------------------------------------------------------------


def test_safetensors(tmp_path: Path) -> None:
    content = {"b.weight": tensor_of(torch.float16, 2, 3), "a": torch.arange(3)}
    path = tmp_path / "model.bin"  # what it is shows in its bytes
    save_file(content, path)
    found = read(path)
    assert found.container == "safetensors" and found.root.keys() == content.keys()
    assert all(bits(found.root[name]) == bits(content[name]) for name in content)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="header promises"):
        read(path)


def test_what_a_file_is_called_does_not_matter(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.pkl", "a", "a.jpg"):
        torch.save([torch.zeros(1)], tmp_path / name)
        found = read(tmp_path / name)
        assert (found.name, found.container) == (name, "torch-zip")
        assert found.size == (tmp_path / name).stat().st_size and len(found.sha256) == 64


def test_other_files_are_named(tmp_path: Path) -> None:
    script = io.BytesIO()
    with zipfile.ZipFile(script, "w") as archive:
        for name in ("net/data.pkl", "net/version", "net/constants.pkl", "net/code/net.py"):
            archive.writestr(name, "N.")
    tar = bytearray(1024)
    tar[257:262] = b"ustar"
    npz = io.BytesIO()
    np.savez(npz, a=np.zeros(3))
    for content, said in (
        (script.getvalue(), "TorchScript"),
        (bytes(tar), "tar archive"),
        (npz.getvalue(), "zip archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (b"\x93NUMPY" + bytes(100), "NumPy array"),
        (b"\x1f\x8b" + bytes(100), "gzip"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0", "no pickle"),
        (b"hello, world\n", "no pickle|damaged"),
        (b"N.N.", "behind the end"),
    ):
        with pytest.raises(CheckpointError, match=said):
            read(write(tmp_path / "f", content))
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(NotFoundError):
        read(tmp_path / "none")


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pipes in folders")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(InputError, match="a pipe or a device"):
            read(path)


def test_a_file_too_large_to_be_one_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "f", "wb") as file:
        file.truncate((1 << 33) + 1)  # it takes no room
    with pytest.raises(CheckpointError, match="more than 8,589,934,592"):
        read(tmp_path / "f")


def test_a_file_that_grows_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, fstat = write(tmp_path / "f", b"N."), os.fstat

    def then_grows(number: int) -> os.stat_result:
        found = fstat(number)
        with open(path, "ab") as file:
            file.write(b"N.")
        return found

    monkeypatch.setattr(os, "fstat", then_grows)
    with pytest.raises(CheckpointError, match="changed while it was read: try again"):
        read(path)


def test_any_name_of_a_file_is_the_folder_of_its_archive(tmp_path: Path) -> None:
    path = tmp_path / "2024-01-01 12:30:00, größer.pt"
    torch.save({"a": torch.ones(2)}, path)
    assert torch.equal(read(path).root["a"], torch.ones(2))


def test_parameters_as_older_modules_hold_them(tmp_path: Path) -> None:
    """A call of the class, whose state says whether it needs a gradient."""
    data = pickle.dumps(nn.Parameter(torch.arange(3.0)).data, 2)[2:-1]
    call = b"ctorch.nn.parameter\nParameter\n" + data + b"\x85R(\x89\x88}tb."
    assert torch.equal(read(write(tmp_path / "f", b"\x80\x02" + call)).root, torch.arange(3.0))


SHARED = os.environ.get("GANZOO_SHARED", "")


@pytest.mark.shared
@pytest.mark.skipif(not SHARED, reason="GANZOO_SHARED names no folder with fixtures/")
@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("csinva_mnist_mlp_G--300.ckpt", "torch-legacy"),
        ("rosi_sg2_converted32-config-f.pt", "torch-zip"),
    ],
)
def test_files_of_other_programs(name: str, container: str) -> None:
    """Two that were written by others, against torch's own reader."""
    path = Path(SHARED) / "fixtures" / name
    found = read(path)
    assert found.container == container
    theirs = dict(tensors(torch.load(path, weights_only=True, map_location="cpu")))
    ours = dict(tensors(found.root))
    assert list(ours) == list(theirs) and len(ours) > 5
    assert all(same_bits(ours[key], theirs[key]) for key in ours)
