"""Pickles like those of StyleGAN2 for TensorFlow, and of its version with ADA, against their
networks, restated."""

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
from torch.nn.functional import conv2d, conv_transpose2d, one_hot

import ganzoo
from ganzoo import layout
from ganzoo.cli import main
from ganzoo.errors import ConfigError, InputError
from ganzoo.importing.importer import Converted
from tests import nvidia_tensorflow
from tests.nvidia_tensorflow import (
    Run,
    TFNetwork,
    correlate,
    filtered,
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


def stylegan2(widths: list[int], *, z: int = 6, c: int = 0, w: int = 5, hidden: int = 5,
              image: int = 3, ada: bool = False, code: int | None = None, grown: bool = False,
              **settings: Any) -> TFNetwork:  # fmt: skip
    """`code` numbers of the label; `grown` is of configurations B to D."""
    architecture, code = settings.get("architecture", "skip"), code or (w if ada else z)
    mapping: dict[str, Any] = {}
    if c and ada:
        mapping |= {"LabelEmbed/weight": normal(c, code), "LabelEmbed/bias": normal(code)}
    elif c:
        mapping["LabelConcat/weight"] = normal(c, code)
    for k, (i, o) in enumerate([(z + code if c else z, hidden), (hidden, w)]):
        mapping |= {
            f"Dense{k}/weight": normal(i, o, scale=100),
            f"Dense{k}/bias": normal(o, scale=9),
        }
    v: dict[str, Any] = {"4x4/Const/const": normal(1, widths[0], 4, 4)}

    def layer(name: str, i: int, o: int, kernel: int) -> None:
        v[f"{name}/weight"] = normal(kernel, kernel, i, o)
        v[f"{name}/bias"] = normal(o, scale=0.3)
        v[f"{name}/mod_weight"] = normal(w, i)
        v[f"{name}/mod_bias"] = normal(i, scale=0.3)
        if kernel == 3:
            v[f"{name}/noise_strength"] = np.float32(0.3)

    before, count = widths[0], 0
    for k, width in enumerate(widths):
        size = f"{4 << k}x{4 << k}"
        for name in ("Conv0_up", "Conv1") if k else ("Conv",):
            layer(f"{size}/{name}", before, width, 3)
            v[f"noise{count}"] = normal(1, 1, 4 << k, 4 << k)
            count += 1
            if name == "Conv0_up" and architecture == "resnet":
                v[f"{size}/Skip/weight"] = normal(1, 1, before, width)
            before = width
        if grown:
            layer(f"ToRGB_lod{len(widths) - 1 - k}", width, image, 1)
        elif architecture == "skip" or k == len(widths) - 1:
            layer(f"{size}/ToRGB", width, image, 1)
    if grown:
        v["lod"] = np.float32(0)
    G = TFNetwork("G_main", {"dlatent_avg": normal(w)}, **settings)
    synthesis = "G_synthesis" if ada else "G_synthesis_stylegan2"
    synthesis = "G_synthesis_stylegan_revised" if grown else synthesis
    G.components = {"synthesis": TFNetwork(synthesis, v, **settings),
                    "mapping": TFNetwork("G_mapping", mapping, **settings)}  # fmt: skip
    return G


def run_mapping2(run: Run, z: Tensor, labels: Tensor | None) -> Tensor:
    x = unit(z)
    if "mapping/LabelConcat/weight" in run.v:
        x = unit(torch.cat([z, run["mapping/LabelConcat/weight"][labels]], 1))
    elif labels is not None:
        embedding = run["mapping/LabelEmbed/weight"]
        code = one_hot(labels, len(embedding)).double()
        x = torch.cat([x, unit(run.dense(code, "mapping/LabelEmbed"))], 1)
    for k in range(2):
        x = lrelu(run.dense(x, f"mapping/Dense{k}", lr=0.01)) * math.sqrt(2)
    return x


def run_modulated(run: Run, x: Tensor, w: Tensor, name: str, *, demodulate: bool) -> Tensor:
    style = w @ run[f"{name}/mod_weight"] / math.sqrt(w.shape[1]) + run[f"{name}/mod_bias"] + 1
    images = []
    for image, s in zip(x, style):
        kernel = run.kernel(name, 1) * s[:, None]
        if demodulate:
            kernel = kernel / (kernel.square().sum((0, 1, 2)) + 1e-8).sqrt()
        if name.endswith("Conv0_up"):
            weight = kernel.flip(0, 1).permute(2, 3, 0, 1)
            y = conv_transpose2d(image[None], weight, stride=2)
            images.append(filtered(y, [1, 3, 3, 1], pads=(1, 1), gain=4))
        else:
            images.append(correlate(image[None], kernel))
    return torch.cat(images)


def run_stylegan2(run: Run, ws: Tensor, levels: int, architecture: str, clamp: Any) -> Tensor:
    x, image, at = run["synthesis/4x4/Const/const"].repeat(len(ws), 1, 1, 1), None, 0

    def clamped(x: Tensor, gain: float = 1.0) -> Tensor:
        return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)

    for k in range(levels):
        size, past = f"synthesis/{4 << k}x{4 << k}", x
        for kind in ("Conv0_up", "Conv1") if k else ("Conv",):
            gain = 0.5**0.5 if kind == "Conv1" and architecture == "resnet" else 1.0
            x = run_modulated(run, x, ws[:, at], f"{size}/{kind}", demodulate=True)
            x = x + run[f"synthesis/noise{at}"] * run[f"{size}/{kind}/noise_strength"]
            x = clamped(lrelu(run.bias(x, f"{size}/{kind}")) * math.sqrt(2) * gain, gain)
            at += 1
        if k and architecture == "resnet":
            y = correlate(past, run.kernel(f"{size}/Skip", 0.5**0.5))
            x = x + filtered(y, [1, 3, 3, 1], up=2, pads=(2, 1), gain=4)
        if image is not None:
            image = filtered(image, [1, 3, 3, 1], up=2, pads=(2, 1), gain=4)
        last = "synthesis/ToRGB_lod0" if k == levels - 1 else ""
        name = last if f"{last}/weight" in run.v else f"{size}/ToRGB"
        if f"{name}/weight" in run.v:
            y = run_modulated(run, x, ws[:, at], name, demodulate=False)
            y = clamped(run.bias(y, name))
            image = y if image is None else image + y
    assert image is not None
    return image


def critic2(widths: list[int], *, c: int = 0, image: int = 3, function: str = "D_stylegan2",
            statistics: int = 1, mapping: int = 0, units: int | None = None,
            **settings: Any) -> TFNetwork:  # fmt: skip
    """D of StyleGAN2, with `units` before the score; "D_stylegan" is of configurations B to D."""
    architecture, units = settings.get("architecture", "resnet"), units or widths[0]
    v: dict[str, Any] = {}
    projects = bool(c) and function == "D_main"
    if function == "D_stylegan":
        architecture, v["lod"] = "orig", np.float32(0)
        for k in range(len(widths)):
            name = f"FromRGB_lod{len(widths) - 1 - k}"
            v |= {f"{name}/weight": normal(1, 1, image, widths[k]), f"{name}/bias": normal(1)}
        v["FromRGB_lod0/bias"] = normal(widths[-1])

    def conv(name: str, i: int, o: int, kernel: int) -> None:
        v.update(
            {f"{name}/weight": normal(kernel, kernel, i, o), f"{name}/bias": normal(o, scale=0.3)}
        )

    def dense(name: str, i: int, o: int, scale: float = 1.0) -> None:
        v.update({f"{name}/weight": normal(i, o, scale=scale), f"{name}/bias": normal(o)})

    for k in range(len(widths) - 1, -1, -1):
        size = f"{4 << k}x{4 << k}"
        if function != "D_stylegan" and (architecture == "skip" or k == len(widths) - 1):
            conv(f"{size}/FromRGB", image, widths[k], 1)
        if k:
            conv(f"{size}/Conv0", widths[k], widths[k], 3)
            conv(f"{size}/Conv1_down", widths[k], widths[k - 1], 3)
            if architecture == "resnet":
                v[f"{size}/Skip/weight"] = normal(1, 1, widths[k], widths[k - 1])
    conv("4x4/Conv", widths[0] + statistics, widths[0], 3)
    dense("4x4/Dense0", 16 * widths[0], units)
    dense("Output", units, 5 if projects else max(c, 1))
    if projects:
        dense("LabelEmbed", c, 5)
        for k in range(mapping):
            dense(f"Mapping{k}", 5, 5, scale=10)
    return TFNetwork(function, v, label_size=c, **settings)


def run_critic2(run: Run, image: Tensor, labels: Tensor | None, levels: int, *, architecture: str,
                group: int, statistics: int, mapping: int, clamp: Any) -> Tensor:  # fmt: skip
    def layer(x: Tensor, name: str, gain: float = 1.0, clamp: Any = clamp) -> Tensor:
        kernel = run.kernel(name, 1)
        if name.endswith("Conv1_down"):
            x = filtered(x, [1, 3, 3, 1], pads=(2, 2))
            x = conv2d(x, kernel.permute(3, 2, 0, 1), stride=2)
        else:
            x = correlate(x, kernel)
        x = lrelu(run.bias(x, name)) * math.sqrt(2) * gain
        return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)

    x: Any = None
    for k in range(levels - 1, -1, -1):
        size = f"{4 << k}x{4 << k}"
        last = "FromRGB_lod0" if k == levels - 1 else ""
        name = last if f"{last}/weight" in run.v else f"{size}/FromRGB"
        if f"{name}/weight" in run.v:
            y = layer(image, name, clamp=clamp if k else None)
            x = y if x is None else x + y
        if not k:
            break
        if architecture == "skip":
            image = filtered(image, [1, 3, 3, 1], down=2, pads=(1, 1))
        past, gain = x, 0.5**0.5 if architecture == "resnet" else 1.0
        x = layer(layer(x, f"{size}/Conv0"), f"{size}/Conv1_down", gain)
        if architecture == "resnet":
            past = filtered(past, [1, 3, 3, 1], down=2, pads=(1, 1))
            x = x + correlate(past, run.kernel(f"{size}/Skip", gain))
    if statistics:
        x = with_deviation(x, group, statistics)
    x = lrelu(run.dense(layer(x, "4x4/Conv").flatten(1), "4x4/Dense0")) * math.sqrt(2)
    x = run.dense(x, "Output")
    if labels is None:
        return x[:, 0]
    if "LabelEmbed/weight" not in run.v:  # a score for each class
        return (x * one_hot(labels, x.shape[1])).sum(1)
    code = one_hot(labels, len(run["LabelEmbed/weight"])).double()
    cmap = unit(run.dense(code, "LabelEmbed"))
    for k in range(mapping):
        cmap = lrelu(run.dense(cmap, f"Mapping{k}", lr=0.1)) * math.sqrt(2)
    return (x * cmap).sum(1) / math.sqrt(cmap.shape[1])


GENERATORS: dict[str, dict[str, Any]] = {
    "skip": {"widths": [6, 5, 3]},
    "resnet, odd mapping": {"widths": [6, 5, 3], "architecture": "resnet", "hidden": 8},
    "orig, grey": {"widths": [4, 5], "architecture": "orig", "image": 1},
    "conditional": {"widths": [4, 5, 3], "c": 3, "w": 7},
    "of one class": {"widths": [4, 3], "c": 1},
    "that grew, conditional": {"widths": [4, 5, 3], "c": 2, "grown": True},
    "ADA's, conditional": {"widths": [4, 5, 3], "c": 3, "ada": True, "conv_clamp": 0.7},
    "ADA's, wide code": {"widths": [4, 3], "c": 3, "ada": True, "code": 9, "label_fmaps": 9},
}


@pytest.mark.parametrize("settings", GENERATORS.values(), ids=GENERATORS)
def test_images_are_those_of_the_program(tmp_path: Path, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    theirs, levels = stylegan2(**settings), len(settings["widths"])
    D = critic2(settings["widths"], function="D_main" if "ada" in settings else "D_stylegan2",
                mbstd_group_size=4, image=settings.get("image", 3),
                c=settings.get("c", 0))  # fmt: skip
    found = imported(tmp_path, (theirs, D, theirs))
    G, run = built("generator", found.generator), Run(theirs)
    z, labels = torch.randn(2, 6), torch.tensor([2, 0]) % settings["c"] if "c" in settings else None
    w = run_mapping2(run, z.double(), labels)
    architecture = "orig" if "grown" in settings else settings.get("architecture", "skip")
    how = (levels, architecture, settings.get("conv_clamp"))
    cases = [(1, None, "const"), (0.7, 2, "const")]
    same_styles(
        G, z, labels, w, run["dlatent_avg"], lambda ws, _: run_stylegan2(run, ws, *how), cases
    )
    assert found.program == f"NVlabs/stylegan2{'-ada' if 'ada' in settings else ''}"
    assert found.license_url.startswith("https://nvlabs.github.io/stylegan2")


CRITICS: dict[str, dict[str, Any]] = {
    "resnet": {"widths": [6, 5, 3]},
    "skip, clamped": {"widths": [6, 5, 3], "architecture": "skip", "conv_clamp": 0.5},
    "orig, several statistics": {"widths": [6, 3], "architecture": "orig", "statistics": 2},
    "conditional, dense layer of other width": {"widths": [4, 3], "c": 3, "units": 7},
    "of one class": {"widths": [4, 3], "c": 1},
    "that grew": {"widths": [4, 5, 3], "function": "D_stylegan"},
    "ADA's, conditional": {"widths": [4, 3], "c": 3, "function": "D_main", "mbstd_group_size": 2},
    "ADA's, mapped": {"widths": [4, 3], "c": 2, "function": "D_main", "mapping": 2,
                      "mbstd_group_size": 4, "mapping_lrmul": 0.1},
    "without statistics": {"widths": [4, 3], "statistics": 0},
}  # fmt: skip


@pytest.mark.parametrize("settings", CRITICS.values(), ids=CRITICS)
def test_scores_are_those_of_the_program(tmp_path: Path, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    theirs, widths = critic2(**settings), settings["widths"]
    G = stylegan2(widths, c=settings.get("c", 0), ada=settings.get("function") == "D_main")
    D = built("discriminator", imported(tmp_path, (G, theirs, G)).discriminator)
    images = torch.randn(4, 3, 2 << len(widths), 2 << len(widths))
    labels = torch.tensor([1, 0, 1, 1]) % settings["c"] if settings.get("c") else None
    grew = "lod" in theirs.variables
    expected = run_critic2(
        Run(theirs), images.double(), labels, len(widths),
        architecture="orig" if grew else settings.get("architecture", "resnet"),
        group=settings.get("mbstd_group_size", 4), statistics=settings.get("statistics", 1),
        mapping=settings.get("mapping", 0), clamp=settings.get("conv_clamp"),
    )  # fmt: skip
    same_scores(D(images, labels), expected)


# -- the file as a whole ---------------------------------------------------------------------------


def tiny() -> tuple[TFNetwork, TFNetwork, TFNetwork]:
    return stylegan2([3, 2]), critic2([3, 2]), stylegan2([3, 2])


def test_the_averaged_generator_is_taken_and_every_variable_accounted_for(tmp_path: Path) -> None:
    content = tiny()
    found = imported(tmp_path, content)
    const = content[2].all()["synthesis/4x4/Const/const"]
    np.testing.assert_array_equal(found.generator.state["const"], const)
    for network, key in zip(content, ("G", "D", "Gs")):
        mine = [fate.source for fate in found.fates if fate.source.startswith(f"{key}.")]
        assert sorted(mine) == sorted(f"{key}.{name}" for name in network.all())
    notes = {fate.source: fate.note for fate in found.fates}
    assert notes["Gs.synthesis/8x8/Conv0_up/weight"] == "transposed, kernel flipped"
    assert not any(fate.target for fate in found.fates if fate.source.startswith("G."))


@pytest.mark.parametrize("ada", [False, True])
def test_a_network_alone_is_taken_as_the_generator(tmp_path: Path, ada: bool) -> None:
    theirs, z = stylegan2([4, 3], ada=ada), torch.randn(2, 6)
    found, both = (imported(tmp_path, c) for c in (theirs, (theirs, critic2([4, 3]), theirs)))
    assert found.discriminator is None and "has one network" in found.notes[0]
    assert found.program == f"NVlabs/stylegan2{'-ada' if ada else ''}" and found.license
    assert all(fate.target or fate.note for fate in found.fates)
    same(built("generator", found.generator)(z), built("generator", both.generator)(z))


def test_the_command_makes_a_model_folder(tmp_path: Path) -> None:
    content, out = tiny(), tmp_path / "cars"
    path = tmp_path / "network-final.pkl"
    path.write_bytes(pickle.dumps(content, protocol=3))
    result = CliRunner().invoke(main, ["import", str(path), "-o", str(out)])
    assert result.exit_code == 0, result.output
    G, z, run = ganzoo.load(out), torch.randn(2, 6), Run(content[2])
    ws = run_mapping2(run, z.double(), None)[:, None].repeat(1, 4, 1)
    expected = run_stylegan2(run, ws, 2, "skip", None)
    same(G(z), expected)
    assert ganzoo.load_discriminator(out).image_shape == (3, 8, 8)
    config = layout.read_config(out)
    assert (config.license, config.license_name[:6]) == ("other", "Nvidia")


def test_without_a_group_size_it_is_the_whole_batch_or_what_is_said(tmp_path: Path) -> None:
    G, D = stylegan2([3, 2], ada=True), critic2([3, 2], function="D_main")
    whole = imported(tmp_path, (G, D, G)).discriminator
    assert whole is not None and whole.config["mbstd_group"] == 4096
    D.settings["mbstd_group_size"] = None
    found = imported(tmp_path, (G, D, G), mbstd_group=8)
    assert found.discriminator is not None and found.discriminator.config["mbstd_group"] == 8
    with pytest.raises(ConfigError, match="mbstd_group = 0"):
        imported(tmp_path, (G, D, G), mbstd_group=0)


def test_without_noise_maps_images_are_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = stylegan2([4, 3], use_noise=False)
    synthesis = theirs.components["synthesis"].variables
    kept = {name: v for name, v in synthesis.items() if "noise" not in name}
    silent = {name: np.zeros_like(v) for name, v in synthesis.items() if "noise" in name}
    expected = Run(theirs)
    expected.v |= {f"synthesis/{name}": torch.as_tensor(v).double() for name, v in silent.items()}
    theirs.components["synthesis"].variables = kept
    G = built("generator", imported(tmp_path, (theirs, critic2([4, 3]), theirs)).generator)
    z = torch.randn(2, 6)
    ws = run_mapping2(expected, z.double(), None)[:, None].repeat(1, 4, 1)
    images = run_stylegan2(expected, ws, 2, "skip", None)
    same(G(z), images)


def odd(network: int, **settings: Any) -> Any:
    content = tiny()
    content[network].settings.update(settings)
    return content


def another(network: int, name: str) -> Any:
    content = tiny()
    content[network].variables[name] = normal(3, 2)
    return content


def silenced() -> Any:
    content = tiny()
    del content[2].components["synthesis"].variables["noise1"]
    return content


def growing() -> Any:
    G = stylegan2([3, 2], grown=True)
    G.components["synthesis"].variables["lod"] = np.float32(0.5)
    return G, critic2([3, 2], function="D_stylegan"), G


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda: odd(2, resample_kernel=(1, 1)), r"Gs has resample_kernel = \[1, 1\]: only \[1, 3"),
        (lambda: odd(2, nonlinearity="relu"), "Gs has nonlinearity = 'relu': only 'lrelu'"),
        (lambda: odd(2, tail=3), "Gs has the setting tail = 3, which is not known"),
        (lambda: another(1, "4x4/Attention"), "D has a variable '4x4/Attention'"),
        (silenced, r"has no Gs\.synthesis\.b8\.conv0\.noise_const"),
        (growing, "Gs was still growing when the file was written: of StyleGAN2's configurations"),
    ],
)
def test_what_ours_is_not_is_refused(tmp_path: Path, content: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as error:
        imported(tmp_path, content())
    assert "\n" not in str(error.value)
