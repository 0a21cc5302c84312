"""3x3 convolutions with a quarter of the multiplications, for inference on CPUs.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks": F(4x4, 3x3) finds tiles of
4x4 pixels from 6x6, Y = A' [(G g G') * (B' d B)] A, whose middle is 36 products of matrices, one a
place of the transformed tile. What is done to d before is linear too: where the map is first
doubled by repeating its pixels, that becomes part of B, and d is 4x4.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.polynomial import polynomial
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, linear, pad

TILE, TAPS = 4, 3
POINTS = (0, 0.75, -0.75, 1.5, -1.5)
"""Where the polynomials are evaluated, besides infinity: with half the error of 1 and 2."""

FEWEST_TILES, FEWEST_PRODUCTS = 16, 256 * 256
"""For fewer tiles an image it takes too long to read 36 matrices; with fewer channels in x out the
transforms take what the products save (benchmarks/README.md)."""

CACHE = 8 << 20
"""Bytes of the tiles that are transformed together: with more, the products wait for memory."""

NEAREST = torch.tensor([0, 1, 1, 2, 2, 3])
"""Of 4 pixels, those that 6 of the doubled map repeat."""


def transforms() -> tuple[Tensor, Tensor, Tensor]:
    """A' (4, 6), G (6, 3) and B' (6, 6) in float64: Toom and Cook's, transposed."""
    size = TILE + TAPS - 1
    points = np.array(POINTS, dtype=float)
    A, G, B = np.zeros((size, TILE)), np.zeros((size, TAPS)), np.zeros((size, size))
    for row, point in enumerate(points):
        others = np.delete(points, row)
        A[row] = point ** np.arange(TILE)
        G[row] = point ** np.arange(TAPS) / np.prod(point - others)
        B[row, :-1] = polynomial.polyfromroots(others)
    A[-1, -1] = G[-1, -1] = 1
    B[-1] = polynomial.polyfromroots(points)
    return torch.from_numpy(A.T.copy()), torch.from_numpy(G), torch.from_numpy(B)


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
        self._transformed: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W), or (N, out, 2 H, 2 W)."""
        if self.by_tiles(x):
            return self._by_tiles(x)
        x = interpolate(x, scale_factor=2.0, mode="nearest") if self.up else x
        return conv2d(x, self.weight, self.bias, padding=1)

    def by_tiles(self, x: Tensor) -> bool:
        """Whether that pays; for all batch sizes alike, so that the images of all are the same."""
        height, width = x.shape[2:]
        step = TILE // 2 if self.up else TILE
        return (
            x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and self.weight.shape[0] * self.weight.shape[1] >= FEWEST_PRODUCTS
            and height % step == width % step == 0
            and (height // step) * (width // step) >= FEWEST_TILES
            and not torch.is_grad_enabled()
        )

    def _by_tiles(self, x: Tensor) -> Tensor:
        if self._transformed is None:  # four times the size of the weights: for those that need it
            self._transformed = self._transform()
        convolve = _opaque if torch.compiler.is_compiling() else convolve_by_tiles
        out = convolve(x, *self._transformed, self.up)
        return out if self.bias is None else out.add_(self.bias[:, None, None])

    def _transform(self) -> tuple[Tensor, Tensor, Tensor]:
        """From pixels to tiles (36, 36 or 16), the weights (36, out, in), from tiles (16, 36)."""
        A, G, B = transforms()
        if self.up:
            B = torch.zeros(6, 4, dtype=B.dtype).index_add_(1, NEAREST, B)
        out, channels = self.weight.shape[:2]
        matrices = torch.kron(G, G).float() @ self.weight.reshape(-1, 9).T  # (36, out in)
        return (
            torch.kron(B, B).float(),
            matrices.view(36, out, channels),
            torch.kron(A, A).float(),
        )


def convolve_by_tiles(
    x: Tensor, to_tiles: Tensor, matrices: Tensor, from_tiles: Tensor, up: bool
) -> Tensor:
    """(N, in, H, W) -> (N, out, H, W) or (N, out, 2 H, 2 W), in channels_last."""
    out = _result(x, to_tiles, matrices, from_tiles, up)
    x = pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))  # (N, H + 2, W + 2, in)
    for image, found in zip(x, out.permute(0, 2, 3, 1), strict=True):
        # each by itself, so that it stays in the cache and is rounded alike in any batch
        rows, columns = (size // TILE for size in found.shape[:2])
        step = 2 if up else TILE
        size = 36 * rows * columns * max(image.shape[2], found.shape[2]) * x.element_size()
        high = math.ceil(rows / math.ceil(size / CACHE))  # rows of tiles in a strip
        for first in range(0, rows, high):
            last = min(first + high, rows)
            strip = image[first * step : last * step + 2]
            _strip(strip, found[first * TILE : last * TILE], to_tiles, matrices, from_tiles)
    return out


def _result(x: Tensor, to_tiles: Tensor, matrices: Tensor, from_tiles: Tensor, up: bool) -> Tensor:
    n, _, height, width = x.shape
    scale = 2 if up else 1
    return x.new_empty(n, height * scale, width * scale, matrices.shape[1]).permute(0, 3, 1, 2)


def _strip(
    strip: Tensor, out: Tensor, to_tiles: Tensor, matrices: Tensor, from_tiles: Tensor
) -> None:
    """Padded pixels (h + 2, W + 2, in) into (h, W, out), or (2 h, 2 W, out)."""
    side, step = (6, 4) if to_tiles.shape[1] == 36 else (4, 2)  # of the pixels of a tile
    rows, columns = (size // TILE for size in out.shape[:2])
    row, column, one = strip.stride()
    tiles = strip.as_strided(
        (side, side, rows, columns, strip.shape[2]),
        (row, column, step * row, step * column, one),
        strip.storage_offset(),
    )
    tiles = (to_tiles @ tiles.reshape(side * side, -1)).view(36, rows * columns, -1)
    products = torch.stack([_product(*pair) for pair in zip(tiles, matrices, strict=True)])
    pixels = from_tiles @ products.view(36, -1)  # (16, tiles out)
    pixels = pixels.view(TILE, TILE, rows, columns, -1).permute(2, 0, 3, 1, 4)
    out.view(pixels.shape).copy_(pixels)


_opaque = torch.library.custom_op(
    "ganzoo::convolve_by_tiles",
    convolve_by_tiles,
    mutates_args=(),
    schema="(Tensor x, Tensor to_tiles, Tensor matrices, Tensor from_tiles, bool up) -> Tensor",
)
"""The same for `torch.compile`, which is not to look into it."""
_opaque.register_fake(_result)


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """x (M, K), weight (N, K) -> (M, N) by oneDNN, which uses all of any CPU: on those of other
    makers than its own, MKL takes twice as long."""
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return product
    return linear(x, weight)
