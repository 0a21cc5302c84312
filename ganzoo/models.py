"""The contract of generators and discriminators, and sampling, the same for every family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganzoo import inference, rng
from ganzoo.classes import Labels, check_labels_given, label_each
from ganzoo.configs import DiscriminatorConfig, GeneratorConfig
from ganzoo.errors import InputError
from ganzoo.images import Images
from ganzoo.nn import without_autocast
from ganzoo.numbers import as_int, check_batch_size, check_count
from ganzoo.options import check_options, mix_each
from ganzoo.parts import Part
from ganzoo.precision import true_float32
from ganzoo.torch_defaults import usual_defaults


class _Network(nn.Module):
    """What generators and discriminators have in common: where they are from, and their images."""

    part: Part | None = None
    """The part that this was built from; set by `build`."""

    def __init__(self, config: GeneratorConfig | DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def num_classes(self) -> int:
        """0 for an unconditional network."""
        return self.config.num_classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.config.image_shape

    @property
    def provides(self) -> frozenset[str]:
        """Its capabilities, by their names in `ganzoo.parts.CAPABILITIES`."""
        return self.part.provided(self.config) if self.part else frozenset()

    @property
    def title(self) -> str:
        """What messages call it."""
        return type(self).__name__

    def check_labels(self, labels: Tensor | None) -> None:
        """Refuse labels for an unconditional network, and their absence for a conditional one."""
        check_labels_given(self.title, self.num_classes, labels)


class Generator(_Network):
    """Base of every generator: z (N, z_dim), and labels if conditional, to images (N, C, H, W).

    A subclass takes its config (a `GeneratorConfig`) as the one argument of `__init__`, hands it to
    `super().__init__`, and defines `forward`. z is from N(0, 1), in training and in `sample`.
    Outputs are nominally in [-1, 1], never clamped; `sample` clamps.
    """

    config: GeneratorConfig

    shared_buffers: ClassVar[tuple[str, ...]] = ()
    """Names of buffers that several processes average after each step of training (`w_avg`)."""

    latent_layers: ClassVar[tuple[str, ...]] = ()
    """Names of the linear layers that w enters, or z where there is no w; by default
    `ganzoo.directions` finds them."""

    tensor_options: ClassVar[frozenset[str]] = frozenset()
    """Options of `forward` that may be tensors () as well as numbers: a network is compiled for all
    their values at once."""

    samples_shown: int = 64
    """How many images samples.png shows at most: a slow generator says fewer."""

    num_ws: int = 0
    """How many w `synthesis` takes, one a layer; 0 for a generator without w."""

    name: str = ""
    """What to call it in messages and provenance: the registry name, folder or arch."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.record: dict[str, Any] = {}
        self.how = inference.How()  # `sample` computes; `ganzoo.load` sets it

    @property
    def z_dim(self) -> int:
        return self.config.z_dim

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.name or super().title

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raw images (N, C, H, W) of latents z (N, z_dim) and labels int64 (N,).

        A conditional generator without labels raises `InputError`. Families with more abilities
        take more keyword options, named in `ganzoo.options`, and `rng=` for random noise. Their
        `mix` is a second z and the layer from which on it is used.
        """
        raise NotImplementedError

    def train_forward(
        self, z: Tensor, labels: Tensor | None, rng: rng.Draws, **options: Any
    ) -> Tensor:
        """What training calls; families with training-only behaviour (style mixing) override it.

        `options` are those of `forward` that a trainer sets: `lod=` by one that lets networks grow,
        and only for a generator that provides "progressive".
        """
        images: Tensor = self(z, labels, **options)
        return images

    def train_mapping(
        self, z: Tensor, labels: Tensor | None, rng: rng.Draws, **options: Any
    ) -> Tensor:
        """The w of `train_forward`, for losses on them: those of `mapping`, unless the family mixes
        styles in training. Asked only of a generator that provides "w-space"."""
        ws: Tensor = self.mapping(z, labels)  # type: ignore[operator]
        return ws

    def check_layer(self, what: str, layer: int) -> int:
        """A number of w layers as int; one that is not in [0, num_ws] is refused."""
        number = as_int(layer)
        if number is None or not 0 <= number <= self.num_ws:
            raise InputError(
                f"{what} {layer!r} is out of range",
                f"use 0 to {self.num_ws}; {self.title} has {self.num_ws} layers of w",
            )
        return number

    # -- sampling --------------------------------------------------------------------------------

    @usual_defaults()
    def sample(
        self,
        n: int | None = None,
        *,
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        labels: Labels | None = None,
        batch_size: int = 64,
        progress: bool = False,
        **options: Any,
    ) -> Images:
        """Generate images: image k is that of seed + k, on every device and for every batch size.

        Args:
            n: how many (1 if neither `n` nor `seeds` is given).
            seed: the first image's seed; image k has seed + k, in [0, 2^63 - 1].
            seeds: the seeds themselves, instead of `n` and `seed`.
            labels: one class for all, or one per image, by number or by name; without it, image k
                of a conditional generator has class (its seed) mod num_classes.
            batch_size: how many images go through the network at once.
            progress: show a progress bar on stderr.
            **options: `truncation`, `truncation_cutoff`, `noise`, `mix`, `lod`, where the
                generator has that ability (`InputError` elsewhere). `mix=(seed, layer)` takes the
                styles from that layer on from the image of another seed, or of one an image.

        Returns:
            Images, float32 (N, C, H, W) on the CPU, clamped to [-1, 1].
        """
        seeds = self.choose_seeds(n, seed, seeds)
        classes = self.choose_labels(labels, seeds)
        out = torch.empty(len(seeds), *self.image_shape)
        done = 0
        for batch in self.sample_batches(
            seeds, labels=classes, batch_size=batch_size, progress=progress, **options
        ):
            out[done : done + len(batch)] = batch
            done += len(batch)
        return Images.of(
            out, seeds=seeds, labels=classes, record=self.recorded(self.check_options(options))
        )

    def sample_batches(
        self,
        seeds: Sequence[int],
        *,
        labels: Labels | None = None,
        batch_size: int = 64,
        progress: bool = False,
        **options: Any,
    ) -> Iterator[Images]:
        """`sample` in bounded memory: yields the images of `seeds`, batch after batch."""
        batch_size = check_batch_size(batch_size)
        seeds = self.choose_seeds(seeds=seeds)
        classes = self.choose_labels(labels, seeds)
        options = self.check_options(options)
        record = self.recorded(options)
        others = mix_each(options.pop("mix", None), len(seeds))
        self._check_values()
        with usual_defaults():
            form = None if self.training else inference.fast(self, self.how)
        starts: Any = range(0, len(seeds), batch_size)
        if progress:
            from rich.progress import track

            from ganzoo.console import stderr

            starts = track(starts, description="Generating", console=stderr())

        def images(part: slice, network: Callable[..., Tensor]) -> Tensor:
            mix = {} if others is None else {"mix": (others[0][part], others[1])}
            return self._generate(network, seeds[part], classes and classes[part], options | mix)

        for start in starts:
            stop, step = min(start + batch_size, len(seeds)), batch_size
            if form is not None and stop - start > 1 and self.device.type in ("cpu", "cuda"):
                step = form.at_once(lambda network: images(slice(0, 1), network))
            parts = [slice(k, min(k + step, stop)) for k in range(start, stop, step)]
            yield Images.of(
                torch.cat([images(part, form or self) for part in parts]),
                seeds=seeds[start:stop],
                labels=classes and classes[start:stop],
                record=record,
            )

    @torch.inference_mode()
    @usual_defaults()
    def _generate(
        self,
        network: Callable[..., Tensor],
        seeds: Sequence[int],
        classes: Sequence[int] | None,
        options: dict[str, Any],
    ) -> Tensor:
        device = self.device
        z = self.latents(seeds)
        labels = None if classes is None else torch.tensor(classes, device=device)
        if options.get("noise") == "random":
            options = {**options, "rng": rng.SeedNoise(seeds, device)}
        if "mix" in options:
            others, layer = options["mix"]
            options = {**options, "mix": (self.latents(others), layer)}
        with true_float32(device), without_autocast(z):  # of the network itself, too
            images = network(z, labels, **options)
        return images.float().clamp(-1, 1).contiguous().cpu()

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """z (N, z_dim) of seeds, on this generator's device."""
        return torch.from_numpy(rng.latents(seeds, self.z_dim)).to(self.device)

    def recorded(self, options: dict[str, Any]) -> dict[str, Any]:
        """What images say of themselves that were made with checked `options`."""
        record = {**self.record, **options}
        if self.how.dtype == torch.bfloat16:
            record["dtype"] = "bfloat16"
        if "mix" in options:
            seeds, layer = options["mix"]
            record["mix"] = f"{','.join(map(str, seeds))}:{layer}"
        return record

    def choose_seeds(
        self, n: int | None = None, seed: int = 0, seeds: Sequence[int] | None = None
    ) -> list[int]:
        """The seed of each image, checked: `seeds`, else the `n` from `seed` on."""
        if seeds is None:
            n = check_count(1 if n is None else n, f"n = {n!r} images")
            seed = rng.check_seed(seed)
            rng.check_seed(seed + n - 1)
            return list(range(seed, seed + n))
        one_by_one = isinstance(seeds, Iterable) and getattr(seeds, "ndim", 1) == 1
        if isinstance(seeds, (str, bytes)) or not one_by_one:
            raise InputError(f"seeds {seeds!r} are no list of integers", "write seeds=[3, 5]")
        chosen = [rng.check_seed(s) for s in seeds]
        if n is not None and n != len(chosen):
            raise InputError(f"n = {n}, but {len(chosen)} seeds are given", "give one of the two")
        return chosen

    def _check_values(self) -> None:
        """Refuse to sample where weights are not float32, or are none."""
        for weight in self.parameters():
            if weight.device.type == "meta":
                raise InputError(f"{self.title} is on the device 'meta', without values", "load it")
            if weight.is_floating_point() and weight.dtype != torch.float32:
                raise InputError(
                    f"weights of {self.title} are {weight.dtype}, and it samples from float32",
                    "call its .float(); for speed, ganzoo.load(…, dtype=torch.bfloat16)",
                )

    def choose_labels(self, labels: Labels | None, seeds: Sequence[int]) -> list[int] | None:
        """The label of each seed, checked; without any given, seed mod num_classes."""
        return label_each(self, labels, seeds)

    def class_rows(
        self, seeds: Sequence[int], labels: Sequence[int] | None = None
    ) -> tuple[list[int], list[int]]:
        """Seeds and labels, one an image, of a grid with a row for each class (or each of `labels`)
        and a column for each seed: `G.sample(seeds=seeds, labels=labels)` makes it."""
        if not self.num_classes:
            raise InputError(f"{self.title} has no classes", "leave the class grid out")
        rows = list(range(self.num_classes) if labels is None else labels)
        self.choose_labels(rows, rows)  # checks them
        return list(seeds) * len(rows), [label for label in rows for _ in seeds]

    def check_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options that matter, checked; those at their neutral value are dropped."""
        return check_options(self, options)


class Outputs(NamedTuple):
    """What `outputs` of a discriminator gives in one pass: the score (N,), and each of the others
    that it provides: logits of classes (N, num_classes), features, images (N, C, H, W).

    `seen` is left to the trainer: the images that were judged, augmented where the run augments,
    which a reconstruction is to be compared with."""

    score: Tensor
    classes: Any = None
    features: Any = None
    reconstruction: Any = None
    seen: Any = None


class Discriminator(_Network):
    """Base of every discriminator or critic: images (N, C, H, W) to raw scores (N,), no sigmoid.

    One that provides "classes", "features" or "reconstruction" overrides `outputs`, to return these
    too, in `Outputs` or a named tuple of its own. A loss gets them by `step.D_outputs`.
    """

    config: DiscriminatorConfig

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raw scores (N,); higher is more real."""
        raise NotImplementedError

    def outputs(self, x: Tensor, labels: Tensor | None = None, **options: Any) -> Outputs:
        """The score, and what else it provides, from one pass; `options` are those of `forward`."""
        return Outputs(self(x, labels, **options))


def build(part: Part, config: Any, *, seed: int | None = None) -> Any:
    """Make the module of a part, leaving the global random state as it was.

    Args:
        part: what to make.
        config: its config.
        seed: of the initial weights; None where they will be overwritten anyway.
    """
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            init = int(rng.philox(seed, f"init/{part.kind}").integers(0, 2**32, dtype=np.int64))
            torch.default_generator.manual_seed(init)  # the CPU's alone, which fork_rng restores
        module = part.build(config)
    module.part = part
    return module
