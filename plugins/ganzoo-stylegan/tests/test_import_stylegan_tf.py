"""Pickles like those of StyleGAN for TensorFlow, against its networks, restated."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate, one_hot

import ganzoo
from ganzoo import layout, plugins
from ganzoo.cli import main
from ganzoo.errors import InputError
from ganzoo.importing.importer import Converted
from ganzoo.importing.reading import read
from tests import nvidia_tensorflow
from tests.nvidia_tensorflow import (
    Run,
    TFNetwork,
    correlate,
    filtered,
    four_shifts,
    lrelu,
    normal,
    unit,
    with_deviation,
)
from tests.restated import built, same, same_scores, same_styles


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_tensorflow.name_modules(monkeypatch)


def imported(folder: Path, content: Any, **settings: Any) -> Converted:
    return nvidia_tensorflow.imported(folder, "stylegan-nvidia-tf", content, **settings)


def stylegan(widths: list[int], *, z: int = 6, c: int = 0, w: int = 5, hidden: int = 5,
             image: int = 3, **settings: Any) -> TFNetwork:  # fmt: skip
    mapping: dict[str, Any] = {}
    if c:
        mapping["LabelConcat/weight"] = normal(c, z)
    for k, (i, o) in enumerate([(2 * z if c else z, hidden), (hidden, hidden), (hidden, w)]):
        mapping |= {
            f"Dense{k}/weight": normal(i, o, scale=100),
            f"Dense{k}/bias": normal(o, scale=9),
        }
    synthesis: dict[str, Any] = {
        "lod": np.float32(0),
        "4x4/Const/const": normal(1, widths[0], 4, 4),
    }
    layers, before = [], widths[0]
    for k, width in enumerate(widths):
        size = 4 << k
        names = ["Conv0_up", "Conv1"] if k else ["Const", "Conv"]
        for name in (f"{size}x{size}/{name}" for name in names):
            if not name.endswith("Const"):
                synthesis[f"{name}/weight"] = normal(3, 3, before, width)
            synthesis |= {
                f"noise{len(layers)}": normal(1, 1, size, size),
                f"{name}/Noise/weight": normal(width, scale=0.3),
                f"{name}/bias": normal(width, scale=0.3),
                f"{name}/StyleMod/weight": normal(w, 2 * width),
                f"{name}/StyleMod/bias": normal(2 * width, scale=0.3),
            }
            layers.append(name)
            before = width
        lod = len(widths) - 1 - k
        synthesis |= {f"ToRGB_lod{lod}/weight": normal(1, 1, width, image),
                      f"ToRGB_lod{lod}/bias": normal(image)}  # fmt: skip
    if not settings.get("use_noise", True):
        synthesis = {name: v for name, v in synthesis.items() if "oise" not in name}
    settings = {"num_channels": image, "label_size": c, "resolution": 2 << len(widths), **settings}
    G = TFNetwork("G_style", {"dlatent_avg": normal(w)}, truncation_psi=0.7, **settings)
    G.components = {"synthesis": TFNetwork("G_synthesis", synthesis, **settings),
                    "mapping": TFNetwork("G_mapping", mapping, **settings)}  # fmt: skip
    return G


def run_mapping(run: Run, z: Tensor, labels: Tensor | None) -> Tensor:
    if labels is not None:
        z = torch.cat([z, run["mapping/LabelConcat/weight"][labels]], 1)
    x = unit(z)
    for k in range(3):
        x = lrelu(run.dense(x, f"mapping/Dense{k}", gain=math.sqrt(2), lr=0.01))
    return x


def run_stylegan(run: Run, ws: Tensor, levels: int, fused: Any, noise: str, lod: int = 0) -> Tensor:
    x = run["synthesis/4x4/Const/const"].repeat(len(ws), 1, 1, 1)
    for layer in range(2 * (levels - lod)):
        size = 4 << layer // 2
        kind = (["Conv0_up", "Conv1"] if layer > 1 else ["Const", "Conv"])[layer % 2]
        name = f"synthesis/{size}x{size}/{kind}"
        if kind == "Conv0_up":
            kernel = run.kernel(name, math.sqrt(2))
            if fused is True or (fused == "auto" and size >= 128):
                weight = four_shifts(kernel.transpose(2, 3))  # (4, 4, out, in), of TensorFlow
                x = conv_transpose2d(x, weight.permute(3, 2, 0, 1), stride=2, padding=1)
            else:
                x = correlate(interpolate(x, scale_factor=2.0), kernel)
            x = filtered(x, [1, 2, 1], pads=(1, 1))
        elif kind != "Const":
            x = correlate(x, run.kernel(name, math.sqrt(2)))
        if noise == "const" and f"{name}/Noise/weight" in run.v:
            strength = run[f"{name}/Noise/weight"][:, None, None]
            x = x + run[f"synthesis/noise{layer}"] * strength
        x = lrelu(run.bias(x, name))
        x = x - x.mean((2, 3), keepdim=True)
        x = x / (x.square().mean((2, 3), keepdim=True) + 1e-8).sqrt()
        style = run.dense(ws[:, layer], f"{name}/StyleMod").reshape(len(x), 2, -1, 1, 1)
        x = x * (style[:, 0] + 1) + style[:, 1]
    name = f"synthesis/ToRGB_lod{lod}"
    return interpolate(run.bias(correlate(x, run.kernel(name, 1)), name), scale_factor=2.0**lod)


def critic(widths: list[int], *, c: int = 0, image: int = 3, dense: int = 7, statistic: int = 1,
           **settings: Any) -> TFNetwork:  # fmt: skip
    """D of StyleGAN."""
    v: dict[str, Any] = {"lod": np.float32(0)}
    for k, width in enumerate(widths):
        lod, name = len(widths) - 1 - k, f"{4 << k}x{4 << k}"
        v |= {f"FromRGB_lod{lod}/weight": normal(1, 1, image, width),
              f"FromRGB_lod{lod}/bias": normal(width)}  # fmt: skip
        if k:
            v |= {f"{name}/Conv0/weight": normal(3, 3, width, width),
                  f"{name}/Conv0/bias": normal(width, scale=0.3),
                  f"{name}/Conv1_down/weight": normal(3, 3, width, widths[k - 1]),
                  f"{name}/Conv1_down/bias": normal(widths[k - 1], scale=0.3)}  # fmt: skip
    width = widths[0]
    for name, i, o in (("Dense0", 16 * width, dense), ("Dense1", dense, max(c, 1))):
        v |= {f"4x4/{name}/weight": normal(i, o), f"4x4/{name}/bias": normal(o)}
    v["4x4/Conv/weight"] = normal(3, 3, width + statistic, width)
    v["4x4/Conv/bias"] = normal(width)
    return TFNetwork("D_basic", v, num_channels=image, label_size=c, **settings)


def run_critic(run: Run, x: Tensor, labels: Tensor | None, levels: int, group: int) -> Tensor:
    x = lrelu(run.bias(correlate(x, run.kernel("FromRGB_lod0", math.sqrt(2))), "FromRGB_lod0"))
    for k in range(levels - 1, 0, -1):
        name = f"{4 << k}x{4 << k}"
        x = correlate(x, run.kernel(f"{name}/Conv0", math.sqrt(2)))
        x = filtered(lrelu(run.bias(x, f"{name}/Conv0")), [1, 2, 1], pads=(1, 1))
        kernel = run.kernel(f"{name}/Conv1_down", math.sqrt(2))
        if 4 << k >= 128:
            kernel = four_shifts(kernel) / 4
            x = conv2d(x, kernel.permute(3, 2, 0, 1), stride=2, padding=1)
        else:
            x = avg_pool2d(correlate(x, kernel), 2)
        x = lrelu(run.bias(x, f"{name}/Conv1_down"))
    x = with_deviation(x, group)
    x = lrelu(run.bias(correlate(x, run.kernel("4x4/Conv", math.sqrt(2))), "4x4/Conv"))
    x = lrelu(run.dense(x.flatten(1), "4x4/Dense0", gain=math.sqrt(2)))
    x = run.dense(x, "4x4/Dense1")
    return x[:, 0] if labels is None else (x * one_hot(labels, x.shape[1])).sum(1)


GENERATORS = {
    "plain": {"widths": [6, 5, 3]},
    "conditional, fused": {"widths": [4, 5, 3], "c": 3, "w": 7, "hidden": 4, "fused_scale": True},
    "never fused, grey": {"widths": [3, 2], "image": 1, "fused_scale": False},
    "128 pixels": {"widths": [3, 3, 2, 2, 2, 2]},
    "without noise": {"widths": [4, 3], "use_noise": False},
}


@pytest.mark.parametrize("settings", GENERATORS.values(), ids=GENERATORS)
def test_stylegans_images_are_those_of_the_program(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    theirs, levels = stylegan(**settings), len(settings["widths"])
    D = critic(settings["widths"], c=settings.get("c", 0), image=settings.get("image", 3))
    found = imported(tmp_path, (theirs, D, theirs))
    G, run, fused = (
        built("generator", found.generator),
        Run(theirs),
        settings.get("fused_scale", "auto"),
    )
    z, labels = torch.randn(2, 6), torch.tensor([2, 0]) if "c" in settings else None
    w = run_mapping(run, z.double(), labels)
    cases = [(1, None, "const"), (0.7, 3, "const"), (0.5, None, "none")]
    average = run["dlatent_avg"]
    same_styles(
        G, z, labels, w, average, lambda ws, n: run_stylegan(run, ws, levels, fused, n), cases
    )
    coarse = run_stylegan(run, w[:, None].repeat(1, 2 * levels, 1), levels, fused, "const", lod=1)
    same(G(z, labels, lod=1), coarse)
    assert (found.program, found.license) == ("NVlabs/stylegan", "cc-by-nc-4.0")


@pytest.mark.parametrize(
    "settings",
    [{"widths": [6, 5, 3]}, {"widths": [4, 3], "c": 3, "dense": 4, "mbstd_group_size": 2},
     {"widths": [2, 2, 2, 2, 2, 2]}],
    ids=["plain", "conditional", "128 pixels"],
)  # fmt: skip
def test_stylegans_scores_are_those_of_the_program(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    widths, c = settings["widths"], settings.get("c", 0)
    theirs = critic(**settings)
    G = stylegan(widths, c=c)
    D = built("discriminator", imported(tmp_path, (G, theirs, G)).discriminator)
    images = torch.randn(4, 3, 2 << len(widths), 2 << len(widths))
    labels = torch.tensor([2, 0, 1, 1]) if c else None
    group = settings.get("mbstd_group_size", 4)
    expected = run_critic(Run(theirs), images.double(), labels, len(widths), group)
    same_scores(D(images, labels), expected)


# -- the file as a whole ---------------------------------------------------------------------------


def tiny() -> tuple[TFNetwork, TFNetwork, TFNetwork]:
    return stylegan([3, 2]), critic([3, 2]), stylegan([3, 2])


def test_the_averaged_generator_is_taken_and_every_variable_accounted_for(tmp_path: Path) -> None:
    content = tiny()
    found = imported(tmp_path, content)
    const = content[2].all()["synthesis/4x4/Const/const"]
    np.testing.assert_array_equal(found.generator.state["const"], const)
    for network, key in zip(content, ("G", "D", "Gs")):
        mine = [fate.source for fate in found.fates if fate.source.startswith(f"{key}.")]
        assert sorted(mine) == sorted(f"{key}.{name}" for name in network.all())
    notes = {fate.source: fate.note for fate in found.fates}
    assert notes["Gs.synthesis/8x8/Conv0_up/weight"] == "transposed"
    assert not any(fate.target for fate in found.fates if fate.source.startswith("G."))


def test_a_network_alone_is_taken_as_the_generator(tmp_path: Path) -> None:
    theirs, z = stylegan([3, 2]), torch.randn(2, 6)
    found = imported(tmp_path, theirs)
    assert found.discriminator is None and "has one network" in found.notes[0]
    run = Run(theirs)
    ws = run_mapping(run, z.double(), None)[:, None].repeat(1, 4, 1)
    same(built("generator", found.generator)(z), run_stylegan(run, ws, 2, "auto", "const"))


def test_the_command_makes_a_model_folder(tmp_path: Path) -> None:
    content, out = tiny(), tmp_path / "faces"
    path = tmp_path / "network-final.pkl"
    path.write_bytes(pickle.dumps(content, protocol=3))
    result = CliRunner().invoke(main, ["import", str(path), "-o", str(out)])
    assert result.exit_code == 0, result.output
    G, z, run = ganzoo.load(out), torch.randn(2, 6), Run(content[2])
    ws = run_mapping(run, z.double(), None)[:, None].repeat(1, 4, 1)
    expected = run_stylegan(run, ws, 2, "auto", "const")
    same(G(z), expected)
    assert ganzoo.load_discriminator(out).image_shape == (3, 8, 8)
    config = layout.read_config(out)
    assert (config.license, config.license_name) == ("cc-by-nc-4.0", "")


def test_without_an_average_truncation_is_told_of(tmp_path: Path) -> None:
    content = tiny()
    del content[2].variables["dlatent_avg"]
    found = imported(tmp_path, content)
    assert not found.generator.state["w_avg"].any()
    assert "no average w" in " ".join(found.notes)


def test_a_file_of_networks_that_grow_says_at_which_lod_they_were(tmp_path: Path) -> None:
    content = tiny()
    content[2].components["synthesis"].variables["lod"] = np.float32(1.25)
    found = imported(tmp_path, content)
    assert "lod=1.25 generates as they did then" in " ".join(found.notes)
    assert "grew" not in " ".join(imported(tmp_path, tiny()).notes)


def odd(network: int, **settings: Any) -> Any:
    content = tiny()
    content[network].settings.update(settings)
    return content


def without(name: str) -> Any:
    content = tiny()
    del content[2].components["synthesis"].variables[name]
    return content


def attentive() -> Any:
    content = tiny()
    content[1].variables["attention"] = normal(3, 2)
    return content


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda: odd(2, use_styles=False), "Gs has use_styles = False: only True can be imported"),
        (lambda: odd(2, structure="fixed"), "Gs has structure = 'fixed': only 'auto' or 'linear'"),
        (
            lambda: odd(1, blur_filter=[1, 3, 1]),
            r"D has blur_filter = \[1, 3, 1\]: only \[1, 2, 1\]",
        ),
        (lambda: odd(1, tail=3), "D has the setting tail = 3, which is not known"),
        (lambda: without("8x8/Conv1/Noise/weight"), r"has no Gs\.synthesis/8x8/Conv1/N"),
        (attentive, r"does not have: D\.attention"),
    ],
)
def test_what_ours_is_not_is_refused(tmp_path: Path, content: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as error:
        imported(tmp_path, content())
    assert "\n" not in str(error.value)


def test_other_pickles_are_not_recognised(tmp_path: Path) -> None:
    importer = plugins.load().parts.get("importer", "stylegan-nvidia-tf").build()
    bare = TFNetwork("G_paper", {"4x4/Dense/weight": normal(2, 16)})
    looped = TFNetwork("G_style", {"lod": np.float32(0)})
    looped.components["synthesis"] = looped
    path = tmp_path / "other.pkl"
    for content in ((), (1, 2, 3), (bare, bare, bare), {"G": bare}, tiny()[:2], (looped,) * 3):
        path.write_bytes(pickle.dumps(content))
        assert not importer.recognises(read(path))
