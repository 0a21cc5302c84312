"""From the modules of a state dict to a list of our layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ganzoo.configs import config_to_dict
from ganzoo.errors import InputError
from ganzoo.importing.layers import Found
from ganzoo_gan.importing.chain import Questions, Stack, body_of, is_square
from ganzoo_gan.importing.config import PlainConfig
from ganzoo_gan.importing.known import is_upsampling_dcgan
from ganzoo_gan.sequential_config import Layer

# -- the generator ---------------------------------------------------------------------------------


def generator(found: list[Found], config: PlainConfig, questions: Questions) -> Stack:
    """Our generator of their modules; what is lacking goes to `questions`."""
    stack, body = Stack(), body_of(found)
    act = _activation(config, questions)
    output = _output(config, questions)
    eps = _eps(body, config, questions)
    if is_upsampling_dcgan(found):
        _upsampling_dcgan(stack, body, act, eps)
    else:
        convolutions = [module for module in body if module.kind == "conv"]
        transposed = _transposed(body)
        geometry = _generator_geometry(body, transposed, config, questions)
        kinds = {
            module: Layer(
                "conv-transpose" if transposed[module] else "conv",
                module.weight[1 if transposed[module] else 0],
                module.weight[2],
                *geometry.get(module, (1, 0, 0)),
                bias=module.bias,
            )
            for module in convolutions
        }
        ins = {m: m.weight[0 if transposed[m] else 1] for m in convolutions}
        _check_enlarged(body, transposed)
        opened = _opening(body, config, questions)
        _stacked(stack, body, kinds, ins, act, eps, opened=opened)
    if output is not None:
        stack.add(output)
    z_and_code = body[0].weight[1]
    if body[0].kind == "conv":
        z_and_code = body[0].weight[0 if _transposed(body)[body[0]] else 1]
    stack.settings = {
        **_conditioning(stack, found, z_and_code, config, questions),
        "layers": [config_to_dict(layer) for layer in stack.layers],
    }
    stack.settings["image_shape"] = _image_shape(stack, body, config, questions)
    return stack


def _activation(config: PlainConfig, questions: Questions) -> Layer:
    if config.activation is None:
        questions.add(
            "what is between its layers",
            "--set activation=relu (or tanh, sigmoid, leaky-relu with --set slope=0.2)",
        )
        return Layer("relu")
    if config.activation == "leaky-relu" and config.slope is None:
        questions.add("the slope of its LeakyReLU", "--set slope=0.2 (PyTorch's default is 0.01)")
    return Layer(config.activation, slope=0.2 if config.slope is None else config.slope)


def _output(config: PlainConfig, questions: Questions) -> Layer | None:
    if config.output is None:
        questions.add("what follows its last layer", "--set output=tanh (or sigmoid, none)")
    return None if config.output == "none" else Layer("tanh")  # a sigmoid becomes a tanh


def _eps(body: list[Found], config: PlainConfig, questions: Questions) -> float:
    if config.eps is None and any(module.kind == "batch-norm" for module in body):
        questions.add(
            "the eps of its batch norms",
            "--set eps=1e-5 (PyTorch's default; 0.8 in PyTorch-GAN and what descends from it)",
        )
    return 1e-5 if config.eps is None else config.eps


def _check_enlarged(body: list[Found], transposed: dict[Found, bool]) -> None:
    """Refuse ordinary convolutions of a vector, which must have been enlarged by something.

    Raises:
        InputError: what did so has no tensors, and is not in the file.
    """
    if transposed and body[0].kind == "linear" and not any(transposed.values()):
        raise InputError(
            "none of the generator's layers enlarges its maps: the file does not say what does",
            "of such networks only those of PyTorch-GAN are known",
        )


def _opening(body: list[Found], config: PlainConfig, questions: Questions) -> bool:
    """Whether the activation follows a linear layer that makes the first maps, which many programs
    leave out. The numbers of an nn.Sequential say it, and a batch norm calls for it."""
    for module, following in pairwise(body):
        if module.kind == "linear" and following.kind == "conv":
            if module.modules_until(following) is None and config.linear_activation is None:
                questions.add(
                    "whether an activation also follows the linear layer that makes its maps",
                    "--set linear_activation=true (or false)",
                )
            break
    return config.linear_activation is not False


def _upsampling_dcgan(stack: Stack, body: list[Found], act: Layer, eps: float) -> None:
    """PyTorch-GAN's, whose first batch norm is PyTorch's default."""
    linear, norm0, conv0, norm1, conv1, norm2, conv2 = body
    stack.add(Layer("linear", linear.weight[0], bias=linear.bias), linear)
    stack.add(Layer("reshape", norm0.weight[0]))
    stack.add(Layer("batch-norm"), norm0)
    for conv, norm in ((conv0, norm1), (conv1, norm2)):
        stack.add(Layer("upsample"))
        stack.add(Layer("conv", conv.weight[0], 3, 1, 1, bias=conv.bias), conv)
        stack.add(Layer("batch-norm", eps=eps), norm)
        stack.add(act)
    stack.add(Layer("conv", conv2.weight[0], 3, 1, 1, bias=conv2.bias), conv2)


def _transposed(body: list[Found]) -> dict[Found, bool]:
    """Which of a generator's convolutions are transposed: those that take what was made before as
    their first dimension. Where both are equal, as most of the others."""
    out: dict[Found, bool | None] = {}
    width = 0
    for module in body:
        if module.kind == "linear":
            width = module.weight[0]
        elif module.kind == "conv":
            first, second = module.weight[:2]
            if not width:
                out[module] = True  # of one pixel, z
            elif first == second:
                out[module] = None
            else:
                out[module] = first == width or (second != width and is_square(width / first))
            width = first if out[module] is False else second
    certain = [answer for answer in out.values() if answer is not None]
    most = 2 * sum(certain) >= len(certain)
    return {module: most if answer is None else answer for module, answer in out.items()}


def _generator_geometry(
    body: list[Found],
    transposed: dict[Found, bool],
    config: PlainConfig,
    questions: Questions,
) -> dict[Found, tuple[int, int, int]]:
    """Stride, padding and output padding of each convolution.

    4x4 transposed ones double the size (stride 2, padding 1), the first of all makes a map of one
    pixel (1, 0), and odd kernels of ordinary ones keep the size: of others there are several.
    """
    usual: dict[Found, tuple[int, int] | None] = {}
    for module, is_transposed in transposed.items():
        kernel = module.weight[2]
        if module is body[0]:
            usual[module] = (1, 0)
        elif is_transposed:
            usual[module] = (2, 1) if kernel == 4 else None
        else:
            usual[module] = (1, kernel // 2) if kernel % 2 else None
    return _geometry(
        usual,
        (config.strides, config.paddings, config.output_paddings),
        ("strides", "paddings", "output_paddings"),
        questions,
    )


def _geometry(
    usual: dict[Found, tuple[int, int] | None],
    given: Sequence[tuple[int, ...] | None],
    names: Sequence[str],
    questions: Questions,
) -> dict[Found, tuple[int, int, int]]:
    for name, numbers in zip(names, given, strict=True):
        if numbers is not None and len(numbers) != len(usual):
            raise InputError(
                f"{name} has {len(numbers)} numbers for {len(usual)} convolutions",
                f"give one for each: {', '.join(module.name for module in usual)}",
            )
    out = {}
    strides, paddings, output_paddings = given
    for k, (module, known) in enumerate(usual.items()):
        if known is None and (strides is None or paddings is None):
            kernels = ", ".join(str(m.weight[2]) for m in usual)
            example = [(known or (2, 1)) for known in usual.values()]
            stride_list, padding_list = (",".join(map(str, each)) for each in zip(*example))
            questions.add(
                f"the strides and paddings of its convolutions (kernels {kernels})",
                f"--set '{names[0]}=[{stride_list}]' --set '{names[1]}=[{padding_list}]', or what"
                " they are",
            )
        stride, padding = known or (1, 0)
        out[module] = (
            stride if strides is None else strides[k],
            padding if paddings is None else paddings[k],
            0 if output_paddings is None else output_paddings[k],
        )
    return out


def _stacked(
    stack: Stack,
    body: list[Found],
    kinds: dict[Found, Layer],
    ins: dict[Found, int],
    act: Layer,
    eps: float,
    *,
    opened: bool = True,
) -> None:
    """All modules, with an activation behind each weighted one but the last: where the numbers of
    an nn.Sequential leave a place for it, else behind its batch norm. `opened`: also behind a
    linear layer before maps, where there is neither."""
    last = [module for module in body if module.kind != "batch-norm"][-1]
    is_map, due = body[0].kind == "conv", False
    width = 0
    for module, following in [*pairwise(body), (body[-1], None)]:
        takes_maps = module.kind == "conv" or (
            module.kind == "batch-norm" and not is_map and module.weight[0] != width
        )
        if takes_maps and not is_map and width:
            stack.add(Layer("reshape", ins.get(module, module.weight[0])))
            is_map = True
        if module.kind == "linear" and is_map:
            stack.add(Layer("flatten"))
            is_map = False
        if module.kind == "batch-norm":
            stack.add(Layer("batch-norm", eps=eps), module)
        elif module.kind == "linear":
            stack.add(Layer("linear", module.weight[0], bias=module.bias), module)
            width, due = module.weight[0], module is not last
        else:
            stack.add(kinds[module], module)
            width, due = kinds[module].width, module is not last
        if following is None or not due:
            continue
        between = module.modules_until(following)
        of_maps = following.kind == "conv" or (
            following.kind == "batch-norm" and (is_map or following.weight[0] != width)
        )
        if between and of_maps != is_map:
            between -= 1  # what makes maps of a vector, or a vector of maps
        if following.kind == "batch-norm" and not between:
            continue  # behind that
        opens = module.kind == "linear" and of_maps and between is None
        if between != 0 and (opened or not opens):
            stack.add(act)
        due = False


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
    if embeddings and code == inputs and how is None and is_upsampling_dcgan(found):
        questions.add(
            "whether its label is multiplied with z (PyTorch-GAN's ACGAN) or not used (its SGAN)",
            "--set labels=product (or none)",
        )
        how = "product"
    elif embeddings and code == inputs:
        how = "product"
    elif how is None:
        questions.add("whether the label stands before or behind z", "--set labels=first (or last)")
    z_dim = inputs if how == "product" else inputs - (code or classes)
    if z_dim < 1:
        raise InputError(
            f"classes = {classes}, but the generator's input has {inputs} numbers",
            "count the classes again",
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
    last = [module for module in body if module.kind != "batch-norm"][-1]
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
    questions.ask()
    shape: tuple[int, ...] = (stack.settings["z_dim"], 1, 1)
    if body[0].kind == "linear":
        shape = shape[:1]
    for layer in stack.layers:
        shape = layer.after(shape)
    return list(shape)


# -- the discriminator -----------------------------------------------------------------------------


def critic(
    found: list[Found], config: PlainConfig, image_shape: list[int], questions: Questions
) -> Stack:
    """Our discriminator of their modules, with LeakyReLU between its layers."""
    stack, body = Stack(), body_of(found)
    if config.discriminator_slope is None:
        questions.add("the slope of the discriminator's LeakyReLU", "--set discriminator_slope=0.2")
    act = Layer("leaky-relu", slope=config.discriminator_slope or 0.0)
    eps = _eps(body, config, questions)
    convolutions = [module for module in body if module.kind == "conv"]
    usual: dict[Found, tuple[int, int] | None] = {}
    side = image_shape[1]
    for module in convolutions:
        if module.weight[2] != 4:
            usual[module] = None
        else:
            usual[module] = (1, 0) if side == 4 and module is body[-1] else (2, 1)
        side //= 2
    geometry = _geometry(
        usual,
        (config.discriminator_strides, config.discriminator_paddings, None),
        ("discriminator_strides", "discriminator_paddings", "output_paddings"),
        questions,
    )
    kinds = {
        module: Layer(
            "conv", module.weight[0], module.weight[2], *geometry[module], bias=module.bias
        )
        for module in convolutions
    }
    if body[0].kind == "linear":
        stack.add(Layer("flatten"))
    _stacked(stack, body, kinds, {m: m.weight[1] for m in convolutions}, act, eps)
    stack.settings = {"image_shape": image_shape}
    inputs = body[0].weight[1]
    code = inputs - (math.prod(image_shape) if body[0].kind == "linear" else image_shape[0])
    embeddings = [module for module in found if module.kind == "embedding"]
    if embeddings or code:
        stack.embedding = embeddings[0] if embeddings else None
        classes, width = embeddings[0].weight if embeddings else (config.classes, 0)
        if code != (width or classes):
            raise InputError(
                f"the discriminator takes {code} numbers besides the image",
                "give --set classes=…, or --set discriminator=false",
            )
        if config.discriminator_labels is None:
            questions.add(
                "whether the label stands before or behind the discriminator's image",
                "--set discriminator_labels=last (or first)",
            )
        stack.settings |= {
            "num_classes": classes,
            "embedding_dim": width,
            "conditioning": config.discriminator_labels or "last",
        }
    stack.settings["layers"] = [config_to_dict(layer) for layer in stack.layers]
    return stack
