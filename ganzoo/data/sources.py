"""The data sources of the core, as data: names, licences, classes, and where each is opened."""

from __future__ import annotations

from ganzoo.data.spec import DataSource

DIGITS = tuple("0123456789")
SHAPES = ("circle", "square", "triangle", "cross")
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
STL10 = (
    "airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck",
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
        image_shape=(1, 28, 28),
        splits=("train", "test"),
    ),
    DataSource(
        name="fashion-mnist",
        summary="Photographs of clothes, 28x28 gray, 60,000 and 10,000",
        license="mit",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        classes=FASHION,
        open="ganzoo.data.named:open_idx",
        image_shape=(1, 28, 28),
        splits=("train", "test"),
    ),
    DataSource(
        name="kmnist",
        summary="Kuzushiji: cursive Japanese characters, 28x28 gray, 60,000 and 10,000",
        license="cc-by-sa-4.0",
        homepage="http://codh.rois.ac.jp/kmnist/",
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        open="ganzoo.data.named:open_idx",
        image_shape=(1, 28, 28),
        splits=("train", "test"),
    ),
    DataSource(
        name="emnist",
        summary="Handwritten letters and digits, 28x28 gray; subset=balanced, letters, byclass, …",
        license="unknown",
        homepage="https://www.nist.gov/itl/products-and-services/emnist-dataset",
        classes=(),
        open="ganzoo.data.named:open_idx",
        image_shape=(1, 28, 28),
        splits=("train", "test"),
        options=("subset",),
    ),
    DataSource(
        name="cifar10",
        summary="Small photographs of ten kinds of things, 32x32, 50,000 and 10,000",
        license="unknown",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        classes=CIFAR10,
        open="ganzoo.data.named:open_torchvision",
        image_shape=(3, 32, 32),
        splits=("train", "test"),
    ),
    DataSource(
        name="cifar100",
        summary="Small photographs of a hundred kinds of things, 32x32, 50,000 and 10,000",
        license="unknown",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        classes=(),
        open="ganzoo.data.named:open_torchvision",
        image_shape=(3, 32, 32),
        splits=("train", "test"),
    ),
    DataSource(
        name="svhn",
        summary="House numbers in street views, 32x32, 73,257, 26,032 and 531,131 (needs scipy)",
        license="unknown",
        homepage="http://ufldl.stanford.edu/housenumbers/",
        classes=DIGITS,
        open="ganzoo.data.named:open_torchvision",
        image_shape=(3, 32, 32),
        splits=("train", "test", "extra"),
    ),
    DataSource(
        name="stl10",
        summary="Photographs of ten kinds of things, 96x96, 5,000, 8,000 and 100,000 unlabelled",
        license="unknown",
        homepage="https://cs.stanford.edu/~acoates/stl10/",
        classes=STL10,
        open="ganzoo.data.named:open_torchvision",
        image_shape=(3, 96, 96),
        splits=("train", "test", "unlabeled"),
    ),
    DataSource(
        name="celeba",
        summary="Aligned faces, 178x218, 202,599; labels=ATTRIBUTE, such as Smiling",
        license="unknown",
        homepage="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        classes=(),
        open="ganzoo.data.named:open_torchvision",
        image_shape=(3, 218, 178),
        splits=("train", "valid", "test", "all"),
        options=("labels",),
    ),
    DataSource(
        name="folder",
        summary="Image files under a folder; classes from subfolders, or labels=COLUMN of a CSV",
        license="unknown",
        homepage="",
        classes=(),
        open="ganzoo.data.trees:open_folder",
        options=("labels", "consent"),
        location="PATH",
    ),
    DataSource(
        name="zip",
        summary="The same in a zip file, which is not unpacked",
        license="unknown",
        homepage="",
        classes=(),
        open="ganzoo.data.trees:open_zip",
        options=("labels", "consent"),
        location="PATH",
    ),
    DataSource(
        name="hf",
        summary="A data set of the Hub (needs datasets); config=, split=, image=, labels=",
        license="unknown",
        homepage="https://huggingface.co/datasets",
        classes=(),
        open="ganzoo.data.hf:open_hf",
        options=("config", "split", "revision", "image", "labels", "consent"),
        location="OWNER/NAME",
    ),
)
