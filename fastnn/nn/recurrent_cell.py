"""One step of a recurrent layer: RNNCell, LSTMCell and GRUCell."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn import kernels
from fastnn.nn import init
from fastnn.nn.arguments import one_of, positive_int
from fastnn.nn.module import Array, Module, ParameterField, check_dtype
from fastnn.nn.recurrent import _gradients
from fastnn.random import Rng, default_rng


class _Cell(Module):
    """What the three have in common. forward's state is (B, hidden), or (hidden,) for an x without a batch; None: 0."""

    weight_ih = ParameterField()
    weight_hh = ParameterField()
    bias_ih = ParameterField()
    bias_hh = ParameterField()
    gates = 1
    states = 1

    def _build(self, input_size: int, hidden_size: int, bias: bool, dtype: DTypeLike, rng: Rng) -> None:
        self.input_size = positive_int(input_size, "input_size")
        self.hidden_size = positive_int(hidden_size, "hidden_size")
        kind, generator = check_dtype(np.dtype(dtype)), default_rng(rng)
        bound, rows = 1 / sqrt(hidden_size), self.gates * hidden_size
        self.weight_ih = init.uniform_(np.empty((input_size, rows), kind).T, -bound, bound, generator)
        self.weight_hh = init.uniform_(np.empty((hidden_size, rows), kind).T, -bound, bound, generator)
        self.bias_ih = init.uniform_(np.empty(rows, kind), -bound, bound, generator) if bias else None
        self.bias_hh = init.uniform_(np.empty(rows, kind), -bound, bound, generator) if bias else None

    @property
    def _weights(self) -> tuple[Any, ...]:
        return tuple(self._parameters[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))

    def _forward(self, x: Array, weights: list[Any], states: list[Array | None], **options: Any) -> tuple[Any, ...]:
        raise NotImplementedError(f"{type(self).__name__} does not define _forward")

    def _backward(self, x: Array, weights: list[Any], saved: Any, dstates: list[Array | None], **options: Any) -> tuple[Any, ...]:
        raise NotImplementedError(f"{type(self).__name__} does not define _backward")

    def forward(self, x: Array, state: Any = None) -> Any:
        x = np.asarray(x)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(f"x must have shape (B, {self.input_size}) or ({self.input_size},), got {x.shape}")
        weights = [tuple(None if p is None else p.data for p in self._weights)]
        steps = x.reshape(1, -1, self.input_size)
        _, *last, saved = self._forward(steps, weights, self._arrays(state, x.shape[:-1], "state"), save=self.training)
        if self.training:
            self._saved = steps, saved, x.shape, state is not None
        ends = tuple(end.reshape(*x.shape[:-1], self.hidden_size) for end in last)
        return ends[0] if self.states == 1 else ends

    def backward(self, *dstate: Array | None) -> Any:
        """The gradient of x, or with a state (dx, its gradient), from that of the new state: of an LSTMCell two arrays, dh and dc, or their pair."""
        steps, saved, shape, with_state = self.saved()
        given: Any = dstate[0] if len(dstate) == 1 else dstate
        weights = [tuple(None if p is None else p.data for p in self._weights)]
        targets, accumulate = _gradients(self._weights)
        if self.states == 2 and not isinstance(given, (tuple, list)):
            given = (given, None)
        dx, *first, _ = self._backward(
            steps, weights, saved, self._arrays(given, shape[:-1], "dstate"), gradients=[targets], accumulate=[accumulate],
            input_gradient=self.needs_input_grad, state_gradients=with_state,
        )  # fmt: skip
        dx = None if dx is None else dx.reshape(shape)
        if not with_state:
            return dx
        gradients = tuple(one.reshape(*shape[:-1], self.hidden_size) for one in first)
        return dx, gradients[0] if self.states == 1 else gradients

    def _arrays(self, state: Any, lead: tuple[int, ...], name: str) -> list[Array | None]:
        """The arrays of a state as (1, B, hidden)."""
        if state is None:
            return [None] * self.states
        arrays = state if self.states > 1 else (state,)
        if not isinstance(arrays, (tuple, list)) or len(arrays) != self.states:
            raise TypeError(f"{name} must be a pair of arrays (h, c), got {type(state).__name__}")
        for array in arrays:
            if array is not None and np.shape(array) != (*lead, self.hidden_size):
                raise ValueError(f"{name} must have arrays of shape {(*lead, self.hidden_size)}, got {np.shape(array)}")
        return [None if array is None else np.asarray(array).reshape(1, -1, self.hidden_size) for array in arrays]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias_ih is not None else ", bias=False")


class RNNCell(_Cell):
    """h' = nonlinearity(weight_ih x + bias_ih + weight_hh h + bias_hh). x: (B, input_size) or (input_size,); h, h': (B, hidden_size) or (hidden_size,)."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", dtype: DTypeLike = np.float32, rng: Rng = None
    ) -> None:
        self.nonlinearity = one_of(nonlinearity, "nonlinearity", ("tanh", "relu"))
        self._build(input_size, hidden_size, bias, dtype, rng)

    def _forward(self, x: Array, weights: list[Any], states: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.rnn(x, weights, *states, nonlinearity=self.nonlinearity, **options)

    def _backward(self, x: Array, weights: list[Any], saved: Any, dstates: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.rnn_backward(None, x, weights, saved, dh_n=dstates[0], nonlinearity=self.nonlinearity, **options)


class LSTMCell(_Cell):
    """One step of LSTM: cell(x, (h, c)) returns (h', c'). x: (B, input_size) or (input_size,); states: (B, hidden_size) or (hidden_size,)."""

    gates, states = 4, 2

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: DTypeLike = np.float32, rng: Rng = None) -> None:
        self._build(input_size, hidden_size, bias, dtype, rng)

    def _forward(self, x: Array, weights: list[Any], states: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.lstm(x, weights, *states, **options)

    def _backward(self, x: Array, weights: list[Any], saved: Any, dstates: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.lstm_backward(None, x, weights, saved, dh_n=dstates[0], dc_n=dstates[1], **options)


class GRUCell(_Cell):
    """One step of GRU: cell(x, h) returns h'. x: (B, input_size) or (input_size,); h, h': (B, hidden_size) or (hidden_size,)."""

    gates = 3

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: DTypeLike = np.float32, rng: Rng = None) -> None:
        self._build(input_size, hidden_size, bias, dtype, rng)

    def _forward(self, x: Array, weights: list[Any], states: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.gru(x, weights, *states, **options)

    def _backward(self, x: Array, weights: list[Any], saved: Any, dstates: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.gru_backward(None, x, weights, saved, dh_n=dstates[0], **options)
