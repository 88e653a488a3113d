"""What every module of the reference uses: the array type and the reverse of broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def unbroadcast(dy: Array, shape: tuple[int, ...]) -> Array:
    """Sum dy over the axes along which an operand of this shape was broadcast, so that the result has `shape`."""
    dy = dy.sum(axis=tuple(range(dy.ndim - len(shape))))
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1 and dy.shape[axis] != 1)
    return np.asarray(dy.sum(axis=stretched, keepdims=True))


def like(value: Any, x: Array) -> Array:
    """value as an array of x's dtype: a gradient that was given as a Python float must not widen float32 to float64."""
    return np.asarray(value, dtype=x.dtype)
