"""Element-wise activation layers."""

from __future__ import annotations

from fastnn.kernels import relu, relu_backward, tanh, tanh_backward
from fastnn.nn.module import Array, Module


class ReLU(Module):
    """max(x, 0). `inplace` is accepted and without effect."""

    def __init__(self, inplace: bool = False) -> None:
        pass

    def forward(self, x: Array) -> Array:
        y = relu(x)
        if self.training:
            self._saved = y
        return y

    def backward(self, dy: Array) -> Array:
        return relu_backward(dy, self.saved())


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Array) -> Array:
        y = tanh(x)
        if self.training:
            self._saved = y
        return y

    def backward(self, dy: Array) -> Array:
        return tanh_backward(dy, self.saved())
