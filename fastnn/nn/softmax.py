"""Softmax, Softmax2d, Softmin and LogSoftmax: activations over one axis."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from fastnn.kernels import log_softmax, log_softmax_backward, softmax, softmax_backward, softmin, softmin_backward
from fastnn.nn.module import Array, Module


class _Normalised(Module):
    """What the three share. `dim` None is PyTorch's choice: axis 0 for 0, 1 and 3 dimensions, else axis 1."""

    _forward: Callable[..., Array]
    _backward: Callable[..., Array]

    def __init__(self, dim: int | None = None) -> None:
        self.dim = None if dim is None else index(dim)

    def axis(self, x: Any) -> int:
        if self.dim is not None:
            return self.dim
        return 0 if np.ndim(x) in (0, 1, 3) else 1

    def forward(self, x: Array) -> Array:
        axis = self.axis(x)
        y = self._forward(x, axis)
        if self.training:
            self._saved = y, axis
        return y

    def backward(self, dy: Array) -> Array:
        y, axis = self.saved()
        return self._backward(dy, y, axis)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_Normalised):
    """exp(x) / sum(exp(x)) over the axis `dim`."""

    _forward = staticmethod(softmax)
    _backward = staticmethod(softmax_backward)


class Softmax2d(Softmax):
    """Softmax over the channels of (N, C, H, W) or (C, H, W), at each pixel."""

    def __init__(self) -> None:
        super().__init__(-3)

    def axis(self, x: Any) -> int:
        if np.ndim(x) not in (3, 4):
            raise ValueError(f"x must have shape (N, C, H, W) or (C, H, W), got {np.shape(x)}")
        return -3

    def extra_repr(self) -> str:
        return ""


class Softmin(_Normalised):
    """Softmax of -x over the axis `dim`."""

    _forward = staticmethod(softmin)
    _backward = staticmethod(softmin_backward)


class LogSoftmax(_Normalised):
    """log(softmax(x)) over the axis `dim`."""

    _forward = staticmethod(log_softmax)
    _backward = staticmethod(log_softmax_backward)
