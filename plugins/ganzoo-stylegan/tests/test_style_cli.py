"""What only a style generator can do, through `sample` and through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from ganzoo import checkpoint, plugins, provenance
from ganzoo.cli import main
from ganzoo.cli.job import Job
from ganzoo.errors import InputError
from ganzoo.images import to_uint8
from ganzoo.models import build
from ganzoo.testing.networks import perturbed

FAMILIES = ["stylegan", "stylegan2"]


def generator(family: str, **settings: Any) -> Any:
    part = plugins.load().parts.get("generator", family)
    G = perturbed(build(part, part.make_config({**part.tiny, **settings}), seed=1)).eval()
    if family in FAMILIES:
        G.w_avg.normal_()
    return G


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a model with three classes."""
    G = generator(request.param, num_classes=3)
    return checkpoint.save(tmp_path / "model", G, name=f"{request.param}.noise")


@pytest.fixture
def arrays(model: Path, tmp_path: Path) -> Callable[..., np.ndarray]:
    """The images of `ganzoo generate` with some options."""

    def run(*options: object) -> np.ndarray:
        path = tmp_path / "images.npz"
        result = ganzoo("generate", model, "-n", 3, *options, "-o", path)
        assert result.exit_code == 0, result.output
        return np.load(path)["images"]

    return run


def ganzoo(*arguments: object) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(main, words, prog_name="ganzoo", catch_exceptions=False)


def test_styles_of_another_seed_from_a_layer_on(arrays, model: Path) -> None:
    G = checkpoint.load_generator(model)
    assert G.num_ws == 4
    pure, other = arrays(), arrays("--seeds", "9,9,9", "--labels", "0,1,2")
    np.testing.assert_array_equal(arrays("--mix", "9:4"), pure)
    np.testing.assert_allclose(arrays("--mix", "9:0").astype(int), other, atol=1)
    half = arrays("--mix", "9")
    np.testing.assert_array_equal(half, arrays("--mix", "9:2"))
    np.testing.assert_array_equal(half, G.sample(3, mix=(9, 2)).to_uint8())
    assert (half != pure).any() and (half != other).any()


def test_truncation_its_cutoff_and_noise(arrays, model: Path) -> None:
    G = checkpoint.load_generator(model)
    for options, settings in (
        (("--truncation", "0.5"), {"truncation": 0.5}),
        (("--truncation", "0.5", "--truncation-cutoff", "2"),
         {"truncation": 0.5, "truncation_cutoff": 2}),
        (("--noise", "random"), {"noise": "random"}),
        (("--noise", "none"), {"noise": "none"}),
    ):  # fmt: skip
        found = arrays(*options)
        np.testing.assert_array_equal(found, G.sample(3, **settings).to_uint8())
        assert (found != arrays()).any(), options


def test_one_other_seed_an_image_in_any_batch(model: Path) -> None:
    G = checkpoint.load_generator(model)
    together = G.sample(3, mix=([7, 8, 9], 1))
    assert torch.equal(together[1:2], G.sample(1, seed=1, mix=(8, 1))) or torch.allclose(
        torch.Tensor(together[1:2]), torch.Tensor(G.sample(1, seed=1, mix=(8, 1))), atol=1e-5
    )
    split = G.sample(3, mix=([7, 8, 9], 1), batch_size=2)
    torch.testing.assert_close(torch.Tensor(together), torch.Tensor(split), rtol=0, atol=1e-5)


def test_pictures_record_how_they_were_mixed(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    assert ganzoo("generate", model, "--mix", "9:1", "-o", path).exit_code == 0
    record = provenance.read_record(path)
    assert record is not None and record["mix"] == "9:1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mix", "7:5"), "layer of mix 5 is out of range: use 0 to 4"),
        (("--mix", "seven"), "--mix 'seven' is no seed: write --mix 7, or --mix 7:4"),
        (("--mix", "7:"), "--mix '7:' is no seed"),
        (("--mix", "99999999999999999999"), "seed 99999999999999999999 is out of range"),
        (("--truncation", "3"), "truncation 3.0 is out of range: use -1 to 2"),
        (("--truncation", "0.5", "--truncation-cutoff", "5"),
         "truncation_cutoff 5 is out of range: use 0 to 4"),
        (("--truncation", "0.5", "--truncation-cutoff", "-1"),
         "truncation_cutoff -1 is out of range: use 0 to 4"),
        (("--class", "3"), "has no class 3: use 0 to 2"),
        (("--interpolate", "--noise", "random", "-o", "walk.gif"), "random noise flickers"),
    ],
)  # fmt: skip
def test_bad_options_are_refused_in_one_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    result = ganzoo("generate", model, *options)
    assert result.exit_code == 1 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert message in line
    assert set(tmp_path.rglob("*")) == before


def test_a_family_without_styles_refuses_to_mix(tmp_path: Path) -> None:
    part = plugins.load().parts.get("generator", "dcgan")
    G = build(part, part.make_config(part.tiny), seed=0)
    folder = checkpoint.save(tmp_path / "model", G, name="dcgan.noise")
    result = ganzoo("generate", folder, "--mix", "7", "-o", tmp_path / "grid.png")
    assert result.exit_code == 1
    assert "takes no mix: leave it out; it needs a generator with 'style-mixing'" in result.stderr


@pytest.mark.parametrize(
    "mix", [7, (7,), "7:", (7, 1, 2), ([7, 8], 1), (-1, 1), (7, 9), (7, 1.5), ("7", 1)]
)
def test_bad_mixes_are_refused(mix: Any) -> None:
    with pytest.raises(InputError, match=r"mix|seed") as caught:
        generator("stylegan2").sample(3, mix=mix)
    assert "\n" not in str(caught.value)


def test_a_walk_is_straight_in_w(model: Path) -> None:
    G = checkpoint.load_generator(model)
    options = G.check_options({"truncation": 0.7, "mix": (9, 3), "noise": "none"})
    job = Job(G, [0, 5], [1, 1], options, batch_size=3, marks={}, layout={})
    frames = np.stack(list(job._walk(4)))
    with torch.inference_mode():
        one = torch.tensor([1])
        a, b, other = (G.mapping(G.latents([seed]), one, truncation=0.7) for seed in (0, 5, 9))
        ws = torch.cat([x.lerp(y, 0.25 * k) for x, y in ((a, b), (b, a)) for k in range(4)])
        ws = torch.cat([ws[:, :3], other[:, 3:].expand(8, -1, -1)], dim=1)
        expected = to_uint8(G.synthesis(ws, noise="none"))
    np.testing.assert_allclose(frames.astype(int), expected, atol=1)


@pytest.mark.parametrize("family", [*FAMILIES, "dcgan"])
def test_a_walk_holds_no_more_than_a_batch(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points are computed as the walk comes to them, and the first is kept for its end."""
    G = generator(family)
    job = Job(G, range(50), None, {}, batch_size=4, marks={}, layout={})
    sizes: list[int] = []
    for name in ("mapping", "forward", "synthesis"):
        made = getattr(G, name, None)
        if made is not None:
            monkeypatch.setattr(
                G, name, lambda x, *a, made=made, **k: sizes.append(len(x)) or made(x, *a, **k)
            )
    frames = job._walk(2)
    first = next(frames)
    assert max(sizes) <= 4 and sum(sizes) <= 12  # of the 50 points, one batch or two
    rest = list(frames)
    assert len(rest) == 99 and max(sizes) == 4
    alone = to_uint8(G.sample(seeds=[0, 0, 49]))
    assert np.abs(first.astype(int) - alone[0]).max() <= 1
    assert np.abs(rest[-2].astype(int) - alone[2]).max() <= 1  # at seed 49, before it goes back


def test_a_walk_in_w_is_written(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "walk.gif"
    options = ("--class", 1, "--mix", 9, "--truncation", 0.7, "--steps", 4)
    result = ganzoo("generate", model, "-n", 2, "--interpolate", *options, "-o", path)
    assert result.exit_code == 0, result.output
    with Image.open(path) as animation:
        assert animation.n_frames == 8


@pytest.mark.parametrize("family", FAMILIES)
def test_a_resolution_that_is_no_power_of_two_is_refused(family: str) -> None:
    result = ganzoo("train", f"{family}.mnist", "--dry-run", "--data", "shapes?size=28&n=64",
                    "--set", "data.resolution=28", "--set", "data.channels=1")  # fmt: skip
    assert result.exit_code == 1 and result.stdout == ""
    assert "is no square of a power of two: use 8, 16, 32" in result.stderr.splitlines()[-1]
