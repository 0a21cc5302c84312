"""Pickles like those of ProGAN's authors, against their networks, restated."""

from __future__ import annotations

import math
import pickle
import sys
from pathlib import Path
from types import ModuleType
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
    four_shifts,
    lrelu,
    normal,
    unit,
    with_deviation,
)
from tests.restated import built, same, same_scores

HE = math.sqrt(2)


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_tensorflow.name_modules(monkeypatch, "tfutil")


def imported(folder: Path, content: Any) -> Converted:
    return nvidia_tensorflow.imported(folder, "progan-nvidia-tf", content)


def conv(v: dict[str, Any], name: str, i: int, o: int, kernel: int = 3) -> None:
    v |= {f"{name}/weight": normal(kernel, kernel, i, o), f"{name}/bias": normal(o, scale=0.3)}


def dense(v: dict[str, Any], name: str, i: int, o: int) -> None:
    v |= {f"{name}/weight": normal(i, o), f"{name}/bias": normal(o, scale=0.3)}


def generator(
    widths: list[int],
    *,
    z: int = 6,
    c: int = 0,
    image: int = 3,
    fused: bool = True,
    **settings: Any,
) -> TFNetwork:
    v: dict[str, Any] = {"lod": np.float32(0)}
    v |= {"4x4/Dense/weight": normal(z + c, 16 * widths[0]), "4x4/Dense/bias": normal(widths[0])}
    conv(v, "4x4/Conv", widths[0], widths[0])
    for k, width in enumerate(widths):
        size = f"{4 << k}x{4 << k}"
        if k:
            conv(v, f"{size}/Conv0_up" if fused else f"{size}/Conv0", widths[k - 1], width)
            if fused:  # stored (height, width, out, in)
                v[f"{size}/Conv0_up/weight"] = normal(3, 3, width, widths[k - 1])
            conv(v, f"{size}/Conv1", width, width)
        conv(v, f"ToRGB_lod{len(widths) - 1 - k}", width, image, 1)
    settings = {"num_channels": image, "label_size": c, "fused_scale": fused, **settings}
    return TFNetwork("G_paper", v, **settings)


def run_generator(run: Run, z: Tensor, labels: Tensor | None, levels: int, classes: int = 0,
                  normalised: bool = True, lod: int = 0) -> Tensor:  # fmt: skip
    if labels is not None:
        z = torch.cat([z, one_hot(labels, classes)], 1)
    x = unit(z) if normalised else z
    x = x @ (run["4x4/Dense/weight"] * HE / 4 / math.sqrt(x.shape[1]))
    x = unit(lrelu(run.bias(x.reshape(len(x), -1, 4, 4), "4x4/Dense")))
    x = unit(lrelu(run.bias(correlate(x, run.kernel("4x4/Conv", HE)), "4x4/Conv")))
    for k in range(1, levels - lod):
        name = f"{4 << k}x{4 << k}/Conv0"
        if f"{name}_up/weight" in run.v:
            weight = run[f"{name}_up/weight"]  # (3, 3, out, in)
            weight = four_shifts(weight * HE / math.sqrt(9 * weight.shape[3]))
            x = conv_transpose2d(x, weight.permute(3, 2, 0, 1), stride=2, padding=1)
            x = run.bias(x, f"{name}_up")
        else:
            x = correlate(interpolate(x, scale_factor=2.0), run.kernel(name, HE))
            x = run.bias(x, name)
        x = unit(lrelu(x))
        name = f"{4 << k}x{4 << k}/Conv1"
        x = unit(lrelu(run.bias(correlate(x, run.kernel(name, HE)), name)))
    x = run.bias(correlate(x, run.kernel(f"ToRGB_lod{lod}", 1)), f"ToRGB_lod{lod}")
    return interpolate(x, scale_factor=2.0**lod)


def critic(
    widths: list[int], *, c: int = 0, image: int = 3, units: int = 7, fused: bool = True,
    statistic: int = 1, **settings: Any,
) -> TFNetwork:  # fmt: skip
    v: dict[str, Any] = {"lod": np.float32(0)}
    for k, width in enumerate(widths):
        conv(v, f"FromRGB_lod{len(widths) - 1 - k}", image, width, 1)
        if k:
            size = f"{4 << k}x{4 << k}"
            conv(v, f"{size}/Conv0", width, width)
            conv(v, f"{size}/Conv1_down" if fused else f"{size}/Conv1", width, widths[k - 1])
    conv(v, "4x4/Conv", widths[0] + statistic, widths[0])
    dense(v, "4x4/Dense0", 16 * widths[0], units)
    dense(v, "4x4/Dense1", units, 1 + c)
    return TFNetwork("D_paper", v, num_channels=image, label_size=c, fused_scale=fused, **settings)


def run_critic(run: Run, x: Tensor, levels: int, group: int) -> Tensor:
    x = lrelu(run.bias(correlate(x, run.kernel("FromRGB_lod0", HE)), "FromRGB_lod0"))
    for k in range(levels - 1, 0, -1):
        size = f"{4 << k}x{4 << k}"
        x = lrelu(run.bias(correlate(x, run.kernel(f"{size}/Conv0", HE)), f"{size}/Conv0"))
        if f"{size}/Conv1_down/weight" in run.v:
            kernel = four_shifts(run.kernel(f"{size}/Conv1_down", HE)) / 4
            x = conv2d(x, kernel.permute(3, 2, 0, 1), stride=2, padding=1)
            x = lrelu(run.bias(x, f"{size}/Conv1_down"))
        else:
            x = correlate(x, run.kernel(f"{size}/Conv1", HE))
            x = avg_pool2d(lrelu(run.bias(x, f"{size}/Conv1")), 2)
    if group:
        x = with_deviation(x, group)
    x = lrelu(run.bias(correlate(x, run.kernel("4x4/Conv", HE)), "4x4/Conv"))
    return run.dense(lrelu(run.dense(x.flatten(1), "4x4/Dense0", gain=HE)), "4x4/Dense1")


GENERATORS: dict[str, dict[str, Any]] = {
    "fused": {"widths": [6, 5, 3]},
    "not fused, conditional": {"widths": [4, 5, 3], "c": 3, "fused": False},
    "grey, z as it is": {"widths": [5, 2], "c": 2, "image": 1, "normalize_latents": False},
}


@pytest.mark.parametrize("settings", GENERATORS.values(), ids=GENERATORS)
def test_images_are_those_of_the_program(tmp_path: Path, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    theirs, levels, c = generator(**settings), len(settings["widths"]), settings.get("c", 0)
    D = critic(settings["widths"], c=c, image=settings.get("image", 3))
    found = imported(tmp_path, (theirs, D, theirs))
    G, z, labels = built("generator", found.generator), torch.randn(3, 6), None
    if c:
        labels = torch.tensor([1, 0, 1])
    how = (Run(theirs), z.double(), labels, levels, c, settings.get("normalize_latents", True))
    for lod in (0, 1):
        expected = run_generator(*how, lod=lod)
        same(G(z, labels, lod=lod), expected)
    assert found.program == "tkarras/progressive_growing_of_gans"
    assert found.license == "cc-by-nc-4.0"


CRITICS: dict[str, dict[str, Any]] = {
    "fused": {"widths": [6, 5, 3]},
    "not fused": {"widths": [4, 5, 3], "fused": False, "mbstd_group_size": 2},
    "conditional": {"widths": [4, 3], "c": 3, "units": 4},
    "without statistic": {"widths": [4, 3], "statistic": 0, "mbstd_group_size": 0},
}


@pytest.mark.parametrize("settings", CRITICS.values(), ids=CRITICS)
def test_scores_are_those_of_the_program(tmp_path: Path, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    theirs, widths, c = critic(**settings), settings["widths"], settings.get("c", 0)
    G = generator(widths, c=c)
    D = built("discriminator", imported(tmp_path, (G, theirs, G)).discriminator)
    images = torch.randn(4, 3, 2 << len(widths), 2 << len(widths))
    group = settings.get("mbstd_group_size", 4)
    expected = run_critic(Run(theirs), images.double(), len(widths), group)
    found = D.outputs(images)
    same_scores(found.score, expected[:, 0])
    if c:
        same_scores(found.classes, expected[:, 1:])


def tiny() -> tuple[TFNetwork, TFNetwork, TFNetwork]:
    return generator([3, 2]), critic([3, 2]), generator([3, 2])


def test_the_averaged_generator_is_taken_and_every_variable_accounted_for(tmp_path: Path) -> None:
    content = tiny()
    found = imported(tmp_path, content)
    bias = content[2].all()["8x8/Conv1/bias"]
    np.testing.assert_array_equal(found.generator.state["blocks.1.conv1.bias"], bias)
    for network, key in zip(content, ("G", "D", "Gs")):
        mine = [fate.source for fate in found.fates if fate.source.startswith(f"{key}.")]
        assert sorted(mine) == sorted(f"{key}.{name}" for name in network.all())
    notes = {fate.source: fate.note for fate in found.fates}
    assert notes["Gs.8x8/Conv0_up/weight"] == "transposed, kernel flipped"
    assert not any(fate.target for fate in found.fates if fate.source.startswith("G."))


def test_a_network_alone_is_taken_as_the_generator(tmp_path: Path) -> None:
    theirs, z = generator([3, 2]), torch.randn(2, 6)
    found = imported(tmp_path, theirs)
    assert found.discriminator is None and "has one network" in found.notes[0]
    expected = run_generator(Run(theirs), z.double(), None, 2)
    same(built("generator", found.generator)(z), expected)


def test_the_command_makes_a_model_folder(tmp_path: Path) -> None:
    content, out = tiny(), tmp_path / "faces"
    path = tmp_path / "network-final.pkl"
    path.write_bytes(pickle.dumps(content, protocol=3))
    result = CliRunner().invoke(main, ["import", str(path), "-o", str(out)])
    assert result.exit_code == 0, result.output
    G, z, run = ganzoo.load(out), torch.randn(2, 6), Run(content[2])
    expected = run_generator(run, z.double(), None, 2)
    same(G(z), expected)
    assert ganzoo.load_discriminator(out).image_shape == (3, 8, 8)
    config = layout.read_config(out)
    assert (config.license, config.license_name) == ("cc-by-nc-4.0", "")


def test_a_file_of_networks_that_grow_says_at_which_lod_they_were(tmp_path: Path) -> None:
    content = tiny()
    content[2].variables["lod"] = np.float32(0.5)
    assert "lod=0.5 generates as they did then" in " ".join(imported(tmp_path, content).notes)
    assert not imported(tmp_path, tiny()).notes


# -- refusals --------------------------------------------------------------------------------------


def odd(network: int, **settings: Any) -> Any:
    content = tiny()
    content[network].settings.update(settings)
    return content


def without(name: str) -> Any:
    content = tiny()
    del content[2].variables[name]
    return content


def attentive() -> Any:
    content = tiny()
    content[1].variables["attention"] = normal(3, 2)
    return content


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda: odd(2, use_wscale=False), "Gs has use_wscale = False: only True can be imported"),
        (lambda: odd(2, use_leakyrelu=False), "Gs has use_leakyrelu = False"),
        (lambda: odd(2, structure="fixed"), "Gs has structure = 'fixed'"),
        (lambda: odd(1, tail=3), "D has the setting tail = 3, which is not known"),
        (lambda: without("8x8/Conv1/bias"), r"has no Gs\.8x8/Conv1/bias"),
        (attentive, r"does not have: D\.attention"),
    ],
)
def test_what_ours_is_not_is_refused(tmp_path: Path, content: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as error:
        imported(tmp_path, content())
    assert "\n" not in str(error.value)


class Network:
    """Of the Theano version: parameters without names."""

    def __getstate__(self) -> dict[str, Any]:
        return {"name": "G", "build_func_spec": {}, "param_values": [normal(2, 3)]}


def test_files_of_the_theano_version_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "network", ModuleType("network"))
    sys.modules["network"].Network = Network
    monkeypatch.setattr(Network, "__module__", "network")
    theirs = Network()
    with pytest.raises(InputError, match="Theano version, which cannot be imported"):
        imported(tmp_path, (theirs, theirs, theirs))


def test_other_pickles_are_not_recognised(tmp_path: Path) -> None:
    importer = plugins.load().parts.get("importer", "progan-nvidia-tf").build()
    other = TFNetwork("G_style", {"dlatent_avg": normal(2)})
    path = tmp_path / "other.pkl"
    for content in ((), (1, 2, 3), (other, other, other), {"G": other}, tiny()[:2]):
        path.write_bytes(pickle.dumps(content))
        assert not importer.recognises(read(path))
