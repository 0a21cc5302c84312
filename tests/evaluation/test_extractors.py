"""The extractors: their identity, what they see, and that nothing unexpected is ever opened."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ganzoo import plugins
from ganzoo.data import load_data
from ganzoo.errors import (
    InputError,
    IntegrityError,
    MissingDataError,
    NotFoundError,
    PluginError,
)
from ganzoo.evaluation import extractors, inception, metrics
from ganzoo.evaluation.config import Clothes, Digits, InceptionConfig
from ganzoo.evaluation.features import (
    OpenExtractor,
    default_extractor,
    fingerprint,
    open_extractor,
)


def noise(n: int, channels: int, side: int, seed: int = 0) -> torch.Tensor:
    draw = np.random.default_rng(seed).integers(0, 256, (n, channels, side, side), np.uint8)
    return torch.from_numpy(draw)


@pytest.mark.parametrize("name", ["digits", "clothes", "random"])
def test_an_extractor_is_the_same_everywhere(name: str) -> None:
    """The fingerprints that published protocols name."""
    expected = {
        "digits": "3813feb63363fa80e9b2788a984a4ce59e4670957308c26ee8afed3a0fb51bf7",
        "clothes": "8ead25a53236c504e304b5cced1428cdaaef62b78487edc955cb27511df4efca",
        "random": "43a8fd90137f0a15f24cfa3cd9789867dd6327042ae5c7322de017f4be161ae3",
    }
    found = open_extractor(name)
    assert found.sha256 == expected[name]
    assert found.name == f"{name}-v1"
    assert fingerprint(found.network) == open_extractor(f"{name}-v1").sha256


@pytest.mark.parametrize("name", ["random", "pixels"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [8, 28, 64, 100])
def test_images_of_any_kind_have_features(name: str, channels: int, side: int) -> None:
    found = open_extractor(name)(noise(3, channels, side))
    assert found.features.dtype == torch.float32
    assert len(found.features) == 3 and found.features.isfinite().all()
    assert found.logits is None
    width = 256 if name == "random" else channels * min(side, 32) ** 2
    assert found.features.shape[1] == width


def test_features_of_an_image_do_not_depend_on_its_company() -> None:
    images = noise(5, 1, 28)
    for name in ("digits", "clothes", "random", "pixels"):
        extractor = open_extractor(name)
        torch.testing.assert_close(
            extractor(images).features[2:3], extractor(images[2:3]).features, rtol=1e-4, atol=1e-4
        )


def test_gray_is_equal_red_green_and_blue_and_transparency_is_white() -> None:
    extractor = open_extractor("random")
    gray = noise(2, 1, 32)
    torch.testing.assert_close(
        extractor(gray).features, extractor(gray.expand(-1, 3, -1, -1)).features
    )
    clear = torch.cat([noise(2, 3, 32), torch.zeros(2, 1, 32, 32, dtype=torch.uint8)], dim=1)
    white = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
    torch.testing.assert_close(extractor(clear).features, extractor(white).features)


def test_resizing_is_that_of_pillow_in_float() -> None:
    """Pillow cuts bytes off between its two passes; for metrics it is used on floats."""
    from PIL import Image

    image = noise(1, 1, 100)
    expected = np.asarray(Image.fromarray(image[0, 0].numpy().astype(np.float32)).resize((64, 64)))
    found = extractors.resized(image.float(), 64)[0, 0].numpy()
    assert np.abs(found - expected.clip(0, 255)).max() <= 0.501  # it is rounded


@pytest.mark.parametrize("name", ["random", "pixels"])
def test_worse_images_are_farther(name: str) -> None:
    """Noise, blur and a lost class move shapes away from shapes; other shapes are nearest."""
    shapes = load_data("shapes?n=1200&size=16")
    other = load_data("shapes?n=1200&size=16&seed=9")
    real, fresh = (torch.from_numpy(np.array(d.pixels)) for d in (shapes, other))
    extractor = open_extractor(name)
    base = metrics.Moments.of(extractor(real).features)

    def distance(images: torch.Tensor) -> float:
        return metrics.frechet_distance(base, metrics.Moments.of(extractor(images).features))

    def mixed_with_noise(share: float) -> torch.Tensor:
        x = fresh.float() * (1 - share) + noise(1200, fresh.shape[1], 16).float() * share
        return x.round().to(torch.uint8)

    assert other.labels is not None
    blurred = torch.nn.functional.avg_pool2d(fresh.float(), 5, 1, 2, count_include_pad=False)
    honest = distance(fresh)
    noisy = [distance(mixed_with_noise(share)) for share in (0.3, 0.6)]
    assert honest < noisy[0] < noisy[1]
    assert honest < distance(blurred.round().to(torch.uint8))
    assert honest < distance(fresh[torch.from_numpy(other.labels) != 2])


def test_each_data_set_has_its_extractor() -> None:
    def default(source: str, shape: tuple[int, int, int] = (1, 28, 28), crop: object = None) -> str:
        data = replace(load_data("shapes?n=4&size=8"), source=source, image_shape=shape)
        return default_extractor(replace(data, content_crop=crop))

    assert default("mnist") == default("mnist@test?labels=none") == "digits"
    assert default("mnist", (1, 32, 32), (2, 2, 28, 28)) == "digits"
    assert default("fashion-mnist") == "clothes"
    assert default("zip:cats.zip") == default("kmnist") == "random"
    # a classifier takes images of one kind only
    assert default("mnist?resolution=8", (1, 8, 8)) == default("mnist", (3, 28, 28)) == "random"


def test_a_damaged_file_of_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for config in (Digits(), Clothes()):
        data = bytearray((extractors.WEIGHTS / config.file).read_bytes())
        data[-1] ^= 1
        (tmp_path / config.file).write_bytes(data)
        with monkeypatch.context() as patch:
            patch.setattr(extractors, "WEIGHTS", tmp_path)
            with pytest.raises(IntegrityError, match="SHA-256 differs"):
                extractors.Classifier(config)


@pytest.mark.parametrize("name", ["random-v²", "random-v0", "random-v", "-v1", "random-v1-v1"])
def test_odd_versions_are_one_line(name: str) -> None:
    with pytest.raises(NotFoundError):
        open_extractor(name)


def test_a_plugin_brings_its_own(healthy_parts: None) -> None:
    names = {owned.part.name for owned in plugins.load().parts.all("features")}
    assert {"digits", "clothes", "random", "pixels", "inception"} <= names


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_no_numbers_are_their_authors(value: float) -> None:
    class Broken(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full((len(images), 4), value)

    opened = OpenExtractor("theirs-v1", "0" * 64, Broken(), torch.device("cpu"))
    with pytest.raises(PluginError, match="theirs-v1 made NaN or infinity"):
        opened(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


def test_a_classifier_without_logits_is_its_authors() -> None:
    class Broken(torch.nn.Module):
        classes = ("cat", "dog")

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(images), 4)

    opened = OpenExtractor("theirs-v1", "0" * 64, Broken(), torch.device("cpu"))
    with pytest.raises(PluginError, match="theirs-v1 has classes, and made no logits"):
        opened(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


# -- Inception -------------------------------------------------------------------------------------


@pytest.fixture
def random_inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InceptionConfig:
    """The network with random weights, as the file of the real ones is stored."""
    torch.manual_seed(0)
    network = inception.Inception(InceptionConfig(sha256="")).network
    path = tmp_path / inception.FILE
    torch.save(network.state_dict(), path)
    monkeypatch.setenv("GANZOO_INCEPTION", str(path))
    return InceptionConfig(sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_inception_gives_2048_features_of_images_of_any_size(
    random_inception: InceptionConfig,
) -> None:
    network = inception.Inception(random_inception).eval()
    for images in (noise(2, 1, 28), noise(2, 3, 64), noise(2, 4, 64)):
        found = network.outputs(images)
        assert found.features.shape == (2, 2048) and found.features.isfinite().all()
        assert found.logits is not None and found.logits.shape == (2, 1008)
    gray = noise(2, 1, 28)
    assert torch.equal(network(gray), network(gray.expand(-1, 3, -1, -1)))


def test_another_file_of_inception_weights_is_never_opened(
    random_inception: InceptionConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("it was opened"))
    with pytest.raises(IntegrityError, match="not the Inception of published scores"):
        open_extractor("inception")


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("harm"),)  # type: ignore[return-value]


def test_a_pickle_with_code_is_refused_even_with_the_right_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save({"fc.weight": Harmful()}, buffer)
    path = tmp_path / "weights.pth"
    path.write_bytes(buffer.getvalue())
    monkeypatch.setenv("GANZOO_INCEPTION", str(path))
    config = InceptionConfig(sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(pickle.UnpicklingError):
        inception.Inception(config)
    assert not (tmp_path / "harm").exists()


def test_without_the_file_the_line_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANZOO_INCEPTION", str(tmp_path / "none.pth"))
    with pytest.raises(MissingDataError, match=r"fetch https://.*6726825d\.pth to there"):
        open_extractor("inception")


def test_without_the_library_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(InputError, match=r"pip install 'ganzoo\[inception\]'"):
        open_extractor("inception")
