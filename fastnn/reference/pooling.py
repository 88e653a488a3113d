"""Pooling over the last one, two or three axes: a maximum, average or norm of each window.

Along an axis of `size`, window o takes the elements o stride - padding + k dilation, k < kernel, those outside not counted. There are
    floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
windows; ceil_mode rounds up instead, and leaves out a last window that would begin in the padding on the right. Adaptive windows
go from floor(o size / n) to ceil((o + 1) size / n).

kernel_size, stride, padding, dilation and output_size: a tuple with a number for each pooled axis, or one number for all axes after
the first two.
"""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from .array import Array, like

Numbers = int | Sequence[int]
Windows = list[list[list[int]]]  # for each pooled axis and window the elements that it takes


def _numbers(value: Any, dims: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * dims


def _dims(shape: tuple[int, ...], value: Any) -> int:
    return len(value) if isinstance(value, (tuple, list)) else len(shape) - 2


def _windows(shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Windows:
    """The elements of each window, those in the padding too: below 0, or from the axis' size on."""
    dims = _dims(shape, kernel_size)
    options = (_numbers(value, dims) for value in (kernel_size, kernel_size if stride is None else stride, padding, dilation))
    found = []
    for size, k, s, p, d in zip(shape[len(shape) - dims :], *options):
        room = size + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)
        count = room // s + 1
        if ceil_mode and (count - 1) * s >= size + p:
            count -= 1
        found.append([[o * s - p + i * d for i in range(k)] for o in range(count)])
    return found


def _adaptive_windows(shape: tuple[int, ...], output_size: Any) -> Windows:
    dims = _dims(shape, output_size)
    sizes = shape[len(shape) - dims :]
    counts = [size if n is None else n for size, n in zip(sizes, _numbers(output_size, dims))]
    return [[list(range(o * size // n, -(-(o + 1) * size // n))) for o in range(n)] for size, n in zip(sizes, counts)]


def _each(windows: Windows, shape: tuple[int, ...]) -> Iterator[tuple[Any, Any]]:
    """(index of an output, index of its window's elements that exist) within a plane, both for arrays whose last axes are pooled."""
    sizes = shape[len(shape) - len(windows) :]
    inside = [[[i for i in window if 0 <= i < size] for window in axis] for axis, size in zip(windows, sizes)]
    for o in product(*(range(len(axis)) for axis in inside)):
        yield (..., *o), (..., *np.ix_(*(axis[i] for axis, i in zip(inside, o))))


def _output_shape(windows: Windows, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[: len(shape) - len(windows)] + tuple(len(axis) for axis in windows)


def _maxima(x: Array, windows: Windows) -> tuple[Array, Array]:
    """The maxima and their flat positions in a plane: the first of equal ones, the last NaN; -inf and -1 in an empty window."""
    dims = len(windows)
    shape = _output_shape(windows, x.shape)
    y, indices = np.full(shape, -np.inf, x.dtype), np.full(shape, -1, np.int64)
    places = np.arange(math.prod(x.shape[x.ndim - dims :])).reshape(x.shape[x.ndim - dims :])
    for o, elements in _each(windows, x.shape):
        window = x[elements].reshape(*x.shape[: x.ndim - dims], -1)
        if not window.shape[-1] or not window.size:
            continue
        nan = np.isnan(window)
        last_nan = window.shape[-1] - 1 - nan[..., ::-1].argmax(axis=-1)
        best = np.where(nan.any(axis=-1), last_nan, np.where(nan, -np.inf, window).argmax(axis=-1))
        y[o] = np.take_along_axis(window, best[..., None], axis=-1)[..., 0]
        indices[o] = places[elements].ravel()[best]
    return y, indices


def _spread(dy: Array, indices: Array, shape: tuple[int, ...], dims: int) -> Array:
    """dx: dy added at flat positions of each plane, those of -1 left out."""
    elements = math.prod(shape[len(shape) - dims :])
    planes = math.prod(shape[: len(shape) - dims])
    dx = np.zeros((planes, elements + 1), dy.dtype)  # the last column takes what is left out
    cells = math.prod(dy.shape[dy.ndim - dims :])
    np.add.at(dx, (np.arange(planes)[:, None], indices.reshape(planes, cells)), dy.reshape(planes, cells))
    return dx[:, :elements].reshape(shape)


def max_pool(
    x: Array, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, dilation: Numbers = 1, ceil_mode: bool = False,
    indices: str | None = None,
) -> tuple[Array, Array | None]:  # fmt: skip
    """(y, indices): the maximum of each window, NaN where it has one, and its flat position in x's plane, int64.

    indices: None leaves them out; the two kinds of the kernel are one here.
    """
    y, places = _maxima(x, _windows(x.shape, kernel_size, stride, padding, dilation, ceil_mode))
    return y, None if indices is None else places


def max_pool_backward(
    dy: Array, indices: Array, shape: tuple[int, ...], kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0,
    dilation: Numbers = 1, ceil_mode: bool = False,
) -> Array:  # fmt: skip
    """dx, of x's `shape`."""
    return _spread(dy, indices, shape, _dims(shape, kernel_size))


def adaptive_max_pool(x: Array, output_size: Any, indices: str | None = None) -> tuple[Array, Array | None]:
    """(y, indices), as max_pool; output_size: None along an axis is x's size."""
    y, places = _maxima(x, _adaptive_windows(x.shape, output_size))
    return y, None if indices is None else places


def adaptive_max_pool_backward(dy: Array, indices: Array, shape: tuple[int, ...], output_size: Any) -> Array:
    """dx, of x's `shape`."""
    return _spread(dy, indices, shape, _dims(shape, output_size))


def _divisors(
    shape: tuple[int, ...], windows: Windows, padding: Any, count_include_pad: bool, divisor_override: int | None
) -> Array:
    """What each window's sum is divided by."""
    if divisor_override is not None:
        return np.asarray(float(divisor_override))
    counts = np.ones(())
    for size, axis, p in zip(shape[len(shape) - len(windows) :], windows, _numbers(padding, len(windows))):
        low, high = (-p, size + p) if count_include_pad else (0, size)
        counts = np.multiply.outer(counts, [float(sum(low <= i < high for i in window)) for window in axis])
    return counts


def _averages(x: Array, windows: Windows, divisors: Array) -> Array:
    y = np.zeros(_output_shape(windows, x.shape), x.dtype)
    axes = tuple(range(-len(windows), 0))
    for o, elements in _each(windows, x.shape):
        y[o] = x[elements].sum(axis=axes)
    return y / divisors.astype(x.dtype)


def _averages_backward(dy: Array, shape: tuple[int, ...], windows: Windows, divisors: Array) -> Array:
    dx = np.zeros(shape, dy.dtype)
    g = dy / divisors.astype(dy.dtype)
    for o, elements in _each(windows, shape):
        dx[elements] += g[o][(...,) + (None,) * len(windows)]
    return dx


def avg_pool(
    x: Array, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Array:  # fmt: skip
    """The sum of each window over divisor_override, or over the number of its elements, with those in the padding if count_include_pad."""
    windows = _windows(x.shape, kernel_size, stride, padding, 1, ceil_mode)
    return _averages(x, windows, _divisors(x.shape, windows, padding, count_include_pad, divisor_override))


def avg_pool_backward(
    dy: Array, shape: tuple[int, ...], kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Array:  # fmt: skip
    """dx, of x's `shape`: dy over the divisor, for each element of the window."""
    windows = _windows(shape, kernel_size, stride, padding, 1, ceil_mode)
    return _averages_backward(dy, shape, windows, _divisors(shape, windows, padding, count_include_pad, divisor_override))


def adaptive_avg_pool(x: Array, output_size: Any) -> Array:
    """The average of each window; output_size: None along an axis is x's size."""
    windows = _adaptive_windows(x.shape, output_size)
    return _averages(x, windows, _divisors(x.shape, windows, 0, True, None))


def adaptive_avg_pool_backward(dy: Array, shape: tuple[int, ...], output_size: Any) -> Array:
    """dx, of x's `shape`."""
    windows = _adaptive_windows(shape, output_size)
    return _averages_backward(dy, shape, windows, _divisors(shape, windows, 0, True, None))


def power(x: Array, exponent: float, scale: float = 1.0) -> Array:
    """(scale x)^exponent; NaN for a negative base unless the exponent is integral."""
    with np.errstate(all="ignore"):
        return (like(scale, x) * x) ** like(exponent, x)


def power_backward(dy: Array, x: Array, exponent: float, scale: float = 1.0) -> Array:
    """dy exponent scale (scale x)^(exponent - 1)."""
    with np.errstate(all="ignore"):
        return dy * (like(exponent * scale, x) * power(x, exponent - 1, scale))


def lp_pool(
    x: Array, norm_type: float, kernel_size: Numbers, stride: Numbers | None = None, ceil_mode: bool = False
) -> tuple[Array, Array]:
    """(y, mean): y = (n mean)^(1 / norm_type), with mean of x^norm_type over each window and n elements in a whole one."""
    mean = avg_pool(power(x, norm_type), kernel_size, stride, 0, ceil_mode)
    return power(mean, 1 / norm_type, math.prod(_numbers(kernel_size, _dims(x.shape, kernel_size)))), mean


def lp_pool_backward(
    dy: Array, x: Array, mean: Array, norm_type: float, kernel_size: Numbers, stride: Numbers | None = None, ceil_mode: bool = False
) -> Array:
    """dx; windows with mean 0 have none, whatever the limit, as in PyTorch."""
    n = math.prod(_numbers(kernel_size, _dims(x.shape, kernel_size)))
    dmean = np.where(mean == 0, like(0, x), power_backward(dy, mean, 1 / norm_type, n))
    return power_backward(avg_pool_backward(dmean, x.shape, kernel_size, stride, 0, ceil_mode), x, norm_type)
