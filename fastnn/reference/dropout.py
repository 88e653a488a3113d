"""Dropout with counter-based random numbers: which elements are kept depends on (seed, stream, element) and on nothing else.

The numbers are those of Philox4x32-10. Element e, counted in C order whatever the memory order, takes 32-bit word e % 4 of block
e // 4, and
    key     = (seed mod 2^32, seed div 2^32),                                              seed, stream, block in [0, 2^64)
    counter = (block mod 2^32, block div 2^32, stream mod 2^32, stream div 2^32).
The element is kept if word >= floor(p 2^32), the product in double (exact, a scaling by a power of 2): p = 0 keeps everything,
p = 1, whose threshold 2^32 no word reaches, nothing. What is kept is multiplied by 1 / (1 - p), computed in double and rounded to
x's dtype.

Alpha dropout puts SELU's lower limit, -1.758…, in the place of what is dropped, and then scales and shifts all, so that a mean of 0 and
a variance of 1 stay what they are: y = a x + b where kept, a floor + b elsewhere, with q = 1 - p and
    a = (q (1 + p floor^2))^(-1/2),   b = -a p floor,
computed in double and rounded to x's dtype; product and sum round once each. p = 1 gives zeros.

With `leading` the mask has the shape of so many of x's first axes, and each of its elements stands for all that lies under it.

Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011. Srivastava et al., Dropout, 2014. Klambauer et al., Self-Normalizing
Neural Networks, 2017.
"""

from __future__ import annotations

import math

import numpy as np

from .array import Array, like

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
MASK = 0xFFFFFFFF
SELU_FLOOR = -1.7580993408473766


def philox4x32(counter: Array, key: tuple[int, int]) -> Array:
    """Ten rounds of Philox4x32: counter (..., 4) and two key words, each below 2^32, to (..., 4) words, all in uint64.

    A round takes (hi0, lo0) = MULTIPLIERS[0] c0 and (hi1, lo1) = MULTIPLIERS[1] c2 to (hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0);
    WEYL is added to the key between rounds.
    """
    c0, c1, c2, c3 = np.moveaxis(counter.astype(np.uint64), -1, 0)
    k0, k1 = key
    for _ in range(10):
        p0 = c0 * np.uint64(MULTIPLIERS[0])
        p1 = c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & np.uint64(MASK),
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & np.uint64(MASK),
        )
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return np.stack([c0, c1, c2, c3], axis=-1)


def random_words(n: int, seed: int, stream: int) -> Array:
    """The first n words of (seed, stream), uint32."""
    for name, value in (("seed", seed), ("stream", stream)):
        if not 0 <= value < 2**64:
            raise ValueError(f"dropout: {name} must be in [0, 2^64), got {value}")
    blocks = np.arange((n + 3) // 4, dtype=np.uint64)
    counter = np.empty((len(blocks), 4), np.uint64)
    counter[:, 0] = blocks & np.uint64(MASK)
    counter[:, 1] = blocks >> np.uint64(32)
    counter[:, 2] = stream & MASK
    counter[:, 3] = stream >> 32
    return philox4x32(counter, (seed & MASK, seed >> 32)).reshape(-1)[:n].astype(np.uint32)


def _kept(shape: tuple[int, ...], p: float, seed: int, stream: int) -> Array:
    """Which elements of an array of this shape are kept."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout: p must be in [0, 1], got {p}")
    words = random_words(math.prod(shape), seed, stream).astype(np.uint64)
    return (words >= np.uint64(math.floor(p * 2.0**32))).reshape(shape)


@np.errstate(invalid="ignore")
def _masked(x: Array, p: float, seed: int, stream: int, leading: int | None, scale: float, shift: float | None, dropped: float) -> Array:
    shape = x.shape[:leading]
    kept = _kept(shape, p, seed, stream).reshape(shape + (1,) * (x.ndim - len(shape)))
    y = x * like(scale, x)
    return np.where(kept, y if shift is None else y + like(shift, x), like(dropped, x))


def dropout(x: Array, p: float, seed: int, stream: int, *, leading: int | None = None) -> Array:
    """x / (1 - p) where kept, else 0 (also where x is NaN or infinite); each element is dropped with probability p."""
    return _masked(x, p, seed, stream, leading, 1.0 / (1.0 - p) if p != 1.0 else 0.0, None, 0.0)


def dropout_backward(dy: Array, p: float, seed: int, stream: int, *, leading: int | None = None) -> Array:
    """dy / (1 - p) where the forward kept x, else 0: the forward itself, on dy."""
    return dropout(dy, p, seed, stream, leading=leading)


def _alpha_scale(p: float) -> float:
    return 1.0 / math.sqrt((1.0 - p) * (1.0 + p * SELU_FLOOR * SELU_FLOOR)) if p < 1.0 else 0.0


def alpha_dropout(x: Array, p: float, seed: int, stream: int, *, leading: int | None = None) -> Array:
    """a x + b where kept, else a floor + b."""
    scale = _alpha_scale(p)
    shift = -scale * p * SELU_FLOOR
    return _masked(x, p, seed, stream, leading, scale, shift, scale * SELU_FLOOR + shift)


def alpha_dropout_backward(dy: Array, p: float, seed: int, stream: int, *, leading: int | None = None) -> Array:
    """a dy where the forward kept x, else 0."""
    return _masked(dy, p, seed, stream, leading, _alpha_scale(p), None, 0.0)


def dropout_next(x: Array, p: float, state: Array, *, leading: int | None = None) -> Array:
    """Add 1 to the stream in state, two uint64 {seed, stream}, then dropout with both."""
    state[1] += np.uint64(1)
    return dropout(x, p, int(state[0]), int(state[1]), leading=leading)


def dropout_next_backward(dy: Array, p: float, state: Array, *, leading: int | None = None) -> Array:
    """The backward of the last dropout_next with this state."""
    return dropout_backward(dy, p, int(state[0]), int(state[1]), leading=leading)


def alpha_dropout_next(x: Array, p: float, state: Array, *, leading: int | None = None) -> Array:
    """As dropout_next, of alpha_dropout."""
    state[1] += np.uint64(1)
    return alpha_dropout(x, p, int(state[0]), int(state[1]), leading=leading)


def alpha_dropout_next_backward(dy: Array, p: float, state: Array, *, leading: int | None = None) -> Array:
    """The backward of the last alpha_dropout_next with this state."""
    return alpha_dropout_backward(dy, p, int(state[0]), int(state[1]), leading=leading)
