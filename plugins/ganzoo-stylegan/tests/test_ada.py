"""ADA against NumPy, transformation by transformation, and how its probability moves."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from ganzoo_stylegan.augmentations.ada import (
    ADA,
    DELAY,
    SYM6,
    flip_and_turn,
    recolor,
    rotation,
    scaling,
    translation,
    warp,
)
from ganzoo_stylegan.augmentations.config import ADAConfig, Transformation
from safetensors.torch import load_file
from torch import Tensor

from ganzoo.errors import ConfigError
from ganzoo.rng import Draws
from ganzoo.training import train
from tests.test_resume import run_python
from tests.test_training import make
from tests.tiny import recipe

ALL: tuple[str, ...] = get_args(Transformation)
COLORS = ("brightness", "contrast", "luma-flip", "hue", "saturation")


def images(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def augment(x: Tensor, *only: str, p: float = 1.0, seed: int = 0) -> Tensor:
    module = ADA(ADAConfig(p=p, transformations=only or ALL))
    made: Tensor = module(x, Draws(seed, "test", 0))
    return made


# -- the filter -----------------------------------------------------------------------------------


def test_the_low_pass_is_the_least_asymmetric_of_daubechies_filters() -> None:
    """Daubechies 1988: |H|^2 = cos^12(w/2) P(sin^2(w/2)); each choice of one root of each pair of
    P is a filter with 6 vanishing moments, and symlet 6 that whose phase is closest to linear."""
    from math import comb

    half = np.poly1d([-0.25, 0.5, -0.25])  # z sin^2(w/2), of z = exp(iw)
    spectrum = np.poly1d([0.0])
    for k in range(6):
        spectrum += comb(5 + k, k) * half**k * np.poly1d([1.0] + [0.0] * (5 - k))
    inside = [root for root in spectrum.roots if abs(root) < 1]
    real = [[root.real] for root in inside if abs(root.imag) < 1e-9]
    pairs = [[root, root.conjugate()] for root in inside if root.imag > 1e-9]
    filters = []
    for inverted in itertools.product([False, True], repeat=len(real) + len(pairs)):
        roots = [
            1 / root if invert else root
            for group, invert in zip(real + pairs, inverted, strict=True)
            for root in group
        ]
        taps = (np.poly1d([1.0, 1.0]) ** 6 * np.poly1d(roots, r=True)).coeffs.real
        filters.append(taps / taps.sum() * np.sqrt(2))

    def bend(taps: np.ndarray) -> float:
        """How far the phase is from a straight line, over the passband."""
        w = np.linspace(0.01, np.pi / 2, 200)
        phase = np.unwrap(np.angle(np.exp(-1j * np.outer(w, np.arange(12))) @ taps))
        return float(np.abs(phase - np.polyval(np.polyfit(w, phase, 1), w)).max())

    best = sorted(filters, key=bend)[:2]  # one and its mirror image
    assert min(np.abs(taps - SYM6).max() for taps in best) < 1e-8


# -- the whole pipeline, image by image -----------------------------------------------------------


def by_numpy(x: np.ndarray, p: float, rng: Draws) -> np.ndarray:
    """Appendix B on one batch, with its matrices in its order, on an image padded by reflection."""
    n, channels, height, width = x.shape

    def chosen(values: Tensor, neutral: float, p: float = p) -> np.ndarray:
        gate = rng.uniform(n).numpy().reshape([n] + [1] * (values.dim() - 1)) < p
        return np.where(gate, values.numpy().astype(np.float64), neutral)

    def angles(p: float) -> np.ndarray:
        return chosen((rng.uniform(n) * 2 - 1) * np.pi, 0.0, p)

    size = np.array([width, height])
    flip, turns = chosen(rng.integers(n, 2), 0), chosen(rng.integers(n, 4), 0)
    whole = chosen(torch.from_numpy(((rng.uniform(n, 2).numpy() - 0.5) / 4 * size).round()), 0.0)
    isotropic = chosen(2 ** (0.2 * rng.normal(n)), 1.0)
    p_rotation = 1 - np.sqrt(1 - p)
    before = angles(p_rotation)
    anisotropic = chosen(2 ** (0.2 * rng.normal(n)), 1.0)
    after = angles(p_rotation)
    part = chosen(rng.normal(n, 2) * 0.125, 0.0) * size
    brightness = chosen(0.2 * rng.normal(n), 0.0)
    contrast = chosen(2 ** (0.5 * rng.normal(n)), 1.0)
    luma_flip = chosen(rng.integers(n, 2), 0)
    hue = angles(p)
    saturation = chosen(2 ** rng.normal(n), 1.0)

    out = np.empty(x.shape)
    for i in range(n):
        image = x[i].astype(np.float64)
        image = image[:, :, ::-1] if flip[i] else image
        quarter = int(turns[i]) if height == width else int(turns[i]) // 2 * 2
        image = np.rot90(image, quarter, (1, 2))
        goes_to = move(*whole[i])
        for step in (
            stretch(isotropic[i], isotropic[i]),
            turn(-before[i]),
            stretch(anisotropic[i], 1 / anisotropic[i]),
            turn(-after[i]),
            move(*part[i]),
        ):
            goes_to = step @ goes_to
        image = resampled(image, goes_to)
        gray = np.repeat(image[:1], 3, 0) if channels < 3 else image[:3]
        pixels = contrast[i] * (gray.reshape(3, -1) + brightness[i])
        axis = np.ones(3) / np.sqrt(3)
        along = np.outer(axis, axis) @ pixels
        pixels = pixels - 2 * luma_flip[i] * along
        along = np.outer(axis, axis) @ pixels
        across = pixels - along  # turned in the plane across the axis, and scaled there
        across = np.cos(hue[i]) * across + np.sin(hue[i]) * np.cross(axis, across.T).T
        pixels = (along + saturation[i] * across).reshape(3, height, width)
        image[: 3 if channels > 2 else 1] = pixels if channels > 2 else pixels[:1]
        out[i] = image
    return out


def move(right: float, down: float) -> np.ndarray:
    return np.array([[1, 0, right], [0, 1, down], [0, 0, 1]])


def stretch(x: float, y: float) -> np.ndarray:
    return np.diag([x, y, 1])


def turn(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


PAD = 60


def resampled(image: np.ndarray, goes_to: np.ndarray) -> np.ndarray:
    """One image under a map of pixels about its middle: pad, upsample, look up, downsample."""
    if np.allclose(goes_to, np.eye(3)):
        return image.copy()
    _, height, width = image.shape
    taps, comes_from = np.array(SYM6) * np.sqrt(2), np.linalg.inv(goes_to)
    padded = np.pad(image, ((0, 0), (PAD, PAD), (PAD, PAD)), mode="reflect")
    for axis in (1, 2):
        stuffed = np.zeros([2 * s if a == axis else s for a, s in enumerate(padded.shape)])
        stuffed[(slice(None),) * axis + (slice(None, None, 2),)] = padded
        padded = np.apply_along_axis(lambda line: np.convolve(line, taps), axis, stuffed)
    out = np.zeros(image.shape)
    for row in range(height):
        for column in range(width):
            for a, b in itertools.product(range(12), repeat=2):
                place = np.array([column + (b - DELAY) / 2, row + (a - DELAY) / 2, 1])
                place[:2] -= np.array([width - 1, height - 1]) / 2
                found = (comes_from @ place)[:2] + np.array([width - 1, height - 1]) / 2
                x, y = 2 * (found + PAD) + DELAY
                left, top = int(np.floor(x)), int(np.floor(y))
                right, below = x - left, y - top
                value = (
                    (1 - below) * (1 - right) * padded[:, top, left]
                    + (1 - below) * right * padded[:, top, left + 1]
                    + below * (1 - right) * padded[:, top + 1, left]
                    + below * right * padded[:, top + 1, left + 1]
                )
                out[:, row, column] += SYM6[a] * SYM6[b] / 2 * value
    return out


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 7, 10), (3, 9, 9), (4, 10, 7)])
def test_it_is_what_numpy_makes_of_the_papers_pseudocode(shape: tuple[int, int, int]) -> None:
    x = images(6, *shape)
    expected = by_numpy(x.numpy(), 0.7, Draws(3, "test", 0))
    made = augment(x, p=0.7, seed=3)
    np.testing.assert_allclose(made.numpy(), expected, atol=2e-4)


# -- single transformations, in closed form -------------------------------------------------------


def test_flips_and_turns_are_exact() -> None:
    x = images(8, 3, 16, 16)
    flip, turns = torch.tensor([0, 1] * 4), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    made = flip_and_turn(x, flip, turns)
    for k in range(8):
        expected = x[k].flip(2) if k % 2 else x[k]
        assert torch.equal(made[k], expected.rot90(k // 2, (1, 2)))


def test_a_quarter_turn_is_left_out_where_it_does_not_fit() -> None:
    x = images(4, 3, 16, 24)
    made = flip_and_turn(x, torch.zeros(4), torch.arange(4))
    assert torch.equal(made, torch.stack([x[0], x[1], x[2].flip(1, 2), x[3].flip(1, 2)]))


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 17, 24)])
def test_a_whole_shift_is_exact_and_reflects_at_the_border(shape: tuple[int, int, int]) -> None:
    right, down = 2, -3
    x = images(2, *shape)
    made = warp(x, translation(torch.tensor([[-right, -down]] * 2).float()))
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (5, 5), (5, 5)), mode="reflect")
    _, height, width = shape
    expected = padded[:, :, 5 - down : 5 - down + height, 5 - right : 5 - right + width]
    np.testing.assert_allclose(made.numpy(), expected, atol=1e-5)


def test_the_map_of_every_warp_is_seen_in_a_ramp() -> None:
    """A linear image stays linear under every map: the filter keeps polynomials. (Away from the
    border, behind which a ramp is reflected.)"""
    side = 64
    at = torch.arange(side).float() - (side - 1) / 2
    ramps = torch.stack([at.expand(side, side), at[:, None].expand(side, side)]) / side
    angle, scale, shift = torch.tensor([0.7]), torch.tensor([1.3]), torch.tensor([[1.25, -2.5]])
    for source in (
        rotation(angle),
        scaling(1 / scale, 1 / scale),
        scaling(scale, 1 / scale),
        translation(shift),
        rotation(angle) @ scaling(scale, scale**0) @ translation(shift),
    ):
        made = warp(ramps[None], source)[0]
        places = torch.stack([ramps[0], ramps[1], torch.full((side, side), 1 / side)])
        expected = torch.einsum("ij,jhw->ihw", source[0], places)[:2]
        middle = slice(22, 42)
        torch.testing.assert_close(
            made[:, middle, middle], expected[:, middle, middle], rtol=0, atol=2e-5
        )


def test_an_even_image_stays_even_to_its_edges() -> None:
    """No border comes into sight, however far an image is moved, shrunk and turned."""
    x = torch.full((64, 3, 16, 16), 0.8)
    made = augment(x, *(name for name in ALL if name not in COLORS))
    torch.testing.assert_close(made, x, rtol=0, atol=1e-5)
    far = warp(x[:1], scaling(torch.tensor([9.0]), torch.tensor([7.0])))
    torch.testing.assert_close(far, x[:1], rtol=0, atol=1e-5)


class Forced:
    """Draws of one value: `uniform` (0 where it decides whether), `normal` and `integers`."""

    def __init__(self, value: float) -> None:
        self.value = value

    def uniform(self, n: int, *shape: int) -> Tensor:
        return torch.full((n, *shape), self.value)

    normal = uniform

    def integers(self, n: int, high: int) -> Tensor:
        return torch.full((n,), int(self.value))


def forced(x: Tensor, name: str, value: float) -> Tensor:
    module = ADA(ADAConfig(p=1.0, transformations=(name,)))
    module.p.fill_(float("inf"))  # whatever decides, the transformation is chosen
    made: Tensor = module(x, Forced(value))  # type: ignore[arg-type]
    return made


def test_colours_change_as_they_are_drawn() -> None:
    x = images(2, 3, 16, 16)
    gray = x.mean(1, keepdim=True).expand_as(x)
    for made, expected in (
        (forced(x, "brightness", -1.5), x - 0.3),
        (forced(x, "contrast", 2.0), 2 * x),
        (forced(x, "luma-flip", 1), x - 2 * gray),
        (forced(x, "hue", 5 / 6), x[:, [2, 0, 1]]),  # by 2 pi / 3: red, green, blue change places
        (forced(x, "saturation", 1.0), gray + 2 * (x - gray)),
    ):
        torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_gray_has_brightness_contrast_and_inversion_but_no_hue(channels: int) -> None:
    x = images(2, channels, 16, 16)
    gray, alpha = x[:, :1], x[:, 1:]
    for name, value, expected in (
        ("brightness", 1.0, gray + 0.2),
        ("contrast", -2.0, gray / 2),
        ("luma-flip", 1, -gray),
        ("hue", 0.9, gray),
        ("saturation", 2.0, gray),
    ):
        made = forced(x, name, value)
        torch.testing.assert_close(made, torch.cat([expected, alpha], 1), rtol=0, atol=1e-5)


def test_alpha_moves_with_the_image_and_keeps_its_values_under_colour() -> None:
    x = images(16, 4, 16, 16)
    x[:, 3] = x[:, 0]
    assert torch.equal(augment(x, *COLORS)[:, 3], x[:, 3])
    made = augment(x, *(name for name in ALL if name not in COLORS))
    torch.testing.assert_close(made[:, 3], made[:, 0])


def test_colour_maps_are_affine_in_the_pixels() -> None:
    color = torch.tensor([[[0.0, 1, 0, 0.1], [0, 0, 1, 0.2], [1, 0, 0, 0.3]]])
    x = images(1, 3, 4, 5)
    expected = x[:, [1, 2, 0]] + torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
    torch.testing.assert_close(recolor(x, color), expected)


# -- when it acts ---------------------------------------------------------------------------------

ACTS = {
    "x-flip": 1 / 2,
    "quarter-turns": 3 / 4,
    # round(U(-2, 2)) of 16 pixels is 0 with probability 1/4, on both axes with 1/16
    "integer-translation": 15 / 16,
    "luma-flip": 1 / 2,
}
"""How often a transformation that is applied changes an image; the others always do."""


@pytest.mark.parametrize("name", ALL)
def test_each_transformation_is_applied_with_probability_p(name: str) -> None:
    p, n = 0.4, 3000
    x = images(1, 3, 16, 16).expand(n, -1, -1, -1)
    changed = ((augment(x, name, p=p) - x).abs() > 1e-6).flatten(1).any(1).double().mean()
    expected = p * ACTS.get(name, 1.0)
    assert changed == pytest.approx(expected, abs=4 * (expected * (1 - expected) / n) ** 0.5)


def test_at_zero_it_leaves_images_as_they_are() -> None:
    for channels in range(1, 5):
        x = images(8, channels, 16, 20)
        assert torch.equal(augment(x, p=0.0), x)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 28, 28), (3, 24, 33), (4, 64, 64)])
def test_every_size_keeps_its_shape(shape: tuple[int, int, int]) -> None:
    made = augment(images(8, *shape), p=0.9)
    assert made.shape == (8, *shape) and made.isfinite().all()


def test_two_processes_together_draw_what_one_does() -> None:
    x = images(8, 3, 16, 16)
    module = ADA(ADAConfig(p=0.6))
    together = module(x, Draws(0, "test", 3))
    for rank in range(2):
        alone = module(x[rank::2], Draws(0, "test", 3, rank=rank, world=2))
        torch.testing.assert_close(alone, together[rank::2], rtol=0, atol=1e-5)


def test_gradients_are_those_of_an_affine_map() -> None:
    """A(x + v) - A(x) is linear in v, so that the gradient of sum(c A(x)) tells it exactly."""
    x = images(8, 3, 16, 16).requires_grad_()
    weight, v = torch.randn(8, 3, 16, 16), torch.randn(8, 3, 16, 16)
    (gradient,) = torch.autograd.grad((weight * augment(x, p=0.8)).sum(), x)
    change = (weight * (augment(x + v, p=0.8) - augment(x, p=0.8))).sum()
    torch.testing.assert_close((gradient * v).sum(), change, rtol=1e-3, atol=1e-2)


def test_it_is_float32_in_a_bf16_run() -> None:
    x = images(4, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        made = augment(x, p=0.8)
    assert torch.equal(made, augment(x, p=0.8))


# -- how p moves ----------------------------------------------------------------------------------


def silent(name: str, value: Tensor) -> None:
    """No log."""


def test_p_follows_the_scores_as_a_calculation_by_hand() -> None:
    """64 images an update: every 4 updates p moves by 4 * 64 / 500,000."""
    module = ADA(ADAConfig())
    all_real = torch.ones(64)
    step = 4 * 64 / 500_000
    seen = []
    for _ in range(12):
        module.after_discriminator_step(all_real, silent)
        seen.append(float(module.p))
    assert seen == pytest.approx([0] * 3 + [step] * 4 + [2 * step] * 4 + [3 * step], abs=1e-9)
    # r_t is the mean over all four updates: (1 + 1 + 1 - 0.5) / 4 = 0.625, above 0.6
    for scores in (all_real, all_real, all_real, torch.tensor([-1.0] * 48 + [2.0] * 16)):
        module.after_discriminator_step(scores, silent)
    assert float(module.p) == pytest.approx(4 * step)
    # (1 + 1 + 1 - 0.75) / 4 = 0.5625, below
    for scores in (all_real, all_real, all_real, torch.tensor([-9.0] * 56 + [0.1] * 8)):
        module.after_discriminator_step(scores, silent)
    assert float(module.p) == pytest.approx(3 * step)


def test_p_rises_from_0_to_1_in_500_kimg_and_stays_within() -> None:
    module = ADA(ADAConfig())
    updates = 500_000 // 500
    for _ in range(updates // 2):
        module.after_discriminator_step(torch.ones(500), silent)
    assert float(module.p) == pytest.approx(0.5, abs=1e-4)
    for _ in range(updates):
        module.after_discriminator_step(torch.ones(500), silent)
    assert float(module.p) == 1
    for _ in range(updates + 8):
        module.after_discriminator_step(-torch.ones(500), silent)
    assert float(module.p) == 0


def test_at_the_target_p_rests() -> None:
    module = ADA(ADAConfig(p=0.3))
    for _ in range(4):
        module.after_discriminator_step(torch.tensor([1.0, 1, 1, 1, -1]), silent)
    assert float(module.p) == pytest.approx(0.3)


def test_without_a_target_p_is_fixed() -> None:
    module = ADA(ADAConfig(p=0.2, target=0.0))
    for _ in range(20):
        module.after_discriminator_step(torch.ones(1000), silent)
    assert float(module.p) == pytest.approx(0.2)


def test_its_log_tells_p_and_r() -> None:
    logged: dict[str, float] = {}
    module = ADA(ADAConfig(p=0.2))
    module.after_discriminator_step(
        torch.tensor([1.0, 1, 1, -1]), lambda name, value: logged.update({name: float(value)})
    )
    assert logged == pytest.approx({"p": 0.2, "r": 0.5})


# -- in a run -------------------------------------------------------------------------------------


def adaptive(**changes: Any) -> Any:
    # 1.6 kimg for p to go from 0 to 1, so that it is seen to move in 160 images
    augmentation = {"part": "ada", "p": 0.2, "target": 0.2, "interval": 2, "kimg": 1.6}
    return recipe("gan", augmentation=augmentation, **changes)


def test_every_update_of_d_counts_its_images() -> None:
    """Two updates of D a step, in two pieces each: 16 images a step, p moved once by them all."""
    trainer = make(adaptive(trainer={"part": "alternating", "n_critic": 2}, accumulation=2))
    before = float(trainer.augment.p)  # type: ignore[union-attr, arg-type]
    trainer.train_step()
    moved = float(trainer.augment.p) - before  # type: ignore[union-attr, arg-type]
    assert abs(moved) == pytest.approx(2 * 8 / 1600)
    assert {"augment/p", "augment/r"} <= set(trainer.collect_logs())


def test_resume_is_exact_between_two_changes_of_p(tmp_path: Path) -> None:
    """The checkpoint at step 5 holds half of an interval."""
    bf16 = adaptive(precision="bf16")
    whole = train(bf16, tmp_path / "whole", device="cpu")
    run = train(bf16, tmp_path / "run", device="cpu", steps=5)
    train(bf16, run, device="cpu", resume=True)
    files = [r / "checkpoints/000000020/state.safetensors" for r in (whole, run)]
    assert files[0].read_bytes() == files[1].read_bytes()
    tensors = load_file(run / "checkpoints/000000020/state.safetensors")
    assert tensors["augment.p"] != 0.2
    halfway = load_file(whole / "checkpoints/000000015/state.safetensors")
    assert halfway["augment.images"] == 8 and halfway["augment.updates"] == 1


TWO = """
import sys
import torch
torch.set_num_threads(1)
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_ada import adaptive
from ganzoo.training import train
train(adaptive(), sys.argv[1], device="cpu")
"""


def test_two_processes_move_p_as_one_does(tmp_path: Path) -> None:
    one = train(adaptive(), tmp_path / "one", device="cpu")
    script = tmp_path / "two.py"
    script.write_text(TWO)
    done = run_python(
        "",
        str(script),
        str(tmp_path / "two"),
        str(Path(__file__).parent),
        launch=(
            *(sys.executable, "-m", "torch.distributed.run"),
            *("--standalone", "--nproc_per_node=2"),
        ),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    state = "checkpoints/000000020/state.safetensors"
    ours, theirs = load_file(one / state), load_file(tmp_path / "two" / state)
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=2e-3, atol=5e-5, msg=name)
    assert theirs["augment.p"] != pytest.approx(0.2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"p": -0.1}, "p = -0.1 is out of range"),
        ({"target": 2.0}, "target = 2.0 is out of range"),
        ({"interval": 0}, "interval = 0 is out of range"),
        ({"transformations": ["x-flip", "blur"]}, "'blur' is of the wrong type: use one of 'x-f"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    from ganzoo import plugins

    with pytest.raises(ConfigError, match=message):
        plugins.load().parts.get("augmentation", "ada").make_config(settings)
