"""Inception-v3 as published scores use it: TensorFlow's network of 2015, ported by torch-fidelity.

The library gives the network, resize included; the weights are a file of PyTorch's old format. Its
bytes are hashed first, and nothing but the one file that the whole field uses is ever opened.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganzoo.errors import InputError, IntegrityError, MissingDataError
from ganzoo.evaluation.config import InceptionConfig
from ganzoo.evaluation.extractors import Extractor, Outputs, opaque

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
CLASSES = 1008
"""Of the logits: ImageNet's 1,000 and eight that are unused."""


class Inception(Extractor):
    """The 2,048 pooled features and the unbiased logits of color images of any size.

    Images become 299x299 by TensorFlow 1's bilinear interpolation, without anti-aliasing: that is
    how the published numbers were made.
    """

    resize = "tf1-bilinear-299"
    classes = tuple(map(str, range(CLASSES)))

    def __init__(self, config: InceptionConfig) -> None:
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise InputError(
                "Inception features need torch-fidelity", "pip install 'ganzoo[inception]'"
            ) from error

        class Network(FeatureExtractorInceptionV3):  # type: ignore[misc]
            def load_state_dict(self, state_dict: Any, **options: Any) -> Any:
                return super().load_state_dict(state_dict, **options) if state_dict else None

        self.network = Network(
            "inception-v3-compat",
            ["2048", "logits_unbiased"],
            feature_extractor_weights_path=io.BytesIO(_weights(config.sha256)),
        )

    def outputs(self, images: Tensor) -> Outputs:
        colors = opaque(images).to(torch.uint8).expand(-1, 3, -1, -1)
        features, logits = self.network(colors)
        return Outputs(features, logits)


def _weights(sha256: str) -> bytes:
    """The bytes of the weights file, which are those that are expected, and hold tensors only."""
    if not sha256:
        torch.save({}, empty := io.BytesIO())
        return empty.getvalue()
    path = weights_path()
    if not path.is_file():
        raise MissingDataError(
            f"the Inception weights are not at {path}",
            f"fetch {URL} to there, or set GANZOO_INCEPTION to where they are",
        )
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise IntegrityError(
            f"{path} is not the Inception of published scores: its SHA-256 differs",
            f"fetch {URL} again",
        )
    torch.load(io.BytesIO(data), weights_only=True)  # refuses anything but tensors
    return data


def weights_path() -> Path:
    """`GANZOO_INCEPTION`, else where torch-fidelity itself keeps the file."""
    said = os.environ.get("GANZOO_INCEPTION")
    return Path(said) if said else Path(torch.hub.get_dir()) / "checkpoints" / FILE
