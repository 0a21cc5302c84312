"""Making a network without drawing its initial weights, where others are about to be read in."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class NoInit(TorchFunctionMode):
    """Initial values are not drawn from torch's own generator within: where weights are about to be
    read in, that takes most of the time. What comes from another generator may be a constant of the
    network, which no file holds, and is drawn; but not for a blueprint on the meta device, where
    there are no values, and `normal_` would import torch's compiler first."""

    def __init__(self, *, blueprint: bool = False) -> None:
        super().__init__()
        self.blueprint = blueprint

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if kwargs.get("generator") is not None and not self.blueprint:
            return func(*args, **kwargs)
        if name in _FILLS:
            return args[0] if args else kwargs["tensor"]
        if name in _DRAWS:
            kwargs.pop("generator", None)
            func = _DRAWS[name]
        return func(*args, **kwargs)


_FILLS = {
    *("normal_", "uniform_", "trunc_normal_", "orthogonal_", "sparse_"),
    *(f"{kind}_{law}_" for kind in ("kaiming", "xavier") for law in ("normal", "uniform")),
}
_DRAWS = {
    "randn": torch.empty,
    "rand": torch.empty,
    "randn_like": torch.empty_like,
    "rand_like": torch.empty_like,
}
