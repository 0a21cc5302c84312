"""ganzoo: the model zoo for GANs.

>>> import ganzoo
>>> G = ganzoo.load("dcgan.mnist")
>>> images = G.sample(16, seed=0)  # (16, 1, 28, 28) in [-1, 1]

Everything public is named here and imported on first use, so that `import ganzoo` never imports
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ganzoo.configs import DiscriminatorConfig, GeneratorConfig
from ganzoo.errors import GanzooError
from ganzoo.hookspecs import hookimpl
from ganzoo.parts import Part

if TYPE_CHECKING:
    from ganzoo.checkpoint import save
    from ganzoo.evaluation.auditing import audit
    from ganzoo.evaluation.evaluating import evaluate
    from ganzoo.evaluation.results import compare
    from ganzoo.exporting import export
    from ganzoo.gates import lint
    from ganzoo.images import Images
    from ganzoo.importing.converting import import_checkpoint
    from ganzoo.inspection import inspect
    from ganzoo.loading import load, load_discriminator
    from ganzoo.models import Discriminator, Generator
    from ganzoo.projection import project
    from ganzoo.publishing import publish
    from ganzoo.registry import list_models
    from ganzoo.reproduction import reproduce
    from ganzoo.signing import sign, verify
    from ganzoo.training import train
    from ganzoo.walks import walk

__version__ = "0.1.0"

_LAZY = {
    "Discriminator": "ganzoo.models",
    "Generator": "ganzoo.models",
    "Images": "ganzoo.images",
    "audit": "ganzoo.evaluation.auditing",
    "compare": "ganzoo.evaluation.results",
    "evaluate": "ganzoo.evaluation.evaluating",
    "export": "ganzoo.exporting",
    "import_checkpoint": "ganzoo.importing.converting",
    "inspect": "ganzoo.inspection",
    "lint": "ganzoo.gates",
    "list_models": "ganzoo.registry",
    "load": "ganzoo.loading",
    "load_discriminator": "ganzoo.loading",
    "project": "ganzoo.projection",
    "publish": "ganzoo.publishing",
    "reproduce": "ganzoo.reproduction",
    "save": "ganzoo.checkpoint",
    "sign": "ganzoo.signing",
    "train": "ganzoo.training",
    "verify": "ganzoo.signing",
    "walk": "ganzoo.walks",
}

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "GanzooError",
    "Generator",
    "GeneratorConfig",
    "Images",
    "Part",
    "audit",
    "compare",
    "evaluate",
    "export",
    "hookimpl",
    "import_checkpoint",
    "inspect",
    "lint",
    "list_models",
    "load",
    "load_discriminator",
    "project",
    "publish",
    "reproduce",
    "save",
    "sign",
    "train",
    "verify",
    "walk",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'ganzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
