"""How NVIDIA's programs pickle networks, as the restricted reader gives them.

PyTorch (stylegan2-ada-pytorch, stylegan3): each module is a call of `_reconstruct_persistent_obj`,
with one argument: the name of its class, the source code of that, which is never run here, and the
attributes. TensorFlow (ProGAN, StyleGAN, StyleGAN2): a tuple G, D, Gs of objects `Network`, whose
state has the settings that differ from the defaults, and the variables by name. Of both, a network
may be alone in its file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganzoo.errors import InputError
from ganzoo.importing.modules import MOST_TENSORS, Account
from ganzoo.importing.tree import Record, label, shown

MOST_MODULES, MOST_COMPONENTS, LONGEST_NAME = 2000, 20, 1000
_CHANGED = "a changed network cannot be imported"

# -- PyTorch ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Module:
    """A module of a file. `source` is the text of the program that had its class."""

    source: str
    state: Mapping[str, Any]

    @classmethod
    def of(cls, node: Any) -> Module | None:
        """The module that a node of the tree is; None where it is none."""
        if not isinstance(node, Record):
            return None
        found = cls("", entries(node.state))
        if node.name == "_reconstruct_persistent_obj" and len(node.args) == 1:
            meta = entries(node.args[0])
            source = meta.get("module_src")
            found = cls(source if isinstance(source, str) else "", entries(meta.get("state")))
        return found if "_modules" in found.state else None

    @property
    def children(self) -> dict[str, Module]:
        found = {name: Module.of(node) for name, node in entries(self.state["_modules"]).items()}
        return {label(name): module for name, module in found.items() if module is not None}

    def modules(self) -> dict[str, Module]:
        """All modules below it, by their dotted names; one that is met again only the first time
        (a file may hold modules that hold themselves)."""
        found: dict[str, Module] = {}
        waiting, seen = deque([("", self)]), {id(self.state)}
        while waiting:
            prefix, module = waiting.popleft()
            for name, child in module.children.items():
                if id(child.state) not in seen:
                    if len(found) >= MOST_MODULES or len(prefix + name) > LONGEST_NAME:
                        raise InputError("a network in the file has too many modules", _CHANGED)
                    seen.add(id(child.state))
                    found[prefix + name] = child
                    waiting.append((f"{prefix}{name}.", child))
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Its parameters and buffers, and those below it, by their dotted names."""
        found: dict[str, Tensor] = {}
        for name, module in {"": self, **self.modules()}.items():
            for key in ("_parameters", "_buffers"):
                for own, value in entries(module.state.get(key)).items():
                    if isinstance(value, Tensor):
                        found[f"{name}.{label(own)}" if name else label(own)] = value
                if len(found) > MOST_TENSORS:
                    raise InputError("a network in the file has too many tensors", _CHANGED)
        return found

    def attribute(self, name: str, kind: type | tuple[type, ...], where: str) -> Any:
        """An attribute of this type.

        Raises:
            InputError: there is none; `where` names the module.
        """
        value = self.state.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(
                f"{where} has no attribute {name!r} that says what the network is",
                "only files of stylegan2-ada-pytorch and stylegan3 are understood",
            )
        return value


def entries(node: Any) -> Mapping[Any, Any]:
    """A mapping of the file, empty where the node is none."""
    return node if isinstance(node, dict) else {}


# -- TensorFlow ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TFNetwork:
    """A network of a file, its components included.

    Attributes:
        where: "G", "D" or "Gs".
        functions: that built it and its components.
        settings: those that were given; the others have the program's defaults.
        variables: by name; those of a component start with its name and a slash.
    """

    where: str
    functions: frozenset[str]
    settings: Mapping[str, Any]
    variables: Mapping[str, Tensor]

    @classmethod
    def of(cls, node: Any, where: str, *, component: bool = False) -> TFNetwork | None:
        """The network that a node of the tree is; None where it is none. A component has none."""
        state = entries(node.state) if isinstance(node, Record) and node.name == "Network" else {}
        variables, function = state.get("variables"), state.get("build_func_name")
        if not isinstance(variables, list) or not isinstance(function, str):
            return None
        components = entries(state.get("components"))
        if len(variables) > MOST_TENSORS or len(components) > MOST_COMPONENTS:
            return None
        functions, settings, found = {function}, dict(entries(state.get("static_kwargs"))), {}
        for item in variables:
            if not (isinstance(item, (tuple, list)) and len(item) == 2):
                return None
            name, value = item
            if not isinstance(name, str) or not isinstance(value, (Tensor, int, float)):
                return None
            found[name] = torch.as_tensor(value)
        for name, below in components.items():
            if component or not isinstance(name, str) or len(name) > 100:
                return None
            part = cls.of(below, where, component=True)
            if part is None:
                return None
            functions |= part.functions
            settings |= part.settings
            found |= {f"{name}/{key}": value for key, value in part.variables.items()}
        return cls(where, frozenset(functions), settings, found)

    def check(
        self,
        functions: Collection[str],
        fixed: Mapping[str, Collection[Any]],
        read: Collection[str],
    ) -> None:
        """Refuse what is not understood.

        Args:
            functions: that may have built it.
            fixed: setting -> the values that it may have.
            read: settings whose values are used, or do not matter.
        """
        for function in self.functions - set(functions):
            raise InputError(
                f"{self.where} was built by {function!r}",
                f"only networks of {', '.join(sorted(functions))} can be imported",
            )
        for name, value in self.settings.items():
            if name not in fixed and name not in read:
                raise InputError(
                    f"{self.where} has the setting {name} = {shown(value)}, which is not known",
                    "a changed network cannot be imported",
                )
            value = value.tolist() if isinstance(value, Tensor) else value
            value = list(value) if isinstance(value, tuple) else value
            if name in fixed and value not in fixed[name]:
                usual = " or ".join(repr(option) for option in fixed[name])
                raise InputError(
                    f"{self.where} has {name} = {shown(value)}", f"only {usual} can be imported"
                )


def tf_networks(root: Any) -> tuple[TFNetwork | None, TFNetwork | None, TFNetwork] | None:
    """G, D and Gs, the average of G, of a file of this form, or one network that was pickled alone,
    taken as Gs; None for others."""
    if isinstance(root, Record):
        alone = TFNetwork.of(root, "Gs")
        return None if alone is None else (None, None, alone)
    if not (isinstance(root, (tuple, list)) and len(root) == 3):
        return None
    G, D, Gs = (TFNetwork.of(node, name) for node, name in zip(root, ("G", "D", "Gs")))
    return None if G is None or D is None or Gs is None else (G, D, Gs)


ALONE = "The file has one network, and does not say whether it is the averaged one."


def resolutions(names: Collection[str]) -> list[int]:
    """The resolutions of TensorFlow's names, "64x64/Conv1/weight", in ascending order."""
    heads = (part for name in names for part in name.split("/")[:-1])
    sizes = {part.partition("x")[0] for part in heads if part.partition("x")[2].isdecimal()}
    return sorted(int(size) for size in sizes if size.isdecimal())


def lod_of(network: TFNetwork) -> float:
    """Where a network that grows was when its file was written: 0 is the full resolution."""
    found = (v for name, v in network.variables.items() if name.rpartition("/")[2] == "lod")
    return next((float(value) for value in found if value.numel() == 1), 0.0)


def growth_notes(network: TFNetwork) -> list[str]:
    """A note, where the file was written while the network grew."""
    lod = lod_of(network)
    if not lod:
        return []
    return [
        f"The file was written while its networks grew (lod = {lod:g}): lod={lod:g} generates as"
        " they did then, lod=0 with layers that were not trained yet."
    ]


def tf_account(networks: Iterable[TFNetwork | None]) -> Account:
    """The variables of networks by "Gs.mapping/Dense0/weight", to be accounted for."""
    present = [network for network in networks if network is not None]
    return Account({f"{n.where}.{name}": v for n in present for name, v in n.variables.items()})


# -- changes of tensors, and what they are called in notes -----------------------------------------


def conv_weight(weight: Tensor) -> Tensor:
    """(kh, kw, in, out) -> (out, in, kh, kw)."""
    return weight.permute(3, 2, 0, 1)


def flipped_conv_weight(weight: Tensor) -> Tensor:
    """(kh, kw, in, out) -> (out, in, kh, kw), turned by half a circle."""
    return conv_weight(weight).flip(2, 3)


TRANSPOSED = "transposed"
FLIPPED = "transposed, kernel flipped"
