"""From the modules of a generator's state dict to a list of our layers."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from ganzoo.configs import config_to_dict
from ganzoo.errors import ConfigError, InputError
from ganzoo.importing.layers import Found
from ganzoo_gan.importing import geometry, saved_whole
from ganzoo_gan.importing.asked import Activations, Norms
from ganzoo_gan.importing.chain import Questions, Stack, body_of, is_square, makes_maps
from ganzoo_gan.importing.config import PlainConfig
from ganzoo_gan.importing.known import is_upsampling_dcgan
from ganzoo_gan.sequential_config import Layer


def generator(found: list[Found], config: PlainConfig, questions: Questions) -> Stack:
    """Our generator of their modules; what is lacking goes to `questions`."""
    stack, body = Stack(), body_of(found)
    activations = Activations.of_generator(config, questions)
    if is_upsampling_dcgan(found) and body[0].said is None:
        _upsampling_dcgan(stack, body, activations, Norms(None, "", config, questions))
        transposed = {module: False for module in body if module.kind == "conv"}
    else:
        transposed = geometry.transposed(body, config, questions)
        sides = geometry.of_generator(body, transposed, config, questions)
        kinds = {
            module: Layer(
                "conv-transpose" if transposed[module] else "conv",
                module.weight[1 if transposed[module] else 0],
                module.weight[2],
                *sides[module],
                bias=module.bias,
            )
            for module in sides
        }
        ins = {m: m.weight[0 if transposed[m] else 1] for m in sides}
        stacked(
            stack,
            body,
            kinds,
            ins,
            activations,
            Norms(config.norm, "norm", config, questions),
            opened=_opening(body, config, questions),
            doubled=geometry.enlarged(body, transposed, config, questions),
        )
    behind, is_all = saved_whole.between(body[-1], None)
    _add_output(stack, body, behind if is_all else behind + _output(config, questions))
    z_and_code = body[0].weight[1]
    if body[0].kind == "conv":
        z_and_code = body[0].weight[0 if transposed[body[0]] else 1]
    stack.settings = {
        **_conditioning(stack, found, z_and_code, config, questions),
        "layers": [config_to_dict(layer) for layer in stack.layers],
    }
    stack.settings["image_shape"] = _image_shape(stack, body, config, questions)
    _ask_whether_32(stack.settings["image_shape"], body, transposed, config, questions)
    return stack


def _add_output(stack: Stack, body: list[Found], layers: list[Layer]) -> None:
    if "sigmoid" in (layer.kind for layer in layers):
        if len(layers) > 1 or body[-1].kind == "batch-norm":
            raise InputError(
                "a sigmoid follows its last layer, and not directly", "ours has no such network"
            )
        stack.halved, layers = body[-1], [Layer("tanh")]
    for layer in layers:
        stack.add(layer)


def _last(body: list[Found]) -> Found:
    return [module for module in body if module.kind != "batch-norm"][-1]


def _output(config: PlainConfig, questions: Questions) -> list[Layer]:
    if config.output is None:
        questions.add("what follows its last layer", "--set output=tanh (or sigmoid, none)")
    if config.output is None or config.output == "none":
        return []
    kinds = (config.output,) if isinstance(config.output, str) else config.output
    return [Layer(kind, slope=0.2 if config.slope is None else config.slope) for kind in kinds]


def _opening(body: list[Found], config: PlainConfig, questions: Questions) -> bool:
    """Whether the activation follows a linear layer that makes the first maps, which many programs
    leave out. The numbers of an nn.Sequential say it, and a batch norm calls for it."""
    for module, following in pairwise(body):
        if module.kind == "linear" and following.kind == "conv":
            known = saved_whole.between(module, following)[1]
            unclear = module.modules_until(following) is None and not known
            if unclear and config.linear_activation is None:
                questions.add(
                    "whether an activation also follows the linear layer that makes its maps",
                    "--set linear_activation=true (or false)",
                )
            break
    return config.linear_activation is not False


def _upsampling_dcgan(
    stack: Stack, body: list[Found], activations: Activations, norms: Norms
) -> None:
    """PyTorch-GAN's, whose first batch norm is PyTorch's default."""
    linear, norm0, conv0, norm1, conv1, norm2, conv2 = body
    stack.add(Layer("linear", linear.weight[0], bias=linear.bias), linear)
    stack.add(Layer("reshape", norm0.weight[0]))
    stack.add(Layer("batch-norm"), norm0)
    for conv, norm in ((conv0, norm1), (conv1, norm2)):
        stack.add(Layer("upsample"))
        stack.add(Layer("conv", conv.weight[0], 3, 1, 1, bias=conv.bias), conv)
        stack.add(norms.layer(norm), norm)
        stack.add(activations.following())
    stack.add(Layer("conv", conv2.weight[0], 3, 1, 1, bias=conv2.bias), conv2)


def stacked(
    stack: Stack,
    body: list[Found],
    kinds: dict[Found, Layer],
    ins: dict[Found, int],
    activations: Activations,
    norms: Norms,
    *,
    opened: bool = True,
    doubled: set[Found] | None = None,
) -> None:
    """All modules, with an activation behind each weighted one but the last: what the file has
    there, else where the numbers of an nn.Sequential leave a place for it, else behind its batch
    norm.

    Args:
        ins: how many maps each convolution takes.
        opened: also behind a linear layer before maps, where nothing says so.
        doubled: the convolutions before which the maps are doubled.
    """
    last = _last(body)
    is_map = was_map = body[0].kind == "conv"
    width, due = 0, False
    for module, following in [*pairwise(body), (body[-1], None)]:
        if module in (doubled or ()):
            stack.add(Layer("upsample"))
        if module.kind == "batch-norm":
            stack.add(norms.layer(module), module)
        elif module.kind == "linear":
            if was_map:
                stack.add(Layer("flatten"))
            stack.add(Layer("linear", module.weight[0], bias=module.bias), module)
            width, due = module.weight[0], module is not last
        else:
            stack.add(kinds[module], module)
            width, due = kinds[module].width, module is not last
        if following is None or module is last:
            continue
        was_map, is_map = is_map, makes_maps(following, {width}, is_map)
        if is_map and not was_map:
            width = ins.get(following, following.weight[0])
            stack.add(Layer("reshape", width))
        said, is_all = saved_whole.between(module, following)
        for layer in said:
            if layer.kind == "instance-norm":
                stack.filled[len(stack.layers)] = width
            stack.add(layer)
        if is_all or not due:
            active = any(layer.kind in saved_whole.ACTIVATIONS for layer in said)
            due = due and not active and following.kind == "batch-norm"
            continue
        between = module.modules_until(following)
        if between and is_map != was_map:
            between -= 1  # what makes maps of a vector, or a vector of maps
        if between and following in (doubled or ()):
            between -= 1  # what doubles them
        is_last_of_place = module.kind == "conv" and following.kind != "batch-norm"
        hidden = norms.hidden(module) if is_last_of_place and (between or 0) > 1 else None
        if hidden is not None:
            stack.filled[len(stack.layers)] = width
            stack.add(hidden)
        if following.kind == "batch-norm" and not between:
            continue  # behind that
        opens = module.kind == "linear" and is_map and between is None
        if between != 0 and (opened or not opens):
            stack.add(activations.following())
        due = False
    activations.check()


def _conditioning(
    stack: Stack, found: list[Found], inputs: int, config: PlainConfig, questions: Questions
) -> dict[str, Any]:
    """z_dim, num_classes and how the label joins z."""
    embeddings = [module for module in found if module.kind == "embedding"]
    how = config.labels
    if (not embeddings and not config.classes) or how == "none":
        return {"z_dim": inputs}
    stack.embedding = embeddings[0] if embeddings else None
    classes, code = embeddings[0].weight if embeddings else (config.classes, 0)
    if how is None and code == inputs:
        questions.add(
            "whether its label is multiplied with z (PyTorch-GAN's ACGAN) or not used (its SGAN)",
            "--set labels=product (or none)",
        )
        how = "product"
    elif how is None:
        questions.add("whether the label stands before or behind z", "--set labels=first (or last)")
    z_dim = inputs if how == "product" else inputs - (code or classes)
    if z_dim < 1:
        raise InputError(
            f"its label has {code or classes} numbers, but the generator's input {inputs}",
            "give --set labels=product (or none)" if code else "count the classes again",
        )
    return {
        "z_dim": z_dim,
        "num_classes": classes,
        "embedding_dim": code,
        "conditioning": how or "last",
    }


def _image_shape(
    stack: Stack, body: list[Found], config: PlainConfig, questions: Questions
) -> list[int]:
    last = _last(body)
    if last.kind == "linear":
        pixels = last.weight[0]
        if config.image_shape is not None:
            return list(config.image_shape)
        for channels in (1, 3):
            if is_square(pixels / channels):
                side = math.isqrt(pixels // channels)
                return [channels, side, side]
        questions.add("the shape of its images", f"--set 'image_shape=[C,H,W]' of {pixels} numbers")
        return [1, 1, pixels]
    shape: tuple[int, ...] = (stack.settings["z_dim"], 1, 1)
    if body[0].kind == "linear":
        shape = shape[:1]
    try:
        for layer in stack.layers:
            shape = layer.after(shape)
    except ConfigError:
        questions.ask()  # with what is not said yet they may fit
        raise
    if config.image_shape is not None and shape != config.image_shape:
        raise InputError(
            f"its convolutions make images of {list(shape)}, not of {list(config.image_shape)}",
            "give their strides and paddings (--set strides=… --set paddings=…)",
        )
    return list(shape)


def _ask_whether_32(
    shape: list[int],
    body: list[Found],
    transposed: dict[Found, bool],
    config: PlainConfig,
    questions: Questions,
) -> None:
    """Copies of the DCGAN for MNIST cut its 32x32 to 28x28 by a padding that shows nowhere."""
    last = _last(body)
    given = config.image_shape, config.paddings
    if last.said is not None or given != (None, None) or shape[1:] != [32, 32]:
        return
    if transposed.get(last) and last.weight[2] == 4:
        paddings = [0 if module is body[0] else 1 for module in transposed]
        questions.add(
            "whether its images have 32 pixels, or 28",
            f"--set 'image_shape=[{shape[0]},32,32]' (or for 28 --set 'paddings="
            f"[{','.join(map(str, paddings[:-1]))},3]')",
        )
