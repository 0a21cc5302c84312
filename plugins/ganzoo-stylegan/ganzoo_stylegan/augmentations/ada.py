"""Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", section 3 and
appendix B.

D sees every image, real or fake, through twelve transformations ("bgc": pixel blitting, geometry,
colour), each of which is applied to it with probability p. p follows r_t = E[sign(D(real))], which
grows as D learns the data by heart. A loss whose scores are not centred on 0, such as that of a
Wasserstein critic, needs a fixed p (`target` 0).

Images are in [-1, 1]. Two and four channels are LA and RGBA: colour leaves alpha alone, geometry
moves all channels together. The pipeline is differentiable once: a penalty on D's gradient is
computed on plain images, so that grid_sample's second derivative is not needed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ganzoo.rng import Draws
from ganzoo.training.augmentation import Augmentation
from ganzoo_stylegan.augmentations.config import ADAConfig


class ADA(Augmentation):
    """Buffers: p, and what D's updates since the last change of p add up to."""

    def __init__(self, config: ADAConfig | None = None) -> None:
        config = config or ADAConfig()
        super().__init__(config)
        self.register_buffer("p", torch.tensor(config.p))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("images", torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, rng: Draws) -> Tensor:
        # in float32 also in a bf16 run: bf16 could not place a pixel
        with torch.autocast(x.device.type, enabled=False):
            x = self._blit_and_warp(x.float(), rng)
            return recolor(x, self._color_map(len(x), rng))  # (N, C, H, W)

    def after_discriminator_step(
        self, real_scores: Tensor, log: Callable[[str, Tensor], None]
    ) -> None:
        """Section 3.1: every few updates p goes up or down, in proportion to the images shown.

        The paper keeps p at 0 or more. Here it stays at 1 or less as well: beyond, it would act as
        1 does and only take longer to come back.
        """
        config: ADAConfig = self.config
        log("p", self.p)
        log("r", real_scores.sign().mean())
        if config.target == 0:
            return
        self.signs += real_scores.sign().sum()
        self.images += len(real_scores)
        self.updates += 1
        due = self.updates == config.interval  # stays a tensor: no waiting for the device
        direction = (self.signs / self.images - config.target).sign()
        self.p += due * direction * self.images / (1000 * config.kimg)
        self.p.clamp_(0, 1)
        for since in (self.signs, self.images, self.updates):
            since *= ~due

    # -- what an image goes through, drawn as in appendix B ----------------------------------------

    def _blit_and_warp(self, x: Tensor, rng: Draws) -> Tensor:
        n, _, height, width = x.shape
        draw = functools.partial(self._draw, rng, self.p)
        x = flip_and_turn(
            x, draw("x-flip", rng.integers(n, 2), 0), draw("quarter-turns", rng.integers(n, 4), 0)
        )
        # Where a pixel comes from is the inverse of where it goes: each transformation follows the
        # one before in time, and so joins its inverse on the right.
        size = _constant(((width, height),), x.device)  # (1, 2)
        eighth = (rng.uniform(n, 2) / 4 - 1 / 8) * size  # (N, 2): within an eighth of the sides
        source = translation(-draw("integer-translation", eighth.round(), 0.0))  # (N, 3, 3)
        scale = draw("isotropic-scale", torch.exp2(0.2 * rng.normal(n)), 1.0)
        source = source @ scaling(1 / scale, 1 / scale)
        # two rotations, around the anisotropic scale: p of the images get one of them or both
        draw_rotation = functools.partial(self._draw, rng, 1 - (1 - self.p).sqrt(), "rotation")
        source = source @ rotation(draw_rotation(any_angle(rng, n), 0.0))
        scale = draw("anisotropic-scale", torch.exp2(0.2 * rng.normal(n)), 1.0)
        source = source @ scaling(1 / scale, scale)
        source = source @ rotation(draw_rotation(any_angle(rng, n), 0.0))
        eighth = rng.normal(n, 2) / 8 * size
        source = source @ translation(-draw("fractional-translation", eighth, 0.0))
        return warp(x, source)

    def _color_map(self, n: int, rng: Draws) -> Tensor:
        """(N, 3, 4): affine maps of RGB; each transformation stands to the left of those before."""
        draw = functools.partial(self._draw, rng, self.p)
        device = self.p.device
        eye, luma = torch.eye(3, device=device), torch.full((3, 3), 1 / 3, device=device)  # v v^T
        cross = _constant(((0, -1, 1), (1, 0, -1), (-1, 1, 0)), device) / math.sqrt(3)
        brightness = draw("brightness", 0.2 * rng.normal(n, 1, 1), 0.0)
        color = torch.cat([eye.expand(n, 3, 3), brightness.expand(n, 3, 1)], dim=2)
        color = draw("contrast", torch.exp2(0.5 * rng.normal(n, 1, 1)), 1.0) * color
        flip = draw("luma-flip", rng.integers(n, 2), 0)[:, None, None]
        color = (eye - 2 * flip * luma) @ color  # Householder's reflection
        hue = draw("hue", any_angle(rng, n), 0.0)[:, None, None]
        color = (hue.cos() * eye + (1 - hue.cos()) * luma + hue.sin() * cross) @ color  # about v
        saturation = draw("saturation", torch.exp2(rng.normal(n, 1, 1)), 1.0)
        return (luma + saturation * (eye - luma)) @ color

    def _draw(self, rng: Draws, p: Tensor, name: str, values: Tensor, neutral: float) -> Tensor:
        """`values` (N, …) with probability p, image by image, else the one that changes nothing."""
        chosen = rng.uniform(len(values), *[1] * (values.dim() - 1)) < p
        if name not in self.config.transformations:
            chosen = torch.zeros_like(chosen)
        return torch.where(chosen, values, neutral)


def any_angle(rng: Draws, n: int) -> Tensor:
    """(N,) from [-pi, pi)."""
    return (2 * rng.uniform(n) - 1) * math.pi


# -- pixels ---------------------------------------------------------------------------------------


def flip_and_turn(x: Tensor, flip: Tensor, turns: Tensor) -> Tensor:
    """Mirror left and right where `flip` (N,) is 1, then `turns` (N,) quarter turns
    counter-clockwise, exactly. Odd ones do not fit an image that is no square, and are left out."""
    flip, turns = (value[:, None, None, None] for value in (flip, turns))
    x = torch.where(flip == 1, x.flip(3), x)
    x = torch.where(turns >= 2, x.flip(2, 3), x)
    return torch.where(turns % 2 == 1, x.rot90(1, (2, 3)), x) if x.shape[2] == x.shape[3] else x


def recolor(x: Tensor, color: Tensor) -> Tensor:
    """Apply maps (N, 3, 4) to the colour channels of x; gray is a colour of three equal parts."""
    channels = x.shape[1]
    image, alpha = x.tensor_split([channels - 1 + channels % 2], dim=1)
    matrix, offset = color[:, :, :3], color[:, :, 3:]  # (N, 3, 3), (N, 3, 1)
    if channels <= 2:
        matrix, offset = matrix.sum((1, 2)).view(-1, 1, 1) / 3, offset.mean(1, keepdim=True)
    mixed = matrix @ image.flatten(2) + offset
    return torch.cat([mixed.view_as(image), alpha], dim=1)


# -- maps of the plane, homogeneous: x to the right, y down, from the middle of the image ----------


def translation(by: Tensor) -> Tensor:
    """(N, 2) pixels to the right and down -> (N, 3, 3)."""
    one, (right, down) = torch.ones_like(by[:, 0]), by.unbind(1)
    return _matrix([[one, 0 * one, right], [0 * one, one, down], [0 * one, 0 * one, one]])


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """(N,), (N,) -> (N, 3, 3)."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def rotation(angle: Tensor) -> Tensor:
    """(N,), clockwise as one sees it, since y goes down -> (N, 3, 3)."""
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return _matrix([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


# -- resampling without aliases -------------------------------------------------------------------

SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
"""The low-pass of Daubechies' least asymmetric wavelet of 12 taps (symlet 6)."""
DELAY = sum(tap * weight for tap, weight in enumerate(SYM6)) / sum(SYM6)
"""Where its middle lies, in taps: upsampled, pixel k is at 2 k + DELAY."""


def warp(x: Tensor, source: Tensor) -> Tensor:
    """Let each pixel of (N, C, H, W) show what `source` (N, 3, 3) says that it came from.

    As in the paper, the image goes on beyond its border by reflection, is upsampled by 2 with the
    wavelet's low-pass, looked up bilinearly, and downsampled with the same low-pass. The filter is
    orthogonal to its own even shifts, so that a shift by whole pixels is exact. Reflected for ever,
    an image is periodic: of one period any map finds its pixels, and there is no border to meet.
    """
    moved = (source != torch.eye(3, device=x.device)).flatten(1).any(1)
    if x.device.type == "cuda":  # to know how many there are, the processor would have to wait
        return torch.where(moved[:, None, None, None], _warped(x, source), x)
    if not moved.any():
        return x
    return x.index_put((moved,), _warped(x[moved], source[moved]))


def _warped(x: Tensor, source: Tensor) -> Tensor:
    """`warp` of every image."""
    _, _, height, width = x.shape
    (up_y, down_y), (up_x, down_x) = (resamplers(side, x.device) for side in (height, width))
    # what a pixel is made of: its taps, in pixels from the image's middle
    xs, ys = (
        (torch.arange(down.shape[1], device=x.device) - DELAY - side + 1) / 2
        for down, side in ((down_x, width), (down_y, height))
    )
    taps = torch.stack(
        [xs.expand(len(ys), -1), ys[:, None].expand(-1, len(xs)), xs.new_ones(len(ys), len(xs))]
    )  # (3, 2H + 10, 2W + 10)
    found = (source @ taps.flatten(1))[:, :2].unflatten(2, taps.shape[1:])
    grid = torch.stack(
        [
            # the place in the period's samples, of which the last is the first again; from -1 to 1
            ((2 * place + side - 1 + DELAY) / (len(up) - 1)).remainder(1) * 2 - 1
            for place, side, up in ((found[:, 0], width, up_x), (found[:, 1], height, up_y))
        ],
        dim=3,
    )  # (n, 2H + 10, 2W + 10, 2)
    large = up_y @ x @ up_x.T  # (n, C, 4H - 3, 4W - 3)
    large = grid_sample(large, grid, mode="bilinear", align_corners=True)  # (…, 2H + 10, 2W + 10)
    return down_y @ large @ down_x.T


@functools.lru_cache(maxsize=16)
def _constant(rows: tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    """Of a GPU it is made once: what comes from the processor makes that wait."""
    with torch.inference_mode(False):
        return torch.tensor(rows, device=device, dtype=torch.float32)


@functools.lru_cache(maxsize=16)
def resamplers(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Matrices that upsample and downsample one axis by 2.

    Upsampling (4 side - 3, side) makes one period of the reflected axis, and its first sample
    again; downsampling (side, 2 side + 10) takes tap t of pixel k from sample 2 k + t.
    """
    period = max(2 * side - 2, 1)
    up, down = np.zeros((2 * period + 1, side)), np.zeros((side, 2 * side + len(SYM6) - 2))
    for tap, weight in enumerate(SYM6):
        for pixel in range(period):
            up[(2 * pixel + tap) % (2 * period), min(pixel, period - pixel)] += weight * math.sqrt(
                2
            )
        for pixel in range(side):
            down[pixel, 2 * pixel + tap] = weight / math.sqrt(2)
    up[-1] = up[0]
    with torch.inference_mode(False):  # whoever asks first, training may use them
        return tuple(
            torch.tensor(matrix, dtype=torch.float32, device=device) for matrix in (up, down)
        )
