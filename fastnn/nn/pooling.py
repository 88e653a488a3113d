"""Pooling of windows: MaxPool and AvgPool in one, two and three dimensions."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastnn.kernels import avg_pool, avg_pool_backward, max_pool, max_pool_backward
from fastnn.nn.arguments import positive_int
from fastnn.nn.module import Array, Module

Size = int | tuple[int, ...]


class Pool(Module):
    """What pooling layers share. `axes` names the pooled ones: x is (N, C, *axes) or (C, *axes)."""

    axes: ClassVar[str]

    def sizes(self, value: Any, name: str, minimum: int = 1) -> tuple[int, ...]:
        """`value`, a number or one for each pooled axis, as a tuple."""
        dims = len(self.axes)
        several = tuple(value) if isinstance(value, (tuple, list)) else (value,) * dims
        if len(several) != dims:
            raise ValueError(f"{name} must be a number or have one for each of the {dims} pooled axes, got {value!r}")
        return tuple(positive_int(size, name, minimum) for size in several)

    def check(self, x: Array) -> tuple[int, ...]:
        """x's shape; ValueError unless it has as many axes as it should."""
        shape = np.shape(x)
        if len(shape) - len(self.axes) not in (1, 2):
            axes = ", ".join(self.axes)
            raise ValueError(f"x must have shape (N, C, {axes}) or (C, {axes}), got {shape}")
        return shape


class MaxPool(Pool):
    """The maximum of each window of x's last axes; NaN where it has one.

    stride: None is kernel_size. padding: at most half of kernel_size, of -inf. dilation: the distance of a window's elements. ceil_mode: also
    the windows that end behind the padded input. return_indices: return (y, indices), the position of each maximum in its plane, int64.
    """

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.return_indices, self.ceil_mode = padding, dilation, return_indices, ceil_mode
        self._windows = (
            self.sizes(kernel_size, "kernel_size"), self.sizes(self.stride, "stride"), self.sizes(padding, "padding", 0),
            self.sizes(dilation, "dilation"), ceil_mode,
        )  # fmt: skip

    def forward(self, x: Array) -> Any:
        shape = self.check(x)
        y, indices = max_pool(x, *self._windows, "flat" if self.return_indices else "window" if self.training else None)
        if self.training:
            self._saved = indices, shape
        return (y, indices) if self.return_indices else y

    def backward(self, dy: Array, dindices: None = None) -> Array | None:
        indices, shape = self.saved()
        return max_pool_backward(dy, indices, shape, *self._windows) if self.needs_input_grad else None

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(MaxPool):
    """MaxPool of (N, C, L) or (C, L)."""

    axes = "L"


class MaxPool2d(MaxPool):
    """MaxPool of (N, C, H, W) or (C, H, W)."""

    axes = "HW"


class MaxPool3d(MaxPool):
    """MaxPool of (N, C, D, H, W) or (C, D, H, W)."""

    axes = "DHW"


class AvgPool(Pool):
    """The average of each window of x's last axes.

    stride, padding (of zeros), ceil_mode: as in MaxPool. Sums are divided by the number of the window's elements, those in the padding
    included if count_include_pad, or by divisor_override.
    """

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override = padding, ceil_mode, count_include_pad, divisor_override
        self._windows = (
            self.sizes(kernel_size, "kernel_size"), self.sizes(self.stride, "stride"), self.sizes(padding, "padding", 0),
            ceil_mode, count_include_pad, divisor_override,
        )  # fmt: skip

    def forward(self, x: Array) -> Array:
        shape = self.check(x)
        if self.training:
            self._saved = shape
        return avg_pool(x, *self._windows)

    def backward(self, dy: Array) -> Array | None:
        shape = self.saved()
        return avg_pool_backward(dy, shape, *self._windows) if self.needs_input_grad else None

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(AvgPool):
    """AvgPool of (N, C, L) or (C, L)."""

    axes = "L"

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)


class AvgPool2d(AvgPool):
    """AvgPool of (N, C, H, W) or (C, H, W)."""

    axes = "HW"


class AvgPool3d(AvgPool):
    """AvgPool of (N, C, D, H, W) or (C, D, H, W)."""

    axes = "DHW"
