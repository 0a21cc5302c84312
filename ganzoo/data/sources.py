"""The data sources of the core, as data: names, licences, classes, and where each is opened."""

from __future__ import annotations

from ganzoo.data.spec import DataSource

DIGITS = tuple("0123456789")
SHAPES = ("circle", "square", "triangle", "cross")
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

SOURCES: tuple[DataSource, ...] = (
    DataSource(
        name="shapes",
        summary="Procedural circles, squares, triangles and crosses; nothing to download",
        license="cc0-1.0",
        homepage="",
        classes=SHAPES,
        open="ganzoo.data.shapes:open_shapes",
        splits=("train", "test"),
        options=("n", "size", "seed"),
    ),
    DataSource(
        name="mnist",
        summary="Handwritten digits, 28x28 gray, 60,000 and 10,000",
        license="cc-by-sa-3.0",
        homepage="http://yann.lecun.com/exdb/mnist/",
        classes=DIGITS,
        open="ganzoo.data.named:open_idx",
        splits=("train", "test"),
    ),
    DataSource(
        name="fashion-mnist",
        summary="Photographs of clothes, 28x28 gray, 60,000 and 10,000",
        license="mit",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        classes=FASHION,
        open="ganzoo.data.named:open_idx",
        splits=("train", "test"),
    ),
)
