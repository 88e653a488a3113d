"""Layers that change shapes only; their results are views."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from fastnn.nn.arguments import positive_int
from fastnn.nn.module import Array, Module


class Identity(Module):
    """Returns its input. Arguments are accepted and without effect."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, dy: Array) -> Array:
        return dy


def _axis(axis: int, name: str, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ValueError(f"{name} must be between {-ndim} and {ndim - 1} for an input of {ndim} dimensions, got {axis}")
    return axis % ndim


class Flatten(Module):
    """Joins the axes from start_dim to end_dim (both included) into one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Array) -> Array:
        x = np.asarray(x)
        shape = x.shape
        first, last = _axis(self.start_dim, "start_dim", max(x.ndim, 1)), _axis(self.end_dim, "end_dim", max(x.ndim, 1))
        if first > last:
            raise ValueError(f"start_dim must not come after end_dim, got {self.start_dim} and {self.end_dim} for shape {shape}")
        if self.training:
            self._saved = (shape,)
        return x.reshape(shape[:first] + (prod(shape[first : last + 1]),) + shape[last + 1 :])

    def backward(self, dy: Array) -> Array:
        return np.asarray(dy).reshape(self.saved()[0])

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits the axis `dim` into axes of the sizes unflattened_size, of which one may be -1: whatever is left."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim = dim
        self.unflattened_size = tuple(positive_int(size, "unflattened_size", minimum=-1) for size in unflattened_size)
        if not self.unflattened_size or self.unflattened_size.count(-1) > 1:
            raise ValueError(f"unflattened_size must have sizes, at most one of them -1, got {self.unflattened_size}")

    def forward(self, x: Array) -> Array:
        x = np.asarray(x)
        axis = _axis(self.dim, "dim", x.ndim)
        size, known = x.shape[axis], prod(n for n in self.unflattened_size if n != -1)
        if size != known and (-1 not in self.unflattened_size or known == 0 or size % known):
            raise ValueError(f"unflattened_size {self.unflattened_size} must multiply to x's size {size} along axis {axis}")
        sizes = tuple(size // known if n == -1 else n for n in self.unflattened_size)
        if self.training:
            self._saved = (x.shape,)
        return x.reshape(x.shape[:axis] + sizes + x.shape[axis + 1 :])

    def backward(self, dy: Array) -> Array:
        return np.asarray(dy).reshape(self.saved()[0])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
