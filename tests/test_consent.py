"""Marks against training: found in every container, named by path, left out or used when asked.

The files in consent_files were signed by c2pa-python 0.38 with keys made for it and thrown away;
their names say whose assertion they have, and whether generative training is allowed.
"""

from __future__ import annotations

import io
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganzoo.data import load_data
from ganzoo.data.consent import against_training
from ganzoo.errors import DataError, GanzooError, InputError

SIGNED = Path(__file__).parent / "consent_files"
VOCABULARY = "http://ns.useplus.org/ldf/vocab/"
NO = "DMI-PROHIBITED-AIMLTRAINING"


def packet(value: str = NO, *, form: str = "attribute", prefix: str = "plus") -> bytes:
    inside = {
        "attribute": f' {prefix}:DataMining="{VOCABULARY}{value}"/>',
        "element": f"><{prefix}:DataMining>\n {VOCABULARY}{value}</{prefix}:DataMining>",
        "resource": f'><{prefix}:DataMining rdf:resource="{VOCABULARY}{value}"/>',
    }[form]
    end = "" if form == "attribute" else "</rdf:Description>"
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta'
        ' xmlns:x="adobe:ns:meta/"><rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        f' xmlns:{prefix}="http://ns.useplus.org/ldf/xmp/1.0/"'
        f' xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/jpeg"{inside}{end}'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def image(seed: int = 0, size: int = 16) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))


def saved(format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image().save(buffer, format, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png_with(*chunks: bytes, last: bool = False) -> bytes:
    """A PNG with further chunks, after its header or before its end."""
    data = saved("PNG")
    at = len(data) - 12 if last else 33
    return data[:at] + b"".join(chunks) + data[at:]


def itxt(text: bytes, *, packed: bool) -> bytes:
    keyword = b"XML:com.adobe.xmp"
    content = zlib.compress(text) if packed else text
    return chunk(b"iTXt", keyword + (b"\0\1\0" if packed else b"\0\0\0") + b"\0\0" + content)


def raw_profile(text: bytes, *, packed: bool) -> bytes:
    """As ImageMagick writes a packet into a PNG."""
    digits = text.hex()
    lines = "\n".join(digits[k : k + 72] for k in range(0, len(digits), 72))
    profile = f"\nxmp\n{len(text):8}\n{lines}\n".encode()
    keyword = b"Raw profile type xmp"
    if packed:
        return chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(profile))
    return chunk(b"tEXt", keyword + b"\0" + profile)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg_with(*segments: bytes) -> bytes:
    data = saved("JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def extended_xmp(text: bytes) -> bytes:
    """A packet of more than one segment, its second half first."""
    half = len(text) // 2
    name, guid = b"http://ns.adobe.com/xmp/extension/\0", b"A" * 32
    return jpeg_with(*(
        segment(0xE1, name + guid + struct.pack(">II", len(text), at) + part)
        for at, part in ((half, text[half:]), (0, text[:half]))
    ))  # fmt: skip


def in_two_segments(data: bytes) -> bytes:
    """A signed JPEG whose manifest is cut in the middle of the mark."""
    start = data.index(b"\xff\xeb")
    size = struct.unpack(">H", data[start + 2 : start + 4])[0]
    content = data[start + 4 : start + 2 + size]
    head, box, body = content[:4], content[8:16], content[16:]
    cut = body.index(b"training-mining") + 4
    pieces = [
        segment(0xEB, head + struct.pack(">I", number) + box + part)
        for number, part in ((2, body[cut:]), (1, body[:cut]))
    ]
    return data[:start] + b"".join(pieces) + data[start + 2 + size :]


def read(name: str) -> bytes:
    return (SIGNED / name).read_bytes()


MARKED: dict[str, Callable[[], bytes]] = {
    "png": lambda: png_with(itxt(packet(), packed=False)),
    "png, packed": lambda: png_with(itxt(packet(), packed=True)),
    "png, at its end": lambda: png_with(itxt(packet(), packed=False), last=True),
    "png of ImageMagick": lambda: png_with(raw_profile(packet(), packed=True)),
    "png of ImageMagick, not packed": lambda: png_with(raw_profile(packet(), packed=False)),
    "jpeg": lambda: saved("JPEG", xmp=packet()),
    "jpeg, extended": lambda: extended_xmp(packet()),
    "webp": lambda: saved("WEBP", xmp=packet()),
    "an element": lambda: saved("JPEG", xmp=packet(form="element")),
    "a resource": lambda: saved("JPEG", xmp=packet(form="resource")),
    "another prefix": lambda: saved("JPEG", xmp=packet(prefix="ns1")),
    "UTF-16": lambda: saved("WEBP", xmp=packet().decode().encode("utf-16")),
}


@pytest.mark.parametrize("name", MARKED)
def test_a_mark_in_xmp_is_found(name: str) -> None:
    assert against_training(MARKED[name]()) == f"plus:DataMining {NO}"


@pytest.mark.parametrize(
    ("value", "forbids"),
    [
        ("DMI-PROHIBITED", True),
        ("DMI-PROHIBITED-AIMLTRAINING", True),
        ("DMI-PROHIBITED-GENAIMLTRAINING", True),
        ("DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING", True),
        ("DMI-PROHIBITED-SEECONSTRAINT", True),
        ("DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR", True),
        ("DMI-PROHIBITED-SEELINKEDRIGHTSEXPR", True),
        ("DMI-ALLOWED", False),
        ("DMI-UNSPECIFIED", False),
        ("", False),
    ],
)
def test_the_values_of_the_vocabulary(value: str, forbids: bool) -> None:
    for form in ("attribute", "element", "resource"):
        said = against_training(saved("JPEG", xmp=packet(value, form=form)))
        assert said == (f"plus:DataMining {value}" if forbids else "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (read("cawg-no.png"), "cawg.training-mining ai_generative_training notAllowed"),
        (read("c2pa-no.jpg"), "c2pa.training-mining ai_generative_training notAllowed"),
        (read("cawg-json.webp"), "cawg.training-mining ai_generative_training notAllowed"),
        (read("cawg-con.jpg"), "cawg.training-mining ai_generative_training constrained"),
        (
            in_two_segments(read("c2pa-no.jpg")),
            "c2pa.training-mining ai_generative_training notAllowed",
        ),
        (read("c2pa-yes.png"), ""),  # which forbids inference, and nothing else
    ],
    ids=["png", "jpeg", "webp", "constrained", "two segments", "allowed"],
)
def test_a_mark_in_a_signed_manifest_is_found(data: bytes, said: str) -> None:
    assert against_training(data) == said


@pytest.mark.parametrize(
    "data",
    [
        saved("PNG"),
        saved("JPEG"),
        saved("WEBP"),
        saved("BMP"),
        png_with(chunk(b"tEXt", b"Comment\0" + packet())),  # no place for a packet
        png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib")),
        saved("JPEG", comment=packet()),
        saved("JPEG", xmp=packet("DMI-ALLOWED").replace(b"dc:format", b'dc:x="DMI-PROHIBITED" a')),
        saved("PNG") + packet(),
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xe1",
    ],
)
def test_what_is_no_mark(data: bytes) -> None:
    assert against_training(data) == ""


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(
    name=st.sampled_from([*MARKED, "c2pa"]),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 4000),
)
def test_a_damaged_file_ends_the_scan_and_nothing_else(
    name: str, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(read("c2pa-no.jpg") if name == "c2pa" else MARKED[name]())
    for at, value in changes:
        data[at % len(data)] = value
    assert isinstance(against_training(bytes(data[:cut])), str)


def test_a_bomb_in_a_text_is_not_unpacked_further() -> None:
    bomb = zlib.compress(bytes(64 << 20))
    data = png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb))
    assert against_training(data) == ""


def test_labels_that_each_promise_the_rest_of_the_file_take_no_time() -> None:
    label = b"c2pa.training-mining\0" + b"\x7f\xff\xff\xffcbor" + b"ai_training"
    started = time.monotonic()
    assert against_training(png_with(chunk(b"caBX", label * 20_000))) == ""
    assert time.monotonic() - started < 5  # it was minutes


# -- data sets -------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two hundred images, of which one does not want it."""
    folder = tmp_path / "photos"
    for n in range(200):
        path = folder / ("cats" if n % 2 else "dogs") / f"{n:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image(n).save(path)
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet().decode())
    image(57).save(folder / "cats" / "057.png", pnginfo=text)
    return folder


def spec_of(kind: str, photos: Path) -> str:
    if kind == "folder":
        return f"folder:{photos}"
    with zipfile.ZipFile(photos.with_suffix(".zip"), "w") as file:
        for path in sorted(photos.rglob("*.png")):
            file.write(path, path.relative_to(photos.parent))
    return f"zip:{photos.with_suffix('.zip')}"


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_marked_image_among_many_is_named_by_its_path(kind: str, photos: Path) -> None:
    spec = spec_of(kind, photos)
    for _ in range(2):  # also when it is asked again
        with pytest.raises(DataError) as caught:
            load_data(spec)
        assert caught.value.problem == (
            f"1 of 200 images of {spec} says that it is not to be used for training:"
            f" {'photos/' if kind == 'zip' else ''}cats/057.png (plus:DataMining {NO})"
        )
        assert f"{spec}?consent=skip" in caught.value.remedy
        assert f"{spec}?consent=ignore" in caught.value.remedy
        assert "\n" not in str(caught.value)


def test_with_skip_it_is_left_out_and_said(photos: Path) -> None:
    for _ in range(2):  # prepared, and from the cache
        data = load_data(f"folder:{photos}?consent=skip")
        assert len(data) == 199
        assert data.consent is not None and data.consent.policy == "skip"
        assert data.consent.marked == (("cats/057.png", f"plus:DataMining {NO}"),)
        assert data.warning == (
            f"skipped 1 of 200 images of folder:{photos}?consent=skip:"
            f" cats/057.png (plus:DataMining {NO})"
        )
    (photos / "cats" / "057.png").unlink()
    assert load_data(f"folder:{photos}").digest == data.digest


def test_with_ignore_it_is_used_and_said(photos: Path) -> None:
    for _ in range(2):
        data = load_data(f"folder:{photos}?consent=ignore")
        assert len(data) == 200 and not data.skipped
        assert data.consent is not None and data.consent.policy == "ignore"
        assert data.consent.marked == (("cats/057.png", f"plus:DataMining {NO}"),)
        assert data.warning == (
            f"1 of 200 images of folder:{photos}?consent=ignore are used although marked as not for"
            f" training: cats/057.png (plus:DataMining {NO})"
        )
    image(57).save(photos / "cats" / "057.png")
    clean = load_data(f"folder:{photos}")
    assert clean.digest == data.digest
    assert clean.consent is not None and clean.consent.marked == () and not clean.warning


def test_many_are_counted_and_some_named(photos: Path) -> None:
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet().decode())
    for n in range(0, 20, 2):
        image(n).save(photos / "dogs" / f"{n:03d}.png", pnginfo=text)
    with pytest.raises(DataError, match=r"11 of 200 images .* say that they are .* and 8 more"):
        load_data(f"folder:{photos}?labels=none")
    assert len(load_data(f"folder:{photos}?labels=none&consent=skip")) == 189


def test_a_set_of_marked_images_only(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(read("c2pa-no.jpg"))
    with pytest.raises(DataError, match="1 of 1 images"):
        load_data(f"folder:{tmp_path}")
    with pytest.raises(DataError, match="none is left"):
        load_data(f"folder:{tmp_path}?consent=skip")
    assert len(load_data(f"folder:{tmp_path}?consent=ignore")) == 1


@pytest.mark.parametrize("spec", ["folder:{}?consent=maybe", "zip:{}.zip?consent=maybe"])
def test_another_consent_is_none(photos: Path, spec: str) -> None:
    spec_of("zip", photos)
    with pytest.raises(InputError, match="consent=maybe is none: known: ignore, refuse, skip"):
        load_data(spec.format(photos))


def test_what_has_no_files_takes_no_consent() -> None:
    with pytest.raises(GanzooError, match="shapes has no option 'consent'"):
        load_data("shapes?consent=skip")
    assert load_data("shapes?n=4").consent is None


def test_a_data_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    folder = tmp_path / "set" / "train"
    folder.mkdir(parents=True)
    image(0).save(folder / "a.png")
    (folder / "b.jpg").write_bytes(read("c2pa-no.jpg"))
    datasets.disable_progress_bars()
    with pytest.raises(DataError, match=r"1 of 2 images .* 1 \(c2pa\.training-mining"):
        load_data(f"hf:{tmp_path / 'set'}")
    assert len(load_data(f"hf:{tmp_path / 'set'}?consent=skip")) == 1
