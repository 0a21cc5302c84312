"""What files say of themselves, each layer whole and broken; nothing makes it fall over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import ganzoo
from ganzoo import manifests, provenance, tile_mark
from ganzoo.errors import GanzooError, InputError
from ganzoo.inspection import ABSENT, BROKEN, MARKED, UNCHECKED, Inspection

RECORD: dict[str, Any] = {"model": "dcgan.mnist", "weights_sha256": "ab" * 32, "seed": 3}
STILLS = [".png", ".jpg", ".webp", ".gif"]
FOREIGN = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" {}</rdf:Description></rdf:RDF>'
    "</x:xmpmeta>"
)
URI = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANZOO_KEYS", str(tmp_path / "no-keys"))


def image(side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def statuses(found: Inspection) -> dict[str, str]:
    return {layer.name: layer.status for layer in found.layers}


@pytest.mark.parametrize("suffix", [*STILLS, ".npz"])
def test_what_ganzoo_writes_is_marked(tmp_path: Path, suffix: str) -> None:
    path, plain = tmp_path / f"x{suffix}", tmp_path / f"y{suffix}"
    for target, mark in ((path, True), (plain, False)):
        if suffix == ".npz":
            provenance.save_npz(target, [image()[None]], seeds=[3], record=RECORD, mark=mark)
        else:
            provenance.save_image(image(), target, record=RECORD, mark=mark)
    found = ganzoo.inspect(path)
    assert found.status == MARKED
    assert found.record == RECORD
    assert (statuses(found)["xmp"], statuses(found)["record"]) == (MARKED, MARKED)
    assert "dcgan.mnist" in found.layers[0].detail and "seed 3" in found.layers[1].detail
    bare = ganzoo.inspect(plain)
    assert (bare.status, bare.record) == (ABSENT, {})
    assert set(statuses(bare).values()) <= {ABSENT, UNCHECKED}


def test_no_answer_is_that_an_image_is_real(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    for mark in (True, False):
        provenance.save_image(image(), path, record=RECORD, mark=mark)
        found = ganzoo.inspect(path)
        words = " ".join([found.status, found.meaning, *(str(vars(x)) for x in found.layers)])
        assert not {"real", "authentic", "genuine"} & set(words.lower().split())


@pytest.mark.parametrize(
    ("old", "new", "layer"),
    [
        (b"trainedAlgorithmicMedia", b"digitalCaptureOfLifeXYZ", "xmp"),
        (b"</x:xmpmeta>", b"</x:xmpmetX>", "xmp"),
        (b"<rdf:RDF", b"<rdf:RDX", "xmp"),
        (b'{"model"', b'["model"', "record"),
        (b"ganzoo:Record", b"ganzoo:Recorx", "record"),
    ],
)
def test_what_was_changed_is_broken(tmp_path: Path, old: bytes, new: bytes, layer: str) -> None:
    path = tmp_path / "x.jpg"
    provenance.save_image(image(), path, record=RECORD)
    path.write_bytes(path.read_bytes().replace(old, new))
    found = ganzoo.inspect(path)
    assert found.status == BROKEN
    assert statuses(found)[layer] == BROKEN


def test_half_a_mark_of_a_png_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    provenance.save_image(image(), path, record=RECORD)
    with Image.open(path) as opened:
        pixels, texts = opened.copy(), dict(opened.text)
    for gone, layer in (("ganzoo", "record"), ("XML:com.adobe.xmp", "xmp")):
        info = PngImagePlugin.PngInfo()
        for key in texts.keys() - {gone}:
            info.add_itxt(key, texts[key])
        pixels.save(path, pnginfo=info)
        found = ganzoo.inspect(path)
        assert (found.status, statuses(found)[layer]) == (BROKEN, BROKEN)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_record_that_became_an_attribute_is_read(tmp_path: Path, suffix: str) -> None:
    """As exiv2 and Adobe's library write a packet again, in which they changed something else."""
    record = json.dumps(RECORD).replace('"', "&quot;")
    packet = FOREIGN.format(
        f'xmlns:g="urn:ganzoo#" e:DigitalSourceType="{URI}trainedAlgorithmicMedia"'
        f' g:Record="{record}">'
    )
    path = tmp_path / f"x{suffix}"
    if suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet)
        Image.fromarray(image()).save(path, pnginfo=info)
    else:
        Image.fromarray(image()).save(path, xmp=packet.encode())
    found = ganzoo.inspect(path)
    assert (found.status, found.record) == (MARKED, RECORD)


def test_what_imagemagick_makes_of_a_packet_is_read(tmp_path: Path) -> None:
    provenance.save_image(image(), tmp_path / "x.jpg", record=RECORD)
    with Image.open(tmp_path / "x.jpg") as opened:
        packet = opened.info["xmp"]
        info = PngImagePlugin.PngInfo()
        lines = "\n".join(textwrap.wrap(packet.hex(), 72))
        info.add_text("Raw profile type xmp", f"\nxmp\n{len(packet):8}\n{lines}\n", zip=True)
        opened.save(tmp_path / "x.png", pnginfo=info)
    found = ganzoo.inspect(tmp_path / "x.png")
    assert (found.status, found.record) == (MARKED, RECORD)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_packet_of_another_picture_in_the_file_hides_no_mark(tmp_path: Path, suffix: str) -> None:
    """As behind a photograph with a gain map, which has a packet of its own."""
    path = tmp_path / f"x{suffix}"
    provenance.save_image(image(), path, record=RECORD)
    other = FOREIGN.format('xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/">').encode()
    path.write_bytes(path.read_bytes() + 3 * other)
    found = ganzoo.inspect(path)
    assert (found.status, found.record) == (MARKED, RECORD)


def test_a_record_that_is_too_long_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    info = PngImagePlugin.PngInfo()
    info.add_itxt("ganzoo", json.dumps({**RECORD, "note": "x" * (50 << 20)}))
    Image.fromarray(image()).save(path, pnginfo=info)
    found = ganzoo.inspect(path, invisible=False)
    assert (found.status, statuses(found)["record"], found.record) == (BROKEN, BROKEN, {})


@pytest.mark.parametrize(
    ("properties", "status"),
    [
        (f'e:DigitalSourceType="{URI}trainedAlgorithmicMedia">', MARKED),
        (f"><e:DigitalSourceType>{URI}algorithmicMedia</e:DigitalSourceType>", MARKED),
        (f'><e:DigitalSourceType rdf:resource="{URI}trainedAlgorithmicMedia"/>', MARKED),
        (f'e:DigitalSourceType="{URI}compositeWithTrainedAlgorithmicMedia">', MARKED),
        (f'e:DigitalSourceType="{URI}digitalCapture">', ABSENT),
        (">", ABSENT),
    ],
)
def test_marks_of_other_programs(tmp_path: Path, properties: str, status: str) -> None:
    xmp = FOREIGN.format(properties)
    path = tmp_path / "x.jpg"
    Image.fromarray(image()).save(path, xmp=xmp.encode())
    assert ganzoo.inspect(path).status == status
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp, zip=True)
    path = tmp_path / "x.png"
    Image.fromarray(image()).save(path, pnginfo=info)
    assert ganzoo.inspect(path).status == status


def test_the_invisible_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    smooth = np.asarray(Image.fromarray(image(8)).resize((160, 160), Image.Resampling.BICUBIC))
    provenance.save_image(smooth, path, record=RECORD, invisible=tile_mark.KEY)
    with Image.open(path) as opened:
        opened.load()
        opened.save(tmp_path / "again.jpg", quality=75)
    found = ganzoo.inspect(tmp_path / "again.jpg")
    assert found.status == MARKED
    assert statuses(found) == {"xmp": ABSENT, "record": ABSENT, "c2pa": ABSENT, "invisible": MARKED}
    unasked = ganzoo.inspect(tmp_path / "again.jpg", invisible=False)
    assert (unasked.status, statuses(unasked)["invisible"]) == (ABSENT, UNCHECKED)
    provenance.save_image(smooth, path, record=RECORD, invisible="mine")
    assert statuses(ganzoo.inspect(path))["invisible"] == ABSENT
    assert statuses(ganzoo.inspect(path, key="mine"))["invisible"] == MARKED


def test_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("c2pa", reason="pip install 'ganzoo[c2pa]'")
    keys = manifests.make_keys(tmp_path / "keys", name="Ada")
    path = tmp_path / "x.png"
    provenance.save_image(image(), path, record=RECORD, sign=manifests.Signing(keys.folder).sign)
    found = ganzoo.inspect(path)
    assert statuses(found)["c2pa"] == MARKED
    assert "Ada, who is not known here" in found.layers[2].detail
    assert "Ada, who is known here" in ganzoo.inspect(path, trust=keys.root).layers[2].detail
    with pytest.raises(InputError, match="name a certificate"):
        ganzoo.inspect(path, trust=tmp_path / "nowhere.pem")
    root = keys.root.read_bytes()
    for damaged in (b"", b"junk", root[:200], keys.key.read_bytes(), root.replace(b"A", b"B")):
        (tmp_path / "damaged.pem").write_bytes(damaged)  # which says nothing of the image
        with pytest.raises(InputError, match="holds no certificate in PEM, or a damaged one"):
            ganzoo.inspect(path, trust=tmp_path / "damaged.pem")
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 100] ^= 1
    (tmp_path / "y.png").write_bytes(data)
    broken = ganzoo.inspect(tmp_path / "y.png")
    assert (broken.status, statuses(broken)["c2pa"]) == (BROKEN, BROKEN)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    unread = ganzoo.inspect(path)
    assert (unread.status, statuses(unread)["c2pa"]) == (MARKED, UNCHECKED)
    assert "pip install 'ganzoo[c2pa]'" in unread.layers[2].detail
    with pytest.raises(InputError, match="pip install 'ganzoo"):
        manifests.Signing(keys.folder)
    with pytest.raises(InputError, match="pip install 'ganzoo"):
        manifests.make_keys(tmp_path / "more")


# -- files of anyone -----------------------------------------------------------------------------


def test_odd_files_are_answered_or_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for data in (b"", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"\xff\xd8\xff",
                 b"\0\0\0\x20ftypisom", b"PK\3\4", b"text", b"<x:xmpmeta" * 9):  # fmt: skip
        path.write_bytes(data)
        assert ganzoo.inspect(path).status in (ABSENT, BROKEN)
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path, tmp_path / "missing", tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(InputError, match=r"is no file|cannot read") as caught:
            ganzoo.inspect(odd)
        assert "\n" not in str(caught.value)


def test_long_and_damaged_packets_of_other_programs_accuse_nobody(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    long = FOREIGN.format(f'e:Note="{"x" * 200_000}" e:DigitalSourceType="{URI}digitalCapture">')
    deep = "<a>" * 100_000 + "</a>" * 100_000
    marked = FOREIGN.format(f'e:DigitalSourceType="{URI}trainedAlgorithmicMedia"><!-- ok -->')
    for xmp, status in {
        long: ABSENT,
        long[:-9]: ABSENT,
        long.replace("rdf:RDF", "rdf:RDX", 1): ABSENT,
        f"<x:xmpmeta>{deep}</x:xmpmeta>": ABSENT,
        f"<x:xmpmeta>{deep}": ABSENT,
        marked: MARKED,
        marked[:-9]: BROKEN,
    }.items():
        path.write_bytes(b"II*\0" + xmp.encode())
        assert ganzoo.inspect(path).status == status


def test_neither_torch_nor_the_hub_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    provenance.save_image(image(130), path, record=RECORD)
    code = (
        "import sys, ganzoo; print(ganzoo.inspect(sys.argv[1]).status);"
        "sys.exit('torch' in sys.modules or 'huggingface_hub' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "marked\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    sum_ = zlib.crc32(kind + data).to_bytes(4, "big")
    return len(data).to_bytes(4, "big") + kind + data + sum_


def test_bombs_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    huge = (60_000).to_bytes(4, "big") * 2 + b"\x08\x00\0\0\0"
    bomb = zlib.compress(b"<x:xmpmeta" + b" " * (64 << 20))
    texts = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)
    texts += chunk(b"iTXt", b"ganzoo\0\0\0\0\0" + b"[" * 60_000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", huge) + texts + chunk(b"IDAT", b"x"))
    found = ganzoo.inspect(path)
    assert statuses(found) | {"c2pa": ""} == {
        "xmp": BROKEN, "record": BROKEN, "c2pa": "", "invisible": UNCHECKED,
    }  # fmt: skip


def test_no_damage_makes_it_fall_over(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for suffix in [*STILLS, ".npz"]:
        path = tmp_path / f"x{suffix}"
        if suffix == ".npz":
            provenance.save_npz(path, [image(8)[None]], seeds=[3], record=RECORD)
        else:
            provenance.save_image(image(70), path, record=RECORD)
        whole = path.read_bytes()
        for k in range(60):
            data = bytearray(whole)
            if k % 3 == 1:
                del data[rng.integers(len(data)) :]
            elif k % 3 == 2:
                at, end = sorted(rng.integers(0, len(data), 2))
                data[at:end] = data[rng.integers(len(data)) :][: end - at]
            for at in rng.integers(0, max(1, len(data)), k % 12 if data else 0):
                data[at] = rng.integers(256)
            path.write_bytes(data)
            try:
                found = ganzoo.inspect(path)
            except GanzooError:
                continue
            assert found.status in (MARKED, BROKEN, ABSENT)


def test_what_a_record_holds_may_be_printed(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    info = PngImagePlugin.PngInfo()
    long = "9" * 4000
    record = (
        '{"model": "\\ud800\\u001b[31m", "\\ud801": 1, "deep": [[1]], "truncation": 1e999,'
        f' "seed": {long}, "label": null, "seeds": NaN}}'
    )
    info.add_itxt("ganzoo", record)
    Image.fromarray(image()).save(path, pnginfo=info)
    found = ganzoo.inspect(path)
    assert found.record == {"model": "\\ud800\\x1b[31m", "\\ud801": 1, "seed": int(long)}
    for layer in found.layers:
        assert layer.detail.isprintable()
