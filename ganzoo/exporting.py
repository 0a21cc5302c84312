"""Generators for other programs: ONNX, and PyTorch's ExportedProgram, each checked against its
source before it gets its name.

An exported file is a graph: z, and labels and a truncation where the generator has them, to images.
What a graph cannot hold stands in its metadata: how a seed becomes z, what the labels mean, whose
weights these are, and that its images are to be marked as generated. ganzoo writes such files and
never loads one, save to check what it has just written.
"""

from __future__ import annotations

import importlib
import io
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ganzoo import files, loading, marks, rng
from ganzoo.errors import CheckpointError, InputError, PluginError, printable
from ganzoo.torch_defaults import usual_defaults

if TYPE_CHECKING:
    from ganzoo.models import Generator

FORMATS = {"onnx": ".onnx", "pt2": ".pt2"}
"""Format -> the suffix of its files."""
TOLERANCE = 1e-4
"""The largest difference of a pixel, in [-1, 1], that a file is kept with."""
OLDEST_TORCH = "2.7"
"""Whose exporter to ONNX has what generators are made of."""
LARGEST_ONNX = 2_000_000_000
"""Bytes of weights: one file in the ONNX format holds at most 2 GiB."""
_SEEDS = ((0,), (2**63 - 1, 1), (2, 3, 5, 7, 11))  # of each batch that is checked
_TRUNCATIONS = (1.0, 0.7, 0.0, -0.5)
_METADATA = "ganzoo.json"  # in a .pt2

Inputs = dict[str, Tensor]
"""By name: z (N, z_dim); labels (N,) and truncation () where the generator has them."""


@dataclass(frozen=True)
class Export:
    """A file that was written and checked.

    Attributes:
        path: the file.
        to: its format.
        inputs: the names of its inputs.
        images: how many were compared.
        max_abs_error: the largest difference of a pixel, in [-1, 1].
    """

    path: Path
    to: str
    inputs: tuple[str, ...]
    images: int
    max_abs_error: float


@usual_defaults()
def export(source: str | Path, path: str | Path, *, to: str | None = None) -> Export:
    """Write a generator as ONNX or as an ExportedProgram of PyTorch.

    Inputs: `z` float32 (N, z_dim), for any N; `labels` int64 (N,) of a conditional generator;
    `truncation`, a float32 scalar, of one with a w space (1 for none). Output: `images` float32
    (N, C, H, W), clamped to [-1, 1] as those of `sample`; the noise of layers is "const". The file
    is loaded again and compared with `sample`, for several batches, seeds, labels and truncations.

    Args:
        source: as `ganzoo.load` takes it.
        path: the file; it is whole and checked, or absent.
        to: "onnx" or "pt2"; by default the suffix of `path` says it. ONNX needs `ganzoo[onnx]` and
            torch 2.7.

    Raises:
        InputError: another format or suffix, packages that lack, a model too large for ONNX.
        PluginError: the generator does what a graph cannot hold.
        CheckpointError: the file's images differ from the source's by more than 1e-4.
    """
    path = Path(path)
    to = find_format(path, to)
    if to == "onnx":
        _need_onnx()
    generator = loading.load(source)
    weights = [*generator.parameters(), *generator.buffers()]
    size = sum(tensor.nbytes for tensor in weights)
    if to == "onnx" and size > LARGEST_ONNX:
        raise InputError(
            f"{generator.name} has {size:,} bytes of weights, an ONNX file holds 2 GiB",
            "use --to pt2",
        )
    program = _program(generator)
    write, run_of = (_write_onnx, _run_onnx) if to == "onnx" else (_write_pt2, _run_pt2)
    facts = metadata(generator)
    with files.replacing(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporters' own code
            write(program, facts, temporary)
            run = run_of(temporary)
            images, error = _compare(generator, run)
        if not error <= TOLERANCE:  # nor if it is no number
            raise CheckpointError(
                f"the images of the exported {generator.name} differ from its own by {error:.1e},"
                f" more than {TOLERANCE:.0e}: no file is left",
                "try the other format, and report it as an error of ganzoo",
            )
    return Export(path, to, tuple(_example(generator)), images, error)


def find_format(path: Path, to: str | None) -> str:
    """The format that is asked for, or that the suffix says; one that does not fit is refused."""
    suffix = path.suffix.lower()
    if to is not None and to not in FORMATS:
        raise InputError(f"there is no export to {to!r}", f"use {' or '.join(FORMATS)}")
    found = next((name for name, end in FORMATS.items() if end == suffix), None)
    if found is None or (to is not None and to != found):
        wanted = [FORMATS[to]] if to else list(FORMATS.values())
        raise InputError(
            f"cannot export to {path}", f"name a file that ends in {' or '.join(wanted)}"
        )
    if path.is_dir():
        raise InputError(f"{path} is a folder", "give the name of a file")
    return found


def _need_onnx() -> None:
    if torch.__version__ < OLDEST_TORCH:
        raise InputError(
            f"export to ONNX needs torch {OLDEST_TORCH}, and this is {torch.__version__}",
            "use --to pt2, or pip install -U torch",
        )
    for name in ("onnx", "onnxruntime", "onnxscript"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InputError(
                f"export to ONNX needs {name}", "pip install 'ganzoo[onnx]'"
            ) from error


# -- the graph -------------------------------------------------------------------------------------


class _Graph(nn.Module):
    """z, labels and truncation to clamped images, with all options of the generator neutral."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator: Any = generator
        self.has_w = "w-space" in generator.provides

    def forward(
        self, z: Tensor, labels: Tensor | None = None, truncation: Tensor | None = None
    ) -> Tensor:
        if not self.has_w:
            return self.generator(z, labels).clamp(-1, 1)  # type: ignore[no-any-return]
        # `mapping` compares its truncation with 1, which a tensor in a graph has not: 0 gives the
        # point towards which it truncates, and the rest is its definition
        ws = self.generator.mapping(z, labels)
        average = self.generator.mapping(z, labels, truncation=0.0)
        ws = torch.lerp(average, ws, truncation)  # type: ignore[arg-type]
        return self.generator.synthesis(ws).clamp(-1, 1)  # type: ignore[no-any-return]


def _example(generator: Generator) -> Inputs:
    """Inputs of two images; a batch of one would be taken for the only one."""
    inputs = {"z": generator.latents([0, 1])}
    if generator.num_classes:
        inputs["labels"] = torch.zeros(2, dtype=torch.int64)
    if "w-space" in generator.provides:
        inputs["truncation"] = torch.tensor(1.0)
    return inputs


def _program(generator: Generator) -> Any:
    """The generator as an ExportedProgram, for batches of any size."""
    inputs = _example(generator)
    batch = torch.export.Dim("batch", min=1, max=1 << 31)  # torch 2.6 wants a largest one
    shapes: dict[str, Any] = {name: {0: batch} if x.ndim else {} for name, x in inputs.items()}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(
                _Graph(generator).eval(), (), inputs, dynamic_shapes=shapes, strict=False
            )
    except Exception as error:  # torch has many kinds of them for what it cannot trace
        first = printable(str(error).partition("\n")[0], longest=300)
        raise PluginError(
            f"{generator.name} cannot be exported ({type(error).__name__}: {first})",
            "its network must not depend on values, nor take a batch's size by len(x): x.shape[0]",
        ) from error


# -- the formats -----------------------------------------------------------------------------------


def _write_onnx(program: Any, facts: dict[str, str], path: Path) -> None:
    import onnx

    names = list(program.graph_signature.user_inputs)
    try:
        exported: Any = torch.onnx.export(
            program, dynamo=True, input_names=names, output_names=["images"], verbose=False
        )
    except Exception as error:  # an operation that ONNX lacks, in words of many lines
        first = printable(str(error).strip().partition("\n")[0], longest=300)
        raise PluginError(
            f"it cannot be written as ONNX ({type(error).__name__}: {first})", "use --to pt2"
        ) from error
    model = exported.model_proto
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:  # a name that torch made up
                dimension.dim_param = "batch"
    del model.graph.value_info[:]  # has the former name, and is no more than a hint
    model.producer_name, model.doc_string = "ganzoo", facts["about"]
    onnx.helper.set_model_props(model, {f"ganzoo.{key}": value for key, value in facts.items()})
    onnx.save_model(model, str(path))


def _run_onnx(path: Path) -> Callable[[Inputs], Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> Tensor:
        (images,) = session.run(["images"], {name: x.numpy() for name, x in inputs.items()})
        return torch.from_numpy(images)

    return run


def _write_pt2(program: Any, facts: dict[str, str], path: Path) -> None:
    buffer = io.BytesIO()  # torch's own writer ends the whole program where a disk is full
    torch.export.save(program, buffer, extra_files={_METADATA: json.dumps(facts, indent=1)})
    path.write_bytes(buffer.getbuffer())


def _run_pt2(path: Path) -> Callable[[Inputs], Tensor]:
    module = torch.export.load(path).module()
    return lambda inputs: module(**inputs)


# -- the check -------------------------------------------------------------------------------------


class _Case(NamedTuple):
    """Images to compare: what the file gets, and what they are to be."""

    inputs: Inputs
    images: Tensor


def _compare(generator: Generator, run: Callable[[Inputs], Tensor]) -> tuple[int, float]:
    """How many images were compared, and the largest difference of a pixel."""
    images, worst = 0, 0.0
    with torch.no_grad():
        for case in _cases(generator):
            made = run(case.inputs)
            if made.shape != case.images.shape:
                return images, float("inf")
            error = float((made - case.images).abs().max())
            worst = error if error != error else max(worst, error)
            images += len(made)
            if worst != worst:  # NaN, which no max shows
                break
    return images, worst


def _cases(generator: Generator) -> Iterator[_Case]:
    has_w = "w-space" in generator.provides
    for seeds in _SEEDS:
        for truncation in _TRUNCATIONS if has_w else (1.0,):
            inputs = {"z": torch.from_numpy(rng.latents(seeds, generator.z_dim))}
            labels = generator.choose_labels(None, seeds)
            if labels is not None:
                inputs["labels"] = torch.tensor(labels)
            if has_w:
                inputs["truncation"] = torch.tensor(truncation)
            images = generator.sample(seeds=seeds, truncation=truncation)
            yield _Case(inputs, images.as_subclass(Tensor))


# -- what the file says of itself ------------------------------------------------------------------


def metadata(generator: Generator) -> dict[str, str]:
    """What a graph cannot hold, as texts by name; `z_of_seed_0` and `record` are JSON,
    `z_stream` is the second word of the key in `z_of_seed`."""
    config = generator.record.get("config")
    plain = {k: v for k, v in generator.record.items() if k != "config"}
    channels, height, width = generator.image_shape
    facts = {
        "about": f"The GAN generator {generator.name}, exported by {marks.TOOL}. Its images are to"
        " be marked as generated; see the metadata.",
        "model": generator.name,
        "weights_sha256": str(plain.get("weights_sha256", "")),
        "plugin": str(plain.get("plugin", "")),
        "source": str(plain.get("source", "")),
        "license": config.license if config else "unknown",
        "dataset": config.dataset.name if config else "",
        "dataset_license": config.dataset.license if config else "unknown",
        "z": f"float32 (N, {generator.z_dim}), standard normal",
        "z_of_seed": "numpy.random.Generator(numpy.random.Philox(key=numpy.array([seed,"
        f" {rng.stream_key('z')}], dtype=numpy.uint64)))"
        f".standard_normal({generator.z_dim}, dtype=numpy.float32)",
        "z_stream": str(rng.stream_key("z")),
        "z_of_seed_0": json.dumps(rng.latents([0], generator.z_dim)[0].tolist()),
        "images": f"float32 (N, {channels}, {height}, {width}) in [-1, 1], channels first;"
        " a picture's levels are round((x + 1) * 127.5)",
        "marking": "Mark every image as generated: IPTC DigitalSourceType"
        f" {marks.SOURCE_TYPES}trainedAlgorithmicMedia, and ganzoo's record with the seed added.",
        "record": marks.record_json(plain),
    }
    if generator.num_classes:
        names = ", ".join(config.classes) if config else ""
        facts["labels"] = (
            f"int64 (N,) in 0 to {generator.num_classes - 1}{f': {names}' if names else ''};"
            f" ganzoo's sample takes seed mod {generator.num_classes} where none is asked for"
        )
    if "w-space" in generator.provides:
        facts["truncation"] = "float32 scalar, -1 to 2: psi, for all layers of w; 1 for none"
    if "layer-noise" in generator.provides:
        facts["noise"] = "const: the noise of each layer is the map that is stored with the weights"
    return {key: value for key, value in facts.items() if value}
