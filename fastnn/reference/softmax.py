"""Softmax and its logarithm along one axis, shifted by the largest element so that no exponential overflows.

x, y, dy, dx: the same shape, any; axis: the one that is normalised. Backwards take the forward's output y. An axis of size 0 gives
an empty result. A row with NaN or +inf, or with nothing but -inf, is NaN throughout, as in PyTorch.
"""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import numpy as np

from .array import Array


@np.errstate(invalid="ignore")
def _shifted(x: Array, axis: int) -> Array:
    return x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)


@np.errstate(invalid="ignore")
def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x))."""
    e = np.exp(_shifted(x, axis))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_backward(dy: Array, y: Array, axis: int = -1) -> Array:
    """dx = y (dy - sum(dy y))."""
    return y * (dy - (dy * y).sum(axis=axis, keepdims=True))


def softmin(x: Array, axis: int = -1) -> Array:
    """softmax(-x)."""
    return softmax(-x, axis)


def softmin_backward(dy: Array, y: Array, axis: int = -1) -> Array:
    """dx = -y (dy - sum(dy y))."""
    return -softmax_backward(dy, y, axis)


@np.errstate(invalid="ignore", divide="ignore")
def log_softmax(x: Array, axis: int = -1) -> Array:
    """log(softmax(x)) = x - max(x) - log(sum(exp(x - max(x))))."""
    z = _shifted(x, axis)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))


def log_softmax_backward(dy: Array, y: Array, axis: int = -1) -> Array:
    """dx = dy - exp(y) sum(dy)."""
    return dy - np.exp(y) * dy.sum(axis=axis, keepdims=True)
