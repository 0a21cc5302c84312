"""From the modules of a discriminator's state dict to a list of our layers."""

from __future__ import annotations

import math

from ganzoo.configs import config_to_dict
from ganzoo.errors import ConfigError, InputError
from ganzoo.importing.layers import Found
from ganzoo_gan.importing import geometry, saved_whole
from ganzoo_gan.importing.asked import Activations, Norms
from ganzoo_gan.importing.chain import Questions, Stack, body_of
from ganzoo_gan.importing.config import PlainConfig
from ganzoo_gan.importing.stack import stacked
from ganzoo_gan.sequential_config import Layer


def critic(
    found: list[Found], config: PlainConfig, image_shape: list[int], questions: Questions
) -> Stack:
    """Our discriminator of their modules, with LeakyReLU between its layers unless said."""
    body = body_of(found)
    stack = Stack()
    sides = geometry.of_critic(body, image_shape[1], config, questions)
    kinds = {
        module: Layer("conv", module.weight[0], module.weight[2], *sides[module], bias=module.bias)
        for module in sides
    }
    if body[0].kind == "linear":
        stack.add(Layer("flatten"))
    ins = {module: module.weight[1] for module in sides}
    norm = Norms(config.discriminator_norm, "discriminator_norm", config, questions)
    stacked(stack, body, kinds, ins, Activations.of_critic(config, questions), norm)
    for layer in saved_whole.between(body[-1], None)[0]:
        if layer.kind != "sigmoid":
            stack.add(layer)
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
    if not questions:
        _check_sizes(stack, (inputs, *(image_shape[1:] if body[0].kind == "conv" else ())))
    return stack


def _check_sizes(stack: Stack, shape: tuple[int, ...]) -> None:
    """Refuse layers that do not take what the ones before them make of an image with its label."""
    modules = {place: module for module, place in stack.places.items()}
    name = ""
    for place, layer in enumerate(stack.layers):
        module = modules.get(place)
        name = name if module is None else module.name
        fits = module is None or module.kind != "linear" or module.weight[1] == shape[0]
        try:
            shape = layer.after(shape)
        except ConfigError:
            fits = False
        if not fits:
            raise InputError(
                f"the discriminator's {name} does not take what is made before it: it has other"
                " strides and paddings, or a pooling",
                "give --set discriminator=false, or what its convolutions are",
            )
