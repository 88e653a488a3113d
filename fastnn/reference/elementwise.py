"""Sums, products, copies and concatenation, broadcast as NumPy does.

Backward of a broadcast: the gradient is summed over the axes along which the operand was repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .array import Array, like


def sum_to(x: Array, shape: Sequence[int]) -> Array:
    """x summed over the axes along which an array of `shape` would be broadcast to x's shape."""
    lead = x.ndim - len(shape)
    if np.broadcast_shapes(tuple(shape), x.shape) != x.shape:
        raise ValueError(f"shape must broadcast to x's shape {x.shape}, got {tuple(shape)}")
    axes = tuple(i for i in range(x.ndim) if i < lead or shape[i - lead] != x.shape[i])
    return np.asarray(x.sum(axis=axes)).reshape(tuple(shape))


def add(a: Array, b: Array) -> Array:
    """a + b."""
    return np.asarray(a + b)


def add_backward(dy: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """da = dy, db = dy, summed to the operands' shapes."""
    return sum_to(dy, a.shape), sum_to(dy, b.shape)


def add_(y: Array, x: Array) -> Array:
    """y += x in place."""
    y += x
    return y


def multiply(a: Array, b: Array) -> Array:
    """a b."""
    return np.asarray(a * b)


def multiply_backward(dy: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """da = dy b, db = dy a, summed to the operands' shapes."""
    return sum_to(dy * b, a.shape), sum_to(dy * a, b.shape)


def scale(x: Array, s: float) -> Array:
    """s x, s being rounded to x's dtype."""
    return np.asarray(x * like(s, x))


def scale_backward(dy: Array, s: float) -> Array:
    """s dy."""
    return scale(dy, s)


def copy(x: Array) -> Array:
    """x in C order."""
    return np.array(x, order="C")


def concatenate(arrays: Sequence[Array], axis: int = -1) -> Array:
    """The arrays joined along axis."""
    return np.concatenate(arrays, axis)


def concatenate_backward(dy: Array, sizes: Sequence[int], axis: int = -1) -> list[Array]:
    """The pieces of dy along axis."""
    return np.split(dy, np.cumsum(sizes)[:-1], axis)
