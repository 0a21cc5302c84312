"""What the files of facebookresearch/pytorch_GAN_zoo have in common.

{config, netG, netD, avgG[, tmp]}: the config is an object whose attributes are settings; avgG is
the moving average of netG. Names of tensors have `module` levels, of DataParallel and of the
equalised layers, which are left out here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ganzoo.errors import InputError
from ganzoo.importing.importer import Network
from ganzoo.importing.modules import Account, Moves, scaled
from ganzoo.importing.tree import Record, shown

PROGRAM = "facebookresearch/pytorch_GAN_zoo"
OUTPUTS = {"WGANGP": "none", "Logistic": "none", "DCGAN": "tanh", "MSE": "tanh"}
"""Criterion of training -> the generator's last activation."""
OTHER_CRITIC = "a discriminator whose numbers besides the score are not those of the classes"
_LARGEST = 1 << 24
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
    notes = account.drop_outside("netG.", "netD.", "avgG.")
    if not averaged:
        notes.append("The file has no averaged generator: this is the trained one.")
    return notes


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
    D: Moves, config: Mapping[str, Any], image_shape: list[int], *, label: Label, part: str
) -> Network | None:
    """The critic of the program's PGAN and StyleGAN, as `part`: ProGAN's, or one of the same layers
    and settings. Its first number is the score; with a `label`, the others name it. None where it
    has other numbers."""
    scales = D.count("fromRGBLayers.{}.weight")
    start = sorted({name.rpartition(".")[0] for name in D.names if name.startswith("groupScale")})
    if len(start) != 2 or D.shape("decisionLayer.weight")[0] != 1 + label.numbers:
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
    if label.classes:
        settings |= {"num_classes": label.classes, "conditioning": "auxiliary"}
    layers = Equalised(D, config)
    for k in range(scales):
        layers.move(f"fromRGBLayers.{k}", f"from_rgb.{k}.conv")
    for k in range(scales - 1):
        for i in range(2):
            layers.move(f"scaleLayers.{k}.{i}", f"blocks.{k + 1}.conv{i}")
    layers.move(start[0], "blocks.0.conv")
    layers.move(start[1], "blocks.0.dense")
    layers.move("decisionLayer", "blocks.0.score", gain=1.0)
    for leaf in ("weight", "bias"):
        ours = f"blocks.0.score.{leaf}"
        D.state[ours] = label.scores(D.state[ours])
        if label.change:
            D.account(f"decisionLayer.{leaf}", ours, f"times the layer's gain, {label.change}")
    return Network(part, settings, D.state)


@dataclass(frozen=True)
class Label:
    """What of the generator's input, behind z, stands for a class.

    Attributes:
        numbers: how many there are.
        classes: as many, of a one-hot label. Of a label with several attributes, each of which is
            one-hot, a class is a combination of theirs.
        codes: (classes, numbers), of each combination; None of a one-hot label.
        attributes: how many the label has.
    """

    numbers: int = 0
    classes: int = 0
    codes: Tensor | None = None
    attributes: int = 1
    notes: tuple[str, ...] = ()

    @property
    def change(self) -> str:
        """What becomes of a layer for it, in words."""
        return "" if self.codes is None else "summed up for each combination of attributes"

    def of_classes(self, weight: Tensor) -> Tensor:
        """Weights of each number (numbers, …) to those of each class (classes, …)."""
        if self.codes is None:
            return weight
        each = weight[0].numel()
        if self.classes * each > _LARGEST:
            raise InputError(
                f"its label has {self.classes:,} combinations, which would be a layer of"
                f" {self.classes * each:,} weights",
                f"at most {_LARGEST:,} can be imported",
            )
        summed: Tensor = torch.tensordot(self.codes, weight, 1)
        return summed

    def scores(self, weight: Tensor) -> Tensor:
        """The same of a critic's last layer, which has a score (1 + numbers, …): a combination's
        logit is the sum of its attributes', so that its probability is the product of theirs."""
        return torch.cat([weight[:1], self.of_classes(weight[1:])]) if self.classes else weight


def label_of(config: Mapping[str, Any], D: Moves | None, asked: int) -> Label:
    """The label of a file's networks, of as many numbers as the discriminator has besides its
    score.

    Raises:
        InputError: there is a label, of which nobody says that it is one of so many classes.
    """
    numbers = config.get("categoryVectorDim", 0)
    if not isinstance(numbers, int) or numbers <= 0:
        numbers = D.shape("decisionLayer.weight")[0] - 1 if D is not None else 0
    attributes = config.get("attribKeysOrder")
    if asked or not numbers or (isinstance(attributes, Mapping) and len(attributes) == 1):
        return Label(asked or numbers, asked or numbers)
    values = _values(attributes)
    sizes = [len(of_one) for of_one in values.values()]
    classes = math.prod(sizes)
    if not all(sizes) or sum(sizes) != numbers:
        raise InputError(
            f"{numbers} numbers of the generator's input are a label",
            f"give --set classes={numbers} if it is one of {numbers} classes",
        )
    if classes * numbers > _LARGEST:
        raise InputError(
            f"its label has {len(sizes)} attributes, of too many combinations to be classes",
            f"at most {_LARGEST // numbers:,} can be imported",
        )
    places = torch.meshgrid(*map(torch.arange, sizes), indexing="ij")
    codes = [one_hot(place.flatten(), size) for place, size in zip(places, sizes, strict=True)]
    listed = (f"{name} ({', '.join(map(shown, of_one))})" for name, of_one in values.items())
    note = (
        "A class is a combination of the label's attributes, of which the last counts fastest:"
        f" {'; '.join(listed)}."
    )
    return Label(numbers, classes, torch.cat(codes, dim=1).float(), len(sizes), (note,))


def _values(attributes: Any) -> dict[str, Sequence[Any]]:
    """What each attribute of a label can be, in the label's order; empty if that is not clear."""
    found: dict[int, tuple[str, Sequence[Any]]] = {}
    for name, entry in attributes.items() if isinstance(attributes, Mapping) else ():
        match entry:
            case {"order": int(order), "values": [*values]} if order not in found:
                found[order] = shown(name), values
            case _:
                return {}
    return dict(found[number] for number in sorted(found))


def without_label(inputs: int, numbers: int) -> int:
    """Of the generator's `inputs`, those of z.

    Raises:
        InputError: the label has as many `numbers`, or more.
    """
    if numbers >= inputs:
        raise InputError(
            f"classes = {numbers}, but the generator's input has {inputs} numbers",
            "count the classes again",
        )
    return inputs - numbers


def check_faded(config: Mapping[str, Any], size: int) -> list[str]:
    """Notes where the file was written while its last resolution, of `size`, was blended in."""
    alpha = config.get("alpha", 0)
    if not isinstance(alpha, (int, float)) or not alpha:
        return []
    notes = [
        f"The file was written while its last resolution was blended in (alpha = {alpha}):"
        f" lod={alpha:g} generates as it did then, lod=0 as it would when that is over."
    ]
    if size == 8:  # of the first resolution to be blended in, the program's critic leaves it out
        notes.append("The program's discriminator does not blend 8x8: lod=0 gives its scores.")
    return notes
