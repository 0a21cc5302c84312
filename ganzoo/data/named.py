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
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ganzoo.data.images import RawData, RawImages
from ganzoo.data.spec import DataRequest
from ganzoo.errors import DataError
from ganzoo.files import cache_folder

IDX = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST", "emnist": "EMNIST"}


def open_idx(request: DataRequest) -> RawData:
    """MNIST and its kin: two idx files a split, as they are or compressed with gzip.

    The files are read with torchvision's functions but not through its classes, which want all
    four of them, unpacked, in a folder that can be written to.
    """
    folder = IDX[request.name]
    prefix = {"train": "train", "test": "t10k"}[request.split]
    options: dict[str, Any] = {}
    if request.name == "emnist":
        subset = request.options.get("subset", "balanced")
        prefix, options = f"emnist-{subset}-{request.split}", {"split": subset}

    def find(root: Path) -> list[Path]:
        names = (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
        paths = [root / folder / "raw" / name for name in names]
        paths = [p if p.exists() else p.with_name(f"{p.name}.gz") for p in paths]
        return paths if all(p.exists() for p in paths) else []

    def download(root: Path) -> None:
        import torchvision.datasets

        getattr(torchvision.datasets, folder)(root, download=True, **options)

    files = _locate(request, find, download)
    return RawData(lambda: _read_idx(request, *files), identity=_identity(files))


def _read_idx(request: DataRequest, images: Path, labels: Path) -> RawImages:
    from PIL import Image
    from torchvision.datasets.mnist import read_image_file, read_label_file

    try:
        with _unpacked(images) as path:
            pixels = read_image_file(str(path)).numpy()
        with _unpacked(labels) as path:
            classes = read_label_file(str(path)).numpy()
        if len(pixels) != len(classes):
            raise ValueError(f"{len(pixels)} images, but {len(classes)} labels")
    except Exception as error:  # whatever a damaged file makes of gzip, numpy or an assert
        raise DataError(
            f"{request.name} cannot be read: {images} or {labels.name} is damaged ({error})",
            "remove both to have them downloaded again, or copy them anew",
        ) from error
    if request.name == "emnist":  # stored with rows and columns exchanged
        pixels = pixels.transpose(0, 2, 1)
    return RawImages(
        names=range(len(pixels)),
        read=lambda index: Image.fromarray(pixels[index]),
        labels=classes,
        channels=1,
        pads=True,
    )


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The file itself, or an unpacked copy of it for a while."""
    if path.suffix != ".gz":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.stem)
        with gzip.open(path) as packed, open(copy, "wb") as file:
            shutil.copyfileobj(packed, file)
        yield copy


def _locate(
    request: DataRequest, find: Callable[[Path], list[Path]], download: Callable[[Path], None]
) -> list[Path]:
    """The files of a set in the first folder that has them, downloaded if none has."""
    own = cache_folder("data")
    given = os.environ.get("GANZOO_DATA")
    for root in ([Path(given).expanduser()] if given else []) + [own]:
        if files := find(root):
            return files
    problem = (
        f"{request.name} is not in GANZOO_DATA={given}" if given else f"{request.name} is not here"
    )
    reason = "torchvision did not bring all of its files"
    try:
        with _downloading():
            own.mkdir(parents=True, exist_ok=True)
            download(own)
    except Exception as error:  # torchvision: RuntimeError, URLError, timeouts, damaged archives
        reason = str(error).strip().splitlines()[-1] if str(error) else type(error).__name__
    if files := find(own):
        return files
    raise DataError(
        f"{problem} and cannot be downloaded to {own} ({reason})",
        "set GANZOO_DATA to a folder that has it as torchvision lays it out",
    )


@contextlib.contextmanager
def _downloading() -> Iterator[None]:
    """torchvision's downloads with an end to their patience, and their chatter on stderr."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # seconds without a byte; urllib's own default is for ever
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _identity(files: list[Path]) -> str:
    """What changes when the files do."""
    return "\n".join(f"{p.resolve()} {(s := p.stat()).st_size} {s.st_mtime_ns}" for p in files)
