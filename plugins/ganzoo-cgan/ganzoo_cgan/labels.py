"""Labels as numbers that a network can take: what both architectures share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganzoo.models import Outputs


class OneHot(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.width = num_classes

    def forward(self, labels: Tensor) -> Tensor:
        return one_hot(labels, self.width).float()  # (N,) -> (N, num_classes)


class LabelEmbedding(nn.Embedding):
    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__(num_classes, width)  # from N(0, 1), as z is
        self.width = width


class Head(nn.Module):
    """The score of features h, and what a critic knows of classes.

    Projection: Miyato and Koyama 2018, "cGANs with Projection Discriminator" (arXiv:1802.05637),
    eq. 4 and figure 1d: score(x, y) = psi(h) + <embed(y), h> with a linear psi.
    Auxiliary: Odena et al. 2017: beside the score, logits of the classes.
    """

    def __init__(self, width: int, num_classes: int, conditioning: str) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)
        self.embed = nn.Embedding(num_classes, width) if conditioning == "projection" else None
        self.classes = nn.Linear(width, num_classes) if conditioning == "auxiliary" else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, 0.0, 0.02)  # from N(0, 1), it would drown the score

    def forward(self, h: Tensor, labels: Tensor | None) -> Outputs:
        score = self.score(h).squeeze(1)  # (N, F) -> (N,)
        if self.embed is not None:
            score = score + (self.embed(labels).to(h.dtype) * h).sum(dim=1)
        return Outputs(score, None if self.classes is None else self.classes(h))


def label_code(conditioning: str, num_classes: int, embedding_dim: int) -> OneHot | LabelEmbedding:
    """The label as a vector that joins others: one-hot ("concat") or learned ("embedding")."""
    if conditioning == "concat":
        return OneHot(num_classes)
    return LabelEmbedding(num_classes, embedding_dim)
