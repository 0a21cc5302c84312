"""`ganzoo project`: the latent whose image comes closest to a picture."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.output import json_option, model_names, note, print_rows
from ganzoo.errors import InputError
from ganzoo.rng import check_seed


@click.command()
@click.argument("image", metavar="IMAGE", type=click.Path(path_type=Path))
@click.option("--model", required=True, shell_complete=model_names, help="Name, folder or hf://.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The folder (projection/).")
@click.option("--space", type=click.Choice(["w", "w+", "z"]), help="w where there is one, else z.")
@click.option("--class", "label", help="The class, by number or name; else the likeliest one.")
@click.option("--steps", type=int, default=300, show_default=True, help="Of the optimisation.")
@click.option("--starts", type=int, default=4, show_default=True, help="Latents tried at once.")
@click.option("--seed", type=int, default=0, help="Of all that is random in the search (0).")
@click.option(
    "--noise",
    type=click.Choice(["const", "optimize"]),
    default="const",
    help="Keep the noise of the layers, or find it too.",
)
@click.option("--video", type=click.Path(path_type=Path), help="How it was found: a.gif, .mp4, …")
@click.option(
    "--no-reference",
    is_flag=True,
    help="Project no image of the model's own to compare with: half the time.",
)
@click.option("--device", help="cpu, cuda, cuda:1, mps, …; by default a GPU where there is one.")
@json_option
def project(
    image: Path,
    model: str,
    out: Path | None,
    space: str | None,
    label: str | None,
    steps: int,
    starts: int,
    seed: int,
    noise: str,
    video: Path | None,
    no_reference: bool,
    device: str | None,
    as_json: bool,
) -> None:
    """Find the latent whose image comes closest to a picture.

    IMAGE is cropped to its central square and brought to the size of the model's images. The
    folder gets projected.png, comparison.png, projection.json and the latent, w.safetensors or
    z.safetensors, which makes the image again:

    \b
    ganzoo project cat.png --model stylegan2.emoji -o cat/ --video cat.gif
    ganzoo generate stylegan2.emoji --latent cat/w.safetensors -o again.png

    How close it came is shown beside what is random and what projecting one of the model's own
    images comes to. What results is a generated image and is marked as one. Do not project
    pictures of people who have not agreed to it: the result looks like them and is not them.
    """
    if video is not None:
        from ganzoo import provenance

        if video.suffix.lower() not in provenance.ANIMATIONS:
            raise InputError(f"--video does not write {video}", "use a.gif, a.webp or a.mp4")
        provenance.check_animation(video)
    out = out or Path("projection")
    for folder in (out, video.parent) if video is not None else (out,):
        check_folder(folder)
    check_seed(seed)
    if not image.is_file():
        what = f"{image} is a folder" if image.is_dir() else f"there is no picture {image}"
        raise InputError(what, "name one picture")

    from ganzoo import loading, projection
    from ganzoo.cli.asked import parse_labels

    projection.check_settings(space=space, steps=steps, starts=starts, noise=noise)
    generator = loading.load(model, device=loading.find_device(device))
    chosen = None
    if label is not None:
        (chosen, *others) = parse_labels(label)
        if others:
            raise InputError("--class takes one class", f"use --class {chosen}")
    done = projection.project(
        image,
        generator,
        space=space,
        label=chosen,
        steps=steps,
        starts=starts,
        seed=seed,
        noise=noise,
        reference=not no_reference,
        progress=sys.stderr.isatty(),
    )
    paths = done.save(out)
    if video is not None:
        done.save_video(video)
    facts = done.facts()
    rows: list[dict[str, Any]] = [
        {"image": name, **{k: v if v is None else f"{v:.4g}" for k, v in facts[name].items()}}
        for name in ("projection", "sample", "random")
        if facts[name]
    ]
    if as_json:
        print_rows([facts], [], as_json=True)
        return
    print_rows(rows, ["image", "psnr", "ssim", "mse", "perceptual"], as_json=False)
    note(
        f"perceptual distance by {done.extractor}, not LPIPS; {paths[0]} and {len(paths) - 1} more"
    )


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written to, before minutes are spent on what goes there."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"{nearest} is a file", "give a folder with -o")
    if not os.access(nearest, os.W_OK):
        raise InputError(f"{nearest} cannot be written to", "choose another folder")
