"""Pickles like those of stylegan2-ada-pytorch and stylegan3, against their networks, restated."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import ganzoo
from ganzoo import layout, models, plugins
from ganzoo.cli import main
from ganzoo.errors import GanzooError
from ganzoo.importing.importer import Converted, Network
from ganzoo.importing.reading import read
from tests.nvidia_pytorch import (
    EasyDict,
    Obj,
    discriminator,
    generator,
    name_modules,
    run_discriminator,
    run_mapping,
    run_synthesis,
    truncated,
)


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    name_modules(monkeypatch)


def imported(folder: Path, content: Any, *, protocol: int = 4) -> Converted:
    path = folder / "network-snapshot.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    importer = plugins.load().parts.get("importer", "stylegan-nvidia").build()
    found = read(path)
    assert importer.recognises(found)
    return importer.convert(found)


def built(kind: str, network: Network | None) -> Any:
    assert network is not None
    part = plugins.load().parts.get(kind, network.part)
    module = models.build(part, part.make_config(network.config))
    module.load_state_dict(network.state)
    return module.eval().requires_grad_(False)


GENERATORS: dict[str, dict[str, Any]] = {
    "skip, clamped": {"widths": [7, 5, 3], "clamp": 0.8},
    "resnet, conditional": {"widths": [7, 5, 3], "architecture": "resnet", "c": 3, "clamp": 256},
    "resnet, clamped": {"widths": [7, 5, 3], "architecture": "resnet", "clamp": 0.5},
    "orig": {"widths": [4, 6, 5], "architecture": "orig", "image": 1, "lr": 0.5},
    "stylegan3's": {"widths": [9, 9, 4, 3], "flat": True, "clamp": 256, "layers": 3, "hidden": 8},
    "stylegan3's, conditional": {"widths": [6, 3], "flat": True, "c": 2, "w": 8},
    "label embedded in 4": {"widths": [6, 3], "c": 3, "label": 4},
    "no mapping": {"widths": [6, 3], "layers": 0, "z": 5},
    "no mapping, conditional": {"widths": [6, 3], "layers": 0, "c": 2, "label": 3, "z": 2},
}


@pytest.mark.parametrize("settings", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize("key", ["G_ema", "G"])
def test_images_are_those_of_the_program(
    tmp_path: Path, key: str, settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    theirs = generator(**settings)
    found = imported(tmp_path, {key: theirs})
    G = built("generator", found.generator)
    z, labels = torch.randn(3, theirs.z_dim), None
    if theirs.c_dim:
        labels = torch.tensor([1, 0, 1])
    w = run_mapping(theirs.mapping, z.double(), labels)
    torch.testing.assert_close(G.mapping(z, labels)[:, 0].double(), w, rtol=0, atol=1e-5)
    for psi, cutoff, noise in ((1, None, "const"), (0.6, 2, "const"), (0.3, None, "none")):
        ws = truncated(theirs.mapping, w, psi, cutoff)
        expected = run_synthesis(theirs.synthesis, ws, noise)
        images = G(z, labels, truncation=psi, truncation_cutoff=cutoff, noise=noise)
        torch.testing.assert_close(images.double(), expected, rtol=1e-4, atol=1e-4)
    flat = settings.get("flat", False)
    assert found.program == f"NVlabs/{'stylegan3' if flat else 'stylegan2-ada-pytorch'}"
    assert found.license.startswith("NVIDIA Source Code License for StyleGAN3" if flat else
                                    "NVIDIA Source Code License for StyleGAN2")  # fmt: skip
    assert found.license_url.startswith("https://")
    assert any("not averaged" in n or "no averaged" in n for n in found.notes) == (key == "G")


CRITICS: dict[str, dict[str, Any]] = {
    "resnet": {"widths": [7, 5, 3], "clamp": 256},
    "resnet, clamped": {"widths": [6, 5, 3], "clamp": 0.5, "group": None, "statistics": 2},
    "skip, clamped": {"widths": [7, 5, 3], "clamp": 0.4, "architecture": "skip"},
    "orig, conditional": {"widths": [7, 5], "architecture": "orig", "c": 3, "cmap": 6, "group": 2},
    "conditional": {"widths": [4, 5, 3], "c": 3, "cmap": 4, "hidden": 9, "label": 6},
    "without statistics": {"widths": [4, 3], "statistics": 0, "image": 1},
}


@pytest.mark.parametrize("settings", CRITICS.values(), ids=CRITICS)
@pytest.mark.parametrize("frozen", [False, True])
def test_scores_are_those_of_the_program(
    tmp_path: Path, frozen: bool, settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    theirs = discriminator(**settings)
    full = theirs.img_resolution
    if frozen:
        block = theirs.state["_modules"][f"b{full}"]
        block.fromrgb.freeze()
        block.conv0.freeze()
        theirs.b4.fc.freeze()
    G = generator(widths=settings["widths"], c=settings.get("c", 0), image=theirs.img_channels)
    found = imported(tmp_path, {"G": G, "D": theirs, "G_ema": G}, protocol=3)
    D = built("discriminator", found.discriminator)
    images = torch.randn(8, theirs.img_channels, full, full)
    labels = torch.tensor([0, 1, 2, 2, 1, 0, 0, 1]) if theirs.c_dim else None
    expected = run_discriminator(theirs, images.double(), labels)
    torch.testing.assert_close(D(images, labels).double(), expected, rtol=1e-3, atol=1e-5)


def snapshot(**more: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset"),
        "G": generator(widths=[4, 3]), "D": discriminator(widths=[4, 3]),
        "G_ema": generator(widths=[4, 3]), "augment_pipe": None, **more,
    }  # fmt: skip


def test_the_averaged_generator_is_taken_and_every_tensor_accounted_for(tmp_path: Path) -> None:
    content = snapshot()
    pipe = Obj("AugmentPipe")
    pipe.buffer("p", torch.zeros(()))
    content |= {"augment_pipe": pipe, "statistics": {"mean": [torch.zeros(2)]}}
    found = imported(tmp_path, content)
    const = content["G_ema"].synthesis.b4.const.detach()
    assert torch.equal(found.generator.state["const"][0], const)
    count = {key: content[key].tensors() for key in ("G", "D", "G_ema", "augment_pipe")}
    for key, number in count.items():
        mine = [fate for fate in found.fates if fate.source.startswith(f"{key}.")]
        assert len({fate.source for fate in mine}) == len(mine) == number, key
    fates = {fate.source: fate for fate in found.fates}
    assert fates["G_ema.synthesis.b8.conv1.weight"].target == "generator: convs.2.weight"
    assert fates["D.b4.out.bias"].target == "discriminator: out.bias"
    assert fates["G.mapping.w_avg"].target == "" and fates["augment_pipe.p"].target == ""
    assert fates["statistics.mean.0"].target == ""
    assert "float16" in " ".join(found.notes)


def test_a_network_alone_is_taken_as_the_generator(tmp_path: Path) -> None:
    theirs, z = generator(widths=[4, 3]), torch.randn(2, 6)
    found = imported(tmp_path, theirs)
    assert found.discriminator is None and "has one network" in found.notes[0]
    assert all(fate.target or fate.note for fate in found.fates)
    w = run_mapping(theirs.mapping, z.double(), None)[:, None].repeat(1, 4, 1)
    expected = run_synthesis(theirs.synthesis, w, "const")
    images = built("generator", found.generator)(z)
    torch.testing.assert_close(images.double(), expected, rtol=1e-4, atol=1e-4)


def test_without_noise_maps_images_are_the_same(tmp_path: Path) -> None:
    content = snapshot()
    for block in content["G_ema"].synthesis.state["_modules"].values():
        for layer in (block.state["_modules"][k] for k in ("conv0", "conv1") if hasattr(block, k)):
            layer.state["use_noise"] = False
            del layer.state["_parameters"]["noise_strength"], layer.state["_buffers"]["noise_const"]
    G = built("generator", imported(tmp_path, content).generator)
    z = torch.randn(2, 6)
    w = run_mapping(content["G_ema"].mapping, z.double(), None)[:, None].repeat(1, 4, 1)
    expected = run_synthesis(content["G_ema"].synthesis, w, "none")
    torch.testing.assert_close(G(z).double(), expected, rtol=1e-4, atol=1e-4)


def test_weights_may_be_laid_out_or_kept_otherwise(tmp_path: Path) -> None:
    """The programs lay out the weights of float16 blocks by channels; people halve files."""
    content = snapshot()
    plain = imported(tmp_path, content).generator.state
    for layer in (content["G_ema"].synthesis.b8.conv0, content["G_ema"].synthesis.b8.conv1):
        weight = layer.weight.detach().to(memory_format=torch.channels_last)
        assert not weight.is_contiguous()
        layer.state["_parameters"]["weight"] = torch.nn.Parameter(weight)
    const = content["G_ema"].synthesis.b4.state["_parameters"]
    const["const"] = torch.nn.Parameter(const["const"].detach().half())
    changed = imported(tmp_path, content).generator.state
    for name, tensor in plain.items():
        expected = tensor.half().float() if name == "const" else tensor
        assert torch.equal(changed[name], expected) and changed[name].is_contiguous(), name


def test_what_is_beside_the_networks_is_left_out(tmp_path: Path) -> None:
    """A D that is no network either."""
    found = imported(tmp_path, snapshot(D={"x": torch.zeros(1)}, seen=torch.zeros(1), step=3))
    assert found.discriminator is None
    fates = {fate.source: fate for fate in found.fates}
    assert fates["D.x"].note == fates["seen."].note == "of no network"


def test_settings_that_are_not_read_are_named(tmp_path: Path) -> None:
    content = snapshot()
    given = content["G_ema"].state["_init_kwargs"]
    given["synthesis_kwargs"] |= {"blurred": EasyDict(sigma=2)}
    given |= {"epilogue": 3, "fused_modconv_default": "inference_only"}
    content["D"].state["_init_kwargs"] = EasyDict(
        channel_base=99, block_kwargs=EasyDict(freeze_layers=2, foo="bar")
    )
    _, without, unknown = imported(tmp_path, content).notes
    assert without == (
        "Without effect on images: G_ema num_fp16_res = 4,"
        " G_ema fused_modconv_default = 'inference_only', D freeze_layers = 2."
    )
    assert unknown.startswith(
        "Settings that are not known here, and were not used: G_ema blurred = {'sigma': 2},"
        " G_ema epilogue = 3, D foo = 'bar'. "
    )
    result = CliRunner().invoke(
        main, ["import", str(tmp_path / "network-snapshot.pkl"), "--report"]
    )
    assert result.exit_code == 0 and unknown in result.stderr


def test_a_discriminator_of_another_kind_is_left_out(tmp_path: Path) -> None:
    other = Obj("ProjectedDiscriminator", c_dim=0)
    other.parameter("weight", 3, 3)
    found = imported(tmp_path, snapshot(D=other))
    assert found.discriminator is None
    assert "none of StyleGAN2's" in " ".join(found.notes)
    assert [fate.target for fate in found.fates if fate.source == "D.weight"] == [""]


def test_the_command_makes_a_model_folder(tmp_path: Path) -> None:
    content = snapshot()
    path, out = tmp_path / "network-snapshot-000100.pkl", tmp_path / "faces"
    path.write_bytes(pickle.dumps(content))
    result = CliRunner().invoke(main, ["import", str(path), "-o", str(out)])
    assert result.exit_code == 0, result.output
    G, z = ganzoo.load(out), torch.randn(2, 6)
    w = run_mapping(content["G_ema"].mapping, z.double(), None)[:, None].repeat(1, 4, 1)
    expected = run_synthesis(content["G_ema"].synthesis, w)
    torch.testing.assert_close(G(z).double(), expected, rtol=1e-4, atol=1e-4)
    images = torch.randn(4, 3, 8, 8)
    scores = run_discriminator(content["D"], images.double(), None)
    D = ganzoo.load_discriminator(out)
    torch.testing.assert_close(D(images).double(), scores, rtol=1e-3, atol=1e-5)
    config = layout.read_config(out)
    assert (config.license, config.license_name[:6]) == ("other", "NVIDIA")
    assert config.license_link == "https://nvlabs.github.io/stylegan2-ada-pytorch/license.html"


# -- refusals --------------------------------------------------------------------------------------


def filtered(content: Any) -> None:
    content["G_ema"].synthesis.b8.conv0.buffer("resample_filter", torch.ones(4, 4) / 16)


def swish(content: Any) -> None:
    content["G_ema"].synthesis.b4.conv1.state["activation"] = "swish"


def rescaled(content: Any) -> None:
    content["D"].b8.conv1.state["weight_gain"] = 1.0


def laughing(content: Any) -> None:
    value: Any = []
    for _ in range(60):  # 2^60 items, if it were written out
        value = [value, value]
    content["G_ema"].synthesis.b8.torgb.state["conv_clamp"] = value


def two_clamps(content: Any) -> None:
    content["G_ema"].synthesis.b8.torgb.state["conv_clamp"] = 256


def louder(content: Any) -> None:
    content["G_ema"].synthesis.b8.conv0.state["act_gain"] = 2.0


def faster(content: Any) -> None:
    content["G_ema"].synthesis.b8.conv0.affine.state["bias_gain"] = 2.0


def a_short_z(content: Any) -> None:
    content["G_ema"].mapping.state |= {"num_layers": 0, "_modules": {}}


def a_tensor_more(content: Any) -> None:
    content["G_ema"].synthesis.b8.conv1.parameter("attention", 3)


def a_tensor_less(content: Any) -> None:
    del content["G_ema"].synthesis.b8.conv1.state["_parameters"]["bias"]


def silent(content: Any) -> None:
    del content["G_ema"].state["z_dim"]


def small(content: Any) -> None:
    content["G_ema"].state["img_resolution"] = 4


def countless_layers(content: Any) -> None:
    content["G_ema"].mapping.state["num_layers"] = 10**15


def no_number_of_layers(content: Any) -> None:
    content["G_ema"].mapping.state["num_layers"] = -1


def complex_numbers(content: Any) -> None:
    weight = torch.zeros(4, 4, 3, 3, dtype=torch.complex64)
    content["G_ema"].synthesis.b4.conv1.state["_parameters"]["weight"] = weight


def long_names(content: Any) -> None:
    content["G_ema"].add(**{"n" * 200: Obj("X")})
    module = content["G_ema"].state["_modules"]["n" * 200]
    for _ in range(6):
        module.add(**{"n" * 200: Obj("X")})
        module = module.state["_modules"]["n" * 200]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (countless_layers, r"G_ema\.mapping has num_layers = 1000000000000000, and another"),
        (no_number_of_layers, r"G_ema\.mapping has num_layers = -1, and another"),
        (complex_numbers, r"G_ema\.synthesis\.b4\.conv1\.weight is of complex numbers"),
        (long_names, "a network in the file has too many modules"),
        (filtered, r"G_ema\.synthesis\.b8\.conv0\.resample_filter is another filter"),
        (swish, r"G_ema\.synthesis\.b4\.conv1 has the activation 'swish': only 'lrelu'"),
        (rescaled, r"D\.b8\.conv1 scales its weight by 1, the original by 0\.19"),
        (louder, r"b8\.conv0 scales its output by 2, the original by 1\.41421"),
        (faster, r"b8\.conv0\.affine has the lr_multiplier 2\.0: only 1"),
        (a_short_z, "mapping_layers = 0, but 6 values are to become 5: use w_dim = 6, or"),
        (two_clamps, r"b8\.conv1 has conv_clamp None, .*b8\.torgb 256"),
        (laughing, r"G_ema\.synthesis\.b8\.torgb has conv_clamp \[\["),
        (a_tensor_more, r"does not have: G_ema\.synthesis\.b8\.conv1\.attention"),
        (a_tensor_less, r"has no G_ema\.synthesis\.b8\.conv1\.bias"),
        (silent, r"G_ema has no attribute 'z_dim'"),
        (small, r"images of 4 pixels a side: only 8, 16"),
    ],
)
def test_what_ours_is_not_is_refused(tmp_path: Path, change: Any, problem: str) -> None:
    content = snapshot()
    change(content)
    with pytest.raises(GanzooError, match=problem) as error:
        imported(tmp_path, content)
    assert "\n" not in str(error.value)


def test_other_pickles_are_not_recognised(tmp_path: Path) -> None:
    importer = plugins.load().parts.get("importer", "stylegan-nvidia").build()
    path = tmp_path / "other.pkl"
    for content in ({}, [], {"G_ema": {"a": torch.zeros(1)}}, {"D": discriminator(widths=[4, 3])},
                    discriminator(widths=[4, 3])):  # fmt: skip
        path.write_bytes(pickle.dumps(content))
        assert not importer.recognises(read(path))
    path.write_bytes(pickle.dumps({"D": discriminator(widths=[4, 3])}))
    with pytest.raises(GanzooError, match="no generator G_ema or G"):
        importer.convert(read(path))
