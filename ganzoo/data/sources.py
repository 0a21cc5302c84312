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
    DataSource(  # Procedural circles, squares, triangles and crosses; nothing to download
        name="shapes",
        license="cc0-1.0",
        credit="Drawn by ganzoo; there is nobody to credit",
        classes=SHAPES,
        open="ganzoo.data.shapes:open_shapes",
        splits=("train", "test"),
        options=("n", "size", "seed"),
    ),
    DataSource(  # Handwritten digits, 28x28 gray, 60,000 and 10,000
        name="mnist",
        license="cc-by-sa-3.0",
        credit="MNIST by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, from NIST",
        classes=DIGITS,
        open="ganzoo.data.named:open_idx",
        image_shape=(1, 28, 28),
        splits=("train", "test"),
    ),
    DataSource(  # Photographs of clothes, 28x28 gray, 60,000 and 10,000
        name="fashion-mnist",
        license="mit",
        credit="Fashion-MNIST by Han Xiao, Kashif Rasul and Roland Vollgraf (Zalando Research)",
        classes=FASHION,
        open="ganzoo.data.named:open_idx",
        image_shape=(1, 28, 28),
        splits=("train", "test"),
    ),
    DataSource(  # Kuzushiji: cursive Japanese characters, 28x28 gray, 60,000 and 10,000
        name="kmnist",
        license="cc-by-sa-4.0",
        credit="KMNIST by Tarin Clanuwat and others, from the Kuzushiji dataset of CODH and others",
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        open="ganzoo.data.named:open_idx",
        image_shape=(1, 28, 28),
        splits=("train", "test"),
    ),
    DataSource(  # Handwritten letters and digits, 28x28 gray; subset=balanced, letters, byclass, …
        name="emnist",
        license="unknown",
        credit="EMNIST by Gregory Cohen, Saeed Afshar, Jonathan Tapson and André van Schaik",
        classes=(),
        open="ganzoo.data.named:open_idx",
        image_shape=(1, 28, 28),
        splits=("train", "test"),
        options=("subset",),
    ),
    DataSource(  # Small photographs of ten kinds of things, 32x32, 50,000 and 10,000
        name="cifar10",
        license="unknown",
        credit="CIFAR-10 by Alex Krizhevsky, Vinod Nair and Geoffrey Hinton",
        classes=CIFAR10,
        open="ganzoo.data.named:open_torchvision",
        image_shape=(3, 32, 32),
        splits=("train", "test"),
    ),
    DataSource(  # Small photographs of a hundred kinds of things, 32x32, 50,000 and 10,000
        name="cifar100",
        license="unknown",
        credit="CIFAR-100 by Alex Krizhevsky, Vinod Nair and Geoffrey Hinton",
        classes=(),
        open="ganzoo.data.named:open_torchvision",
        image_shape=(3, 32, 32),
        splits=("train", "test"),
    ),
    DataSource(  # House numbers in street views, 32x32, 73,257, 26,032 and 531,131 (needs scipy)
        name="svhn",
        license="unknown",
        credit="SVHN by Yuval Netzer, Tao Wang, Adam Coates, Alessandro Bissacco, Bo Wu, Andrew Ng",
        classes=DIGITS,
        open="ganzoo.data.named:open_torchvision",
        image_shape=(3, 32, 32),
        splits=("train", "test", "extra"),
    ),
    DataSource(  # Photographs of ten kinds of things, 96x96, 5,000, 8,000 and 100,000 unlabelled
        name="stl10",
        license="unknown",
        credit="STL-10 by Adam Coates, Honglak Lee and Andrew Y. Ng",
        classes=STL10,
        open="ganzoo.data.named:open_torchvision",
        image_shape=(3, 96, 96),
        splits=("train", "test", "unlabeled"),
    ),
    DataSource(  # Aligned faces, 178x218, 202,599; labels=ATTRIBUTE, such as Smiling
        name="celeba",
        license="unknown",
        credit="CelebA by Ziwei Liu, Ping Luo, Xiaogang Wang and Xiaoou Tang (MMLAB, CUHK)",
        classes=(),
        open="ganzoo.data.named:open_torchvision",
        image_shape=(3, 218, 178),
        splits=("train", "valid", "test", "all"),
        options=("labels",),
    ),
    DataSource(  # Image files under a folder; classes from subfolders, or labels=COLUMN of a CSV
        name="folder",
        license="unknown",
        classes=(),
        open="ganzoo.data.trees:open_folder",
        options=("labels", "consent"),
        location="PATH",
    ),
    DataSource(  # The same in a zip file, which is not unpacked
        name="zip",
        license="unknown",
        classes=(),
        open="ganzoo.data.trees:open_zip",
        options=("labels", "consent"),
        location="PATH",
    ),
    DataSource(  # A data set of the Hub (needs datasets); config=, split=, image=, labels=
        name="hf",
        license="unknown",
        classes=(),
        open="ganzoo.data.hf:open_hf",
        options=("config", "split", "revision", "image", "labels", "consent"),
        location="OWNER/NAME",
    ),
)
