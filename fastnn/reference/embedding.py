"""Rows of a table by their numbers, alone or in bags: weight is (rows, dim), ids are integers from 0 to rows - 1.

padding_idx: None, or a row whose gradient is 0 and that does not count in bags; negative ones count from the end. Bags are the rows of ids
(bags, length), or for ids (n,) what stands between two offsets; with include_last_offset the last offset is no bag's beginning but the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .array import Array


def embedding(weight: Array, ids: Array) -> Array:
    """weight[ids], of shape ids.shape + (dim,)."""
    return weight[ids]


def embedding_backward(
    dy: Array, ids: Array, rows: int, *, padding_idx: int | None = None, scale_grad_by_freq: bool = False
) -> Array:
    """dweight, (rows, dim): dy summed over the positions of each row, with scale_grad_by_freq over their number; 0 for the padding."""
    dweight = np.zeros((rows, dy.shape[-1]), dy.dtype)
    np.add.at(dweight, ids, dy)
    if scale_grad_by_freq:
        dweight /= np.maximum(np.bincount(ids.ravel(), minlength=rows), 1)[:, None]
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight


def embedding_renorm_(weight: Array, ids: Array, max_norm: float, norm_type: float = 2.0) -> Array:
    """Multiply the rows among the ids whose norm is above max_norm by max_norm / (norm + 1e-7), in place."""
    for row in np.unique(ids):
        x = np.abs(weight[row].astype(np.float64))
        norm = x.max(initial=0) if norm_type == math.inf else (x**norm_type).sum() ** (1 / norm_type)
        if norm > max_norm:
            weight[row] *= weight.dtype.type(max_norm / (norm + 1e-7))
    return weight


def _bags(ids: Array, offsets: Array | None, include_last_offset: bool) -> Iterator[slice]:
    """The positions of each bag in ids.ravel()."""
    if offsets is None:
        ends = [(b * ids.shape[1], (b + 1) * ids.shape[1]) for b in range(len(ids))]
    else:
        edges = [int(offset) for offset in offsets] + [ids.size] * (not include_last_offset)
        ends = list(zip(edges, edges[1:]))
    for begin, end in ends:
        yield slice(begin, end)


def embedding_bag(
    weight: Array, ids: Array, offsets: Array | None = None, per_sample_weights: Array | None = None, mode: str = "mean", *,
    padding_idx: int | None = None, include_last_offset: bool = False,
) -> tuple[Array, Array | None]:  # fmt: skip
    """(y, winners): y, (bags, dim), is the sum (of each row times its weight), mean or maximum over each bag, 0 where it is empty.

    winners: for mode "max" the row of each maximum, the first of equals, -1 where the bag is empty; else None.
    """
    bags = list(_bags(ids, offsets, include_last_offset))
    y, winners = np.zeros((len(bags), weight.shape[1]), weight.dtype), np.full((len(bags), weight.shape[1]), -1)
    for b, bag in enumerate(bags):
        chosen = ids.ravel()[bag]
        counts = np.ones(len(chosen), bool) if padding_idx is None else chosen != padding_idx % len(weight)
        chosen = chosen[counts]
        if not len(chosen):
            continue
        rows = weight[chosen]
        if mode == "max":
            winners[b] = chosen[rows.argmax(axis=0)]  # the first of equals; NaN beats all
            y[b] = rows.max(axis=0)
        else:
            if per_sample_weights is not None:
                rows = rows * per_sample_weights.ravel()[bag][counts][:, None]
            y[b] = rows.sum(axis=0) / (len(chosen) if mode == "mean" else 1)
    return y, winners if mode == "max" else None


def embedding_bag_backward(
    dy: Array, weight: Array, ids: Array, offsets: Array | None = None, per_sample_weights: Array | None = None, winners: Array | None = None,
    mode: str = "mean", *, padding_idx: int | None = None, include_last_offset: bool = False, scale_grad_by_freq: bool = False,
) -> tuple[Array, Array | None]:  # fmt: skip
    """(dweight, dper_sample_weights); the second is None where there are no weights."""
    dweight = np.zeros_like(weight)
    if mode == "max":
        if winners is None:
            winners = embedding_bag(weight, ids, offsets, mode=mode, padding_idx=padding_idx, include_last_offset=include_last_offset)[1]
        won = np.asarray(winners)
        at, column = np.nonzero(won >= 0)
        np.add.at(dweight, (won[at, column], column), dy[at, column])
        return dweight, None
    padding = None if padding_idx is None else padding_idx % len(weight)
    flat = ids.ravel()
    counts = np.bincount(flat, minlength=len(weight))
    dscale = None if per_sample_weights is None else np.zeros(flat.size, weight.dtype)
    for b, bag in enumerate(_bags(ids, offsets, include_last_offset)):
        positions = [i for i in range(bag.start, bag.stop) if flat[i] != padding]
        for i in positions:
            scale = 1 if per_sample_weights is None else per_sample_weights.ravel()[i]
            scale = scale / (len(positions) if mode == "mean" else 1) / (counts[flat[i]] if scale_grad_by_freq else 1)
            dweight[flat[i]] += weight.dtype.type(scale) * dy[b]
            if dscale is not None:
                dscale[i] = dy[b] @ weight[flat[i]]
    return dweight, None if dscale is None else dscale.reshape(ids.shape)
