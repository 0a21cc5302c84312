"""What the files of facebookresearch/pytorch_GAN_zoo have in common.

{config, netG, netD, avgG[, tmp]}: the config is an object whose attributes are settings; avgG is
the moving average of netG. Names of tensors have `module` levels, of DataParallel and of the
equalised layers, which are left out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganzoo.errors import InputError
from ganzoo.importing.modules import Account, Moves
from ganzoo.importing.tree import Record

PROGRAM = "facebookresearch/pytorch_GAN_zoo"
OUTPUTS = {"WGANGP": "none", "Logistic": "none", "DCGAN": "tanh", "MSE": "tanh"}
"""Criterion of training -> the generator's last activation."""


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
    for key in root:
        if key not in ("netG", "netD", "avgG"):
            account.drop(f"{key}.", "not of a network, but of the training")
    return [] if averaged else ["The file has no averaged generator: this is the trained one."]


def output(config: Mapping[str, Any], asked: str | None) -> str:
    """The generator's last activation, "tanh" or "none".

    Raises:
        InputError: neither the file nor a setting says so.
    """
    criterion = config.get("lossCriterion", config.get("lossMode"))
    if asked is not None:
        return asked
    if criterion not in OUTPUTS:
        raise InputError(
            f"the file does not say what follows the generator's last layer"
            f" (its lossCriterion is {criterion!r})",
            "give --set output=tanh (for DCGAN and MSE) or --set output=none (WGANGP, Logistic)",
        )
    return OUTPUTS[criterion]
