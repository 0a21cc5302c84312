"""`folder:PATH` and `zip:PATH`: image files under folders that may be classes, read where they lie.

A folder that all images share is no class; of what is left, the first folder of an image is its
class. Or `labels=COLUMN` takes the classes from a CSV file in the tree, whose column `file` or
`file_name` names the images, relative to the CSV file. Images are in the order of their names, so
a folder and a zip file of it are the same data.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ganzoo.data.consent import Scan
from ganzoo.data.images import RawData, RawImages
from ganzoo.data.spec import DataRequest
from ganzoo.errors import DataError, InputError, MissingDataError, nearest

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # whatever the suffix says, no other decoder is asked
MAX_BYTES = 2**28  # of one file: no sensible image is larger, and a zip bomb is
FILE_COLUMNS = ("file", "file_name")


def open_folder(request: DataRequest) -> RawData:
    tree = Folder(_path(request, "a folder of images"))
    return RawData(lambda: _images(tree, request), identity=tree.identity)


def open_zip(request: DataRequest) -> RawData:
    tree = Zip(_path(request, "a zip file of images"))
    return RawData(lambda: _images(tree, request), identity=tree.identity)


def _path(request: DataRequest, what: str) -> Path:
    """The path as it is given, or else below `GANZOO_DATA`."""
    given = os.environ.get("GANZOO_DATA", "")
    try:
        path = Path(request.location).expanduser()
        below = Path(given, path)
        for found in (path, below):
            if found.exists():
                return found
    except (RuntimeError, OSError, ValueError) as error:  # no such user, or an impossible name
        raise DataError(f"{request.spec} is no path: {error}", "give the path as it is") from error
    if given and not path.is_absolute():
        raise MissingDataError(
            f"{path} does not exist, neither here nor in GANZOO_DATA={given}",
            f"give the path of {what}, as it is or below GANZOO_DATA",
        )
    raise MissingDataError(f"{path} does not exist", f"give the path of {what}")


class Tree(ABC):
    """Named files, in a folder or in a zip file."""

    identity: str

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all files, with slashes, sorted."""

    @abstractmethod
    def size(self, name: str) -> int:
        """The size of a file in bytes, unpacked."""

    @abstractmethod
    def content(self, name: str) -> bytes:
        """The content of a file."""

    def read(self, name: str) -> bytes:
        """The content of a file that is not unreasonably large."""
        if self.size(name) > MAX_BYTES:
            raise ValueError(f"has {self.size(name):,} bytes, more than {MAX_BYTES:,}")
        return self.content(name)


class Folder(Tree):
    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise DataError(f"{path} is no folder", "give the path of a folder of images")
        self.path = path
        self._sizes: dict[str, int] = {}
        identity = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape"))
        try:
            files = sorted(self._walk())
        except OSError as error:
            raise DataError(
                f"{error.filename or path} cannot be read: {error.strerror}", "make it readable"
            ) from error
        for name, stat in files:
            self._sizes[name] = stat.st_size
            line = f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n"
            identity.update(line.encode("utf-8", "surrogateescape"))
        self.identity = identity.hexdigest()

    def _walk(self) -> Iterable[tuple[str, os.stat_result]]:
        def refuse(error: OSError) -> None:
            raise error

        for folder, folders, files in os.walk(self.path, onerror=refuse, followlinks=True):
            here = os.path.realpath(folder)
            folders[:] = [  # without links back to a folder that we are in
                name
                for name in folders
                if not f"{here}/".startswith(f"{os.path.realpath(Path(folder, name))}/")
            ]
            for name in files:
                path = Path(folder, name)
                if path.is_file():  # no broken link, no pipe
                    yield path.relative_to(self.path).as_posix(), path.stat()

    def names(self) -> list[str]:
        return list(self._sizes)

    def size(self, name: str) -> int:
        return self._sizes[name]

    def content(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


class Zip(Tree):
    """Read in place: nothing is unpacked, so a member's name is only ever a name."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(f"{path} is no file", "give the path of a zip file of images")
        self.path = path
        stat = path.stat()
        self.identity = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        self._file: zipfile.ZipFile | None = None

    @property
    def file(self) -> zipfile.ZipFile:
        if self._file is None:
            try:
                self._file = zipfile.ZipFile(self.path)
            except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
                raise DataError(
                    f"{self.path} cannot be read as a zip file: {error}",
                    "give an intact zip file of images",
                ) from error
        return self._file

    def names(self) -> list[str]:
        return sorted({info.filename for info in self.file.infolist() if not info.is_dir()})

    def size(self, name: str) -> int:
        return self.file.getinfo(name).file_size

    def content(self, name: str) -> bytes:
        return self.file.read(name)


def _images(tree: Tree, request: DataRequest) -> RawImages:
    names = [name for name in tree.names() if not _hidden(name)]
    images = [name for name in names if name.lower().endswith(SUFFIXES)]
    if not images:
        raise DataError(f"{request.spec} has no images", "point at PNG, JPEG or WebP files")
    column = request.options.get("labels")
    skipped: list[tuple[str, str]] = []
    values: list[str] | None = None
    if column not in (None, "none"):
        table = _column(tree, names, column)
        skipped = [
            (name, f"has no {column} in the CSV file") for name in images if name not in table
        ]
        images = [name for name in images if name in table]
        values = [table[name] for name in images]
        if not images:
            raise DataError(
                f"the CSV file of {request.spec} names none of its images, such as {skipped[0][0]}",
                "write paths relative to the CSV file into its column `file` or `file_name`",
            )
    elif column is None:
        values = _folders(images, request)

    labels, classes = (None, ()) if values is None else indexed(values)
    scan = Scan.of(request)

    def read(index: int) -> Image.Image:
        data = tree.read(images[index])
        scan.look_at(index, data)
        return decode(data)

    return RawImages(
        names=images,
        read=read,
        labels=labels,
        classes=classes,
        skipped=tuple(skipped),
        scan=scan,
    )


def _hidden(name: str) -> bool:
    """Files of the system: macOS puts `._` twins and the folder `__MACOSX` into zip files."""
    return any(
        part == "__MACOSX" or (part.startswith(".") and part != "..")
        for part in PurePosixPath(name).parts
    )


def _folders(images: Sequence[str], request: DataRequest) -> list[str] | None:
    """The class folder of each image, or None where there are none."""
    parents = [PurePosixPath(name).parent.parts for name in images]
    depths = zip(*parents, strict=False)  # ends with the shallowest image
    shared = len(list(itertools.takewhile(lambda level: len(set(level)) == 1, depths)))
    stray = [name for name, parts in zip(images, parents, strict=True) if len(parts) == shared]
    if len(stray) == len(images):
        return None
    if stray:
        raise DataError(
            f"{len(stray)} of {len(images)} images of {request.spec} lie beside the class folders, "
            f"such as {stray[0]}",
            "move them into one, or add labels=none to the query (PATH?labels=none)",
        )
    return [parts[shared] for parts in parents]


def _column(tree: Tree, names: Iterable[str], column: str) -> dict[str, str]:
    """The named column of the tree's CSV files: image name -> value."""
    table: dict[str, str] = {}
    seen: list[str] = []
    for name in names:
        if not name.lower().endswith(".csv"):
            continue
        try:
            text = io.StringIO(tree.read(name).decode("utf-8-sig"), newline="")
            rows = list(csv.DictReader(text))
        except Exception as error:  # unreadable, of another encoding, or no CSV at all
            raise DataError(
                f"{name} cannot be read: {error}", "give a CSV file in UTF-8"
            ) from error
        columns = [key for key in (rows[0] if rows else ()) if key]
        file = next((key for key in FILE_COLUMNS if key in columns), None)
        if file is None:
            continue
        seen += columns
        if column in columns:
            folder = PurePosixPath(name).parent
            table |= {str(folder / row[file]): row[column] for row in rows if row[file]}
    if column in seen:
        return {name: value for name, value in table.items() if value}
    if seen:
        raise InputError(f"no CSV file has a column {column!r}", nearest(column, seen))
    raise DataError(
        f"there is no CSV file to take labels={column} from",
        "add one with a column `file` or `file_name`, or leave labels= out",
    )


def indexed(values: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """The index of each value among the classes, which are in order: of number if all are numbers
    (10 after 9), else of text."""
    classes = set(values)
    numbers = all(value.isascii() and value.isdigit() for value in classes)
    ordered = sorted(classes, key=lambda value: (int(value) if numbers else 0, value))
    index = {value: i for i, value in enumerate(ordered)}
    return [index[value] for value in values], tuple(ordered)


def decode(data: bytes) -> Image.Image:
    """An image file, opened but not yet decoded; raises if it is none or unreasonably large."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError("is no PNG, JPEG, WebP or BMP image") from None
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 2**27):  # Pillow only warns here
        raise ValueError(f"has {image.width}x{image.height} pixels, too many to decode")
    return image
