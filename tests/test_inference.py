"""The inference form of a network: the same function, made anew when the weights have changed."""

from __future__ import annotations

import copy
import os
import pickle
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

import ganzoo
from ganzoo import inference, onednn, rng, winograd
from ganzoo.configs import GeneratorConfig
from ganzoo.errors import InputError
from ganzoo.inference import fast, folded
from ganzoo.models import Generator
from ganzoo.nn import ConvTranspose2d, EqualizedLinear
from ganzoo.winograd import Conv3x3
from tests.tiny import GENERATORS, generator, sampling_options


@pytest.fixture
def always_by_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for the sizes of tests."""
    monkeypatch.setattr(winograd, "FEWEST", dict.fromkeys(winograd.FEWEST, (1, 1)))
    monkeypatch.setattr(winograd, "CACHE", 2000)


def network(bias: bool = False) -> nn.Sequential:
    """Convolutions and batch norms that have seen other data than they are used on."""
    layers = nn.Sequential(
        ConvTranspose2d(6, 8, 4, bias=bias),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Conv2d(8, 5, 3, padding=1, bias=bias), nn.BatchNorm2d(5)),
        ConvTranspose2d(5, 3, 4, 2, 1),
        nn.Tanh(),
    )
    for _ in range(5):
        layers(3 * torch.randn(16, 6, 1, 1) + 1)
    return layers.eval()


def norms(layers: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in layers.modules())


@pytest.mark.parametrize("bias", [False, True])
@torch.inference_mode()
def test_batch_norms_are_folded_into_the_same_function(bias: bool) -> None:
    layers = network(bias)
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    z = torch.randn(7, 6, 1, 1)
    expected = layers(z)
    many = folded(layers)
    assert norms(layers) == 2 and norms(many) == 0
    for _ in range(2):  # in place, but not in what it is made of
        torch.testing.assert_close(many(z), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(dict(layers.state_dict()), before, rtol=0, atol=0)


def hooked(layers: nn.Sequential) -> None:
    layers[0].register_forward_hook(lambda module, inputs, output: output * 2)


def shared(layers: nn.Sequential) -> None:
    layers.append(nn.Sequential(nn.Identity(), layers[1], nn.Flatten()))


def parametrised(layers: nn.Sequential) -> None:
    nn.utils.parametrizations.weight_norm(layers[0])


def without_statistics(layers: nn.Sequential) -> None:
    layers[1] = nn.BatchNorm2d(8, track_running_stats=False).eval()


def learning(layers: nn.Sequential) -> None:
    layers[1].train()


class Doubled(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def of_another_class(layers: nn.Sequential) -> None:
    layers[1] = Doubled(8).eval()


@pytest.mark.parametrize(
    "change", [hooked, shared, parametrised, without_statistics, learning, of_another_class]
)
def test_what_may_be_something_else_is_left_alone(change: Callable[[nn.Sequential], None]) -> None:
    layers = network()
    change(layers)
    assert norms(folded(layers)) == norms(layers) - 1  # the other pair


class Stack(Generator):
    """A generator of any layers."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(GeneratorConfig(image_shape=(1, 8, 8), z_dim=6))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.layers(z[:, :, None, None])
        return images


@pytest.mark.parametrize("groups", [2, 6])
def test_a_batch_norm_behind_a_transposed_convolution_of_groups(groups: int) -> None:
    up = nn.ConvTranspose2d(6, 6, 8, groups=groups)
    G = Stack(up, nn.BatchNorm2d(6), nn.Conv2d(6, 1, 1))
    G.train()(torch.randn(16, 6))
    torch.testing.assert_close(torch.Tensor(G.eval().sample(3)), plain_images(G, 3))


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_weights_that_hooks_compute(norm: Callable[..., Any]) -> None:
    G = Stack(norm(nn.ConvTranspose2d(6, 4, 8)), nn.ReLU(), norm(nn.Conv2d(4, 1, 3, padding=1)))
    for _ in range(2):
        G.train()(torch.randn(16, 6)).sum().backward()
        torch.testing.assert_close(torch.Tensor(G.eval().sample(3)), plain_images(G, 3))
        with torch.no_grad():
            for parameter in G.parameters():
                parameter.add_(0.1)


# -- 3x3 convolutions by tiles ---------------------------------------------------------------------


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("shape", [(1, 5, 4, 8), (3, 2, 16, 12), (0, 2, 4, 4), (65, 1, 4, 4)])
@torch.inference_mode()
def test_tiles_are_the_convolution(always_by_tiles: None, up: bool, shape: tuple[int, ...]) -> None:
    x, weight, bias = torch.randn(shape), torch.randn(7, shape[1], 3, 3), torch.randn(7)
    layer = Conv3x3(weight, bias, up=up)
    assert layer.by_tiles(x)
    expected = exact(x, weight, bias, up)
    torch.testing.assert_close(layer(x).double(), expected, rtol=0, atol=3e-5)
    strided = torch.stack([x, x], dim=-1)[..., 0]
    torch.testing.assert_close(layer(strided).double(), expected, rtol=0, atol=3e-5)


def exact(x: Tensor, weight: Tensor, bias: Tensor, up: bool) -> Tensor:
    x, weight, bias = x.double(), weight.double(), bias.double()
    larger = x.repeat_interleave(2, 2).repeat_interleave(2, 3) if up else x
    return conv2d(larger, weight, bias, padding=1)


@pytest.mark.parametrize("up", [False, True])
@torch.inference_mode()
def test_bfloat16_bears_the_tiles(always_by_tiles: None, up: bool) -> None:
    """What is rounded to 8 bits is off by 2^-9 at most, a uniform error of 0.0011 rms: at every
    pixel that of the result, and on the way those of the tiles, weights and products."""
    x, weight, bias = torch.randn(2, 64, 8, 8), torch.randn(16, 64, 3, 3) / 24, torch.zeros(16)
    x, weight = x.bfloat16(), weight.bfloat16()
    layer = Conv3x3(weight, bias, up=up)
    assert layer.by_tiles(x)
    found = layer(x)
    expected = exact(x, weight, bias, up)
    assert found.dtype == torch.bfloat16
    error = (found.double() - expected).square().mean().sqrt() / expected.std()
    assert 0.001 < error < 0.007


@torch.inference_mode()
def test_tiles_are_for_what_they_fit(always_by_tiles: None) -> None:
    layer = Conv3x3(torch.randn(4, 3, 3, 3))
    for x in (torch.randn(1, 3, 6, 8), torch.randn(1, 3, 8, 8).bfloat16()):
        assert not layer.by_tiles(x)
    x = torch.randn(2, 3, 7, 7)
    torch.testing.assert_close(layer(x), conv2d(x, layer.weight, padding=1))
    with torch.inference_mode(False), torch.enable_grad():
        assert not layer.by_tiles(torch.randn(1, 3, 8, 8))


# -- oneDNN ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 8, 65])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@torch.inference_mode()
def test_sorted_weights_are_the_same_convolution(n: int, layout: torch.memory_format) -> None:
    """Also for other sizes than that of the first call, for which they were sorted."""
    transposed = ConvTranspose2d(5, 6, 3, stride=2).eval()
    form, plain = folded(transposed), nn.ConvTranspose2d(5, 6, 3, stride=2)
    plain.load_state_dict(transposed.state_dict())
    layer = Conv3x3(torch.randn(6, 5, 3, 3), torch.randn(6))
    for size in (9, 5, 9):
        x = torch.randn(n, 5, size, size).to(memory_format=layout)
        torch.testing.assert_close(form(x), plain(x), rtol=1e-5, atol=1e-5)
        expected = conv2d(x, layer.weight, layer.bias, padding=1)
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["dcgan", "stylegan2", "progan"])
def test_without_onednn_images_are_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch, always_by_tiles: None
) -> None:
    monkeypatch.setattr(onednn, "available", lambda: False)
    G = generator(name)
    expected = plain_images(G, 3)
    torch.testing.assert_close(torch.Tensor(G.sample(3)), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (65, 5), (2, 3, 5)])
@torch.inference_mode()
def test_a_linear_layer_is_the_same(shape: tuple[int, ...]) -> None:
    plain = nn.Linear(5, 4)
    form = folded(nn.Sequential(plain))[0]
    for x in (torch.randn(shape), torch.randn(*shape, 2)[..., 0]):
        torch.testing.assert_close(form(x), plain(x), rtol=1e-5, atol=1e-6)


# -- every family ----------------------------------------------------------------------------------


def plain_images(G: Generator, n: int, **options: Any) -> Tensor:
    """What `forward` of the network itself says, by the rules of `sample`."""
    seeds = list(range(n))
    labels = torch.tensor(seeds) % G.num_classes if G.num_classes else None
    if options.get("noise") == "random":
        options["rng"] = rng.SeedNoise(seeds)
    if "mix" in options:
        options["mix"] = (G.latents([options["mix"][0]] * n), options["mix"][1])
    with torch.no_grad():
        return G(G.latents(seeds), labels, **options).clamp(-1, 1)


@pytest.mark.parametrize("tiles", [False, True])
@pytest.mark.parametrize("name", GENERATORS)
def test_images_are_those_of_forward(
    name: str, tiles: bool, request: pytest.FixtureRequest
) -> None:
    if tiles:
        request.getfixturevalue("always_by_tiles")
    G = generator(name)
    for options in sampling_options(G):
        for n in (1, 3, 64) if options == {} else (3,):
            images = torch.Tensor(G.sample(n, **options))
            expected = plain_images(G, n, **options)
            assert expected.std() > 1e-3
            torch.testing.assert_close(images, expected, rtol=0, atol=1e-4, msg=f"{options} {n}")


def test_every_family_is_here() -> None:
    assert {"gan", "dcgan", "cgan", "wgan", "progan", "stylegan", "stylegan2"} <= {*GENERATORS}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("stylegan2", {"num_classes": 3, "conv_clamp": 1.0}),
        ("stylegan", {"num_classes": 3}),
        ("progan", {"num_classes": 3}),
        ("cgan", {"conditioning": "batch-norm"}),
    ],
)
def test_images_of_other_settings_are_those_of_forward(
    always_by_tiles: None, name: str, settings: dict[str, Any]
) -> None:
    G = generator(name, **settings)
    expected = plain_images(G, 6)
    torch.testing.assert_close(torch.Tensor(G.sample(6)), expected, rtol=0, atol=1e-4)


DRAWN: dict[str, dict[str, list[Any]]] = {
    "dcgan": {"num_classes": [0, 3], "width": [3, 16], "output": ["tanh", "none"],
              "image_shape": [[1, 28, 28], [3, 32, 32]], "z_dim": [3, 40]},
    "cgan": {"conditioning": ["concat", "embedding", "batch-norm"]},
    "progan": {"num_classes": [0, 4], "norm_first": [False, True], "output": ["tanh", "none"],
               "start_bias": ["pixel", "channel"], "image_shape": [[4, 16, 16], [1, 8, 8]],
               "normalise_latent": [False, True], "fmap_base": [128, 512], "fmap_max": [16, 33]},
    "stylegan": {"num_classes": [0, 3], "upsampling": ["blur", "plain", "bias-blur"],
                 "image_shape": [[1, 16, 16], [4, 8, 8]], "channel_max": [5, 32],
                 "mapping_layers": [1, 3], "z_dim": [7, 16], "w_dim": [5, 16]},
    "stylegan2": {"num_classes": [0, 3], "architecture": ["skip", "resnet", "orig"],
                  "image_shape": [[1, 16, 16], [4, 8, 8]], "channel_max": [5, 32],
                  "conv_clamp": [None, 0.7], "z_dim": [7, 16], "w_dim": [5, 16]},
}  # fmt: skip


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("name", DRAWN)
def test_images_of_drawn_settings_are_those_of_forward(
    name: str, number: int, request: pytest.FixtureRequest
) -> None:
    """In any batches one after another, with options drawn too."""
    draw = random.Random(f"{name} {number}")
    if number == 3:
        request.getfixturevalue("always_by_tiles")
    G = generator(name, **{key: draw.choice(values) for key, values in DRAWN[name].items()})
    for n, batch in ((2, 64), (7, 3), (1, 1), (33, 33)):
        options = draw.choice(sampling_options(G))
        images = torch.Tensor(G.sample(n, batch_size=batch, **options))
        expected = plain_images(G, n, **options)
        tolerance = 1e-4 if number < 3 else 3e-4  # tiles round more than these channels bear
        torch.testing.assert_close(images, expected, rtol=0, atol=tolerance, msg=f"{options} {n}")


def test_what_a_subclass_computes_is_not_folded_as_its_parent() -> None:
    class Negative(EqualizedLinear):
        def forward(self, x: Tensor) -> Tensor:
            return -super().forward(x)

    layers = nn.Sequential(Negative(3, 4), EqualizedLinear(4, 2, lr_multiplier=0.1))
    x = torch.randn(5, 3)
    form = folded(layers)
    torch.testing.assert_close(form(x), layers(x))
    assert isinstance(form[0], Negative) and not isinstance(form[1], EqualizedLinear)


# -- beside the network ----------------------------------------------------------------------------


def loaded(G: Generator) -> None:
    G.load_state_dict({k: v * 1.3 for k, v in G.state_dict().items()})


def optimised(G: Generator) -> None:
    optimizer = torch.optim.Adam(G.parameters(), lr=0.05)
    G(G.latents([1, 2])).square().mean().backward()
    optimizer.step()


def trained(G: Generator) -> None:
    """Only the statistics of batch norms change."""
    G.train()
    G(3 * G.latents(range(8)) + 1)
    G.eval()


def assigned(G: Generator) -> None:
    for parameter in G.parameters():
        parameter.data = parameter.data * 1.3


def unnoticed(G: Generator) -> None:
    """Torch counts no change of what is written through `.data`."""
    for parameter in G.parameters():
        parameter.data.mul_(1.3)


def operated_on(G: Generator) -> None:
    """No weight changes, and no number."""
    assert isinstance(G.layers[2], nn.ReLU)
    G.layers[2] = nn.Tanh().eval()


def told_otherwise(G: Generator) -> None:
    G.layers[1].eps = 1.0


def moved(G: Generator) -> None:
    G.double().float()
    loaded(G)


@pytest.mark.parametrize(
    "change",
    [loaded, optimised, trained, assigned, unnoticed, moved, operated_on, told_otherwise],
)
def test_the_form_is_made_anew(change: Callable[[Generator], None]) -> None:
    G = generator("dcgan")
    before = G.sample(3)
    form = fast(G)
    assert fast(G) is form and torch.equal(G.sample(3), before)
    change(G)
    torch.testing.assert_close(torch.Tensor(G.sample(3)), plain_images(G, 3), rtol=0, atol=1e-5)
    assert not torch.allclose(G.sample(3), before, atol=1e-3)
    assert fast(G) is not form


def test_a_network_in_training_mode_is_sampled_as_it_is() -> None:
    G = generator("dcgan").train()
    start = G.layers[1].running_mean.clone()
    G.sample(4)
    assert not torch.equal(G.layers[1].running_mean, start)


@pytest.mark.parametrize("name", ["dcgan", "stylegan2"])
def test_the_network_is_as_if_it_had_no_form(name: str) -> None:
    G = generator(name)
    state = {key: value.clone() for key, value in G.state_dict().items()}
    layout = {key: value.stride() for key, value in G.state_dict().items()}
    images = G.sample(2)
    assert {key: value.stride() for key, value in G.state_dict().items()} == layout
    torch.testing.assert_close(dict(G.state_dict()), state, rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in G.parameters())
    twins = copy.deepcopy(G), pickle.loads(pickle.dumps(G))
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.mul_(1.5)
    for twin in twins:
        assert torch.equal(twin.sample(2), images)


def test_hooks_see_what_is_computed() -> None:
    G = generator("stylegan2")
    expected = G.sample(2)
    seen: list[Tensor] = []
    handle = G.convs[0].affine.register_forward_hook(lambda layer, x, y: seen.append(y))
    torch.testing.assert_close(torch.Tensor(G.sample(2, batch_size=2)), torch.Tensor(expected))
    assert seen and seen[-1].shape == (2, G.convs[0].affine.weight.shape[0])
    handle.remove()
    seen.clear()
    assert torch.equal(G.sample(2), expected) and not seen


def test_a_network_of_inference_tensors_is_sampled() -> None:
    with torch.inference_mode():
        G = generator("dcgan")
        before = G.sample(3)
        for parameter in G.parameters():
            parameter.mul_(1.5)
    assert not torch.allclose(G.sample(3), before, atol=1e-3)


def test_images_are_the_same_in_batches_of_any_size() -> None:
    """But for rounding, which a trained StyleGAN2 makes the most of: 1e-5 also of float64."""
    for name in ("dcgan.mnist", "cgan.mnist", "stylegan2.mnist"):
        G = ganzoo.load(name)
        few = torch.cat([G.sample(4, seed=seed, batch_size=3) for seed in (0, 4)])
        torch.testing.assert_close(torch.Tensor(G.sample(8)), few, rtol=0, atol=2e-5)
        one = torch.cat([G.sample(seed=seed) for seed in range(8)])
        torch.testing.assert_close(torch.Tensor(G.sample(8)), one, rtol=0, atol=2e-5)


# -- bfloat16 and torch.compile --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dcgan.mnist", "cgan.mnist", "stylegan2.mnist"])
def test_bfloat16_is_as_exact_as_is_said(name: str) -> None:
    G, low = ganzoo.load(name), ganzoo.load(name, dtype=torch.bfloat16)
    exact, images = G.sample(8), low.sample(8)
    assert images.dtype == torch.float32
    assert 0 < (exact - images).abs().mean() < 0.01
    assert all(parameter.dtype == torch.float32 for parameter in low.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_of_other_dtypes_are_refused(dtype: torch.dtype) -> None:
    G = generator("dcgan").to(dtype)
    with pytest.raises(InputError, match=rf"weights of .* are {dtype}, .*call its .float\(\)"):
        G.sample()
    assert G.float().sample().dtype == torch.float32


@pytest.mark.parametrize("name", GENERATORS)
def test_gradients_pass_through_the_network_beside_its_form(name: str) -> None:
    """In bfloat16 too, `forward` is that of the float32 network."""
    G = generator(name)
    G.how = inference.How(dtype=torch.bfloat16)
    G.sample(2)
    z = G.latents([0, 1]).requires_grad_()
    labels = torch.tensor([0, 1]) % G.num_classes if G.num_classes else None
    G(z, labels).square().mean().backward()
    assert z.grad is not None and z.grad.isfinite().all() and z.grad.abs().sum() > 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in G.parameters())


@pytest.mark.parametrize("name", GENERATORS)
def test_torch_func_differentiates_a_network(name: str) -> None:
    """Functions of ours for torch's ordinary gradients are none for its transforms."""
    G = generator(name)
    labels = torch.tensor([1]) if G.num_classes else None

    def rows(z: Tensor) -> Tensor:
        return G(z, labels).mean((1, 3))

    jacobian = torch.func.jacrev(rows)(G.latents([1]))
    expected = torch.autograd.functional.jacobian(rows, G.latents([1]))
    torch.testing.assert_close(jacobian, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", GENERATORS)
@torch.inference_mode()
def test_a_form_takes_any_batch(name: str, always_by_tiles: None) -> None:
    G = generator(name)
    z = torch.randn(G.z_dim, 65).T  # as it lies in memory, its transpose
    labels = torch.arange(65) % G.num_classes if G.num_classes else None
    for n in (0, 1, 65):
        some = None if labels is None else labels[:n]
        found = fast(G)(z[:n], some)
        assert found.shape == (n, *G.image_shape)
        if n:
            torch.testing.assert_close(found, G(z[:n], some), rtol=0, atol=1e-4)


def test_several_threads_sample_one_generator() -> None:
    """As the app's requests do; the first of them make its form."""
    expected = torch.Tensor(ganzoo.load("stylegan2.mnist").sample(2))
    G = ganzoo.load("stylegan2.mnist")
    with ThreadPoolExecutor(4) as pool:
        for images in pool.map(lambda _: torch.Tensor(G.sample(2)), range(8)):
            torch.testing.assert_close(images, expected, rtol=0, atol=0)


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(InputError, match=r"dtype torch.float16 .* use torch.bfloat16"):
        ganzoo.load("dcgan.mnist", dtype=torch.float16)


def test_compile_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"needs a C\+\+ compiler.*: install"):
        ganzoo.load("dcgan.mnist", compile=True)


@pytest.mark.parametrize("word", ["no", 1, [], None])
def test_compile_is_yes_or_no(word: Any) -> None:
    with pytest.raises(InputError, match=r"compile is .*: use compile=True, or leave it out"):
        ganzoo.load("gan.mnist", compile=word)


def test_what_torch_cannot_compile_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import TorchDynamoException  # which takes a second

    def failing(*args: Any, **options: Any) -> Tensor:
        raise TorchDynamoException("no working compiler\n\nSet TORCHDYNAMO_VERBOSE=1")

    monkeypatch.setattr(torch, "compile", lambda network, dynamic: failing)
    monkeypatch.setattr(inference.shutil, "which", lambda name: name)
    G = ganzoo.load("gan.mnist", compile=True)
    message = r"cannot compile the network \(no working compiler\): load it without compile$"
    with pytest.raises(InputError, match=message):
        G.sample(1)


def test_compiling_ends_with_no_number_of_networks_and_batches() -> None:
    """Torch would stop after eight, of all networks together; one value of truncation is as good
    as another, and what is left of a batch is computed as one."""
    program = """
import torch
from torch._dynamo.utils import counters
from ganzoo import inference, plugins
from ganzoo.models import build
torch.set_num_threads(1)
compile = torch.compile
torch.compile = lambda network, **how: compile(network, backend="eager", **how)
inference.How.__post_init__ = lambda self: None
inference.CACHE = 1 << 40
for name in ("stylegan2", "stylegan"):
    part = plugins.load().parts.get("generator", name)
    G = build(part, part.make_config(part.tiny), seed=0).eval()
    def check(n, **options):
        G.how = inference.How()
        expected = torch.Tensor(G.sample(n, **options))
        G.how = inference.How(compile=True)
        found = torch.Tensor(G.sample(n, **options))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    for n in range(1, 11):
        check(n)
    for truncation in (0.7, -0.5, 0.0, 1.5):
        check(10, truncation=truncation)
    check(50, batch_size=10)
    check(15, batch_size=8, seed=9)
found = counters["stats"]["unique_graphs"]
assert found == 2 * 11 and not counters["graph_break"], (found, counters["graph_break"])
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_gives_the_same_images(tmp_path: Path) -> None:
    """In a process of its own: what torch.compile warns of is not of our making."""
    program = """
import torch
from torch._dynamo.utils import counters
from ganzoo import inference, plugins, winograd
from ganzoo.models import build
torch.set_num_threads(1)
winograd.FEWEST = dict.fromkeys(winograd.FEWEST, (1, 1))
part = plugins.load().parts.get("generator", "stylegan2")
small = {"image_shape": [3, 8, 8], "z_dim": 8, "w_dim": 8, "mapping_layers": 1, "channel_max": 8}
G = build(part, part.make_config(small), seed=0).eval()
for dtype, tolerance in ((None, 1e-4), (torch.bfloat16, 0.1)):
    G.how = inference.How(dtype=dtype)
    plain = torch.Tensor(G.sample(2, truncation=0.7))
    G.how = inference.How(dtype=dtype, compile=True)
    compiled = torch.Tensor(G.sample(2, truncation=0.7))
    torch.testing.assert_close(compiled, plain, rtol=0, atol=tolerance)
assert counters["stats"]["unique_graphs"] == 2 and not counters["graph_break"], counters
assert G.sample(2, noise="random").shape == (2, 3, 8, 8)
"""
    variables = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=variables, timeout=900)
