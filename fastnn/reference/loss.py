"""Losses: l = reduction of f(input, target), and dinput = dy dl/dinput.

input is float32 or float64; the loss is computed in its dtype. reduction "none" gives every element's loss, "sum" their sum as a
scalar, "mean" their (where classes have weights: weighted) mean. In a backward, dy is the gradient of what the forward returned: a
scalar, or for "none" an array of that shape. The mean over nothing is NaN, and its gradient 0.

The element-wise losses take input and target of one shape. weight and pos_weight broadcast to it. The conventions are PyTorch's.
"""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .activation import sigmoid
from .array import Array, like, unbroadcast
from .softmax import log_softmax, softmax


def _same_shape(name: str, input: Array, target: Array) -> Array:
    if np.shape(input) != np.shape(target):
        raise ValueError(f"{name}: target must have input's shape {np.shape(input)}, got {np.shape(target)}")
    return like(target, input)


@np.errstate(invalid="ignore", divide="ignore")
def _reduce(losses: Array, reduction: str, count: Any = None) -> Array:
    """The losses, their sum, or their sum over count (how many they are, unless given)."""
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return np.asarray(total)
    if reduction == "mean":
        return np.asarray(total / like(losses.size if count is None else count, losses))
    raise ValueError(f'reduction must be "mean", "sum" or "none", got {reduction!r}')


def _spread(dy: Any, input: Array, reduction: str, count: Any = None) -> Array:
    """The gradient of each element's loss: dy, or for "mean" dy over count (input.size unless given); 0 over nothing."""
    dy = like(dy, input)
    if reduction in ("none", "sum"):
        return dy
    if reduction != "mean":
        raise ValueError(f'reduction must be "mean", "sum" or "none", got {reduction!r}')
    count = input.size if count is None else count
    return dy / like(count, input) if count != 0 else np.zeros_like(dy)


# ---- regression -----------------------------------------------------------------------------------------------------------------


def mse_loss(input: Array, target: Array, reduction: str = "mean") -> Array:
    """(input - target)^2."""
    target = _same_shape("mse_loss", input, target)
    return _reduce((input - target) ** 2, reduction)


def mse_loss_backward(dy: Any, input: Array, target: Array, reduction: str = "mean") -> Array:
    """2 (input - target)."""
    return _spread(dy, input, reduction) * 2 * (input - like(target, input))


def l1_loss(input: Array, target: Array, reduction: str = "mean") -> Array:
    """|input - target|."""
    target = _same_shape("l1_loss", input, target)
    return _reduce(np.abs(input - target), reduction)


def l1_loss_backward(dy: Any, input: Array, target: Array, reduction: str = "mean") -> Array:
    """sign(input - target), 0 where they are equal."""
    return _spread(dy, input, reduction) * np.sign(input - like(target, input))


@np.errstate(divide="ignore", invalid="ignore")
def smooth_l1_loss(input: Array, target: Array, beta: float = 1.0, reduction: str = "mean") -> Array:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2; d = input - target. beta = 0 is l1_loss. Source: Girshick, 2015."""
    d = np.abs(input - _same_shape("smooth_l1_loss", input, target))
    return _reduce(np.where(d < beta, 0.5 * d * d / like(beta, input), d - 0.5 * beta), reduction)


@np.errstate(divide="ignore", invalid="ignore")
def smooth_l1_loss_backward(dy: Any, input: Array, target: Array, beta: float = 1.0, reduction: str = "mean") -> Array:
    """d / beta where |d| < beta, else sign(d)."""
    d = input - like(target, input)
    return _spread(dy, input, reduction) * np.where(np.abs(d) >= beta, np.sign(d), d / like(beta, input))


def huber_loss(input: Array, target: Array, delta: float = 1.0, reduction: str = "mean") -> Array:
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2); d = input - target. Source: Huber, 1964."""
    d = np.abs(input - _same_shape("huber_loss", input, target))
    return _reduce(np.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


def huber_loss_backward(dy: Any, input: Array, target: Array, delta: float = 1.0, reduction: str = "mean") -> Array:
    """d limited to [-delta, delta]."""
    d = input - like(target, input)
    return _spread(dy, input, reduction) * np.minimum(np.maximum(d, -delta), delta)


# ---- probabilities --------------------------------------------------------------------------------------------------------------


def _weight(weight: Array | None, input: Array) -> Array:
    return like(1 if weight is None else weight, input)


@np.errstate(divide="ignore", invalid="ignore")
def binary_cross_entropy(
    input: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """-weight (target log(input) + (1 - target) log(1 - input)), both logarithms no lower than -100.

    input: probabilities; NaN outside [0, 1].
    """
    target = _same_shape("binary_cross_entropy", input, target)
    losses = (target - 1) * np.maximum(np.log1p(-input), -100) - target * np.maximum(np.log(input), -100)
    return _reduce(losses * _weight(weight, input), reduction)


def binary_cross_entropy_backward(
    dy: Any, input: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """weight (input - target) / max(input (1 - input), 1e-12)."""
    dlosses = (input - like(target, input)) / np.maximum(input * (1 - input), 1e-12)
    return _spread(dy, input, reduction) * _weight(weight, input) * dlosses


def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    """-weight (pos_weight target log(sigmoid(input)) + (1 - target) log(1 - sigmoid(input))).

    Computed as weight ((1 - target) input + (1 + (pos_weight - 1) target) softplus(-input)), which overflows nowhere.
    """
    target = _same_shape("binary_cross_entropy_with_logits", input, target)
    softplus = np.log1p(np.exp(-np.abs(input))) + np.maximum(-input, 0)
    losses = (1 - target) * input + (1 + (_weight(pos_weight, input) - 1) * target) * softplus
    return _reduce(losses * _weight(weight, input), reduction)


def binary_cross_entropy_with_logits_backward(
    dy: Any,
    input: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    """weight ((p + 1 - target) sigmoid(input) - p) with p = pos_weight target."""
    target = like(target, input)
    p = _weight(pos_weight, input) * target
    dlosses = (p + 1 - target) * sigmoid(input) - p
    return _spread(dy, input, reduction) * _weight(weight, input) * dlosses


def _batch(input: Array) -> int:
    return input.shape[0] if input.ndim else 1


@np.errstate(divide="ignore", invalid="ignore")
def kl_div(input: Array, target: Array, log_target: bool = False, reduction: str = "mean") -> Array:
    """target (log(target) - input), 0 log 0 being 0; input holds log-probabilities, as does target with log_target.

    "mean" divides by the number of elements; "batchmean", the divergence itself, by the size of the first axis.
    """
    target = _same_shape("kl_div", input, target)
    if log_target:
        losses = np.exp(target) * (target - input)
    else:
        losses = np.where(target == 0, 0, target * np.log(target)) - target * input
    if reduction == "batchmean":
        return _reduce(losses, "mean", _batch(input))
    return _reduce(losses, reduction)


def kl_div_backward(
    dy: Any, input: Array, target: Array, log_target: bool = False, reduction: str = "mean"
) -> Array:
    """-target."""
    target = like(target, input)
    target = np.exp(target) if log_target else target
    if reduction == "batchmean":
        return -_spread(dy, input, "mean", _batch(input)) * target
    return -_spread(dy, input, reduction) * target


# ---- classes --------------------------------------------------------------------------------------------------------------------
# Both losses bring input (C,), (N, C) or (N, C, d1, ...) to (N, C, D), D being the product of the d, and labels to (N, D).


def _classes_in_the_middle(array: Array) -> Array:
    """(C,), (N, C) or (N, C, d1, ...) as (N, C, D)."""
    if array.ndim == 1:
        return array.reshape(1, -1, 1)
    return array.reshape(array.shape[0], array.shape[1], math.prod(array.shape[2:]))


def _labels(name: str, x: Array, input: Array, target: Array, ignore_index: int) -> tuple[Array, Array, tuple[int, ...]]:
    """(labels (N, D) with 0 where ignored, which of them count, the target's shape); x is input as (N, C, D)."""
    shape = input.shape[:1] * (input.ndim > 1) + input.shape[2:]
    if np.shape(target) != shape:
        raise ValueError(f"{name}: target must have shape {shape} for input {input.shape}, got {np.shape(target)}")
    target = np.asarray(target).reshape(x.shape[0], x.shape[2])
    counts = target != ignore_index
    labels = np.where(counts, target, 0)
    if np.any(counts & ((target < 0) | (target >= x.shape[1]))):
        raise ValueError(f"{name}: labels must be in [0, {x.shape[1]}) or ignore_index {ignore_index}")
    return labels, counts, shape


def _class_weights(name: str, weight: Array | None, x: Array) -> Array:
    """weight as (C,), ones when None."""
    if weight is None:
        return np.ones(x.shape[1], x.dtype)
    if np.shape(weight) != (x.shape[1],):
        raise ValueError(f"{name}: weight must have shape {(x.shape[1],)}, one per class, got {np.shape(weight)}")
    return like(weight, x)


def _at(x: Array, labels: Array) -> Array:
    """x[n, labels[n, d], d]: (N, C, D) and (N, D) to (N, D)."""
    if x.shape[1] == 0:
        return np.zeros(labels.shape, x.dtype)
    return np.take_along_axis(x, labels[:, np.newaxis, :], axis=1)[:, 0, :]


def _one_hot(labels: Array, x: Array) -> Array:
    """1 at [n, labels[n, d], d], else 0: (N, D) to x's shape (N, C, D)."""
    return (labels[:, np.newaxis, :] == np.arange(x.shape[1])[:, np.newaxis]).astype(x.dtype)


def nll_loss(
    input: Array, target: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Array:
    """-weight[t] input[t] for the label t, 0 where t is ignore_index; "mean" divides by the sum of weight[t] that count.

    input: log-probabilities (C,), (N, C) or (N, C, d1, ...); target: integer labels, input's shape without the C; weight: (C,).
    """
    x = _classes_in_the_middle(input)
    labels, counts, shape = _labels("nll_loss", x, input, target, ignore_index)
    w = np.where(counts, _at(np.broadcast_to(_class_weights("nll_loss", weight, x)[:, np.newaxis], x.shape), labels), 0)
    losses = np.where(counts, -w * _at(x, labels), 0)
    return _reduce(losses.reshape(shape), reduction, w.sum())


def nll_loss_backward(
    dy: Any,
    input: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    """-weight[t] at the label t, 0 elsewhere and where t is ignore_index."""
    x = _classes_in_the_middle(input)
    labels, counts, _ = _labels("nll_loss", x, input, target, ignore_index)
    p = _one_hot(labels, x) * counts[:, np.newaxis, :] * _class_weights("nll_loss", weight, x)[:, np.newaxis]
    return (-_spread_labels(dy, x, reduction, p.sum()) * p).reshape(input.shape)


def _spread_labels(dy: Any, x: Array, reduction: str, count: Any) -> Array:
    """_spread, with an array dy brought to (N, 1, D)."""
    dy = like(dy, x)
    if reduction == "none":
        dy = dy.reshape(x.shape[0], 1, x.shape[2])
    return _spread(dy, x, reduction, count)


def _is_labels(target: Array) -> bool:
    return not np.issubdtype(np.asarray(target).dtype, np.floating)


def _class_targets(
    x: Array, input: Array, target: Array, weight: Array | None, ignore_index: int, label_smoothing: float
) -> tuple[Array, Any]:
    """(p, count): the loss is -sum over the classes of p log_softmax(x), p (N, C, D), and "mean" divides by count.

    p[c] = weight[c] ((1 - label_smoothing) q[c] + label_smoothing / C), q being the probabilities or the label's one-hot
    vector; all 0 where the label is ignored.
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")
    w = _class_weights("cross_entropy", weight, x)[:, np.newaxis]
    smooth = label_smoothing / max(x.shape[1], 1)
    if not _is_labels(target):
        q = _classes_in_the_middle(_same_shape("cross_entropy", input, target))
        return w * ((1 - label_smoothing) * q + smooth), x.shape[0] * x.shape[2]
    labels, counts, _ = _labels("cross_entropy", x, input, target, ignore_index)
    q = _one_hot(labels, x)
    p = w * ((1 - label_smoothing) * q + smooth) * counts[:, np.newaxis, :]
    return p, (w * q * counts[:, np.newaxis, :]).sum()


@np.errstate(invalid="ignore")
def cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Array:
    """The cross-entropy between the classes' softmax and target.

    input: logits (C,), (N, C) or (N, C, d1, ...). target: integer labels, input's shape without the C, or probabilities (a
    floating dtype) of input's shape. weight: (C,). "mean" divides by the sum of the labels' weights, without those that are
    ignore_index; for probabilities by the number of samples, whatever the weights.
    """
    x = _classes_in_the_middle(input)
    p, count = _class_targets(x, input, target, weight, ignore_index, label_smoothing)
    terms = p * log_softmax(x, axis=1)
    if _is_labels(target):
        # A label's own term alone counts: where p is 0, a probability of 0 (logit -inf) must not make it NaN.
        terms = np.where(p == 0, 0, terms)
    losses = -terms.sum(axis=1)
    return _reduce(losses.reshape(input.shape[:1] * (input.ndim > 1) + input.shape[2:]), reduction, count)


def cross_entropy_backward(
    dy: Any,
    input: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Array:
    """softmax(input) sum(p) - p, p being the target with label smoothing and weights; 0 where the label is ignored."""
    x = _classes_in_the_middle(input)
    p, count = _class_targets(x, input, target, weight, ignore_index, label_smoothing)
    dx = softmax(x, axis=1) * p.sum(axis=1, keepdims=True) - p
    return (_spread_labels(dy, x, reduction, count) * dx).reshape(input.shape)


# ---- negative log-likelihoods of numbers ----------------------------------------------------------------------------------------


@np.errstate(divide="ignore", invalid="ignore")
def poisson_nll_loss(
    input: Array, target: Array, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
) -> Array:
    """exp(input) - target input, or for log_input=False input - target log(input + eps).

    full: with Stirling's approximation of log(target!) where target > 1, target log(target) - target + log(2 pi target) / 2.
    """
    target = _same_shape("poisson_nll_loss", input, target)
    losses = np.exp(input) - target * input if log_input else input - target * np.log(input + like(eps, input))
    if full:
        losses = losses + np.where(target > 1, target * np.log(target) - target + 0.5 * np.log(2 * math.pi * target), 0)
    return _reduce(losses, reduction)


@np.errstate(divide="ignore", invalid="ignore")
def poisson_nll_loss_backward(
    dy: Any, input: Array, target: Array, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
) -> Array:
    """exp(input) - target, or for log_input=False 1 - target / (input + eps)."""
    target = like(target, input)
    return _spread(dy, input, reduction) * (np.exp(input) - target if log_input else 1 - target / (input + like(eps, input)))


def _variance(input: Array, var: Array, eps: float) -> Array:
    """max(var, eps) so that it broadcasts to input; var may lack input's last axis."""
    var = like(var, input)
    return np.maximum(var[..., np.newaxis] if var.ndim == input.ndim - 1 else var, like(eps, input))


def gaussian_nll_loss(
    input: Array, target: Array, var: Array, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Array:
    """(log(v) + (input - target)^2 / v) / 2 with v = max(var, eps); full: and log(2 pi) / 2."""
    v = _variance(input, var, eps)
    losses = 0.5 * (np.log(v) + (input - _same_shape("gaussian_nll_loss", input, target)) ** 2 / v)
    return _reduce(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def gaussian_nll_loss_backward(
    dy: Any, input: Array, target: Array, var: Array, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> tuple[Array, Array]:
    """(dinput, dvar): (input - target) / v, and (1 - (input - target)^2 / v) / (2 v) summed to var's shape, also where var < eps."""
    v, d, g = _variance(input, var, eps), input - like(target, input), _spread(dy, input, reduction)
    shape = var.shape if var.ndim == input.ndim else (*var.shape, 1)
    return g * d / v, unbroadcast(g * 0.5 * (1 - d**2 / v) / v, shape).reshape(var.shape)
