"""Conditional GANs: the networks against their papers, the loss in closed form, and the kit."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from ganzoo_cgan import mlp, networks
from ganzoo_cgan.config import (
    SIZES,
    AuxiliaryClassifierConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    MLPDiscriminatorConfig,
    MLPGeneratorConfig,
)
from ganzoo_cgan.labels import Head
from ganzoo_cgan.loss import AuxiliaryClassifier
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, leaky_relu

from ganzoo import plugins
from ganzoo.cli import main
from ganzoo.errors import CompatibilityError, ConfigError, InputError
from ganzoo.models import Outputs
from ganzoo.testing import parametrize_with_checks
from ganzoo.testing.steps import StepOnImages, step_on
from ganzoo.training import Recipe, recipes, train

LABELS = torch.tensor([2, 0, 1, 2])


@parametrize_with_checks("ganzoo-cgan")
def test_conformance(check) -> None:
    check()


def conv_pair(
    g: str = "batch-norm", d: str = "projection", **shared: object
) -> tuple[networks.Generator, networks.Discriminator]:
    torch.manual_seed(0)
    shared = {"image_shape": (1, 16, 16), "num_classes": 3, "width": 4, **shared}
    G = networks.Generator(GeneratorConfig(conditioning=g, z_dim=8, **shared))
    D = networks.Discriminator(DiscriminatorConfig(conditioning=d, norm="layer", **shared))
    return G.eval(), D.eval()


def mlp_pair(g: str = "concat", d: str = "concat") -> tuple[mlp.Generator, mlp.Discriminator]:
    torch.manual_seed(0)
    shape = {"image_shape": (1, 8, 8), "num_classes": 3}
    G = mlp.Generator(MLPGeneratorConfig(conditioning=g, z_dim=8, label_width=20, **shape))
    D = mlp.Discriminator(MLPDiscriminatorConfig(conditioning=d, **shape))
    return G.eval(), D.eval()


# -- how labels come in ----------------------------------------------------------------------------


@pytest.mark.parametrize("conditioning", ["concat", "embedding", "batch-norm"])
def test_labels_change_the_image_and_nothing_else_of_the_batch(conditioning: str) -> None:
    G, _ = conv_pair(conditioning)
    if conditioning == "batch-norm":
        for block in G.blocks:
            nn.init.normal_(block.norm.gain.weight)  # all classes start the same
    z = torch.randn(4, 8)
    other = LABELS.clone()
    other[1] = 1
    changed = (G(z, LABELS) - G(z, other)).abs().amax(dim=(1, 2, 3))
    assert changed[1] > 1e-4
    assert not changed[[0, 2, 3]].any()


@pytest.mark.parametrize("conditioning", ["concat", "embedding"])
def test_mlp_labels_change_the_image(conditioning: str) -> None:
    G, _ = mlp_pair(conditioning)
    z = torch.randn(1, 8).expand(3, -1)
    images = G(z, torch.arange(3))
    assert len({tuple(image.flatten().tolist()) for image in images}) == 3


@pytest.mark.parametrize("pair", [conv_pair, mlp_pair])
@pytest.mark.parametrize("conditioning", ["concat", "embedding", "projection"])
def test_labels_change_the_score(pair, conditioning: str) -> None:
    _, D = pair(d=conditioning)
    x = torch.randn(1, *D.image_shape).expand(3, -1, -1, -1)
    assert len(set(D(x, torch.arange(3)).tolist())) == 3


@pytest.mark.parametrize("pair", [conv_pair, mlp_pair])
def test_without_labels_there_is_one_line(pair) -> None:
    G, D = pair()
    with pytest.raises(InputError, match="is conditional and needs labels: pass labels in 0 to 2"):
        G(torch.randn(2, 8))
    with pytest.raises(InputError, match="needs labels"):
        D(torch.randn(2, *D.image_shape))


@pytest.mark.parametrize("pair", [conv_pair, mlp_pair])
def test_an_auxiliary_critic_names_the_class_and_does_not_see_it(pair) -> None:
    _, D = pair(d="auxiliary")
    x = torch.randn(4, *D.image_shape)
    found = D.outputs(x, LABELS)
    assert found.classes.shape == (4, 3)
    assert torch.equal(D(x), D(x, LABELS)) and torch.equal(D(x), found.score)
    assert torch.equal(found.classes, D.outputs(x).classes)
    assert "classes" in D.config.provides and "conditional" not in D.config.provides


@pytest.mark.parametrize(
    "make", [GeneratorConfig, DiscriminatorConfig, MLPGeneratorConfig, MLPDiscriminatorConfig]
)
def test_no_classes_are_refused(make) -> None:
    with pytest.raises(ConfigError, match="needs classes: --set conditional=true and labelled"):
        make(num_classes=0)


# -- against the papers ----------------------------------------------------------------------------


def test_projection_is_the_inner_product_of_the_features() -> None:
    """Miyato and Koyama 2018, eq. 4, image by image in NumPy."""
    _, D = conv_pair()
    x = torch.randn(4, 1, 16, 16)
    with torch.no_grad():
        scores, features = D(x, LABELS).numpy(), D.layers(x).numpy()
    psi, bias = D.head.score.weight.detach().numpy()[0], D.head.score.bias.item()
    embed = D.head.embed.weight.detach().numpy()
    for k, label in enumerate(LABELS.tolist()):
        by_hand = np.dot(psi, features[k]) + bias + np.dot(embed[label], features[k])
        assert scores[k] == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize("conditioning", ["concat", "embedding"])
def test_the_critic_sees_the_label_as_constant_maps(conditioning: str) -> None:
    """Its first layer, with the maps filled in by loops."""
    _, D = (
        conv_pair(d=conditioning, embedding_dim=5)
        if conditioning == "embedding"
        else conv_pair(d=conditioning)
    )
    x = torch.randn(4, 1, 16, 16)
    table = np.eye(3) if conditioning == "concat" else D.code.weight.detach().numpy()
    maps = np.zeros((4, table.shape[1], 16, 16), dtype=np.float32)
    for k, label in enumerate(LABELS.tolist()):
        for c in range(table.shape[1]):
            maps[k, c, :, :] = table[label, c]
    seen = []
    D.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    D(x, LABELS)
    assert torch.equal(seen[0][:, :1], x)
    assert np.array_equal(seen[0][:, 1:].detach().numpy(), maps)


@pytest.mark.parametrize("conditioning", ["concat", "embedding"])
def test_the_label_joins_z(conditioning: str) -> None:
    G, _ = conv_pair(conditioning)
    z = torch.randn(4, 8)
    table = torch.eye(3) if conditioning == "concat" else G.code.weight.detach()
    seen = []
    G.blocks[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    G(z, LABELS)
    rows = [torch.cat([z[k], table[label]]) for k, label in enumerate(LABELS.tolist())]
    assert torch.equal(seen[0][:, :, 0, 0], torch.stack(rows))


def test_conditional_batch_norm_is_batch_norm_with_the_gain_and_bias_of_the_class() -> None:
    layer = networks.ConditionalBatchNorm2d(5, 3)
    assert (layer.gain.weight == 1).all() and not layer.bias.weight.any()
    nn.init.normal_(layer.gain.weight)
    nn.init.normal_(layer.bias.weight)
    x = torch.randn(4, 5, 3, 3)
    found = layer(x, LABELS)
    for k, label in enumerate(LABELS.tolist()):
        for c in range(5):
            # the statistics are those of the whole batch, not of the class
            mean, variance = x[:, c].mean(), x[:, c].var(correction=0)
            normal = (x[k, c] - mean) / (variance + 1e-5).sqrt()
            expected = layer.gain.weight[label, c] * normal + layer.bias.weight[label, c]
            torch.testing.assert_close(found[k, c], expected, rtol=1e-4, atol=1e-4)


def test_the_networks_are_a_dcgan() -> None:
    """D recomputed layer by layer at 28x28: kernel 4 and 3 with stride 2, LeakyReLU 0.2."""
    torch.manual_seed(0)
    D = networks.Discriminator(DiscriminatorConfig(width=4, norm="batch")).train()
    x, labels = torch.randn(4, 1, 28, 28), torch.arange(4)
    first, _, second, norm2, _, third, norm3, _, _ = D.layers
    h = leaky_relu(conv2d(x, first.weight, first.bias, stride=2, padding=1), 0.2)
    assert h.shape == (4, 4, 14, 14)
    for conv, norm, shape in ((second, norm2, (8, 7, 7)), (third, norm3, (16, 4, 4))):
        h = conv2d(h, conv.weight, stride=2, padding=1)
        h = leaky_relu(batch_norm(h, None, None, norm.weight, norm.bias, training=True), 0.2)
        assert h.shape[1:] == shape
    h = h.flatten(1)
    expected = h @ D.head.score.weight[0] + D.head.score.bias + (D.head.embed(labels) * h).sum(1)
    torch.testing.assert_close(D(x, labels), expected)


def test_the_perceptrons_are_the_papers() -> None:
    """Section 4.1: 200 and 1000 units, then 1200; maxout 240 x 5 and 50 x 5, then 240 x 4."""
    G = mlp.Generator(MLPGeneratorConfig())
    D = mlp.Discriminator(MLPDiscriminatorConfig())
    linear = [m for m in G.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [
        (100, 200),
        (10, 1000),
        (1200, 1200),
        (1200, 784),
    ]
    linear = [m for m in D.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [
        (784, 240 * 5),
        (10, 50 * 5),
        (290, 240 * 4),
        (240, 1),
    ]


def test_batch_norm_of_the_perceptron_is_one_of_every_hidden_layer() -> None:
    G = mlp.Generator(MLPGeneratorConfig(norm="batch"))
    normed = [m.num_features for m in G.modules() if isinstance(m, nn.BatchNorm1d)]
    assert normed == [200, 1000, 1200]
    plain = mlp.Generator(MLPGeneratorConfig())
    assert not [m for m in plain.modules() if isinstance(m, nn.BatchNorm1d)]


def test_a_maxout_unit_is_the_largest_of_its_pieces() -> None:
    layer = mlp.Maxout(6, 4, 3, 0.0)
    x = torch.randn(2, 6)
    weight, bias = layer.linear.weight.detach().numpy(), layer.linear.bias.detach().numpy()
    for row, found in zip(x.numpy(), layer(x).detach().numpy(), strict=True):
        for unit in range(4):
            pieces = [weight[3 * unit + p] @ row + bias[3 * unit + p] for p in range(3)]
            assert found[unit] == pytest.approx(max(pieces), abs=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_size_works_in_both_directions(size: int, channels: int) -> None:
    shape = (channels, size, size)
    G, D = conv_pair(image_shape=shape)
    images = G(torch.randn(2, 8), LABELS[:2])
    assert images.shape == (2, *shape) and images.abs().max() <= 1
    assert D(images, LABELS[:2]).shape == (2,)


@pytest.mark.parametrize("shape", [(1, 30, 30), (3, 64, 32), (3, 256, 256)])
def test_other_sizes_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="use a square of 16, 28, 32, 64, 128"):
        GeneratorConfig(image_shape=shape)


def test_scores_start_small_under_every_conditioning() -> None:
    """Embeddings from N(0, 1) would make the inner product of 4x4 maps as large as 50."""
    for conditioning in ("concat", "embedding", "projection", "auxiliary"):
        D = networks.Discriminator(DiscriminatorConfig(conditioning=conditioning))
        scores = D(torch.rand(16, 1, 28, 28) * 2 - 1, torch.arange(16) % 10)
        assert scores.abs().max() < 10


def test_spectral_norm_divides_every_weight_by_its_largest_singular_value() -> None:
    torch.manual_seed(0)
    D = networks.Discriminator(DiscriminatorConfig(width=4, norm="spectral")).train()
    x, labels = torch.randn(4, 1, 28, 28), torch.arange(4)
    for _ in range(50):  # power iteration converges
        D(x, labels)
    weighted = [m for m in D.modules() if isinstance(m, (nn.Conv2d, nn.Linear, nn.Embedding))]
    assert len(weighted) == 5  # three convolutions, the score, the embedding
    for module in weighted:
        largest = np.linalg.svd(module.weight.detach().flatten(1).numpy(), compute_uv=False)[0]
        assert largest == pytest.approx(1, abs=1e-3)
    before = D.layers[0].parametrizations.weight[0].u.clone()
    D.eval()(x, labels)
    assert torch.equal(D.layers[0].parametrizations.weight[0].u, before)


def test_spectral_norm_trains_in_bf16_and_resumes_exactly(tmp_path: Path) -> None:
    recipe = small(
        precision="bf16",
        kimg=0.16,
        discriminator={"part": "cgan", "width": 8, "norm": "spectral"},
        every={"log": 10, "checkpoint": 5, "grid": 0},
    )
    whole = train(recipe, tmp_path / "whole", device="cpu")
    parts = train(recipe, tmp_path / "parts", device="cpu", steps=5)
    train(recipe, parts, device="cpu", resume=True)
    file = "checkpoints/000000010/state.safetensors"
    assert (whole / file).read_bytes() == (parts / file).read_bytes()


# -- the auxiliary classifier's loss ---------------------------------------------------------------


def scripted_step() -> StepOnImages:
    """One whose critic says the same of all real images, which are white, and of all fakes."""
    # softmax of (log 2, 0, 0) is (1/2, 1/4, 1/4)
    logits = torch.tensor([math.log(2), 0.0, 0.0]).repeat(4, 1)
    score = torch.full((4,), math.log(3))  # sigmoid 3/4

    def outputs(x: Tensor, labels: Tensor | None = None) -> Outputs:
        return Outputs(score, logits) if x.min() > 0 else Outputs(-score, 2 * logits)

    white, labels = torch.ones(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    how = {"labels": labels, "fake_labels": labels, "D_outputs": outputs}
    return step_on(lambda x, labels: outputs(x).score, white, -white, **how)


def test_ac_in_closed_form() -> None:
    loss, step = AuxiliaryClassifier(), scripted_step()
    terms = loss.discriminator_terms(step)
    # two of the labels 0, 1, 2, 0 have probability 1/2, two 1/4; for fakes 2/3 and 1/6
    of_real = (2 * math.log(2) + 2 * math.log(4)) / 4
    of_fake = (2 * math.log(3 / 2) + 2 * math.log(6)) / 4
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(
        {
            "real": -math.log(3 / 4),
            "fake": -math.log(1 - 1 / 4),
            "classes/real": of_real,
            "classes/fake": of_fake,
        },
        rel=1e-5,
    )
    assert step.logged["accuracy/real"] == 0.5  # it says 0 for all of 0, 1, 2, 0
    terms = loss.generator_terms(step)
    assert terms["fake"].item() == pytest.approx(-math.log(1 / 4), rel=1e-5)
    assert terms["classes"].item() == pytest.approx(of_fake, rel=1e-5)


def test_ac_weights() -> None:
    plain = AuxiliaryClassifier()
    loss = AuxiliaryClassifier(AuxiliaryClassifierConfig(2.0, 0.0, 3.0))
    for role, weights in (
        ("discriminator", {"classes/real": 2, "classes/fake": 0}),
        ("generator", {"classes": 3}),
    ):
        a = getattr(plain, f"{role}_terms")(scripted_step())
        b = getattr(loss, f"{role}_terms")(scripted_step())
        for name, value in a.items():
            assert b[name].item() == pytest.approx(weights.get(name, 1) * value.item())


def test_ac_makes_classes_that_the_critic_names(tmp_path: Path) -> None:
    """A few steps on separable classes: D's accuracy on real images is logged and rises."""
    run = train(small("ac", discriminator="auxiliary", kimg=1.6), tmp_path / "run", device="cpu")
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {"D/classes/real", "D/classes/fake", "G/classes", "accuracy/real"} <= set(log[0])
    assert log[-1]["D/classes/real"] < 0.8 * math.log(4)
    assert log[-1]["accuracy/real"] > 0.5


# -- mixing ----------------------------------------------------------------------------------------


def small(
    loss: str = "hinge",
    *,
    g: str = "cgan",
    d: str = "cgan",
    discriminator: str | dict | None = None,
    **changes: object,
) -> Recipe:
    """A conditional run on the four shapes, at 16x16."""
    document = {
        "name": "mix",
        "conditional": True,
        "data": {"source": "shapes?n=64&size=16&channels=1"},
        "generator": {"part": g, "z_dim": 8, **_thin(g)},
        "discriminator": {"part": d, **_thin(d)},
        "loss": {"part": loss},
        "batch": 16,
        "kimg": 0.064,
        "every": {"log": 20, "checkpoint": 0, "grid": 0},
        "optimizer": {"discriminator": {"lr": 1e-3}},
    }
    if isinstance(discriminator, dict):
        document["discriminator"] = discriminator
    elif discriminator is not None:
        document["discriminator"]["conditioning"] = discriminator
    return Recipe.from_dict({**document, **changes})


def _thin(part: str) -> dict[str, object]:
    return {"width": 8} if part in ("cgan", "dcgan", "cgan-mlp") else {}


@pytest.mark.parametrize(
    ("g", "d", "conditioning", "loss"),
    [
        ("dcgan", "cgan", "projection", "hinge"),
        ("dcgan", "cgan", "auxiliary", "ac"),
        ("cgan", "dcgan", None, "non-saturating"),
        ("gan", "cgan-mlp", "auxiliary", "ac"),
        ("cgan-mlp", "gan", None, "least-squares"),
        ("cgan", "cgan-mlp", "embedding", "minimax"),
        ("cgan-mlp", "cgan", "concat", "hinge"),
    ],
)
def test_mixes_with_other_families(g, d, conditioning, loss, tmp_path: Path) -> None:
    installed = {o.part.name for o in plugins.load().parts.all("generator")}
    if not {g, d} <= installed:
        pytest.skip(f"{g} or {d} is not installed")
    run = train(small(loss, g=g, d=d, discriminator=conditioning), tmp_path / "run", device="cpu")
    import ganzoo

    G = ganzoo.load(run)
    assert G.num_classes == 4
    assert G.sample(5, seed=2).labels == [2, 3, 0, 1, 2]


def test_impossible_mixes_say_what_to_set() -> None:
    def refusal(recipe: Recipe) -> str:
        with pytest.raises((CompatibilityError, ConfigError)) as caught:
            recipe.resolve((1, 16, 16), 4)
        return str(caught.value)

    assert refusal(small("hinge", discriminator="auxiliary")) == (
        "the discriminator 'cgan' does not see labels, and the loss 'hinge' does not use the"
        " classes that it names: --set loss=ac or --set discriminator.conditioning=concat or --set"
        " discriminator.conditioning=embedding or --set discriminator.conditioning=projection"
    )
    assert "--set discriminator.conditioning=auxiliary" in refusal(small("ac"))
    assert "--set discriminator=cgan --set discriminator.conditioning=auxiliary" in refusal(
        small("ac", d="gan")
    )
    assert "--set conditional=true and labelled data" in refusal(small(conditional=False))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "conditional=false"], "a conditional GAN needs classes: --set conditional=true"),
        (["--set", "generator.num_classes=10"], "has 4 classes: leave num_classes out"),
        (["--set", "loss=ac"], "--set discriminator.conditioning=auxiliary"),
        (["--set", "generator.conditioning=one-hot"], "use one of 'concat', 'embedding'"),
        (["--set", "discriminator.embedding_dim=0"], "embedding_dim = 0 is out of range"),
        (["--set", "data.resolution=30"], "use a square of 16, 28, 32, 64, 128"),
        (["--set", "batch=65"], "fewer than a batch of 65"),
    ],
    ids=str,
)
def test_what_the_command_line_refuses(arguments: list[str], said: str) -> None:
    data = ["--data", "shapes?n=64", "--set", "data.resolution=28", "--set", "data.channels=1"]
    result = CliRunner().invoke(main, ["train", "cgan.mnist", "--dry-run", *data, *arguments])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert said in line


# -- recipes ---------------------------------------------------------------------------------------

OWN = [name for name in recipes() if name.startswith("cgan")]
SHAPES = {"mnist": (1, 28, 28), "fashion-mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


def test_there_are_recipes_of_each_scale() -> None:
    assert {"cgan.mnist", "cgan.fashion-mnist", "cgan-mlp.mnist"} <= set(OWN)
    scales = {Recipe.load(recipes()[name]).about.scale for name in OWN}
    assert scales == {"small", "standard", "paper"}


@pytest.mark.parametrize("name", OWN)
def test_recipes_resolve_and_fit_a_model_folder(name: str) -> None:
    recipe = Recipe.load(recipes()[name])
    assert recipe.name == name and recipe.conditional
    assert recipe.about.expected and recipe.about.source
    resolved = recipe.resolve(SHAPES[recipe.data.source], 10)
    G = resolved.part("generator").build(resolved.config("generator"))
    if recipe.about.scale == "small":
        assert sum(p.numel() for p in G.parameters()) <= 2_800_000
        assert recipe.model.storage_dtype == "float16"


def test_head_has_only_what_its_conditioning_needs() -> None:
    assert {name for name, _ in Head(4, 3, "concat").named_parameters()} == {
        "score.weight",
        "score.bias",
    }
