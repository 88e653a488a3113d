"""Normalisation: y = (x - mean) rstd weight + bias, rstd = 1 / sqrt(variance + eps).

Layer and RMS normalisation take their statistics over the trailing axes (normalized_shape), batch normalisation over all but the
channel axis 1, group normalisation over groups of channels of each image, instance normalisation over each channel of each image. Variances divide by the number of values n and are summed from centred values (two passes), as E[x^2] - E[x]^2 loses
all digits where the mean is large. Each forward also returns the statistics that its backward takes.

Backward, with g = dy weight and h = (x - mean) rstd, averages over the same axes as the statistics:
    dx = rstd (g - average(g) - h average(g h)),  dweight = sum(dy h),  dbias = sum(dy).
"""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .array import Array, like


def _trailing(x: Array, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """The axes that normalized_shape names."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[-len(shape):] != shape:
        raise ValueError(f"normalized_shape {shape} must be the last axes of x, got shape {x.shape}")
    return tuple(range(x.ndim - len(shape), x.ndim))


def _over(statistic: Array, x: Array) -> Array:
    """A statistic of x's leading axes, with an axis of size 1 for each trailing one."""
    return statistic.reshape(statistic.shape + (1,) * (x.ndim - statistic.ndim))


def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """(y, mean, rstd): y of x's shape; mean, rstd of its leading axes. weight, bias: normalized_shape, or None.

    Source: Ba et al., Layer Normalization, 2016.
    """
    axes = _trailing(x, normalized_shape)
    n = like(max(math.prod(x.shape[axis] for axis in axes), 1), x)
    mean = np.asarray(x.sum(axis=axes) / n)
    centred = x - _over(mean, x)
    rstd = np.asarray(1 / np.sqrt((centred * centred).sum(axis=axes) / n + like(eps, x)))
    y = centred * _over(rstd, x)
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y, mean, rstd


def layer_norm_backward(
    dy: Array, x: Array, mean: Array, rstd: Array, weight: Array | None = None
) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias); the last two have the normalised shape, also where the forward had no weight or bias."""
    axes, leading = tuple(range(mean.ndim, x.ndim)), tuple(range(mean.ndim))
    n = like(max(math.prod(x.shape[axis] for axis in axes), 1), x)
    h = (x - _over(mean, x)) * _over(rstd, x)
    g = dy if weight is None else dy * weight
    average_g = _over(np.asarray(g.sum(axis=axes) / n), x)
    average_gh = _over(np.asarray((g * h).sum(axis=axes) / n), x)
    dx = _over(rstd, x) * (g - average_g - h * average_gh)
    return dx, (dy * h).sum(axis=leading), dy.sum(axis=leading)


def rms_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    eps: float | None = None,
) -> tuple[Array, Array]:
    """(y, rstd): y = x rstd weight with rstd = 1 / sqrt(average(x^2) + eps), of x's leading axes.

    eps: None is the dtype's machine epsilon. Source: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.
    """
    axes = _trailing(x, normalized_shape)
    n = like(max(math.prod(x.shape[axis] for axis in axes), 1), x)
    epsilon = like(np.finfo(x.dtype).eps if eps is None else eps, x)
    rstd = np.asarray(1 / np.sqrt((x * x).sum(axis=axes) / n + epsilon))
    y = x * _over(rstd, x)
    return (y if weight is None else y * weight), rstd


def rms_norm_backward(dy: Array, x: Array, rstd: Array, weight: Array | None = None) -> tuple[Array, Array]:
    """(dx, dweight): dx = rstd (g - h average(g h)) with h = x rstd; dweight also where the forward had no weight."""
    axes, leading = tuple(range(rstd.ndim, x.ndim)), tuple(range(rstd.ndim))
    n = like(max(math.prod(x.shape[axis] for axis in axes), 1), x)
    h = x * _over(rstd, x)
    g = dy if weight is None else dy * weight
    dx = _over(rstd, x) * (g - h * _over(np.asarray((g * h).sum(axis=axes) / n), x))
    return dx, (dy * h).sum(axis=leading)


def _channels(x: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(all axes but the channels', the shape that broadcasts (C,) along x)."""
    if x.ndim < 2:
        raise ValueError(f"batch_norm: x must have at least 2 dimensions (N, C, ...), got shape {x.shape}")
    return (0,) + tuple(range(2, x.ndim)), (-1,) + (1,) * (x.ndim - 2)


def batch_norm(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """(y, mean, rstd): x and y (N, C, ...), everything else (C,).

    training: normalises by the batch's statistics and moves the running ones, in place, where they are not None:
        running = (1 - momentum) running + momentum batch, with the unbiased variance (over n - 1).
    Otherwise normalises by the running statistics; without them, by the batch's (whose backward is that of training). One value
    per channel has no batch statistics and raises ValueError; an empty batch has mean and variance 0 and moves nothing.
    Source: Ioffe and Szegedy, Batch Normalization, 2015.
    """
    axes, along = _channels(x)
    if training or running_mean is None or running_var is None:
        n = math.prod(x.shape[axis] for axis in axes)
        if n == 1:
            raise ValueError(f"batch_norm: training needs more than one value per channel, got shape {x.shape}")
        mean = x.sum(axis=axes) / like(max(n, 1), x)
        centred = x - mean.reshape(along)
        squares = (centred * centred).sum(axis=axes)
        variance = squares / like(max(n, 1), x)
        if training and n and running_mean is not None and running_var is not None:
            running_mean[...] = (1 - momentum) * running_mean + momentum * mean
            running_var[...] = (1 - momentum) * running_var + momentum * (squares / like(n - 1, x))
    else:
        mean, variance = running_mean.copy(), running_var
        centred = x - mean.reshape(along)
    rstd = 1 / np.sqrt(variance + like(eps, x))
    y = centred * rstd.reshape(along)
    if weight is not None:
        y = y * weight.reshape(along)
    if bias is not None:
        y = y + bias.reshape(along)
    return y, mean, rstd


def batch_norm_backward(
    dy: Array, x: Array, mean: Array, rstd: Array, weight: Array | None = None, training: bool = True
) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias). In evaluation the statistics are constants: dx = rstd g."""
    axes, along = _channels(x)
    h = (x - mean.reshape(along)) * rstd.reshape(along)
    dweight, dbias = (dy * h).sum(axis=axes), dy.sum(axis=axes)
    factor = rstd if weight is None else rstd * weight
    if not training:
        return dy * factor.reshape(along), dweight, dbias
    n = like(max(math.prod(x.shape[axis] for axis in axes), 1), x)
    dx = factor.reshape(along) * (dy - (dbias / n).reshape(along) - h * (dweight / n).reshape(along))
    return dx, dweight, dbias


def _grouped(x: Array, groups: int) -> Array:
    """x as (N, groups, values of a group)."""
    return x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // max(groups, 1))


def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """(y, mean, rstd): x and y (N, C, ...), weight and bias (C,), mean and rstd (N, num_groups): of neighbouring channels of each image.

    Source: Wu and He, Group Normalization, 2018.
    """
    _, along = _channels(x)
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(f"num_groups must divide the {x.shape[1]} channels of x, got {num_groups}")
    return _by_image(x, num_groups, along, weight, bias, eps)


def _by_image(
    x: Array, groups: int, along: tuple[int, ...], weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    values = _grouped(x, groups)
    n = like(max(values.shape[2], 1), x)
    mean = values.sum(axis=2) / n
    centred = values - mean[..., None]
    rstd = 1 / np.sqrt((centred * centred).sum(axis=2) / n + like(eps, x))
    y = (centred * rstd[..., None]).reshape(x.shape)
    if weight is not None:
        y = y * weight.reshape(along)
    if bias is not None:
        y = y + bias.reshape(along)
    return y, mean, rstd


def group_norm_backward(
    dy: Array, x: Array, mean: Array, rstd: Array, weight: Array | None = None
) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias); the last two (C,), also where the forward had no weight or bias."""
    axes, along = _channels(x)
    groups = mean.shape[1]
    h = (_grouped(x, groups) - mean[..., None]) * rstd[..., None]
    g = _grouped(dy if weight is None else dy * weight.reshape(along), groups)
    n = like(max(g.shape[2], 1), x)
    average_g, average_gh = g.sum(axis=2)[..., None] / n, (g * h).sum(axis=2)[..., None] / n
    dx = rstd[..., None] * (g - average_g - h * average_gh)
    return dx.reshape(x.shape), (dy * h.reshape(x.shape)).sum(axis=axes), dy.sum(axis=axes)


def instance_norm(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """(y, mean, rstd): group normalisation with a group for each channel; mean and rstd (N, C).

    The running statistics, (C,), move in place towards the averages over the images of mean and variance (over n - 1). Without
    use_input_stats they are used instead: batch_norm in evaluation. Source: Ulyanov et al., Instance Normalization, 2016.
    """
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, eps=eps)
    axes, along = _channels(x)
    n = math.prod(x.shape[2:])
    if n == 1:
        raise ValueError(f"instance_norm: x must have more than one value per channel and image, got shape {x.shape}")
    y, mean, rstd = _by_image(x, x.shape[1], along, weight, bias, eps)
    if running_mean is not None and running_var is not None and x.size:
        variance = x.var(axis=axes[1:], ddof=1)
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean.mean(axis=0)
        running_var[...] = (1 - momentum) * running_var + momentum * variance.mean(axis=0)
    return y, mean, rstd


def instance_norm_backward(
    dy: Array, x: Array, mean: Array, rstd: Array, weight: Array | None = None
) -> tuple[Array, Array, Array]:
    """(dx, dweight, dbias) of instance_norm with use_input_stats."""
    return group_norm_backward(dy, x, mean, rstd, weight)


def _windows(x: Array, before: int, after: int) -> Array:
    """The sum over the channels from c - before to c + after, for every channel c; zeros beyond the channels."""
    total = np.zeros_like(x)
    channels = x.shape[1]
    for c in range(channels):
        total[:, c] = x[:, max(c - before, 0) : c + after + 1].sum(axis=1)
    return total


def local_response_norm(
    x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tuple[Array, Array]:
    """(y, scale), both of x's shape (N, C, L, ...): y = x / scale^beta with scale = k + alpha / size (sum of x^2 over a window of channels).

    The window of channel c goes from c - size // 2 to c + (size - 1) // 2. Source: Krizhevsky et al., ImageNet Classification, 2012.
    """
    if x.ndim < 3:
        raise ValueError(f"local_response_norm: x must have at least 3 dimensions (N, C, L, ...), got shape {x.shape}")
    scale = like(k, x) + like(alpha / size, x) * _windows(x * x, size // 2, (size - 1) // 2)
    return x / scale ** like(beta, x), scale


def local_response_norm_backward(
    dy: Array, x: Array, scale: Array, size: int, alpha: float = 1e-4, beta: float = 0.75
) -> Array:
    """dx: through x itself, and through the scale of every window that holds it."""
    g = dy / scale ** like(beta, x)
    return g - like(2 * alpha * beta / size, x) * x * _windows(g * x / scale, (size - 1) // 2, size // 2)
