"""Resampling of the axes behind batch and channels, each by a matrix: y = M x, dx = M^T dy.

Row j of an axis' matrix, for n elements of x and m of y, with s the elements of x for each of y (1 / scale_factor, or n / m):
    nearest   1 at min(floor(j s), n - 1), computed in float32; for images (two axes) s is n / m also where m is n or 2 n by a scale_factor
    linear    1 - w at k and w at k + 1, for the position k + w = max(s (j + 1/2) - 1/2, 0), or j (n - 1) / (m - 1) where the corners are
              aligned. Behind the last element there is none, so k = n - 1 has all the weight; and for n = m, y = x.
Positions are computed in x's dtype, and k as the floor of the position in float32, as PyTorch does.
"""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .array import Array


def _matrix(n: int, m: int, factor: float | None, mode: str, align_corners: bool | None, dtype: Any) -> Array:
    """The m by n matrix of one axis."""
    j, kind = np.arange(m), np.dtype(dtype).type
    matrix = np.zeros((m, n), dtype)
    scale = n / m if factor is None else 1 / factor
    if mode == "nearest":
        k = np.floor(j.astype(np.float32) * np.float32(scale)).astype(int)
        matrix[j, k.clip(max=n - 1)] = 1
        return matrix
    if n == m:
        return np.eye(n, dtype=dtype)
    if align_corners:
        at = kind((n - 1) / (m - 1) if m > 1 else 0) * j.astype(dtype)
    else:
        at = np.maximum(kind(scale) * (j.astype(dtype) + kind(0.5)) - kind(0.5), 0)
    k = np.floor(at.astype(np.float32)).astype(int).clip(max=n - 1)
    w = np.where(k < n - 1, (at - k.astype(dtype)).clip(0, 1), 0).astype(dtype)
    matrix[j, k] = 1 - w
    matrix[j[k < n - 1], k[k < n - 1] + 1] = w[k < n - 1]
    return matrix


def _matrices(
    x_shape: Sequence[int], size: Any, scale_factor: Any, mode: str, align_corners: bool | None, recompute: bool | None, dtype: Any
) -> list[Array]:
    spatial = x_shape[2:]

    def each(value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, (tuple, list)) else (value,) * len(spatial)

    factors = each(scale_factor)
    sizes = each(size) if size is not None else tuple(math.floor(n * s) for n, s in zip(spatial, factors, strict=True))
    if recompute:
        factors = (None,) * len(spatial)
    if mode == "nearest" and len(spatial) == 2:
        factors = tuple(None if m in (n, 2 * n) else s for n, m, s in zip(spatial, sizes, factors, strict=True))
    return [_matrix(n, m, s, mode, align_corners, dtype) for n, m, s in zip(spatial, sizes, factors, strict=True)]


def _apply(matrix: Array, x: Array, axis: int) -> Array:
    return np.ascontiguousarray(np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis))


def upsample(
    x: Array, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Array:  # fmt: skip
    """x (N, C, …) resampled to `size`, or by scale_factor: a number or one for each axis."""
    for axis, matrix in enumerate(_matrices(x.shape, size, scale_factor, mode, align_corners, recompute_scale_factor, x.dtype)):
        x = _apply(matrix, x, axis + 2)
    return x


def upsample_backward(
    dy: Array, x_shape: Sequence[int], size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Array:  # fmt: skip
    """dx, of x_shape."""
    for axis, matrix in enumerate(_matrices(x_shape, size, scale_factor, mode, align_corners, recompute_scale_factor, dy.dtype)):
        dy = _apply(matrix.T, dy, axis + 2)
    return dy
