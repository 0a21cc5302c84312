"""Each loss against its closed form, and its gradient against the derivative by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ganzoo.testing.steps import step_on
from ganzoo.training.config import LossConfig
from ganzoo.training.losses import (
    Hinge,
    LeastSquares,
    Loss,
    Minimax,
    NonSaturating,
    squared_slopes,
)
from ganzoo.training.step import Step

REAL = np.array([-3.0, -0.5, 0.2, 1.5, 40.0])
FAKE = np.array([-40.0, -1.2, 0.0, 0.7, 2.5])


def step(real: Tensor, fake: Tensor) -> Step:
    """A step whose D is the identity on "images" (N,): the scores are then known."""
    return step_on(lambda x, labels: x, real, fake)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -x)


Closed = Callable[[np.ndarray, np.ndarray], float]

# name: (loss, D's value, G's value, dD/dreal, dD/dfake, dG/dfake), per sample before the mean
CASES = {
    "minimax": (
        Minimax(),
        lambda r, f: -log_sigmoid(r).mean() - log_sigmoid(-f).mean(),
        lambda f: log_sigmoid(-f).mean(),
        lambda r: -sigmoid(-r),
        lambda f: sigmoid(f),
        lambda f: -sigmoid(f),
    ),
    "non-saturating": (
        NonSaturating(),
        lambda r, f: -log_sigmoid(r).mean() - log_sigmoid(-f).mean(),
        lambda f: -log_sigmoid(f).mean(),
        lambda r: -sigmoid(-r),
        lambda f: sigmoid(f),
        lambda f: -sigmoid(-f),
    ),
    "non-saturating, smoothed": (
        NonSaturating(LossConfig(label_smoothing=0.1)),
        # binary cross-entropy against the target 0.9
        lambda r, f: (
            -(0.9 * log_sigmoid(r) + 0.1 * log_sigmoid(-r)).mean() - log_sigmoid(-f).mean()
        ),
        lambda f: -log_sigmoid(f).mean(),
        lambda r: sigmoid(r) - 0.9,
        lambda f: sigmoid(f),
        lambda f: -sigmoid(-f),
    ),
    "least-squares": (
        LeastSquares(),
        lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2,
        lambda f: ((f - 1) ** 2).mean() / 2,
        lambda r: r - 1,
        lambda f: f,
        lambda f: f - 1,
    ),
    "least-squares, smoothed": (
        LeastSquares(LossConfig(label_smoothing=0.25)),
        lambda r, f: ((r - 0.75) ** 2).mean() / 2 + (f**2).mean() / 2,
        lambda f: ((f - 1) ** 2).mean() / 2,
        lambda r: r - 0.75,
        lambda f: f,
        lambda f: f - 1,
    ),
    "hinge": (
        Hinge(),
        lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(),
        lambda f: -f.mean(),
        lambda r: -(r < 1).astype(float),
        lambda f: (f > -1).astype(float),
        lambda f: -np.ones_like(f),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_paper(name: str) -> None:
    loss, d_value, g_value, d_real, d_fake, g_fake = CASES[name]
    real = torch.tensor(REAL, requires_grad=True)
    fake = torch.tensor(FAKE, requires_grad=True)

    terms = loss.discriminator_terms(step(real, fake))
    total = torch.stack(list(terms.values())).sum()
    assert total.item() == pytest.approx(d_value(REAL, FAKE), rel=1e-12)
    total.backward()
    np.testing.assert_allclose(real.grad, d_real(REAL) / len(REAL), rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(fake.grad, d_fake(FAKE) / len(FAKE), rtol=1e-10, atol=1e-15)

    fake.grad = None
    total = torch.stack(list(loss.generator_terms(step(real, fake)).values())).sum()
    assert total.item() == pytest.approx(g_value(FAKE), rel=1e-12)
    total.backward()
    np.testing.assert_allclose(fake.grad, g_fake(FAKE) / len(FAKE), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_a_score_beyond_the_range_of_exp_stays_finite(name: str) -> None:
    loss: Loss = CASES[name][0]
    scores = torch.tensor([-1000.0, 1000.0], requires_grad=True)
    for terms in (
        loss.discriminator_terms(step(scores, scores)),
        loss.generator_terms(step(scores, scores)),
    ):
        total = torch.stack(list(terms.values())).sum()
        assert total.isfinite()
        (gradient,) = torch.autograd.grad(total, scores)
        assert gradient.isfinite().all()


def test_binary_cross_entropy_is_torchs() -> None:
    """The same as PyTorch's own, which takes the target as a tensor."""
    from torch.nn.functional import binary_cross_entropy_with_logits as bce

    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    terms = NonSaturating(LossConfig(label_smoothing=0.1)).discriminator_terms(step(real, fake))
    torch.testing.assert_close(terms["real"], bce(real, torch.full_like(real, 0.9)))
    torch.testing.assert_close(terms["fake"], bce(fake, torch.zeros_like(fake)))


def test_the_optimal_discriminator_gives_minus_log_four() -> None:
    """Goodfellow et al. 2014, theorem 1: at p_g = p_data the value of the game is -log 4."""
    half = torch.zeros(8)  # D(x) = sigmoid(0) = 1/2 everywhere
    terms = Minimax().discriminator_terms(step(half, half))
    assert -torch.stack(list(terms.values())).sum().item() == pytest.approx(-np.log(4))


def test_smoothing_out_of_range_is_refused() -> None:
    from ganzoo.errors import ConfigError

    with pytest.raises(ConfigError, match="label_smoothing"):
        LossConfig(label_smoothing=0.9)


def test_squared_slopes_are_each_images_own_and_reach_d_alone() -> None:
    """D(x) = a |x|^2 / 2 has the slope a x."""
    a = torch.tensor(3.0, requires_grad=True)
    x = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    at = step_on(lambda x, labels: a * x.square().sum((1, 2, 3)) / 2, x, x)
    found = squared_slopes(at, x, None)
    squares = x.detach().square().sum((1, 2, 3))
    torch.testing.assert_close(found.detach(), 9 * squares)
    of_a, of_x = torch.autograd.grad(found.sum(), [a, x], allow_unused=True)
    torch.testing.assert_close(of_a, 6 * squares.sum())
    assert of_x is None
