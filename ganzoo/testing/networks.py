"""Checks of built networks: what every generator, discriminator and feature extractor must do."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganzoo import checkpoint, layout, parts
from ganzoo.inference import folded
from ganzoo.testing import reference
from ganzoo.testing.declarations import BASES
from ganzoo.testing.reference import BATCH
from ganzoo.testing.results import CheckFailed
from ganzoo.testing.subject import BuiltTarget
from ganzoo.training.losses import NonSaturating

LARGEST = 20.0
"""Raw images are not clamped and may leave [-1, 1]; beyond this they are of another scale."""
SCORES_LOOKED_AT = 16
"""As many initialisations: an honest critic has all scores in [0, 1] once in 2^16."""

# -- trying things --------------------------------------------------------------------------------


def perturbed(network: Any) -> Any:
    """The network with its parameters moved a little, so that what starts at zero has an effect."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            spread = float(parameter.std(correction=0)) or 1.0  # 1 for what starts as a constant
            parameter.add_(0.1 * spread * torch.randn(parameter.shape, generator=generator))
    return network


def difference(a: Tensor, b: Tensor) -> float:
    """The largest difference of two tensors, infinite if their shapes differ."""
    return float((a.double() - b.double()).abs().max()) if a.shape == b.shape else float("inf")


def watched(action: Callable[[], Any]) -> str:
    """Run something; names the global random states that it changed."""
    before = (torch.get_rng_state(), np.random.get_state(legacy=True), random.getstate())
    action()
    after = (torch.get_rng_state(), np.random.get_state(legacy=True), random.getstate())
    changed = [
        name
        for name, same in (
            ("torch's", torch.equal(before[0], after[0])),
            ("NumPy's", _equal(before[1], after[1])),
            ("Python's", before[2] == after[2]),
        )
        if not same
    ]
    return " and ".join(changed)


def _equal(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def inputs(target: BuiltTarget, n: int = BATCH) -> tuple[Tensor, Tensor | None]:
    """z or images, and labels, for the network of a target."""
    config = target.config
    if target.kind == "generator":
        return reference.latents(config.z_dim, n), reference.labels_of(config.num_classes, n)
    if target.kind == "discriminator":
        return (
            reference.real_images(config.image_shape, n),
            reference.labels_of(config.num_classes, n),
        )
    shape = getattr(config, "image_shape", (3, 32, 32))  # an extractor may be for one kind only
    pixels = (reference.real_images(shape, n) + 1) * 127.5
    return pixels.to(torch.uint8), None


def call(network: Any, x: Tensor, labels: Tensor | None) -> Tensor:
    """forward, with labels where there are any."""
    output: Tensor = network(x) if labels is None else network(x, labels)
    return output


def require(tensor: Any, shape: tuple[int, ...], what: str) -> None:
    """A finite float32 tensor of that shape."""
    if not isinstance(tensor, Tensor):
        raise CheckFailed(f"{what} is a {type(tensor).__name__}", "return a tensor")
    if tuple(tensor.shape) != shape:
        raise CheckFailed(f"{what} has shape {list(tensor.shape)}", f"return {list(shape)}")
    if tensor.dtype != torch.float32:
        raise CheckFailed(f"{what} is {tensor.dtype}", "return torch.float32")
    if not bool(tensor.isfinite().all()):
        raise CheckFailed(f"{what} is not finite", "look for a division by zero, a log or a sqrt")


# -- the checks -----------------------------------------------------------------------------------


def builds(target: BuiltTarget) -> None:
    """It is built from its settings, and keeps its config."""
    module = target.build()
    base = parts.resolve(BASES[target.kind])
    if not isinstance(module, base):
        raise CheckFailed(f"it is a {type(module).__name__}", f"subclass {BASES[target.kind]}")
    if target.kind != "features" and module.config != target.config:
        raise CheckFailed("its config is another one", "pass the config to super().__init__")


def seeded_weights(target: BuiltTarget) -> None:
    """Built twice with one seed, it has the same weights."""
    first, second = target.build(seed=3).state_dict(), target.build(seed=3).state_dict()
    for name, tensor in first.items():
        if not torch.equal(tensor, second[name]):
            raise CheckFailed(f"{name!r} differs", "initialise with torch's global generator alone")


def images(target: BuiltTarget) -> None:
    """It gives finite float32 images (N, C, H, W) that span [-1, 1], unclamped."""
    network = target.build()
    shape = tuple(target.config.image_shape)
    for n in (1, BATCH, 16):
        if n > 1:
            require(call(network.train(), *inputs(target, n)), (n, *shape), f"a batch of {n}")
        made = call(network.eval(), *inputs(target, n)).detach()
        require(made, (n, *shape), f"a batch of {n} in eval mode")
    if float(made.abs().max()) > LARGEST:
        raise CheckFailed(f"values reach {float(made.abs().max()):.0f}", "scale to [-1, 1]")
    # a linear output may start on one side by its bias, but not with all weights
    fresh = (target.build(seed=seed).eval() for seed in range(8))
    if float(made.min()) >= 0 and all(call(G, *inputs(target, 16)).min() >= 0 for G in fresh):
        raise CheckFailed("no value is below 0", "scale to [-1, 1]: end in tanh, not sigmoid")


def scores(target: BuiltTarget) -> None:
    """It gives finite float32 raw scores (N,): no sigmoid, which the losses have in them."""
    network = target.build()
    for n in (1, BATCH):
        if n > 1:
            require(call(network.train(), *inputs(target, n)), (n,), f"a batch of {n}")
        require(call(network.eval(), *inputs(target, n)), (n,), f"a batch of {n} in eval mode")
    with torch.no_grad():
        found = [
            call(target.build(seed=seed).eval(), *inputs(target))
            for seed in range(SCORES_LOOKED_AT)
        ]
    if all(float(s.min()) >= 0 and float(s.max()) <= 1 for s in found):
        raise CheckFailed("all scores lie in [0, 1], for any weights", "leave the sigmoid out")


def feature_vectors(target: BuiltTarget) -> None:
    """It gives finite float32 features (N, F) of uint8 images, each from its own image alone."""
    network = target.build().eval()
    pixels, _ = inputs(target)
    with torch.no_grad():
        together, alone = network(pixels), network(pixels[:1])
    if not isinstance(together, Tensor) or together.dim() != 2:
        raise CheckFailed(f"it returns {_describe(together)}", "return a tensor (N, F)")
    require(together, (BATCH, together.shape[1]), "its output")
    if difference(together[:1], alone) > 1e-4 * max(1.0, float(alone.abs().max())):
        raise CheckFailed("an image's features change with its batch", "use no batch statistics")


def _describe(value: Any) -> str:
    return f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def follows_device(target: BuiltTarget) -> None:
    """Moved to another device, it computes there: nothing that it uses stays behind."""
    # The meta device has shapes and no memory; on any machine it finds what a GPU would.
    network = target.build().eval().to("meta")
    x, labels = inputs(target)
    try:
        output = call(network, x.to("meta"), None if labels is None else labels.to("meta"))
    except RuntimeError as error:
        if "device" not in str(error):
            return  # it looks at values, which the meta device has not; no fault of its own
        raise CheckFailed(
            f"on another device: {str(error).splitlines()[0]}",
            "register fixed tensors as buffers; make others with device=z.device",
        ) from error
    if output.device.type != "meta":
        raise CheckFailed(f"on another device, it returns {output.device}", "keep to z's device")


def random_state_untouched(target: BuiltTarget) -> None:
    """Building and sampling leave the global random states of torch, NumPy and Python alone."""
    remedy = "draw from `rng`, or from generators of your own; initialise with torch"
    changed = watched(target.build)
    if changed:
        raise CheckFailed(f"building changes {changed}", remedy)
    network = target.build().eval()
    ways: list[dict[str, Any]] = [{}]
    if "layer-noise" in target.provides:
        ways.append({"noise": "random"})
    for options in ways:
        if target.kind == "generator":
            changed = watched(lambda o=options: network.sample(3, seed=1, **o))  # type: ignore[misc]
        else:
            changed = watched(lambda: call(network, *inputs(target)))
        if changed:
            raise CheckFailed(f"using it in eval mode changes {changed}", remedy)


def same_image_in_any_batch(target: BuiltTarget) -> None:
    """The same seed gives the same image, in a batch of any size and any mates."""
    network = perturbed(target.build()).eval()
    together = network.sample(7, seed=5, batch_size=7)
    for size in (1, 3, 7):
        off = difference(together, network.sample(7, seed=5, batch_size=size))
        if not off <= 1e-5:
            raise CheckFailed(
                f"images differ by {off:.2g} between batches of 7 and of {size}",
                "in eval mode, use running statistics and draw nothing",
            )


def folded_is_forward(target: BuiltTarget) -> None:
    """The inference form, which `sample` uses, computes the images of `forward`, to 1e-4."""
    network = perturbed(target.build()).eval()
    with torch.inference_mode():
        off = difference(call(folded(network), *inputs(target)), call(network, *inputs(target)))
    if not off <= 1e-4:
        raise CheckFailed(
            f"images of the inference form differ by {off:.2g}",
            "let `folded()` of a layer return the same function, or leave it out",
        )


def finite_gradients(target: BuiltTarget) -> None:
    """One step through the non-saturating loss gives every parameter a finite gradient."""
    network = target.build().to(memory_format=torch.channels_last).train()
    config = target.config
    if target.kind == "generator":
        G, D = network, reference.discriminator(config.image_shape, config.num_classes)
    else:
        G, D = reference.generator(config.image_shape, config.num_classes), network
    options: list[dict[str, Any]] = [{}]
    if "progressive" in target.provides:
        options += [{"lod": half / 2} for half in range(2 * levels(config.image_shape) + 1)]
    loss = NonSaturating()
    for way in options:
        step = reference.make_step(G, D, role=target.kind, options=way)
        terms = reference.terms_of(loss, step, target.kind)
        total = torch.stack([*terms.values(), *_other_outputs(target, network)]).sum()
        if not total.requires_grad:
            raise CheckFailed("the output carries no gradient", "do not detach it or use no_grad")
        torch.autograd.backward(total)
    for name, parameter in network.named_parameters():
        if parameter.grad is None:
            raise CheckFailed(
                f"{name!r} gets no gradient", "use it, or make it a buffer if it is fixed"
            )
        if not bool(parameter.grad.isfinite().all()):
            raise CheckFailed(
                f"{name!r} gets a gradient that is not finite", "look for sqrt or / at 0"
            )
    if not any(bool(p.grad.any()) for p in network.parameters()):
        raise CheckFailed("all gradients are zero", "look for a saturated or detached output")


def levels(image_shape: tuple[int, ...]) -> int:
    """How many times the image can be halved, down to 4 pixels."""
    return max(0, int(min(image_shape[1:])).bit_length() - 3)


def _other_outputs(target: BuiltTarget, network: Any) -> list[Tensor]:
    """Terms that reach the heads of a discriminator beside its score."""
    if target.kind != "discriminator":
        return []
    x, labels = inputs(target)
    _, *rest = network.outputs(x, labels)
    return [part.square().mean() for output in rest for part in tensors_of(output)]


def tensors_of(value: Any) -> list[Tensor]:
    """The tensors in a tensor, None, or sequence of tensors."""
    if value is None:
        return []
    return [value] if isinstance(value, Tensor) else [t for item in value for t in tensors_of(item)]


def weights_survive_saving(target: BuiltTarget) -> None:
    """Saved, loaded and saved again, its file is the same byte for byte, and so is what it does."""
    network = perturbed(target.build())
    call(network.train(), *inputs(target))  # so that running statistics have moved
    network.eval()
    load: Callable[[Path], Any] = checkpoint.load_generator
    if target.kind == "discriminator":
        load = checkpoint.load_discriminator
    config = target.config
    file = layout.WEIGHTS[target.kind]

    def save(folder: Path, module: Any) -> bytes:
        if target.kind == "generator":
            checkpoint.save(folder, module, name="check")
        else:
            partner = reference.generator(config.image_shape, config.num_classes)
            checkpoint.save(folder, partner, name="check", discriminator=module)
        return (folder / file).read_bytes()

    with tempfile.TemporaryDirectory(prefix="ganzoo-check-") as folder:
        first = save(Path(folder, "first"), network)
        loaded = load(Path(folder, "first"))
        second = save(Path(folder, "second"), loaded)
    if first != second:
        raise CheckFailed(
            f"{file} changes when it is saved again", "load weights as they were saved"
        )
    with torch.no_grad():
        off = difference(call(network, *inputs(target)), call(loaded, *inputs(target)))
    if not off <= 1e-6:
        raise CheckFailed(
            f"loaded, its output differs by {off:.2g}",
            "keep everything that the output depends on in parameters, buffers or the config",
        )
