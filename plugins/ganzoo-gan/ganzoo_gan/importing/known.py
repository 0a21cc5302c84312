"""Programs whose plain networks are known by their names, widths and gaps.

eriklindernoren/PyTorch-GAN (and its many descendants) writes `BatchNorm2d(c, 0.8)`: that is an eps
of 0.8, which no state dict shows. Its MLPs without labels do so or not: WGAN-GP and BGAN had
PyTorch's default at first, under the same names, so that their eps is asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ganzoo.importing.layers import Found
from ganzoo_gan.importing.config import PlainConfig

PYTORCH_GAN = "eriklindernoren/PyTorch-GAN"
_MLP = [f"model.{k}" for k in (0, 2, 3, 5, 6, 8, 9, 11)]
_MLP_WIDTHS = [128, 256, 256, 512, 512, 1024, 1024]
_DCGANS = [
    ["l1.0", *(f"{name}.{k}" for k in (0, 2, 3, 6, 7, 9))] for name in ("conv_blocks", "conv_model")
]  # of 2018
_CRITIC = [*(f"model.{k}" for k in (0, 3, 6, 7, 10, 11, 14)), "adv_layer.0"]


def is_mlp(found: list[Found]) -> bool:
    """Of its GAN, CGAN and others: four linear layers of 128 to 1024 units before the last."""
    body = [module for module in found if module.kind != "embedding"]
    return [f.name for f in body] == _MLP and [f.weight[0] for f in body[:-1]] == _MLP_WIDTHS


def is_upsampling_dcgan(found: list[Found]) -> bool:
    """Of its DCGAN, ACGAN, SGAN and others: a linear layer, and convolutions of 3x3 of what was
    upsampled."""
    body = [module for module in found if module.kind != "embedding"]
    return [f.name for f in body] in _DCGANS and all(
        f.weight[2:] == (3, 3) for f in body if f.kind == "conv"
    )


def critic_settings(
    found: list[Found], critic: list[Found] | None, asked: PlainConfig
) -> PlainConfig:
    """What is known of the critic beside its DCGAN: each convolution, of 3x3, halves the size."""
    convolutions = [f for f in critic or [] if f.kind == "conv"]
    is_theirs = [f.name for f in critic or []] == _CRITIC and is_upsampling_dcgan(found)
    if not is_theirs or any(f.weight[2:] != (3, 3) for f in convolutions):
        return asked
    count = len(convolutions)
    return replace(
        asked,
        discriminator_strides=asked.discriminator_strides or (2,) * count,
        discriminator_paddings=asked.discriminator_paddings or (1,) * count,
    )


def program(found: list[Found]) -> str:
    return PYTORCH_GAN if is_mlp(found) or is_upsampling_dcgan(found) else "plain PyTorch layers"


def settings(found: list[Found], asked: PlainConfig) -> tuple[PlainConfig, list[str]]:
    """What is known of the networks where the user does not say other, and a note that says so."""
    if not (is_mlp(found) or is_upsampling_dcgan(found)):
        return asked, []
    facts: dict[str, Any] = {"activation": "leaky-relu", "slope": 0.2, "output": "tanh"}
    facts |= {"discriminator_slope": 0.2, "discriminator_labels": "last"}
    facts |= {"norm": "none", "discriminator_norm": "none"}  # but batch norms
    if is_mlp(found):
        facts["labels"] = "first"
    knows_eps = is_upsampling_dcgan(found) or any(f.kind == "embedding" for f in found)
    if knows_eps:
        facts["eps"] = 0.8
    taken = {name: value for name, value in facts.items() if getattr(asked, name) is None}
    note = (
        "Names and widths are those of PyTorch-GAN, and so is what the file does not say: LeakyReLU"
        f" 0.2, tanh{', and batch norms with an eps of 0.8' if knows_eps else ''}"
    )
    changed = sorted(facts.keys() - taken.keys())
    return replace(asked, **taken), [f"{note}; as was asked, not its {', '.join(changed)}."
                                     if changed else f"{note}."]  # fmt: skip
