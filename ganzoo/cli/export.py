"""`ganzoo export`: a generator for other programs, as ONNX or as PyTorch's ExportedProgram."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.cli.output import json_option, model_argument, print_rows


@click.command()
@model_argument
@click.option(
    "--to",
    type=click.Choice(["onnx", "pt2"]),
    help="ONNX, or PyTorch's ExportedProgram; else the suffix of -o decides.",
)
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="model.onnx or model.pt2."
)
@json_option
def export(model: str, to: str | None, out: Path, as_json: bool) -> None:
    """Write a model as ONNX, or as PyTorch's ExportedProgram.

    \b
    ganzoo export dcgan.mnist --to onnx -o dcgan.onnx    needs pip install 'ganzoo[onnx]'
    ganzoo export dcgan.mnist --to pt2 -o dcgan.pt2      for torch.export.load

    The inputs are z (any number of rows), labels of a conditional model, and truncation of one with
    a w space; the output is images in [-1, 1]. How a seed becomes z, the licence, the hash of the
    weights and how images are to be marked stand in the file's metadata. The file is loaded again
    and its images are compared with the model's own; one that differs by more than 1e-4 is not
    kept. ganzoo itself loads model folders only: keep yours.
    """
    from ganzoo import exporting

    exporting.find_format(out, to)
    done = exporting.export(model, out, to=to)
    row = {**vars(done), "path": str(done.path)}
    print_rows([row], ["path", "to", "inputs", "images", "max_abs_error"], as_json=as_json)
