"""Sums to a shape, in-place sums, copies and concatenation. add, multiply and scale stand in fastnn.reference.matmul."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .array import Array, unbroadcast


def sum_to(x: Array, shape: Sequence[int]) -> Array:
    """x summed over the axes along which an array of `shape` would be broadcast to x's shape."""
    if np.broadcast_shapes(tuple(shape), x.shape) != x.shape:
        raise ValueError(f"shape must broadcast to x's shape {x.shape}, got {tuple(shape)}")
    return unbroadcast(x, tuple(shape))


def add_(y: Array, x: Array) -> Array:
    """y += x in place."""
    y += x
    return y


def copy(x: Array) -> Array:
    """x in C order."""
    return np.array(x, order="C")


def concatenate(arrays: Sequence[Array], axis: int = -1) -> Array:
    """The arrays joined along axis."""
    return np.concatenate(arrays, axis)


def concatenate_backward(dy: Array, sizes: Sequence[int], axis: int = -1) -> list[Array]:
    """The pieces of dy along axis."""
    return np.split(dy, np.cumsum(sizes)[:-1], axis)
