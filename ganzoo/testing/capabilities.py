"""Every capability that a part declares, measured on the part itself.

What starts at zero (a noise strength, a label's embedding) would hide a capability, so that the
networks are tried with their parameters moved.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.errors import InputError
from ganzoo.testing import networks
from ganzoo.testing.networks import call, difference, inputs, perturbed, require, tensors_of
from ganzoo.testing.reference import BATCH, latents, real_images
from ganzoo.testing.results import CheckFailed
from ganzoo.testing.subject import BuiltTarget

OUTPUTS = {"classes", "features", "reconstruction"}
"""What `outputs` of a discriminator may have beside the score."""
NEED_CLASSES = {"conditional", "classes"}
"""Tried only with num_classes > 0."""
SAME, DIFFERENT = 1e-5, 1e-4
"""Below and above this, images and scores count as the same and as different."""


def _network(target: BuiltTarget) -> Any:
    return perturbed(target.build()).eval().requires_grad_(False)


def _same(a: Tensor, b: Tensor, what: str, remedy: str) -> None:
    off = difference(a, b)
    if not off <= SAME * max(1.0, float(a.abs().max())):
        raise CheckFailed(f"{what} differ by {off:.2g}", remedy)


def _differ(a: Tensor, b: Tensor, what: str, remedy: str) -> None:
    if not difference(a, b) > DIFFERENT:
        raise CheckFailed(f"{what} are the same", remedy)


def conditional(target: BuiltTarget) -> None:
    """Labels change what it gives, and it raises an InputError without them."""
    network = _network(target)
    x, _ = inputs(target)
    zeros = torch.zeros(BATCH, dtype=torch.int64)
    _differ(network(x, zeros), network(x, zeros + 1), "outputs for class 0 and 1", "use the labels")
    try:
        network(x)
    except InputError:
        return
    except Exception as error:  # any other error is not the one that callers expect
        found = f"without labels it raises {type(error).__name__}"
    else:
        found = "without labels it guesses"
    raise CheckFailed(found, "raise ganzoo.errors.InputError (check_labels does)")


# -- generators -----------------------------------------------------------------------------------


def w_space(target: BuiltTarget) -> None:
    """mapping and synthesis make what forward makes; truncation 0 makes one image of all z."""
    network = _network(target)
    z, labels = inputs(target)
    if labels is not None:
        labels = torch.zeros_like(labels)
    ws = network.mapping(z, labels)
    if ws.dim() != 3 or len(ws) != BATCH:
        raise CheckFailed(f"mapping returns {list(ws.shape)}", "return (N, num_ws, w_dim)")
    if ws.shape[1] != network.num_ws:
        raise CheckFailed(
            f"mapping returns {ws.shape[1]} w, and num_ws is {network.num_ws}",
            "set num_ws to the number of layers that take a w",
        )
    made = call(network, z, labels)
    remedy = "let forward be synthesis(mapping(z, labels))"
    _same(made, network.synthesis(ws), "forward and synthesis(mapping(z))", remedy)
    _differ(ws[0], ws[1], "the w of two z", "let w depend on z")
    full = network.mapping(z, labels, truncation=1.0, truncation_cutoff=None)
    _same(ws, full, "ws with truncation 1 and without", "let truncation be 1.0 by default")
    mean = network(z, labels, truncation=0.0)
    _same(mean, mean[:1].expand_as(mean), "images of truncation 0", "lerp from the average w to w")
    half = network(z, labels, truncation=0.5)
    _differ(half, made, "images with truncation 0.5 and 1", "lerp from the average w to w")
    _differ(half, mean, "images with truncation 0.5 and 0", "lerp from the average w to w")
    network.mapping(z, labels, truncation=0.5, truncation_cutoff=1)


def style_mixing(target: BuiltTarget) -> None:
    """mix=(other z, layer) takes the layers from that one on from the other z."""
    network = _network(target)
    z, labels = inputs(target)
    other = latents(target.config.z_dim, seed=9)
    count = network.mapping(z, labels).shape[1]
    if count < 2:
        raise CheckFailed("it has one w only", "choose tiny settings with two layers or more")
    pure, others = call(network, z, labels), call(network, other, labels)
    remedy = "ws = torch.cat([ws[:, :layer], other_ws[:, layer:]], dim=1)"
    _same(
        network(z, labels, mix=(other, count)), pure, "mix after the last layer and z alone", remedy
    )
    _same(network(z, labels, mix=(other, 0)), others, "mix from layer 0 and the other z", remedy)
    mixed = network(z, labels, mix=(other, 1))
    _differ(mixed, pure, "mix from layer 1 and z alone", remedy)
    _differ(mixed, others, "mix from layer 1 and the other z", remedy)


def layer_noise(target: BuiltTarget) -> None:
    """noise is "const" (the default), "none" or "random", which a seed decides in any batch."""
    network = _network(target)
    plain, const = network.sample(5, seed=3), network.sample(5, seed=3, noise="const")
    _same(plain, const, "images without noise= and with 'const'", "let 'const' be the default")
    none = network.sample(5, seed=3, noise="none")
    _differ(none, const, "images with noise 'none' and 'const'", "add the constant maps")
    noisy = network.sample(5, seed=3, noise="random")
    _differ(noisy, const, "images with noise 'random' and 'const'", "draw maps from rng")
    again = network.sample(5, seed=3, noise="random", batch_size=2)
    _same(noisy, again, "images of one seed with noise 'random'", "draw with rng.normal(layer, …)")


def progressive(target: BuiltTarget) -> None:
    """lod=0 is the default; each lod above gives another output, of the same shape, by blending."""
    network = _network(target)
    x, labels = inputs(target)
    plain = call(network, x, labels)
    remedy = "blend levels floor(lod) and floor(lod) + 1; keep the full resolution"
    if networks.levels(target.config.image_shape) < 1:
        raise CheckFailed(
            "the tiny images cannot shrink", "choose tiny settings of 8 pixels or more"
        )
    _same(plain, network(x, labels, lod=0.0), "outputs without lod= and with 0", remedy)
    outputs = [network(x, labels, lod=lod) for lod in (0.0, 0.5, 1.0)]
    for output, lod in zip(outputs, (0.0, 0.5, 1.0), strict=True):
        require(output, tuple(plain.shape), f"the output at lod {lod}")
    _differ(outputs[0], outputs[1], "outputs at lod 0 and 0.5", remedy)
    _differ(outputs[1], outputs[2], "outputs at lod 0.5 and 1", remedy)


# -- discriminators -------------------------------------------------------------------------------


def per_sample(target: BuiltTarget) -> None:
    """In training too, the score of an image does not change with the others in its batch."""
    network = _network(target).train()
    x, labels = inputs(target)
    others = 0.5 * real_images(target.config.image_shape, seed=7).sign()
    scores = []
    for batch in (x, torch.cat([x[:1], others[1:]])):
        with torch.random.fork_rng(devices=[]):  # dropout falls on the same places
            torch.manual_seed(0)
            # a copy each time: power iterations and running statistics move as it is used
            scores.append(call(copy.deepcopy(network), batch, labels)[:1])
    off = difference(*scores)
    if not off <= DIFFERENT * max(1.0, float(scores[0].abs().max())):
        raise CheckFailed(
            f"the score of one image changes by {off:.2g} with its batch mates",
            "do not declare it, or only for settings without batch norm and minibatch statistics",
        )


def gradient_penalty(target: BuiltTarget) -> None:
    """A penalty on the gradient of the scores reaches its parameters, and it has no batch norm."""
    network = target.build().train()
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()):
        raise CheckFailed(
            "it has batch norm, under which an image has no gradient of its own",
            "do not declare it, or only for settings without batch norm",
        )
    x, labels = inputs(target)
    x.requires_grad_()
    score = call(network, x, labels).sum()
    (slope,) = torch.autograd.grad(score, x, create_graph=True)
    if not slope.requires_grad:
        raise CheckFailed("its gradient has no gradient", "use operations that are differentiable")
    torch.autograd.backward(slope.square().sum())
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    if not any(bool(grad.any()) for grad in grads):
        raise CheckFailed("a penalty reaches no parameter", "let the slope depend on the weights")
    if not all(bool(grad.isfinite().all()) for grad in grads):
        raise CheckFailed("a penalty's gradient is not finite", "look for sqrt or / at 0")


def outputs_agree(target: BuiltTarget) -> None:
    """outputs(x, labels) is a named tuple, with the score that forward gives."""
    network = _network(target)
    x, labels = inputs(target)
    found = network.outputs(x, labels)
    for name in ("score", *sorted(target.provides & OUTPUTS)):
        if name not in getattr(found, "_fields", ()):
            raise CheckFailed(f"outputs() has no field {name!r}", "return a named tuple with it")
    remedy = "make forward and outputs of the same layers"
    _same(found.score, call(network, x, labels), "outputs().score and forward", remedy)


def _outputs(target: BuiltTarget) -> Any:
    return _network(target).outputs(*inputs(target))


def classes(target: BuiltTarget) -> None:
    """outputs(x, labels).classes are logits (N, num_classes)."""
    shape = (BATCH, target.config.num_classes)
    require(_outputs(target).classes, shape, "outputs().classes")


def features(target: BuiltTarget) -> None:
    """outputs(x, labels).features are one or several tensors (N, …)."""
    found = tensors_of(_outputs(target).features)
    if not found:
        raise CheckFailed("outputs().features is empty", "return a tensor or several")
    for tensor in found:
        require(tensor, (BATCH, *tensor.shape[1:]), "outputs().features")


def reconstruction(target: BuiltTarget) -> None:
    """outputs(x, labels).reconstruction is an image (N, C, height, width)."""
    image = _outputs(target).reconstruction
    if not isinstance(image, Tensor) or image.dim() != 4:
        raise CheckFailed("outputs().reconstruction is no image", "return (N, C, height, width)")
    channels = target.config.image_shape[0]
    require(image, (BATCH, channels, *image.shape[2:]), "outputs().reconstruction")
