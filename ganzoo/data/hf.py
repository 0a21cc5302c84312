"""`hf:OWNER/NAME`: an image data set of the Hub, through the `datasets` library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.data.consent import Scan
from ganzoo.data.images import RawData, RawImages
from ganzoo.data.spec import DataRequest
from ganzoo.data.trees import decode, indexed
from ganzoo.errors import DataError, InputError, MissingDataError, nearest

if TYPE_CHECKING:
    from PIL import Image


def open_hf(request: DataRequest) -> RawData:
    """The split `split` (train) of the configuration `config`, at `revision`.

    Images are in the column `image=`, by default the first that holds images; labels in `labels=`,
    by default the first class label.
    """
    if not request.download and not Path(request.location).exists():
        raise MissingDataError(f"{request.spec} is on the Hub", "a run downloads it")
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"{request.spec} needs the library `datasets`", "pip install 'ganzoo[datasets]'"
        ) from error
    options = request.options
    try:
        table = datasets.load_dataset(
            request.location,
            options.get("config"),
            split=options.get("split", "train"),
            revision=options.get("revision"),
        )
    except Exception as error:  # the library's own, the Hub's, the network's, the file system's
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise DataError(
            f"{request.spec} cannot be loaded ({type(error).__name__}: {reason})",
            "check the name, the split and the network",
        ) from error

    image = _feature(request, table, "image", datasets.Image)
    if image is None or not isinstance(table.features[image], datasets.Image):
        raise DataError(
            f"{request.spec} has no column of images among {', '.join(table.column_names)}",
            "name it: image=COLUMN",
        )
    labels = None
    if options.get("labels") != "none":
        labels = _feature(request, table, "labels", datasets.ClassLabel)
    table = table.cast_column(image, datasets.Image(decode=False))
    return RawData(
        lambda: _images(table, image, labels, Scan.of(request)), identity=f"{table._fingerprint}"
    )


def _feature(request: DataRequest, table: Any, option: str, kind: type) -> str | None:
    """The column that an option names, or the first of a kind."""
    columns: dict[str, Any] = table.features
    asked = request.options.get(option)
    if asked is None:
        return next((name for name, feature in columns.items() if isinstance(feature, kind)), None)
    if asked not in columns:
        raise InputError(f"{request.spec} has no column {asked!r}", nearest(asked, columns))
    return asked


def _images(table: Any, image: str, labels: str | None, scan: Scan) -> RawImages:
    def read(index: int) -> Image.Image:
        cell = table[index][image]
        data = cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()
        scan.look_at(index, data)
        return decode(data)

    names = range(len(table))
    if labels is None:
        return RawImages(names=names, read=read, scan=scan)
    values, classes = list(table[labels]), getattr(table.features[labels], "names", None)
    if classes is None:
        values, classes = indexed([str(value) for value in values])
    if min(values, default=0) < 0:  # how `datasets` writes that a split has no labels
        return RawImages(names=names, read=read, scan=scan)
    return RawImages(names=names, read=read, labels=values, classes=tuple(classes), scan=scan)
