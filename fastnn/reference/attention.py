"""Scaled dot-product attention and its derivative.

    s = scale q kᵀ + masks,   p = softmax(s),   y = dropout(p) v

q: (batch, heads, length, dim); k: (batch, heads, keys, dim); v: (batch, heads, keys, v_dim); y: (batch, heads, length, v_dim). Masks are added; of a
boolean one, True adds -inf: there a query may not look (nn.MultiheadAttention's convention, not that of PyTorch's function of this name). `mask`
broadcasts to (batch, heads, length, keys), key_padding_mask is (batch, keys); causal lets query i look at the keys up to i. A query that
may look at nothing has y = 0 and no gradients, where PyTorch has NaN in some versions.

What is saved for backward are each row's largest score `top`, NaN left aside, and `total` = sum(exp(s - top)).

Dropout's words are those of fastnn.reference.dropout, with the rows of all heads padded to whole blocks of 4 keys: key j of row i takes word
i 4 ceil(keys / 4) + j.

Source: Vaswani et al., Attention Is All You Need, 2017, section 3.2.1.
"""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math

import numpy as np

from .array import Array, like
from .dropout import random_words


def _added(mask: Array, dtype: np.dtype[np.generic]) -> Array:
    return np.where(mask, -np.inf, 0).astype(dtype) if mask.dtype == np.bool_ else mask


def _scale(q: Array, scale: float | None) -> Array:
    return like(1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else scale, q)


@np.errstate(invalid="ignore")
def _scores(q: Array, k: Array, mask: Array | None, key_padding_mask: Array | None, causal: bool, scale: float | None) -> Array:
    s = (q * _scale(q, scale)) @ k.swapaxes(-1, -2)
    if mask is not None:
        s = s + _added(mask, q.dtype)
    if key_padding_mask is not None:
        s = s + _added(key_padding_mask, q.dtype)[:, None, None, :]
    return np.where(np.tri(*s.shape[-2:], dtype=np.bool_), s, like(-np.inf, q)) if causal else s


@np.errstate(invalid="ignore")
def _weights(s: Array, top: Array, total: Array) -> Array:
    e = np.exp(s - np.where(top == -np.inf, like(0, s), top)[..., None])
    return e / np.where(total == 0, like(1, s), total)[..., None]


def _factors(s: Array, p: float, seed: int, stream: int, state: Array | None) -> Array:
    """What dropout multiplies each weight by."""
    if state is not None:
        seed, stream = int(state[0]), int(state[1])
    rows, keys = math.prod(s.shape[:-1]), s.shape[-1]
    padded = (keys + 3) // 4 * 4
    words = random_words(rows * padded, seed, stream).astype(np.uint64).reshape((*s.shape[:-1], padded))[..., :keys]
    return np.where(words >= np.uint64(math.floor(p * 2.0**32)), like(1 / (1 - p) if p < 1 else 0, s), like(0, s))


def scaled_dot_product_attention(
    q: Array, k: Array, v: Array, *, mask: Array | None = None, key_padding_mask: Array | None = None, causal: bool = False,
    scale: float | None = None, dropout_p: float = 0.0, seed: int = 0, stream: int = 0, state: Array | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """(y, top, total). With `state`, two uint64 {seed, stream}, 1 is added to its stream first."""
    if state is not None:
        state[1] += np.uint64(1)
    s = _scores(q, k, mask, key_padding_mask, causal, scale)
    top = np.fmax.reduce(s, axis=-1, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        total = np.exp(s - np.where(top == -np.inf, like(0, s), top)[..., None]).sum(axis=-1)
    p = _weights(s, top, total)
    if dropout_p:
        p = p * _factors(s, dropout_p, seed, stream, state)
    return p @ v, top, total


def scaled_dot_product_attention_backward(
    dy: Array, q: Array, k: Array, v: Array, y: Array, top: Array, total: Array, *, mask: Array | None = None, key_padding_mask: Array | None = None,
    causal: bool = False, scale: float | None = None, dropout_p: float = 0.0, seed: int = 0, stream: int = 0, state: Array | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """(dq, dk, dv): with f dropout's factors, dv = (f p)ᵀ dy, ds = p (f (dy vᵀ) - dy · y), dq = scale ds k, dk = scale dsᵀ q."""
    s = _scores(q, k, mask, key_padding_mask, causal, scale)
    p = _weights(s, top, total)
    f = _factors(s, dropout_p, seed, stream, state) if dropout_p else np.ones_like(s)
    ds = p * (f * (dy @ v.swapaxes(-1, -2)) - (dy * y).sum(axis=-1, keepdims=True))
    factor = _scale(q, scale)
    return factor * (ds @ k), ds.swapaxes(-1, -2) @ (factor * q), (f * p).swapaxes(-1, -2) @ dy


def scaled_dot_product_attention_weights(
    q: Array, k: Array, top: Array, total: Array, *, mask: Array | None = None, key_padding_mask: Array | None = None, causal: bool = False,
    scale: float | None = None, dropout_p: float = 0.0, seed: int = 0, stream: int = 0, state: Array | None = None,
) -> Array:  # fmt: skip
    """dropout(p), from what the forward saved."""
    s = _scores(q, k, mask, key_padding_mask, causal, scale)
    p = _weights(s, top, total)
    return p * _factors(s, dropout_p, seed, stream, state) if dropout_p else p
