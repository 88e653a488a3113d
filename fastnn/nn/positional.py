"""Positions of a sequence as sines and cosines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from fastnn.kernels import add
from fastnn.nn.arguments import positive_int
from fastnn.nn.dropout import Dropout
from fastnn.nn.module import Array, BufferField, Module, check_dtype
from fastnn.random import Rng


class PositionalEncoding(Module):
    """y = dropout(x + pe), pe[t, 2i] = sin(t / 10000^(2i / d_model)) and pe[t, 2i + 1] = cos of the same, for the positions t of a sequence.

    x, y: (L, N, d_model), or (N, L, d_model) with batch_first, or unbatched (L, d_model); L at most max_len. The buffer `pe` is (max_len, 1,
    d_model). Source: Vaswani et al., Attention Is All You Need, 2017, section 3.5.
    """

    pe = BufferField()

    def __init__(
        self, d_model: int, dropout: float = 0.1, max_len: int = 5000, batch_first: bool = False, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        self.d_model, self.max_len = positive_int(d_model, "d_model"), positive_int(max_len, "max_len", minimum=0)
        self.batch_first = bool(batch_first)
        self.dropout = Dropout(dropout, rng=rng)
        angles = np.arange(self.max_len)[:, None] * np.exp(np.arange(0, self.d_model, 2) * (-math.log(10000.0) / self.d_model))
        pe = np.empty((self.max_len, 1, self.d_model), check_dtype(np.dtype(dtype)))
        pe[:, 0, 0::2], pe[:, 0, 1::2] = np.sin(angles), np.cos(angles[:, : self.d_model // 2])
        self.pe = pe

    def forward(self, x: Array) -> Array:
        shape = np.shape(x)
        if len(shape) not in (2, 3) or shape[-1] != self.d_model:
            layout = f"(N, L, {self.d_model})" if self.batch_first else f"(L, N, {self.d_model})"
            raise ValueError(f"x must have shape {layout} or (L, {self.d_model}), got {shape}")
        length = shape[1] if len(shape) == 3 and self.batch_first else shape[0]
        if length > self.max_len:
            raise ValueError(f"x must have at most max_len = {self.max_len} positions, got {length}")
        pe = self.pe[:length]
        return self.dropout.forward(add(x, pe if len(shape) == 3 and not self.batch_first else pe[:, 0]))

    def backward(self, dy: Array) -> Array | None:
        return self.dropout.backward(dy) if self.needs_input_grad else None

    def extra_repr(self) -> str:
        return f"{self.d_model}, max_len={self.max_len}, batch_first={self.batch_first}"
