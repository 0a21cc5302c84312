"""`ganzoo.load`: a name, a folder or an hf:// address to a generator."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ganzoo import checkpoint, files, hub, layout, registry, revocation
from ganzoo.errors import InputError, IntegrityError, NotFoundError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ganzoo.models import Discriminator, Generator

N = TypeVar("N", bound="nn.Module")
_REPOSITORY = re.compile(r"(?:https://huggingface\.co/|hf:)?([\w-][\w.-]*/[\w-][\w.-]*)/?")
"""As other libraries and browsers write a repository of the Hub."""


@dataclass(frozen=True)
class Located:
    """A model folder on this machine.

    Attributes:
        folder: where it is.
        address: `hf://owner/name@commit` for one of the Hub, else "".
        hashes: of files that were found right just now, and need not be hashed again.
    """

    folder: Path
    address: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)


def load(
    source: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    compile: bool = False,
    local_files_only: bool = False,
) -> Generator:
    """Load a pretrained generator, in eval mode, with the averaged weights of its training.

    Args:
        source: a name of the registry ("dcgan.mnist"); an address on the Hub
            ("hf://owner/name@revision"); a `Path`, or a string with "/" or a leading ".", for a
            model or run folder.
        device: where to put it; the CPU by default.
        dtype: torch.bfloat16 for `sample` to compute in it: up to twice as fast where the CPU
            has it (AMX or AVX512_BF16; GPUs from Ampere on), with pixels that differ from those
            of float32 by 0.01 on average in [-1, 1]. The weights stay in float32.
        compile: `sample` compiles the network for each batch size, once: seconds to minutes, of
            which torch keeps a part on disk. It needs a C++ compiler. On a GPU it replays CUDA
            graphs, for which a batch of 1 need not wait for Python. A last batch of more than half
            the others' size is computed as one of them, and all truncations are as good as one.
        local_files_only: make no request: use what is bundled or cached, as `HF_HUB_OFFLINE=1`
            does.

    Returns:
        A `Generator`; `G.sample(16, seed=0)` gives images (16, C, H, W) in [-1, 1]. Its weights do
        not ask for gradients: `G.train().requires_grad_(True)` to go on training it yourself. The
        `G.record` of one from the Hub names the commit, under "source".

    Raises:
        GanzooError: one line that says what is wrong and what to do instead.
    """
    from ganzoo.inference import How

    how = How(dtype=dtype, compile=compile)  # is refused before anything is read
    located = locate(source, local_files_only=local_files_only)
    generator = checkpoint.load_generator(located.folder, hashes=located.hashes)
    if located.address:
        generator.record["source"] = located.address
    generator.how = how
    return _placed(generator, device)


def load_discriminator(
    source: str | Path, *, device: str | torch.device | None = None
) -> Discriminator:
    """Load the discriminator of a model that has one (run folders do); see `load`."""
    located = locate(source, discriminator=True)
    return _placed(checkpoint.load_discriminator(located.folder, hashes=located.hashes), device)


def find_device(asked: str | torch.device | None = None) -> torch.device:
    """The device that is asked for; by default a GPU where there is one.

    Raises:
        InputError: torch knows no such device.
    """
    import torch

    if asked is None:
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(asked)
    except (RuntimeError, TypeError) as error:
        raise _unusable(asked, error) from error


def _placed(network: N, device: str | torch.device | None) -> N:
    """The network on a device, which may be one that this machine does not have."""
    if device is None:
        return network
    try:
        if find_device(device).type == "meta":
            raise RuntimeError("it holds no values")
        return network.to(find_device(device))
    except (RuntimeError, AssertionError, ImportError) as error:  # torch raises any
        if "memory" in str(error):
            raise
        raise _unusable(device, error) from error


def _unusable(device: object, error: Exception) -> InputError:
    return InputError(
        f"the device {str(device)!r} cannot be used ({str(error).partition('.')[0][:200]})",
        "use cpu, or leave it out",
    )


def locate(
    source: str | Path,
    *,
    discriminator: bool = False,
    signature: bool = False,
    local_files_only: bool = False,
) -> Located:
    """The model folder that a source stands for, from the Hub with its discriminator and its
    signature if these are asked for. A name goes to the network only if it has to:
    first come models bundled with an installed plugin, then folder registries, then the cache,
    then the Hub. What is downloaded anew is compared with a fresh list of revoked weights."""
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"{source!r} is no model", "give a name, a Path or an hf:// address")
    if not isinstance(source, str) or (is_path(source) and not source.startswith("hf://")):
        if not Path(source).exists() and (repo := _REPOSITORY.fullmatch(str(source))):
            raise NotFoundError(
                f"there is no model folder {source}",
                f"check the path, or write hf://{repo[1]} for one of the Hub",
            )
        return Located(_model_of_run(Path(source)))
    hashes: dict[str, str] = {}
    if source.startswith("hf://"):
        ref = hub.parse_uri(source)
    else:
        entry = registry.find(source)
        hashes = {name: str(file["sha256"]) for name, file in entry.files.items()}
        if entry.path is not None:
            return Located(entry.path, hashes=_as_pinned(entry.path, hashes, entry.registry))
        if not (entry.repo and entry.revision):
            raise registry.lacking(entry.plugin, f"model {source!r}")
        ref = hub.HubRef(entry.repo, entry.revision, entry.subfolder)
    fetched = hub.fetch(
        ref,
        files_sha256=hashes,
        discriminator=discriminator,
        signature=signature,
        local_files_only=local_files_only,
        before_download=revocation.before_download,
    )
    for name in layout.WEIGHTS.values():
        if name in fetched.hashes:  # also what was cached, and is loaded by another program
            revocation.refuse_revoked(fetched.hashes[name], f"{fetched.ref} ({name})")
    return Located(fetched.folder, str(fetched.ref), fetched.hashes)


def _as_pinned(folder: Path, pinned: Mapping[str, str], by: str) -> dict[str, str]:
    """The hashes of a folder's files, which are to be those that a folder registry pins."""
    hashes = {}
    for name in (layout.CONFIG, layout.WEIGHTS["generator"]) if by else ():
        if name in pinned and (folder / name).is_file():
            hashes[name] = files.sha256(folder / name)
            if hashes[name] != pinned[name]:
                raise IntegrityError(
                    f"{folder / name} does not have the SHA-256 that {by} pins",
                    "mirror the model afresh",
                )
    return hashes


def resolve_folder(
    source: str | Path, *, discriminator: bool = False, signature: bool = False
) -> Path:
    """The folder alone of `locate`."""
    return locate(source, discriminator=discriminator, signature=signature).folder


def as_argument(folder: str | Path) -> str:
    """A folder as a shell and commands take it: a bare word would be the name of a model."""
    text = str(folder)
    return shlex.quote(text if is_path(text) else f"./{text}")


def is_path(source: str) -> bool:
    """Whether a string means a path and not a name: it has "/", a leading "." or a file's suffix
    that no model name has."""
    suffix = Path(source).suffix.lower()
    return "/" in source or source.startswith(".") or suffix in {*layout.PICKLES, ".safetensors"}


def _model_of_run(path: Path) -> Path:
    """A run folder stands for its `model/`."""
    if not (path / layout.CONFIG).exists() and (path / "model" / layout.CONFIG).exists():
        return path / "model"
    return path
