"""The named data sets, through torchvision, where they lie: under `GANZOO_DATA`, or downloaded.

`GANZOO_DATA` is only read. What is not there is looked for in, and downloaded to, the folder
`data` of the user's cache.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import socket
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganzoo.data.images import RawData, RawImages
from ganzoo.data.spec import DataRequest
from ganzoo.errors import DataError, InputError, MissingDataError, nearest
from ganzoo.files import cache_folder

PATIENCE = 30  # seconds without a byte of a download; urllib's own default is for ever

IDX = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST", "emnist": "EMNIST"}
EMNIST_SUBSETS = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")


@dataclass(frozen=True)
class Layout:
    """Where torchvision keeps a set under its root.

    Attributes:
        cls: the class in `torchvision.datasets`.
        images: the file or folder that the images are in.
        archive: what `images` is unpacked from.
        tables: the other files that the class reads.
    """

    cls: str
    images: str
    archive: str = ""
    tables: tuple[str, ...] = ()


LAYOUTS = {
    "cifar10": Layout("CIFAR10", "cifar-10-batches-py", "cifar-10-python.tar.gz"),
    "cifar100": Layout("CIFAR100", "cifar-100-python", "cifar-100-python.tar.gz"),
    "svhn": Layout("SVHN", "{split}_32x32.mat"),
    "stl10": Layout("STL10", "stl10_binary", "stl10_binary.tar.gz"),
    "celeba": Layout(
        "CelebA",
        "celeba/img_align_celeba",
        "celeba/img_align_celeba.zip",
        (
            "celeba/identity_CelebA.txt",
            "celeba/list_attr_celeba.txt",
            "celeba/list_bbox_celeba.txt",
            "celeba/list_eval_partition.txt",
            "celeba/list_landmarks_align_celeba.txt",
        ),
    ),
}


def open_idx(request: DataRequest) -> RawData:
    """MNIST and its kin: two idx files a split, as they are or compressed with gzip.

    They are read with torchvision's functions but not through its classes, which want all four
    files, unpacked, in a folder that can be written to.
    """
    folder = IDX[request.name]
    prefix = {"train": "train", "test": "t10k"}[request.split]
    options: dict[str, str] = {}
    if request.name == "emnist":
        subset = request.options.get("subset", "balanced")
        if subset not in EMNIST_SUBSETS:
            raise InputError(f"emnist has no subset {subset!r}", nearest(subset, EMNIST_SUBSETS))
        prefix, options = f"emnist-{subset}-{request.split}", {"split": subset}

    def find(root: Path) -> list[Path]:
        raw = root / folder / "raw"
        paths = [raw / f"{prefix}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
        paths = [path if path.exists() else path.with_suffix(".gz") for path in paths]
        return paths if all(path.exists() for path in paths) else []

    def download(root: Path) -> None:
        import torchvision.datasets

        getattr(torchvision.datasets, folder)(root, download=True, **options)

    _, (images, labels) = _locate(request, find, download)
    return RawData(lambda: _read_idx(request, images, labels), _identity([images, labels]))


def _read_idx(request: DataRequest, images: Path, labels: Path) -> RawImages:
    from PIL import Image
    from torchvision.datasets.mnist import EMNIST, read_image_file, read_label_file

    try:
        with _unzipped(images) as path:
            pixels = read_image_file(str(path)).numpy()
        with _unzipped(labels) as path:
            targets = read_label_file(str(path)).numpy()
        if len(pixels) != len(targets):
            raise ValueError(f"{len(pixels)} images, but {len(targets)} labels")
    except Exception as error:  # whatever a damaged file makes of gzip, numpy or an assert
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{request.name} is damaged: {images} and {labels.name} cannot be read ({reason})",
            "copy both anew, or remove both to have them downloaded",
        ) from error
    classes: tuple[str, ...] = ()
    if request.name == "emnist":
        pixels = pixels.transpose(0, 2, 1)  # stored with rows and columns exchanged
        subset = request.options.get("subset", "balanced")
        classes = tuple(EMNIST.classes_split_dict[subset])
        if subset == "letters":  # counted from 1; class 0 is "N/A" and has no images
            targets, classes = targets - 1, classes[1:]
    return RawImages(
        names=range(len(pixels)),
        read=lambda index: Image.fromarray(pixels[index]),
        labels=targets,
        classes=classes,
        channels=1,
        pads=pixels.shape[1:] == (28, 28),
    )


@contextlib.contextmanager
def _unzipped(path: Path) -> Iterator[Path]:
    """The file itself, or an uncompressed copy of it for a while."""
    if path.suffix != ".gz":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.stem)
        with gzip.open(path) as packed, open(copy, "wb") as file:
            shutil.copyfileobj(packed, file)
        yield copy


def open_torchvision(request: DataRequest) -> RawData:
    """The sets that are read through their torchvision class, which checks the files' hashes."""
    layout = LAYOUTS[request.name]
    name = layout.images.format(split=request.split)

    def find(root: Path) -> list[Path]:
        tables = [root / table for table in layout.tables]
        for images in (name, layout.archive):
            if images and (root / images).exists() and all(table.exists() for table in tables):
                return [root / images, *tables]
        return []

    def make(root: Path, download: bool = False) -> Any:
        import torchvision.datasets

        cls = getattr(torchvision.datasets, layout.cls)
        if layout.cls.startswith("CIFAR"):
            return cls(root, train=request.split == "train", download=download)
        return cls(root, split=request.split, download=download)

    root, files = _locate(request, find, lambda root: make(root, download=True))

    def images() -> RawImages:
        try:
            unpacked = root if (root / name).exists() else _unpack(root, name, layout)
            return _raw(make(unpacked), request)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            raise DataError(
                f"{request.name} cannot be read without {package}", f"pip install {package}"
            ) from error
        except (RuntimeError, OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise DataError(
                f"{request.name} under {root} is damaged or not all there ({error})",
                "copy it anew, or remove it to have it downloaded",
            ) from error

    return RawData(images, _identity(files))


def _raw(dataset: Any, request: DataRequest) -> RawImages:
    """The images of a torchvision data set: `targets` or `labels`, or an attribute of CelebA."""
    names = range(len(dataset))
    labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
    classes = tuple(getattr(dataset, "classes", ()))
    if request.name == "celeba":
        names, attribute = dataset.filename, request.options.get("labels", "none")
        if attribute != "none":
            if attribute not in dataset.attr_names:
                known = nearest(attribute, filter(None, dataset.attr_names))
                raise InputError(f"celeba has no attribute {attribute!r}", known)
            labels = dataset.attr[:, dataset.attr_names.index(attribute)].numpy()
            classes = (f"not {attribute}", attribute)
    return RawImages(
        names=names,
        read=lambda index: dataset[index][0],
        labels=None if request.split == "unlabeled" else labels,
        classes=classes,
        channels=3,
    )


def _unpack(root: Path, name: str, layout: Layout) -> Path:
    """Unpack the archive of a set into our own folder of data, and link what lies beside it."""
    from torchvision.datasets.utils import extract_archive

    own = cache_folder("data")
    target = own / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=own) as folder:
            extract_archive(str(root / layout.archive), folder)
            with contextlib.suppress(OSError):  # another process was faster
                Path(folder, target.name).rename(target)
    for table in layout.tables:
        with contextlib.suppress(FileExistsError):
            (own / table).symlink_to((root / table).resolve())
    return own


def _locate(
    request: DataRequest, find: Callable[[Path], list[Path]], download: Callable[[Path], object]
) -> tuple[Path, list[Path]]:
    """The root that has a set and its files there; it is downloaded to our own if none has."""
    own = cache_folder("data")
    given = os.environ.get("GANZOO_DATA")
    for root in ([Path(given)] if given else []) + [own]:
        try:
            files = find(root)
        except OSError as error:
            raise DataError(
                f"{root} cannot be read: {error.strerror}", "make it readable"
            ) from error
        if files:
            return root, files
    looked_in = f"GANZOO_DATA{f'={given}' if given else ' (which is not set)'}"
    remedy = "set GANZOO_DATA to a folder that has it as torchvision lays it out"
    if not request.download:
        raise MissingDataError(f"{request.name} is not in {looked_in} and not in {own}", remedy)
    reason = "torchvision did not bring all of its files"
    try:
        with _downloading():
            own.mkdir(parents=True, exist_ok=True)
            download(own)
    except Exception as error:  # RuntimeError, URLError, time-outs, damaged archives, full disks
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
    if files := find(own):
        return own, files
    raise MissingDataError(
        f"{request.name} is not in {looked_in} and cannot be downloaded to {own} ({reason})", remedy
    )


@contextlib.contextmanager
def _downloading() -> Iterator[None]:
    """Limit the patience of torchvision's downloads, and keep their chatter off stdout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _identity(paths: list[Path]) -> str:
    """What changes when the files do: the path, size and time of each, and of a folder's files."""
    files = [
        file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])
    ]
    return "\n".join(f"{p.resolve()} {(s := p.stat()).st_size} {s.st_mtime_ns}" for p in files)
