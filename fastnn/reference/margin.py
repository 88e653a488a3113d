"""Losses with margins: one input against labels or signs, and rankings of several inputs. Reductions and conventions as in reference.loss."""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any

import numpy as np

from .activation import sigmoid, softplus
from .array import Array, like, unbroadcast
from .distance import pairwise_distance, pairwise_distance_backward
from .loss import _reduce, _same_shape, _spread, _weight, binary_cross_entropy_with_logits


def hinge_embedding_loss(input: Array, target: Array, margin: float = 1.0, reduction: str = "mean") -> Array:
    """input where target is 1, max(0, margin - input) where it is -1, their sum elsewhere."""
    target = _same_shape("hinge_embedding_loss", input, target)
    losses = np.where(target == 1, 0, np.maximum(0, margin - input)) + np.where(target == -1, 0, input)
    return _reduce(np.where(np.isnan(target), target, losses), reduction)


def hinge_embedding_loss_backward(dy: Any, input: Array, target: Array, margin: float = 1.0, reduction: str = "mean") -> Array:
    """1 where target is 1, else -1 where margin - input >= 0, else 0."""
    z = margin - input
    dlosses = np.where(target == -1, 0, 1) - np.where(target == 1, 0, np.where(np.isnan(z), z, z >= 0))
    return _spread(dy, input, reduction) * like(np.where(np.isnan(target), target, dlosses), input)


def soft_margin_loss(input: Array, target: Array, reduction: str = "mean") -> Array:
    """log(1 + exp(-target input))."""
    return _reduce(softplus(-_same_shape("soft_margin_loss", input, target) * input), reduction)


def soft_margin_loss_backward(dy: Any, input: Array, target: Array, reduction: str = "mean") -> Array:
    """-target sigmoid(-target input)."""
    target = like(target, input)
    return _spread(dy, input, reduction) * -target * sigmoid(-target * input)


# ---- rows of classes ------------------------------------------------------------------------------------------------------------


def _rows(input: Array) -> Array:
    return input.reshape(-1, input.shape[-1]) if input.shape[-1] else input.reshape(-1, 0)[:0]


def _spread_rows(dy: Any, input: Array, reduction: str) -> Array:
    """The gradient of each row's loss as (rows, 1)."""
    count = input.size // max(input.shape[-1], 1)
    return np.broadcast_to(_spread(dy, input, reduction, count).reshape(-1, 1), (count, 1))


def _multi_margin(input: Array, target: Array, margin: float) -> tuple[Array, Array, Array]:
    """(rows, labels, z with the labels' own set to 0), z = margin - x[t] + x[i]."""
    x, labels = _rows(input), np.asarray(target).reshape(-1)
    if np.shape(target) != input.shape[:-1] or np.any((labels < 0) | (labels >= input.shape[-1])):
        raise ValueError(f"multi_margin_loss: target must be {input.shape[:-1]} labels in [0, {input.shape[-1]})")
    z = margin - np.take_along_axis(x, labels[:, np.newaxis], axis=1) + x
    return x, labels, np.where(np.arange(x.shape[1]) == labels[:, np.newaxis], 0, z)


def multi_margin_loss(
    input: Array, target: Array, p: int = 1, margin: float = 1.0, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """The sum over the classes i but the label t of weight[t] max(0, margin - input[t] + input[i])^p / C; p is 1 or 2."""
    x, labels, z = _multi_margin(input, target, margin)
    w = np.broadcast_to(_weight(weight, x), x.shape[-1:])[labels]
    losses = w * (np.maximum(0, z) ** p).sum(axis=1) / x.shape[1]
    return _reduce(losses.reshape(input.shape[:-1]), reduction)


def multi_margin_loss_backward(
    dy: Any, input: Array, target: Array, p: int = 1, margin: float = 1.0, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """weight[t] p max(0, z)^(p - 1) / C where z = margin - input[t] + input[i] > 0; at the label the negative sum of the others."""
    x, labels, z = _multi_margin(input, target, margin)
    w = np.broadcast_to(_weight(weight, x), x.shape[-1:])[labels][:, np.newaxis]
    dx = _spread_rows(dy, input, reduction) * w * like(z > 0, x) * (2 * z if p == 2 else 1) / x.shape[1]
    np.put_along_axis(dx, labels[:, np.newaxis], -dx.sum(axis=1, keepdims=True), axis=1)
    return dx.reshape(input.shape)


def _pairs(input: Array, target: Array) -> tuple[Array, Array, Array]:
    """(rows, z[row, k, i] = 1 - (x[t_k] - x[i]), which of them count: t_k a label before the first -1, i no label)."""
    x, labels = _rows(input), _rows(np.asarray(target))
    if np.shape(target) != input.shape or np.any((labels < -1) | (labels >= input.shape[-1])):
        raise ValueError(f"multilabel_margin_loss: target must be {input.shape} labels in [0, {input.shape[-1]}), then -1")
    known = np.logical_and.accumulate(labels >= 0, axis=1)
    labels = np.where(known, labels, 0)
    member = (known[:, :, np.newaxis] & (labels[:, :, np.newaxis] == np.arange(x.shape[1]))).any(axis=1)
    z = 1 - np.take_along_axis(x, labels, axis=1)[:, :, np.newaxis] + x[:, np.newaxis, :]
    return x, z, known[:, :, np.newaxis] & ~member[:, np.newaxis, :]


def multilabel_margin_loss(input: Array, target: Array, reduction: str = "mean") -> Array:
    """The sum over labels t and classes i that are no label of max(0, 1 - (input[t] - input[i])) / C; labels end at the first -1."""
    x, z, counts = _pairs(input, target)
    losses = np.where(counts, np.maximum(0, z), 0).sum(axis=(1, 2)) / x.shape[1]
    return _reduce(losses.reshape(input.shape[:-1]), reduction)


def multilabel_margin_loss_backward(dy: Any, input: Array, target: Array, reduction: str = "mean") -> Array:
    """1 / C for each pair (t, i) with 1 - (input[t] - input[i]) > 0 at i, and -1 / C at t."""
    x, z, counts = _pairs(input, target)
    active = like(counts & (z > 0), x)
    dx = active.sum(axis=1)
    labels = np.maximum(_rows(np.asarray(target)), 0)
    for k in range(x.shape[1]):
        dx[np.arange(len(x)), labels[:, k]] -= active[:, k].sum(axis=1)
    return (_spread_rows(dy, input, reduction) * dx / x.shape[1]).reshape(input.shape)


@np.errstate(invalid="ignore")
def multilabel_soft_margin_loss(input: Array, target: Array, weight: Array | None = None, reduction: str = "mean") -> Array:
    """The mean over the last axis of -weight (target log(sigmoid(input)) + (1 - target) log(1 - sigmoid(input)))."""
    losses = binary_cross_entropy_with_logits(input, target, weight, reduction="none")
    return _reduce(np.asarray(losses.sum(axis=-1) / like(input.shape[-1], input)), reduction)


def multilabel_soft_margin_loss_backward(
    dy: Any, input: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """weight (sigmoid(input) - target) / C."""
    g = _spread_rows(dy, input, reduction).reshape(*input.shape[:-1], 1)
    return g * _weight(weight, input) * (sigmoid(input) - like(target, input)) / max(input.shape[-1], 1)


# ---- rankings: several inputs, a gradient for each of them ----------------------------------------------------------------------


def margin_ranking_loss(input1: Array, input2: Array, target: Array, margin: float = 0.0, reduction: str = "mean") -> Array:
    """max(0, margin - target (input1 - input2))."""
    return _reduce(np.asarray(np.maximum(0, margin - target * (input1 - input2))), reduction)


def margin_ranking_loss_backward(
    dy: Any, input1: Array, input2: Array, target: Array, margin: float = 0.0, reduction: str = "mean"
) -> tuple[Array, Array]:
    """-target and target where margin - target (input1 - input2) >= 0, else 0."""
    z = np.asarray(margin - target * (input1 - input2))
    d1 = _spread(dy, z, reduction) * np.where(np.isnan(z), z, -target * (z >= 0))
    return unbroadcast(d1, input1.shape), unbroadcast(-d1, input2.shape)


def _embedding_cosine(input1: Array, input2: Array) -> tuple[Array, Array, Array, Array]:
    """(cosine, 1 / (|input1| |input2|), |input1|², |input2|²), each square 1e-12 larger than it is."""
    dot, square1, square2 = (np.asarray((a * b).sum(axis=-1)) for a, b in ((input1, input2), (input1, input1), (input2, input2)))
    square1, square2 = square1 + like(1e-12, square1), square2 + like(1e-12, square2)
    cross = 1 / np.sqrt(square1 * square2)
    return dot * cross, cross, square1, square2


def cosine_embedding_loss(input1: Array, input2: Array, target: Array, margin: float = 0.0, reduction: str = "mean") -> Array:
    """1 - cos(input1, input2) where target is 1, max(0, cos(input1, input2) - margin) where it is -1, else 0."""
    cosine, *_ = _embedding_cosine(input1, input2)
    losses = np.where(target == 1, 1 - cosine, np.where(target == -1, np.maximum(0, cosine - margin), 0))
    return _reduce(np.where(np.isnan(target), target, losses), reduction)


def cosine_embedding_loss_backward(
    dy: Any, input1: Array, input2: Array, target: Array, margin: float = 0.0, reduction: str = "mean"
) -> tuple[Array, Array]:
    """The cosine's gradients times -1 where target is 1, times 1 where it is -1 and cos >= margin, else 0."""
    cosine, cross, square1, square2 = _embedding_cosine(input1, input2)
    slope = np.where(target == 1, -1, np.where(target == -1, cosine >= margin, np.where(np.isnan(target), target, 0)))
    g = _spread(dy, cosine, reduction) * slope
    d1 = (g * cross)[..., np.newaxis] * input2 - (g * cosine / square1)[..., np.newaxis] * input1
    d2 = (g * cross)[..., np.newaxis] * input1 - (g * cosine / square2)[..., np.newaxis] * input2
    return unbroadcast(d1, input1.shape), unbroadcast(d2, input2.shape)


def _triplet(anchor: Array, positive: Array, negative: Array, p: float, eps: float, swap: bool) -> tuple[Array, Array, Array]:
    """The distances anchor to positive, anchor to negative, and positive to negative (infinite without `swap`)."""
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    return near, far, pairwise_distance(positive, negative, p, eps) if swap else np.full_like(far, np.inf)


def triplet_margin_loss(
    anchor: Array, positive: Array, negative: Array, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False,
    reduction: str = "mean",
) -> Array:  # fmt: skip
    """max(0, margin + distance(anchor, positive) - distance(anchor, negative)), swap: or the distance(positive, negative) where smaller."""
    near, far, other = _triplet(anchor, positive, negative, p, eps, swap)
    return _reduce(np.asarray(np.maximum(0, margin + near - np.minimum(far, other))), reduction)


def triplet_margin_loss_backward(
    dy: Any, anchor: Array, positive: Array, negative: Array, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: str = "mean",
) -> tuple[Array, Array, Array]:  # fmt: skip
    """(danchor, dpositive, dnegative) through the distances; two equal ones share the gradient of the smaller one."""
    near, far, other = _triplet(anchor, positive, negative, p, eps, swap)
    g = _spread(dy, near, reduction) * (margin + near - np.minimum(far, other) >= 0)
    share = np.where(far < other, 1, np.where(far == other, 0.5, 0))
    da, dp = pairwise_distance_backward(g, anchor, positive, p, eps)
    also, dn = pairwise_distance_backward(-g * share, anchor, negative, p, eps)
    first, second = pairwise_distance_backward(-g * (1 - share), positive, negative, p, eps)
    return da + also, dp + first, dn + second
