"""Whatever is in a model folder, only a `GanzooError` comes out, in bounded memory and time.

A sound folder of a tiny model is changed, SHA256SUMS is made to fit (as its author could), and what
reads model folders reads it. The address space is limited while it does: what takes memory because
a file says so fails here. Nothing is random from run to run.
"""

from __future__ import annotations

import contextlib
import copy
import json
import resource
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ganzoo
from ganzoo import card, checkpoint, layout, plugins, provenance
from ganzoo.cli import main
from ganzoo.errors import CheckpointError, GanzooError
from ganzoo.marks import NAMESPACE
from ganzoo.models import build
from ganzoo.no_init import NoInit

ROOM = 1 << 30  # bytes of address space that reading one folder may take; a file here has kilobytes
SECONDS = 5.0  # of this process, for one reader


def fuzz(max_examples: int) -> settings:
    return settings(
        max_examples=max_examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


class Folder:
    """A model folder that is put right before each example."""

    def __init__(self, path: Path, family: str) -> None:
        registry = plugins.load().parts
        networks = []
        for kind in ("generator", "discriminator"):
            part = registry.get(kind, family)
            networks.append(build(part, part.make_config(part.tiny), seed=1))
        training = {
            "steps": 5,
            "images": 40,
            "seed": 3,
            "wall_seconds": 1.5,
            "versions": {"torch": "2"},
            "hardware": {"device": "cpu", "count": 1},
            "data": {"n": 96, "digest": "00"},
            "recipe": {"name": "x", "data": {"source": "folder:/home/me/x"}, "kimg": 0.1},
        }
        info = layout.ModelInfo(dataset="shapes", classes=("circle", "square"), summary="Shapes.")
        self.path = checkpoint.save(
            path,
            networks[0],
            name=f"{family}.fuzz",
            discriminator=networks[1],
            training=training,
            metrics={"fid": {"value": 1.5, "n": 10}, "kid": 0.1},
            info=info,
        )
        self.files = {file.name: file.read_bytes() for file in self.path.iterdir()}

    def document(self, name: str = "config.json") -> Any:
        return json.loads(self.files[name])

    def put(self, sums: bytes | None = None, **changed: bytes | None) -> None:
        """Write the files anew, some of them changed (`config_json=…`; None: removed)."""
        files: dict[str, bytes | None] = dict(self.files)
        files |= {name.replace("__", "."): content for name, content in changed.items()}
        for file in self.path.iterdir():
            if file.name not in files:
                file.unlink()
        for name, content in files.items():
            (self.path / name).unlink(missing_ok=True)
            if content is not None:
                (self.path / name).write_bytes(content)
        layout.write_sums(self.path)
        if sums is not None:
            (self.path / "SHA256SUMS").write_bytes(sums)

    def write_json(self, name: str, document: Any) -> None:
        """NaN, and half surrogate pairs as \\ud800, are written as Python writes them."""
        self.put(**{name.replace(".", "__"): json.dumps(document).encode()})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folder]:
    root = tmp_path_factory.mktemp("fuzz")
    names = ("gan", "dcgan", "stylegan2", "cgan")
    return {name: Folder(root / name, name) for name in names}


@pytest.fixture(scope="module")
def folder(folders: dict[str, Folder]) -> Folder:
    return folders["gan"]


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Less than ROOM more memory than now, and less than SECONDS."""
    used = 0
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        used = pages * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    start = time.process_time()
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - start < SECONDS


def survives(read: Callable[[], Any]) -> GanzooError | None:
    """Run a reader; the error that it was refused with."""
    with bounded():
        try:
            read()
        except GanzooError as error:
            text = str(error)
            assert text.isprintable() and len(text) < 5000
            return error
    return None


def survives_command(*words: str) -> None:
    with bounded():
        result = CliRunner().invoke(main, list(words), catch_exceptions=False)
    assert result.exit_code in (0, 1), result.output
    assert len(result.stderr.splitlines()) == result.exit_code
    assert result.stderr.startswith("error: " if result.exit_code else "")


def read_all(folder: Folder, *, commands: bool = True) -> None:
    """Everything that reads a model folder."""
    path = folder.path
    survives(lambda: layout.read_config(path))
    survives(lambda: ganzoo.load(path))
    survives(lambda: ganzoo.load_discriminator(path))
    with bounded():
        problems = checkpoint.verify(path)  # which says what is wrong, and raises nothing
    assert all(problem.isprintable() and len(problem) < 5000 for problem in problems)
    if commands:
        survives_command("info", f"{path}")
        survives_command("info", f"{path}", "--json")
        survives_command("verify", f"{path}")
    survives(lambda: card.write_card(path))


# -- what anyone may write into a JSON file --------------------------------------------------------


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


HOSTILE = [
    None, True, False, 0, -1, 1, 2, 4096, 65_536, 10**6, 2**31, 2**63, 10**9, 10**400, -(10**400),
    0.0, 0.5, -1.0, 1e308, float("nan"), float("inf"), float("-inf"),
    "", " ", "\n", "x" * 30_000, "\x1b[31mred\x07", "\u202egnp", "\ud800", "\0", "é",
    "../../etc/passwd", "/etc/passwd", "a/b", "C:\\x", "..", "os:system", "gan:gan", ":",
    "-r evil", "ganzoo-gan; rm -rf ~", "ganzoo @ https://example.org/x.whl", "<script>", "`|`",
    "<!-- ganzoo:keep -->", "---\nlicense: mit\n---", "{{ x }}", "%s%n", "float16", "hf:a/b",
    [], {}, [[]], [None], [1, 28, 28], [4, 4096, 4096], [4, 1_048_576, 1_048_576], [1, 28],
    [1, 28, 28, 28], [1.0, 28, 28], [-1, -1, -1], [0, 0, 0], ["1", "28", "28"], [10**30] * 3,
    [1] * 30_000, [65_536] * 30_000, [4096] * 2000, ["x"] * 10_000, [float("nan")] * 3,
    {"a": 1}, {"": ""}, {"part": "gan"}, {"__class__": "x"}, {"config": {}}, {"x" * 10_000: 1},
    {f"k{n}": n for n in range(2000)}, nested(10), nested(40), nested(400),
]  # fmt: skip

scalars = st.one_of(
    st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(HOSTILE[:30]), st.booleans()
)
anything = st.one_of(
    st.sampled_from(HOSTILE),
    scalars,
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=8,
    ),
)
edits = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 3), anything), min_size=1, max_size=3
)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    found = []
    keys: Any = document if isinstance(document, dict) else range(len(document))
    for key in list(keys):
        found.append((document, key))
        if isinstance(document[key], (dict, list)):
            found += places(document[key])
    return found


def edited(document: Any, changes: list[tuple[int, int, Any]]) -> Any:
    """A copy of a document, with a value replaced (mostly), removed, added or renamed."""
    document = copy.deepcopy(document)
    for where, how, value in changes:
        all_places = places(document)
        if not all_places:
            break
        container, key = all_places[where % len(all_places)]
        if how == 0 and isinstance(container, dict):
            container[f"{value}"[:50]] = value
        elif how == 1:
            del container[key]
        else:
            container[key] = copy.deepcopy(value)
    return document


@pytest.mark.parametrize("family", ["gan", "dcgan", "stylegan2", "cgan"])
@fuzz(15)
@given(changes=edits)
def test_configs(folders: dict[str, Folder], family: str, changes: Any) -> None:
    folder = folders[family]
    folder.write_json("config.json", edited(folder.document(), changes))
    read_all(folder)


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:24])
def test_every_setting_of_gan(folder: Folder, value: Any) -> None:
    for where in range(len(places(folder.document()))):
        folder.write_json("config.json", edited(folder.document(), [(where, 2, value)]))
        survives(lambda: ganzoo.load(folder.path))


@fuzz(20)
@given(name=st.sampled_from(["training.json", "metrics.json"]), changes=edits)
def test_records(folder: Folder, name: str, changes: Any) -> None:
    folder.write_json(name, edited(folder.document(name), changes))
    read_all(folder)


# -- settings in range, but large ------------------------------------------------------------------

LARGE = [2, 64, 4096, 8192, 65_536, 2**20, 2**24, 10**6, [65_536] * 30_000, [16_384] * 64,
         [4, 4096, 4096], [3, 1024, 1024], [1, 512, 512], 0.95]  # fmt: skip


def generators_and_critics() -> list[tuple[str, str]]:
    registry = plugins.load().parts
    kinds = ("generator", "discriminator")
    return [(kind, owned.part.name) for kind in kinds for owned in registry.all(kind)]


@pytest.mark.parametrize(("kind", "name"), generators_and_critics())
def test_large_settings_take_no_memory(folder: Folder, kind: str, name: str) -> None:
    """The weights are small: a config that asks for large ones is refused before they are made."""
    part = plugins.load().parts.get(kind, name)
    owner = plugins.load().parts.owner(kind, name)
    read = ganzoo.load if kind == "generator" else ganzoo.load_discriminator
    document = folder.document() | {"plugin": owner.distribution}
    document["generator"] = {"part": "gan", "version": 1, "config": {}}
    for key in part.tiny:
        for value in LARGE:
            document[kind] = {"part": name, "version": part.version, "config": {**part.tiny}}
            document[kind]["config"][key] = value
            folder.write_json("config.json", document)
            assert survives(lambda: read(folder.path)) is not None


def test_a_header_that_lies_as_its_config_does(folder: Folder) -> None:
    """What the config asks for is what the header promises, and the file has nothing of it."""
    import torch

    document = folder.document()
    document["generator"]["config"] |= {"widths": [65_536, 65_536], "z_dim": 65_536}
    part = plugins.load().parts.get("generator", "gan")
    with torch.device("meta"), NoInit(blueprint=True):
        blueprint = build(part, part.make_config(document["generator"]["config"]))
    names = list(blueprint.state_dict().items())
    for size in (0, 4):
        header = {
            name: {
                "dtype": "F32",
                "shape": list(tensor.shape),
                "data_offsets": [size * k, size * (k + 1)],
            }
            for k, (name, tensor) in enumerate(names)
        }
        content = safetensors(header, bytes(size * len(names)))
        folder.put(
            config__json=json.dumps(document).encode(),
            model__safetensors=content,
        )
        assert isinstance(survives(lambda: ganzoo.load(folder.path)), CheckpointError)


def test_a_config_of_more_layers_than_the_file_has_tensors(folder: Folder) -> None:
    document = folder.document()
    document["generator"]["config"]["widths"] = [1] * 200_000
    folder.write_json("config.json", document)
    start = time.process_time()
    error = survives(lambda: ganzoo.load(folder.path))
    assert "the model more" in str(error)
    assert time.process_time() - start < 1.0


# -- files that are no JSON ------------------------------------------------------------------------

TEXTS = [
    b"", b"\0", b"{", b"[]", b"3", b"null", b'"x"', b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"{}" * 2,
    b"[" * 1_000_000, b'{"a":' * 200_000, b"{" + b'"a":1,' * 300_000 + b'"b":1}',
    b'{"format": 1, "format": 2}', b'{"format": 1e999}', b'{"format": ' + b"9" * 5000 + b"}",
    b'{"format": 1, "generator": ' + b"[" * 500 + b"]" * 500 + b"}", b" " * (5 << 20),
    b'["' + b"x" * (5 << 20) + b'"]', b'{"a": "\\ud800"}',
]  # fmt: skip


@pytest.mark.parametrize("name", ["config.json", "training.json", "metrics.json"])
def test_texts_for_json(folder: Folder, name: str) -> None:
    for text in TEXTS:
        folder.put(**{name.replace(".", "__"): text})
        read_all(folder, commands=False)
        survives_command("info", f"{folder.path}")
        assert survives(lambda: layout.read_json(folder.path / name)) or text.startswith(b"{")


@fuzz(40)
@given(content=st.binary(max_size=200), where=st.integers(0, 10**6), cut=st.integers(0, 300))
def test_bytes_in_any_file(folder: Folder, content: bytes, where: int, cut: int) -> None:
    """Some bytes of a file are replaced by others."""
    names = [name for name in sorted(folder.files) if name != "SHA256SUMS"]
    name = names[where % len(names)]
    old = folder.files[name]
    at = where % (len(old) + 1)
    folder.put(**{name.replace(".", "__"): old[:at] + content + old[at + cut :]})
    read_all(folder, commands=False)


@pytest.mark.parametrize("name", ["SHA256SUMS", "config.json", "model.safetensors", "README.md"])
def test_what_is_no_file(folder: Folder, name: str) -> None:
    import os
    import shutil

    path = folder.path / name
    for make in (Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero"),
                 lambda path: path.symlink_to(path), Path.unlink):  # fmt: skip
        folder.put()
        path.unlink()
        if make is not Path.unlink:
            make(path)
        survives(lambda: ganzoo.load(folder.path))
        with bounded():
            assert checkpoint.verify(folder.path)
        survives_command("info", f"{folder.path}")
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


# -- SHA256SUMS ------------------------------------------------------------------------------------

digests = st.sampled_from(["0" * 64, "f" * 64, "F" * 64, "0" * 63, "", "x" * 64, "0" * 9999])
listed = st.one_of(
    st.sampled_from(["config.json", "model.safetensors", "model.sig", "../x.json", "/etc/passwd",
                     "..", ".", "", "a/b", "a\0b", "a b", ".hidden", "x" * 300, "SHA256SUMS", "é",
                     "config.json\r", "C:\\x", "absent.txt"]),
    st.text(max_size=12),
)  # fmt: skip
lines = st.builds("{}{}{}".format, digests, st.sampled_from(["  ", " *", " ", "\t", ""]), listed)


@fuzz(40)
@given(
    more=st.lists(lines, max_size=4), at=st.integers(0, 20), end=st.sampled_from(["\n", "\r\n", ""])
)
def test_sums(folder: Folder, more: list[str], at: int, end: str) -> None:
    sound = folder.files["SHA256SUMS"].decode().splitlines()
    text = end.join([*sound[:at], *more, *sound[at:]]) + end
    folder.put(sums=text.encode("utf-8", "surrogatepass"))
    error = survives(lambda: layout.read_sums(folder.path))
    if error is None:
        assert all(
            "/" not in name and not name.startswith(".") for name in layout.read_sums(folder.path)
        )
    read_all(folder, commands=False)


@pytest.mark.parametrize(
    "sums",
    [b"", b"\xff" * 100, b"\n" * 10**6, b"0" * (5 << 20), b"  config.json\n" * 10**5,
     b"".join(b"%064x  f%d\n" % (n, n) for n in range(40_000)),
     b"".join(b"%064x  f%d\n" % (n, n) for n in range(190))],
    ids=["empty", "binary", "lines", "huge", "no hash", "many files", "some files"],
)  # fmt: skip
def test_sums_as_a_whole(folder: Folder, sums: bytes) -> None:
    folder.put(sums=sums)
    assert survives(lambda: ganzoo.load(folder.path)) is not None
    read_all(folder)


# -- safetensors -----------------------------------------------------------------------------------


def safetensors(header: Any, body: bytes, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + body


numbers = st.sampled_from([0, 1, 2, 4, 8, 100, -1, -4, 2**31, 2**63, 10**30, 1.0, "1", None, True])
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "F16", "BF16", "F64", "I64", "F8_E4M3", "", 3, []]),
        "shape": st.lists(numbers, max_size=4),
        "data_offsets": st.lists(numbers, max_size=3),
        "x": anything,
    },
)  # fmt: skip


@fuzz(80)
@given(
    changes=st.lists(st.tuples(st.integers(0, 100), entries | anything), max_size=2),
    metadata=st.none() | anything,
    length=st.none() | st.sampled_from([0, 1, 7, 2**31, 2**63 - 1, 2**64 - 1]),
    body=st.sampled_from([0, 1, -1, 4, 1000]),
    rename=st.none() | st.text(max_size=10),
)
def test_headers(
    folder: Folder, changes: Any, metadata: Any, length: int | None, body: int, rename: str | None
) -> None:
    raw = folder.files["model.safetensors"]
    (size,) = struct.unpack("<Q", raw[:8])
    header, values = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    for where, change in changes:
        name = sorted(header)[where % len(header)]
        entry = header[name]
        header[name] = {**entry, **change} if isinstance(change, dict) else change
    if rename is not None:
        header[rename] = header.pop(sorted(header)[0])
    if metadata is not None:
        header["__metadata__"] = metadata
    values = values[:body] if body < 0 else values + bytes(body)
    folder.put(model__safetensors=safetensors(header, values, length))
    error = survives(lambda: ganzoo.load(folder.path))
    assert error is None or isinstance(error, CheckpointError)
    with bounded():
        assert bool(checkpoint.verify(folder.path)) == (error is not None)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ([0, 8], [0, 8], "overlap"),
        ([0, 8], [4, 12], "overlap"),
        ([0, 8], [12, 20], "gaps"),
        ([4, 12], [12, 20], "gaps"),
        ([8, 0], [0, 8], "in -8 bytes"),
        ([0, 4], [4, 16], "in 4 bytes"),
        ([-8, 0], [0, 8], "-8 stands in it"),
    ],
)
def test_offsets(folder: Folder, first: list[int], second: list[int], said: str) -> None:
    header = {
        "a": {"dtype": "F32", "shape": [2], "data_offsets": first},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": second},
    }
    folder.put(model__safetensors=safetensors(header, bytes(16)))
    error = survives(lambda: ganzoo.load(folder.path))
    assert isinstance(error, CheckpointError) and said in str(error)


@pytest.mark.parametrize(
    "raw",
    [b"[" * 900_000, b'{"a":' * 100_000, b"{}" + b" " * 900_000,
     b"{" + b'"a":1,' * 100_000 + b'"b":1}',
     b"{" + b",".join(b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n
                      for n in range(15_000)) + b"}", b" " * (2 << 20)],
    ids=["lists", "dicts", "spaces", "names", "tensors", "large"],
)  # fmt: skip
def test_large_headers(folder: Folder, raw: bytes) -> None:
    document = folder.document()
    document["generator"]["config"]["widths"] = [1] * 50_000
    folder.put(config__json=json.dumps(document).encode(), model__safetensors=safetensors(raw, b""))
    assert isinstance(survives(lambda: ganzoo.load(folder.path)), CheckpointError)


# -- cards -----------------------------------------------------------------------------------------

marks = st.sampled_from(
    [card.OPEN, card.CLOSE, "## Use", "# x", "---", "\n", "```", "|", "\x1b[31m"]
)


@fuzz(25)
@given(parts=st.lists(marks | st.text(max_size=20), max_size=12), glue=st.sampled_from(["", "\n"]))
def test_readmes(folder: Folder, parts: list[str], glue: str) -> None:
    text = glue.join(parts)
    folder.put(README__md=text.encode("utf-8", "surrogatepass"))
    assert survives(lambda: card.write_card(folder.path)) is None
    written = (folder.path / "README.md").read_bytes()
    assert survives(lambda: card.write_card(folder.path)) is None
    assert (folder.path / "README.md").read_bytes() == written
    assert checkpoint.verify(folder.path) == []


@pytest.mark.parametrize(
    "text",
    [card.OPEN * 20_000, f"{card.OPEN}{card.CLOSE}\n" * 20_000, "## x\n" * 200_000, "#" * 10**6,
     f"## x\n{card.OPEN}\n{card.CLOSE}\n" * 20_000, "x" * (5 << 20)],
    ids=["open", "blocks", "headings", "hashes", "sections", "large"],
)  # fmt: skip
def test_large_readmes(folder: Folder, text: str) -> None:
    folder.put(README__md=text.encode())
    error = survives(lambda: card.write_card(folder.path))
    assert (error is not None) == (len(text) > layout.LARGEST_TEXT)


# -- pictures --------------------------------------------------------------------------------------


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def png(parts: list[tuple[bytes, bytes]]) -> bytes:
    """With right checksums, so that what is behind them is reached."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


BOMB = zlib.compress(bytes(1 << 24))
pieces = st.tuples(
    st.sampled_from([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"zTXt", b"iTXt",
                     b"tEXt", b"gAMA", b"pHYs", b"cHRM", b"acTL", b"fcTL", b"eXIf", b"abcd"]),
    st.binary(max_size=30)
    | st.sampled_from([BOMB, b"x\0\0" + BOMB, b"ganzoo\0\0\0\0\0{}",
                       struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0),
                       struct.pack(">IIBBBBB", 30_000, 30_000, 16, 6, 0, 0, 0),
                       b'ganzoo\0\0\0\0\0{"seeds": "0-9999"}', b'ganzoo\0\0\0\0\0{"seeds": 3}']),
)  # fmt: skip


@fuzz(80)
@given(changes=st.lists(st.tuples(st.integers(0, 20), st.booleans(), pieces), max_size=3))
def test_pictures(folder: Folder, changes: Any) -> None:
    parts = chunks(folder.files["samples.png"])
    for where, instead, piece in changes:
        at = where % (len(parts) + 1)
        parts[at : at + instead] = [piece]
    folder.put(samples__png=png(parts))
    survives(lambda: card.write_card(folder.path))
    with bounded():
        checkpoint.verify(folder.path)


def test_a_large_picture_in_a_small_file(folder: Folder) -> None:
    record = (b"iTXt", b'ganzoo\0\0\0\0\0{"seeds": "0-7"}')
    size = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 6, 0, 0, 0)
    packed = zlib.compress(bytes(12_000 * (4 * 12_000 + 1)), 1)
    picture = png([(b"IHDR", size), record, (b"IDAT", packed), (b"IEND", b"")])
    assert len(picture) < 4 << 20
    folder.put(samples__png=picture)
    with bounded():
        (problem,) = checkpoint.verify(folder.path)
    assert "samples.png cannot be decoded (Image size (144000000 pixels) exceeds" in problem


def test_a_picture_that_another_program_would_read(folder: Folder) -> None:
    """Pillow runs Ghostscript for a file of this kind, whatever its name is."""
    record = '<g:Record>{"seeds":"0-7"}</g:Record>'
    about = f'<d xmlns:g="{NAMESPACE}">{record}</d>'
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{about}</x:xmpmeta>'
    picture = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n{packet}\n"
    folder.put(samples__png=picture.encode())
    assert provenance.read_record(folder.path / "samples.png") == {"seeds": "0-7"}
    (problem,) = checkpoint.verify(folder.path)
    assert "samples.png is no picture" in problem
