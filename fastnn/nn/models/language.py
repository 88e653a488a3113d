"""A recurrent language model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn import nn
from fastnn.kernels import copy
from fastnn.nn.arguments import one_of, positive_int
from fastnn.nn.module import Array, Module
from fastnn.random import Rng, default_rng

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class LanguageModel(Module):
    """What comes next: an embedding of tokens, recurrent layers, and a linear layer to the vocabulary.

    cell: "lstm", "gru" or "rnn". dropout: between and after the recurrent layers. forward(tokens) takes integers (T, B) and returns logits (T B, vocabulary), a row
    for each token, which CrossEntropyLoss takes with T B targets; forward(tokens, state) returns (logits, the state after them). After
    `start(B)` a training forward begins where the one before it ended (truncated back-propagation through time): batch i + 1 must go on with batch i's
    streams. Mikolov et al., "Recurrent neural network based language model", 2010.
    """

    def __init__(
        self, vocabulary: int, cell: str = "lstm", embedding: int = 128, hidden: int = 256, layers: int = 2, dropout: float = 0.0,
        dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        generator = default_rng(rng)
        self.vocabulary = positive_int(vocabulary, "vocabulary")
        self.embedding = nn.Embedding(vocabulary, embedding, dtype=dtype, rng=generator)
        kind = CELLS[one_of(cell, "cell", tuple(CELLS))]
        self.recurrent = kind(embedding, hidden, layers, dropout=dropout if layers > 1 else 0.0, dtype=dtype, rng=generator)
        self.drop_out = nn.Dropout(dropout, rng=generator) if dropout else nn.Identity()
        self.head = nn.Linear(hidden, vocabulary, dtype=dtype, rng=generator)
        self._carried: tuple[Array, ...] | None = None

    def zero_state(self, batch: int) -> Any:
        """The state of so many streams before their first token: zeros, (layers, batch, hidden), of an LSTM a pair of them."""
        shape = (self.recurrent.num_layers, positive_int(batch, "batch", minimum=0), self.recurrent.hidden_size)
        arrays = tuple(np.zeros(shape, self.head.weight.dtype) for _ in range(self.recurrent.states))
        return arrays[0] if len(arrays) == 1 else arrays

    def start(self, batch: int | None) -> None:
        """Carry the state of so many streams from one training forward to the next, from zeros on; None: each forward begins with zeros again."""
        state = None if batch is None else self.zero_state(batch)
        arrays = None if state is None else state if isinstance(state, tuple) else (state,)
        if arrays is not None and self._carried is not None and arrays[0].shape == self._carried[0].shape:
            for kept in self._carried:  # the same arrays, which captured steps know
                kept[...] = 0
        else:
            self._carried = arrays

    def forward(self, tokens: Array, state: Any = None) -> Any:
        tokens = np.asarray(tokens)
        if tokens.ndim != 2:
            raise ValueError(f"tokens must have shape (T, B), got {tokens.shape}")
        carried = self._carried if self.training and state is None else None
        if carried is not None:
            if tokens.shape[1] != carried[0].shape[1]:
                raise ValueError(f"tokens must have {carried[0].shape[1]} streams, as start was told, got shape {tokens.shape}")
            state = carried[0] if len(carried) == 1 else carried
        few = self.vocabulary < tokens.size  # rows of the table, rather than steps
        if self.training:
            self._saved = tokens.shape, state is not None, few
        if few:
            x, end = self.recurrent.forward(tokens, state, None, self.embedding.weight)
        else:
            x, end = self.recurrent.forward(self.embedding.forward(tokens), state)
        for kept, new in zip(carried or (), end if isinstance(end, tuple) else (end,)):
            copy(new, out=kept)
        logits = self.head.forward(self.drop_out.forward(x)).reshape(-1, self.vocabulary)
        return logits if state is None or carried is not None else (logits, end)

    def backward(self, dlogits: Array, dstate: Any = None) -> None:
        """Accumulate the parameters' gradients from that of the logits. That of a state before the first token is not returned."""
        shape, with_state, few = self.saved()
        dy = self.head.backward(dlogits.reshape(*shape, self.vocabulary))
        assert dy is not None
        dx = self.recurrent.backward(self.drop_out.backward(dy), dstate)
        dx = dx[0] if with_state else dx
        if few:
            self.embedding._parameters["weight"].add_grad(dx)
        else:
            self.embedding.backward(dx)
