"""Projection: images of a model are found again, the same way each time, and pictures of others are
brought to the model's form first."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganzoo
from ganzoo import checkpoint, inspection, latents, layout, plugins, projection, provenance
from ganzoo.errors import InputError
from ganzoo.latent_search import noise_correlation
from ganzoo.latents import Latents
from ganzoo.models import build
from tests.test_exporting import saved

FAST = {"steps": 120, "starts": 3, "reference": False}


def contrasty(family: str, folder: Path, **changes: object) -> ganzoo.Generator:
    """A tiny model with random weights, of which the images differ by about 0.4."""
    G = ganzoo.load(saved(family, folder, **changes))
    weights = [p for name, p in G.named_parameters() if name.endswith("weight") and p.ndim > 1]
    if family == "stylegan2":
        weights = [layer.weight for layer in G.to_images]
    z = G.latents(range(64))
    labels = torch.arange(64) % G.num_classes if G.num_classes else None
    for _ in range(100):
        spread = float(G(z, labels).std(0).mean())
        if 0.35 < spread < 0.45:
            return G
        for weight in weights:
            weight.mul_(1.05 if spread < 0.4 else 0.95)
    raise AssertionError(f"the images differ by {spread}")


@pytest.mark.parametrize("family, space", [("gan", "z"), ("stylegan2", "w"), ("stylegan2", "w+")])
def test_an_image_of_the_model_is_found_again(family: str, space: str, tmp_path: Path) -> None:
    G = contrasty(family, tmp_path / "model")
    target = G.sample(seeds=[10**9])
    found = ganzoo.project(target.to_uint8()[0], G, space=space, **FAST)
    (exact,) = target.to_uint8()
    assert np.array_equal(found.target, exact)
    # nearer than the best of 500 random images, by a factor of ten in squared error
    others = G.sample(500, seed=0).to_uint8().astype(float)
    best = ((others - exact) ** 2).mean((1, 2, 3)).min()
    error = ((found.image.astype(float) - exact) ** 2).mean()
    assert error < best / 10, (error, best)
    assert found.similarity.psnr > found.random.psnr + 10
    assert found.similarity.perceptual < found.random.perceptual / 4
    assert found.similarity.mse * 255**2 == pytest.approx(error, rel=0.1, abs=0.2)


def test_the_same_seed_the_same_result_and_nothing_else_is_touched(tmp_path: Path) -> None:
    G = contrasty("stylegan2", tmp_path / "model")
    G.train()
    weights = {k: v.clone() for k, v in G.state_dict().items()}
    picture = G.sample(seeds=[77]).to_uint8()[0]
    before = (torch.get_rng_state(), np.random.get_state(legacy=True), random.getstate())
    how = {**FAST, "steps": 5}
    first, again = (ganzoo.project(picture, G, seed=3, **how) for _ in range(2))
    after = (torch.get_rng_state(), np.random.get_state(legacy=True), random.getstate())
    assert torch.equal(before[0], after[0])
    assert (before[1][1] == after[1][1]).all()  # type: ignore[index]
    assert before[2] == after[2]
    assert torch.equal(first.latents.values, again.latents.values)
    assert first.facts() == again.facts()
    other = ganzoo.project(picture, G, seed=4, **how)
    assert not torch.equal(first.latents.values, other.latents.values)
    assert G.training
    assert all(torch.equal(weights[k], v) for k, v in G.state_dict().items())
    assert all(p.grad is None for p in G.parameters())


def test_z_keeps_its_length(tmp_path: Path) -> None:
    G = contrasty("gan", tmp_path / "model")
    found = ganzoo.project(G.sample(1).to_uint8()[0], G, **{**FAST, "steps": 7})
    assert found.space == "z"
    assert float(found.latents.values.norm()) == pytest.approx(G.z_dim**0.5, rel=1e-5)


def test_the_class_is_found_by_trying_or_is_given() -> None:
    G = ganzoo.load("cgan.mnist")
    picture = G.sample(seeds=[5], labels=7).to_uint8()[0]
    how = {**FAST, "steps": 5}
    found = ganzoo.project(picture, G, **how)
    assert found.extractor.startswith("digits-v")
    assert found.label == 7
    assert found.latents.labels.tolist() == [7]
    given = ganzoo.project(picture, G, label=0, **how)
    assert given.label == 0
    assert found.similarity.psnr > given.similarity.psnr
    with pytest.raises(InputError, match="has no class 99"):
        ganzoo.project(picture, G, label=99, **how)


def test_w_of_a_class_needs_no_label_to_be_rendered(tmp_path: Path) -> None:
    G = ganzoo.load(saved("stylegan2", tmp_path / "model", num_classes=3))
    picture = G.sample(seeds=[5], labels=2).to_uint8()[0]
    for starts in (1, 4):
        found = ganzoo.project(picture, G, label=2, steps=2, starts=starts, reference=True)
        assert (found.space, found.label, found.latents.labels) == ("w", 2, None)
        path = tmp_path / "w.safetensors"
        found.latents.write(path)
        again = latents.images(latents.read(path, G), G)
        assert np.array_equal(ganzoo.images.to_uint8(again)[0], found.image)


def test_a_sample_is_a_scale(tmp_path: Path) -> None:
    G = contrasty("stylegan2", tmp_path / "model")
    noise = np.random.default_rng(0).integers(0, 256, G.image_shape).astype(np.uint8)
    found = ganzoo.project(noise.transpose(1, 2, 0), G, **{**FAST, "reference": True})
    assert found.sample is not None
    assert found.sample.perceptual < found.similarity.perceptual
    assert found.similarity.perceptual < found.random.perceptual


def test_what_is_saved_makes_the_image_again_and_is_marked(tmp_path: Path) -> None:
    G = contrasty("stylegan2", tmp_path / "model")
    picture = G.sample(seeds=[2]).to_uint8()[0]
    found = ganzoo.project(picture, G, noise="optimize", **{**FAST, "steps": 20})
    paths = found.save(tmp_path / "out")
    names = ["projected.png", "comparison.png", "w.safetensors", "projection.json"]
    assert [path.name for path in paths] == names
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
    read = latents.read(tmp_path / "out" / "w.safetensors", G)
    assert read.values.shape == (1, G.num_ws, G.config.w_dim)
    assert set(read.noise) == set(range(G.num_ws - 1))
    again = latents.images(read, G)
    assert np.array_equal(ganzoo.images.to_uint8(again)[0], found.image)
    facts = json.loads((tmp_path / "out" / "projection.json").read_text())
    assert facts["weights_sha256"] == layout.read_sums(tmp_path / "model")["model.safetensors"]
    assert facts["projection"]["psnr"] == pytest.approx(found.similarity.psnr)
    found.save_video(tmp_path / "way.gif", fps=10)
    with Image.open(tmp_path / "way.gif") as video:
        assert 1 < video.n_frames <= 21  # equal frames are one in a GIF
    for path in (*paths[:2], tmp_path / "way.gif"):
        assert inspection.inspect(path).status == inspection.MARKED
        record = provenance.read_record(path)
        assert record["latent_sha256"] == read.sha256
        assert "seed" not in record
    for noise in found.latents.noise.values():
        assert float(noise.mean()) == pytest.approx(0, abs=1e-5)
        assert float(noise.std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_correlated_noise_costs() -> None:
    ones = torch.ones(1, 1, 16, 16)
    assert float(noise_correlation([ones[:, :, :8, :8]])) == 2  # 1 in either direction
    assert float(noise_correlation([ones])) == 2 + 2 * 4**2  # and its halves, of twice the value
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    assert float(noise_correlation([board[None, None]])) == 2
    # rows -1, -1, 1, 1, …: neighbours agree as often as not, but along a row always
    rows = torch.tensor([-1.0, -1, 1, 1]).repeat(2)[:, None].expand(8, 8)
    assert float(noise_correlation([rows[None, None]])) == 1


# -- pictures ------------------------------------------------------------------------------------


@pytest.fixture
def padded(tmp_path: Path) -> ganzoo.Generator:
    """A model of gray 8x8 images, of which the inner 6x6 have content."""
    part = plugins.load().parts.get("generator", "gan")
    G = build(part, part.make_config({**part.tiny, "image_shape": [1, 8, 8]}), seed=1)
    info = layout.ModelInfo(dataset="mnist", content_crop=(1, 1, 6, 6))
    return ganzoo.load(checkpoint.save(tmp_path / "padded", G, name="padded", info=info))


def target(image: Image.Image, G: ganzoo.Generator, path: Path, **how: object) -> np.ndarray:
    image.save(path, **how)
    return projection.read_target(path, G)[0].numpy()


def test_a_picture_of_the_models_size_is_taken_as_it_is(padded, tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    found = target(Image.fromarray(pixels), padded, tmp_path / "a.png")
    np.testing.assert_allclose(found[0], pixels / 127.5 - 1, atol=1e-6)


def test_other_pictures_become_the_content_of_padded_images(padded, tmp_path: Path) -> None:
    found = target(Image.new("RGB", (60, 40), "white"), padded, tmp_path / "a.jpg")
    expected = np.full((8, 8), -1.0)
    expected[1:7, 1:7] = 1
    np.testing.assert_allclose(found[0], expected, atol=0.02)


def test_a_picture_is_turned_as_it_says(padded, tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0, :] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    found = target(Image.fromarray(pixels), padded, tmp_path / "a.png", exif=exif)
    assert (found[0, :, 7] == 1).all()
    assert (found[0, :, :7] == -1).all()


def test_what_is_transparent_is_white(padded, tmp_path: Path) -> None:
    found = target(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), padded, tmp_path / "a.png")
    assert (found == 1).all()


def test_gray_pictures_become_those_of_a_colour_model(tmp_path: Path) -> None:
    G = contrasty("stylegan2", tmp_path / "model")
    found = target(Image.new("L", (100, 100), 255), G, tmp_path / "a.webp")
    assert found.shape == G.image_shape
    assert (found == 1).all()


@pytest.mark.parametrize("size", [(3, 3), (1000, 10)])
def test_absurd_pictures(size: tuple[int, int], padded, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"of {size[0]} x {size[1]} pixels"):
        target(Image.new("L", size), padded, tmp_path / "a.png")


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, said",
    [
        ({"space": "w"}, "has no w: leave the space out"),
        ({"space": "x"}, "no space 'x'"),
        ({"noise": "optimize"}, "has no noise in its layers"),
        ({"noise": "random"}, "noise 'random' is none"),
        ({"steps": 0}, "steps 0 is out of range"),
        ({"starts": 1000}, "starts 1000 is out of range"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"label": 0}, "has no classes"),
    ],
)
def test_settings_that_do_not_apply(options: dict[str, object], said: str, padded) -> None:
    with pytest.raises(InputError, match=said):
        ganzoo.project(np.zeros((8, 8, 1), np.uint8), padded, **options)


def test_files_of_latents_that_do_not_fit(padded, tmp_path: Path) -> None:
    path = tmp_path / "z.safetensors"
    Latents("z", torch.zeros(2, padded.z_dim)).write(path)
    assert len(latents.read(path, padded)) == 2
    cases = {
        r"z is float32 \[1, 3\]": Latents("z", torch.zeros(1, 3)),
        "z is float64": Latents("z", torch.zeros(1, padded.z_dim, dtype=torch.float64)),
        "it has w, the model has none": Latents("w", torch.zeros(1, 4, 8)),
        "it has labels, z": Latents("z", torch.zeros(1, padded.z_dim), torch.zeros(1).long()),
        "it has z": Latents("z", torch.zeros(0, padded.z_dim)),
        "z is not finite": Latents("z", torch.full((1, padded.z_dim), torch.nan)),
        "has noise of layers": Latents("z", torch.zeros(1, padded.z_dim), None, {0: torch.ones(1)}),
        "neither w nor z": Latents("q", torch.zeros(1)),
    }
    for said, wrong in cases.items():
        wrong.write(path)
        with pytest.raises(InputError, match=said):
            latents.read(path, padded)
    torch.save({"z": torch.zeros(1, padded.z_dim)}, path)  # a pickle is not opened
    with pytest.raises(InputError, match="no sound safetensors file"):
        latents.read(path, padded)
    for other, said in ((tmp_path / "none", "there is no file"), (tmp_path, "is a folder")):
        with pytest.raises(InputError, match=said):
            latents.read(other, padded)
