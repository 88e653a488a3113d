"""Padding and cropping of x's last axes, one after the other.

Element j of a padded axis stands at position p = j - before of x's axis of n elements. Outside of 0 <= p < n it is
    constant    `value`
    reflect     x at -p or 2 (n - 1) - p
    replicate   x at the nearer end
    circular    x at p modulo n, the axis being cropped first where before or after is negative.
Backward adds each element's gradient to that of the element of x that it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .array import Array


def _sources(shape: Sequence[int], padding: Sequence[int], mode: str) -> Iterator[tuple[int, Array]]:
    """(axis, index in x of each element, or -1) for each padded axis, the last one first."""
    for i in range(len(padding) // 2):
        axis, before, after = len(shape) - 1 - i, padding[2 * i], padding[2 * i + 1]
        n = shape[axis]
        p = np.arange(-before, n + after)
        if mode == "constant":
            p = np.where((p >= 0) & (p < n), p, -1)
        elif mode == "reflect":
            p = np.where(p < 0, -p, np.where(p >= n, 2 * (n - 1) - p, p))
        elif mode == "replicate":
            p = p.clip(0, n - 1)
        elif mode == "circular":
            first, end = max(-before, 0), n - max(-after, 0)
            p = first + (p - first) % max(end - first, 1)
        else:
            raise ValueError(f"pad: there is no mode {mode!r}")
        yield axis, p


def _along(values: Array, axis: int, ndim: int) -> Array:
    return values.reshape((-1,) + (1,) * (ndim - 1 - axis))


def pad(x: Array, padding: Sequence[int], mode: str = "constant", value: float = 0.0) -> Array:
    """padding: (before, after) of the last axis, then of the one before it, and so on."""
    for axis, source in _sources(x.shape, padding, mode):
        if x.shape[axis] == 0:
            x = np.full(x.shape[:axis] + (len(source),) + x.shape[axis + 1 :], value, x.dtype)
        else:
            x = np.where(_along(source, axis, x.ndim) < 0, x.dtype.type(value), x.take(source, axis))
    return x


def pad_backward(dy: Array, x_shape: Sequence[int], padding: Sequence[int], mode: str = "constant") -> Array:
    """dx, of x_shape."""
    for axis, source in _sources(x_shape, padding, mode):
        dx = np.zeros(dy.shape[:axis] + (x_shape[axis],) + dy.shape[axis + 1 :], dy.dtype)
        kept = source >= 0
        np.add.at(np.moveaxis(dx, axis, 0), source[kept], np.moveaxis(dy, axis, 0)[kept])
        dy = dx
    return dy
