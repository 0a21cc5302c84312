"""`ganzoo generate`: images of a model as a grid, single files, arrays or an animation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli import is_out_of_memory
from ganzoo.cli.asked import find_seeds, parse_labels, parse_mix, refuse_beside
from ganzoo.cli.job import Job, Target
from ganzoo.cli.output import json_option, model_argument, note, print_json
from ganzoo.errors import InputError

if TYPE_CHECKING:
    from ganzoo.models import Generator

SUFFIXES = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
PICTURES = (".png", ".webp", ".jpg", ".jpeg")
ANIMATIONS = (".gif", ".webp", ".mp4")
MAX_FRAMES = 100_000
CLASS_GRID_COLUMNS = 8


@click.command()
@model_argument
@click.option("-n", "--n", "n", type=int, help="How many images (16, or one for each seed given).")
@click.option("--seed", type=int, help="Seed of the first image (0); image k has seed + k.")
@click.option("--seeds", help="The seeds themselves, such as 0-63,100.")
@click.option("--class", "label", help="One class for all images, by number or name.")
@click.option("--labels", help="A class for each image, such as 0-9 or 3,1,4.")
@click.option(
    "--class-grid",
    is_flag=True,
    help="A row for each class, or for each of --labels (-n: images in a row, 8).",
)
@click.option("--truncation", type=float, help="Truncation psi, -1 to 2; families with w only.")
@click.option("--truncation-cutoff", type=int, help="Truncate only the first w layers.")
@click.option(
    "--noise", type=click.Choice(["const", "random", "none"]), help="Noise of each layer."
)
@click.option(
    "--mix", metavar="SEED[:LAYER]", help="Styles of this seed from a layer on (the middle one)."
)
@click.option("--latent", metavar="FILE", help="Images of latents, as `ganzoo project` finds them.")
@click.option("--interpolate", is_flag=True, help="Walk from seed to seed and back: an animation.")
@click.option("--steps", type=click.IntRange(1), help="Frames from seed to seed (24).")
@click.option("--fps", type=click.IntRange(1, 100), help="Frames a second (24).")
@click.option(
    "-o", "--out", help="grid.png, a folder/, arrays.npz, or walk.gif with --interpolate."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["grid", *SUFFIXES, "npz"]),
    help="A grid, single files of a kind, or arrays; else -o decides.",
)
@click.option("--columns", type=click.IntRange(1), help="Columns of the grid.")
@click.option("--batch-size", type=int, default=64, help="Images that are computed at once.")
@click.option("--device", help="cpu, cuda, cuda:1, mps, …; by default a GPU where there is one.")
@click.option("--dtype", type=click.Choice(["float32", "bf16"]), help="bf16: faster, less exact.")
@click.option("--compile", is_flag=True, help="Compile the network first: for many images.")
@click.option("--no-mark", is_flag=True, help="Leave out the mark that says what made the image.")
@click.option("--hide-seed", is_flag=True, help="Leave the seed out of the mark and of file names.")
@click.option("--invisible-mark", is_flag=True, help="Mark the pixels too, from 128 x 128 on.")
@click.option("--c2pa", is_flag=True, help="Sign the files with your key; see `ganzoo keys`.")
@json_option
def generate(
    model: str,
    n: int | None,
    seed: int | None,
    seeds: str | None,
    label: str | None,
    labels: str | None,
    class_grid: bool,
    truncation: float | None,
    truncation_cutoff: int | None,
    noise: str | None,
    mix: str | None,
    latent: str | None,
    interpolate: bool,
    steps: int | None,
    fps: int | None,
    out: str | None,
    form: str | None,
    columns: int | None,
    batch_size: int,
    device: str | None,
    dtype: str | None,
    compile: bool,
    no_mark: bool,
    hide_seed: bool,
    invisible_mark: bool,
    c2pa: bool,
    as_json: bool,
) -> None:
    """Generate images: a grid, single files, arrays or an animation.

    MODEL is a name (see `ganzoo models`), a folder (runs/1) or hf://owner/name. Image k is that of
    seed + k, whatever the batch size and device.

    \b
    ganzoo generate dcgan.mnist -n 64 -o grid.png        a grid
    ganzoo generate dcgan.mnist --seeds 0-9,42 -o out/   out/seed000000.png, …
    ganzoo generate dcgan.mnist -n 50000 -o fakes.npz    images, seeds (and labels) for NumPy
    ganzoo generate dcgan.mnist -n 8 --interpolate -o walk.gif
    ganzoo generate cgan.mnist --class-grid              a row for each class
    ganzoo generate gan.mnist --latent z.safetensors     what `ganzoo project` found
    """
    # What can be refused without torch is refused before it is imported.
    if latent is not None:
        unused: dict[str, Any] = {
            "-n": n, "--seed": seed, "--seeds": seeds, "--class": label, "--labels": labels,
            "--class-grid": class_grid, "--truncation": truncation,
            "--truncation-cutoff": truncation_cutoff, "--noise": noise, "--mix": mix,
            "--interpolate": interpolate, "--hide-seed": hide_seed, "--json": as_json,
        }  # fmt: skip
        refuse_beside("--latent", unused)
    if label is not None and labels is not None:
        raise InputError("--class and --labels are both given", "give one of the two")
    if batch_size < 1:
        raise InputError(f"--batch-size {batch_size} is too small", "use 1 or more")
    for option, given in (("--steps", steps), ("--fps", fps)):
        if given is not None and not interpolate:
            raise InputError(f"{option} is for an animation", "add --interpolate")
    other = None if mix is None else parse_mix(mix)
    one = None if label is None else parse_labels(label)
    if one is not None and len(one) > 1:
        raise InputError("--class takes one class", f"use --labels {label}")
    asked = None if labels is None else parse_labels(labels)
    if class_grid:
        refuse_beside("--class-grid", {"--class": label}, "choose rows with --labels")
        refuse_beside("--class-grid", {"--columns": columns, "--interpolate": interpolate})
        count, fewest = CLASS_GRID_COLUMNS, 2  # one image in a row is a grid too
    else:
        count, fewest = 16 if asked is None else len(asked), 1
    chosen = find_seeds(n, seed, seeds, count)
    name = Path(model).name.rpartition(":")[2] or "images"
    images = max(fewest, len(chosen))
    target = find_target(out, form, interpolate=interpolate, n=images, name=name)
    if interpolate and len(chosen) * (steps or 24) > MAX_FRAMES:
        raise InputError(f"a film has at most {MAX_FRAMES:,} frames", "ask for fewer --steps or -n")
    if latent is not None and target.form not in ("grid", "image"):
        raise InputError(f"--latent does not write {out or form}", "use -o grid.png")
    if columns is not None and target.form != "grid":
        raise InputError("--columns is for a grid", "leave it out, or use --format grid")
    if class_grid and target.form != "grid":
        raise InputError(f"--class-grid does not write {out or form}", "use -o grid.png")
    if hide_seed and target.form == "npz":
        raise InputError("an .npz names the seed of each image", "leave --hide-seed out")
    if hide_seed and min(chosen) < 2**32:
        note("a small seed can be found by trying: a large --seed, of 2^32 or more, hides better")
    how = find_marks(target, no_mark=no_mark, invisible=invisible_mark, c2pa=c2pa)

    import torch

    from ganzoo import loading
    from ganzoo.classes import class_number

    precision = torch.bfloat16 if dtype == "bf16" else None
    where = loading.find_device(device)
    generator = loading.load(model, device=where, dtype=precision, compile=compile)
    if commit := generator.record.get("source"):
        note(f"model {commit}")
    if latent is not None:
        write_latents(generator, latent, target.path, columns, batch_size, how)
        click.echo(str(target.path))
        return
    classes: int | list[int] | None = None
    layout: dict[str, Any] = {}
    if one is not None:
        classes = class_number(generator, one[0])
    elif asked is not None:
        classes = [class_number(generator, label) for label in asked]
    elif interpolate and generator.num_classes:
        classes = chosen[0] % generator.num_classes  # a walk keeps to the class of its first seed
    if class_grid:
        layout = {"class_grid": True, "seeds": list(chosen)}
        columns, rows = len(chosen), classes if isinstance(classes, list) else None
        chosen, classes = generator.class_rows(chosen, rows)
        layout["labels"] = classes[::columns]
        check_grid(len(chosen), "choose classes with --labels, or fewer in a row with -n")
    if other is not None and other[1] is None:
        other = other[0], generator.num_ws // 2
    options = {
        "truncation": truncation,
        "truncation_cutoff": truncation_cutoff,
        "noise": noise,
        "mix": other,
    }
    job = Job(
        generator,
        chosen,
        generator.choose_labels(classes, chosen),
        generator.check_options(options),
        batch_size,
        marks=how,
        layout=layout,
        hide_seed=hide_seed,
    )
    with said_out_of_memory(batch_size):
        job.write(target, columns=columns, steps=steps or 24, fps=fps or 24)
    if as_json:
        print_json(job.rows(target))
    else:
        click.echo(str(target.path))


@contextlib.contextmanager
def said_out_of_memory(batch_size: int) -> Iterator[None]:
    """Within, running out of memory is told with what to try instead."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        smaller = f"--batch-size {batch_size // 2}" if batch_size > 1 else "another --device"
        raise InputError(f"out of memory with batches of {batch_size}", f"use {smaller}") from error


def write_latents(
    generator: Generator,
    file: str,
    path: Path,
    columns: int | None,
    batch_size: int,
    marks: dict[str, Any],
) -> None:
    """The images of the latents in a file: one, or a grid of them."""
    from ganzoo import latents, provenance
    from ganzoo.images import to_uint8

    points = latents.read(file, generator)
    check_grid(len(points), f"split {file}")
    with said_out_of_memory(batch_size):
        pixels = to_uint8(latents.images(points, generator, batch_size=batch_size))
    record = points.record(generator)
    if len(pixels) == 1:
        provenance.save_image(pixels[0], path, record=record, **marks)
    else:
        provenance.save_grid(pixels, path, record=record, columns=columns, **marks)


# -- what was asked for ----------------------------------------------------------------------------


def find_target(
    out: str | None, form: str | None, *, interpolate: bool, n: int, name: str
) -> Target:
    """Where to write and what, from -o and --format; without -o it is named after the model."""
    is_folder = out is not None and (out.endswith("/") or Path(out).is_dir())
    suffix = Path(out).suffix.lower() if out is not None and not is_folder else ""
    if interpolate:
        if form is not None or (out is not None and suffix not in ANIMATIONS):
            raise InputError(
                f"--interpolate does not write {out or form}", "use -o walk.gif, .webp or .mp4"
            )
        return Target("animation", Path(out or f"{name}.gif"))
    if form == "npz" or (form is None and suffix == ".npz"):
        if out is not None and suffix != ".npz":
            raise InputError(f"--format npz does not write {out}", "use -o arrays.npz")
        return Target("npz", Path(out or f"{name}.npz"))
    if form in SUFFIXES or (form is None and out is not None and (is_folder or not suffix)):
        if out is not None and not suffix and not is_folder and Path(out).exists():
            raise InputError(f"{out} is no folder", "use -o FOLDER/, grid.png or arrays.npz")
        if suffix and n == 1 and suffix.replace("jpeg", "jpg") == SUFFIXES[form or "png"]:
            return Target("image", Path(out or ""))
        if suffix in (*PICTURES, *ANIMATIONS, ".npz"):
            raise InputError(
                f"--format {form} writes single files, and {out} is one", "use -o FOLDER/"
            )
        return Target("files", Path(out or name), SUFFIXES[form or "png"])
    if out is not None and suffix in (".gif", ".mp4"):
        raise InputError(f"{out} would be an animation", "add --interpolate or use -o grid.png")
    if out is not None and suffix not in PICTURES:
        raise InputError(f"cannot write {out}", "use -o grid.png, -o arrays.npz or -o FOLDER/")
    check_grid(n, "use -o FOLDER/ or -o arrays.npz")
    single = n == 1 and form is None
    return Target("image" if single else "grid", Path(out or f"{name}.png"))


def check_grid(n: int, remedy: str) -> None:
    """Refuse a grid of more images than one picture holds."""
    from ganzoo.contact_sheet import MAX_IMAGES

    if n > MAX_IMAGES:
        raise InputError(f"a grid holds at most {MAX_IMAGES:,} images, not {n:,}", remedy)


def find_marks(target: Target, *, no_mark: bool, invisible: bool, c2pa: bool) -> dict[str, Any]:
    """How the files are to be marked: what `provenance.save_image` takes beside the record."""
    if no_mark and (invisible or c2pa):
        option = "--invisible-mark" if invisible else "--c2pa"
        raise InputError(f"--no-mark and {option} are both given", "give one of the two")
    if invisible and target.form in ("npz", "animation"):
        raise InputError("--invisible-mark is for single pictures and grids", "leave it out")
    if c2pa and target.form == "npz":
        raise InputError("an .npz cannot hold a C2PA manifest", "leave --c2pa out, or use -o a.png")
    if no_mark:
        note("no mark: nothing in these files will say that a generator made them")
    how: dict[str, Any] = {"mark": not no_mark}
    if invisible:
        from ganzoo import tile_mark

        how["invisible"] = tile_mark.own_key()
    if c2pa:
        from ganzoo import manifests

        how["sign"] = manifests.Signing().sign
    return how
