"""Image data: every source on data made here, and what is said about data that are not right."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import threading
import types
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganzoo.data import SOURCES, DataSource, RawData, RawImages, data_sources, load_data
from ganzoo.errors import DataError, GanzooError, InputError, NotFoundError, PluginError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, no data of the user, and a cache of the test's own."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.delenv("GANZOO_DATA", raising=False)
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def picture(
    path: Path, colour: Any = RED, size: tuple[int, int] = (8, 8), mode: str = "RGB"
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for member in sorted(folder.rglob("*"), reverse=True):
            file.write(member, member.relative_to(folder))
    return path


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def pixels(spec: str, **options: Any) -> np.ndarray:
    data = load_data(spec, **options)
    return data.batch(np.arange(len(data)))[0].numpy()


# --- what every data set is ---------------------------------------------------------------------


def test_importing_the_room_costs_nothing() -> None:
    code = "import sys, ganzoo.data; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_a_batch_is_uint8_images_and_int64_labels_in_the_order_asked_for() -> None:
    data = load_data("shapes?n=12&size=16")
    images, labels = data.batch(np.array([5, 0, 5]))
    assert images.shape == (3, 3, 16, 16) and images.dtype == torch.uint8
    assert labels is not None and labels.dtype == torch.int64
    assert labels.tolist() == [1, 0, 1]
    assert torch.equal(images[0], images[2]) and not torch.equal(images[0], images[1])
    assert (data.image_shape, data.num_classes, len(data)) == ((3, 16, 16), 4, 12)


def test_the_digest_is_over_shape_pixels_and_labels() -> None:
    data = load_data("shapes?n=5&size=8")
    images, labels = data.batch(np.arange(5))
    assert labels is not None
    content = (
        struct.pack("<4q", 5, 3, 8, 8) + images.numpy().tobytes() + struct.pack("<5q", *labels)
    )
    assert data.digest == hashlib.sha256(content).hexdigest()
    assert load_data("shapes?n=5&size=8&labels=none").digest != data.digest


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_number_of_channels(channels: int) -> None:
    assert load_data("shapes?n=2&size=8", channels=channels).image_shape == (channels, 8, 8)


def test_every_source_is_declared_in_full() -> None:
    import pkgutil

    for source in SOURCES:
        assert callable(pkgutil.resolve_name(source.open))
        assert source.license and source.splits
        assert source.name in source.usage
        assert bool(source.credit) != bool(source.location)  # of what users bring, they know


# --- shapes --------------------------------------------------------------------------------------


def test_shapes_are_a_function_of_the_seed_and_the_index() -> None:
    few, many = pixels("shapes?n=4&size=16"), pixels("shapes?n=8&size=16")
    assert np.array_equal(few, many[:4])
    assert load_data("shapes").digest == load_data("shapes").digest
    digests = {load_data(s).digest for s in ("shapes", "shapes@test", "shapes?seed=1")}
    assert len(digests) == 3
    assert load_data("shapes").source == "shapes" and len(load_data("shapes")) == 1024


def test_shapes_are_drawn_at_the_size_that_is_asked_for() -> None:
    assert np.array_equal(pixels("shapes?n=4", resolution=24), pixels("shapes?n=4&size=24"))
    circle = pixels("shapes?n=1&size=64")[0].reshape(3, -1).T
    colours, counts = np.unique(circle, axis=0, return_counts=True)
    assert len(colours) > 10, "edges are anti-aliased"
    assert np.sort(counts)[-2:].sum() > 0.9 * 64 * 64, "one colour on one ground"


# --- idx files: MNIST and its kin ---------------------------------------------------------------


def idx(path: Path, array: np.ndarray, *, packed: bool = True) -> None:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(head + array.tobytes()))
    else:
        path.write_bytes(head + array.tobytes())


def fake_mnist(root: Path, folder: str = "MNIST", **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Only the training split, which torchvision's own classes would not accept."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (20, 28, 28), dtype=np.uint8)
    labels = (np.arange(20) % 10).astype(np.uint8)
    idx(root / folder / "raw" / "train-images-idx3-ubyte", images, **options)
    idx(root / folder / "raw" / "train-labels-idx1-ubyte", labels, **options)
    return images, labels


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name, folder", [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_mnist_is_read_from_a_root_that_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str, packed: bool
) -> None:
    root = tmp_path / "root"
    images, labels = fake_mnist(root, folder, packed=packed)
    before = tree(root)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setenv("GANZOO_DATA", str(root))
    try:
        data = load_data(name)
    finally:
        for path in [root, *root.rglob("*")]:
            path.chmod(0o755)
    got, targets = data.batch(np.arange(20))
    assert np.array_equal(got[:, 0].numpy(), images)
    assert targets is not None and targets.tolist() == labels.tolist()
    assert (data.image_shape, data.num_classes, data.content_crop) == ((1, 28, 28), 10, None)
    assert tree(root) == before


def test_mnist_at_32_is_padded_and_says_where_the_content_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _ = fake_mnist(tmp_path / "root")
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path / "root"))
    data = load_data("mnist", resolution=32)
    padded = data.batch(np.arange(20))[0].numpy()
    assert data.content_crop is not None
    top, left, height, width = data.content_crop
    assert (top, left, height, width) == (2, 2, 28, 28)
    assert np.array_equal(padded[:, 0, top : top + height, left : left + width], images)
    assert padded.sum() == images.sum(), "the border is 0, which is -1 for the networks"
    assert load_data("mnist", resolution=16).image_shape == (1, 16, 16)
    assert load_data("mnist", resolution=16).content_crop is None


def test_the_splits_are_different_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    fake_mnist(root)
    idx(root / "MNIST/raw/t10k-images-idx3-ubyte", np.zeros((3, 28, 28), np.uint8))
    idx(root / "MNIST/raw/t10k-labels-idx1-ubyte", np.array([7, 2, 1], np.uint8))
    monkeypatch.setenv("GANZOO_DATA", str(root))
    test = load_data("mnist@test")
    assert (len(test), test.source) == (3, "mnist@test")
    assert (len(load_data("mnist")), load_data("mnist@train").source) == (20, "mnist")


def test_mnist_that_is_nowhere_is_one_line_that_names_the_folder_to_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mnist is not in GANZOO_DATA .*set GANZOO_DATA") as caught:
        load_data("mnist")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", ["cut", "no gzip", "count", "labels"])
def test_damaged_mnist_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    raw = tmp_path / "MNIST/raw"
    fake_mnist(tmp_path)
    images = raw / "train-images-idx3-ubyte.gz"
    if fault == "cut":
        images.write_bytes(images.read_bytes()[:1000])
    elif fault == "no gzip":
        images.write_bytes(b"<html>moved</html>")
    elif fault == "count":
        idx(raw / "train-labels-idx1-ubyte", np.zeros(3, np.uint8))
    else:
        idx(raw / "train-labels-idx1-ubyte", np.full(20, 200, np.uint8))
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"damaged|labels from 200 to 200, but 10 classes"):
        load_data("mnist")
    assert not list((tmp_path / "cache/images").glob("*"))


def test_emnist_is_turned_and_its_letters_start_at_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    raw = tmp_path / "EMNIST/raw"
    idx(raw / "emnist-letters-train-images-idx3-ubyte", images, packed=False)
    idx(raw / "emnist-letters-train-labels-idx1-ubyte", np.array([1, 26, 2, 3], np.uint8))
    idx(
        raw / "emnist-letters-train-labels-idx1-ubyte",
        np.array([1, 26, 2, 3], np.uint8),
        packed=False,
    )
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    data = load_data("emnist?subset=letters")
    got, labels = data.batch(np.arange(4))
    assert np.array_equal(got[:, 0].numpy(), images.transpose(0, 2, 1))
    assert labels is not None and [data.classes[i] for i in labels] == ["a", "z", "b", "c"]
    with pytest.raises(InputError, match="did you mean letters"):
        load_data("emnist?subset=leters")


# --- the sets that torchvision's classes read ----------------------------------------------------


@pytest.fixture
def fake_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with a CIFAR-10 of two training images, whose hashes torchvision does not ask for."""
    import torchvision.datasets as sets

    monkeypatch.setattr(sets.CIFAR10, "train_list", [["data_batch_1", None]])
    monkeypatch.setattr(sets.CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setattr(sets.CIFAR10, "meta", {**sets.CIFAR10.meta, "md5": None})
    folder = tmp_path / "root" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    row = np.repeat(np.array([10, 20, 30], np.uint8), 1024)  # red, green and blue planes
    content = {"data": np.stack([row, 255 - row]), "labels": [3, 8]}
    (folder / "data_batch_1").write_bytes(pickle.dumps(content))
    (folder / "test_batch").write_bytes(pickle.dumps({"data": row[None], "labels": [0]}))
    names = [s for source in SOURCES if source.name == "cifar10" for s in source.classes]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


def test_cifar10_from_its_folder(fake_cifar: Path) -> None:
    data = load_data("cifar10")
    images, labels = data.batch(np.arange(2))
    assert data.image_shape == (3, 32, 32)
    assert images[0, :, 5, 5].tolist() == [10, 20, 30]
    assert labels is not None and [data.classes[i] for i in labels] == ["cat", "ship"]
    assert len(load_data("cifar10@test")) == 1


def test_cifar10_from_its_archive_unpacks_into_the_cache(fake_cifar: Path) -> None:
    folder = fake_cifar / "cifar-10-batches-py"
    with tarfile.open(fake_cifar / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    digest = load_data("cifar10").digest
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    before = tree(fake_cifar)
    data = load_data("cifar10")
    assert (data.digest, len(data)) == (digest, 2)
    assert tree(fake_cifar) == before


def test_a_damaged_set_is_one_line(fake_cifar: Path) -> None:
    (fake_cifar / "cifar-10-batches-py/test_batch").unlink()
    with pytest.raises(DataError, match=r"cifar10 under .* is damaged or not all there"):
        load_data("cifar10")


def test_stl10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets as sets

    for name in ("train_list", "test_list"):
        monkeypatch.setattr(sets.STL10, name, [[f, None] for f, _ in getattr(sets.STL10, name)])
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for file, value in (("train_X.bin", 1), ("unlabeled_X.bin", 2), ("test_X.bin", 3)):
        (folder / file).write_bytes(np.full((value, 3, 96, 96), value, np.uint8).tobytes())
    for file, value in (("train_y.bin", [10]), ("test_y.bin", [1, 2, 3])):
        (folder / file).write_bytes(bytes(value))
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    data = load_data("stl10")
    labels = data.batch(np.arange(1))[1]
    assert labels is not None and data.classes[int(labels[0])] == "truck"
    unlabelled = load_data("stl10@unlabeled", resolution=32)
    assert (len(unlabelled), unlabelled.num_classes) == (2, 0)
    assert unlabelled.batch(np.arange(2))[1] is None


def test_svhn_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets as sets

    entry = {split: [*row[:2], None] for split, row in sets.SVHN.split_list.items()}
    monkeypatch.setattr(sets.SVHN, "split_list", entry)
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    (tmp_path / "train_32x32.mat").write_bytes(b"")
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"pip install scipy$"):
        load_data("svhn")


def test_celeba_from_its_archive_with_an_attribute_as_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets as sets

    files = [(key, None, name) for key, _, name in sets.CelebA.file_list]
    monkeypatch.setattr(sets.CelebA, "file_list", files)
    folder = tmp_path / "root" / "celeba"
    names = ["000001.jpg", "000002.jpg", "000003.jpg"]
    for i, name in enumerate(names):
        picture(tmp_path / "images" / "img_align_celeba" / name, (80 * i,) * 3, (178, 218))
    folder.mkdir(parents=True)
    zipped(tmp_path / "images", folder / "img_align_celeba.zip")
    rows = {
        "identity_CelebA.txt": "{} 1",
        "list_bbox_celeba.txt": "{} 1 1 1 1",
        "list_landmarks_align_celeba.txt": "{} 1 1",
        "list_eval_partition.txt": "{} 0",
        "list_attr_celeba.txt": "{} -1 1",
    }
    heads = {
        "list_bbox_celeba.txt": "3\nimage_id x y w h\n",
        "list_landmarks_align_celeba.txt": "3\nx y\n",
        "list_attr_celeba.txt": "3\nBald Smiling\n",
    }
    for file, row in rows.items():
        lines = [row.format(name) for name in names]
        (folder / file).write_text(heads.get(file, "") + "\n".join(lines) + "\n")
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path / "root"))
    before = tree(tmp_path / "root")

    faces = load_data("celeba", resolution=16)
    assert (faces.image_shape, len(faces), faces.num_classes) == ((3, 16, 16), 3, 0)
    assert load_data("celeba").image_shape == (3, 218, 178)
    smiling = load_data("celeba?labels=Smiling", resolution=16)
    labels = smiling.batch(np.arange(3))[1]
    assert labels is not None and labels.tolist() == [1, 1, 1]
    assert smiling.classes == ("not Smiling", "Smiling")
    with pytest.raises(InputError, match="did you mean Smiling"):
        load_data("celeba?labels=Smilin")
    assert tree(tmp_path / "root") == before


# --- folders and zip files -----------------------------------------------------------------------


@pytest.fixture
def cats(tmp_path: Path) -> Path:
    """Two classes under a common folder, in three formats, with what systems leave lying about."""
    root = tmp_path / "cats"
    picture(root / "all/warm/1.png", RED)
    picture(root / "all/warm/deep/2.webp", (250, 0, 0))
    picture(root / "all/cool/1.JPG", BLUE)
    picture(root / "all/__MACOSX/x/1.png")
    (root / "all/cool/._1.jpg").write_bytes(b"\0\5\x16\7")
    (root / "README.txt").write_text("cats")
    return root


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_classes_are_folders_below_the_common_one(cats: Path, tmp_path: Path, kind: str) -> None:
    path = cats if kind == "folder" else zipped(cats, tmp_path / "cats.zip")
    data = load_data(f"{kind}:{path}")
    images, labels = data.batch(np.arange(3))
    assert data.classes == ("cool", "warm")
    assert labels is not None and labels.tolist() == [0, 1, 1]
    assert images[1, :, 0, 0].tolist() == list(RED)
    assert (data.license, data.skipped, data.source) == ("unknown", (), f"{kind}:{path}")
    assert load_data(f"{kind}:{path}?labels=none").num_classes == 0


def test_a_folder_and_a_zip_file_of_it_are_the_same_data(cats: Path, tmp_path: Path) -> None:
    archive = zipped(cats, tmp_path / "cats.zip")
    assert load_data(f"folder:{cats}").digest == load_data(f"zip:{archive}").digest


def test_images_without_class_folders_have_no_labels(tmp_path: Path) -> None:
    picture(tmp_path / "set/only/1.png")
    picture(tmp_path / "set/only/2.png")
    data = load_data(f"folder:{tmp_path / 'set'}")
    assert (data.num_classes, data.batch(np.arange(2))[1]) == (0, None)


def test_classes_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    for i in range(11):
        picture(tmp_path / f"set/{i}/x.png")
    assert load_data(f"folder:{tmp_path / 'set'}").classes == tuple(map(str, range(11)))


def test_an_image_beside_the_class_folders_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "set/a/1.png")
    picture(tmp_path / "set/stray.png")
    with pytest.raises(DataError, match=r"1 of 2 images .* such as stray.png.*labels=none"):
        load_data(f"folder:{tmp_path / 'set'}")
    assert len(load_data(f"folder:{tmp_path / 'set'}?labels=none")) == 2


@pytest.mark.parametrize("column", ["file", "file_name"])
def test_labels_from_a_column(cats: Path, tmp_path: Path, column: str) -> None:
    rows: list[Iterable[str]] = [
        (column, "mood", "hair colour"),
        ("warm/1.png", "9", "red"),
        ("./warm/deep/2.webp", "10", ""),
        ("cool/1.JPG", "9", "blue"),
    ]
    with open(cats / "all/metadata.csv", "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(rows)
    data = load_data(f"zip:{zipped(cats, tmp_path / 'cats.zip')}?labels=mood")
    labels = data.batch(np.arange(3))[1]
    assert labels is not None and [data.classes[i] for i in labels] == ["9", "9", "10"]
    assert data.classes == ("9", "10")

    hair = load_data(f"folder:{cats}?labels=hair colour")
    assert (len(hair), hair.classes) == (2, ("blue", "red"))
    assert hair.skipped == (("all/warm/deep/2.webp", "has no hair colour in the CSV file"),)
    assert hair.warning.startswith("skipped 1 of 3 images")
    with pytest.raises(InputError, match="no CSV file has a column 'moood': did you mean mood"):
        load_data(f"folder:{cats}?labels=moood")


def test_labels_from_a_csv_file_that_is_not_there_or_names_nothing(cats: Path) -> None:
    with pytest.raises(DataError, match="there is no CSV file to take labels=mood from"):
        load_data(f"folder:{cats}?labels=mood")
    (cats / "metadata.csv").write_text("file,mood\nwarm/1.png,9\n")  # not relative to the file
    with pytest.raises(DataError, match="names none of its images"):
        load_data(f"folder:{cats}?labels=mood")
    (cats / "metadata.csv").write_bytes(b"file,mood\n\xff\xfe,9\n")
    with pytest.raises(DataError, match=r"metadata.csv cannot be read.*UTF-8"):
        load_data(f"folder:{cats}?labels=mood")


def test_mixed_sizes_name_two_files_and_the_remedy(tmp_path: Path) -> None:
    picture(tmp_path / "set/a.png", size=(8, 6))
    picture(tmp_path / "set/b.png", size=(9, 6))
    with pytest.raises(
        DataError, match=r"a.png is 8x6, b.png is 9x6: .*--set data.resolution=N"
    ) as caught:
        load_data(f"folder:{tmp_path / 'set'}")
    assert "\n" not in str(caught.value)
    fitting = [t for t in threading.enumerate() if t.name.startswith("ThreadPool")]
    assert fitting == []  # while the error is still held, and with it the frames that raised it
    assert load_data(f"folder:{tmp_path / 'set'}", resolution=4).image_shape == (3, 4, 4)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "pixels", "postscript"])
def test_one_bad_image_among_good_ones_is_named_and_skipped(tmp_path: Path, damage: str) -> None:
    for name in "abc":
        noise = np.random.default_rng(ord(name)).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        path = picture(tmp_path / f"set/{'x' if name < 'b' else 'y'}/{name}.png")
        Image.fromarray(noise).save(path)
    bad = tmp_path / "set/y/b.png"
    if damage == "cut":
        bad.write_bytes(bad.read_bytes()[:200])
    elif damage == "pixels":  # 60000 x 60000 gray pixels in 60 KB: never to be decoded
        head = struct.pack(">IIBBBBB", 60000, 60000, 1, 0, 0, 0, 0)
        content = b"IHDR" + head
        import zlib

        crc = struct.pack(">I", zlib.crc32(content))
        bad.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + content + crc)
    else:
        content = {"text": b"not an image", "empty": b"", "postscript": b"%!PS-Adobe EPSF"}[damage]
        bad.write_bytes(content)
    data = load_data(f"folder:{tmp_path / 'set'}")
    assert len(data) == 2
    assert [name for name, _ in data.skipped] == ["y/b.png"]
    assert data.warning.startswith("skipped 1 of 3 images") and "y/b.png (" in data.warning
    labels = data.batch(np.arange(2))[1]
    assert labels is not None and labels.tolist() == [0, 1], "labels stay with their images"
    again = load_data(f"folder:{tmp_path / 'set'}")
    assert (again.skipped, again.digest) == (data.skipped, data.digest)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text/a.png").write_text("no image")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and no more")
    for spec, message in {
        f"folder:{tmp_path / 'none'}": "none does not exist",
        f"folder:{tmp_path / 'broken.zip'}": "broken.zip is no folder",
        f"folder:{tmp_path / 'empty'}": "has no images",
        f"folder:{tmp_path / 'text'}": "has no image that can be read, of 1 .such as a.png: ",
        f"zip:{tmp_path / 'empty'}": "empty is no file",
        f"zip:{tmp_path / 'none.zip'}": "none.zip does not exist",
        f"zip:{tmp_path / 'broken.zip'}": "broken.zip cannot be read as a zip file",
        "folder:~nobody-of-this-name/x": "is no path|does not exist",
        f"folder:{'x' * 300}": "is no path|does not exist",
    }.items():
        with pytest.raises(DataError, match=message) as caught:
            load_data(spec)
        assert caught.value.remedy and "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.u8")), "nothing half-written"


def test_a_folder_that_may_not_be_read_is_one_line(
    cats: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def walk(top: Path, onerror: Any, **_: Any) -> Any:  # who runs the tests may be root
        yield str(top), ["x"], []
        onerror(PermissionError(13, "Permission denied", str(top / "x")))

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(DataError, match="cats/x cannot be read: Permission denied: make it"):
        load_data(f"folder:{cats}")


def test_names_in_a_zip_file_are_only_names(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("RGB", (4, 4), RED).save(content, "PNG")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for name in ("../../out.png", "/etc/out.png", "a/../../../b/out.png"):
            file.writestr(name, content.getvalue())
    data = load_data(f"zip:{tmp_path / 'x.zip'}?labels=none")
    assert len(data) == 3
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} == {".zip", ".u8", ".json"}


def test_a_member_of_absurd_size_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganzoo.data.trees.MAX_BYTES", 10_000)
    picture(tmp_path / "set/good.png")
    (tmp_path / "set/zeros.png").write_bytes(bytes(1_000_000))
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("good.png", "zeros.png"):
            file.write(tmp_path / "set" / name, name)
    data = load_data(f"zip:{tmp_path / 'x.zip'}")
    assert data.skipped == (("zeros.png", "has 1,000,000 bytes, more than 10,000"),)


def test_a_link_back_to_the_folder_itself_is_not_followed(tmp_path: Path) -> None:
    picture(tmp_path / "set/a/1.png")
    picture(tmp_path / "elsewhere/2.png")
    (tmp_path / "set/a/loop").symlink_to(tmp_path / "set")
    (tmp_path / "set/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/a/dangling.png").symlink_to(tmp_path / "nothing")
    data = load_data(f"folder:{tmp_path / 'set'}")
    assert (len(data), data.classes) == (2, ("a", "b"))


# --- fitting -------------------------------------------------------------------------------------


def test_the_centre_is_cropped_before_resizing(tmp_path: Path) -> None:
    image = Image.new("RGB", (24, 8), RED)
    image.paste(GREEN, (8, 0, 16, 8))
    (tmp_path / "set").mkdir()
    image.save(tmp_path / "set/wide.png")
    image.rotate(90, expand=True).save(tmp_path / "set/tall.png")
    for resolution in (4, 8, 16):
        got = pixels(f"folder:{tmp_path / 'set'}", resolution=resolution)
        assert (got == np.array(GREEN, np.uint8)[:, None, None]).all()


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    image = Image.new("L", (8, 4), 0)
    image.paste(255, (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it
    (tmp_path / "set").mkdir()
    image.save(tmp_path / "set/a.jpg", exif=exif, quality=100)
    got = pixels(f"folder:{tmp_path / 'set'}")
    assert got.shape == (1, 1, 8, 4)
    assert got[0, 0, :4].min() > 200 and got[0, 0, 4:].max() < 50


def test_transparency_is_laid_on_white_unless_alpha_is_asked_for(tmp_path: Path) -> None:
    picture(tmp_path / "set/a.png", (255, 0, 0, 0), mode="RGBA")
    picture(tmp_path / "set/b.png", (0, 0, 255, 255), mode="RGBA")
    spec = f"folder:{tmp_path / 'set'}"
    assert pixels(spec)[:, :, 0, 0].tolist() == [[255, 255, 255], [0, 0, 255]]
    assert pixels(spec, channels=1)[:, :, 0, 0].tolist() == [[255], [29]]
    assert pixels(spec, channels=2)[:, 1, 0, 0].tolist() == [0, 255]
    assert pixels(spec, channels=4)[:, :, 0, 0].tolist() == [[255, 0, 0, 0], [0, 0, 255, 255]]


def test_gray_stays_gray_unless_one_image_has_colour(tmp_path: Path) -> None:
    picture(tmp_path / "set/a.png", 77, mode="L")
    picture(tmp_path / "set/b.png", (77, 128), mode="LA")
    assert load_data(f"folder:{tmp_path / 'set'}").image_shape == (1, 8, 8)
    picture(tmp_path / "set/c.png")
    assert load_data(f"folder:{tmp_path / 'set'}").image_shape == (3, 8, 8)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "CMYK", "LA", "RGBA"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_mode_becomes_every_number_of_channels(
    tmp_path: Path, mode: str, channels: int
) -> None:
    image = Image.new("L", (4, 4), 255)
    suffix = "jpg" if mode == "CMYK" else "png"
    if mode == "I;16":
        image = Image.fromarray(np.full((4, 4), 65535, np.uint16))
    (tmp_path / "set").mkdir()
    (image if mode == "I;16" else image.convert(mode)).save(tmp_path / f"set/a.{suffix}")
    got = pixels(f"folder:{tmp_path / 'set'}", channels=channels)
    assert got.shape == (1, channels, 4, 4) and (got == 255).all()


# --- the cache -----------------------------------------------------------------------------------


def test_the_second_time_nothing_is_read_again(cats: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_data(f"folder:{cats}")
    monkeypatch.setattr("ganzoo.data.trees.decode", None)
    second = load_data(f"folder:{cats}")
    assert (second.digest, second.classes) == (first.digest, first.classes)
    assert torch.equal(first.batch(np.arange(3))[0], second.batch(np.arange(3))[0])


@pytest.mark.parametrize("suffix", [".u8", ".json"])
@pytest.mark.parametrize("content", [b"", b"{", None])
def test_a_damaged_cache_is_made_anew(
    cats: Path, tmp_path: Path, suffix: str, content: bytes | None
) -> None:
    digest = load_data(f"folder:{cats}").digest
    (kept,) = (tmp_path / "cache").rglob(f"*{suffix}")
    if content is None:
        kept.write_bytes(kept.read_bytes()[:-1])
    else:
        kept.write_bytes(content)
    data = load_data(f"folder:{cats}")
    assert data.digest == digest and len(data.batch(np.arange(3))[0]) == 3


def test_a_changed_folder_is_read_again_and_replaces_what_was_kept(
    cats: Path, tmp_path: Path
) -> None:
    before = load_data(f"folder:{cats}").digest
    picture(cats / "all/warm/1.png", GREEN)
    os.utime(cats / "all/warm/1.png", ns=(1, 1))
    assert load_data(f"folder:{cats}").digest != before
    assert len(list((tmp_path / "cache").rglob("*.u8"))) == 1
    load_data(f"folder:{cats}", resolution=4)
    assert len(list((tmp_path / "cache").rglob("*.u8"))) == 2


def test_a_cache_that_cannot_be_written_is_one_line(
    cats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot write .*set GANZOO_CACHE"):
        load_data(f"folder:{cats}")
    assert len(load_data("shapes")) == 1024, "which needs no cache"


def test_a_large_procedural_set_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = load_data("shapes?n=16&size=8").digest
    monkeypatch.setattr("ganzoo.data.shapes.IN_MEMORY", 0)
    assert load_data("shapes?n=16&size=8").digest == small
    assert len(list((tmp_path / "cache").rglob("*.u8"))) == 1


# --- specs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec, error, message",
    [
        ("mnits", NotFoundError, "no data set is called 'mnits': did you mean mnist"),
        ("", NotFoundError, "no data set is called ''"),
        ("fodler:x", NotFoundError, "no data set is called 'fodler:x': did you mean folder"),
        ("folder", InputError, "write folder:PATH"),
        ("folder:", InputError, "write folder:PATH"),
        ("mnist:x", InputError, "mnist takes nothing after a colon"),
        ("mnist@valid", InputError, "mnist has no split 'valid': it has train, test"),
        ("shapes?m=3", InputError, "shapes has no option 'm'"),
        ("shapes?n=0", InputError, "n = 0 is out of range: use 1 to"),
        ("shapes?n=many", InputError, "n = many is out of range"),
        ("shapes?n=", InputError, "'n' of 'shapes.n=' is empty"),
        ("shapes?n=1&n=2", InputError, "twice"),
        ("shapes?channels=5", InputError, "channels = 5 is out of range: use 1 to 4"),
        ("shapes?labels=kind", InputError, "the labels of shapes are fixed"),
    ],
)
def test_what_a_spec_says_wrong(spec: str, error: type[GanzooError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        load_data(spec)
    assert caught.value.remedy and "\n" not in str(caught.value)


def test_size_and_channels_are_said_once() -> None:
    assert load_data("shapes?n=2&resolution=8&channels=1").image_shape == (1, 8, 8)
    assert load_data("shapes?n=2&resolution=8", resolution=8).image_shape == (3, 8, 8)
    with pytest.raises(InputError, match="says resolution=8, but 16 is asked for"):
        load_data("shapes?n=2&resolution=8", resolution=16)
    with pytest.raises(InputError, match="resolution = 0 is out of range"):
        load_data("shapes", resolution=0)


def test_a_path_alone_is_told_how_to_be_written(
    cats: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFoundError, match=f"write folder:{cats}"):
        load_data(str(cats))


def test_the_canonical_spec_reads_back() -> None:
    data = load_data("shapes@train?size=8&n=4")
    assert data.source == "shapes?n=4&size=8"
    assert load_data(data.source).digest == data.digest


def test_a_path_may_have_a_question_mark(tmp_path: Path) -> None:
    picture(tmp_path / "what?/a.png")
    data = load_data(f"folder:{tmp_path / 'what?'}")
    assert (len(data), len(load_data(f"{data.source}?resolution=4"))) == (1, 1)


# --- plugins -------------------------------------------------------------------------------------


def open_blank(request: Any) -> RawData:
    images = RawImages(
        names=["blank"], read=lambda _: Image.new("L", (4, 4)), labels=[0], classes=("none",)
    )
    return RawData(lambda: images, identity=None)


@pytest.fixture
def with_plugins(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Plugins `one` and `two` that each bring these data sets."""
    from ganzoo import builtins, hookimpl, plugins

    def install(**brought: list[Any]) -> Any:
        found = plugins.Plugins()
        found.add(builtins, name="core", distribution="ganzoo", version="0")
        for name, sources in brought.items():
            module = types.ModuleType(name)
            module.ganzoo_datasets = hookimpl(_returning(sources))  # type: ignore[attr-defined]
            found.add(module, name=name, distribution=f"ganzoo-{name}", version="1")
        monkeypatch.setattr(plugins, "load", lambda: found)
        return found

    return install


def _returning(value: Any) -> Any:
    def ganzoo_datasets() -> Any:
        return value

    return ganzoo_datasets


def blank(name: str) -> DataSource:
    return DataSource(
        name=name,
        license="cc0-1.0",
        classes=(),
        open=f"{__name__}:open_blank",
    )


def test_a_plugin_brings_a_data_set(with_plugins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    with_plugins(one=[blank("blank")])
    data = load_data("blank")
    assert (data.image_shape, data.classes, data.license) == ((1, 4, 4), ("none",), "cc0-1.0")
    assert load_data("one:blank").source == "one:blank"


def test_a_name_with_two_owners_is_refused_and_both_are_reached(
    with_plugins: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    with_plugins(one=[blank("mnist")], two=[blank("blank")])
    with pytest.raises(PluginError, match="claimed by the plugins core and one: write core:mnist"):
        load_data("mnist")
    assert len(load_data("one:mnist")) == 1
    with pytest.raises(NotFoundError, match="no data set is called 'mnist'"):
        load_data("two:mnist")


def test_a_plugin_that_returns_something_else_is_marked_and_the_others_go_on(
    with_plugins: Any,
) -> None:
    found = with_plugins(one=["mnist"])
    assert "mnist" in data_sources()
    assert "returned a str, no DataSource" in found.found[1].error


def _this_module() -> Any:
    module = types.ModuleType(__name__)
    module.open_blank = open_blank  # type: ignore[attr-defined]
    return module


# --- the Hub -------------------------------------------------------------------------------------


def test_the_hub_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"needs the library `datasets`: pip install 'ganzoo\[da"):
        load_data("hf:someone/cats")


@pytest.mark.filterwarnings("ignore")  # of the library, about its own dependencies
def test_the_hub_with_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library reads a local folder in the same way as a repository."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    picture(tmp_path / "pets/train/cat/1.png", RED)
    picture(tmp_path / "pets/train/dog/1.png", BLUE)
    (tmp_path / "pets/train/dog/2.png").write_bytes(b"no image")
    data = load_data(f"hf:{tmp_path / 'pets'}")
    images, labels = data.batch(np.arange(2))
    assert labels is not None and labels.tolist() == [0, 1] and data.classes == ("cat", "dog")
    assert images[1, :, 0, 0].tolist() == list(BLUE)
    assert len(data.skipped) == 1
    assert load_data(f"hf:{tmp_path / 'pets'}?labels=none").num_classes == 0
    with pytest.raises(InputError, match="no column 'imag': did you mean image"):
        load_data(f"hf:{tmp_path / 'pets'}?image=imag")
    with pytest.raises(DataError, match="cannot be loaded"):
        load_data(f"hf:{tmp_path / 'pets'}?split=valid")


# --- the project's own archives ------------------------------------------------------------------


@pytest.fixture
def shared() -> Path:
    folder = os.environ.get("GANZOO_SHARED")
    if not folder:
        pytest.skip("GANZOO_SHARED is not set to the folder of the shared data")
    return Path(folder)


@pytest.mark.shared
def test_the_real_mnist(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_DATA", str(shared / "data/torchvision"))
    data = load_data("mnist@test", resolution=32)
    labels = data.batch(np.arange(10))[1]
    assert len(data) == 10_000 and data.content_crop == (2, 2, 28, 28)
    assert labels is not None and labels.tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


@pytest.mark.shared
def test_the_real_nouns(shared: Path) -> None:
    data = load_data(f"zip:{shared / 'data/sets/nouns-32.zip'}?labels=head")
    assert (len(data), data.image_shape, data.skipped) == (20_000, (3, 32, 32), ())
    assert data.num_classes > 200 and all(name.startswith("head-") for name in data.classes)
