"""Connectionist temporal classification, sequence by sequence and step by step. Source: Graves et al., 2006."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .array import Array, like
from .loss import _reduce, _spread


def _sequences(log_probs: Array, targets: Any, input_lengths: Any, target_lengths: Any, blank: int) -> Iterator[tuple[int, Array, Array]]:
    """(n, log-probabilities (steps, C), classes of the states: blank, label, blank, …, label, blank) of each sequence."""
    targets, steps, lengths = np.asarray(targets), np.ravel(input_lengths), np.ravel(target_lengths)
    wide = log_probs if log_probs.ndim == 3 else log_probs[:, np.newaxis]
    for n in range(wide.shape[1]):
        labels = targets[n, : lengths[n]] if targets.ndim == 2 else targets[lengths[:n].sum() : lengths[: n + 1].sum()]
        states = np.full(2 * len(labels) + 1, blank)
        states[1::2] = labels
        yield n, wide[: steps[n], n], states


def _paths(x: Array, states: Array) -> Array:
    """alpha[t][s], t from 0: the log-probability to be in state s after t steps, by any path that is one of the target's so far."""
    alpha = np.full((len(x) + 1, len(states)), -np.inf, x.dtype)
    alpha[0, 0] = 0  # before the first step, which may go to the first label, too
    skips = np.zeros(len(states), bool)
    skips[3::2] = states[3::2] != states[1:-2:2]
    for t in range(len(x)):
        last = np.concatenate([[-np.inf, -np.inf], alpha[t]]).astype(x.dtype)
        stayed = np.logaddexp(last[2:], last[1:-1])
        alpha[t + 1] = x[t, states] + np.logaddexp(stayed, np.where(skips, last[:-2], -np.inf))
    return alpha


@np.errstate(invalid="ignore")
def _losses(log_probs: Array, targets: Any, input_lengths: Any, target_lengths: Any, blank: int) -> Array:
    losses = np.zeros(log_probs.shape[1] if log_probs.ndim == 3 else 1, log_probs.dtype)
    for n, x, states in _sequences(log_probs, targets, input_lengths, target_lengths, blank):
        losses[n] = -np.logaddexp.reduce(_paths(x, states)[-1, -2:])
    return losses


def ctc_loss(
    log_probs: Array, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean",
    zero_infinity: bool = False,
) -> Array:  # fmt: skip
    """-log of the probability of all paths that spell the target once repeated classes are merged and blanks left out.

    log_probs: (T, N, C) or (T, C). targets: (N, S), or all labels one behind the other. "mean" divides each loss by its target's length (at
    least 1), then by N. Targets that no path spells have an infinite loss, 0 with zero_infinity.
    """
    losses = _losses(log_probs, targets, input_lengths, target_lengths, blank)
    if zero_infinity:
        losses = np.where(np.isinf(losses), 0, losses)
    if reduction == "mean":
        losses = losses / like(np.maximum(np.ravel(target_lengths), 1), losses)
    return _reduce(losses.reshape(log_probs.shape[1:-1]), reduction)


@np.errstate(invalid="ignore")
def ctc_loss_backward(
    dy: Any, log_probs: Array, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean",
    zero_infinity: bool = False,
) -> Array:  # fmt: skip
    """exp(log_probs) minus the probability of each class in each step, given the target; 0 from input_lengths on.

    That is the gradient with respect to the logits whose log_softmax log_probs is, and passes through log_softmax's backward as it is. NaN
    where the loss is infinite, or 0 with zero_infinity.
    """
    losses = _losses(log_probs, targets, input_lengths, target_lengths, blank)
    g = np.broadcast_to(_spread(dy, losses, reduction).reshape(-1), losses.shape)
    if reduction == "mean":
        g = g / like(np.maximum(np.ravel(target_lengths), 1), losses)
    dx = np.zeros_like(log_probs if log_probs.ndim == 3 else log_probs[:, np.newaxis])
    for n, x, states in _sequences(log_probs, targets, input_lengths, target_lengths, blank):
        if np.isinf(losses[n]):
            dx[: len(x), n] = 0 if zero_infinity else np.nan
            continue
        alpha, beta = _paths(x, states)[1:], _paths(x[::-1], states[::-1])[1:][::-1, ::-1]
        posterior = np.exp(alpha + beta - x[:, states] + losses[n])
        for s, label in enumerate(states):
            dx[: len(x), n, label] -= posterior[:, s]
        dx[: len(x), n] = g[n] * (dx[: len(x), n] + np.exp(x))
    return dx.reshape(log_probs.shape)
