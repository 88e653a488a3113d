"""Power-average pooling: LPPool in one, two and three dimensions."""

from __future__ import annotations

from fastnn.kernels import lp_pool, lp_pool_backward
from fastnn.nn.arguments import number_between
from fastnn.nn.module import Array
from fastnn.nn.pooling import Pool, Size


class LPPool(Pool):
    """y = (sum of x^norm_type)^(1 / norm_type) over each window of x's last axes.

    A window that ceil_mode cuts off gives what its average would sum up to in a whole one. Windows whose sum is 0 have no gradient.
    """

    def __init__(self, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False) -> None:
        self.norm_type = number_between(norm_type, "norm_type", -1e300, 1e300)
        if self.norm_type == 0:
            raise ValueError("norm_type must not be 0")
        self.kernel_size, self.stride, self.ceil_mode = kernel_size, stride, ceil_mode
        self._windows = (
            self.norm_type, self.sizes(kernel_size, "kernel_size"), self.sizes(kernel_size if stride is None else stride, "stride"),
            ceil_mode,
        )  # fmt: skip

    def forward(self, x: Array) -> Array:
        self.check(x)
        y, mean = lp_pool(x, *self._windows)
        if self.training:
            self._saved = x, mean
        return y

    def backward(self, dy: Array) -> Array | None:
        x, mean = self.saved()
        return lp_pool_backward(dy, x, mean, *self._windows) if self.needs_input_grad else None

    def extra_repr(self) -> str:
        return f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, ceil_mode={self.ceil_mode}"


class LPPool1d(LPPool):
    """LPPool of (N, C, L) or (C, L)."""

    axes = "L"


class LPPool2d(LPPool):
    """LPPool of (N, C, H, W) or (C, H, W)."""

    axes = "HW"


class LPPool3d(LPPool):
    """LPPool of (N, C, D, H, W) or (C, D, H, W)."""

    axes = "DHW"
