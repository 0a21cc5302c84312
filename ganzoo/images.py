"""Generated images: a tensor that knows its seeds and classes, and shows itself."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganzoo.errors import InputError


class Images(Tensor):
    """What `sample` returns: float (N, C, H, W) in [-1, 1]; Jupyter shows it as a picture.

    Attributes:
        seeds: the seed of each image; empty where they are of latents (`ganzoo.latents.images`).
        labels: the label of each image, or None for an unconditional generator.
        record: what made them (model, weights hash, …), written into every picture of them.
    """

    seeds: list[int]
    labels: list[int] | None
    record: dict[str, Any]

    # Results of operations on images (a mean, a crop) are plain tensors.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def of(
        cls, tensor: Tensor, *, seeds: list[int], labels: list[int] | None, record: dict[str, Any]
    ) -> Images:
        images = tensor.as_subclass(cls)
        images.seeds, images.labels, images.record = seeds, labels, record
        return images

    def to_uint8(self) -> np.ndarray:
        """As uint8 (N, H, W, C): round((x + 1) * 127.5), clipped."""
        return to_uint8(self)

    def save(self, path: str | Path, *, columns: int | None = None) -> None:
        """Write them as one picture, marked as generated: a grid of them, or the only one.

        Args:
            path: a .png, .webp, .jpg or .gif; whole or absent. `ganzoo reproduce` makes it again
                from its seeds.
            columns: of the grid; by default about as many as rows.
        """
        from ganzoo import provenance

        if not len(self):
            raise InputError("there are no images to save", "sample 1 or more")
        record = {k: v for k, v in self.record.items() if k != "config"}
        if self.labels is not None:
            same = len(set(self.labels)) == 1
            record |= {"label": self.labels[0]} if same else {"labels": self.labels}
        pixels = self.to_uint8()
        if len(pixels) == 1:
            record |= {"seed": self.seeds[0]} if self.seeds else {}
            provenance.save_image(pixels[0], path, record=record)
        else:
            record |= {"seeds": self.seeds} if self.seeds else {}
            provenance.save_grid(pixels, path, record=record, columns=columns)

    def __deepcopy__(self, memo: dict[int, Any]) -> Images:
        values = self.as_subclass(Tensor).clone()
        said = copy.deepcopy((self.seeds, self.labels, self.record), memo)
        return Images.of(values, seeds=said[0], labels=said[1], record=said[2])

    def _repr_png_(self) -> bytes:
        from ganzoo import provenance

        record = {**self.record, "seeds": self.seeds[:64]} if self.seeds else {**self.record}
        if self.labels is not None:
            record["labels"] = self.labels[:64]
        return provenance.encode_grid(self.to_uint8()[:64], record=record)


def to_uint8(images: Tensor) -> np.ndarray:
    """Images in [-1, 1], (N, C, H, W) float, as uint8 (N, H, W, C)."""
    scaled = images.detach().float().add(1).mul(127.5).round_().clamp_(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
