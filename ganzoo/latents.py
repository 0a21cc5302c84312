"""Latents in a file: what `ganzoo project` finds, and `ganzoo generate --latent` makes images of.

A safetensors file with `w` float32 (N, num_ws, w_dim), or with `z` float32 (N, z_dim) and, for a
conditional generator, `labels` int64 (N,). Where the noise of the layers was found too, `noise.0`,
`noise.1`, … float32 (1, 1, H, W) are its maps, for all N.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ganzoo import files, weights
from ganzoo.classes import Labels
from ganzoo.errors import CheckpointError, InputError
from ganzoo.images import Images
from ganzoo.nn import without_autocast
from ganzoo.numbers import check_batch_size
from ganzoo.options import mix_each
from ganzoo.precision import true_float32
from ganzoo.torch_defaults import usual_defaults

if TYPE_CHECKING:
    from ganzoo.models import Generator

OF_W = ("truncation", "truncation_cutoff", "mix")
"""Options of `sample` that say where in w an image is; the others say how it is made of w."""
LARGEST = 1 << 30
"""Bytes of a file: a hundred thousand w of a large model."""


@dataclass(frozen=True)
class NoiseMaps:
    """`rng` of a generator with "layer-noise": its maps (1 or N, 1, H, W) for every image."""

    maps: Mapping[int, Tensor]

    def normal(self, layer: int, *shape: int) -> Tensor:
        """The maps of a noise layer, (1 or N, *shape)."""
        return self.maps[layer]


@dataclass(frozen=True)
class Latents:
    """Points in the latent spaces of a generator.

    Attributes:
        kind: "w" or "z".
        values: w (N, num_ws, w_dim) or z (N, z_dim).
        labels: int64 (N,), of z in a conditional generator.
        noise: the maps (1 or N, 1, H, W) of the layers; None for the generator's own.
    """

    kind: str
    values: Tensor
    labels: Tensor | None = None
    noise: Mapping[int, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def render(self, generator: Generator, **options: Any) -> Tensor:
        """Raw images (N, C, H, W), differentiable. `options` are those of `synthesis` for w, of
        `forward` for z."""
        network: Any = generator
        how = dict(options)
        if self.noise:
            how |= {"noise": "random", "rng": NoiseMaps(self.noise)}
        if self.kind == "w":
            return network.synthesis(self.values, **how)  # type: ignore[no-any-return]
        return network(self.values, self.labels, **how)  # type: ignore[no-any-return]

    def tensors(self) -> dict[str, Tensor]:
        """By their names in a file."""
        found = {self.kind: self.values}
        if self.labels is not None:
            found["labels"] = self.labels
        for layer, noise in (self.noise or {}).items():
            found[f"noise.{layer}"] = noise
        return {name: x.detach().cpu().contiguous() for name, x in found.items()}

    @property
    def sha256(self) -> str:
        """Of the values of all tensors, in the order of their names."""
        digest = hashlib.sha256()
        for _, tensor in sorted(self.tensors().items()):
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        with files.replacing(path) as temporary:
            weights.write_tensors(temporary, self.tensors())

    def record(self, generator: Generator) -> dict[str, Any]:
        """What pictures of them say: there is no seed, but the hash of what takes its place."""
        label = {} if self.labels is None or len(self) != 1 else {"label": int(self.labels[0])}
        plain = {k: v for k, v in generator.record.items() if k != "config"}
        return {**plain, **label, "latent": self.kind, "latent_sha256": self.sha256}


@torch.no_grad()
@usual_defaults()
def of_seeds(
    generator: Generator,
    seeds: Sequence[int],
    *,
    labels: Labels | None = None,
    truncation: float | None = None,
    truncation_cutoff: int | None = None,
    mix: Any = None,
) -> Latents:
    """The points of seeds: w of a generator that has it, else z. The arguments, and what they
    raise, are those of `Generator.sample`: `sample` makes images of these points."""
    how = {"truncation": truncation, "truncation_cutoff": truncation_cutoff, "mix": mix}
    checked = generator.check_options(how)
    seeds = generator.choose_seeds(seeds=seeds)
    classes = generator.choose_labels(labels, seeds)
    chosen = None if classes is None else torch.tensor(classes, device=generator.device)
    if "w-space" not in generator.provides:
        return Latents("z", generator.latents(seeds), chosen)
    mixed = mix_each(checked.pop("mix", None), len(seeds))
    network: Any = generator
    ws = network.mapping(generator.latents(seeds), chosen, **checked)  # (N, num_ws, w_dim)
    if mixed is not None:
        others, layer = mixed
        ws[:, layer:] = network.mapping(generator.latents(others), chosen, **checked)[:, layer:]
    return Latents("w", ws)


@torch.inference_mode()
@usual_defaults()
def images(latents: Latents, generator: Generator, *, batch_size: int = 64) -> Images:
    """Images float32 (N, C, H, W), clamped to [-1, 1], on the CPU.

    Raises:
        InputError: they are no latents, or those of another kind of generator.
    """
    batch_size = check_batch_size(batch_size)
    if not isinstance(latents, Latents):
        raise InputError(f"a {type(latents).__name__} is no Latents", 'write Latents("z", z)')
    if latents.kind == "w" and "w-space" not in generator.provides:
        raise InputError(f"{generator.title} has no w", "give latents of its own")
    made = torch.empty(len(latents), *generator.image_shape)
    for start in range(0, len(latents), batch_size):
        part = slice(start, start + batch_size)
        labels = None if latents.labels is None else latents.labels[part]
        some = Latents(latents.kind, latents.values[part], labels, latents.noise)
        with true_float32(generator.device), without_autocast(latents.values):
            made[part] = some.render(generator).float().clamp(-1, 1)
    return Images.of(made, seeds=[], labels=None, record=latents.record(generator))


def read(path: str | Path, generator: Generator) -> Latents:
    """The latents in a file, which must fit the generator, on its device.

    Raises:
        InputError: no such file, no file of latents, or those of another model.
    """
    path = Path(path)
    if not path.is_file():
        what = f"{path} is a folder" if path.is_dir() else f"there is no file {path}"
        raise InputError(what, "name a w.safetensors or z.safetensors of `ganzoo project`")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path} is too large for a file of latents", "name another")
    try:
        header = weights.read_header(path)
        _check(header, generator, path)
        tensors = load_file(path)
    except CheckpointError as error:
        raise InputError(error.problem, "name a file of `ganzoo project`") from error
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise InputError(f"{path}: {name} is not finite", "project the picture again")
    tensors = {name: tensor.to(generator.device) for name, tensor in tensors.items()}
    labels = tensors.get("labels")
    if labels is not None:
        generator.choose_labels(labels, range(len(labels)))  # checks them
    kind = "w" if "w" in tensors else "z"
    noise = {
        int(name.partition(".")[2]): tensor
        for name, tensor in tensors.items()
        if name.startswith("noise.")
    }
    return Latents(kind, tensors[kind], labels, noise or None)


def _check(header: weights.Header, generator: Generator, path: Path) -> None:
    """Refuse what is not made of latents of this generator, before values are read."""
    kinds = [kind for kind in ("w", "z") if kind in header]
    if len(kinds) != 1:
        raise InputError(f"{path} has neither w nor z", "name a file of `ganzoo project`")
    (kind,) = kinds
    another = f"{path} does not fit {generator.name}"
    remedy = "give the model that it was made with"
    n = header[kind].shape[0] if header[kind].shape else 0
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    if kind == "w":
        if "w-space" not in generator.provides:
            raise InputError(f"{another}: it has w, the model has none", remedy)
        w_dim = _mapped(generator).shape[2]
        expected["w"] = ("float32", (n, generator.num_ws, w_dim))
    else:
        expected["z"] = ("float32", (n, generator.z_dim))
        if generator.num_classes:
            expected["labels"] = ("int64", (n,))
    if any(name.startswith("noise.") for name in header):
        if "layer-noise" not in generator.provides:
            raise InputError(f"{another}: it has noise of layers, the model has none", remedy)
        for layer, shape in noise_shapes(generator).items():
            expected[f"noise.{layer}"] = ("float32", (1, *shape))
    if n == 0 or set(header) != set(expected):
        raise InputError(f"{another}: it has {', '.join(sorted(header)) or 'nothing'}", remedy)
    for name, (dtype, shape) in expected.items():
        entry = header[name]
        if (entry.dtype, entry.shape) != (dtype, shape):
            raise InputError(
                f"{another}: {name} is {entry.dtype} {list(entry.shape)},"
                f" the model has {dtype} {list(shape)}",
                remedy,
            )


@torch.no_grad()
def _mapped(generator: Any) -> Tensor:
    """Some w (1, num_ws, w_dim)."""
    labels = torch.zeros(1, dtype=torch.int64, device=generator.device)
    w: Tensor = generator.mapping(generator.latents([0]), labels if generator.num_classes else None)
    return w


class _Shapes:
    """`rng` of a generator with "layer-noise" that notes which maps it is asked for."""

    def __init__(self, device: torch.device) -> None:
        self.shapes: dict[int, tuple[int, ...]] = {}
        self._device = device

    def normal(self, layer: int, *shape: int) -> Tensor:
        self.shapes[layer] = shape
        return torch.zeros(1, *shape, device=self._device)


@torch.no_grad()
def noise_shapes(generator: Any) -> dict[int, tuple[int, ...]]:
    """The shape (1, H, W) of each noise layer's map."""
    asked = _Shapes(generator.device)
    labels = torch.zeros(1, dtype=torch.int64, device=generator.device)
    z = generator.latents([0])
    generator(z, labels if generator.num_classes else None, noise="random", rng=asked)
    return asked.shapes
