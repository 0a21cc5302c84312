"""What the core itself brings: losses, the alternating trainer, feature extractors, data sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ganzoo.hookspecs import hookimpl
from ganzoo.parts import Part

if TYPE_CHECKING:
    from ganzoo.data import DataSource

_GOODFELLOW = "Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661"
_SMOOTHED = "ganzoo.training.config:LossConfig"


@hookimpl
def ganzoo_losses() -> Iterable[Part]:
    def loss(name: str, factory: str, config: str, summary: str, paper: str) -> Part:
        return Part(
            name=name,
            kind="loss",
            factory=f"ganzoo.training.losses:{factory}",
            config=config,
            summary=summary,
            paper=paper,
        )

    return [
        loss(
            "minimax",
            "Minimax",
            _SMOOTHED,
            "The original value function; G minimises log(1 - D(G(z))), which saturates",
            _GOODFELLOW,
        ),
        loss(
            "non-saturating",
            "NonSaturating",
            _SMOOTHED,
            "G maximises log D(G(z)): the same fixed point with a stronger gradient",
            _GOODFELLOW,
        ),
        loss(
            "least-squares",
            "LeastSquares",
            _SMOOTHED,
            "Squared distance of the scores from 1 (real) and 0 (fake)",
            "Mao et al. 2017, Least Squares Generative Adversarial Networks, arXiv:1611.04076",
        ),
        loss(
            "hinge",
            "Hinge",
            "ganzoo.configs:NoConfig",
            "Hinge on the critic's margin, linear in G",
            "Lim and Ye 2017, Geometric GAN, arXiv:1705.02894",
        ),
    ]


@hookimpl
def ganzoo_trainers() -> Iterable[Part]:
    return [
        Part(
            name="alternating",
            kind="trainer",
            factory="ganzoo.training.trainer:Trainer",
            config="ganzoo.training.config:AlternatingConfig",
            summary="n_critic updates of D, then one of G (Algorithm 1)",
            paper=_GOODFELLOW,
        )
    ]


@hookimpl
def ganzoo_features() -> Iterable[Part]:
    def features(
        name: str, factory: str, config: str, summary: str, paper: str = "", **tiny: str
    ) -> Part:
        return Part(
            name=name,
            kind="features",
            factory=f"ganzoo.evaluation.{factory}",
            config=f"ganzoo.evaluation.config:{config}",
            tiny=tiny,
            summary=summary,
            paper=paper,
        )

    return [
        features(
            "digits",
            "extractors:Classifier",
            "Digits",
            "A classifier of handwritten digits, 28x28 gray, trained by ganzoo on MNIST",
        ),
        features(
            "clothes",
            "extractors:Classifier",
            "Clothes",
            "A classifier of clothes, 28x28 gray, trained by ganzoo on FashionMNIST",
        ),
        features(
            "random",
            "extractors:RandomNetwork",
            "Unconfigured",
            "A convolutional network with fixed random weights, for images of any size",
            "Naeem et al. 2020, Reliable Fidelity and Diversity Metrics, arXiv:2002.09797",
        ),
        features(
            "pixels",
            "extractors:Pixels",
            "Unconfigured",
            "The pixels themselves, at most 32x32; for audits",
        ),
        features(
            "inception",
            "inception:Inception",
            "InceptionConfig",
            "The Inception network of published scores; needs ganzoo[inception]",
            "Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, arXiv:1706.08500",
            sha256="",
        ),
    ]


@hookimpl
def ganzoo_datasets() -> Iterable[DataSource]:
    from ganzoo.data import SOURCES  # 5 ms that listing models and parts does without

    return SOURCES
