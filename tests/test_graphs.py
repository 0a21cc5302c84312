"""CUDA graphs without a GPU: `recording` notes operations as one does, and does them again.

What a graph would freeze is frozen here: values that Python sees, and all that is not computed from
its inputs where they lie.
"""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ganzoo import graphs, inference
from ganzoo.errors import InputError
from ganzoo.models import Generator
from tests.pretended_gpu import pretended_gpu
from tests.tiny import GENERATORS, generator


class Graph:
    """`torch.cuda.CUDAGraph`, of operations on the CPU."""

    made: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.made["graphs"] += 1

    def replay(self) -> None:
        self.made["replays"] += 1
        for func, args, kwargs, results in self.operations:
            again = func(*args, **kwargs)
            for result, found in zip(_listed(results), _listed(again), strict=True):
                if isinstance(result, Tensor) and not _same_memory(result, found):
                    result.copy_(found)


def _listed(results: Any) -> Any:
    return results if isinstance(results, (tuple, list)) else [results]


def _same_memory(a: Tensor, b: Tensor) -> bool:
    """As of a view, which is no operation of a GPU."""
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


class Waiting(TorchFunctionMode):
    """What Python asks of a tensor's values has to wait for them."""

    asking = (Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__int__, Tensor.__float__)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.asking:
            raise RuntimeError("operation not permitted when stream is capturing")
        return func(*args, **(kwargs or {}))


class Recording(TorchDispatchMode):
    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.graph.operations.append((func, args, kwargs or {}, found))
        return found


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Within, there is a GPU on which graphs are recorded; how often."""

    class Stream:
        current: ClassVar[Any] = None

        def wait_stream(self, other: Any) -> None: ...

        def wait_event(self, event: Any) -> None:
            Graph.made["waits"] += 1

    @contextlib.contextmanager
    def on(stream: Any) -> Iterator[None]:
        former, Stream.current = Stream.current, stream
        try:
            yield
        finally:
            Stream.current = former

    @contextlib.contextmanager
    def graph(made: Graph, pool: Any, stream: Any, capture_error_mode: str) -> Iterator[None]:
        assert torch.is_inference_mode_enabled() is False and not torch.is_grad_enabled()
        assert not gc.isenabled()
        former, Stream.current = Stream.current, stream
        with Recording(made), Waiting():
            yield
        Stream.current = former  # as torch does, which after an error stays there

    Stream.current = Stream()
    with pretended_gpu():
        for name, value in {
            "CUDAGraph": Graph, "graph": graph, "graph_pool_handle": lambda: None,
            "Stream": Stream, "current_stream": lambda: Stream.current, "stream": on,
            "Event": lambda: SimpleNamespace(record=lambda: None),
            "device": contextlib.nullcontext,
        }.items():  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, value)
        # what a compiler makes is its own; here it is the network as it is
        monkeypatch.setattr(torch, "compile", lambda network, dynamic: network)
        monkeypatch.setattr(inference.How, "__post_init__", lambda self: None)
        Graph.made.clear()
        yield Graph.made


def compared(G: Generator, n: int, **options: Any) -> None:
    """`sample` by graphs makes the images that it makes without."""
    G.how = inference.How()
    expected = torch.Tensor(G.sample(n, **options))
    G.how = inference.How(compile=True)
    found = torch.Tensor(G.sample(n, **options))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5, msg=f"{n} {options}")


@pytest.mark.parametrize("name", GENERATORS)
def test_a_graph_freezes_nothing(name: str, recording: Counter[str]) -> None:
    """Neither seeds nor labels, in any batch."""
    G = generator(name).to("cuda")
    for n, seed in ((1, 0), (1, 9), (4, 3), (3, 5), (4, 8)):
        compared(G, n, seed=seed)
    if G.num_classes:
        compared(G, 4, labels=1)
        compared(G, 4, labels=[0, 1, 0, 1])
    assert recording["graphs"] == 2  # of 1 and 4 images; of 3 no more
    assert recording["replays"] >= 5
    assert recording["waits"] == recording["graphs"] + recording["replays"]  # for the one before


def test_options_are_not_frozen_either(recording: Counter[str]) -> None:
    G = generator("stylegan2", num_classes=3).to("cuda")
    for truncation in (0.7, 0.3, -0.5, 0, 1.5):
        compared(G, 2, seed=4, truncation=truncation)
    assert recording["graphs"] == 1  # a tensor is as good as a number
    for options in (
        {"truncation": 0.7, "truncation_cutoff": 1}, {"noise": "none"}, {"noise": "random"},
        {"mix": (7, 2)}, {"mix": (8, 2)}, {"mix": (8, 3)}, {"truncation": 0.4, "mix": (8, 3)}, {},
    ):  # fmt: skip
        compared(G, 2, seed=4, **options)
    assert recording["graphs"] == 7  # one of each but that of random noise, and of two seeds
    G = generator("progan").to("cuda")
    for lod in (0.0, 0.4, 1.0):
        compared(G, 2, lod=lod)


def test_new_weights_are_recorded_anew(recording: Counter[str]) -> None:
    G = generator("dcgan").to("cuda")
    compared(G, 2)
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.mul_(1.3)
    compared(G, 2)
    assert recording["graphs"] == 2


def test_images_are_the_callers_own(recording: Counter[str]) -> None:
    """The next ones are not written over them."""
    form = inference.fast(generator("dcgan").to("cuda"), inference.How(compile=True))
    z = torch.randn(2, 8, form.network.config.z_dim).to("cuda")
    first = form(z[0])
    kept = first.clone()
    second = form(z[1])
    assert torch.equal(first, kept) and not torch.allclose(second, first, atol=1e-4)
    first.zero_()
    assert torch.equal(form(z[1]), second)


def test_few_graphs_are_kept(recording: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST", 2)
    G = generator("stylegan2").to("cuda")
    G.how = inference.How(compile=True)
    for mix in (1, 2, 1, 3, 1, 2):
        G.sample(2, mix=(5, mix))
    assert recording["graphs"] == 4  # 2 was the one used longest ago when 3 came


def test_what_waits_for_the_gpu_is_refused(recording: Counter[str]) -> None:
    class Waits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.weight if x.sum().item() > 0 else x

    form = inference.Form(Waits().to("cuda"), inference.How(compile=True))
    stream = torch.cuda.current_stream()
    for _ in range(2):
        with pytest.raises(InputError, match=r"waits for the GPU .*: load it without compile"):
            form(torch.ones(3, 2).to("cuda"))
        assert torch.cuda.current_stream() is stream and gc.isenabled()
    assert [type(graph) for graph in graphs._FAILED[-2:]] == [Graph, Graph]  # torch needs them
