"""Convolution by way of its columns: all patches as a matrix, then a product."""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from .array import Array

Sizes = int | tuple[int, ...]


def per_axis(value: Sizes, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def margins(padding: Sizes | str, taps: tuple[int, ...], dilation: tuple[int, ...]) -> list[tuple[int, int]]:
    """How many zeros before and after x along each axis."""
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, taps, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(p, p) for p in per_axis(0 if isinstance(padding, str) else padding, len(taps))]


def tap_slices(size: tuple[int, ...], taps: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    """For each tap: where it is, and the elements of the padded x that meet it, one for each of `size` positions."""
    for tap in itertools.product(*map(range, taps)):
        yield tap, tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilation, size, stride, strict=True))


def columns(x: Array, taps: tuple[int, ...], stride: Sizes, padding: Sizes | str, dilation: Sizes) -> Array:
    """All patches of x (N, C, …): (N, C, product of taps, positions …)."""
    axes = len(taps)
    s, d = per_axis(stride, axes), per_axis(dilation, axes)
    padded = np.pad(x, [(0, 0), (0, 0), *margins(padding, taps, d)])
    size = tuple((n - di * (k - 1) - 1) // si + 1 for n, k, si, di in zip(padded.shape[2:], taps, s, d, strict=True))
    return np.stack([padded[(..., *where)] for _, where in tap_slices(size, taps, s, d)], axis=2)


def conv(
    x: Array, weight: Array, bias: Array | None = None, stride: Sizes = 1, padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1
) -> Array:
    """y[n, o, p] = bias[o] + sum over c and taps of weight[o, c, tap] x[n, c, p stride + tap dilation - padding].

    x (N, C, …) or (C, …); weight (O, C / groups, taps …); the result is (N, O, …) or (O, …).
    """
    if x.ndim == weight.ndim - 1:
        return conv(x[np.newaxis], weight, bias, stride, padding, dilation, groups)[0]
    patches = columns(x, weight.shape[2:], stride, padding, dilation)
    n, _, _, *size = patches.shape
    matrix = patches.reshape(n, groups, prod(weight.shape[1:]), prod(size))
    y = np.matmul(weight.reshape(groups, weight.shape[0] // groups, prod(weight.shape[1:])), matrix).reshape(n, weight.shape[0], *size)
    return y if bias is None else y + bias.reshape(-1, *[1] * len(size))


def conv_backward(
    dy: Array, x: Array, weight: Array, stride: Sizes = 1, padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1
) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias) of conv."""
    if x.ndim == weight.ndim - 1:
        dx, dweight, dbias = conv_backward(dy[np.newaxis], x[np.newaxis], weight, stride, padding, dilation, groups)
        return dx[0], dweight, dbias
    taps = weight.shape[2:]
    patches = columns(x, taps, stride, padding, dilation)
    n, size = x.shape[0], dy.shape[2:]
    outputs, k, positions = weight.shape[0] // groups, prod(weight.shape[1:]), prod(size)
    grouped = dy.reshape(n, groups, outputs, positions)
    matrix = patches.reshape(n, groups, k, positions)
    dweight = np.matmul(grouped, matrix.swapaxes(-1, -2)).sum(axis=0).reshape(weight.shape)
    dpatches = np.matmul(weight.reshape(groups, outputs, k).swapaxes(-1, -2), grouped).reshape(n, x.shape[1], prod(taps), *size)
    s, d = per_axis(stride, len(taps)), per_axis(dilation, len(taps))
    around = margins(padding, taps, d)
    padded = np.zeros((*x.shape[:2], *(m + a + b for m, (a, b) in zip(x.shape[2:], around, strict=True))), x.dtype)
    for i, (_, where) in enumerate(tap_slices(size, taps, s, d)):
        padded[(..., *where)] += dpatches[:, :, i]
    inside: tuple[Any, ...] = tuple(slice(a, a + m) for m, (a, _) in zip(x.shape[2:], around, strict=True))
    return padded[(..., *inside)], dweight, dy.sum(axis=(0, *range(2, dy.ndim)))


def conv_transpose(
    x: Array, weight: Array, bias: Array | None = None, stride: Sizes = 1, padding: Sizes = 0, output_padding: Sizes = 0, groups: int = 1,
    dilation: Sizes = 1,
) -> Array:  # fmt: skip
    """The gradient of conv's input, with x for dy, and a bias: x (N, C, …), weight (C, O / groups, taps …), the result (N, O, …)."""
    if x.ndim == weight.ndim - 1:
        return conv_transpose(x[np.newaxis], weight, bias, stride, padding, output_padding, groups, dilation)[0]
    taps, axes = weight.shape[2:], weight.ndim - 2
    geometry = zip(x.shape[2:], taps, *(per_axis(v, axes) for v in (stride, padding, output_padding, dilation)), strict=True)
    size = tuple((n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, k, s, p, o, d in geometry)
    like = np.zeros((x.shape[0], weight.shape[1] * groups, *size), x.dtype)
    y = conv_backward(x, like, weight, stride, padding, dilation, groups)[0]
    return y if bias is None else y + bias.reshape(-1, *[1] * axes)


def conv_transpose_backward(
    dy: Array, x: Array, weight: Array, stride: Sizes = 1, padding: Sizes = 0, output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1
) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias) of conv_transpose, whatever its output_padding."""
    if x.ndim == weight.ndim - 1:
        dx, dweight, dbias = conv_transpose_backward(dy[np.newaxis], x[np.newaxis], weight, stride, padding, output_padding, groups, dilation)
        return dx[0], dweight, dbias
    dx = conv(dy, weight, None, stride, padding, dilation, groups)
    dweight = conv_backward(x, dy, weight, stride, padding, dilation, groups)[1]
    return dx, dweight, dy.sum(axis=(0, *range(2, dy.ndim)))
