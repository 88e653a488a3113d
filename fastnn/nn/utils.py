"""Clipping of the gradients of a model's parameters, and sequences of different lengths in one array."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.kernels._parameter import RowGradient
from fastnn.kernels.optimizer import clip_grad_norm, clip_grad_value
from fastnn.nn.arguments import one_of
from fastnn.nn.module import Array, Parameter


def _gradients(parameters: Parameter | Iterable[Parameter]) -> list[Array | RowGradient]:
    members = [parameters] if isinstance(parameters, Parameter) else parameters
    return [p._grad if isinstance(p._grad, RowGradient) else p.grad for p in members if not p.stale]


def clip_grad_norm_(
    parameters: Parameter | Iterable[Parameter], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """Scale the gradients in place so that the norm of all of them together is at most `max_norm`; returns the norm before.

    norm_type: 1, 2 or inf. RuntimeError for a norm that is not finite if `error_if_nonfinite`; the gradients then stay as they are.
    """
    gradients = _gradients(parameters)
    if error_if_nonfinite:
        norm = clip_grad_norm(gradients, float("inf"), norm_type)  # an infinite limit scales by 1
        if not norm < float("inf"):
            raise RuntimeError(f"the gradients' norm must be finite, got {norm}")
    return clip_grad_norm(gradients, max_norm, norm_type)


def clip_grad_value_(parameters: Parameter | Iterable[Parameter], clip_value: float) -> None:
    """Limit every element of the gradients, in place, to [-clip_value, clip_value]."""
    clip_grad_value(_gradients(parameters), clip_value)


def pad_sequence(
    sequences: Iterable[ArrayLike], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Array:
    """Sequences (L, ...) of different lengths in one array (T, B, ...), or (B, T, ...) where batch_first, T being the longest one's length.

    padding_value: what fills up the shorter ones, at their end or, with padding_side "left", in front. The dtype is the sequences' own; where they
    differ, the one that holds all. A recurrent layer takes it as ``layer(pad_sequence(sequences), None, lengths_of(sequences))``.
    """
    arrays = _as_sequences(sequences)
    left = one_of(padding_side, "padding_side", ("right", "left")) == "left"
    if not arrays:
        raise ValueError("sequences must hold at least one sequence, got none")
    for i, array in enumerate(arrays):
        if array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(f"sequences must have equal shapes but for their lengths, got {arrays[0].shape} and, as sequences[{i}], {array.shape}")
    dtype = np.result_type(*{array.dtype.newbyteorder("=") for array in arrays})
    if dtype.kind not in "biuf":
        raise TypeError(f"sequences must be numbers, got dtype {dtype}")
    longest = max(map(len, arrays))
    padded = np.full((len(arrays), longest, *arrays[0].shape[1:]), _held(padding_value, dtype), dtype)
    for row, array in zip(padded, arrays):
        row[longest - len(array) if left else 0 :][: len(array)] = array
    return padded if batch_first else np.ascontiguousarray(padded.swapaxes(0, 1))


def lengths_of(sequences: Iterable[ArrayLike]) -> NDArray[np.int64]:
    """The lengths of sequences (L, ...): (B,), as recurrent layers take them."""
    return np.array([len(array) for array in _as_sequences(sequences)], np.int64)


def unpad_sequence(padded_sequences: ArrayLike, lengths: ArrayLike, batch_first: bool = False) -> list[Array]:
    """The sequences (L, ...) that pad_sequence put, padded at their end, into (T, B, ...), or (B, T, ...) where batch_first; views. lengths: (B,)."""
    padded, sizes = np.asarray(padded_sequences), np.asarray(lengths)
    if padded.ndim < 2:
        raise ValueError(f"padded_sequences must have shape {'(B, T, ...)' if batch_first else '(T, B, ...)'}, got {padded.shape}")
    rows = padded if batch_first else padded.swapaxes(0, 1)
    if sizes.shape != rows.shape[:1]:
        raise ValueError(f"lengths must have shape ({len(rows)},), one for each sequence, got {sizes.shape}")
    if sizes.size and sizes.dtype.kind not in "iu":
        raise TypeError(f"lengths must be integers, got dtype {sizes.dtype}")
    if sizes.size and not 0 <= sizes.min() <= sizes.max() <= rows.shape[1]:
        raise ValueError(f"lengths must be from 0 to {rows.shape[1]}, got {sizes.min()} to {sizes.max()}")
    return [row[:size] for row, size in zip(rows, sizes.tolist())]


def _as_sequences(sequences: Iterable[ArrayLike]) -> list[Array]:
    arrays = [np.asarray(sequence) for sequence in sequences]
    for i, array in enumerate(arrays):
        if array.ndim == 0:
            raise ValueError(f"sequences must have a first dimension of steps, but sequences[{i}] is a single value")
    return arrays


def _held(value: float, dtype: np.dtype[Any]) -> Any:
    """`value` in this dtype; ValueError where an integer dtype has no such number."""
    if dtype.kind == "f":
        return value
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not (low <= value <= high and value == int(value)):
        raise ValueError(f"padding_value must be a number that {dtype} holds, got {value}")
    return int(value)
