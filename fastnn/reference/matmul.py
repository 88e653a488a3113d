"""Matrix products, linear layers, broadcast arithmetic and reductions."""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math

import numpy as np

from . import activation as activations
from .array import Array, like, unbroadcast

Axes = int | tuple[int, ...] | None


def matmul(a: Array, b: Array, alpha: float = 1.0, beta: float = 0.0, c: Array | None = None) -> Array:
    """alpha a b + beta c, with numpy.matmul's shapes: a (..., m, k), b (..., k, n) and the result (..., m, n).

    Leading dimensions broadcast. A 1-D a is a row, a 1-D b a column, whose axis of size 1 the result does not have.
    c broadcasts to the result's shape; with beta 0 it is not read.
    """
    y = np.matmul(a, b)
    if alpha != 1.0:
        y = alpha * y
    if c is not None and beta != 0.0:
        y = y + beta * c
    return y


def matmul_backward(dy: Array, a: Array, b: Array, alpha: float = 1.0) -> tuple[Array, Array]:
    """(da, db) = alpha (dy b^T, a^T dy), summed over the leading dimensions along which a or b was broadcast."""
    if a.ndim == 1:
        dy = dy[..., np.newaxis] if b.ndim == 1 else np.expand_dims(dy, -2)
    if b.ndim == 1:
        dy = dy[..., np.newaxis]
    rows = a[np.newaxis, :] if a.ndim == 1 else a
    columns = b[:, np.newaxis] if b.ndim == 1 else b
    da = unbroadcast(alpha * np.matmul(dy, columns.swapaxes(-1, -2)), rows.shape)
    db = unbroadcast(alpha * np.matmul(rows.swapaxes(-1, -2), dy), columns.shape)
    return da.reshape(a.shape), db.reshape(b.shape)


def linear(x: Array, weight: Array, bias: Array | None = None, activation: str | None = None) -> Array:
    """activation(x weight^T + bias). x (..., in), weight (out, in), bias (out,); the result is (..., out).

    activation: the name of a function in the activation family, called with its default arguments, or None.
    """
    y = np.matmul(x, weight.T)
    if bias is not None:
        y = y + bias
    return y if activation is None else getattr(activations, activation)(y)


def linear_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias) = (dy weight, dy^T x, sum of dy over all but its last axis).

    dy (..., out) is the gradient before the activation: undo an activation first, with its own backward.
    """
    out, features = weight.shape
    rows = math.prod(x.shape[:-1])
    dy_rows = dy.reshape(rows, out)
    dweight = np.matmul(dy_rows.T, x.reshape(rows, features))
    return np.matmul(dy, weight), dweight, dy_rows.sum(axis=0)


def add(a: Array, b: Array) -> Array:
    """a + b, broadcast."""
    return a + b


def add_backward(dy: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """(da, db), each dy summed to the operand's shape."""
    return unbroadcast(dy, a.shape), unbroadcast(dy, b.shape)


def multiply(a: Array, b: Array) -> Array:
    """a b element by element, broadcast."""
    return a * b


def multiply_backward(dy: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """(da, db) = (dy b, dy a), each summed to the operand's shape."""
    return unbroadcast(dy * b, a.shape), unbroadcast(dy * a, b.shape)


def scale(x: Array, s: float) -> Array:
    """s x for a number s."""
    return x * like(s, x)


def scale_backward(dy: Array, s: float) -> Array:
    """dx = s dy."""
    return dy * like(s, dy)


def sum(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """The sum over axis: all of x when None, one axis or several."""
    return np.asarray(x.sum(axis=axis, keepdims=keepdims))


def sum_backward(dy: Array, x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """dy repeated over the axes that were summed."""
    dy = like(dy, x)
    if axis is not None and not keepdims:
        dy = np.expand_dims(dy, axis)
    return np.broadcast_to(dy, x.shape).copy()


@np.errstate(invalid="ignore", divide="ignore")
def mean(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """The mean over axis: all of x when None, one axis or several; NaN over nothing."""
    return np.asarray(x.sum(axis=axis, keepdims=keepdims) / like(_count(x, axis), x))


def mean_backward(dy: Array, x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """dy over the number of elements, repeated over the axes that were averaged."""
    return sum_backward(dy, x, axis, keepdims) / like(_count(x, axis), x)


def _count(x: Array, axis: Axes) -> int:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return math.prod(x.shape[a] for a in axes)
