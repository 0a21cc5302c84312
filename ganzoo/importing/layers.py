"""Plain stacks of layers, read from the names and shapes of a state dict.

A state dict has its modules in the order in which they were made, which for plain networks is the
order in which they are used. Modules without tensors (activations, dropout, upsampling) are not in
it: a gap in the numbers of an `nn.Sequential` says that there is one, not which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor

from ganzoo.importing import tree
from ganzoo.importing.tree import Record
from ganzoo.importing.whole import Said

NETWORKS = {
    "generator": (
        "generator", "netG", "G", "gen", "g", "generator_model", "model_G", "Generator", "net_G",
        "netg", "modelG", "gen_model", "g_model",
    ),
    "discriminator": (
        "discriminator", "netD", "D", "disc", "d", "discriminator_model", "model_D",
        "Discriminator", "net_D", "netd", "modelD", "disc_model", "d_model", "critic", "dis",
    ),
}  # fmt: skip
"""Role -> what programs call it, as a key of a file (also as in `KEYS`) or the first part of the
names of its tensors."""
KEYS = (
    "{}_ema", "ema_{}", "{}_avg", "avg_{}",
    "{}", "{}_state_dict", "{}_state", "{}_model", "state_dict_{}",
)  # fmt: skip
"""An average of the weights is taken rather than them."""
WRAPPERS = ("state_dict", "model_state_dict", "model")
LEVELS = ("module", "_orig_mod")
"""Of DataParallel and torch.compile, which names of tensors are given without."""


@dataclass(frozen=True)
class Found:
    """A module of a state dict.

    Attributes:
        name: its own, without those of wrappers.
        kind: "embedding" is a linear layer without bias whose name says so.
        weight: its shape; for a batch norm, (channels,).
        bias: whether it has one.
        affine: whether a batch norm has a gain and bias.
        stats: whether it has running statistics; without, it is another norm ("batch-norm" too).
        said: what the file says of it besides, where it was saved whole.
        listed: whether no number is left out among those of its nn.Sequential or nn.ModuleList,
            so that it is rather the latter.
    """

    name: str
    kind: Literal["linear", "conv", "batch-norm", "embedding"]
    weight: tuple[int, ...]
    bias: bool = True
    affine: bool = True
    stats: bool = True
    said: Said | None = field(default=None, compare=False)
    listed: bool = field(default=False, compare=False)

    def modules_until(self, following: Found) -> int | None:
        """How many modules without tensors lie between, where both are of one nn.Sequential."""
        if self.listed or (self.said is not None and not self.said.followed):
            return None
        (mine, number), (others, other) = (f.name.rpartition(".")[::2] for f in (self, following))
        if mine != others or not (number.isdecimal() and other.isdecimal()):
            return None
        return int(other) - int(number) - 1


def prefixes(root: Any) -> dict[str, str]:
    """Role -> the prefix of its tensors' names in the file. A state dict that does not say whose it
    is is a generator's; several in a row may be of anything."""
    start, found = "", {}
    if not isinstance(root, (Mapping, Record)):
        return {}
    for wrapper in WRAPPERS:
        if isinstance(root, Mapping) and isinstance(root.get(wrapper), (Mapping, Record)):
            start, root = f"{start}{wrapper}.", root[wrapper]
    names = [name for name, _ in tree.tensors(root)]
    for role, keys in NETWORKS.items():
        for key in (form.format(key) for form in KEYS for key in keys):
            for prefix in (f"{key}.", f"module.{key}."):
                if role not in found and any(name.startswith(prefix) for name in names):
                    found[role] = start + prefix
    if list(found) == ["generator"] and _is_a_part(root, names, found["generator"][len(start) :]):
        return {"generator": start}
    return found or {"generator": start}


def _is_a_part(root: Mapping[Any, Any] | Record, names: list[str], prefix: str) -> bool:
    """Whether what has the prefix is one of several parts of a single network (`gen`, beside an
    embedding), and not a network in a file with other things."""
    own = names
    if isinstance(root, Mapping):
        own = [
            key for key, value in root.items() if isinstance(key, str) and isinstance(value, Tensor)
        ]
    return len({name.startswith(prefix) for name in own}) == 2


def modules_of(
    tensors: Mapping[str, Tensor], said: Mapping[str, Said] | None = None
) -> list[Found] | None:
    """The modules of a state dict, in order; None where one is of no kind that is known here.
    `said`: of a network that was saved whole, what else is in the file."""
    groups: dict[str, dict[str, tuple[int, ...]]] = {}
    for path, tensor in tensors.items():
        name, _, leaf = path.rpartition(".")
        groups.setdefault(name, {})[leaf] = tuple(tensor.shape)
    said = said or {}
    found = [_module(name, shapes, said.get(name)) for name, shapes in groups.items()]
    numbers: dict[str, list[int]] = {}
    for name in groups:
        above, _, own = name.rpartition(".")
        numbers.setdefault(above, []).append(int(own) if own.isdecimal() else -1)
    listed = {above for above, own in numbers.items() if len(own) > max(own) - min(own)}
    known = [
        replace(module, listed=module.name.rpartition(".")[0] in listed)
        for module in found
        if module is not None
    ]
    return known if len(known) == len(found) else None


def _module(name: str, shapes: Mapping[str, tuple[int, ...]], said: Said | None) -> Found | None:
    leaves = set(shapes)
    if any(0 in shape for shape in shapes.values()):
        return None
    if {"running_mean", "running_var"} <= leaves:
        norm = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
        channels = shapes["running_mean"]
        if leaves <= norm and ("weight" in leaves) == ("bias" in leaves) and len(channels) == 1:
            return Found(name, "batch-norm", channels, affine="weight" in leaves, said=said)
        return None
    weight = shapes.get("weight", ())
    if leaves == {"weight", "bias"} and len(weight) == 1 and shapes["bias"] == weight:
        return Found(name, "batch-norm", weight, stats=False, said=said)
    if not leaves <= {"weight", "bias"} or len(weight) not in (2, 4):
        return None
    if len(weight) == 4 and weight[2] != weight[3]:
        return None
    bias = "bias" in leaves
    if len(weight) == 2:
        embeds = "emb" in name if said is None else said.kind == "Embedding"
        kind: Any = "embedding" if not bias and embeds else "linear"
        return Found(name, kind, weight, bias, said=said)
    return Found(name, "conv", weight, bias, said=said)


def is_plain_dcgan(found: list[Found] | None) -> bool:
    """Whether it is the generator of PyTorch's DCGAN example, of any size and any halving widths:
    `main`, of 4x4 transposed convolutions without bias, all but the last with a batch norm."""
    if not found or found[0].name != "main.0":
        return False
    convolutions, norms = found[::2], found[1::2]
    numbers = [
        str(n) for k in range(len(convolutions)) for n in (3 * k, 3 * k + 1)
    ][: len(found)]  # fmt: skip
    return (
        len(convolutions) == len(norms) + 1 >= 3
        and [f.name for f in found] == [f"main.{n}" for n in numbers]
        and all(f.kind == "conv" and f.weight[2] == 4 and not f.bias for f in convolutions)
        and all(f.kind == "batch-norm" and f.affine and f.stats for f in norms)
        and all(a.weight[1] == b.weight[0] for a, b in pairwise(convolutions))
        and all(a.weight[1] == 2 * b.weight[1] for a, b in pairwise(convolutions[:-1]))
        and is_as_in_the_example(found)
    )


def is_as_in_the_example(found: list[Found], *, critic: bool = False) -> bool:
    """Whether the modules of PyTorch's DCGAN, where they were saved whole, have the settings and
    activations that a state dict does not show."""
    kinds = {
        "conv": ("Conv2d",) if critic else ("ConvTranspose2d",),
        "batch-norm": ("BatchNorm2d", "SyncBatchNorm"),
    }
    for module in found:
        if module.said is None:
            continue
        own: Mapping[str, Any] = {"eps": 1e-5}
        if module.kind == "conv":
            own = _OF_A_PIXEL if module is found[-1 if critic else 0] else _HALVING
        if (
            module.said.kind not in kinds.get(module.kind, ())
            or not _has(module.said, {**USUAL, **own})
            or _activations(module.said) not in _expected(module, found, critic)
        ):
            return False
    return True


USUAL = {
    "dilation": (1, 1),
    "groups": 1,
    "padding_mode": "zeros",
    "max_norm": None,
    "_forward_hooks": {},
    "_forward_pre_hooks": {},
}
"""Settings of torch's modules that ours have not, as they do nothing."""
_OF_A_PIXEL = {"stride": (1, 1), "padding": (0, 0), "output_padding": (0, 0)}
_HALVING = {"stride": (2, 2), "padding": (1, 1), "output_padding": (0, 0)}


def _has(said: Said, settings: Mapping[str, Any]) -> bool:
    return all(said.settings.get(name, value) == value for name, value in settings.items())


def _activations(said: Said) -> list[Any]:
    return [(each.kind, each.settings.get("negative_slope")) for each in said.behind]


def _expected(module: Found, found: list[Found], critic: bool) -> list[list[Any]]:
    if module is found[-1]:
        return [[("Sigmoid", None)], []] if critic else [[("Tanh", None)]]
    if module.kind == "batch-norm" or (critic and module is found[0]):
        return [[("LeakyReLU", 0.2)] if critic else [("ReLU", None)]]
    return [[]]
