"""Programs may change torch's defaults; the networks of model folders are float32 regardless."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def usual_defaults() -> Iterator[None]:
    """Within, new tensors are float32 and on the CPU, as torch comes, whatever the program said by
    `torch.set_default_dtype`, `torch.set_default_device` or `with torch.device(…)`."""
    import torch

    new = torch.empty(0)
    with contextlib.ExitStack() as stack:
        if new.dtype != torch.float32:
            stack.callback(torch.set_default_dtype, new.dtype)
            torch.set_default_dtype(torch.float32)
        if new.device.type != "cpu":  # a mode costs time at each operation
            stack.enter_context(torch.device("cpu"))
        yield
