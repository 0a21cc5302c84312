"""3x3 convolutions with fewer multiplications, for inference on CPUs.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks": F(4x4, 3x3) finds tiles of
4x4 pixels from 6x6, Y = A' [(G g G') * (B' d B)] A, whose middle is 36 products of matrices, one a
place of the transformed tile: a quarter of the multiplications. F(2x2, 3x3) has 16 for tiles of
2x2, less than half of them, and only adds and halves in its transforms, so that bfloat16 bears it.

What is done to d before is linear too: where the map is first doubled by repeating its pixels, that
becomes part of B, and d of F(2x2, 3x3) is 3x3. One place in four is then always 0 in each
direction, and a quarter of the multiplications is left here as well, 9 for 2x2 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.polynomial import polynomial
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ganzoo import onednn

TAPS = 3
POINTS = {4: (0, 0.75, -0.75, 1.5, -1.5), 2: (0, 1, -1)}
"""Size of a tile -> where the polynomials are evaluated, besides infinity. Of 4 with half the error
of 1 and 2."""

FEWEST = {
    (torch.float32, False): (16 * 16, 256 * 256),
    (torch.float32, True): (8 * 8, 128 * 64),
    (torch.bfloat16, False): (16 * 16, 512 * 512),
    (torch.bfloat16, True): (8 * 8, 256 * 128),
}
"""Of a dtype and of a doubled map or not -> pixels out and channels in x out. For fewer pixels it
takes too long to read the matrices; with fewer channels the transforms take what the products save
(benchmarks/README.md)."""

CACHE = 8 << 20
"""Bytes of the tiles that are transformed together: with more, the products wait for memory."""

NEAREST = torch.tensor([0, 1, 1, 2])
"""Of 3 pixels, those that 4 of the doubled map repeat."""


def transforms(tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """A' (t, t + 2), G (t + 2, 3) and B' (t + 2, t + 2) in float64: Toom and Cook's, transposed."""
    size = tile + TAPS - 1
    points = np.array(POINTS[tile], dtype=float)
    A, G, B = np.zeros((size, tile)), np.zeros((size, TAPS)), np.zeros((size, size))
    for row, point in enumerate(points):
        others = np.delete(points, row)
        A[row] = point ** np.arange(tile)
        G[row] = point ** np.arange(TAPS) / np.prod(point - others)
        B[row, :-1] = polynomial.polyfromroots(others)
    A[-1, -1] = G[-1, -1] = 1
    B[-1] = polynomial.polyfromroots(points)
    return torch.from_numpy(A.T.copy()), torch.from_numpy(G), torch.from_numpy(B)


def transforms_of_doubled() -> tuple[Tensor, Tensor, Tensor]:
    """A' (2, 3), G (3, 3) and B' (3, 3), of tiles of 2x2 of the map of twice the size."""
    A, G, B = transforms(2)
    B = torch.zeros(4, 3, dtype=B.dtype).index_add_(1, NEAREST, B)
    used = B.any(1)
    return A[:, used], G[used], B[used]


class Conv3x3(nn.Module):
    """A 3x3 convolution of padding 1 with constant weights, in the way that is faster for a shape.

    Args:
        weight: (out, in, 3, 3).
        bias: (out,).
        up: convolve the map of twice the size, in which each pixel is a square.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, up: bool = False) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach())
        self.up = up
        self._direct = onednn.Convolution(stride=1, padding=1)
        self._transformed: tuple[Tensor, Sequence[Tensor], Tensor] | None = None
        self.sort = True  # as `torch.compile` does not want it

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W), or (N, out, 2 H, 2 W)."""
        if self.by_tiles(x):
            return self._by_tiles(x)
        x = interpolate(x, scale_factor=2.0, mode="nearest") if self.up else x
        return self._direct(x, self.weight, self.bias)

    def by_tiles(self, x: Tensor) -> bool:
        """Whether that pays; for all batch sizes alike, so that the images of all are the same."""
        (height, width), (out, channels, *_) = x.shape[2:], self.weight.shape
        scale, tile = 2 if self.up else 1, self._tile
        pixels, products = FEWEST.get((x.dtype, self.up), (math.inf, math.inf))
        return (
            x.device.type == "cpu"
            and x.dtype == self.weight.dtype
            and scale * height % tile == scale * width % tile == 0
            and scale * height * scale * width >= pixels
            and out * channels >= products
            and not torch.is_grad_enabled()
        )

    @property
    def _tile(self) -> int:
        return 2 if self.up or self.weight.dtype == torch.bfloat16 else 4

    def _by_tiles(self, x: Tensor) -> Tensor:
        if self._transformed is None:  # up to four times the weights: for those that need it
            self._transformed = self._transform()
        convolve = _opaque if torch.compiler.is_compiling() else convolve_by_tiles
        out: Tensor = convolve(x, *self._transformed, self.up)
        return out if self.bias is None else out.add_(self.bias[:, None, None].to(out.dtype))

    def _transform(self) -> tuple[Tensor, Sequence[Tensor], Tensor]:
        """From pixels to places of tiles (places, d d), the weights of these (out, in), and from
        places to pixels (t t, places)."""
        A, G, B = transforms_of_doubled() if self.up else transforms(self._tile)
        out, channels = self.weight.shape[:2]
        matrices = torch.kron(G, G).float() @ self.weight.float().reshape(-1, 9).T
        matrices = matrices.to(self.weight.dtype).view(-1, out, channels)
        weights: Sequence[Tensor] = matrices  # type: ignore[assignment]
        if self.sort:
            weights = [onednn.sorted_matrix(weight) for weight in matrices]
        to_tiles, from_tiles = (torch.kron(M, M).to(self.weight.dtype) for M in (B, A))
        return to_tiles, weights, from_tiles


def convolve_by_tiles(
    x: Tensor, to_tiles: Tensor, matrices: Sequence[Tensor], from_tiles: Tensor, up: bool
) -> Tensor:
    """(N, in, H, W) -> (N, out, H, W) or (N, out, 2 H, 2 W), in channels_last."""
    out = _result(x, to_tiles, matrices, from_tiles, up)
    channels, height, width = x.shape[1:]
    padded = x.new_empty(height + 2, width + 2, channels)
    for edge in (padded[0], padded[-1], padded[:, 0], padded[:, -1]):
        edge.zero_()
    tile = math.isqrt(len(from_tiles))
    step = tile // 2 if up else tile
    for image, found in zip(x.permute(0, 2, 3, 1), out.permute(0, 2, 3, 1), strict=True):
        # each by itself, so that it stays in the cache and is rounded alike in any batch
        padded[1:-1, 1:-1] = image
        rows, columns = (size // tile for size in found.shape[:2])
        size = len(to_tiles) * rows * columns * max(channels, found.shape[2]) * x.element_size()
        high = math.ceil(rows / math.ceil(size / CACHE))  # rows of tiles in a strip
        for first in range(0, rows, high):
            last = min(first + high, rows)
            strip = padded[first * step : last * step + 2]
            _strip(strip, found[first * tile : last * tile], to_tiles, matrices, from_tiles, step)
    return out


def _result(
    x: Tensor, to_tiles: Tensor, matrices: Sequence[Tensor], from_tiles: Tensor, up: bool
) -> Tensor:
    n, _, height, width = x.shape
    scale = 2 if up else 1
    out = matrices[0].shape[0]
    return x.new_empty(n, height * scale, width * scale, out).permute(0, 3, 1, 2)


def _strip(
    strip: Tensor,
    out: Tensor,
    to_tiles: Tensor,
    matrices: Sequence[Tensor],
    from_tiles: Tensor,
    step: int,
) -> None:
    """Padded pixels (h + 2, W + 2, in) into (h, W, out), or (2 h, 2 W, out); `step` of its pixels
    are between tiles."""
    (places, pixels), tile = to_tiles.shape, math.isqrt(len(from_tiles))
    side = math.isqrt(pixels)
    rows, columns = (size // tile for size in out.shape[:2])
    row, column, one = strip.stride()
    tiles = strip.as_strided(
        (side, side, rows, columns, strip.shape[2]),
        (row, column, step * row, step * column, one),
        strip.storage_offset(),
    )
    tiles = onednn.linear(to_tiles, tiles.reshape(pixels, -1).T)  # (places, tiles in)
    tiles = tiles.view(places, rows * columns, -1)
    products = torch.stack([onednn.linear(*pair) for pair in zip(tiles, matrices, strict=True)])
    found = onednn.linear(from_tiles, products.view(places, -1).T)  # (tile tile, tiles out)
    found = found.view(tile, tile, rows, columns, -1).permute(2, 0, 3, 1, 4)
    out.view(found.shape).copy_(found)


_opaque = torch.library.custom_op(
    "ganzoo::convolve_by_tiles",
    convolve_by_tiles,
    mutates_args=(),
    schema="(Tensor x, Tensor to_tiles, Tensor matrices, Tensor from_tiles, bool up) -> Tensor",
)
"""The same for `torch.compile`, which is not to look into it."""
_opaque.register_fake(_result)
