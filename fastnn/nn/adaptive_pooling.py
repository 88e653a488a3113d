"""Adaptive pooling: AdaptiveMaxPool and AdaptiveAvgPool in one, two and three dimensions, whose windows follow from the output's size."""

from __future__ import annotations

from typing import Any

from fastnn.kernels import adaptive_avg_pool, adaptive_avg_pool_backward, adaptive_max_pool, adaptive_max_pool_backward
from fastnn.nn.arguments import positive_int
from fastnn.nn.module import Array
from fastnn.nn.pooling import Pool

OutputSize = int | None | tuple[int | None, ...]


class AdaptivePool(Pool):
    """y has output_size along the pooled axes, or x's size where that is None: a number for all axes, or one for each.

    Window o of n along an axis goes from floor(o size / n) to ceil((o + 1) size / n).
    """

    def __init__(self, output_size: OutputSize) -> None:
        self.output_size = output_size
        several = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * len(self.axes)
        if len(several) != len(self.axes):
            raise ValueError(f"output_size must be a number or have one for each of the {len(self.axes)} pooled axes, got {output_size!r}")
        self._output_size = tuple(None if n is None else positive_int(n, "output_size", 0) for n in several)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool(AdaptivePool):
    """The average of each window."""

    def forward(self, x: Array) -> Array:
        shape = self.check(x)
        if self.training:
            self._saved = shape
        return adaptive_avg_pool(x, self._output_size)

    def backward(self, dy: Array) -> Array | None:
        shape = self.saved()
        return adaptive_avg_pool_backward(dy, shape, self._output_size) if self.needs_input_grad else None


class AdaptiveAvgPool1d(AdaptiveAvgPool):
    """AdaptiveAvgPool of (N, C, L) or (C, L)."""

    axes = "L"


class AdaptiveAvgPool2d(AdaptiveAvgPool):
    """AdaptiveAvgPool of (N, C, H, W) or (C, H, W)."""

    axes = "HW"


class AdaptiveAvgPool3d(AdaptiveAvgPool):
    """AdaptiveAvgPool of (N, C, D, H, W) or (C, D, H, W)."""

    axes = "DHW"


class AdaptiveMaxPool(AdaptivePool):
    """The maximum of each window; with return_indices (y, indices), the position of each maximum in its plane, int64."""

    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x: Array) -> Any:
        shape = self.check(x)
        y, indices = adaptive_max_pool(x, self._output_size, "flat" if self.return_indices else "window" if self.training else None)
        if self.training:
            self._saved = indices, shape
        return (y, indices) if self.return_indices else y

    def backward(self, dy: Array, dindices: None = None) -> Array | None:
        indices, shape = self.saved()
        return adaptive_max_pool_backward(dy, indices, shape, self._output_size) if self.needs_input_grad else None


class AdaptiveMaxPool1d(AdaptiveMaxPool):
    """AdaptiveMaxPool of (N, C, L) or (C, L)."""

    axes = "L"


class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """AdaptiveMaxPool of (N, C, H, W) or (C, H, W)."""

    axes = "HW"


class AdaptiveMaxPool3d(AdaptiveMaxPool):
    """AdaptiveMaxPool of (N, C, D, H, W) or (C, D, H, W)."""

    axes = "DHW"
