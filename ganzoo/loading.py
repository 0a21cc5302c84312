"""`ganzoo.load`: a name, a folder or an hf:// address to a generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo import checkpoint, hub, registry
from ganzoo.errors import NotFoundError

if TYPE_CHECKING:
    import torch

    from ganzoo.models import Discriminator, Generator


def load(source: str | Path, *, device: str | torch.device | None = None) -> Generator:
    """Load a pretrained generator, in eval mode, with the averaged weights of its training.

    Args:
        source: a name of the registry ("dcgan.mnist"); an address on the Hub
            ("hf://owner/name@revision"); a `Path`, or a string with "/" or a leading ".", for a
            model or run folder.
        device: where to put it; the CPU by default.

    Returns:
        A `Generator`; `G.sample(16, seed=0)` gives images (16, C, H, W) in [-1, 1].

    Raises:
        GanzooError: one line that says what is wrong and what to do instead.
    """
    generator = checkpoint.load_generator(resolve_folder(source))
    return generator if device is None else generator.to(device)


def load_discriminator(
    source: str | Path, *, device: str | torch.device | None = None
) -> Discriminator:
    """Load the discriminator of a model that has one (run folders do); see `load`."""
    discriminator = checkpoint.load_discriminator(resolve_folder(source))
    return discriminator if device is None else discriminator.to(device)


def resolve_folder(source: str | Path) -> Path:
    """The model folder that a source stands for. A name goes to the network only if it has to:
    first come models bundled with an installed plugin, then the cache, then the Hub."""
    if isinstance(source, str) and source.startswith("hf://"):
        return hub.fetch(hub.parse_uri(source))
    if isinstance(source, Path) or is_path(source):
        return _model_of_run(Path(source))
    entry = registry.find(source)
    if entry.path is not None:
        return entry.path
    if entry.repo and entry.revision:
        hashes = {name: file["sha256"] for name, file in entry.files.items()}
        return hub.fetch(hub.parse_uri(f"hf://{entry.repo}@{entry.revision}"), files_sha256=hashes)
    raise NotFoundError(
        f"model {source!r} comes with the plugin {entry.plugin}, which is not installed",
        f"pip install {entry.plugin}",
    )


def is_path(source: str) -> bool:
    """Whether a string means a path and not a name: it has "/", a leading "." or a file's suffix
    that no model name has."""
    return "/" in source or source.startswith(".") or Path(source).suffix in checkpoint.PICKLES


def _model_of_run(path: Path) -> Path:
    """A run folder stands for its `model/`."""
    if not (path / checkpoint.CONFIG).exists() and (path / "model" / checkpoint.CONFIG).exists():
        return path / "model"
    return path
