"""Every format carries the mark and the record, and the mark changes no pixel."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import ganzoo
from ganzoo import marks, provenance
from ganzoo.contact_sheet import contact_sheet, default_columns
from ganzoo.errors import InputError
from tests.environments import PEAK

URI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
RECORD: dict[str, Any] = {
    "model": "dcgan.mnist",
    "weights_sha256": "ab" * 32,
    "plugin": "ganzoo-dcgan 0.1.0",
    "seed": 2**63 - 1,
    "truncation": 0.7,
}
HOSTILE = {
    "model": "<x>&\"'\x00\n]]>" * 20,
    "weights_sha256": "</ganzoo:Record><!DOCTYPE>",
    "plugin": "\ud800é漢" * 50,
    "seeds": list(range(0, 5000, 2)),
    "labels": [k % 10 for k in range(5000)],
    "note": "x" * 5000,
}
STILLS = [".png", ".jpg", ".jpeg", ".webp", ".gif"]


def noise(n: int = 12, size: int = 28, channels: int = 3) -> np.ndarray:
    shape = (n, size, size, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def pixels(path: Path) -> tuple[str, bytes]:
    with Image.open(path) as image:
        return image.mode, image.tobytes()


def packet(data: bytes) -> str:
    start = data.index(b"<x:xmpmeta")
    return data[start : data.index(b"</x:xmpmeta>") + 12].decode()


# -- the mark ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "channels"),
    [(s, c) for s in STILLS for c in (1, 2, 3, 4) if c in (1, 3) or s not in (".jpg", ".jpeg")],
)
def test_a_marked_image_has_the_same_pixels(tmp_path: Path, suffix: str, channels: int) -> None:
    image = noise(channels=channels)[0]
    marked, plain = tmp_path / f"marked{suffix}", tmp_path / f"plain{suffix}"
    provenance.save_image(image, marked, record=RECORD)
    provenance.save_image(image, plain, record=RECORD, mark=False)
    assert pixels(marked) == pixels(plain)
    assert 0 < marked.stat().st_size - plain.stat().st_size < 1500
    assert provenance.read_record(marked) == RECORD
    assert provenance.read_record(plain) is None
    assert b"ganzoo" not in plain.read_bytes()
    root = ElementTree.fromstring(packet(marked.read_bytes()))
    texts = {element.tag.rpartition("}")[2]: element.text for element in root.iter()}
    assert texts["DigitalSourceType"] == URI
    assert texts["AISystemUsed"] == f"ganzoo {ganzoo.__version__} / dcgan.mnist"
    assert texts["CreatorTool"] == f"ganzoo {ganzoo.__version__}"
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("suffix", [".png", ".webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_and_webp_are_lossless(tmp_path: Path, suffix: str, channels: int) -> None:
    image = noise(channels=channels)[0]
    image[..., 3:] |= 1  # WebP may change the color of what is wholly transparent
    path = tmp_path / f"image{suffix}"
    provenance.save_image(image, path, record=RECORD)
    with Image.open(path) as opened:
        mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        assert opened.mode == mode or suffix == ".webp"
        read = np.asarray(opened.convert(mode)).reshape(image.shape)
    np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize("suffix", STILLS)
def test_exiv2_reads_the_mark(tmp_path: Path, suffix: str) -> None:
    pyexiv2 = pytest.importorskip("pyexiv2", reason="the extra `test` brings it")
    path = tmp_path / f"image{suffix}"
    provenance.save_image(noise()[0], path, record=RECORD)
    if suffix == ".gif":  # in which exiv2 looks for nothing: it gets the packet alone
        alone = packet(path.read_bytes()).encode()
        path = tmp_path / "carrier.jpg"
        Image.new("L", (8, 8)).save(path, xmp=alone)
    with pyexiv2.Image(str(path)) as image:
        found = image.read_xmp()
    assert found["Xmp.iptcExt.DigitalSourceType"] == URI
    assert found["Xmp.iptcExt.AISystemUsed"] == f"ganzoo {ganzoo.__version__} / dcgan.mnist"
    assert found["Xmp.xmp.CreatorTool"] == f"ganzoo {ganzoo.__version__}"
    if suffix != ".png":
        assert json.loads(found["Xmp.ganzoo.Record"]) == RECORD


def test_pillow_finds_the_packet_and_the_record(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".webp"):
        path = tmp_path / f"image{suffix}"
        provenance.save_image(noise()[0], path, record=RECORD)
        with Image.open(path) as image:
            xmp = image.info["xmp"]
            assert URI.encode() in (xmp if isinstance(xmp, bytes) else xmp.encode())
            if suffix == ".png":
                assert json.loads(image.info["ganzoo"]) == RECORD
                assert image.info["Software"] == f"ganzoo {ganzoo.__version__}"


@pytest.mark.parametrize("suffix", [*STILLS, ".npz"])
def test_hostile_and_long_values_are_escaped_and_cut(tmp_path: Path, suffix: str) -> None:
    path, plain = tmp_path / f"x{suffix}", tmp_path / f"y{suffix}"
    for target, mark in ((path, True), (plain, False)):
        if suffix == ".npz":
            seeds = list(range(12))
            provenance.save_npz(target, [noise()], seeds=seeds, record=HOSTILE, mark=mark)
        else:
            provenance.save_image(noise()[0], target, record=HOSTILE, mark=mark)
    assert path.stat().st_size - plain.stat().st_size < 1500
    ElementTree.fromstring(packet(path.read_bytes()))  # well-formed
    record = provenance.read_record(path)
    assert record is not None
    assert record["model"].startswith(HOSTILE["model"][:12])
    assert record["weights_sha256"] == HOSTILE["weights_sha256"]
    assert record["plugin"].endswith("…")


def test_seeds_and_labels_become_ranges(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    record = {
        "seeds": [*range(64), 100, 7],
        "labels": np.array([1, 2, 0]),
        "truncation": np.float64(0.5),
        "nothing": None,
        "config": object(),
    }
    provenance.save_image(noise()[0], path, record=record)
    assert provenance.read_record(path) == {
        "seeds": "0-63,100,7",
        "labels": "1-2,0",
        "truncation": 0.5,
    }
    provenance.save_image(noise()[0], path, record={"seeds": range(0, 2000, 2)})
    seeds = (provenance.read_record(path) or {})["seeds"]
    assert seeds.startswith("0,2,4,")
    assert seeds.endswith(",…")


def test_a_record_that_is_too_long_says_so_and_keeps_what_matters(tmp_path: Path) -> None:
    path, full = tmp_path / "x.png", {**RECORD, "source": f"hf://owner/{'n' * 20}@{'c' * 40}"}
    provenance.save_image(noise()[0], path, record=full)
    assert provenance.read_record(path) == full
    longer = {**full, "labels": list(range(0, 99, 2)), "mix": "7:4"}
    provenance.save_image(noise()[0], path, record=longer)
    assert provenance.read_record(path) == {**full, "mix": "7:4", "cut": True}


def test_lists_of_numbers_are_read_back() -> None:
    for text, expected in {
        "0-3,100": [0, 1, 2, 3, 100],
        "7": [7],
        "5-5": [5],
        "0-63": list(range(64)),
    }.items():
        assert marks.numbers(text, most=64) == expected
    for text in ("0-64", "0-9,…", "", "3-1", "-1", "1,,2", "0-9223372036854775807", "٣", None, 1.5):
        assert marks.numbers(text, most=64) is None
    assert marks.numbers("9223372036854775807", most=1) == [2**63 - 1]


def test_records_of_strangers_are_read_with_care(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    provenance.save_image(noise()[0], path, record={"model": "m"})
    good = path.read_bytes()
    bomb = (
        b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><!ENTITY b "b"><a>&b;</a></x:xmpmeta>'
    )
    broken = [
        good.replace(b"Record", b"Rec<rd"),
        good.replace(b'{"model"', b'["model"'),
        good[:400],
    ]
    for data in (b"", b"\x89PNG\r\n\x1a\n", bomb, *broken, b"\xff" * 99 + b"</x:xmpmeta>"):
        path.write_bytes(data)
        assert provenance.read_record(path) is None
    with pytest.raises(InputError, match="cannot read"):
        provenance.read_record(tmp_path / "missing.png")


# -- animations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_animations(tmp_path: Path, suffix: str, channels: int) -> None:
    path, plain = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    frames = noise(5, 16, channels)
    provenance.save_animation(iter(frames), path, record=RECORD, fps=10, scale=2)
    provenance.save_animation(frames, plain, record=RECORD, fps=10, scale=2, mark=False)
    assert provenance.read_record(path) == RECORD
    assert provenance.read_record(plain) is None
    assert path.stat().st_size - plain.stat().st_size < 1500
    with Image.open(path) as image, Image.open(plain) as other:
        assert (image.n_frames, image.size, image.info["loop"]) == (5, (32, 32), 0)
        for k in range(5):
            image.seek(k)
            other.seek(k)
            assert image.tobytes() == other.tobytes()
            assert image.info["duration"] == 100


def test_small_frames_are_enlarged(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    provenance.save_animation(noise(2), path, record=RECORD)
    with Image.open(path) as image:
        assert image.size == (112, 112)


def test_mp4(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "a.mp4"
    provenance.save_animation(noise(5, 17), path, record=RECORD, scale=1)
    assert path.read_bytes()[4:8] == b"ftyp"
    assert provenance.read_record(path) == RECORD


def test_a_cut_mp4_is_noticed(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "a.mp4"
    provenance.save_animation(noise(5, 17), path, record=RECORD, mark=False)
    assert provenance._is_whole_mp4(path)
    whole = path.read_bytes()
    for cut in (0, 4, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert not provenance._is_whole_mp4(path)


def test_mp4_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError, match="pip install imageio-ffmpeg"):
        provenance.save_animation(noise(5), tmp_path / "a.mp4", record=RECORD)
    assert list(tmp_path.iterdir()) == []


# -- npz -----------------------------------------------------------------------------------------


def test_npz_is_plain_numpy(tmp_path: Path) -> None:
    images, path = noise(10), tmp_path / "x.npz"
    seeds = [5, *range(8), 2**63 - 1]
    labels = list(range(10))
    batches = (images[k : k + 4] for k in range(0, 10, 4))
    provenance.save_npz(path, batches, seeds=seeds, labels=labels, record=RECORD)
    with np.load(path) as arrays:
        assert set(arrays.files) == {"images", "seeds", "labels"}
        np.testing.assert_array_equal(arrays["images"], images)
        assert arrays["images"].dtype == np.uint8
        assert arrays["seeds"].tolist() == seeds
        assert arrays["seeds"].dtype == arrays["labels"].dtype == np.int64
        assert arrays["labels"].tolist() == labels
    assert provenance.read_record(path) == RECORD
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert URI.encode() in archive.comment


def test_npz_without_labels_and_mark_is_reproducible(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        path = tmp_path / name
        provenance.save_npz(path, [noise(3)], seeds=[1, 2, 3], record=RECORD, mark=False)
        assert provenance.read_record(path) is None
        with np.load(path) as arrays:
            assert set(arrays.files) == {"images", "seeds"}
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process")
def test_npz_memory_does_not_grow(tmp_path: Path) -> None:
    code = f"""
import sys
import numpy as np
from ganzoo import provenance
batch = np.zeros((64, 64, 64, 3), dtype=np.uint8)
n = int(sys.argv[1])
batches = (batch for _ in range(n // 64))
provenance.save_npz(sys.argv[2], batches, seeds=range(n), record={{}})
print({PEAK})
"""

    def peak(n: int) -> int:  # in KiB
        command = [sys.executable, "-c", code, str(n), str(tmp_path / "x.npz")]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    few, many = peak(640), peak(12_800)  # 7.5 and 150 MiB of pixels
    assert many - few < 10_000


def test_a_failing_source_leaves_no_file(tmp_path: Path) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield noise(4)
        raise InputError("the generator fell over")

    path = tmp_path / "x.npz"
    path.write_bytes(b"before")
    with pytest.raises(InputError, match="fell over"):
        provenance.save_npz(path, failing(), seeds=range(8), record={})
    with pytest.raises(ValueError, match="4 images came for 8 seeds"):
        provenance.save_npz(path, [noise(4)], seeds=range(8), record={})
    with pytest.raises(InputError, match="fell over"):
        provenance.save_animation(
            (frame for batch in failing() for frame in batch), tmp_path / "x.gif", record={}
        )
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


# -- grids ---------------------------------------------------------------------------------------


def test_columns_are_near_square() -> None:
    expected = {
        1: 1,
        2: 2,
        3: 2,
        4: 2,
        6: 3,
        8: 4,
        10: 5,
        12: 4,
        16: 4,
        20: 5,
        50: 10,
        64: 8,
        1024: 32,
    }
    assert {n: default_columns(n) for n in expected} == expected


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_sheet_shows_every_image(channels: int) -> None:
    images = noise(6, 8, channels)
    sheet = contact_sheet(images, scale=3, columns=4)
    assert sheet.shape == (2 + 2 * 26, 2 + 4 * 26, channels)
    for k, image in enumerate(images):
        y, x = 2 + k // 4 * 26, 2 + k % 4 * 26
        np.testing.assert_array_equal(sheet[y : y + 24 : 3, x : x + 24 : 3], image)
        np.testing.assert_array_equal(sheet[y + 2 : y + 24 : 3, x + 1 : x + 24 : 3], image)
    background = [0, 0, 0, 0] if channels == 4 else [255] * channels
    assert sheet[0, 0].tolist() == background


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_captions_stand_under_the_images(channels: int) -> None:
    images = noise(4, 28, channels)
    captions = ["zero", "a very long name of a class", "", "Größe"]
    plain, named = contact_sheet(images), contact_sheet(images, captions=captions)
    assert named.shape[0] > plain.shape[0]
    assert named.shape[1] == plain.shape[1]
    line = named[4 + 112 : 4 + 112 + 18]
    background = line[-1, 0]
    written = (line != background).any(axis=(0, 2))
    assert written[4:116].any()
    assert written[120:232].any()
    assert not written[:4].any() and not written[116:120].any() and not written[232:].any()
    np.testing.assert_array_equal(named[4:116:4, 4:116:4], images[0])


def test_scale_follows_size_and_number() -> None:
    assert contact_sheet(noise(1, 28)).shape[:2] == (112 + 8, 112 + 8)
    assert contact_sheet(noise(1, 128)).shape[0] == 128 + 8
    assert max(contact_sheet(noise(1024, 28, 1)).shape) < 2200


def test_encode_grid_is_a_png() -> None:
    data = provenance.encode_grid(noise(9), record={"seeds": range(9)})
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (352, 352))
        assert json.loads(image.info["ganzoo"]) == {"seeds": "0-8"}


def test_gray_grids_stay_gray(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    provenance.save_grid(noise(4, channels=1), path, record=RECORD, captions=list("abcd"))
    with Image.open(path) as image:
        assert image.mode == "L"


# -- bad input -----------------------------------------------------------------------------------


def test_bad_input_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    good = noise(4)
    folder = tmp_path / "folder.png"
    folder.mkdir()
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    calls: dict[str, Any] = {
        "known|use .png": lambda: provenance.save_image(good[0], tmp_path / "x.tiff", record={}),
        "without a suffix": lambda: provenance.save_grid(good, tmp_path / "x", record={}),
        "use .gif, .webp, .mp4": lambda: provenance.save_animation(
            good, tmp_path / "x.png", record={}
        ),
        "use .npz": lambda: provenance.save_npz(tmp_path / "x.np", [good], seeds=[1], record={}),
        "is a folder": lambda: provenance.save_image(good[0], folder, record={}),
        "cannot write": lambda: provenance.save_image(good[0], blocked / "x.png", record={}),
        "no transparency": lambda: provenance.save_image(
            noise(1, 8, 4)[0], tmp_path / "x.jpg", record={}
        ),
        "at most 1,024": lambda: contact_sheet(np.zeros((1025, 1, 1, 1), np.uint8)),
        "3 captions for 4": lambda: contact_sheet(good, captions=["a", "b", "c"]),
        "columns 0": lambda: contact_sheet(good, columns=0),
        "give images": lambda: contact_sheet(good[0]),
        "1 to 4 channels": lambda: contact_sheet(np.zeros((1, 4, 4, 5), np.uint8)),
        "float32": lambda: contact_sheet(good.astype(np.float32)),
        "fewer images": lambda: contact_sheet(good, scale=400),
        "too many for .webp": lambda: provenance.save_image(
            np.zeros((1, 20_000, 1), np.uint8), tmp_path / "x.webp", record={}
        ),
        "fps 0": lambda: provenance.save_animation(good, tmp_path / "x.gif", record={}, fps=0),
        "no frames": lambda: provenance.save_animation([], tmp_path / "x.gif", record={}),
        "no images": lambda: provenance.save_npz(tmp_path / "x.npz", [], seeds=[], record={}),
    }
    for text, call in calls.items():
        with pytest.raises(InputError, match=text) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert caught.value.remedy
    assert {p.name for p in tmp_path.iterdir()} == {"folder.png", "file"}


# -- the only writer -----------------------------------------------------------------------------

WRITERS = {
    *("imwrite", "imsave", "mimsave", "mimwrite", "volwrite", "get_writer", "write_frames"),
    *("savefig", "write_png", "write_jpeg", "write_video", "encode_png", "encode_jpeg"),
}


def image_writes(source: str) -> list[str]:
    """Calls that write a picture by another way than provenance.py."""
    tree = ast.parse(source)
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name) or "": alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    pillow = any(name.split(".")[0] == "PIL" for name in imported)
    found = [
        f"import of {name}"
        for module, name in imported.items()
        if module.startswith("torchvision") and name == "save_image"
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            ours = isinstance(owner, ast.Name) and owner.id == "provenance"
            if (
                name in WRITERS
                or (name == "save" and pillow and owner is not None)
                or (name == "save_image" and not ours)
            ):
                found.append(f"line {node.lineno}: {name}")
    return found


def test_no_other_module_writes_images() -> None:
    package = Path(ganzoo.__file__).parent
    root = Path(__file__).parents[1]
    modules = [
        *package.rglob("*.py"),
        *(p for p in (root / "plugins").rglob("*.py") if "tests" not in p.parts),
        *(root / "scripts").rglob("*.py"),
    ]
    assert package / "provenance.py" in modules
    assert root / "scripts/bundle.py" in modules
    modules.remove(root / "scripts/audit_power.py")  # which writes real images, to train on
    found = {
        str(path): writes
        for path in modules
        if path != package / "provenance.py"
        and (writes := image_writes(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "from PIL import Image\nImage.new('L', (1, 1)).save('x.png')",
        "def f(x):\n    import PIL.Image\n    x.save('x.png')",
        "from torchvision.utils import save_image\nsave_image(x, 'x.png')",
        "import torchvision\ntorchvision.utils.save_image(x, 'x.png')",
        "import cv2\ncv2.imwrite('x.png', x)",
        "import imageio.v3 as iio\niio.imwrite('x.png', x)",
        "import imageio\nimageio.get_writer('x.gif')",
        "from imageio_ffmpeg import write_frames\nwrite_frames('x.mp4', (8, 8))",
        "import matplotlib.pyplot as plt\nplt.savefig('x.png')",
    ],
)
def test_the_search_finds_writers(source: str) -> None:
    assert image_writes(source)
    assert not image_writes("from ganzoo import provenance\nprovenance.save_image(x, 'x.png')")
    assert not image_writes("from ganzoo import checkpoint\ncheckpoint.save('folder', G)")


def test_importing_provenance_does_not_import_torch() -> None:
    code = "import sys, ganzoo.provenance; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
