"""Upsample and its two fixed modes for images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastnn.kernels import upsample, upsample_backward
from fastnn.kernels.upsample import MODES
from fastnn.nn.module import Array, Module

Numbers = int | float | Sequence[float]


class Upsample(Module):
    """Resamples (N, C, L), (N, C, H, W) or (N, C, D, H, W) along the axes behind N and C.

    size: their new sizes, or scale_factor: how many times the old ones (rounded down); a number or one for each axis. mode: "nearest",
    or "linear", "bilinear" or "trilinear" for one, two or three axes. align_corners, for the linear ones: the first and last elements
    of input and output fall together, rather than their outer edges. recompute_scale_factor: positions follow from the rounded sizes.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: Numbers | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        self.size = tuple(size) if isinstance(size, Sequence) else size
        self.scale_factor = tuple(scale_factor) if isinstance(scale_factor, Sequence) else scale_factor
        self.mode, self.align_corners, self.recompute_scale_factor = mode, align_corners, recompute_scale_factor

    def forward(self, x: Array) -> Array:
        y = upsample(x, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)
        if self.training:
            self._saved = (np.shape(x),)
        return y

    def backward(self, dy: Array) -> Array | None:
        (shape,) = self.saved()
        if not self.needs_input_grad:
            return None
        return upsample_backward(dy, shape, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)

    def extra_repr(self) -> str:
        what = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{what}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Upsample of images, (N, C, H, W), by the nearest pixel."""

    def __init__(self, size: int | Sequence[int] | None = None, scale_factor: Numbers | None = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Upsample of images, (N, C, H, W), bilinear with aligned corners."""

    def __init__(self, size: int | Sequence[int] | None = None, scale_factor: Numbers | None = None) -> None:
        super().__init__(size, scale_factor, "bilinear", align_corners=True)
