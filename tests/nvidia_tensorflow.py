"""What NVIDIA's TensorFlow programs have in common: their pickles, and operations, restated.

They run on the variables that are pickled, by their names and in their layouts: weights are
(height, width, in, out), a fused resampling is a convolution with the sum of four shifted kernels.
"""

from __future__ import annotations

import math
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from ganzoo import plugins
from ganzoo.importing.importer import Converted
from ganzoo.importing.reading import read


class TFNetwork:
    """Pickled as `dnnlib.tflib.network.Network`."""

    def __init__(self, function: str, variables: dict[str, Any], **settings: Any) -> None:
        self.function, self.settings = function, settings
        self.variables, self.components = variables, {}

    def __getstate__(self) -> dict[str, Any]:
        return {
            "version": 4, "name": "net", "static_kwargs": self.settings,
            "build_module_src": "raise SystemExit", "build_func_name": self.function,
            "variables": list(self.variables.items()),
            **({"components": self.components} if self.components else {}),
        }  # fmt: skip

    def all(self) -> dict[str, np.ndarray]:
        below = {f"{k}/{n}": v for k, c in self.components.items() for n, v in c.all().items()}
        return {**self.variables, **below}


TFNetwork.__qualname__ = "Network"


def name_modules(monkeypatch: pytest.MonkeyPatch, name: str = "dnnlib.tflib.network") -> None:
    """Give the module that files name, for as long as a test writes some."""
    parts = name.split(".")
    for k in range(len(parts)):
        whole = ".".join(parts[: k + 1])
        monkeypatch.setitem(sys.modules, whole, ModuleType(whole))
    sys.modules[name].Network = TFNetwork
    monkeypatch.setattr(TFNetwork, "__module__", name)


def imported(folder: Path, family: str, content: Any, **settings: Any) -> Converted:
    """What the importer `family` makes of `content`, pickled as the programs do."""
    path = folder / "karras.pkl"
    path.write_bytes(pickle.dumps(content, protocol=3))
    part = plugins.load().parts.get("importer", family)
    importer = part.build(part.make_config(settings))
    found = read(path)
    assert importer.recognises(found)
    return importer.convert(found)


def normal(*shape: int, scale: float = 1.0, mean: float = 0.0) -> np.ndarray:
    return (mean + scale * torch.randn(shape)).numpy()


class Run:
    """A network's variables as tensors of double precision, and its operations."""

    def __init__(self, network: TFNetwork) -> None:
        self.v = {name: torch.as_tensor(v).double() for name, v in network.all().items()}

    def __getitem__(self, name: str) -> Tensor:
        return self.v[name]

    def dense(self, x: Tensor, name: str, gain: float = 1.0, lr: float = 1.0) -> Tensor:
        weight = self[f"{name}/weight"]
        x = x @ (weight * gain * lr / math.sqrt(len(weight)))
        return x + self[f"{name}/bias"] * lr if f"{name}/bias" in self.v else x

    def kernel(self, name: str, gain: float) -> Tensor:
        """(kh, kw, in, out)."""
        weight = self[f"{name}/weight"]
        return weight * gain / math.sqrt(weight[..., 0].numel())

    def bias(self, x: Tensor, name: str) -> Tensor:
        return x + self[f"{name}/bias"][:, None, None]


def correlate(x: Tensor, kernel: Tensor, **how: Any) -> Tensor:
    return conv2d(x, kernel.permute(3, 2, 0, 1), padding=kernel.shape[0] // 2, **how)


def four_shifts(kernel: Tensor) -> Tensor:
    """(3, 3, …) to (4, 4, …): the sum of the kernel at four places."""
    wide = pad(kernel, (0, 0, 0, 0, 1, 1, 1, 1))
    return wide[1:, 1:] + wide[:-1, 1:] + wide[1:, :-1] + wide[:-1, :-1]


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def filtered(x: Tensor, taps: list[float], *, up: int = 1, down: int = 1, pads: tuple[int, int],
             gain: float = 1.0) -> Tensor:  # fmt: skip
    """Zeros between the pixels and around, the filter, every down-th pixel."""
    n, c, h, w = x.shape
    spread = torch.zeros(n, c, h * up, w * up, dtype=x.dtype)
    spread[:, :, ::up, ::up] = x
    row = torch.tensor(taps, dtype=x.dtype) / sum(taps)
    kernel = (torch.outer(row, row) * gain)[None, None]
    rows = pad(spread, (*pads, *pads)).flatten(0, 1)[:, None]
    return conv2d(rows, kernel).unflatten(0, (n, c))[:, :, 0, ::down, ::down]


def with_deviation(x: Tensor, group: int, parts: int = 1) -> Tensor:
    y = x.reshape(group, -1, parts, x.shape[1] // parts, *x.shape[2:])
    y = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((2, 3, 4))
    return torch.cat([x, y.repeat(group, 1)[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)
