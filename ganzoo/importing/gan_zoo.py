"""What the files of facebookresearch/pytorch_GAN_zoo have in common.

{config, netG, netD, avgG[, tmp]}: the config is an object whose attributes are settings; avgG is
the moving average of netG. Names of tensors have `module` levels, of DataParallel and of the
equalised layers, which are left out here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ganzoo.errors import InputError
from ganzoo.importing.importer import Network
from ganzoo.importing.modules import Account, Moves, scaled
from ganzoo.importing.tree import Record, shown

PROGRAM = "facebookresearch/pytorch_GAN_zoo"
OUTPUTS = {"WGANGP": "none", "Logistic": "none", "DCGAN": "tanh", "MSE": "tanh"}
"""Criterion of training -> the generator's last activation."""
OTHER_CRITIC = "a discriminator whose numbers besides the score are not those of the classes"
OTHER_CRITIC_NOTE = f"The discriminator was left out: it is {OTHER_CRITIC}."


def settings(root: Any) -> Mapping[str, Any] | None:
    """The attributes of a file's config; None where it is no file of this program."""
    if not isinstance(root, Mapping) or not isinstance(root.get("netG"), Mapping):
        return None
    config = root.get("config")
    if isinstance(config, Record):
        return config.state if isinstance(config.state, Mapping) else None
    return config if isinstance(config, Mapping) else None


def generator(root: Mapping[str, Any], account: Account) -> Moves:
    """The averaged generator, or the only one."""
    key = "avgG" if isinstance(root.get("avgG"), Mapping) and root["avgG"] else "netG"
    return account.network("generator", f"{key}.", without=("module",))


def discriminator(root: Mapping[str, Any], account: Account) -> Moves | None:
    if not isinstance(root.get("netD"), Mapping):
        return None
    return account.network("discriminator", "netD.", without=("module",))


def drop_rest(root: Mapping[str, Any], account: Account) -> list[str]:
    """What is of no network; and the notes that follow from what the file has."""
    averaged = isinstance(root.get("avgG"), Mapping) and root["avgG"]
    if averaged:
        account.drop("netG.", "the generator before averaging")
    for name in account.tensors:
        if not name.startswith(("netG.", "netD.", "avgG.")):
            account.drop(name, "not of a network, but of the training")
    return [] if averaged else ["The file has no averaged generator: this is the trained one."]


def output(config: Mapping[str, Any], asked: str | None) -> str:
    """The generator's last activation, "tanh" or "none".

    Raises:
        InputError: neither the file nor a setting says so.
    """
    criterion = config.get("lossCriterion", config.get("lossMode"))
    if asked is not None:
        return asked
    if not isinstance(criterion, str) or criterion not in OUTPUTS:
        raise InputError(
            f"the file does not say what follows the generator's last layer"
            f" (its lossCriterion is {shown(criterion)})",
            "give --set output=tanh (for DCGAN and MSE) or --set output=none (WGANGP, Logistic)",
        )
    return OUTPUTS[criterion]


class Equalised:
    """Moves layers of a network whose gain is sqrt(2 / fan_in) for each of them, and multiplies the
    bias, too."""

    def __init__(self, network: Moves, config: Mapping[str, Any]) -> None:
        self.network = network
        self.on = bool(config.get("equalizedlR", True))
        slope = config.get("leakyReluLeak", 0.2)
        if slope != 0.2:
            raise InputError(
                f"the networks have a LeakyReLU of slope {shown(slope)}",
                "ours have 0.2; it cannot be set",
            )

    def move(
        self,
        name: str,
        target: str,
        *,
        gain: float = math.sqrt(2),
        lr_multiplier: float = 1.0,
        bias: str = "",
    ) -> None:
        """A layer to ours, whose runtime factor is `gain` / sqrt(fan_in) * `lr_multiplier`, and
        whose bias is multiplied by `lr_multiplier`; `bias` is its name where it is no layer's."""
        fan_in = self.network[f"{name}.weight"][0].numel()
        factor = (math.sqrt(2 / fan_in) if self.on else 1.0) * lr_multiplier
        ours = gain / math.sqrt(fan_in) * lr_multiplier
        if self.on:
            note = "gains differ" if abs(factor / ours - 1) > 1e-6 else ""
        else:
            note = "made for a runtime gain, which the program did without"
            factor /= lr_multiplier
        change = scaled(factor / ours) if note else None
        self.network.move(f"{name}.weight", f"{target}.weight", change, note)
        note = "times the layer's gain, which the program applies to it" if self.on else ""
        self.network.move(
            f"{name}.bias", bias or f"{target}.bias", scaled(factor / lr_multiplier), note
        )


def progressive_discriminator(
    D: Moves, config: Mapping[str, Any], image_shape: list[int], *, classes: int, part: str
) -> Network | None:
    """The critic of the program's PGAN and StyleGAN, as `part`: ProGAN's, or one of the same layers
    and settings. Its first number is the score; with `classes`, the others name them. None where it
    has other numbers."""
    scales = D.count("fromRGBLayers.{}.weight")
    start = sorted({name.rpartition(".")[0] for name in D.names if name.startswith("groupScale")})
    if len(start) != 2 or D.shape("decisionLayer.weight")[0] != 1 + classes:
        return None
    fmaps = [D.shape(f"fromRGBLayers.{k}.weight")[0] for k in range(scales)]
    groups = D.shape(f"{start[0]}.weight")[1] > fmaps[0]
    settings: dict[str, Any] = {
        "image_shape": image_shape,
        "fmaps": fmaps,
        "group_size": 4 if groups else 0,
        "consecutive_groups": groups,
        "fused_scale": False,
        "dense_width": D.shape(f"{start[1]}.weight")[0],
    }
    if classes:
        settings |= {"num_classes": classes, "conditioning": "auxiliary"}
    layers = Equalised(D, config)
    for k in range(scales):
        layers.move(f"fromRGBLayers.{k}", f"from_rgb.{k}.conv")
    for k in range(scales - 1):
        for i in range(2):
            layers.move(f"scaleLayers.{k}.{i}", f"blocks.{k + 1}.conv{i}")
    layers.move(start[0], "blocks.0.conv")
    layers.move(start[1], "blocks.0.dense")
    layers.move("decisionLayer", "blocks.0.score", gain=1.0)
    return Network(part, settings, D.state)


def classes(config: Mapping[str, Any], D: Moves | None, asked: int) -> int:
    """How many numbers of the generator's input, the last ones, are a one-hot label: as many as
    the discriminator has besides its score.

    Raises:
        InputError: there is a label, of which nobody says that it is one of so many classes.
    """
    numbers = config.get("categoryVectorDim", 0)
    if not isinstance(numbers, int) or numbers <= 0:
        numbers = D.shape("decisionLayer.weight")[0] - 1 if D is not None else 0
    attributes = config.get("attribKeysOrder")
    if asked or not numbers or (isinstance(attributes, Mapping) and len(attributes) == 1):
        return asked or numbers
    raise InputError(
        f"{numbers} numbers of the generator's input are a label",
        f"give --set classes={numbers} if it is one of {numbers} classes; several attributes"
        " in one label cannot be converted",
    )


def without_classes(inputs: int, classes: int) -> int:
    """Of the generator's `inputs`, those of z.

    Raises:
        InputError: there are not so many classes.
    """
    if classes >= inputs:
        raise InputError(
            f"classes = {classes}, but the generator's input has {inputs} numbers",
            "count the classes again",
        )
    return inputs - classes


def check_faded(config: Mapping[str, Any]) -> list[str]:
    """A note where the file was written while its last resolution was blended in."""
    alpha = config.get("alpha", 0)
    if not isinstance(alpha, (int, float)) or not alpha:
        return []
    return [
        f"The file was written while its last resolution was blended in (alpha = {alpha}):"
        f" lod={alpha:g} generates as it did then, lod=0 as it would when that is over."
    ]
