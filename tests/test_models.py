"""Sampling: the same image for any batch, labels in turn, options that apply, no global state."""

from __future__ import annotations

import copy
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import ganzoo
from ganzoo import marks, plugins, provenance
from ganzoo.configs import GeneratorConfig
from ganzoo.errors import InputError
from ganzoo.images import Images, to_uint8
from ganzoo.models import Generator, build
from ganzoo.parts import Part
from tests.tiny import families


def generator(family: str = "dcgan", **settings: Any) -> Generator:
    part = plugins.load().parts.get("generator", family)
    made: Generator = build(part, part.make_config({**part.tiny, **settings}), seed=1)
    return made.eval()


def assert_same_image(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(torch.Tensor(a), torch.Tensor(b), rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_image_k_is_that_of_seed_plus_k(family: str, batch_size: int) -> None:
    G = generator(family)
    images = G.sample(10, seed=5, batch_size=batch_size)
    assert images.seeds == list(range(5, 15))
    assert images.shape == (10, *G.image_shape) and images.dtype == torch.float32
    assert_same_image(images[3:4], G.sample(1, seed=8))
    assert_same_image(images[[7, 2]], G.sample(seeds=[12, 7]))


def test_samples_are_clamped_and_forward_is_not() -> None:
    class Wild(Generator):
        def __init__(self, config: GeneratorConfig) -> None:
            super().__init__(config)
            self.scale = torch.nn.Parameter(torch.tensor(5.0))

        def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
            return (self.scale * z[:, :1, None, None]).expand(-1, *self.image_shape)

    G = Wild(GeneratorConfig(image_shape=(1, 2, 2)))
    assert G(torch.full((1, 100), 3.0)).max() == 15
    assert G.sample(50).abs().max() <= 1


def test_uint8_is_rounded_and_clipped() -> None:
    values = torch.tensor([-2.0, -1.0, -0.999, 0.0, 0.00393, 1.0, 1.5]).view(1, 1, 1, -1)
    expected = [0, 0, 0, 128, 128, 255, 255]  # round((x + 1) * 127.5), halves to even
    assert to_uint8(values)[0, 0, :, 0].tolist() == expected
    assert to_uint8(torch.zeros(2, 3, 4, 5)).shape == (2, 4, 5, 3)


def test_global_random_state_is_untouched() -> None:
    G = generator()
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    G.sample(4)
    generator("gan")
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    assert before[2] == random.getstate()


def test_classes_take_turns_by_seed_and_can_be_chosen() -> None:
    G = generator(num_classes=3)
    assert G.sample(5, seed=4).labels == [1, 2, 0, 1, 2]
    assert G.sample(2, labels=2).labels == [2, 2]
    assert G.sample(2, labels=[0, 1]).labels == [0, 1]
    chosen = G.sample(1, seed=7, labels=torch.tensor([0]))
    assert not torch.equal(torch.Tensor(chosen), torch.Tensor(G.sample(1, seed=7)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n = 0 images: ask for 1 or more"),
        ({"n": 2, "seed": -1}, "seed -1 is out of range: use 0 to"),
        ({"n": 2, "seed": 2**63 - 1}, "out of range"),
        ({"n": 2, "seeds": [1]}, "n = 2, but 1 seeds"),
        ({"n": 2, "labels": 3}, "has no class 3: use 0 to 2"),
        ({"n": 2, "labels": [0]}, "1 labels for 2 images"),
        ({"n": 2, "labels": "cat"}, "has no class 'cat'"),
        ({"n": 2, "labels": 1.0}, "has no class 1.0: use 0 to 2"),
        ({"n": 2, "labels": True}, "has no class True"),
        ({"n": 2, "labels": torch.tensor([1.0, 2.0])}, "has no class tensor"),
        ({"n": 2, "truncation": 0.7}, "takes no truncation: leave it out"),
        ({"n": 2, "truncation": 5}, "truncation 5 is out of range: use -1 to 2"),
        ({"n": 2, "noise": "random"}, "takes no noise"),
        ({"n": 2, "trunc": 1}, "no option 'trunc'"),
        ({"n": 2, "batch_size": 0}, "batch_size 0 is too small"),
        ({"n": 2, "batch_size": None}, "batch_size None is too small"),
        ({"n": 1.5}, "n = 1.5 images: ask for 1 or more, an integer"),
        ({"n": True}, "n = True images"),
        ({"seeds": 5}, "seeds 5 are no list of integers"),
        ({"seeds": np.array(5)}, r"seeds array\(5\) are no list of integers"),
        ({"seeds": torch.tensor([[5]])}, "are no list of integers"),
        ({"seeds": [[5], [6, 7]]}, r"seed \[5\] is no integer"),
        ({"n": 2, "truncation": 10**400}, "truncation 10+ is out of range"),
        ({"n": 2, "truncation": torch.tensor([0.5, 0.6])}, "truncation tensor.* is out of range"),
        ({"seeds": "12"}, "seeds '12' are no list of integers"),
        ({"n": 2, "truncation": "0.7"}, "truncation '0.7' is out of range"),
        ({"n": 2, "truncation": float("nan")}, "truncation nan is out of range"),
    ],
)
def test_bad_requests_are_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        generator(num_classes=3).sample(**arguments)
    assert "\n" not in str(caught.value)


def test_numbers_may_be_of_numpy_or_torch() -> None:
    G = generator(num_classes=3)
    images = G.sample(np.int32(10), seed=np.uint8(250), batch_size=np.int64(4))
    assert images.seeds == list(range(250, 260))  # 255 + 1 is not 0
    assert_same_image(images[:3], G.sample(seeds=torch.arange(250, 253)))
    for labels in (np.array([2, 0]), torch.tensor([2, 0]), [np.int8(2), torch.tensor(0)]):
        assert G.sample(2, labels=labels).labels == [2, 0]  # type: ignore[arg-type]
    assert G.sample(2, labels=np.int64(1)).labels == [1, 1]
    S = generator("stylegan2")
    S.sample(1, truncation=np.float32(0.5), truncation_cutoff=np.int64(1), mix=(3, np.int64(1)))
    assert S.sample(1, truncation=torch.tensor(0.5)).record["truncation"] == 0.5


def test_forward_takes_labels_as_a_tensor_of_integers() -> None:
    G = generator("cgan")
    z = G.latents([0, 1])
    for labels in (1, [0, 1], torch.tensor([0.0, 1.0]), torch.tensor([[0], [1]])):
        with pytest.raises(InputError, match=r"as a tensor of integers \(N,\)"):
            G(z, labels)


@pytest.mark.parametrize("name", ["cgan.mnist", "stylegan2.mnist"])
def test_images_do_not_depend_on_torchs_defaults(name: str) -> None:
    """Nor on the precision that a program has chosen for a while."""
    G = ganzoo.load(name)
    expected = torch.Tensor(G.sample(3))
    torch.set_default_dtype(torch.float64)
    try:
        # the device as set_default_device does
        with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
            images, anew = G.sample(3), ganzoo.load(name).sample(3)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    for found in (images, anew):
        assert found.device.type == "cpu" and found.dtype == torch.float32
        torch.testing.assert_close(torch.Tensor(found), expected, rtol=0, atol=1e-5)


def test_models_are_loaded_and_sampled_by_several_threads() -> None:
    names = ["dcgan.mnist", "stylegan2.mnist"] * 3
    with ThreadPoolExecutor(len(names)) as pool:
        images = list(pool.map(lambda name: ganzoo.load(name).sample(1), names))
    for k, name in enumerate(names):
        assert_same_image(images[k], ganzoo.load(name).sample(1))


@pytest.mark.parametrize("family", families())
def test_a_batch_may_be_empty(family: str) -> None:
    G = generator(family)
    labels = torch.zeros(0, dtype=torch.long) if G.num_classes else None
    with torch.no_grad():
        assert G(G.latents([]), labels).shape == (0, *G.image_shape)


def test_weights_that_cannot_be_sampled_from_are_refused() -> None:
    for wrong in (torch.float16, torch.bfloat16, torch.float64):
        with pytest.raises(InputError, match=r"samples from float32: call its .float\(\)"):
            generator().to(wrong).sample(1)
    mixed = generator()
    mixed.layers[-2].half()
    with pytest.raises(InputError, match=r"are torch.float16, and it samples from float32"):
        mixed.sample(1)
    with pytest.raises(InputError, match="on the device 'meta', without values"):
        generator().to("meta").sample(1)


def test_images_are_saved_with_their_record_and_copied(tmp_path: Path) -> None:
    G = generator(num_classes=3)
    images = G.sample(4, labels=2, seed=7)
    images.save(tmp_path / "grid.png")
    record = marks.find(tmp_path / "grid.png").parsed_record
    assert record is not None
    assert (record["seeds"], record["label"]) == ("7-10", 2)
    G.sample(1).save(tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size == G.image_shape[:0:-1]
    with pytest.raises(InputError, match="no images to save"):
        G.sample(seeds=[]).save(tmp_path / "none.png")
    with pytest.raises(InputError):
        images.save(tmp_path / "grid.txt")
    twin = copy.deepcopy(images)
    twin.seeds.append(0)
    assert torch.equal(torch.Tensor(twin), torch.Tensor(images)) and len(images.seeds) == 4


def test_labels_and_classes_go_together() -> None:
    with pytest.raises(InputError, match="has no classes: leave the labels out"):
        generator().sample(2, labels=1)
    with pytest.raises(InputError, match="needs labels: pass labels in 0 to 2"):
        generator(num_classes=3)(torch.zeros(1, 8))
    with pytest.raises(InputError, match="has no classes"):
        generator()(torch.zeros(1, 8), torch.zeros(1, dtype=torch.int64))


def test_neutral_truncation_is_accepted_everywhere() -> None:
    G = generator()
    assert_same_image(G.sample(2, truncation=1.0), G.sample(2))


class Styled(Generator):
    """Two w, of which each is z: the first is one half of the image, the second the other."""

    num_ws = 2
    part = Part("styled", "generator", "m:C", provides=frozenset({"w-space", "style-mixing"}))

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.tensor(0.1))

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
        mix: tuple[Tensor, int] | None = None,
    ) -> Tensor:
        ws = z[:, None].repeat(1, 2, 1)
        if mix is not None:
            ws = torch.cat([ws[:, : mix[1]], mix[0][:, None].repeat(1, 2, 1)[:, mix[1] :]], dim=1)
        return ws[:, None] * self.scale  # (N, 1, 2, z_dim)


def test_mixing_takes_the_latents_of_other_seeds_from_a_layer_on() -> None:
    G = Styled(GeneratorConfig(image_shape=(1, 2, 8), z_dim=8))
    pure, other = G.sample(3, seed=1), G.sample(seeds=[7, 8, 9])
    for mix, rows in (((7, 1), [0, 0, 0]), (([7, 8, 9], 1), [0, 1, 2])):
        mixed = G.sample(3, seed=1, mix=mix, batch_size=2)
        assert torch.equal(mixed[:, :, 0], pure[:, :, 0])
        assert torch.equal(mixed[:, :, 1], other[rows][:, :, 1])
    assert torch.equal(torch.Tensor(G.sample(3, seed=1, mix=(7, 2))), torch.Tensor(pure))
    assert G.sample(3, mix=(7, 1)).record["mix"] == "7:1"
    assert G.sample(3, mix=([7, 8, 9], 1)).record["mix"] == "7,8,9:1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mix": 7}, r"mix 7 is no pair: use mix=\(seed, layer\)"),
        ({"mix": (7, 3)}, "layer of mix 3 is out of range: use 0 to 2"),
        ({"mix": (-7, 1)}, "seed -7 is out of range"),
        ({"mix": ([7, 8], 1)}, "mix names 2 seeds for 3 images: give one, or one an image"),
        ({"truncation_cutoff": -1}, "truncation_cutoff -1 is out of range: use 0 to 2"),
        ({"truncation_cutoff": 1.5}, "truncation_cutoff 1.5 is out of range"),
    ],
)
def test_layers_and_seeds_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Styled(GeneratorConfig(image_shape=(1, 2, 8), z_dim=8)).sample(3, **options)


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("stylegan2", {"noise": "foo"}, "noise 'foo' is none: use 'const', 'random' or 'none'"),
        ("stylegan2", {"noise": np.array([1, 2])}, "noise array.* is none: use 'const'"),
        ("stylegan2", {"mix": np.array([7, 2])}, "mix array.* is no pair"),
        ("progan", {"lod": "1"}, r"lod '1' is no number: use 0 \(full size\) or more"),
        ("progan", {"lod": [1]}, r"lod \[1\] is no number"),
        ("progan", {"lod": 9}, "lod 9.0 is out of range: use 0"),
    ],
)
def test_options_of_wrong_types_are_refused(
    family: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        generator(family).sample(2, **options)


def test_images_show_themselves_and_operations_give_plain_tensors() -> None:
    images = generator().sample(3)
    assert isinstance(images, Images)
    assert images._repr_png_().startswith(b"\x89PNG")
    assert images.labels is None
    assert type(images.mean()) is Tensor and type(images[0]) is Tensor


def test_a_critic_without_further_outputs_gives_its_score() -> None:
    part = plugins.load().parts.get("discriminator", "dcgan")
    D = build(part, part.make_config({**part.tiny, "num_classes": 3}), seed=1).eval()
    x, labels = torch.randn(2, *D.image_shape), torch.tensor([2, 0])
    outputs = D.outputs(x, labels)
    assert torch.equal(outputs.score, D(x, labels))
    assert outputs[1:] == (None, None, None, None)


def test_a_shown_picture_records_seeds_and_classes(tmp_path: Path) -> None:
    def shown(**classes: Any) -> dict[str, Any]:
        images = generator(**classes).sample(70, seed=5)
        (tmp_path / "shown.png").write_bytes(images._repr_png_())
        record = provenance.read_record(tmp_path / "shown.png")
        assert record is not None
        return record

    assert shown()["seeds"] == "5-68" and "labels" not in shown()
    record = shown(num_classes=40)  # 5 mod 40, 6 mod 40, … of the first 64
    assert (record["seeds"], record["labels"]) == ("5-68", "5-39,0-28")


def test_seeds_give_initial_weights() -> None:
    part = plugins.load().parts.get("generator", "dcgan")
    config = part.make_config(part.tiny)
    a, b, c = (build(part, config, seed=s).layers[0].weight for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_no_init_draws_nothing_but_from_generators_of_a_networks_own() -> None:
    from ganzoo.no_init import NoInit

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)
            nn.init.orthogonal_(self.layer.weight)
            constants = torch.randn(8, generator=torch.Generator().manual_seed(3))
            nn.init.normal_(constants[4:], generator=torch.Generator().manual_seed(4))
            self.register_buffer("constants", constants, persistent=False)

    before = torch.get_rng_state()
    with NoInit():
        made = Own()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(made.constants, Own().constants)


def test_classes_go_by_their_names_too() -> None:
    G = ganzoo.load("cgan.fashion-mnist")
    named = G.sample(2, labels=["sandal", "T-Shirt/top"])
    assert named.labels == [5, 0] and torch.equal(named, G.sample(2, labels=[5, 0]))
    assert torch.equal(G.sample(labels="bag"), G.sample(labels=8))
    with pytest.raises(InputError, match=r"has no class 'sandel': did you mean sandal\?"):
        G.sample(labels="sandel")
