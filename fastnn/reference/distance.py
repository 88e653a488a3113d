"""How alike two arrays are row by row. x1 and x2 broadcast; the backwards return (dx1, dx2), each of its own array's shape."""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import numpy as np

from .array import Array, like, unbroadcast


def _sums(x1: Array, x2: Array, dim: int) -> tuple[Array, Array, Array, Array, Array]:
    """x1 and x2 in one shape, and the sums of x1 x2, x1² and x2² along dim."""
    x1, x2 = np.broadcast_arrays(x1, x2)
    return x1, x2, *((a * b).sum(axis=dim, keepdims=True) for a, b in ((x1, x2), (x1, x1), (x2, x2)))


@np.errstate(divide="ignore", invalid="ignore")
def cosine_similarity(x1: Array, x2: Array, dim: int = 1, eps: float = 1e-8) -> Array:
    """x1·x2 / (max(|x1|, eps) max(|x2|, eps)) along the axis `dim`, which the result does not have."""
    _, _, dot, square1, square2 = _sums(x1, x2, dim)
    return (dot / (np.maximum(np.sqrt(square1), eps) * np.maximum(np.sqrt(square2), eps))).squeeze(dim)


@np.errstate(divide="ignore", invalid="ignore")
def cosine_similarity_backward(dy: Array, x1: Array, x2: Array, dim: int = 1, eps: float = 1e-8) -> tuple[Array, Array]:
    """dx1 = dy (x2 / (|x1| |x2|) - y x1 / |x1|²), without the second term where |x1| < eps; dx2 likewise."""
    wide1, wide2, dot, square1, square2 = _sums(x1, x2, dim)
    norm1, norm2 = np.maximum(np.sqrt(square1), eps), np.maximum(np.sqrt(square2), eps)
    g = np.expand_dims(like(dy, x1), dim)
    own1 = np.where(np.sqrt(square1) < eps, 0, dot / (norm1 * norm2 * square1))
    own2 = np.where(np.sqrt(square2) < eps, 0, dot / (norm1 * norm2 * square2))
    cross = 1 / (norm1 * norm2)
    return unbroadcast(g * (cross * wide2 - own1 * wide1), x1.shape), unbroadcast(g * (cross * wide1 - own2 * wide2), x2.shape)


def pairwise_distance(x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Array:
    """(sum over the last axis of |x1 - x2 + eps|^p)^(1/p): the largest one for p = inf, how many are not 0 for p = 0."""
    d = np.abs(x1 - x2 + like(eps, x1))
    if p == np.inf:
        return np.asarray(d.max(axis=-1, keepdims=keepdim, initial=0))
    if p == 0:
        return np.asarray((d != 0).astype(d.dtype).sum(axis=-1, keepdims=keepdim))
    return np.asarray((d**p).sum(axis=-1, keepdims=keepdim) ** (1 / p))


@np.errstate(divide="ignore", invalid="ignore")
def pairwise_distance_backward(
    dy: Array, x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> tuple[Array, Array]:
    """dx1 = dy sign(d) (|d| / y)^(p - 1) with d = x1 - x2 + eps, 0 where d is 0; dx2 = -dx1. The largest ones share it for p = inf."""
    d, y = x1 - x2 + like(eps, x1), pairwise_distance(x1, x2, p, eps, True)
    if p == np.inf:
        largest = np.abs(d) == y
        slope = largest / largest.sum(axis=-1, keepdims=True)
    else:
        slope = np.zeros_like(d) if p == 0 else (np.abs(d) / y) ** (p - 1)
    g = like(dy, x1) if keepdim else np.expand_dims(like(dy, x1), -1)
    dx = np.where(d == 0, 0, g * np.sign(d) * slope)
    return unbroadcast(dx, x1.shape), unbroadcast(-dx, x2.shape)
