"""What tests of importers share: another program's networks, restated as plain modules, are saved
as that program saves them, imported, and run beside ours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganzoo import models, plugins
from ganzoo.importing.converting import Conversion, convert
from ganzoo.importing.importer import Network
from ganzoo.importing.tree import Checkpoint


def randomised(module: nn.Module, seed: int = 0, deviation: float = 1.0) -> Any:
    """With weights that matter and statistics that a trained network could have."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.normal_(0, deviation)
    for layer in module.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.weight.data.uniform_(0.5, 1.5)
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.3, 3)
    return module.eval().requires_grad_(False)


def imported(folder: Path, root: Any, *settings: str, legacy: bool = False) -> Conversion:
    """`root`, saved and converted with `settings`, "name=value"."""
    torch.save(root, folder / "file.pt", _use_new_zipfile_serialization=not legacy)
    return convert(folder / "file.pt", settings=settings)


def in_a_program(monkeypatch: pytest.MonkeyPatch, *classes: type) -> None:
    """Let classes be of a module with a plain name, as those that people pickle."""
    program = ModuleType("program")
    for cls in classes:
        monkeypatch.setattr(cls, "__module__", "program")
        setattr(program, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, "program", program)


def checkpoint(root: Any) -> Checkpoint:
    """What the reader makes of a file that holds `root`."""
    return Checkpoint("file.pt", 0, "", "torch-zip", root)


def built(kind: str, network: Network | None) -> Any:
    """A converted network, with its weights."""
    assert network is not None
    part = plugins.load().parts.get(kind, network.part)
    module = models.build(part, part.make_config(network.config))
    module.load_state_dict(dict(network.state))
    return module.eval().requires_grad_(False)


def normed(x: Tensor) -> Tensor:
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def same(found: Tensor, expected: Tensor, atol: float = 1e-4) -> None:
    """Images, or with `atol` 1e-5 w."""
    torch.testing.assert_close(found.to(expected.dtype), expected, rtol=1e-4, atol=atol)


def same_scores(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.to(expected.dtype), expected, rtol=1e-3, atol=1e-5)


def same_styles(
    G: Any,
    z: Tensor,
    labels: Tensor | None,
    w: Tensor,
    average: Tensor,
    run: Callable[[Tensor, str], Tensor],
    cases: Iterable[tuple[float, int | None, str]],
) -> None:
    """A style generator's w, and its images, each of a truncation, its cutoff, and the noise.

    Args:
        w, average: theirs, of z and labels, and of many z.
        run: their synthesis: ws (N, num_ws, w_dim) and the kind of noise -> images.
    """
    same(G.mapping(z, labels)[:, 0], w, 1e-5)
    for psi, cutoff, noise in cases:
        ws = w[:, None].repeat(1, G.num_ws, 1)
        ws[:, :cutoff] = average + psi * (ws[:, :cutoff] - average)
        images = G(z, labels, truncation=psi, truncation_cutoff=cutoff, noise=noise)
        same(images, run(ws, noise))
