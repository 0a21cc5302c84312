"""From images to features: the extractor that is asked for, and the images that go through it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganzoo import plugins
from ganzoo.errors import InputError, PluginError
from ganzoo.evaluation.extractors import Outputs
from ganzoo.precision import true_float32

if TYPE_CHECKING:
    from ganzoo.data import ImageData
    from ganzoo.models import Generator

BATCH = 256
"""Images that go through an extractor at once; the last digits of features depend on it."""

Crop = Sequence[int] | None
"""(top, left, height, width) of the content of padded images."""


@dataclass(frozen=True)
class OpenExtractor:
    """An extractor, ready: `name` is with its version (`digits-v1`), `sha256` of its weights."""

    name: str
    sha256: str
    network: Any
    device: torch.device

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(getattr(self.network, "classes", ()))

    @property
    def resize(self) -> str:
        return str(getattr(self.network, "resize", "native"))

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Outputs:
        """Features float32 (N, F) and logits of uint8 images (N, C, H, W), on this device."""
        images = images.to(self.device)
        outputs = getattr(self.network, "outputs", None)
        with true_float32(self.device):
            found = outputs(images) if outputs else Outputs(self.network(images))
        if found.features.ndim != 2 or len(found.features) != len(images):
            shape = tuple(found.features.shape)
            raise PluginError(
                f"the extractor {self.name} made {shape} of {len(images)} images",
                "its author must return features (N, F)",
            )
        if self.classes and found.logits is None:
            raise PluginError(
                f"the extractor {self.name} has classes, and made no logits of them",
                "its author must return both from outputs()",
            )
        for values in (found.features, found.logits):
            if values is not None and not values.isfinite().all():
                raise PluginError(
                    f"the extractor {self.name} made NaN or infinity of an image",
                    "its author must return finite features and logits",
                )
        logits = found.logits
        return Outputs(found.features.float(), None if logits is None else logits.float())


def open_extractor(name: str, *, device: str | torch.device = "cpu") -> OpenExtractor:
    """The extractor of this name, of the core or of a plugin, with or without its version; see
    `ganzoo parts --kind features`."""
    parts = plugins.load().parts
    versioned = re.fullmatch(r"(.+)-v([1-9][0-9]{0,8})", name, re.ASCII)
    if versioned and all(owned.part.name != name for owned in parts.all("features")):
        part = parts.get("features", versioned[1])
        if int(versioned[2]) != part.version:
            raise InputError(
                f"features {part.name!r} are at version {part.version} here, not {versioned[2]}",
                f"use --features {part.name}, or install the other version",
            )
    else:
        part = parts.get("features", name)
    network = part.build().eval().requires_grad_(False)
    return OpenExtractor(
        f"{part.name}-v{part.version}",
        fingerprint(network),
        network.to(device),
        torch.device(device),
    )


def fingerprint(network: torch.nn.Module) -> str:
    """SHA-256 over the names, types, shapes and values of a network's state."""
    digest = hashlib.sha256(type(network).__name__.encode())
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()


def default_extractor(data: ImageData) -> str:
    """The name of the extractor that is made for a data set of such images, else "random"."""
    return extractor_for(data.source, data.image_shape, data.content_crop)


def extractor_for(source: str, image_shape: Sequence[int], crop: Crop) -> str:
    """`default_extractor` of a data set's name or spec, the shape of its images (C, H, W) and the
    place of their content."""
    name = source.partition("?")[0].partition("@")[0]
    channels, height, width = image_shape
    if crop is not None:
        _, _, height, width = crop
    for owned in plugins.load().parts.all("features"):
        config = owned.part.make_config()
        shape = getattr(config, "image_shape", (channels, height, width))
        if name in getattr(config, "data", ()) and tuple(shape) == (channels, height, width):
            return owned.part.name
    return "random"


def features_of(
    images: Iterable[Tensor], extractor: OpenExtractor, *, crop: Crop = None
) -> Iterator[Outputs]:
    """Features of images, batch after batch; those of one batch are computed together."""
    for batch in images:
        yield extractor(cropped(batch, crop))


def cropped(images: Tensor, crop: Crop) -> Tensor:
    """The content of padded images (N, C, H, W)."""
    if crop is None:
        return images
    top, left, height, width = crop
    return images[:, :, top : top + height, left : left + width]


def real_images(data: ImageData, indices: np.ndarray, *, progress: str = "") -> Iterator[Tensor]:
    """The images of a data set at these indices, uint8, in batches."""
    starts = _tracked(range(0, len(indices), BATCH), progress)
    for start in starts:
        yield data.batch(indices[start : start + BATCH])[0]


def generated_images(
    generator: Generator,
    seeds: Sequence[int],
    *,
    labels: Sequence[int] | None = None,
    progress: str = "",
    **options: Any,
) -> Iterator[Tensor]:
    """The images of these seeds, uint8 (n, C, H, W), as a picture of them has them."""
    batches = generator.sample_batches(seeds, labels=labels, **options)
    for start in _tracked(range(0, len(seeds), BATCH), progress):
        found, missing = [], min(BATCH, len(seeds) - start)
        while missing:
            images = next(batches)
            found.append(torch.from_numpy(images.to_uint8()).permute(0, 3, 1, 2))
            missing -= len(images)
        yield torch.cat(found)


def _tracked(starts: Sequence[int], description: str) -> Iterable[int]:
    if not description:
        return starts
    from rich.progress import track

    from ganzoo.console import stderr

    return track(starts, description=description, console=stderr(), transient=True)
